"""ICMP errors about our segments (RFC 9293 §3.9.2.2, RFC 1122 §4.2.3.9, RFC 5927), and path MTU discovery by them (RFC 1191, RFC 8201)."""

import struct

import segments
from judges.on_sending import WIDE
from judges.registry import Wrong, case

UNREACHABLE_V4, UNREACHABLE_V6, TOO_BIG = 3, 1, 2


def quoted(t, c, seq, length=1500):
    """The start of a segment that the TCP might have sent: `seq` relative."""
    header = segments.Segment(c.port, c.source_port, (c.irs + seq) & 0xFFFFFFFF, (c.iss + 1) & 0xFFFFFFFF, "A").octets(t.theirs, t.address)
    if t.family == 4:
        return segments.ipv4(t.theirs, t.address, segments.TCP, header, length=length)
    return segments.ipv6(t.theirs, t.address, segments.TCP, header, length=length - 40)


def tell_mtu(t, c, mtu, seq, source=None):
    if t.family == 4:
        t.send_icmp(UNREACHABLE_V4, 4, struct.pack("!HH", 0, mtu) + quoted(t, c, seq), source=source)
    else:
        t.send_icmp(TOO_BIG, 0, struct.pack("!I", mtu) + quoted(t, c, seq), source=source)


def flying(t):
    c = t.connection("chargen")
    c.window = WIDE
    c.open()
    flight = [heard for heard in c.gather(quiet=0.06, most=0.12) if heard.len]
    if not flight or max(heard.len for heard in flight) < 1400:
        raise Wrong("no full segments")
    return c, flight


def largest_after(t, c, acks=4):
    largest = 0
    for _ in range(acks):
        c.ack(c.rcv_nxt)
        largest = max([largest] + [heard.len for heard in c.gather(quiet=0.06, most=0.2)])
    return largest


@case("RFC 1191 §3, RFC 8201 §4, RFC 9293 SHLD-6: after \"too big\" for a segment in flight, segments fit", rows={"1300": 1300, "1400": 1400})
def too_big(t, mtu):
    c, flight = flying(t)
    tell_mtu(t, c, mtu, 1)
    again = [heard for heard in c.gather(quiet=0.5, most=1.0) if heard.len]
    room = mtu - (40 if t.family == 4 else 60)
    if not again:
        raise Wrong("nothing is sent again")
    if any(heard.len > room for heard in again):
        raise Wrong(f"{max(heard.len for heard in again)} octets in a segment, {room} fit")
    t.trace.append("segments fit")


@case("RFC 1191 §6.3: what was too big is sent again without waiting for the timer")
def too_big_is_answered_at_once(t):
    c, flight = flying(t)
    tell_mtu(t, c, 1300, 1)
    heard = c.expect("A", seq=1)
    c.expect_at_once(heard)


@case("RFC 5927 §4.1, §7: \"too big\" about what is not in flight is not believed", rows={"below": -100000, "beyond": 1 << 24})
def forged_too_big(t, seq):
    c, flight = flying(t)
    tell_mtu(t, c, 1280 if t.family == 6 else 600, seq)
    c.gather(quiet=0.05, most=0.05)
    if largest_after(t, c) < 1400:
        raise Wrong("a forged message made the segments small")


@case("RFC 5927 §7.1, RFC 8201 §4: an absurd MTU does no harm: segments keep a sensible size", rows={"0": 0, "20": 20, "68": 68, "larger than it was": 9000})
def absurd_mtu(t, mtu):
    c, flight = flying(t)
    tell_mtu(t, c, mtu, 1)
    c.gather(quiet=0.3, most=0.5)
    largest = largest_after(t, c)
    if largest < (28 if t.family == 4 else 1200):
        raise Wrong(f"segments of {largest} octets")
    if largest > 1460:
        raise Wrong(f"segments of {largest} octets")


@case("RFC 1191 §3: \"too big\" without an MTU (old routers) makes segments smaller, not absurd", families=(4,))
def too_big_without_mtu(t):
    c, flight = flying(t)
    t.send_icmp(UNREACHABLE_V4, 4, struct.pack("!HH", 0, 0) + quoted(t, c, 1))
    c.gather(quiet=0.3, most=0.6)
    largest = largest_after(t, c)
    if not 400 <= largest <= 1460:
        raise Wrong(f"segments of {largest} octets")


SOFT = {"net unreachable": (3, 0), "host unreachable": (3, 1), "source route failed": (3, 5), "time exceeded": (11, 0), "parameter problem": (12, 0)}
HARD = {"protocol unreachable": (3, 2), "port unreachable": (3, 3), "prohibited": (3, 13)}
SOFT_V6 = {"no route": (1, 0), "beyond scope": (1, 2), "address unreachable": (1, 3), "time exceeded": (3, 0), "parameter problem": (4, 0)}
HARD_V6 = {"prohibited": (1, 1), "port unreachable": (1, 4), "unknown next header": (4, 1)}


def survives(t, kind, code):
    c = t.open("echo")
    c.send("PA", b"hello")
    if c.read(5, answer=False) != b"hello":
        raise Wrong("no echo")
    t.send_icmp(kind, code, bytes(4) + quoted(t, c, 1, length=45 if t.family == 4 else 65))
    c.gather(quiet=0.1, most=0.15)
    c.ack()
    c.send("PA", b"again")
    if c.read(5) != b"again":
        raise Wrong("the connection does not go on")


@case("RFC 9293 §3.9.2.2, MUST-56: a soft error ends no connection", families=(4,), rows=SOFT)
def soft_error(t, row):
    survives(t, *row)


@case("RFC 9293 §3.9.2.2, MUST-56: a soft error ends no connection", families=(6,), rows=SOFT_V6)
def soft_error_v6(t, row):
    survives(t, *row)


@case("RFC 5927 §6.3: a hard error ends no connection that is established (against RFC 9293 SHLD-26)", families=(4,), rows=HARD)
def hard_error(t, row):
    survives(t, *row)


@case("RFC 5927 §6.3: a hard error ends no connection that is established (against RFC 9293 SHLD-26)", families=(6,), rows=HARD_V6)
def hard_error_v6(t, row):
    survives(t, *row)


@case("RFC 9293 §3.9.2.2, MUST-55: source quench is discarded", families=(4,))
def source_quench(t):
    c, flight = flying(t)
    t.send_icmp(4, 0, bytes(4) + quoted(t, c, 1))
    c.gather(quiet=0.05, most=0.1)
    before = c.rcv_nxt
    c.ack(before)
    found = [heard for heard in c.gather(quiet=0.08, most=0.15) if heard.len]
    if len(found) < 5:
        raise Wrong(f"{len(found)} segments after it")


@case("RFC 792, RFC 4443 §2.4: an error that quotes too little is ignored", rows={"8 octets": 8, "the IP header alone": 20, "nothing": 0})
def error_that_quotes_little(t, octets):
    c = t.open("echo")
    whole = quoted(t, c, 1)
    t.send_icmp(3 if t.family == 4 else 1, 1 if t.family == 4 else 3, bytes(4) + whole[:octets])
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 5927 §4: an error about a half-open connection does it no harm when its number is wrong")
def error_about_a_half_open_connection(t):
    c = t.connection("echo")
    c.syn()
    c.expect_syn_ack()
    kind, code = (3, 3) if t.family == 4 else (1, 4)
    t.send_icmp(kind, code, bytes(4) + quoted(t, c, 1 << 24, length=45 if t.family == 4 else 65))
    c.send("A")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 1122 §3.2.2: an ICMP message with a wrong checksum is discarded")
def error_with_a_wrong_checksum(t):
    c, flight = flying(t)
    if t.family == 4:
        t.send_icmp(UNREACHABLE_V4, 4, struct.pack("!HH", 0, 600) + quoted(t, c, 1), sum=0x1234)
    else:
        t.send_icmp(TOO_BIG, 0, struct.pack("!I", 1280) + quoted(t, c, 1), sum=0x1234)
    c.gather(quiet=0.05, most=0.05)
    if largest_after(t, c) < 1400:
        raise Wrong("it was believed")
