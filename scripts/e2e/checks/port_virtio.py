"""Two processes over virtio_user and vhost, the socket made by either, 1 and 2 queues: 100 MiB verified, 1,000 connections."""

import json
import os
import tempfile
import time

import stage
from stage import expect

TIME_LIMIT_S = 60
SERVER_IP, CLIENT_IP = "10.98.0.1", "10.98.0.2"
REQUEST, REQUESTS = 65536, 1600  # 100 MiB
CONNECTIONS, CONCURRENT = 1000, 20
# The virtio half shares its pools with the other process; on ordinary pages they lie in one file of the EAL's.
EAL = ("--eal", "--no-huge --no-shconf")


def vhost(path, queues, makes_socket):
    return f"vdev:net_vhost0,iface={path},queues={queues},client={int(not makes_socket)}"


def virtio(path, queues, makes_socket):
    return (
        f"vdev:net_virtio_user0,path={path},queues={queues},server={int(makes_socket)},"
        "packed_vq=1,in_order=1,mrg_rxbuf=0"
    )


def serve(lab, port, workers, name):
    return lab.start("engine", name, [
        stage.fourtuple(), "serve", "echo:7", "--ip", f"{SERVER_IP}/24", "--workers", workers, "--port", port, *EAL,
    ])


def await_socket(path, name):
    deadline = time.monotonic() + 10
    while not os.path.exists(path):
        expect(time.monotonic() < deadline, f"{name}: no socket")
        time.sleep(0.05)


def load(lab, port, workers, *words, but_errors=False):
    done = lab.run("engine", [
        stage.fourtuple(), "load", *words, "--ip", f"{CLIENT_IP}/24", "--workers", workers, "--port", port,
        "--timeout", "5s", "--json", *EAL,
    ], within_s=30, expect_code=None if but_errors else 0)
    if but_errors:
        return None
    found = json.loads(done.stdout)
    expect(not any(found["errors"].values()), f"{words[0]}: errors {found['errors']}")
    return found


def expect_sums(lab, accepts):
    """Every frame has one verdict, none was damaged, and every connection was counted."""
    snapshot = lab.stats()
    for worker in snapshot["workers"]:
        told = worker["consumed"] + worker["steered_out"] + sum(worker["dropped"].values())
        expect(worker["rx_packets"] + worker["steered_in"] == told, f"a frame without a verdict: {worker}")
    totals = snapshot["totals"]
    beyond = totals["accepts"] - accepts
    expect(0 <= beyond <= CONCURRENT, f"{totals['accepts']} connections were accepted, not {accepts}")
    expect(totals["dropped"]["bad_tcp_checksum"] == 0, "frames were damaged on the way")


def transfers(lab, path, workers, serving, vhost_makes):
    """`serve` has one half and `load` the other; a half of virtio that does not make the socket has to find it there."""
    halves = {"vhost": vhost(path, workers, vhost_makes), "virtio": virtio(path, workers, not vhost_makes)}
    here = halves.pop(serving)
    (there,) = halves.values()
    name = f"{serving}_serves_{'vhost' if vhost_makes else 'virtio'}_makes_{workers}"
    server = serve(lab, here, workers, name)
    if serving == "virtio":
        # Its half of virtio makes the socket, and `serve` listens only when the other half came: this one comes for that.
        await_socket(path, name)
        load(lab, there, workers, "rr", f"{SERVER_IP}:7", "-c", 1, "-n", 1, "--max-error-rate", "100%", but_errors=True)
    server.wait_for_line(rf"^listening echo {SERVER_IP}:7", 20)
    before = lab.stats()["totals"]["accepts"]
    bulk = load(lab, there, workers, "rr", f"{SERVER_IP}:7", "-c", 4, "-n", REQUESTS, "-s", REQUEST, "--verify")
    expect(bulk["operations"] == REQUESTS, f"{bulk['operations']} of {REQUESTS} requests")
    opened = load(lab, there, workers, "crr", f"{SERVER_IP}:7", "-c", CONCURRENT, "-n", CONNECTIONS)
    expect(opened["operations"] == CONNECTIONS, f"{opened['operations']} of {CONNECTIONS} connections")
    stage.progress(f"{name}: 100 MiB {bulk['duration_s']:.2f} s, {CONNECTIONS} connections {opened['duration_s']:.2f} s")
    expect_sums(lab, before + 4 + CONNECTIONS)
    stage.drain(server)


def check():
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        cases = ((1, "vhost", True), (1, "vhost", False), (1, "virtio", False), (2, "vhost", False))
        for number, (workers, serving, vhost_makes) in enumerate(cases):
            transfers(lab, os.path.join(folder, str(number)), workers, serving, vhost_makes)


stage.main(check)
