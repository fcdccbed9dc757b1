"""ECN with Linux, both ways and both families, over a relay that marks: Linux echoes our marks, we echo Linux's; nothing is lost."""

import json
import sys

import stage
from stage import SCRIPTS, expect

TIME_LIMIT_S = 90
WAITS = True
TOTAL = 4 << 20
MARKS = ("--mark", "5%", "--delay", "2ms")


def tcp_counters(lab):
    return lab.stats()["totals"]["tcp"]


def linux_marked(lab):
    counters = lab.linux_counters()
    return {key: counters.get(key, 0) for key in ("IpExtInCEPkts", "IpExtInECT0Pkts", "Ip6InCEPkts", "Ip6InECT0Pkts")}


def with_linux(lab, host, seed, marked):
    relay = lab.relay(*MARKS, "--seed", str(seed))
    before = linux_marked(lab)
    server = lab.serve("echo:7", workers=1)
    stage.echo_through_half_close(lab.connect(host, 7), TOTAL, seed)
    counted = tcp_counters(lab)
    stage.drain(server)
    after = linux_marked(lab)
    relay.end()
    found = json.loads(relay.stdout.splitlines()[-1])
    stage.note(f"relay: {found}")
    family = "Ip6" if ":" in host else "IpExt"
    grown = {key: after[key] - before[key] for key in after if key.startswith(family)}
    if not marked:
        expect(found["a_to_b"]["marked"] + found["b_to_a"]["marked"] == 0, "nobody asked for ECN, and packets say ECT")
        expect(not any(grown.values()), f"nobody asked for ECN, but Linux counted {grown}")
        return
    for direction in ("a_to_b", "b_to_a"):
        expect(found[direction]["marked"] > 10, f"few packets said ECT {direction}: {found[direction]}")
    expect(all(count > 10 for count in grown.values()), f"Linux saw {grown}")
    expect(counted["ce_segments_in"] > 10, f"we saw {counted['ce_segments_in']} marks")
    expect(counted["ecn_reductions"] > 0, "no echo of Linux's brought our window down")
    expect(counted["rto_expiries"] == 0, f"{counted['rto_expiries']} timeouts without a loss")


def engine_asks(lab):
    relay = lab.relay(*MARKS, "--seed", "9")
    before = linux_marked(lab)
    peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
    peer.wait_for_line("^ready$", 10)
    done = lab.run("engine", [
        stage.fourtuple(), "load", "stream", f"{stage.LINUX_V4}:9", *stage.ATTACH, "-c", "1", "-d", "2s", "--ecn", "on",
        "--congestion", "dctcp", "--json",
    ], within_s=30)
    expect(json.loads(done.stdout)["operations"] > 0, "nothing went across")
    peer.end()
    relay.end()
    found = json.loads(relay.stdout.splitlines()[-1])
    expect(found["a_to_b"]["marked"] > 10, f"our SYN asked, and our data does not say ECT: {found['a_to_b']}")
    grown = linux_marked(lab)["IpExtInCEPkts"] - before["IpExtInCEPkts"]
    expect(grown > 10, f"Linux saw {grown} marks")


def check():
    with stage.Lab("--relay") as lab:
        # Linux's default agrees when it is asked; 1 asks, too.
        lab.run("linux", ["sysctl", "-qw", "net.ipv4.tcp_ecn=2"])
        with_linux(lab, stage.ENGINE_V4, 1, marked=False)
        engine_asks(lab)
        lab.run("linux", ["sysctl", "-qw", "net.ipv4.tcp_ecn=1"])
        with_linux(lab, stage.ENGINE_V4, 2, marked=True)
        with_linux(lab, stage.ENGINE_V6, 3, marked=True)


stage.main(check)
