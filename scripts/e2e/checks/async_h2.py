"""HTTP/2 by h2 on the engine: curl, and h2load with many streams on each of its connections."""

import re

import async_examples
import stage
from stage import LOGS, expect, pattern_chunks

TIME_LIMIT_S = 90


def check():
    stage.need("curl", "h2load", "nstat")
    with stage.Lab() as lab:
        server = lab.example("async-h2")
        before = lab.linux_counters()
        said = async_examples.curl(lab, "--http2-prior-knowledge", "-w", "%{http_version}\n", f"{async_examples.URL}/")
        expect(said == "hello over HTTP/2\n2\n", f"curl says {said!r}")
        said = async_examples.curl(lab, "-6", "--http2-prior-knowledge", f"{async_examples.URL_V6}/")
        expect(said == "hello over HTTP/2\n", f"over IPv6 curl says {said!r}")
        # Twice as much as a connection's window both ways, so that both sides have to open it on the way.
        body, back = LOGS / "async_h2.body", LOGS / "async_h2.back"
        body.write_bytes(b"".join(pattern_chunks(3_000_000, 5)))
        async_examples.curl(lab, "--http2-prior-knowledge", "--data-binary", f"@{body}", "-o", back, f"{async_examples.URL}/echo")
        expect(body.read_bytes() == back.read_bytes(), "what came back is not what was sent")
        # A client that has its answers closes without waiting for GOAWAY.
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
        load = lab.run("linux", ["h2load", "-n", "20000", "-c", "20", "-m", "20", f"{async_examples.URL}/"], within_s=60).stdout
        expect(re.search(r"requests: 20000 total, .* 20000 succeeded, 0 failed, 0 errored, 0 timeout", load), f"h2load: {load[-600:]}")
        server.expect_running()


stage.main(check)
