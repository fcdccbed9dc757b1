"""What two of our processes, joined by a port that both map into memory, have to carry: 100 MiB verified, and 1,000 connections."""

import json

import stage
from stage import expect

SERVER_IP, CLIENT_IP = "10.98.0.1", "10.98.0.2"
REQUEST, REQUESTS = 65536, 1600  # 100 MiB
CONNECTIONS, CONCURRENT = 1000, 20


def serve(lab, port, workers, name, *words):
    return lab.start("engine", name, [
        stage.fourtuple(), "serve", "echo:7", "--ip", f"{SERVER_IP}/24", "--workers", workers, "--idle", "adaptive", "--port", port, *words,
    ])


def await_listening(server):
    server.wait_for_line(rf"^listening echo {SERVER_IP}:7", 20)


def load_words(port, workers, pattern, *words):
    return [
        stage.fourtuple(), "load", pattern, f"{SERVER_IP}:7", "--ip", f"{CLIENT_IP}/24", "--workers", workers, "--idle", "adaptive",
        "--port", port, "--timeout", "5s", "--json", *words,
    ]


def load(lab, port, workers, pattern, *words):
    found = json.loads(lab.run("engine", load_words(port, workers, pattern, *words), within_s=30).stdout)
    expect(not any(found["errors"].values()), f"{pattern}: errors {found['errors']}")
    return found


def transfer(lab, port, workers, what, *words):
    """100 MiB and the connections from a client on `port`; every frame has one verdict then, and every connection was counted."""
    before = lab.stats()["totals"]["accepts"]
    bulk = load(lab, port, workers, "rr", "-c", 4, "-n", REQUESTS, "-s", REQUEST, "--verify", *words)
    expect(bulk["operations"] == REQUESTS, f"{bulk['operations']} of {REQUESTS} requests")
    opened = load(lab, port, workers, "crr", "-c", CONCURRENT, "-n", CONNECTIONS, *words)
    expect(opened["operations"] == CONNECTIONS, f"{opened['operations']} of {CONNECTIONS} connections")
    stage.progress(f"{what}: 100 MiB {bulk['duration_s']:.2f} s, {CONNECTIONS} connections {opened['duration_s']:.2f} s")
    expect_sums(lab.stats(), before + 4 + CONNECTIONS)


def expect_sums(snapshot, accepts):
    for worker in snapshot["workers"]:
        told = worker["consumed"] + worker["steered_out"] + sum(worker["dropped"].values())
        expect(worker["rx_packets"] + worker["steered_in"] == told, f"a frame without a verdict: {worker}")
    totals = snapshot["totals"]
    # A run that counts operations may have opened the next ones when the last is done.
    beyond = totals["accepts"] - accepts
    expect(0 <= beyond <= CONCURRENT, f"{totals['accepts']} connections were accepted, not {accepts}")
    expect(totals["dropped"]["bad_tcp_checksum"] == 0, "frames were damaged on the way")
