"""HTTPS by tokio-rustls on the engine: curl trusts the certificate that was made for it, and nothing else."""

import async_examples
import stage
from stage import ENGINE_V4, ENGINE_V6, LOGS, expect

TIME_LIMIT_S = 90


def check():
    stage.need("curl", "openssl", "nstat")
    key, certificate = LOGS / "async_rustls.key.pem", LOGS / "async_rustls.certificate.pem"
    stage.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={ENGINE_V4}",
        "-addext", f"subjectAltName=IP:{ENGINE_V4},IP:{ENGINE_V6}", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate,
    ])  # fmt: skip
    with stage.Lab() as lab:
        server = lab.example("async-rustls", certificate, key)
        before = lab.linux_counters()
        for version in ("1.2", "1.3"):
            said = async_examples.curl(lab, "--cacert", certificate, f"--tlsv{version}", "--tls-max", version, f"https://{ENGINE_V4}/{version}")
            expect(said == f"hello over TLS, /{version}\n", f"TLS {version}: {said!r}")
        said = async_examples.curl(lab, "-6", "--cacert", certificate, f"https://[{ENGINE_V6}]/six")
        expect(said == "hello over TLS, /six\n", f"over IPv6: {said!r}")
        # Several requests over one connection.
        said = async_examples.curl(lab, "--cacert", certificate, *[f"https://{ENGINE_V4}/{n}" for n in range(50)])
        expect(said == "".join(f"hello over TLS, /{n}\n" for n in range(50)), "fifty requests")
        # curl closes behind its close_notify; the one that answers it meets a socket that is gone.
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
        distrusts = lab.run("linux", ["curl", "-sS", "-m", "20", f"https://{ENGINE_V4}/"], expect_code=None)
        expect(distrusts.returncode == 60, f"curl without the certificate ended with {distrusts.returncode}, not 60")
        server.expect_running()
        expect(async_examples.curl(lab, "--cacert", certificate, f"https://{ENGINE_V4}/") == "hello over TLS, /\n", "afterwards")


stage.main(check)
