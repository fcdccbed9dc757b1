"""gRPC by tonic on the engine: a client of gRPC's own library, and h2load with many calls on each of its connections."""

import re
import subprocess

import async_examples
import stage
from stage import ENGINE_V4, ENGINE_V6, LOGS, SCRIPTS, Skipped, expect

TIME_LIMIT_S = 150
# Debian's own package is the system's Python's.
PYTHON = "/usr/bin/python3"


def check():
    stage.need("h2load")
    if subprocess.run([PYTHON, "-c", "import grpc"], capture_output=True).returncode != 0:
        raise Skipped("python3-grpcio is not installed")
    with stage.Lab() as lab:
        server = lab.example("async-tonic")
        client = [PYTHON, SCRIPTS / "e2e/grpc_client.py", f"{ENGINE_V4}:80", f"[{ENGINE_V6}]:80"]
        said = lab.run("linux", client, within_s=90).stdout
        expect(said.count("passed") == 2, f"the client says {said!r}")
        # The shortest call there is: no message's bytes behind the five of its frame.
        call = LOGS / "async_tonic.call"
        call.write_bytes(bytes(5))
        load = lab.run(
            "linux",
            ["h2load", "-n", "20000", "-c", "20", "-m", "20", "-d", call, "-H", "content-type: application/grpc", "-H", "te: trailers"]
            + [f"{async_examples.URL}/grpc.health.v1.Health/Check"],
            within_s=60,
        ).stdout
        expect(re.search(r"requests: 20000 total, .* 20000 succeeded, 0 failed, 0 errored, 0 timeout", load), f"h2load: {load[-600:]}")
        async_examples.interrupt(server)


stage.main(check)
