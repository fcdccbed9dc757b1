"""`fourtuple load` rr, crr and stream, both ways and both families, against Linux's echo, discard and chargen."""

import json
import sys

import report
import stage
from stage import LINUX_V4, LINUX_V6, SCRIPTS, expect

TIME_LIMIT_S = 120


def load(lab, pattern, target, *flags):
    done = lab.run("engine", [
        stage.fourtuple(), "load", pattern, target, *stage.ATTACH, "--json", *flags,
    ], within_s=30)
    found = report.parse(done.stdout, pattern)
    expect(found["operations"] > 0, f"{pattern} {target}: no operation")
    expect(not any(found["errors"].values()), f"{pattern} {target}: errors {found['errors']}")
    expect("server" not in found, "a server that is not known was reported")
    return found


def check():
    stage.need("nstat")
    with stage.Lab() as lab:
        peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
        peer.wait_for_line("^ready$", 10)
        before = lab.linux_counters()
        for host in (LINUX_V4, f"[{LINUX_V6}]"):
            found = load(lab, "rr", f"{host}:7", "-c", "16", "-d", "2s", "--verify")
            expect(found["connections"] == 16, f"{found['connections']} connections, not 16")
            load(lab, "crr", f"{host}:7", "-c", "8", "-d", "2s")
            found = load(lab, "stream", f"{host}:9", "-c", "2", "-d", "2s")
            expect(found["bits_per_s"]["sent"] > 1e6, f"stream sent {found['bits_per_s']}")
            found = load(lab, "stream", f"{host}:19", "-c", "2", "-d", "2s", "--reverse")
            expect(found["bits_per_s"]["received"] > 1e6, f"stream --reverse received {found['bits_per_s']}")
            peer.expect_running()
        # A number of operations instead of a time.
        found = load(lab, "rr", f"{LINUX_V4}:7", "-c", "4", "-n", "1000")
        expect(found["operations"] == 1000, f"-n 1000 made {found['operations']} operations")
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=("TcpEstabResets",))


stage.main(check)
