"""Timestamps and PAWS (RFC 7323)."""

import segments
from judges.registry import Wrong, case
from segments import NOP

N2 = bytes((NOP, NOP))


def stamped(value, echo):
    return N2 + segments.timestamps(value, echo)


def still_there(c):
    start = c.acked
    c.nxt = start
    c.send("PA", b"x" * 50)
    c.expect_ack(start + 50)
    c.forget_timing()


@case("RFC 7323 §3.2: a SYN+ACK echoes the SYN's TSval")
def syn_ack_echoes(t):
    c = t.connection("echo")
    c.syn(options=segments.mss(1460) + stamped(0x12345678, 0))
    heard = c.expect_syn_ack()
    if heard.ts is None or heard.ts[1] != 0x12345678:
        raise Wrong(f"TSecr {heard.ts and hex(heard.ts[1])}")


@case("RFC 7323 §3.2: TSecr of a SYN is not looked at; TSval 0 is a value as any other", rows={"TSval 0": (0, 0), "TSecr set": (5, 0xDEADBEEF), "TSval all ones": (0xFFFFFFFF, 0)})
def odd_timestamps_in_a_syn(t, row):
    c = t.connection("echo")
    c.syn(options=segments.mss(1460) + stamped(*row))
    heard = c.expect_syn_ack()
    if heard.ts is None or heard.ts[1] != row[0]:
        raise Wrong("no timestamps, or another echo")
    for number in range(3):
        c.send("PA", b"%d" % number, options=stamped(row[0] + number, heard.ts[0]))
        if c.read(1, answer=False) != b"%d" % number:
            raise Wrong("no echo")
        c.send("A", options=stamped(row[0] + number, heard.ts[0]))


@case("RFC 7323 §3.2: once agreed, every segment but a RST has the option")
def every_segment_has_timestamps(t):
    c = t.connection("echo")
    c.open(ts=True)
    c.send("PA", b"hello")
    c.send("FA")
    for heard in c.gather(quiet=0.2, most=0.6):
        if heard.ts is None and not heard.has("R"):
            raise Wrong(f"{c.line(heard)} has none")


@case("RFC 7323 §3.2: not offered, no segment has the option, even if the peer's have")
def no_timestamps_unless_agreed(t):
    c = t.open("echo")
    c.send("PA", b"hello", options=stamped(1, 1))
    for heard in c.gather(quiet=0.2, most=0.4):
        if heard.ts is not None:
            raise Wrong(f"{c.line(heard)}")


@case("RFC 7323 §5.3 R1: a segment with an old timestamp is answered with an ACK and dropped", rows={"text": ("PA", 10), "FIN": ("FA", 0)})
def old_timestamp(t, row):
    flags, octets = row
    c = t.connection("discard")
    c.open(ts=True)
    still_there(c)
    c.send(flags, b"x" * octets, options=stamped(c.tsval() - 10000, c.ts_echo))
    c.expect_ack(51)
    still_there(c)


@case("RFC 7323 §5.3: a timestamp half the circle ahead is an old one")
def timestamp_half_the_circle_ahead(t):
    c = t.connection("discard")
    c.open(ts=True)
    still_there(c)
    c.send("PA", b"x" * 10, options=stamped(c.tsval() + (1 << 31) + 5, c.ts_echo))
    c.expect_ack(51)
    still_there(c)


@case("RFC 7323 §5.2: a RST is not held to PAWS")
def reset_with_an_old_timestamp(t):
    c = t.connection("discard")
    c.open(ts=True)
    still_there(c)
    c.send("R", options=stamped(c.tsval() - 100000, c.ts_echo))
    c.expect_nothing(0.2)
    c.send("PA", b"gone?")
    c.expect("R")


@case("RFC 7323 §5.2: a RST needs no timestamp")
def reset_without_timestamp(t):
    c = t.connection("discard")
    c.open(ts=True)
    c.send("R", options=b"")
    c.expect_nothing(0.2)
    c.send("PA", b"gone?")
    c.expect("R")


@case("RFC 7323 §3.2: once agreed, a segment without the option is dropped (SHOULD)")
def segment_without_timestamps(t):
    c = t.connection("discard")
    c.open(ts=True)
    still_there(c)
    c.send("PA", b"x" * 10, options=b"")
    c.expect_nothing(0.6)
    c.nxt = 51
    still_there(c)


@case("RFC 7323 §4.3: TSecr is that of the segment which the ACK answers")
def echo_of_the_latest(t):
    c = t.connection("discard")
    c.open(ts=True)
    c.send("A", b"x" * 1400, options=stamped(c.ts_base + 500, c.ts_echo))
    c.send("A", b"x" * 1400, options=stamped(c.ts_base + 510, c.ts_echo))
    heard = [one for one in c.gather(quiet=0.25, most=0.6)][-1]
    if heard.ts[1] not in (c.ts_base + 500, c.ts_base + 510):
        raise Wrong(f"TSecr is {heard.ts[1] - c.ts_base} behind the base")


@case("RFC 7323 §4.3 (2): a segment out of order does not move TS.Recent")
def echo_with_a_hole(t):
    c = t.connection("discard")
    c.open(ts=True)
    c.send("PA", b"x" * 50, options=stamped(c.ts_base + 500, c.ts_echo))
    c.expect_ack(51)
    c.send("PA", b"x" * 50, seq=151, options=stamped(c.ts_base + 600, c.ts_echo))
    heard = c.expect_ack(51)
    if heard.ts[1] != c.ts_base + 500:
        raise Wrong(f"TSecr moved by {heard.ts[1] - c.ts_base - 500}")


@case("RFC 7323 §4.3 (3): a segment that fills a hole is echoed")
def echo_of_the_filling_segment(t):
    c = t.connection("discard")
    c.open(ts=True)
    c.send("PA", b"x" * 50, seq=51, options=stamped(c.ts_base + 600, c.ts_echo))
    c.expect_ack(1)
    c.send("PA", b"x" * 50, seq=1, options=stamped(c.ts_base + 700, c.ts_echo))
    heard = c.expect_ack(101)
    if heard.ts[1] != c.ts_base + 700:
        raise Wrong(f"TSecr {heard.ts[1] - c.ts_base} behind the base")


@case("RFC 7323 §5.3, RFC 5961 §5: a segment outside of the window moves no TS.Recent")
def echo_outside_of_the_window(t):
    c = t.connection("discard")
    c.open(ts=True)
    c.send("PA", b"x" * 50, options=stamped(c.ts_base + 500, c.ts_echo))
    c.expect_ack(51)
    c.send("PA", b"x" * 50, seq=1 << 30, options=stamped(c.ts_base + 90000, c.ts_echo))
    heard = c.expect_ack(51)
    if heard.ts[1] != c.ts_base + 500:
        raise Wrong("TS.Recent moved")
    c.nxt = 51
    c.send("PA", b"x" * 50, seq=51, options=stamped(c.ts_base + 501, c.ts_echo))
    c.expect_ack(101)


@case("RFC 7323 §5.3 R1: equal timestamps are not old")
def equal_timestamps(t):
    c = t.connection("echo")
    c.open(ts=True)
    for number in range(4):
        c.send("PA", b"%d" % number, options=stamped(c.ts_base + 50, c.ts_echo))
        if c.read(1, answer=False) != b"%d" % number:
            raise Wrong("no echo")


@case("RFC 7323 §5.4: the clock goes round the circle", rows={"within the text": 2})
def timestamps_round_the_circle(t, _):
    c = t.connection("echo")
    c.ts_base = 0xFFFFFFFF - 20
    c.open(ts=True)
    for number in range(4):
        c.send("PA", b"%d" % number, options=stamped(c.ts_base + 10 * number + 5, c.ts_echo))
        if c.read(1, answer=False) != b"%d" % number:
            raise Wrong(f"no echo at {number}")


@case("RFC 7323 §5.4: our clock ticks between 1 ms and 1 s", lasts=4)
def our_clock(t):
    c = t.connection("discard")
    c.open(ts=True)
    still_there(c)
    values = []
    for _ in range(2):
        c.send("A", b"\0", seq=50)
        heard = c.expect_ack(51)
        values.append((heard.at, heard.ts[0]))
        c.gather(quiet=1.2, most=1.2)
    rate = ((values[1][1] - values[0][1]) & 0xFFFFFFFF) / (values[1][0] - values[0][0])
    if not 0.9 <= rate <= 1100:
        raise Wrong(f"{rate:.0f} ticks a second")
    t.trace.append(f"{round(rate, -1):.0f} ticks a second")
