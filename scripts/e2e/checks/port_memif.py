"""Two processes over memif, either role on either side, 1 and 2 queues: 100 MiB verified, 1,200 connections, kills and returns."""

import json
import os
import pathlib
import signal
import tempfile
import time

import stage
from stage import expect

TIME_LIMIT_S = 90
SERVER_IP, CLIENT_IP = "10.98.0.1", "10.98.0.2"
REQUEST, REQUESTS = 65536, 1600  # 100 MiB
CONNECTIONS, CONCURRENT = 1200, 16


def port(role, path):
    return f"vdev:net_memif0,role={role},id=0,socket={path},socket-abstract=no"


def other(role):
    return {"server": "client", "client": "server"}[role]


def serve(lab, role, path, workers, name):
    server = lab.start("engine", name, [
        stage.fourtuple(), "serve", "echo:7", "--ip", f"{SERVER_IP}/24", "--workers", workers, "--idle", "adaptive",
        "--port", port(role, path),
    ])
    server.wait_for_line(rf"^listening echo {SERVER_IP}:7", 20)
    return server


def load_words(role, path, workers, *words):
    return [
        stage.fourtuple(), "load", *words, "--ip", f"{CLIENT_IP}/24", "--workers", workers, "--idle", "adaptive",
        "--port", port(role, path), "--timeout", "5s", "--json",
    ]


def load(lab, role, path, workers, *words):
    done = lab.run("engine", load_words(role, path, workers, *words), within_s=30)
    found = json.loads(done.stdout)
    expect(not any(found["errors"].values()), f"{words[0]}: errors {found['errors']}")
    return found["operations"]


def expect_sums(lab, accepts):
    """Every frame has one verdict, and every connection was counted."""
    snapshot = lab.stats()
    for worker in snapshot["workers"]:
        told = worker["consumed"] + worker["steered_out"] + sum(worker["dropped"].values())
        expect(worker["rx_packets"] + worker["steered_in"] == told, f"a frame without a verdict: {worker}")
    totals = snapshot["totals"]
    # A run that counts operations may have opened the next ones when the last is done.
    beyond = totals["accepts"] - accepts
    expect(0 <= beyond <= CONCURRENT, f"{totals['accepts']} connections were accepted, not {accepts}")
    expect(totals["dropped"]["bad_tcp_checksum"] == 0, "frames were damaged on the way")


def transfers(lab, role, path, workers):
    server = serve(lab, role, path, workers, f"serve_{role}_{workers}")
    bulk = load(lab, other(role), path, workers, "rr", f"{SERVER_IP}:7", "-c", "4", "-n", REQUESTS, "-s", REQUEST, "--verify")
    expect(bulk == REQUESTS, f"{bulk} of {REQUESTS} requests")
    opened = load(lab, other(role), path, workers, "crr", f"{SERVER_IP}:7", "-c", CONCURRENT, "-n", CONNECTIONS)
    expect(opened == CONNECTIONS, f"{opened} of {CONNECTIONS} connections")
    expect_sums(lab, 4 + CONNECTIONS)
    stage.drain(server)


def kills(lab, role, path):
    """The peer is killed in the middle, then the server; who stays is neither hurt nor stuck."""
    server = serve(lab, role, path, 1, f"killed_{role}")
    words = load_words(other(role), path, 1, "rr", f"{SERVER_IP}:7", "-c", "8", "-d", "20s")
    peer = lab.start("engine", f"killed_peer_{role}", words)
    # Frames are on their way as soon as connections are there.
    deadline = time.monotonic() + 10
    while lab.stats()["totals"]["accepts"] < 8:
        expect(time.monotonic() < deadline, "no connection came")
        time.sleep(0.05)
    peer.signal(signal.SIGKILL)
    peer.wait(5)
    expect(load(lab, other(role), path, 1, "crr", f"{SERVER_IP}:7", "-c", "8", "-n", 200) == 200, "not all came back")
    server.expect_running()
    server.signal(signal.SIGKILL)
    server.wait(5)
    again = serve(lab, role, path, 1, f"again_{role}")
    expect(load(lab, other(role), path, 1, "crr", f"{SERVER_IP}:7", "-c", "8", "-n", 200) == 200, "not all after the restart")
    stage.drain(again)


def free_huge_pages():
    found = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    return int(found.read_text()) if found.exists() else 0


def leftovers():
    folder = pathlib.Path("/dev/hugepages")
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def check():
    before = leftovers()
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.sock")
        for role in ("server", "client"):
            for workers in (1, 2):
                transfers(lab, role, path, workers)
            kills(lab, role, path)
        expect(not os.path.exists(path), "a socket's file was left behind by a server that ended well")
    expect(leftovers() == before, f"hugepage files were left behind: {leftovers()}")
    stage.note(f"free huge pages: {free_huge_pages()}")


stage.main(check)
