"""TIME_WAIT: what is answered, what is ignored, and when a SYN reopens (RFC 9293 §3.6.1, RFC 1337, RFC 6191)."""

import segments
from judges.on_closing import closed_by_server
from judges.registry import Wrong, case

STATE = "RFC 9293 §3.10.7.4, TIME-WAIT"


def time_wait(t, **offered):
    c, _ = closed_by_server(t, **offered)
    c.send("FA")
    c.expect_ack(2)
    return c


@case(f"{STATE}, eighth: a FIN that comes again is acknowledged again", rows={"at once": 0.0, "later": 0.7})
def fin_again(t, after):
    c = time_wait(t)
    c.gather(quiet=after + 0.01, most=after + 0.01)
    for _ in range(2):
        c.send("FA", seq=1)
        c.expect_at_once(c.expect_ack(2))


@case(f"{STATE}, first: old text is acknowledged and ignored")
def old_text(t):
    c = time_wait(t)
    c.send("PA", b"x" * 10, seq=-100)
    c.expect_ack(2)


@case(f"{STATE}: text within the window is ignored, or acknowledged; nothing resets", rows={"at RCV.NXT": 2, "beyond": 500})
def new_text(t, seq):
    c = time_wait(t)
    c.send("PA", b"x" * 10, seq=seq)
    heard = c.next(0.4)
    c.mark(heard)
    if heard is not None and (heard.has("S") or heard.ack > 2):
        raise Wrong(f"{c.line(heard)} came")


@case("RFC 1337 §3 (F1): a RST does not end TIME_WAIT", rows={"at RCV.NXT": 2, "in the window": 50, "below": -100})
def reset_is_ignored(t, seq):
    c = time_wait(t)
    c.send("R", seq=seq)
    c.gather(quiet=0.2, most=0.2)
    c.send("FA", seq=1)
    c.expect_ack(2)


@case(f"{STATE}: a bare ACK at RCV.NXT needs no answer")
def bare_ack(t):
    c = time_wait(t)
    c.send("A")
    c.expect_nothing(0.3)


@case(f"{STATE}, first: an ACK of another number is answered with an ACK", rows={"below": -1000, "above": 1 << 30})
def ack_outside_of_the_window(t, seq):
    c = time_wait(t)
    c.send("A", seq=seq)
    c.expect_ack(2)


def reopen(t, c, seq, options):
    again = t.connection("daytime", source_port=c.source_port)
    again.iss = (c.iss + seq) & 0xFFFFFFFF
    again.syn(options=options)
    return again


@case("RFC 9293 §3.6.1, MAY-2; RFC 6191 §2: a SYN with a larger number reopens", rows={"by 1": 3, "by 1000": 1002, "by 10^9": 10**9})
def larger_number_reopens(t, seq):
    c = time_wait(t)
    again = reopen(t, c, seq, c.syn_options())
    again.expect_syn_ack()
    last = (c.irs + c.rcv_nxt) & 0xFFFFFFFF
    if ((again.irs - last) & 0xFFFFFFFF) >= 1 << 31:
        raise Wrong("its ISN is not beyond the old connection's last number (MAY-2 (a))")
    again.send("A")
    if len(again.read(10)) != 10:
        raise Wrong("nothing comes")


@case("RFC 6191 §2: a SYN with a later timestamp reopens, whatever its number", rows={"larger": 5000, "smaller": -5000, "far smaller": -(1 << 30)})
def later_timestamp_reopens(t, seq):
    c = time_wait(t, ts=True)
    c.gather(quiet=0.01, most=0.01)
    again = reopen(t, c, seq, segments.mss(1460) + b"\x01\x01" + segments.timestamps(c.tsval() + 5000, 0))
    again.expect_syn_ack()


@case("RFC 6191 §2, RFC 9293 §3.10.7.4: a SYN with a smaller number, no timestamps: an ACK, and TIME_WAIT goes on", rows={"by 1": 1, "by 1000": -1000, "the old SYN": 0})
def smaller_number_does_not_reopen(t, seq):
    c = time_wait(t)
    reopen(t, c, seq, c.syn_options())
    c.expect_ack(2)


@case("RFC 6191 §2, RFC 7323: a SYN with an earlier timestamp does not reopen, though its number be larger")
def earlier_timestamp_does_not_reopen(t):
    c = time_wait(t, ts=True)
    reopen(t, c, 5000, segments.mss(1460) + b"\x01\x01" + segments.timestamps(c.ts_base - 100000, 0))
    heard = c.expect(within=0.6)
    if heard.has("S") or heard.ack != 2:
        raise Wrong(f"{c.line(heard)} came")


@case("RFC 6191 §2: after the challenge, the peer's RST, and then its SYN once more", lasts=6)
def refused_syn_then_a_larger_one(t):
    c = time_wait(t)
    reopen(t, c, -1000, c.syn_options())
    c.expect_ack(2)
    again = reopen(t, c, 100000, c.syn_options())
    again.expect_syn_ack()


@case("RFC 9293 §3.6.1, MUST-13: TIME_WAIT lasts", lasts=8)
def it_lasts(t):
    c = time_wait(t)
    c.expect_nothing(4.0)
    c.send("FA", seq=1)
    c.expect_ack(2)


@case(f"{STATE}: SYN+ACK does not reopen")
def syn_ack_does_not_reopen(t):
    c = time_wait(t)
    c.send("SA", seq=5000, ack=1)
    heard = c.expect(within=0.6)
    if heard.has("S") or heard.has("R"):
        raise Wrong(f"{c.line(heard)} came")


@case("RFC 9293 §3.4: TIME_WAIT of one port hinders no other of the same host")
def other_ports_are_free(t):
    time_wait(t)
    other, _ = closed_by_server(t)
    other.ack()


@case("RFC 7323 §5.3: an old timestamp in TIME_WAIT is answered with an ACK")
def old_timestamp(t):
    c = time_wait(t, ts=True)
    c.send("PA", b"x", seq=2, options=b"\x01\x01" + segments.timestamps(c.ts_base - 100000, c.ts_echo))
    c.expect_ack(2)
