"""200 MiB each way through the echo service, ended by half-close: equal hashes. Linux opens, then the engine does."""

import json
import sys

import stage
from stage import ENGINE_V4, ENGINE_V6, LINUX_V4, SCRIPTS, expect

TIME_LIMIT_S = 240
TOTAL = 200 << 20


def check():
    stage.need("nstat")
    with stage.Lab() as lab:
        before = lab.linux_counters()
        server = lab.serve("echo:7", workers=1)
        stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), TOTAL, seed=1)
        stage.echo_through_half_close(lab.connect(ENGINE_V6, 7), TOTAL // 8, seed=2)
        stage.drain(server)

        peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
        peer.wait_for_line("^ready$", 10)
        # 800 requests of 256 KiB, each compared byte for byte with what comes back.
        done = lab.run("engine", [
            stage.fourtuple(), "load", "rr", f"{LINUX_V4}:7", *stage.ATTACH, "-c", "1", "-n", "800",
            "-s", "262144", "--verify", "--timeout", "30s", "--json",
        ], within_s=120)
        report = json.loads(done.stdout)
        expect(report["operations"] == 800, f"{report['operations']} of 800 operations")
        expect(not any(report["errors"].values()), f"errors: {report['errors']}")
        stage.expect_linux_unharmed(before, lab.linux_counters())


stage.main(check)
