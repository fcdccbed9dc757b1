"""Frames that make no sense, some made from ones that do: none of them hurts, each has its verdict."""

import random
import socket
import struct
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

FRAMES = 20_000
SEED = 20


def engine_station(lab):
    """The engine's MAC address, as Linux has learned it."""
    lab.connect(ENGINE_V4, 7).close()
    done = lab.run("linux", ["ip", "neighbour", "show", ENGINE_V4])
    return bytes.fromhex(done.stdout.split()[4].replace(":", ""))


def samples(station):
    """A few frames that do make sense, to be spoilt."""
    ethernet4 = station + b"\x02\0\0\0\0\x09\x08\x00"
    ethernet6 = station + b"\x02\0\0\0\0\x09\x86\xdd"
    v4, v6 = (socket.inet_aton(f"10.99.0.{n}") for n in (9, 2)), (socket.inet_pton(socket.AF_INET6, f"fd99::{n}") for n in (9, 2))
    v4, v6 = b"".join(v4), b"".join(v6)
    tcp = struct.pack("!HHIIBBHHH", 4000, 7, 1, 0, 0xA0, 2, 65535, 0, 0) + bytes.fromhex("020405b40402080a0000000100000000" "01030307")
    udp = struct.pack("!HHHH", 4000, 7, 16, 0) + b"datagram"
    echo = bytes.fromhex("0800f7ff00000000")
    for protocol, body in ((6, tcp), (17, udp), (1, echo)):
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0) + v4
        yield ethernet4 + with_checksum(header, 10) + body
    for protocol, body in ((6, tcp), (17, udp), (58, bytes.fromhex("8700000000000000") + v6[16:] + bytes.fromhex("0101020000000009"))):
        yield ethernet6 + struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + v6 + body
    yield b"\xff" * 6 + b"\x02\0\0\0\0\x09\x08\x06" + bytes.fromhex("0001080006040001" "020000000009" "0a630009" "000000000000" "0a630002")


def with_checksum(header, at):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:at] + struct.pack("!H", total ^ 0xFFFF) + header[at + 2 :]


def spoilt(frame, draw):
    frame = bytearray(frame)
    kind = draw.randrange(4)
    if kind == 0:
        for _ in range(draw.randint(1, 6)):
            frame[draw.randrange(len(frame))] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del frame[draw.randrange(14, len(frame)) :]
    elif kind == 2:
        frame[14:] = draw.randbytes(draw.randrange(1400))
    else:
        frame += draw.randbytes(draw.randrange(600))
    return bytes(frame[:1514])


def check():
    with stage.Lab("--queues", "2") as lab:
        server = lab.serve("echo:7", "http:80", workers=2, flags=["--msl", "100ms"])
        lab.connect(ENGINE_V6, 7).close()
        good = list(samples(engine_station(lab)))
        draw = random.Random(SEED)
        with lab.inside("linux"):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with raw, lab.inside("linux"):
            raw.bind(("v1", 0))
            for number in range(FRAMES):
                raw.send(spoilt(draw.choice(good), draw))
                if number % 500 == 0:
                    server.expect_running()
                    time.sleep(0.005)
        time.sleep(1.2)
        server.expect_running()
        for number, worker in enumerate(lab.stats()["workers"]):
            taken = worker["rx_packets"] + worker["steered_in"]
            told = worker["consumed"] + worker["steered_out"] + sum(worker["dropped"].values())
            expect(taken == told, f"worker {number}: {taken} packets in, {told} verdicts")
        reasons = {}
        for worker in lab.stats()["workers"]:
            for reason, count in worker["dropped"].items():
                reasons[reason] = reasons.get(reason, 0) + count
        stage.note(f"dropped: { {reason: count for reason, count in reasons.items() if count} }")
        expect(sum(reasons.values()) > FRAMES // 2, f"only {sum(reasons.values())} of {FRAMES} frames were dropped")
        for host in (ENGINE_V4, ENGINE_V6):
            stage.echo_through_half_close(lab.connect(host, 7), 1 << 20, seed=6)
        status, _ = lab.get("/healthz")
        expect(status == 200, f"/healthz answers {status}")
        stage.drain(server)


stage.main(check)
