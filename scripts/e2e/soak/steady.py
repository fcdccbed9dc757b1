"""wrk and `fourtuple load crr` against one `serve` of two workers for $SOAK_MINUTES (10); then every counter adds up.

The generator is a second engine on Linux's end of the veth, with an Ethernet and an IP address of its own, so that what
it sends and what Linux's TCP sends come to the server over the same two queues.
"""

import json
import os
import re
import time

import accounts
import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 240
LASTS_MINUTES = 10
GENERATOR = ("--iface", "v1", "--driver", "af_packet", "--mac", "02:00:00:00:09:09", "--ip", "10.99.0.9/24", "--ip", "fd99::9/64")
# On two cores clients and server wait for each other; wrk counts an answer that took its 2 s as an error.
WRK_TIMEOUT_S = 10
LOOK_S = 5
PROGRESS_S = 60
WARM_UP = 200


def sent_to_us(lab):
    """Frames that Linux's end of the veth passed on to ours, whoever sent them."""
    found = json.loads(lab.run("linux", ["ip", "-j", "-s", "link", "show", "v1"], quiet=True).stdout)
    return found[0]["stats64"]["tx"]["packets"]


def warm_up(lab):
    """Whatever is made once is made, and the neighbours are known."""
    for host in (ENGINE_V4, f"[{ENGINE_V6}]"):
        lab.run("linux", ["ab", "-q", "-n", WARM_UP, "-c", "10", "-s", "10", f"http://{host}/"])
    return accounts.nothing_left(lab)


def watch(lab, server, clients, seconds):
    """Looks at the counters while the clients run: verdicts add up at each look, and nothing falls."""
    began = shown = time.monotonic()
    last = lab.stats()
    while any(client.process.poll() is None for client in clients):
        time.sleep(LOOK_S)
        server.expect_running()
        expect(lab.get("/healthz")[0] == 200, f"/healthz answered {lab.get('/healthz')}")
        now = lab.stats()
        accounts.verdicts_add_up(now)
        accounts.none_falls(last, now)
        expect(time.monotonic() - began < seconds + 60, "the clients do not end")
        if time.monotonic() - shown >= PROGRESS_S:
            grown = {name: accounts.total(now, name) for name in ("rx_packets", "accepts", "connections", "time_wait", "steered_in")}
            stage.progress(f"after {time.monotonic() - began:4.0f} s: {grown}")
            shown = time.monotonic()
        last = now


def tell_troubles(lab, before):
    """For the log: what was sent again, and what the kernel dropped on the way, should a client complain."""
    now, after = lab.stats(), lab.linux_counters()
    for group in ("retransmits_rto", "retransmits_fast", "retransmits_syn", "rto_expiries", "duplicates_in", "timeouts"):
        stage.note(f"server {group}: {accounts.tcp(now, group)}")
    stage.note(f"longest turn: {[worker['longest_turn_ns'] / 1e6 for worker in now['workers']]} ms; port {now['port']}")
    stage.note(f"dropped: {[{k: v for k, v in worker['dropped'].items() if v} for worker in now['workers']]}")
    grown = {key: value - before.get(key, 0) for key, value in after.items() if key.startswith(("Tcp", "Ip")) and value != before.get(key, 0)}
    stage.note(f"Linux: {grown}")
    for side, interface in (("engine", "v0"), ("linux", "v1")):
        lab.run(side, ["ip", "-s", "link", "show", interface])


def wrk_result(text, host):
    bad = [line.strip() for line in text.splitlines() if "Socket errors" in line or "Non-2xx" in line]
    expect(not bad, f"wrk at {host}: {bad}")
    slowest = re.search(r"Latency\s+\S+\s+\S+\s+(\S+)", text)[1]
    return int(re.search(r"(\d+) requests in", text)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), slowest


def crr_result(text):
    found = json.loads(text)
    expect(found["operations"] > 0, "crr did nothing")
    expect(not any(found["errors"].values()), f"crr: errors {found['errors']}")
    return found


def check():
    stage.need("wrk", "ab", "curl", "nstat")
    seconds = int(float(os.environ.get("SOAK_MINUTES", LASTS_MINUTES)) * 60)
    with stage.Lab("--queues", "2") as lab:
        server = lab.serve("http:80", "echo:7", workers=2, flags=["--msl", "100ms", "--idle", "adaptive"])
        start = warm_up(lab)
        frames, before = sent_to_us(lab), lab.linux_counters()
        clients = [
            lab.start("linux", f"wrk-{family}", ["wrk", "-t", "1", "-c", "50", "-d", f"{seconds}s", "--timeout", f"{WRK_TIMEOUT_S}s", f"http://{host}/"])
            for family, host in (("v4", ENGINE_V4), ("v6", f"[{ENGINE_V6}]"))
        ]
        crr = lab.start("linux", "crr", [
            stage.fourtuple(), "load", "crr", f"{ENGINE_V4}:7", *GENERATOR, "-c", "16", "-d", f"{seconds}s", "--msl", "100ms",
            "--verify", "--json",
        ])  # fmt: skip
        watch(lab, server, [*clients, crr], seconds)
        for client in (*clients, crr):
            expect(client.wait(30) == 0, f"{client.name} ended with {client.process.returncode}: {stage.last_line(client.stderr)}")
        tell_troubles(lab, before)
        (v4, v4_rate, v4_max), (v6, v6_rate, v6_max) = wrk_result(clients[0].stdout, "v4"), wrk_result(clients[1].stdout, "v6")
        made = crr_result(crr.stdout)
        # What crr had begun to open when its time was over, nobody knows any more: such a record lives for 75 s.
        end = accounts.nothing_left(lab, within_s=90)
        frames = sent_to_us(lab) - frames

        accounts.connections_add_up(end)
        accounts.as_at_the_start(start, end)
        grown = {name: accounts.total(end, name) - accounts.total(start, name) for name in ("rx_packets", "accepts", "resets_received", "syns_received")}
        missed = end["port"]["rx_missed"] - start["port"]["rx_missed"]
        stage.note(f"{frames} frames sent to us, {missed} missed, {grown}")
        expect(frames == grown["rx_packets"] + missed, f"{frames} frames were sent to us, {grown['rx_packets']} received and {missed} missed")
        expect(end["port"]["rx_packets"] == accounts.total(end, "rx_packets"), "the port and the workers disagree about what was received")
        # wrk opens 50 a family and keeps them; crr one an operation, and what was under way at the end.
        least = made["operations"] + 100
        expect(least <= grown["accepts"] <= least + 100, f"{grown['accepts']} accepts for {least} connections")
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
        stage.drain(server)

        latency = {name: f"{value / 1e6:.1f}" for name, value in made["latency_ns"].items()}
        stage.record(
            f"{seconds // 60} min {seconds % 60} s, two workers, all on one machine (no figure of speed: clients and server share its cores).\n\n"
            "| client | done | a second | latency |\n|---|---|---|---|\n"
            f"| wrk -c 50, http over IPv4 | {v4} requests | {v4_rate:.0f} | max {v4_max} |\n"
            f"| wrk -c 50, http over IPv6 | {v6} requests | {v6_rate:.0f} | max {v6_max} |\n"
            f"| fourtuple load crr -c 16 --verify | {made['operations']} connections | {made['operations_per_s']:.0f} "
            f"| p50 {latency['p50']} ms, p99 {latency['p99']} ms, max {latency['max']} ms |\n\n"
            f"Frames sent to us {frames} = received {grown['rx_packets']} + missed {missed}; accepts {grown['accepts']}, "
            "all of them over; no error; pools full, tables and wheel as at the start.\n"
        )  # fmt: skip


stage.main(check)
