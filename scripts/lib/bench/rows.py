"""The rows of docs/PERFORMANCE.md: what each measures, and its target.

`measure(bench)` gives a dictionary; what is shown of it is said by `page.py`. A row that can't be measured here raises
`Unmeasured` with the reason: it stays in the table. `minutes` is what a row takes in full, about.
"""

import pathlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from typing import Callable

from samples import Unmeasured, memory_free


@dataclass
class Row:
    name: str
    what: str
    target: str
    minutes: float
    measure: Callable


def of_demo(report):
    """What is kept of a report of `demo`."""
    server = report["server"]
    kept = {
        "connections": report["connections"],
        "operations_per_s": report["operations_per_s"],
        "latency_ns": report.get("latency_ns"),
        "errors": sum(report["errors"].values()),
        "operations": report["operations"],
        "bits_per_s": report.get("bits_per_s"),
        "cost_ns": server["busy_ns_per_operation"],
        "reserved_bytes": server["resident_bytes_per_connection"],
        # Both ends, their pools and their application's state, the program itself.
        "os_bytes_both_ends": report["os_bytes"] / report["connections"],
        "left_connections": server["left_connections"],
        "client_limited": report["client_limited"],
    }
    if kept["errors"] * 1000 > kept["operations"]:
        raise RuntimeError(f"{kept['errors']} of {kept['operations']} operations failed: {report['errors']}")
    return kept


def duration(seconds):
    return f"{round(seconds * 1000)}ms"


# Both ends ask peers that say nothing for so long.
KEEPALIVE = ("--keepalive", "60s,10s,6")


def opening(connections):
    """How many are opened at a time: with the command's default a million waits for round trips, not for the engine."""
    return ("--opening", min(max(connections // 1000, 64), 1024))


def rr(connections, times, seconds, warmup=0.3, patience=3):
    """As many requests under way whatever the number of connections is, on connections drawn at random without replacement."""

    def measure(bench):
        flags = ["-c", connections, "--active", 64, "-s", 64, "--verify", "--timeout", "20s", *KEEPALIVE]
        flags += opening(connections)
        flags += ["--warmup", duration(bench.seconds(warmup, 0.2)), "-d", duration(bench.seconds(seconds, 0.7))]
        return bench.sample(lambda: of_demo(bench.demo("rr", *flags)), times, patience)

    return measure


def at_scale(connections, needs_gib, row):
    """A row that takes much memory, and more time than --quick has."""

    def measure(bench):
        if bench.quick:
            raise Unmeasured("left out by --quick: opening them takes longer than the sample")
        if memory_free() < needs_gib << 30:
            raise Unmeasured(f"both ends of {connections:,} connections need some {needs_gib} GiB, and {memory_free() >> 30} are free")
        found = row(bench)
        if found.get("left_connections"):
            raise RuntimeError(f"{found['left_connections']} connections were left at the end")
        return found

    return measure


def crr(*flags):
    # TIME_WAIT keeps a four-tuple for 2 MSL: of a million a second for two seconds, from 4,096 addresses.
    addresses = ("--src-range", "10.64.0.0/20", "--msl", "1s")

    def measure(bench):
        take = lambda: of_demo(bench.demo("crr", "-c", 64, "-s", 64, "--verify", "-d", duration(bench.seconds(3, 0.7)), *addresses, *flags))  # noqa: E731
        return bench.sample(take, 5)

    return measure


def bulk(*flags):
    def measure(bench):
        def take():
            kept = of_demo(bench.demo("stream", "-c", 1, "-d", duration(bench.seconds(3, 0.7)), *flags))
            kept["gbit_per_s"] = max(kept["bits_per_s"].values()) / 1e9
            return kept

        return bench.sample(take, 5)

    return measure


def sizes(bench):
    """Cost by the size of a message."""
    points = []
    for size in (16, 64, 256, 1024, 4096, 16384):
        take = lambda: of_demo(bench.demo("rr", "-c", 64, "-s", size, "--warmup", "200ms", "-d", duration(bench.seconds(1.5, 0.5))))  # noqa: B023, E731
        kept = bench.sample(take, 3)
        points.append({"size": size, **{key: kept[key] for key in ("cost_ns", "operations_per_s", "state")}})
    return {"points": points}


def hold(connections):
    def measure(bench):
        return of_demo(bench.demo("hold", "-c", connections, "-d", duration(4), "--timeout", "20s", *opening(connections), within_s=300))

    return measure


def memory(bench):
    text = bench.run([bench.micro, "memory", "-c", 200_000 if bench.quick else 1_000_000], within_s=200)
    parts, beside = {}, {}
    for line in text.splitlines()[1:]:
        if match := re.match(r"(.*?)\s+(\d+)\s+([\d.]+)$", line):
            of_parts = not match.group(1).startswith(("OS: ", "each "))
            (parts if of_parts else beside)[match.group(1)] = float(match.group(3))
    return {"bytes": parts, "beside": beside}


def times_of(bench, *flags, within_s=300):
    text = bench.run([bench.micro, "times", "--plain", *flags], within_s=within_s)
    return {name: float(ns) for name, _, ns in (line.split() for line in text.splitlines())}


def stages(bench):
    flags = ["--only", "frames,timers,stages,exchanges,bulk,crr,time-wait"] + ([] if bench.quick else ["--million"])
    return bench.sample(lambda: {"ns": times_of(bench, *flags)})


def hand_off(bench):
    def take():
        ns = times_of(bench, "--only", "stages,hand-off")
        wakes = words_of(bench.run([bench.micro, "wake", "-t", 200 if bench.quick else 2000]))
        return {
            "cost_ns": ns["handed_off_64"] - ns["handled_64"],
            "handed_off_ns": ns["handed_off_64"],
            "handler_ns": ns["handled_64"],
            "wake_ns": wakes,
            "wake_ratio": wakes["endpoint_p50"] / wakes["eventfd_p50"],
        }

    return bench.sample(take, 5)


def words_of(text):
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def latency(bench):
    def take():
        found = words_of(bench.run([bench.micro, "latency", "--load", 0.1, "-d", bench.seconds(3, 0.7)]))
        percentiles = {name: value for name, value in found.items() if name.startswith("p")}
        return {"p50_ns": found["p50"], "p99_ns": found["p99"], "max_ns": found["max"], "requests": found["requests"], "full_ns": found["full_ns"], "percentiles": percentiles,
                "lost_percent": found["lost_percent"], "undisturbed_p99_ns": found["undisturbed_p99"]}

    return bench.sample(take, 5)


def instructions(bench):
    baselines = sorted((bench.root / "bench/micro/baselines").glob("*.toml"))
    return {"instructions": bench.counts(), "baselines": [path.name for path in baselines]}


def two_workers(bench):
    counts = bench.counts()
    one, two = counts["exchange_64"], counts["exchange_64_of_two_workers"]
    return {"one": one, "two": two, "ratio": two / one}


def lossy(bench):
    """What scripts/goodput last wrote: it takes longer than all the rest."""
    text = (bench.root / "docs/PERFORMANCE.md").read_text()
    ratio = re.search(r"median of the ratios ([\d.]+)\*\*, 95 % interval ([\d.]+) to (\d+\.\d+)", text)
    command = re.search(r"`(scripts/goodput [^`]*)` on [^\n]*?(\d{4}-\d\d-\d\d), commit (\w+)", text)
    if not ratio or not command:
        raise Unmeasured("scripts/goodput has not written its section of docs/PERFORMANCE.md")
    median, least, most = map(float, ratio.groups())
    by_loss = [
        {"loss": float(loss), "ratio": float(of_linux)}
        for loss, of_linux in re.findall(r"^\| ([\d.]+)% \| [^|]*\| [\d.]+ \(([\d.]+)\) \|", text, re.MULTILINE)
    ]
    return {"ratio": median, "interval": [least, most], "by_loss": by_loss, "command": command[1], "of": f"{command[2]}, commit {command[3]}"}


def epoll_loopback(bench):
    return of_epoll(bench, ([], "127.0.0.1"), ([], "127.0.0.1"))


def epoll_veth(bench):
    with bench.namespaces() as (server, client):
        return of_epoll(bench, server, client)


def of_epoll(bench, server, client):
    with bench.background([*server[0], bench.peers, "epoll-serve", f"{server[1]}:17007"]):
        ask = [*client[0], bench.peers, "epoll-ask", f"{server[1]}:17007", "-d", bench.seconds(3, 0.7)]
        exchanges = bench.sample(lambda: bench.json([*ask, "-c", 64]), 3)
        connects = bench.sample(lambda: bench.json([*ask, "--connect"]), 3)
    return {**exchanges, "connects_per_s": connects["operations_per_s"], "connect_latency_ns": connects["latency_ns"]}


def smoltcp(bench):
    seconds = bench.seconds(2, 0.4)
    take = lambda *flags: bench.sample(lambda: bench.json([bench.peers, "smoltcp", "-d", seconds, *flags]), 3)  # noqa: E731
    return {
        "ns_a_side": {connections: take("-c", connections)["ns_a_side"] for connections in (1, 64, 1024)},
        "gbit_per_s": take("--bulk")["bits_per_s"] / 1e9,
    }


def floor(bench):
    """Forwarding without looking at anything: bursts over a ring port, one thread."""
    text = bench.run([bench.cycles])
    cycles = {}
    for line in text.splitlines():
        if match := re.match(r"\s*([\d.]+)\s+([\d.]+)\s+(.+?)\s*$", line):
            cycles[match.group(3)] = float(match.group(1))
    return {"cycles": cycles}


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 80 backlog=4096; location / {{ root {folder}; }} }}
}}
"""


def http(bench):
    """wrk in Linux's namespace against the engine, then against nginx in another, over a veth pair each."""
    if not shutil.which("wrk"):
        raise Unmeasured("wrk is not installed")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not pathlib.Path(nginx).exists():
        raise Unmeasured("nginx is not installed")
    wrk = ["wrk", "-t", 1, "-c", 64, "-d", f"{max(1, round(bench.seconds(5, 1)))}s", "--latency"]
    with bench.lab() as (engine, linux):
        serve = [*engine, bench.fourtuple, "serve", "http:80", "--iface", "v0", "--ip", "10.99.0.2/24", "--workers", 1, "--stats", "off"]
        with bench.background(serve, ready="listening http"):
            ours = bench.sample(lambda: of_wrk(bench.run([*linux, *wrk, "http://10.99.0.2/"])), 3)
    with bench.namespaces() as (server, client), tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        (pathlib.Path(folder) / "nginx.conf").write_text(NGINX.format(folder=folder))
        (pathlib.Path(folder) / "index.html").write_text("x" * 1000)
        with bench.background([*server[0], nginx, "-c", f"{folder}/nginx.conf"]):
            theirs = bench.sample(lambda: of_wrk(bench.run([*client[0], *wrk, f"http://{server[1]}/"])), 3)
    return {**ours, "nginx": theirs}


def of_wrk(text):
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    p99 = re.search(r"99%\s+(\S+)", text)
    if not rate:
        raise RuntimeError("wrk told no rate")
    if wrong := re.search(r"Socket errors:.*|Non-2xx.*", text):
        raise RuntimeError(wrong.group(0))
    return {"requests_per_s": float(rate.group(1)), "p99": p99.group(1) if p99 else ""}


MILLION = 1_000_000

ALL = [
    Row("rr_64", "request and response of 64 B, 64 connections, handler on the worker", "cost ≤ 90 ns NEAR, ≤ 150 FAR; ≥ 5 M/s", 0.4, rr(64, 5, 3)),
    Row("rr_10k", "the same, 10 k connections, 64 of them ask at a time, drawn at random without replacement", "≤ +10 ns", 0.4, rr(10_000, 5, 3)),
    Row("rr_1m", "the same, 1 M connections", "≤ +45 ns", 2, at_scale(MILLION, 3, rr(MILLION, 3, 4, warmup=2))),
    Row("rr_10m", "the same, 10 M connections, opened, asked and closed again; keep-alive armed at both ends", "≤ +60 ns; 10 M in 24 GiB", 3, at_scale(10 * MILLION, 15, rr(10 * MILLION, 1, 8, warmup=4, patience=0))),
    Row("crr", "connect, one exchange of 64 B, close: FIN both ways, the client keeps TIME_WAIT; MSL 1 s, 4,094 addresses", "cost ≤ 600 ns; ≥ 1 M/s", 0.4, crr()),
    Row("crr_rst", "the same, ended by RST", "–", 0.4, crr("--close", "rst")),
    Row("bulk_in", "bulk to the server, one connection, MSS 1448, checksums in software", "≥ 60 Gb/s", 0.4, bulk()),
    Row("bulk_out", "bulk from the server", "≥ 60 Gb/s", 0.4, bulk("--reverse")),
    Row("sizes", "rr by the size of a message, 64 connections", "–", 0.9, sizes),
    Row("memory", "an idle established connection, a half-open one, a TIME_WAIT record: what one end made for 1 M reserves, and what the OS says", "≤ 208 B; ≤ 64 B; ≤ 48 B", 0.5, memory),
    Row("hold_1m", "1 M established connections, both ends in one process, memory as the OS sees it", "≤ 208 B an end", 0.5, at_scale(MILLION, 3, hold(MILLION))),
    Row("hold_10m", "10 M of them", "in 24 GiB", 2.5, at_scale(10 * MILLION, 15, hold(10 * MILLION))),
    Row("hand_off", "what an exchange costs the worker more when an endpoint answers in place of the handler, stepped on one thread; waking a parked thread against a bare eventfd", "≤ 30 ns; ≤ 1.3 ×", 0.8, hand_off),
    Row("latency_10", "added latency, frame in to frame out, at 10 % load, open loop, one thread", "p50 ≤ 1 µs, p99 ≤ 5 µs", 0.4, latency),
    Row("lossy", "goodput beside Linux's CUBIC at 1 % random loss and 20 ms RTT, by scripts/goodput", "≥ 1.0 ×", 0, lossy),
    Row("http", "HTTP keep-alive, wrk -c 64 through veth, 1,000-byte page", "≥ nginx", 0.8, http),
    Row("two_workers", "two workers against one, instructions of an exchange of 64 B", "equal within 1 %", 1.5, two_workers),
    Row("instructions", "stages of a turn in instructions, under callgrind", "–", 0.1, instructions),
    Row("stages", "the same in nanoseconds, one core, tables warm", "–", 1.5, stages),
    Row("epoll_lo", "Linux: epoll echo over loopback, 64 B, 64 connections, one thread an end, TCP_NODELAY, all else as installed", "peer", 0.5, epoll_loopback),
    Row("epoll_veth", "Linux: the same over a veth pair", "peer", 0.5, epoll_veth),
    Row("smoltcp", "smoltcp 0.12 in memory, both ends on one core, checksums in software, no timestamps, no Ethernet", "peer", 0.6, smoltcp),
    Row("floor", "DPDK's ring port without TCP: bursts of 32", "floor", 0.2, floor),
]
