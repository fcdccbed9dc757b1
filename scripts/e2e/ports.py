"""What every port that goes both ways has to carry against Linux: 100 MiB unharmed, and 1,000 connections."""

import concurrent.futures
import socket
import struct
import threading
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

BULK = 100 << 20
CONNECTIONS = 1000
AT_ONCE = 20
AF_XDP = ("--iface", "v0", "--driver", "af_xdp")


def has_af_xdp(lab):
    """Whether the kernel has AF_XDP: asked with an MTU that is refused, so that nothing starts either way."""
    words = ["serve", "echo:7", *AF_XDP, "--ip", f"{ENGINE_V4}/24", "--stats", "off", "--mtu", "9000"]
    return "no AF_XDP" not in lab.run("engine", [stage.fourtuple(), *words], expect_code=None).stderr


def bulk(lab, total=BULK):
    start = time.monotonic()
    stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), total, seed=5)
    seconds = time.monotonic() - start
    stage.note(f"{total >> 20} MiB each way in {seconds:.1f} s: {total * 8 / seconds / 1e6:.0f} Mbit/s")


def many(lab, count=CONNECTIONS):
    def each(numbers):
        for number in numbers:
            host = ENGINE_V6 if number % 2 else ENGINE_V4
            with lab.connect(host, 7) as connection:
                word = b"connection %06d" % number
                connection.sendall(word)
                connection.shutdown(socket.SHUT_WR)
                back = b""
                while chunk := connection.recv(64):
                    back += chunk
                expect(back == word, f"connection {number}: {back!r} came back for {word!r}")

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(each, range(first, count, AT_ONCE)) for first in range(AT_ONCE)]:
            done.result()
    stage.note(f"{count} connections in {time.monotonic() - start:.1f} s")


def both_ways(lab, server, total=BULK, count=CONNECTIONS):
    """All of it; Linux may count no harm, and the engine's port has to tell of as much."""
    before = lab.linux_counters()
    many(lab, count)
    bulk(lab, total)
    server.expect_running()
    stage.expect_linux_unharmed(before, lab.linux_counters())
    port = lab.stats()["port"]
    expect(port["rx_bytes"] > total and port["tx_bytes"] > total, f"the port counted {port}")


def refused(lab, why, words, naming, prefix=()):
    """`serve` with these words ends with 3 and one line that names these."""
    done = lab.run("engine", [*prefix, stage.fourtuple(), "serve", "echo:7", *words, "--stats", "off"], within_s=20, expect_code=None)
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    expect(done.returncode == 3, f"{why}: exit {done.returncode}: {lines}")
    expect(len(lines) == 1, f"{why}: {len(lines)} lines on stderr: {lines}")
    for name in naming:
        expect(name in lines[0], f"{why}: {lines[0]!r} does not name {name!r}")


class Trunk:
    """In a lab made with `--relay`: what goes to the engine gets a VLAN tag, what comes from it has to have one and loses it.

    A trunk port as a switch has it, so that no kernel needs to know of VLANs.
    """

    SOL_PACKET, PACKET_AUXDATA, TAGGED = 263, 8, 1 << 4

    def __init__(self, lab, number):
        self.number, self.untagged, self.tagged = number, 0, 0
        self.tag = struct.pack("!HH", 0x8100, number)
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/ft-{lab.name}-relay") as there:
            stage.enter_namespace(there)
            self.engine, self.linux = (self.open(name) for name in ("r0", "r1"))
            stage.enter_namespace(home)
        for carry in (self.from_engine, self.to_engine):
            threading.Thread(target=self.until_the_end, args=(carry,), daemon=True).start()

    def open(self, name):
        ours = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        ours.bind((name, 0))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        ours.setsockopt(self.SOL_PACKET, self.PACKET_AUXDATA, 1)
        return ours

    def until_the_end(self, carry):
        try:
            while True:
                carry()
        except OSError as error:
            stage.note(f"the trunk ends: {error}")  # with the lab

    def from_engine(self):
        # The kernel takes the tag out of the frame and tells of it beside.
        frame, beside, _, address = self.engine.recvmsg(1 << 16, 64)
        if address[2] != socket.PACKET_OUTGOING:
            status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", beside[0][2][:20])
            if status & self.TAGGED and tag & 0xFFF == self.number:
                self.tagged += 1
                self.linux.send(frame)
            else:
                self.untagged += 1

    def to_engine(self):
        frame, _, _, address = self.linux.recvmsg(1 << 16, 64)
        if address[2] != socket.PACKET_OUTGOING:
            self.engine.send(frame[:12] + self.tag + frame[12:])


def mtu(lab, size):
    for side, name in (("linux", "v1"), ("engine", "v0")):
        lab.run(side, ["ip", "link", "set", name, "mtu", size])


def link_goes_and_comes(lab, server):
    """The link is told of in the stats, and its changes in the log. Linux has lost its IPv6 address by the end."""
    def expect_up(up):
        # The kernel itself takes up to a second to say so.
        deadline = time.monotonic() + 5
        while lab.stats()["ports"][0]["link_up"] is not up:
            expect(time.monotonic() < deadline, f"link_up should be {up}")
            time.sleep(0.1)

    expect_up(True)
    lab.run("linux", ["ip", "link", "set", "v1", "down"])
    expect_up(False)
    server.wait_for_line("the link is down", 5, where="stderr")
    lab.run("linux", ["ip", "link", "set", "v1", "up"])
    server.wait_for_line("the link is up", 5, where="stderr")
    expect('fourtuple_port_link_up{port="' in lab.get("/metrics")[1], "no port_link_up in /metrics")
