"""Two processes over virtio_user and vhost, the socket made by either, 1 and 2 queues: 100 MiB verified, 1,000 connections."""

import os
import tempfile
import time

import stage
import two_processes
from stage import expect

TIME_LIMIT_S = 60
# The virtio half shares its pools with the other process; on ordinary pages they lie in one file of the EAL's.
EAL = ("--eal", "--no-huge --no-shconf")
# Else each process draws one, and who comes back under another waits until the station that was known has been silent for three
# seconds (docs/operations.md, "What a hostile station on the link can do").
MAC = "02:00:00:00:00:62"


def vhost(path, queues, makes_socket):
    return f"vdev:net_vhost0,iface={path},queues={queues},client={int(not makes_socket)}"


def virtio(path, queues, makes_socket):
    return (
        f"vdev:net_virtio_user0,path={path},queues={queues},server={int(makes_socket)},"
        f"packed_vq=1,in_order=1,mrg_rxbuf=0,mac={MAC}"
    )


def await_socket(path, name):
    deadline = time.monotonic() + 10
    while not os.path.exists(path):
        expect(time.monotonic() < deadline, f"{name}: no socket")
        time.sleep(0.05)


def transfers(lab, path, workers, serving, vhost_makes):
    """`serve` has one half and `load` the other; a half of virtio that does not make the socket has to find it there."""
    halves = {"vhost": vhost(path, workers, vhost_makes), "virtio": virtio(path, workers, not vhost_makes)}
    here = halves.pop(serving)
    (there,) = halves.values()
    name = f"{serving}_serves_{'vhost' if vhost_makes else 'virtio'}_makes_{workers}"
    server = two_processes.serve(lab, here, workers, name, *EAL)
    if serving == "virtio":
        # Its half of virtio makes the socket, and `serve` listens only when the other half came: this one comes for that.
        await_socket(path, name)
        words = two_processes.load_words(there, workers, "rr", "-c", 1, "-n", 1, "--max-error-rate", "100%", *EAL)
        lab.run("engine", words, within_s=30, expect_code=None)
    two_processes.await_listening(server)
    two_processes.transfer(lab, there, workers, name, *EAL)
    stage.drain(server)


def check():
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        cases = ((1, "vhost", True), (1, "vhost", False), (1, "virtio", False), (2, "vhost", False))
        for number, (workers, serving, vhost_makes) in enumerate(cases):
            transfers(lab, os.path.join(folder, str(number)), workers, serving, vhost_makes)


stage.main(check)
