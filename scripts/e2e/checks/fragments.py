"""IP fragments from Linux and from a sender of raw frames: echo, UDP and TCP inside; floods and overlaps beside them; dropped where that is asked for.

Over a tap and over AF_XDP every fragment comes to the engine as it was sent, so these prove reassembly of both families. Over
AF_PACKET the kernel puts IPv4 packets together before the engine sees them (PACKET_FANOUT_FLAG_DEFRAG, which DPDK sets): what is
then larger than a frame is lost there, so that way in proves IPv6 alone.
"""

import errno
import os
import re
import socket
import struct
import time

import accounts
import ports
import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 120
ETH_P_ALL = 3
# An address of nobody: Linux would reset its connections.
RAW = "10.99.0.77"
RAW_MAC = bytes.fromhex("020000000077")


def ping(lab, host, size, count=5):
    """How many of them were answered."""
    done = lab.run("linux", ["ping", "-c", count, "-i", "0.2", "-W", "2", "-s", size, host], expect_code=None)
    found = re.search(r"(\d+) received", done.stdout)
    expect(found is not None, f"ping {host}: {stage.last_line(done.stderr or done.stdout)}")
    return int(found.group(1))


def unreachable(lab, host, size):
    """A datagram to nobody is refused, though it comes in fragments."""
    with lab.inside("linux"):
        talker = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    with talker:
        talker.settimeout(5)
        talker.connect((host, 5353))
        talker.send(bytes(size))
        try:
            talker.recv(1)
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Raw:
    """A TCP of a few lines at an address that Linux does not have."""

    def __init__(self, lab, engine_mac):
        with lab.inside("linux"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind(("tap0" if lab.tap else "v1", 0))
        self.socket.settimeout(0.2)
        self.engine_mac = engine_mac
        self.number = 0

    def frame(self, ether_type, body):
        self.socket.send(self.engine_mac + RAW_MAC + struct.pack("!H", ether_type) + body)

    def packet(self, protocol, payload, field=0, number=0):
        source, destination = socket.inet_aton(RAW), socket.inet_aton(ENGINE_V4)
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, field, 64, protocol, 0, source, destination)
        self.frame(0x0800, header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload)

    def cut(self, protocol, payload, each, order=lambda pieces: pieces):
        """Sends a packet in fragments of so many octets."""
        self.number += 1
        starts = range(0, len(payload), each)
        pieces = [(start, payload[start:start + each]) for start in starts]
        for start, piece in order(pieces):
            more = 0x2000 if start + len(piece) < len(payload) else 0
            self.packet(protocol, piece, more | start // 8, self.number)

    def segment(self, port, seq, ack, flags, text=b""):
        header = struct.pack("!HHIIBBHHH", port, 7, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 60000, 0, 0)
        pseudo = socket.inet_aton(RAW) + socket.inet_aton(ENGINE_V4) + struct.pack("!HH", 6, len(header) + len(text))
        total = checksum(pseudo + header + text)
        return header[:16] + struct.pack("!H", total) + header[18:] + text

    def hear(self, port, within_s=5):
        """The next segment for a port of ours: (flags, seq, ack, text). Answers ARP meanwhile."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                frame = self.socket.recv(65536)
            except TimeoutError:
                continue
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x01" and frame[38:42] == socket.inet_aton(RAW):
                answer = bytes.fromhex("0001080006040002") + RAW_MAC + socket.inet_aton(RAW) + frame[22:32]
                self.frame(0x0806, answer)
            elif frame[12:14] == b"\x08\0" and frame[23] == 6 and frame[30:34] == socket.inet_aton(RAW):
                length = struct.unpack("!H", frame[16:18])[0]
                tcp = frame[34:14 + length]
                _, to, seq, ack, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
                if to == port:
                    return flags, seq, ack, tcp[(offset >> 4) * 4:]
        raise stage.Failed(f"no segment for port {port} within {within_s} s")


def tcp_in_fragments(raw, port, each, order):
    """Handshake and 3000 octets of text, all in fragments; the echo has to be exact."""
    text = os.urandom(3000)
    raw.cut(6, raw.segment(port, 1000, 0, 0x02), each=8, order=order)
    flags, seq, ack, _ = raw.hear(port)
    expect((flags & 0x3F, ack) == (0x12, 1001), f"no SYN+ACK of a SYN in fragments, but {flags:#x}")
    raw.cut(6, raw.segment(port, 1001, seq + 1, 0x18, text), each=each, order=order)
    echoed = b""
    while len(echoed) < len(text):
        _, at, _, part = raw.hear(port)
        offset = (at - seq - 1) & 0xFFFFFFFF
        if offset == len(echoed):
            echoed += part
        raw.packet(6, raw.segment(port, 4001, seq + 1 + len(echoed), 0x10))
    expect(echoed == text, f"port {port}: the echo differs")
    raw.packet(6, raw.segment(port, 4001, seq + 1 + len(echoed), 0x04))


def hostile(raw):
    """Teardrop, tiny first fragments, packets that never end, one octet twice: nothing that comes of them counts."""
    for number in range(0x4000, 0x4400):
        raw.packet(1, bytes(24), 0x2000, number)
        raw.packet(1, bytes(24), 1, number)  # inside the first: teardrop
        raw.packet(6, bytes(8), 0x2000, number + 0x1000)
        raw.packet(17, os.urandom(1400), 0x2000 | (number % 50 + 1), number + 0x2000)
        if number % 64 == 0:
            time.sleep(0.01)


def engine_mac(lab):
    found = lab.run("linux", ["ip", "neigh", "show", ENGINE_V4]).stdout
    address = re.search(r"lladdr ([0-9a-f:]{17})", found)
    expect(address is not None, f"Linux does not know where {ENGINE_V4} is: {found!r}")
    return bytes.fromhex(address.group(1).replace(":", ""))


def echoes(lab, host):
    for size in (4000, 20000, 60000):
        answered = ping(lab, host, size)
        expect(answered == 5, f"{answered} of 5 echoes of {size} octets from {host}")
    expect(unreachable(lab, host, 4000), f"a datagram of 4000 octets to {host} was not refused")


def counted(lab, leasts):
    snapshot = lab.stats()
    for name, least in leasts.items():
        count = accounts.total(snapshot, name)
        stage.note(f"{name}: {count}")
        expect(count >= least, f"{name} is {count}")
    held = accounts.total(snapshot, "fragments_held")
    expect(held <= 256, f"{held} frames are held")


def put_together(lab, workers, attach=None):
    server = lab.serve("echo:7", workers=workers, attach=attach)
    before = lab.linux_counters()
    for host in (ENGINE_V4, ENGINE_V6):
        echoes(lab, host)
    raw = Raw(lab, engine_mac(lab))
    for place, (each, order) in enumerate([(1480, list), (1480, lambda pieces: pieces[::-1]), (256, list), (64, sorted)]):
        tcp_in_fragments(raw, 2000 + place, each, order)
    hostile(raw)
    expect(ping(lab, ENGINE_V4, 4000) == 5, "echoes in fragments after a flood")
    stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), 1 << 20, seed=1)
    stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
    counted(lab, {"reassembled": 40, "reassembly_spoiled": 1000, "reassembly_evicted": 1000, "fragments_sent": 100})
    stage.drain(server)


def over_tap():
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise stage.Skipped("no /dev/net/tun here")
    with stage.Lab("--tap") as lab:
        put_together(lab, workers=2)


def over_af_xdp():
    with stage.Lab() as lab:
        if ports.has_af_xdp(lab):
            put_together(lab, workers=1, attach=ports.AF_XDP)
        else:
            stage.note("this kernel has no AF_XDP: left out")


def over_af_packet():
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=2)
        echoes(lab, ENGINE_V6)
        counted(lab, {"reassembled": 16, "fragments_sent": 100})
        stage.drain(server)


def dropped():
    with stage.Lab("--tap") as lab:
        server = lab.serve("echo:7", workers=1, flags=["--fragments", "drop"])
        for host in (ENGINE_V4, ENGINE_V6):
            expect(ping(lab, host, 1000, count=2) == 2, f"whole echoes from {host}")
            expect(ping(lab, host, 4000, count=2) == 0, f"{host} answered an echo in fragments though they are to be dropped")
        stage.drain(server)


def check():
    stage.need("ping")
    for part in (over_tap, over_af_xdp, over_af_packet, dropped):
        stage.note(part.__name__)
        part()


stage.main(check)
