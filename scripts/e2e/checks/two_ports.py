"""serve on two ports at once: two veth pairs into two namespaces, then a veth pair and a tap; every connection where it belongs."""

import json
import os
from contextlib import contextmanager

import stage

TIME_LIMIT_S = 60
CONNECTIONS, CONCURRENCY = 1_000, 20
SECOND_V4, SECOND_V6 = "10.98.0.2", "fd98::2"
VETH = ("--iface", "v0", "--iface", "w0")


def addresses(second):
    words = []
    for address in (f"{stage.ENGINE_V4}/24%v0", f"{stage.ENGINE_V6}/64%v0", f"{SECOND_V4}/24%{second}", f"{SECOND_V6}/64%{second}"):
        words += ["--ip", address]
    return words


@contextmanager
def second_namespace(lab):
    """A namespace of its own with w1; w0 is the engine's end."""
    name = f"{lab.namespace('engine')}-2"
    stage.run(["ip", "netns", "add", name])
    try:
        stage.run(["ip", "-n", lab.namespace("engine"), "link", "add", "w0", "numrxqueues", "2", "numtxqueues", "2",
                   "type", "veth", "peer", "name", "w1", "netns", name])
        lab.run("engine", ["sysctl", "-qw", "net.ipv6.conf.w0.disable_ipv6=1"])
        lab.run("engine", ["ip", "link", "set", "w0", "up"])
        inside = ["ip", "netns", "exec", name]
        offloads(inside, "w1")
        stage.run([*inside, "ip", "link", "set", "lo", "up"])
        stage.run([*inside, "ip", "link", "set", "w1", "up"])
        stage.run([*inside, "ip", "address", "add", "10.98.0.1/24", "dev", "w1"])
        stage.run([*inside, "ip", "-6", "address", "add", "fd98::1/64", "dev", "w1", "nodad"])
        yield inside
    finally:
        stage.Program.end_all()
        stage.run(["ip", "netns", "delete", name], expect_code=None)


def offloads(inside, iface):
    stage.run([*inside, "ethtool", "-K", iface, "tx", "off", "tso", "off", "gso", "off"], expect_code=None)


def serve(lab, ports, second, name):
    server = lab.start("engine", name, [
        stage.fourtuple(), "serve", "http:80", *ports, *addresses(second), "--workers", "2",
    ])
    server.wait_for_line(r"^listening http ", 20)
    return server


def exercise(lab, server, second):
    """`ab` and curl on both links at once; `second` is how to get into the second's namespace."""
    both = ((lab.on("linux", []), stage.ENGINE_V4, stage.ENGINE_V6), (second, SECOND_V4, SECOND_V6))
    runs = [stage.Program(f"ab-{server.name}-{n}", [*inside, "ab", "-q", "-n", str(CONNECTIONS), "-c", str(CONCURRENCY), f"http://{v4}/"])
            for n, (inside, v4, _) in enumerate(both)]
    for run in runs:
        stage.expect(run.wait(20) == 0, f"{run.name}: {stage.last_line(run.stderr)}")
        stage.expect(f"Complete requests:      {CONNECTIONS}\nFailed requests:        0" in run.stdout, f"{run.name}: requests failed")
    for inside, _, v6 in both:
        stage.run([*inside, "curl", "-s", "-m", "5", "-o", "/dev/null", "--fail", f"http://[{v6}]/"])
    # An address of the other link is nobody's here, however it comes.
    stage.run([*second, "ip", "route", "replace", f"{stage.ENGINE_V4}/32", "via", SECOND_V4], expect_code=None)
    done = stage.run([*second, "curl", "-s", "-m", "1", f"http://{stage.ENGINE_V4}/"], expect_code=None)
    stage.expect(done.returncode == 28, f"an address of the other port answered ({done.returncode})")
    stats = lab.stats()
    totals, ports = stats["totals"], stats["ports"]
    # `ab` opens a few that it never uses.
    beyond = totals["accepts"] - 2 * CONNECTIONS - 2
    stage.expect(0 <= beyond <= 2 * CONCURRENCY, f"{totals['accepts']} connections were accepted")
    stage.expect(totals["dropped"]["not_our_address"] > 0, "the stray SYN was not counted")
    stage.expect(len(ports) == 2 and ports[0]["name"] != ports[1]["name"], f"ports are {json.dumps(ports)}")
    for number in ("rx_packets", "tx_packets", "rx_bytes"):
        sums = [port[number] for port in ports]
        stage.expect(sum(sums) == stats["port"][number], f"{number}: {sums} are not {stats['port'][number]} together")
        stage.expect(min(sums) > CONNECTIONS, f"{number}: {sums}")
    verdicts = totals["consumed"] + totals["steered_out"] + sum(totals["dropped"].values())
    stage.expect(totals["rx_packets"] + totals["steered_in"] == verdicts, "packets in are not the sum of verdicts")
    status, text = lab.get("/metrics")
    stage.expect(status == 200 and text.count("fourtuple_port_rx_packets_total{") == 2, "/metrics does not tell ports apart")


def refused(lab):
    """What is not clear is one line and exit 2."""
    for words in (
        [*VETH, "--ip", "10.99.0.2/24"],
        [*VETH, "--ip", "10.99.0.2/24%v0"],
        [*VETH, "--ip", "10.99.0.2/24%v0", "--ip", "10.98.0.2/24%x0"],
        ["--iface", "v0", "--iface", "v0", "--ip", "10.99.0.2/24%v0"],
        [*VETH, *addresses("w0"), "--mac", "02:00:00:00:00:07"],
    ):
        done = lab.run("engine", [stage.fourtuple(), "serve", "echo", *words], expect_code=2)
        stage.expect(len(done.stderr.strip().splitlines()) == 1, f"more than one line: {done.stderr!r}")
    # The second can't be attached: nothing of the first is left behind.
    lab.run("engine", [stage.fourtuple(), "serve", "echo", "--iface", "v0", "--iface", "nosuch0",
                       "--ip", "10.99.0.2/24%v0", "--ip", "10.98.0.2/24%nosuch0"], expect_code=3)


def check():
    stage.need("curl", "ab")
    with stage.Lab("--queues", "2") as lab, second_namespace(lab) as second:
        refused(lab)
        server = serve(lab, VETH, "w0", "veths")
        exercise(lab, server, second)
        stage.drain(server)
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            return
        # The kernel's end has the device's own address.
        tap = ("--port", "vdev:net_tap0,iface=ftap0", "--mac", "02:00:00:00:00:98%net_tap0")
        server = serve(lab, ("--iface", "v0", *tap), "net_tap0", "tap")
        inside = lab.on("engine", [])
        offloads(inside, "ftap0")
        stage.run([*inside, "ip", "address", "add", "10.98.0.1/24", "dev", "ftap0"])
        stage.run([*inside, "ip", "-6", "address", "add", "fd98::1/64", "dev", "ftap0", "nodad"])
        stage.run([*inside, "ip", "link", "set", "ftap0", "up"])
        exercise(lab, server, inside)
        stage.drain(server)


stage.main(check)
