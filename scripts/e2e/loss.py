"""8 MiB each way through a relay that loses 3 %, reorders, duplicates and corrupts; opened from either end."""

import json
import sys

import stage
from stage import SCRIPTS, expect

sys.path.insert(0, str(SCRIPTS / "lib"))
import path  # noqa: E402

TOTAL = 8 << 20
FATES = ("--loss", "3%", "--reorder", "2%", "--duplicate", "1%", "--corrupt", "0.2%")
PATIENCE_S = 20


def adds_up(found, direction):
    """Every frame that the relay was given has one end in what it counted (those still held are of either direction)."""
    counted = found[direction]
    told = sum(counted[end] for end in ("sent", *path.ENDS))
    missing = counted["received"] + counted["duplicated"] - told
    expect(0 <= missing <= found["held"], f"{missing} frames went missing in the relay {direction}: {counted}")


def counts(relay):
    relay.end()
    found = json.loads(relay.stdout.splitlines()[-1])
    for direction in ("a_to_b", "b_to_a"):
        adds_up(found, direction)
        for fate in ("lost", "reordered", "duplicated"):
            expect(found[direction][fate] > 0, f"the relay made no frame {fate} {direction}: this run proves nothing")
        expect(found[direction]["refused"] == 0, f"the relay could not pass {found[direction]['refused']} frames")
    stage.note(f"relay: {found}")


def linux_opens(lab, host, total, seed, fates=FATES, patience_s=PATIENCE_S):
    relay = lab.relay(*fates, "--seed", str(seed))
    server = lab.serve("echo:7", workers=1)
    stage.echo_through_half_close(lab.connect(host, 7, timeout_s=30), total, seed, patience_s)
    stage.drain(server, within_s=30)
    counts(relay)


def engine_opens(lab, host, total, seed):
    relay = lab.relay(*FATES, "--seed", str(seed))
    peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
    peer.wait_for_line("^ready$", 10)
    request = 65536
    done = lab.run("engine", [
        stage.fourtuple(), "load", "rr", f"{host}:7", *stage.ATTACH, "-c", "1", "-n", total // request,
        "-s", request, "--verify", "--timeout", f"{PATIENCE_S}s", "--json",
    ], within_s=180)
    found = json.loads(done.stdout)
    expect(found["operations"] == total // request, f"{found['operations']} of {total // request} operations")
    expect(not any(found["errors"].values()), f"errors: {found['errors']}")
    peer.end()
    counts(relay)


def both(linux_host, engine_host, total=TOTAL, seed=1):
    with stage.Lab("--relay") as lab:
        linux_opens(lab, engine_host, total, seed)
        engine_opens(lab, linux_host, total, seed + 1)
