"""Connections that are opened, asked once and closed, as fast as one worker an end can, for $SOAK_MINUTES (10): then everything is back
where it was, memory too.

Two processes over memif, a core each, so that the server stays to be asked when its client is gone.
"""

import json
import os
import pathlib
import tempfile
import time

import accounts
import stage
import two_processes
from stage import expect

TIME_LIMIT_S = 240
LASTS_MINUTES = 10
LOOK_S = 5
PROGRESS_S = 60
WARM_UP_S = 10
# TIME_WAIT keeps a four-tuple for two seconds: of 300,000 a second, from 4,094 addresses behind the client.
SOURCES = "10.64.0.0/20"
# What the process may take more at the end than when it was warm: stacks and the stats endpoint, no record.
MAY_GROW = 1 << 20


def port(role, path):
    return f"vdev:net_memif0,role={role},id=0,socket={path},socket-abstract=no,rsize=12"


def memory(process):
    """Bytes of the process: resident, and in huge pages."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("VmRSS", "HugetlbPages")))


def crr(lab, path, seconds, name):
    return lab.start("engine", name, [
        stage.fourtuple(), "load", "crr", f"{two_processes.SERVER_IP}:7", "--ip", f"{two_processes.CLIENT_IP}/24", "--src-range", SOURCES, "--msl", "1s", "--cores", "0",
        "--idle", idle(), "--port", port("client", path), "-c", "64", "-s", "64", "--verify", "-d", f"{seconds}s", "--json",
    ])


def idle():
    return "poll" if (os.cpu_count() or 1) > 1 else "adaptive"


def finished(client, seconds):
    expect(client.wait(seconds + 60) == 0, f"{client.name} ended with {client.process.returncode}: {stage.last_line(client.stderr)}")
    found = json.loads(client.stdout)
    expect(not any(found["errors"].values()), f"{client.name}: errors {found['errors']}")
    return found


def watch(lab, server, client, seconds):
    """At each look verdicts add up, and no counter falls."""
    began = shown = time.monotonic()
    last = lab.stats()
    while client.process.poll() is None:
        time.sleep(LOOK_S)
        server.expect_running()
        now = lab.stats()
        accounts.verdicts_add_up(now)
        accounts.none_falls(last, now)
        last = now
        expect(time.monotonic() - began < seconds + 60, "the client does not end")
        if time.monotonic() - shown >= PROGRESS_S:
            stage.progress(f"after {time.monotonic() - began:4.0f} s: {accounts.total(now, 'accepts')} connections, {memory(server.process) >> 20} MiB")
            shown = time.monotonic()


def check():
    seconds = int(float(os.environ.get("SOAK_MINUTES", LASTS_MINUTES)) * 60)
    with tempfile.TemporaryDirectory() as folder, stage.Lab() as lab:
        path = f"{folder}/memif"
        cores = ["--cores", "1"] if (os.cpu_count() or 1) > 1 else []
        server = lab.start("engine", "serve", [
            stage.fourtuple(), "serve", "echo:7", "--ip", f"{two_processes.SERVER_IP}/24", "--gateway", two_processes.CLIENT_IP, "--workers", "1", *cores, "--idle", idle(), "--syn-queue", "16384",
            "--max-connections", "65536", "--port", port("server", path),
        ])
        two_processes.await_listening(server)
        finished(crr(lab, path, WARM_UP_S, "warm-up"), WARM_UP_S)
        start, warm = accounts.nothing_left(lab, within_s=90), memory(server.process)

        client = crr(lab, path, seconds, "churn")
        watch(lab, server, client, seconds)
        made = finished(client, seconds)
        end, after = accounts.nothing_left(lab, within_s=90), memory(server.process)

        accounts.connections_add_up(end)
        accounts.as_at_the_start(start, end)
        accepts = accounts.total(end, "accepts") - accounts.total(start, "accepts")
        # What was under way when time was over is no operation, and each may have opened its next.
        expect(made["operations"] <= accepts <= made["operations"] + 2 * 64, f"{accepts} accepts for {made['operations']} connections")
        expect(after <= warm + MAY_GROW, f"the server took {warm} bytes when it was warm, and {after} at the end")
        stage.drain(server)

        latency = {name: f"{value / 1e6:.2f}" for name, value in made["latency_ns"].items()}
        stage.record(
            f"{seconds // 60} min {seconds % 60} s, one worker an end, two processes over memif.\n\n"
            f"{accepts} connections, {made['operations_per_s']:.0f} a second, each asked once and closed by FINs; p50 {latency['p50']} ms, "
            f"p99 {latency['p99']} ms, max {latency['max']} ms. No error, nothing left, every pool full again; the server's memory "
            f"{warm / 2**20:.1f} MiB warm, {after / 2**20:.1f} MiB at the end.\n"
        )  # fmt: skip


stage.main(check)
