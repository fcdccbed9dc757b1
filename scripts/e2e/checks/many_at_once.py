"""Many connections of every temper at once: bulk in both modes, clients that stop reading, clients that vanish by RST."""

import concurrent.futures
import socket
import struct
import time

import accounts
import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 150
BULK = 24
EACH = 1 << 20
STALLED = 8
VANISHING = 60


def host(number):
    return ENGINE_V6 if number % 3 == 0 else ENGINE_V4


def bulk(lab):
    connections = [lab.connect(host(number), 7) for number in range(BULK)]
    with concurrent.futures.ThreadPoolExecutor(BULK) as pool:
        for done in [pool.submit(stage.echo_through_half_close, c, EACH, seed, 30) for seed, c in enumerate(connections)]:
            done.result()


def stalled_readers(lab):
    """chargen to clients that read nothing: their windows close, and nobody else notices."""
    connections = [lab.connect(host(number), 19) for number in range(STALLED)]
    time.sleep(1)
    bulk(lab)
    for connection in connections:
        # They go on where they stopped, without a hole: each line is the one before turned by one character.
        text = b""
        while len(text) < 2_000_000:
            chunk = connection.recv(1 << 16)
            expect(chunk, "chargen ended by itself")
            text += chunk
        lines = text.split(b"\r\n")[:-1]
        for one, two in zip(lines, lines[1:]):
            expect(one[1:] == two[:71], f"chargen lost its place: {one!r} then {two!r}")
        connection.close()


def vanishing(lab):
    """Connections that end by a RST in the middle of a transfer."""
    for number in range(VANISHING):
        port = (7, 9, 19, 80)[number % 4]
        connection = lab.connect(host(number), port)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def check():
    for mode in ("handler", "threads=2"):
        with stage.Lab("--queues", "2") as lab:
            server = lab.serve("echo:7", "discard:9", "chargen:19", "http:80", workers=2, flags=["--mode", mode, "--msl", "100ms"])
            before = lab.linux_counters()
            bulk(lab)
            stage.expect_linux_unharmed(before, lab.linux_counters())
            stalled_readers(lab)
            vanishing(lab)
            accounts.nothing_left(lab)
            bulk(lab)
            stage.drain(server)


stage.main(check)
