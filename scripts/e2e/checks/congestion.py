"""Each algorithm of congestion control, served and as a sender, over a path that loses and delays; Linux at the other end."""

import json
import sys

import stage
from stage import SCRIPTS, expect

TIME_LIMIT_S = 120
WAITS = True
TOTAL = 2 << 20
FATES = ("--loss", "1%", "--delay", "5ms")
KINDS = ("cubic", "newreno", "bbr", "dctcp")


def served(lab, kind, seed):
    relay = lab.relay(*FATES, "--seed", str(seed))
    server = lab.serve("echo:7", workers=1, flags=("--congestion", kind))
    stage.echo_through_half_close(lab.connect(stage.ENGINE_V4, 7, timeout_s=30), TOTAL, seed)
    stage.drain(server)
    relay.end()


def sending(lab, kind, seed):
    relay = lab.relay(*FATES, "--seed", str(seed))
    peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py", "--count"])
    peer.wait_for_line("^ready$", 10)
    done = lab.run("engine", [
        stage.fourtuple(), "load", "stream", f"{stage.LINUX_V4}:9", *stage.ATTACH, "-c", "1", "-d", "3s", "--congestion", kind, "--json",
    ], within_s=30)
    sent = json.loads(done.stdout)["bits_per_s"]["sent"]
    peer.end()
    relay.end()
    # A window of four segments each round trip would be 4.6 Mb/s; a sender that starves has less than a segment each 200 ms.
    expect(sent > 2e6, f"{kind} sent {sent / 1e6:.2f} Mb/s")


def check():
    with stage.Lab("--relay") as lab:
        for seed, kind in enumerate(KINDS, 1):
            served(lab, kind, seed)
            sending(lab, kind, seed)
        wrong = lab.run("engine", [stage.fourtuple(), "serve", "echo", "--congestion", "vegas"], expect_code=2)
        expect("vegas" in wrong.stderr, f"what is wrong is not named: {wrong.stderr}")


stage.main(check)
