"""Half-open connections: between SYN+ACK and its ACK (RFC 9293 §3.10.7.4 in SYN-RECEIVED; RFC 6298 §5.5, RFC 5961)."""

import segments
from judges.registry import Wrong, case

STATE = "RFC 9293 §3.10.7.4, SYN-RECEIVED"


def half_open(t, service="echo", **offered):
    c = t.connection(service)
    c.syn(**offered)
    c.expect_syn_ack()
    return c


@case("RFC 9293 §3.8.3, MUST-22, RFC 6298 §2.1, §5.5: SYN+ACK again after a second, then after twice as long", lasts=10)
def syn_ack_is_retransmitted(t):
    c = half_open(t)
    times = [t.sent_at]
    for _ in range(2):
        heard = c.expect("SA", seq=0, ack=1, within=5)
        times.append(heard.at)
    first, second = times[1] - times[0], times[2] - times[1]
    if not 0.8 <= first <= 3.5 or not 1.5 * first <= second <= 3 * first:
        raise Wrong(f"SYN+ACK again after {first:.2f} s and {second:.2f} s")


@case("RFC 9293 §3.8.1: options of a SYN+ACK are the same again")
def syn_ack_again_has_the_same_options(t):
    c = t.connection("echo")
    c.syn(wscale=7, ts=True, sack=True)
    first = c.expect_syn_ack()
    again = c.expect("SA", seq=0, within=4)
    if set(first.options) != set(again.options) or first.mss != again.mss or first.wscale != again.wscale or first.window != again.window:
        raise Wrong(f"{c.line(first)}, then {c.line(again)}")


@case(f"{STATE}: a SYN that comes again gets the same SYN+ACK (RFC 9293 §3.10.7.4 first, §3.5)")
def syn_again(t):
    c = half_open(t)
    c.send("S", seq=0, options=c.syn_options())
    c.expect("SA", seq=0, ack=1)
    c.send("A")
    c.send("PA", b"hello")
    c.read(5)


@case(f"{STATE}; RFC 5961 §4.2: a SYN with another number is answered with an ACK, or opens anew; the first one still stands or is refused")
def syn_with_another_number(t):
    c = half_open(t)
    c.send("S", seq=100000, options=c.syn_options())
    c.nxt = 1
    heard = c.next(0.6)
    c.mark(heard)
    if heard is not None and heard.has("S") and heard.seq == 0 and heard.ack != 1:
        raise Wrong("the same ISN for another SYN")
    c.send("A", seq=1, ack=1)
    c.send("PA", b"hello", seq=1, ack=1)
    if c.read(5) != b"hello":
        raise Wrong("a SYN that anybody could send ended the half-open connection")


@case(f"{STATE}, second (RFC 5961 §3.2 1): a RST at RCV.NXT ends it; the listener listens on")
def reset_exactly(t):
    c = half_open(t)
    c.send("R", seq=1)
    c.expect_nothing(0.3)
    c.send("A", seq=1, ack=1)
    c.expect("R", seq=1)
    again = t.connection("echo", source_port=c.source_port)
    again.open()


@case(f"{STATE}, first: a RST outside of the window is dropped", rows={"below": -1000, "far above": 1 << 29})
def reset_outside_of_the_window(t, seq):
    c = half_open(t)
    c.send("R", seq=seq)
    c.expect_nothing(0.2)
    c.send("A")
    c.send("PA", b"hello")
    c.read(5)


@case(f"{STATE}; RFC 5961 §3.2 (3): a RST within the window but not at RCV.NXT does not end it")
def reset_within_the_window(t):
    c = half_open(t)
    c.send("R", seq=101)
    heard = c.next(0.3)
    c.mark(heard)
    if heard is not None and (heard.has("R") or heard.len):
        raise Wrong(f"{c.line(heard)} came")
    c.nxt = 1
    c.send("A", seq=1)
    c.send("PA", b"hello", seq=1)
    if c.read(5) != b"hello":
        raise Wrong("the half-open connection is gone")


@case(f"{STATE}, fifth: an ACK of something else gets <SEQ=SEG.ACK><CTL=RST>", rows={"too far": 2, "far too far": 1 << 20, "the ISN itself": 0, "below": -5000})
def unacceptable_ack(t, ack):
    c = half_open(t)
    c.send("A", ack=ack)
    c.expect("R", seq=ack)
    c.send("A", ack=1)
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("the half-open connection is gone")


@case(f"{STATE}, first: an ACK outside of the window is answered with an ACK, and opens nothing", rows={"below": -1000, "above": 1 << 29})
def ack_outside_of_the_window(t, seq):
    c = half_open(t)
    c.send("A", seq=seq)
    heard = c.expect("A", ack=1, len=0, within=0.6)
    if heard.has("S"):
        raise Wrong("a SYN+ACK came")
    c.nxt = 1


@case(f"{STATE}, fifth: without ACK a segment is dropped", rows={"data": ("", 10), "FIN": ("F", 0), "PSH": ("P", 3)})
def no_ack_bit(t, row):
    flags, octets = row
    c = half_open(t)
    c.send(flags, b"x" * octets)
    c.expect_nothing(0.3)
    c.nxt = 1
    c.send("A")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case(f"{STATE}, fifth to seventh: the ACK may carry text")
def ack_with_data(t):
    c = half_open(t)
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case(f"{STATE}, fifth to eighth: the ACK may carry the FIN")
def ack_with_fin(t):
    c = half_open(t, "discard")
    c.send("FA")
    heard = c.expect(ack=2)
    if not heard.has("F"):
        c.expect("FA", ack=2)


@case(f"{STATE}: text and FIN with the ACK")
def ack_with_data_and_fin(t):
    c = half_open(t)
    c.send("FPA", b"bye")
    if c.read(3, answer=False) != b"bye":
        raise Wrong("no echo")
    c.gather(quiet=0.3, most=1.0)
    if c.acked != 5 or c.rcv_nxt != 5:
        raise Wrong(f"acknowledged {c.acked} of 5, {c.rcv_nxt} of 5 came")


@case(f"{STATE}: data that overtakes the ACK opens, for it carries the same acknowledgment")
def lost_ack_then_data(t):
    c = half_open(t)
    c.send("PA", b"lo", seq=4)
    c.send("PA", b"hel", seq=1)
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case(f"{STATE}; RFC 7323 §5.3: an ACK with an old timestamp is answered with an ACK and opens nothing")
def ack_with_an_old_timestamp(t):
    c = half_open(t, ts=True)
    c.send("A", options=b"\x01\x01" + segments.timestamps(c.ts_base - 100000, c.ts_echo))
    heard = c.next(0.6)
    c.mark(heard)
    if heard is not None and (heard.has("R") or heard.has("F") or heard.len):
        raise Wrong(f"{c.line(heard)} came")
    c.ts = True
    c.send("A")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case(f"{STATE}, fifth; §3.10.7.4: our own SYN+ACK, sent back, opens nothing")
def syn_ack_to_half_open(t):
    c = half_open(t)
    c.send("SA", seq=0, ack=1, options=c.syn_options())
    heard = c.next(0.4)
    c.mark(heard)
    if heard is not None and heard.len:
        raise Wrong(f"{c.line(heard)} came")
    t.expect_alive()


@case("RFC 4987 §3, RFC 9293 §3.4: forty half-open connections hinder no other")
def forty_half_open(t):
    made = [t.connection("echo") for _ in range(40)]
    for c in made:
        c.syn()
    t.expect_alive()
    answered = sum(c.next(1.0) is not None for c in made)
    if answered < 40:
        raise Wrong(f"{answered} of 40 SYNs were answered")
