"""Two processes over memif, either role on either side, 1 and 2 queues: 100 MiB verified, 1,000 connections, kills and returns."""

import os
import pathlib
import signal
import tempfile
import time

import stage
import two_processes
from stage import expect

TIME_LIMIT_S = 90


def port(role, path):
    return f"vdev:net_memif0,role={role},id=0,socket={path},socket-abstract=no"


def other(role):
    return {"server": "client", "client": "server"}[role]


def serve(lab, role, path, workers, name):
    server = two_processes.serve(lab, port(role, path), workers, name)
    two_processes.await_listening(server)
    return server


def transfers(lab, role, path, workers):
    server = serve(lab, role, path, workers, f"serve_{role}_{workers}")
    two_processes.transfer(lab, port(other(role), path), workers, f"serve is {role}, {workers} queues")
    stage.drain(server)


def kills(lab, role, path):
    """The peer is killed in the middle, then the server; who stays is neither hurt nor stuck."""
    def all_come():
        back = two_processes.load(lab, port(other(role), path), 1, "crr", "-c", "8", "-n", 200)
        expect(back["operations"] == 200, "not all came back")

    server = serve(lab, role, path, 1, f"killed_{role}")
    words = two_processes.load_words(port(other(role), path), 1, "rr", "-c", "8", "-d", "20s")
    peer = lab.start("engine", f"killed_peer_{role}", words)
    # Frames are on their way as soon as connections are there.
    deadline = time.monotonic() + 10
    while lab.stats()["totals"]["accepts"] < 8:
        expect(time.monotonic() < deadline, "no connection came")
        time.sleep(0.05)
    peer.signal(signal.SIGKILL)
    peer.wait(5)
    all_come()
    server.expect_running()
    server.signal(signal.SIGKILL)
    server.wait(5)
    again = serve(lab, role, path, 1, f"again_{role}")
    all_come()
    stage.drain(again)


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


stage.main(check)
