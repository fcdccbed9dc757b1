"""The lab and the relay themselves, with Linux's TCP at both ends: what they lose is repaired, nothing of them remains."""

import json
import pathlib
import sys

import loss
import stage
from stage import SCRIPTS, expect

ENGINE_SIDE = (
    ["sysctl", "-qw", "net.ipv6.conf.v0.disable_ipv6=0", "net.ipv4.conf.v0.arp_ignore=0"],
    ["ip", "address", "add", f"{stage.ENGINE_V4}/24", "dev", "v0"],
    ["ip", "address", "add", f"{stage.ENGINE_V6}/64", "dev", "v0", "nodad"],
)


def check():
    with stage.Lab("--relay") as lab:
        for command in ENGINE_SIDE:
            lab.run("engine", command)
        peer = lab.start("engine", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
        peer.wait_for_line("^ready$", 10)
        relay = lab.relay("--loss", "1%", "--reorder", "1%", "--duplicate", "1%", "--corrupt", "0.5%", "--burst-loss", "1%", "--rate", "400M", "--seed", "5")
        for host in (stage.ENGINE_V4, stage.ENGINE_V6):
            stage.echo_through_half_close(lab.connect(host, 7), 2 << 20, seed=9)
        noticed = lab.linux_counters()
        relay.end()
        found = json.loads(relay.stdout.splitlines()[-1])
        stage.note(str(found))
        for direction in ("a_to_b", "b_to_a"):
            counted = found[direction]
            for fate in ("lost", "burst_lost", "reordered", "duplicated", "corrupted"):
                expect(counted[fate] > 0, f"no frame was {fate} {direction}")
            loss.adds_up(found, direction)
        expect(noticed["TcpInCsumErrors"] > 0, "Linux noticed no corrupted segment")

        # A relay that is told to stop by itself does.
        relay = lab.relay("--for", "300ms")
        expect(relay.wait(5) == 0, "the relay did not end by itself")
        names = [lab.namespace(side) for side in ("engine", "linux")]
    for name in names:
        expect(not pathlib.Path("/run/netns", name).exists(), f"namespace {name} remained")


stage.main(check)
