"""The rows of docs/PERFORMANCE.md: what each measures, and its target.

`measure(bench)` gives a dictionary; what is shown of it is said by `page.py`. A row that can't be measured here raises
`Unmeasured` with the reason: it stays in the table.
"""

import pathlib
import re
import time
from dataclasses import dataclass
from typing import Callable

from samples import Unmeasured, memory_of

HERE = pathlib.Path(__file__).resolve().parent


@dataclass
class Row:
    name: str
    what: str
    target: str
    measure: Callable


def of_demo(report):
    """What is kept of a report of `demo`."""
    kept = {
        "operations_per_s": report["operations_per_s"],
        "latency_ns": report.get("latency_ns"),
        "errors": sum(report["errors"].values()),
        "operations": report["operations"],
        "bits_per_s": report.get("bits_per_s"),
        "cost_ns": report["server"]["busy_ns_per_operation"],
        "reserved_bytes": report["server"]["resident_bytes_per_connection"],
    }
    if kept["errors"] * 1000 > kept["operations"]:
        raise RuntimeError(f"{kept['errors']} of {kept['operations']} operations failed: {report['errors']}")
    return kept


def duration(seconds):
    return f"{round(seconds * 1000)}ms"


def exchange(connections, *flags, warmup=0.3):
    def measure(bench):
        flags_of_all = ["-c", connections, "-s", 64, "--verify", "--warmup", duration(warmup), "-d", duration(bench.seconds(4, 1)), "--timeout", "20s"]
        return bench.sample(lambda: of_demo(bench.demo("rr", *flags_of_all, *flags)))

    return measure


def many(connections):
    def measure(bench):
        if bench.quick and connections > 10_000:
            raise Unmeasured("left out by --quick: opening them takes longer than the sample")
        return exchange(connections, "--ramp", duration(connections / 250_000), warmup=3)(bench)

    return measure


def connect_each(*flags):
    def measure(bench):
        return bench.sample(lambda: of_demo(bench.demo("crr", "-c", 64, "-s", 64, "--verify", "-d", duration(bench.seconds(4, 1)), *flags)))

    return measure


def bulk(*flags):
    def measure(bench):
        def take():
            kept = of_demo(bench.demo("stream", "-c", 1, "-d", duration(bench.seconds(4, 1)), *flags))
            kept["gbit_per_s"] = max(kept["bits_per_s"].values()) / 1e9
            return kept

        return bench.sample(take)

    return measure


def sizes(bench):
    """Cost and bits by the size of a message."""
    points = []
    for size in (16, 64, 256, 1024, 4096, 16384):
        take = lambda: of_demo(bench.demo("rr", "-c", 64, "-s", size, "--warmup", "200ms", "-d", duration(bench.seconds(2, 0.5))))  # noqa: B023, E731
        kept = bench.sample(take)
        points.append({"size": size, "cost_ns": kept["cost_ns"], "operations_per_s": kept["operations_per_s"], "state": kept["state"]})
    return {"points": points}


def hold(connections):
    def measure(bench):
        if bench.quick and connections > 100_000:
            raise Unmeasured("left out by --quick: opening them takes longer than three minutes")
        import subprocess

        command = [bench.fourtuple, "demo", "hold", "-c", connections, "-d", duration(max(2, bench.seconds(4))), "--ramp", duration(connections / 250_000), "--json", "--timeout", "20s"]
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        most, began = 0, time.monotonic()
        while process.poll() is None:
            if time.monotonic() - began > 300:
                process.kill()
            try:
                most = max(most, memory_of(process.pid))
            except (OSError, ValueError, IndexError):
                pass
            time.sleep(0.1)
        out, err = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"hold ended with {process.returncode}: {(err.strip().splitlines() or [''])[-1]}")
        import json

        report = json.loads(out)
        return {
            "connections": connections,
            "operations": report["operations"],
            "reserved_bytes": report["server"]["resident_bytes_per_connection"],
            # Both ends, their pools and their application's state, the program itself.
            "os_bytes_both_ends": most / connections,
        }

    return measure


def records(bench):
    text = bench.run([bench.micro, "memory", "-c", 1_000_000])
    parts = {}
    for line in text.splitlines()[1:]:
        if match := re.match(r"(.*?)\s+(\d+)\s+([\d.]+)$", line):
            parts[match.group(1)] = float(match.group(3))
    return {"bytes": parts}


def stages(bench):
    flags = [] if bench.quick else ["--million"]

    def take():
        text = bench.run([bench.micro, "times", "--plain", *flags])
        return {"ns": {name: float(ns) for name, _, ns in (line.split() for line in text.splitlines())}}

    return bench.sample(take)


def instructions(bench):
    baselines = sorted((bench.root / "bench/micro/baselines").glob("*.toml"))
    text = bench.run([bench.micro, "counts"], within_s=240, codes=(0, 1, 3))
    counts = {}
    for line in text.splitlines()[1:]:
        if match := re.match(r"(\w+)\s+([\d.]+)", line):
            counts[match.group(1)] = float(match.group(2))
    if not counts:
        raise Unmeasured("valgrind is not there")
    return {"instructions": counts, "baselines": [path.name for path in baselines]}


def epoll_loopback(bench):
    return of_epoll(bench, ([], "127.0.0.1"), ([], "127.0.0.1"))


def epoll_veth(bench):
    with bench.namespaces() as (server, client):
        return of_epoll(bench, server, client)


def of_epoll(bench, server, client):
    with bench.background([*server[0], bench.peers, "epoll-serve", f"{server[1]}:17007"]):
        ask = [*client[0], bench.peers, "epoll-ask", f"{server[1]}:17007", "-d", bench.seconds(4, 1)]
        exchanges = bench.sample(lambda: bench.json([*ask, "-c", 64]))
        connects = bench.sample(lambda: bench.json([*ask, "--connect"]))
    return {**exchanges, "connects_per_s": connects["operations_per_s"], "connect_latency_ns": connects["latency_ns"]}


def smoltcp(bench):
    seconds = bench.seconds(2, 0.5)
    take = lambda *flags: bench.json([bench.peers, "smoltcp", "-d", seconds, *flags])  # noqa: E731
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
    import shutil
    import tempfile

    if not shutil.which("wrk"):
        raise Unmeasured("wrk is not installed")
    seconds = max(1, round(bench.seconds(6, 2)))
    wrk = ["wrk", "-t", 1, "-c", 64, "-d", f"{seconds}s", "--latency"]
    with bench.lab() as (engine, linux):
        serve = [*engine, bench.fourtuple, "serve", "http:80", "--iface", "v0", "--ip", "10.99.0.2/24", "--workers", 1, "--stats", "off"]
        with bench.background(serve, ready="listening http"):
            ours = bench.sample(lambda: of_wrk(bench.run([*linux, *wrk, "http://10.99.0.2/"])))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not pathlib.Path(nginx).exists():
        raise Unmeasured("nginx is not installed")
    with bench.namespaces() as (server, client), tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        (pathlib.Path(folder) / "nginx.conf").write_text(NGINX.format(folder=folder))
        (pathlib.Path(folder) / "index.html").write_text("x" * 1000)
        with bench.background([*server[0], nginx, "-c", f"{folder}/nginx.conf"]):
            theirs = bench.sample(lambda: of_wrk(bench.run([*client[0], *wrk, f"http://{server[1]}/"])))
    return {"requests_per_s": ours["requests_per_s"], "nginx": theirs, "state": ours["state"], "p99": ours["p99"]}


def of_wrk(text):
    rate = re.search(r"Requests/sec:\s*([\d.]+)", text)
    p99 = re.search(r"99%\s+(\S+)", text)
    if not rate:
        raise RuntimeError("wrk told no rate")
    if wrong := re.search(r"Socket errors:.*|Non-2xx.*", text):
        raise RuntimeError(wrong.group(0))
    return {"requests_per_s": float(rate.group(1)), "p99": p99.group(1) if p99 else ""}


def not_yet(why):
    def measure(_bench):
        raise Unmeasured(why)

    return measure


ALL = [
    Row("rr_64", "request and response of 64 B, 64 connections, handler on the worker", "cost ≤ 90 ns NEAR, ≤ 150 FAR; ≥ 5 M/s", exchange(64)),
    Row("rr_10k", "the same, 10 k connections, random order", "≤ +10 ns", many(10_000)),
    Row("rr_1m", "the same, 1 M connections", "≤ +45 ns", many(1_000_000)),
    Row("rr_10m", "the same, 10 M connections", "≤ +60 ns", not_yet("`demo` holds at most 1 M or so on 24 GiB: a connection of both ends takes too much memory yet (see docs/tuning.md)")),
    Row("crr", "connect, one exchange of 64 B, close: FIN both ways, the client keeps TIME_WAIT", "cost ≤ 600 ns; ≥ 1 M/s", connect_each()),
    Row("crr_rst", "the same, ended by RST", "–", connect_each("--close", "rst")),
    Row("bulk_in", "bulk to the server, one connection, MSS 1448, checksums in software", "≥ 60 Gb/s", bulk()),
    Row("bulk_out", "bulk from the server", "≥ 60 Gb/s", bulk("--reverse")),
    Row("sizes", "rr by the size of a message, 64 connections", "–", sizes),
    Row("memory", "bytes of a connection by what they are for, one end made for 1 M", "≤ 208 B", records),
    Row("hold_1m", "1 M established connections, both ends in one process, memory as the OS sees it", "≤ 208 B an end", hold(1_000_000)),
    Row("hand_off", "hand-off of one event to an endpoint and one command back", "≤ 30 ns", not_yet("generator and endpoint are not stepped on one thread yet")),
    Row("latency_10", "added latency at 10 % load", "p50 ≤ 1 µs, p99 ≤ 5 µs", not_yet("`demo` has no rate (-R) yet")),
    Row("http", "HTTP keep-alive, wrk -c 64 through veth, 1,000-byte page", "≥ nginx", http),
    Row("generator", "the generator in open loop, one core", "2 M req/s, p99 lateness ≤ 10 µs", not_yet("there is no open loop yet")),
    Row("two_workers", "two workers against one", "instructions equal within 1 %", not_yet("needs three cores")),
    Row("stages", "stages of a turn, one core, tables warm", "–", stages),
    Row("instructions", "the same in instructions, under callgrind", "–", instructions),
    Row("epoll_lo", "Linux: epoll echo over loopback, 64 B, 64 connections, TCP_NODELAY", "peer", epoll_loopback),
    Row("epoll_veth", "Linux: the same over a veth pair", "peer", epoll_veth),
    Row("smoltcp", "smoltcp 0.12 in memory, both ends on one core", "peer", smoltcp),
    Row("floor", "DPDK's ring port without TCP: bursts of 32", "floor", floor),
]
