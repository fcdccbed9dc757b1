"""Segments for a port that nobody listens on: RFC 9293 §3.10.7.1, and what a RST may look like."""

from judges.registry import Wrong, case
from judges.tester import CLOSED

FORM = "RFC 9293 §3.10.7.1"
# flags, data octets, sequence length
WITHOUT_ACK = {
    "SYN": ("S", 0, 1),
    "SYN with data": ("S", 10, 11),
    "SYN FIN": ("SF", 0, 2),
    "FIN": ("F", 0, 1),
    "FIN with data": ("F", 5, 6),
    "no flags": ("", 0, 0),
    "no flags, data": ("", 7, 7),
    "URG PSH FIN": ("UPF", 0, 1),
    "SYN ECE CWR": ("SEC", 0, 1),
}
WITH_ACK = {
    "ACK": ("A", 0),
    "ACK with data": ("PA", 100),
    "SYN ACK": ("SA", 0),
    "FIN ACK": ("FA", 0),
    "all but RST": ("SFPAUEC", 0),
}


def reset_of(t, flags, data=b"", seq=0x1000, ack=0, **fields):
    """Sends to the closed port, and the RST in absolute numbers."""
    c = t.connection(CLOSED)
    c.iss, c.irs = 0, 0
    c.send(flags, data, seq=seq, ack=ack, **fields)
    heard = t.take(c.is_mine, 1.0)
    if heard is not None:
        t.note("<", c.line(heard), heard.at)
    t.trace.append(f"{c.line(heard)} {t.timing(heard)}" if heard else "nothing")
    if heard is None or not heard.has("R"):
        raise Wrong(f"a RST was due, {c.line(heard) if heard else 'nothing'} came")
    if not heard.sound:
        raise Wrong("the RST has a wrong checksum")
    if heard.has("S") or heard.has("F") or heard.data:
        raise Wrong(f"{c.line(heard)} is more than a RST")
    return heard


@case(f"{FORM}: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>", rows=WITHOUT_ACK)
def reset_without_ack(t, row):
    flags, octets, length = row
    heard = reset_of(t, flags, b"x" * octets)
    if not heard.has("A") or heard.seq != 0 or heard.ack != 0x1000 + length:
        raise Wrong(f"RA seq=0 ack={0x1000 + length} was due, {heard.flags} seq={heard.seq} ack={heard.ack} came")


@case(f"{FORM}: <SEQ=SEG.ACK><CTL=RST>", rows=WITH_ACK)
def reset_with_ack(t, row):
    flags, octets = row
    heard = reset_of(t, flags, b"x" * octets, ack=0x55667788)
    if heard.has("A") or heard.seq != 0x55667788:
        raise Wrong(f"R seq={0x55667788} was due, {heard.flags} seq={heard.seq} came")


@case(f"{FORM}; §3.4: sequence numbers are a circle", rows={"SYN": ("S", 0, 0), "data": ("", 9, 8)})
def reset_round_the_circle(t, row):
    flags, octets, ack = row
    heard = reset_of(t, flags, b"x" * octets, seq=0xFFFFFFFF)
    if heard.ack != ack:
        raise Wrong(f"ack={ack} was due, {heard.ack} came")


@case(f"{FORM}: an incoming segment containing a RST is discarded", rows={flags: flags for flags in ("R", "RA", "SR", "RF", "SRA")})
def no_reset_for_a_reset(t, flags):
    c = t.connection(CLOSED)
    c.irs = 0
    c.send(flags, seq=77, ack=88)
    c.expect_nothing(0.4)


@case(f"{FORM}; RFC 7323 §3.2: options of a segment for no connection change nothing of the RST")
def reset_of_a_syn_with_all_options(t):
    c = t.connection(CLOSED)
    heard = reset_of(t, "S", options=c.syn_options(wscale=7, ts=True, sack=True))
    if heard.ack != 0x1001:
        raise Wrong(f"ack={heard.ack}")


@case("RFC 6335 §6: port 0 is reserved: nothing opens to it or from it", rows={"to": (0, 5000), "from": (7, 0)})
def port_zero(t, row):
    port, source = row
    c = t.connection(port, source_port=source or None)
    if source == 0:
        c.source_port = 0
    c.send("S", seq=0)
    heard = t.take(lambda frame: frame.kind == "tcp" and frame.destination == t.address, 0.3)
    t.trace.append(c.line(heard) if heard else "nothing")
    if heard is not None and not heard.has("R"):
        raise Wrong(f"{heard.flags} for port 0")


@case("RFC 9293 §3.10.7.1: each segment has its own RST", lasts=3)
def every_syn_is_refused(t):
    c = t.connection(CLOSED)
    for number in range(3):
        c.iss, c.irs = number * 1000, 0
        c.send("S", seq=0)
        heard = t.take(c.is_mine, 1.0)
        if heard is None or heard.ack != number * 1000 + 1:
            raise Wrong(f"SYN {number + 1} is not refused")
    t.trace.append("3 RSTs")
