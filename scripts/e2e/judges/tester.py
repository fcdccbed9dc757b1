"""What a case plays with: an address and ports of its own, frames out, frames in, and what was heard of it all."""

import collections
import dataclasses
import random
import threading
import time

import segments
from judges.connection import Connection
from judges.registry import Wrong
from judges.station import OUR_MAC, ethertype
from segments import ETHERTYPE_ARP, ETHERTYPE_V6

SERVICES = {"echo": 7, "discard": 9, "chargen": 19, "daytime": 13, "http": 80}
CLOSED = 4  # never assigned, and nobody listens there
PORTS_EACH = 64
# The classes of time in which two stacks are compared: seconds since the judge sent last.
AT_ONCE, DELAYED = 0.020, 0.600


class Tester:
    """One run of one case. Numbers make addresses and ports, so no two runs share one."""

    def __init__(self, station, family, number):
        self.station, self.family, self.number = station, family, number
        self.address = f"10.99.{8 + number // 200}.{20 + number % 200}" if family == 4 else f"fd99::{number + 0x1000:x}"
        self.theirs = station.theirs[family]
        self.ports = iter(self.block())
        self.draw = random.Random(number)
        self.arrived = collections.deque()
        self.cond = threading.Condition()
        self.mute = False  # does not answer who asks for its address
        self.trace, self.log = [], []
        self.connections = []
        self.began = self.sent_at = time.time()
        self.extra = []
        station.register(self, [self.address], self.block())

    def introduce(self):
        """Asks for the TCP's station, as a host does before it sends its first packet, and so tells where it is itself."""
        if self.family == 4:
            request = segments.arp(1, OUR_MAC, self.address, b"\0" * 6, self.theirs)
            self.station.send(segments.ethernet(OUR_MAC, segments.BROADCAST_MAC, ETHERTYPE_ARP, request))
        else:
            group = segments.solicited_node(self.theirs)
            rest = bytes(4) + segments.octets_of(self.theirs) + b"\x01\x01" + OUR_MAC
            packet = segments.ipv6(self.address, group, segments.ICMPV6, segments.icmp(self.address, group, 135, 0, rest), ttl=255)
            self.station.send(segments.ethernet(OUR_MAC, segments.multicast_mac(group), ETHERTYPE_V6, packet))
        self.take(lambda frame: frame.kind == "arp" or (frame.kind == "icmp" and frame.icmp_type == 136), 0.5)

    def block(self):
        first = 2048 + (self.number * PORTS_EACH) % (65536 - 2048 - PORTS_EACH)
        return range(first, first + PORTS_EACH)

    def also(self, address):
        """Hears what comes for this address too."""
        self.extra.append(address)
        self.station.register(self, [address], [])
        return address

    def finish(self):
        for connection in self.connections:
            connection.abandon()
        self.station.forget([self.address, *self.extra], self.block())

    # ---- out ----

    def put(self, frame, what=""):
        self.sent_at = self.station.send(frame)
        self.note(">", what)

    def send_ip(self, protocol, body, source=None, destination=None, their_mac=None, what="", **fields):
        source, destination = source or self.address, destination or self.theirs
        packet = segments.ip(source, destination, protocol, body, **fields)
        self.send_packet(packet, destination, their_mac, what)

    def send_packet(self, packet, destination=None, their_mac=None, what=""):
        kind = ethertype(destination or self.theirs)
        self.put(segments.ethernet(OUR_MAC, their_mac or self.station.their_mac, kind, packet), what or "packet")

    def send_segment(self, segment, source=None, destination=None, their_mac=None, **fields):
        body = segment.octets(source or self.address, destination or self.theirs)
        what = f"{segment.flags or '-'} seq={segment.seq} ack={segment.ack} len={len(segment.data)} to {segment.port}"
        self.send_ip(segments.TCP, body, source, destination, their_mac, what, **fields)

    def send_icmp(self, kind, code, rest, source=None, destination=None, their_mac=None, sum=None, **fields):
        source, destination = source or self.address, destination or self.theirs
        protocol = segments.ICMPV6 if self.family == 6 else segments.ICMP
        body = segments.icmp(source, destination, kind, code, rest, sum)
        self.send_ip(protocol, body, source, destination, their_mac, f"icmp {kind}/{code}", **fields)

    def send_arp(self, body, destination=segments.BROADCAST_MAC, source=OUR_MAC):
        self.put(segments.ethernet(source, destination, ETHERTYPE_ARP, body), "arp")

    # ---- in ----

    def hear(self, frame):
        with self.cond:
            self.arrived.append(frame)
            self.cond.notify_all()

    def take(self, match, within):
        """The first frame that matches and was not taken yet, or None when none comes in time."""
        deadline = time.monotonic() + within
        with self.cond:
            while True:
                for at, frame in enumerate(self.arrived):
                    if match(frame):
                        del self.arrived[at]
                        return frame
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self.cond.wait(left)

    def expect_frame(self, match, what, within=1.0):
        frame = self.take(match, within)
        if frame is None:
            self.note("<", f"nothing ({what})")
            self.trace.append(f"no {what}")
            raise Wrong(f"no {what} within {within} s")
        self.note("<", what, frame.at)
        self.trace.append(f"{what} {self.timing(frame)}")
        if not frame.sound:
            raise Wrong(f"{what} has a wrong checksum")
        return frame

    def expect_no_frame(self, match, what, during=0.3):
        frame = self.take(match, during)
        if frame is not None:
            self.trace.append(f"{what} {self.timing(frame)}")
            raise Wrong(f"{what}: there should be none")
        self.trace.append(f"no {what}")

    def expect_silence(self, during=0.3):
        """Not one frame for this tester but those by which an address is resolved."""

        def speaks(frame):
            return not (frame.kind == "arp" or (frame.kind == "icmp" and self.family == 6 and frame.icmp_type in (135, 136)))

        frame = self.take(speaks, during)
        if frame is not None:
            self.trace.append(f"{frame.kind} {frame.flags or frame.icmp_type}")
            raise Wrong(f"silence was due, {describe(frame)} came")
        self.trace.append("silence")

    def gather_nothing(self, during):
        """Lets time pass, and forgets what came."""
        time.sleep(during)
        with self.cond:
            self.arrived.clear()

    def timing(self, frame):
        late = frame.at - self.sent_at
        return "at once" if late < AT_ONCE else "delayed" if late < DELAYED else "later"

    def note(self, arrow, what, at=None):
        self.log.append(f"{(at or self.sent_at) - self.began:8.4f} {arrow} {what}")

    # ---- larger pieces ----

    def connection(self, service, source_port=None):
        port = SERVICES.get(service, service)
        made = Connection(self, port, next(self.ports) if source_port is None else source_port)
        self.connections.append(made)
        return made

    def open(self, service="discard", **options):
        made = self.connection(service)
        made.open(**options)
        return made

    def expect_alive(self, service="echo"):
        """The service answers a clean connection: what went before did no harm."""
        other = self.open(service)
        other.send("PA", b"still there?")
        if other.read(12) != b"still there?":
            raise Wrong("the service does not echo any more")
        other.abandon()


def describe(frame):
    if frame.kind == "tcp":
        return f"{frame.flags or '-'} seq={frame.seq} ack={frame.ack} len={frame.len}"
    if frame.kind == "icmp":
        return f"icmp {frame.icmp_type}/{frame.code}"
    return dataclasses.replace(frame, ip=b"").kind
