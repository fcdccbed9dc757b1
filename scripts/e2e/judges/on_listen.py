"""Segments for a listener that has no connection of their four-tuple: RFC 9293 §3.10.7.2."""

import segments
from judges.registry import Wrong, case

LISTEN = "RFC 9293 §3.10.7.2"


@case(f"{LISTEN}, first: an incoming RST should be ignored", rows={flags: flags for flags in ("R", "RA", "SR", "SRA", "FR")})
def reset_to_a_listener(t, flags):
    c = t.connection("echo")
    c.irs = 0
    c.send(flags, seq=100, ack=200)
    c.expect_nothing(0.4)


@case(f"{LISTEN}, second: any ACK gets <SEQ=SEG.ACK><CTL=RST>",
      rows={"ACK": ("A", 0), "SYN ACK": ("SA", 0), "FIN ACK": ("FA", 0), "data": ("PA", 40), "SYN FIN ACK": ("SFA", 0), "URG ACK": ("UA", 0)})
def ack_to_a_listener(t, row):
    flags, octets = row
    c = t.connection("echo")
    c.iss = c.irs = 0
    c.send(flags, b"x" * octets, seq=100, ack=0x01020304)
    c.expect("R", seq=0x01020304)


@case(f"{LISTEN}, fourth: what has neither RST, ACK nor SYN is dropped",
      rows={"no flags": ("", 0), "FIN": ("F", 0), "PSH with data": ("P", 9), "URG": ("U", 0), "URG PSH FIN": ("UPF", 0), "no flags, data": ("", 30), "ECE CWR": ("EC", 0)})
def neither_syn_nor_ack_to_a_listener(t, row):
    flags, octets = row
    c = t.connection("echo")
    c.send(flags, b"x" * octets, seq=100)
    c.expect_nothing(0.4)


@case(f"{LISTEN}, third and fourth: SYN with FIN opens, or is dropped; it does no harm")
def syn_fin_to_a_listener(t):
    c = t.connection("echo")
    c.send("SF", seq=0, options=c.syn_options())
    c.nxt = 2
    heard = c.next(0.5)
    c.mark(heard)
    if heard is not None and not (heard.has("SA") and heard.ack in (1, 2)):
        raise Wrong(f"{c.line(heard)} came")
    t.expect_alive()


@case(f"{LISTEN}, third: SYN opens whatever else is said with it", rows={"PSH": "SP", "URG": "SU", "PSH URG": "SPU"})
def syn_with_more(t, flags):
    c = t.connection("echo")
    c.syn(flags=flags)
    c.expect_syn_ack()
    c.send("A")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 3168 §6.1.1: a SYN that offers ECN is answered with or without ECE, never with CWR")
def syn_that_offers_ecn(t):
    c = t.connection("echo")
    c.syn(flags="SEC")
    heard = c.expect_syn_ack()
    if heard.has("C"):
        raise Wrong("SYN+ACK with CWR")
    c.send("A")
    c.send("PA", b"hello")
    c.read(5)


@case("RFC 3168 §6.1.1: a SYN with one of ECE and CWR offers nothing", rows={"ECE": "SE", "CWR": "SC"})
def half_an_offer_of_ecn(t, flags):
    c = t.connection("echo")
    c.syn(flags=flags)
    if c.expect_syn_ack().has("E"):
        raise Wrong("SYN+ACK with ECE")


@case("RFC 9293 §3.10.7.2 third: text with a SYN is queued or left for its retransmission, never wrong")
def syn_with_data(t):
    c = t.connection("echo")
    c.send("S", b"hello", seq=0, options=c.syn_options())
    heard = c.next(1.0)
    c.mark(heard)
    if heard is None or not heard.has("SA") or heard.ack not in (1, 6):
        raise Wrong(f"{c.line(heard) if heard else 'nothing'} came")
    c.nxt = 6
    c.send("A", seq=heard.ack)
    c.send("PA", b"hello", seq=1)
    if c.read(5) != b"hello":
        raise Wrong("no echo of what came with the SYN")
    c.expect_nothing(0.3, "the octets were echoed once")


@case("RFC 9293 §3.8.6: no data into the window of 0 that a SYN offers")
def syn_with_window_zero(t):
    c = t.connection("chargen")
    c.syn(window=0)
    c.expect_syn_ack()
    c.ack(window=0)
    for heard in c.gather(quiet=0.15, most=0.15):
        if heard.len > 1:
            raise Wrong(f"{heard.len} octets into a window of 0")
    c.ack(window=5000)
    if len(c.read(2000)) != 2000:
        raise Wrong("nothing behind the update")


@case("RFC 9293 §3.4.1, MUST-8, SHLD-1: ISNs of different four-tuples cannot be told from each other (RFC 6528 §3)")
def initial_sequence_numbers(t):
    seen = []
    for _ in range(4):
        c = t.connection("echo")
        c.syn()
        seen.append(c.expect_syn_ack().ack and c.irs)
    steps = {abs(one - two) for one, two in zip(seen, seen[1:])}
    if 0 in seen or len(set(seen)) < 4 or max(steps) < 1 << 16:
        raise Wrong(f"ISNs {seen}")


@case("RFC 9293 §3.4: a connection is its four-tuple; many from one address to one port")
def many_connections_to_one_port(t):
    opened = [t.open("echo") for _ in range(20)]
    for number, c in enumerate(opened):
        c.send("PA", b"%02d" % number)
    for number, c in enumerate(opened):
        if c.read(2) != b"%02d" % number:
            raise Wrong(f"connection {number} hears another's echo")


@case("RFC 9293 §3.4: one source port to several services gives several connections")
def one_source_port_to_several_ports(t):
    first = t.connection("echo")
    second = t.connection("discard", source_port=first.source_port)
    for c in (first, second):
        c.open()
    first.send("PA", b"one")
    if first.read(3) != b"one":
        raise Wrong("no echo")
    second.send("PA", b"x" * 10)
    second.expect_ack(11)


@case("RFC 9293 §3.7.1, MUST-67: the MSS of a SYN+ACK is what the MTU leaves: 1460 (v4), 1440 (v6) on Ethernet")
def mss_of_the_syn_ack(t):
    c = t.connection("echo")
    c.syn()
    if c.expect_syn_ack().mss != (1460 if t.family == 4 else 1440):
        raise Wrong(f"{c.peer.mss}")


@case("RFC 7323 §2.3: the shift of a SYN+ACK is 14 at most, and its window is not scaled")
def shift_of_the_syn_ack(t):
    c = t.connection("echo")
    c.syn(wscale=2)
    heard = c.expect_syn_ack()
    if heard.wscale is None or heard.wscale > 14 or heard.window < 1460:
        raise Wrong(f"shift {heard.wscale}, window {heard.window}")


@case("RFC 1191 §3: what is sent says DF while the path's MTU is looked for", families=(4,))
def do_not_fragment(t):
    c = t.open("echo")
    c.send("PA", b"x" * 1400)
    heard = c.expect("A", skip=lambda one: not one.len)
    if not heard.ip[6] & 0x40:
        raise Wrong("DF is not set")


@case("RFC 4987 §3: fifteen hundred SYNs that nobody follows up do not keep a client out", lasts=4)
def flood_of_syns(t):
    # Ports that no other case has, so that the answers disturb none.
    for source in range(300, 1800):
        t.send_segment(segments.Segment(source, 80, source * 1000, 0, "S", options=segments.mss(1460)))
    t.gather_nothing(0.3)
    c = t.open("http")
    c.send("PA", b"GET / HTTP/1.1\r\nHost: judge\r\n\r\n")
    if not c.read(12).startswith(b"HTTP/1.1 200"):
        raise Wrong("no answer")
