"""Options of TCP: RFC 9293 §3.1 and §3.2, RFC 7323, RFC 2018; the malformed ones do no harm."""

import segments
from judges.registry import Wrong, case
from segments import EOL, MSS, NOP, SACK_OK, SACK_PERMITTED, TIMESTAMPS, WSCALE, mss, timestamps, wscale

TS = timestamps(1000, 0)
N = bytes((NOP,))


def offer(t, options, service="echo"):
    c = t.connection(service)
    c.syn(options=options)
    return c, c.expect_syn_ack()


def expect_offered(heard, allowed):
    beyond = set(heard.options) - set(allowed)
    if beyond:
        raise Wrong(f"SYN+ACK has option {', '.join(segments.OPTION_NAMES.get(kind, str(kind)) for kind in beyond)}, which was not offered")
    if MSS not in heard.options:
        raise Wrong("SYN+ACK has no MSS option (SHLD-5)")


def echoes(c, with_ts=False):
    c.ts = with_ts
    c.send("A")
    c.send("PA", b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 7323 §2.2, §3.2, RFC 2018 §2: only what the SYN offered; RFC 9293 MUST-4, MUST-5",
      rows={
          "none": (b"", ()),
          "MSS": (mss(1460), ()),
          "window scale": (mss(1460) + N + wscale(7), (WSCALE,)),
          "timestamps": (mss(1460) + N + N + TS, (TIMESTAMPS,)),
          "SACK permitted": (mss(1460) + SACK_OK, (SACK_PERMITTED,)),
          "as Linux orders them": (mss(1460) + SACK_OK + TS + N + wscale(7), (WSCALE, TIMESTAMPS, SACK_PERMITTED)),
          "as FreeBSD orders them": (mss(1460) + N + wscale(6) + SACK_OK + TS, (WSCALE, TIMESTAMPS, SACK_PERMITTED)),
          "as Windows orders them": (mss(1460) + N + wscale(8) + N + N + SACK_OK, (WSCALE, SACK_PERMITTED)),
          "backwards": (wscale(7) + N + TS + SACK_OK + mss(1460), (WSCALE, TIMESTAMPS, SACK_PERMITTED)),
          "unaligned": (N + wscale(7) + mss(1460) + TS + N * 3 + SACK_OK, (WSCALE, TIMESTAMPS, SACK_PERMITTED)),
          "40 octets of them": (mss(1460) + SACK_OK + TS + N + wscale(7) + N * 20, (WSCALE, TIMESTAMPS, SACK_PERMITTED)),
      })  # fmt: skip
def offered(t, row):
    options, kinds = row
    c, heard = offer(t, options)
    expect_offered(heard, (MSS, *kinds))
    if missing := set(kinds) - set(heard.options):
        raise Wrong(f"SYN+ACK leaves out {', '.join(segments.OPTION_NAMES[kind] for kind in missing)}")
    echoes(c, with_ts=TIMESTAMPS in kinds)


@case("RFC 9293 §3.1, MUST-6: an option that is not known is ignored",
      rows={
          "experimental": bytes((253, 4, 0x12, 0x34)),
          "bare kind": bytes((200, 2)),
          "as long as can be": bytes((254, 40)) + bytes(38),
          "between known ones": mss(1460) + bytes((77, 6, 1, 2, 3, 4)) + SACK_OK + N * 4,
          "TCP MD5 without a key": bytes((19, 18)) + bytes(16) + N * 2,
          "Fast Open without a cookie": mss(1460) + bytes((34, 2)) + N * 2,
          "multipath": mss(1460) + bytes((30, 12)) + bytes(10),
      })  # fmt: skip
def unknown_option(t, options):
    c, heard = offer(t, options)
    echoes(c)


@case("RFC 9293 §3.1, MUST-7: an illegal option length is survived",
      rows={
          "zero": bytes((99, 0, 1, 1)),
          "one": bytes((99, 1, 1, 1)),
          "beyond the header": bytes((99, 40, 0, 0)),
          "MSS of zero octets": bytes((MSS, 0, 5, 180)),
          "MSS of 3": bytes((MSS, 3, 5)) + N,
          "MSS of 5": bytes((MSS, 5, 5, 180, 1)) + N * 3,
          "MSS cut off": N * 2 + bytes((MSS, 4)),
          "window scale of 2": bytes((WSCALE, 2)) + N * 2,
          "window scale of 4": bytes((WSCALE, 4, 7, 7)),
          "SACK permitted of 3": bytes((SACK_PERMITTED, 3, 0)) + N,
          "timestamps of 9": bytes((TIMESTAMPS, 9)) + bytes(7) + N * 3,
          "timestamps cut off": N * 2 + bytes((TIMESTAMPS, 10)),
          "a kind without length": N * 3 + bytes((TIMESTAMPS,)),
          "all octets 255": b"\xff" * 40,
      })  # fmt: skip
def illegal_option_length(t, options):
    c = t.connection("echo")
    c.syn(options=options)
    heard = c.next(0.5)
    c.mark(heard)
    if heard is not None and not heard.has("SA") and not heard.has("R"):
        raise Wrong(f"{c.line(heard)} came")
    if heard is not None and heard.has("SA"):
        expect_offered(heard, (MSS,))
        echoes(c)
    t.expect_alive()


@case("RFC 9293 §3.1: what stands behind the end of the option list is no option",
      rows={"window scale": wscale(7), "timestamps": TS, "SACK permitted": SACK_OK, "junk": b"\xff\x00\xff"})
def behind_the_end_of_options(t, hidden):
    c, heard = offer(t, mss(1460) + bytes((EOL,)) + hidden)
    expect_offered(heard, (MSS,))
    echoes(c)


@case("RFC 9293 §3.7.1, MUST-14, MUST-15: no segment is larger than the MSS offered, 536 (v4) or 1220 (v6) without one",
      rows={"none": None, "100": 100, "536": 536, "1000": 1000, "1220": 1220, "1460": 1460, "65535": 65535})
def mss_is_honoured(t, value):
    c = t.connection("chargen")
    c.open(mss=value)
    limit = value if value is not None else 536 if t.family == 4 else 1220
    limit = min(limit, 1460 if t.family == 4 else 1440)
    largest = max(heard.len for heard in c.gather(quiet=0.2, most=1.0))
    if largest > limit:
        raise Wrong(f"{largest} octets in a segment")
    if largest < limit:
        raise Wrong(f"the largest segment has {largest} octets, not {limit}")
    c.tester.trace.append(f"largest {largest}")


@case("RFC 9293 §3.7.1: an MSS that makes no sense does no harm; 0 may stand for none", rows={"0": 0, "1": 1, "8": 8})
def absurd_mss(t, value):
    c = t.connection("chargen")
    c.syn(mss=value)
    heard = c.next(1.0)
    c.mark(heard)
    if heard is not None and not heard.has("SA"):
        raise Wrong(f"{c.line(heard)} came")
    if heard is not None:
        c.send("A")
        found = [one.len for one in c.gather(quiet=0.2, most=0.6) if one.len]
        most = 64 if value else 536 if t.family == 4 else 1220
        if not found or max(found) > most:
            raise Wrong(f"segments of {found[:5]} octets")
    t.expect_alive()


@case("RFC 7323 §3.2, RFC 9293 §3.7.1: with timestamps data is shorter by the option", rows={"1460": 1460, "1000": 1000})
def mss_counts_options(t, value):
    c = t.connection("chargen")
    c.open(mss=value, ts=True)
    expected = min(value, 1460 if t.family == 4 else 1440) - 12
    largest = max(heard.len for heard in c.gather(quiet=0.2, most=1.0))
    if largest != expected:
        raise Wrong(f"the largest segment has {largest} octets, not {expected}")


@case("RFC 9293 §3.7.1: MSS is said in SYNs only; elsewhere it is ignored")
def mss_after_the_handshake(t):
    c = t.connection("chargen")
    c.syn(mss=1000)
    c.expect_syn_ack()
    c.send("A", options=mss(200))
    if max(heard.len for heard in c.gather(quiet=0.2, most=1.0)) != 1000:
        raise Wrong("the MSS of a later segment counts")


@case("RFC 7323 §2.1: window scale is said in SYNs only; elsewhere it is ignored")
def window_scale_after_the_handshake(t):
    c = t.connection("chargen", )
    c.window = 2000
    c.syn()
    c.expect_syn_ack()
    c.send("A", options=wscale(7) + N)
    total = sum(heard.len for heard in c.gather(quiet=0.15, most=0.15))
    if total > 2000:
        raise Wrong(f"{total} octets into a window of 2000")


@case("RFC 7323 §2.2: without the option in both SYNs no window is scaled")
def no_window_scale(t):
    c = t.connection("chargen")
    c.window = 3000
    c.open()
    total = sum(heard.len for heard in c.gather(quiet=0.15, most=0.15))
    if total > 3000:
        raise Wrong(f"{total} octets into a window of 3000")


@case("RFC 7323 §2.2: the window field of a SYN is never scaled")
def window_of_a_syn_is_not_scaled(t):
    c = t.connection("chargen")
    c.syn(window=2, wscale=7)
    heard = c.expect_syn_ack()
    if heard.window == 0:
        raise Wrong("SYN+ACK with window 0")
    c.ack(window=2)
    total = sum(heard.len for heard in c.gather(quiet=0.15, most=0.15))
    if total > 256:
        raise Wrong(f"{total} octets into a window of 2 << 7")


def flight_grows_to(t, shift, window):
    """The largest flight of a chargen whose every segment but the last few is acknowledged."""
    c = t.connection("chargen")
    c.window = window
    c.open(wscale=shift, mss=1460)
    largest = 0
    for _ in range(12):
        found = c.gather(quiet=0.05, most=0.5)
        data = [heard for heard in found if heard.len]
        if not data:
            break
        flight = max(heard.seq + heard.len for heard in data) - data[0].seq
        largest = max(largest, flight)
        for heard in data[::2]:
            c.ack(heard.seq + heard.len)
        c.ack(c.rcv_nxt)
    return largest


@case("RFC 7323 §2.3: a shift above 14 is taken for 14", rows={"14": 14, "15": 15, "255": 255})
def window_scale_limit(t, shift):
    largest = flight_grows_to(t, shift, 2)
    if not 16384 < largest <= 2 << 14:
        raise Wrong(f"a window of 2 shifted by {shift} let {largest} octets fly")


@case("RFC 7323 §2.2: a window beyond 65,535 octets is used")
def window_scale_is_used(t):
    largest = flight_grows_to(t, 4, 12000)
    if largest <= 65535:
        raise Wrong(f"at most {largest} octets flew into a window of 192,000")


@case("RFC 2018 §2: SACK permitted is said in SYNs only; without it no SACK option is sent")
def sack_permitted_after_the_handshake(t):
    c = t.connection("discard")
    c.syn()
    c.expect_syn_ack()
    c.send("A", options=SACK_OK + N + N)
    c.send("A", b"x" * 100, seq=101)
    if c.expect_ack(1).sack:
        raise Wrong("a SACK block that was not permitted")


@case("RFC 9293 §3.1: an option that comes twice does no harm",
      rows={"MSS": mss(1000) + mss(500), "timestamps": TS + TS, "window scale": N + wscale(3) + N + wscale(5), "SACK permitted": SACK_OK + SACK_OK})
def option_twice(t, options):
    c, heard = offer(t, options)
    echoes(c, with_ts=TIMESTAMPS in heard.options)


@case("RFC 9293 §3.1, MUST-5, MUST-7: options of any form are taken in any segment",
      rows={"unknown": bytes((253, 4, 1, 2)), "zero length": bytes((99, 0, 0, 0)), "cut off": bytes((99, 40, 0, 0)), "MSS": mss(100), "SACK of odd length": bytes((5, 7, 1, 2, 3, 4, 5)) + N,
            "SACK of nothing": bytes((5, 2)) + N + N, "SACK not permitted": segments.sack((1, 2)) + N + N})
def options_in_a_data_segment(t, options):
    c = t.open("echo")
    c.send("PA", b"hello", options=options)
    heard = c.next(0.5)
    if heard is None:
        c.send("PA", b"hello", seq=1)
        if c.read(5) != b"hello":
            raise Wrong("no echo")
    elif heard.has("R"):
        raise Wrong(f"{c.line(heard)} came")
    t.expect_alive()


@case("RFC 9293 §3.1: the reserved bits are ignored in received segments", rows={"0x2": 2, "0x4": 4, "0x8": 8, "0xe": 14})
def reserved_bits(t, bits):
    c = t.connection("echo")
    c.send("S", seq=0, options=c.syn_options(), reserved=bits)
    c.nxt = 1
    c.expect_syn_ack()
    c.send("A", reserved=bits)
    c.send("PA", b"hello", reserved=bits)
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 9293 §3.1: reserved bits of what is sent are zero", rows={"plain": {}, "all options": {"ts": True, "sack": True, "wscale": 7}})
def reserved_bits_of_ours(t, offered):
    c = t.connection("echo")
    c.syn(**offered)
    raw = t.take(c.is_mine, 1.0)
    if raw is None:
        raise Wrong("no SYN+ACK")
    header = raw.ip[20 if t.family == 4 else 40 :]
    if header[12] & 0x0F:
        raise Wrong(f"reserved bits {header[12] & 15:#x} in a SYN+ACK")
    if raw.urgent:
        raise Wrong("an urgent pointer without URG")
