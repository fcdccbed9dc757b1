"""Text that arrives: order, overlaps, SACK, when it is acknowledged (RFC 9293 §3.10.7.4 seventh, RFC 5681 §4.2, RFC 2018, RFC 2883)."""

from judges.registry import Wrong, case

DELAYED = "RFC 9293 §3.8.6.3, MUST-40"


def letters(start, end):
    """What stands at these places of a stream that begins at 1."""
    return bytes(65 + (at % 26) for at in range(start, end))


def put(c, start, end, flags="PA"):
    c.send(flags, letters(start, end), seq=start)


def expect_echo(c, end):
    """The echo of octets 1 to `end` comes, each once and right."""
    if c.read(end - 1) != letters(1, end):
        raise Wrong("other octets were echoed")


@case("RFC 9293 SHLD-31, §3.10.7.4 seventh: segments in any order give the same octets",
      rows={
          "backwards": [(301, 401), (201, 301), (101, 201), (1, 101)],
          "first last": [(101, 201), (201, 301), (1, 101)],
          "two holes": [(101, 151), (201, 251), (1, 101), (151, 201)],
          "filled from behind": [(101, 151), (201, 251), (151, 201), (1, 101)],
          "single octets": [(2, 3), (4, 5), (3, 4), (1, 2)],
          "one that spans all": [(101, 151), (201, 251), (1, 301)],
          "one that spans the hole": [(1, 51), (101, 151), (41, 121)],
          "overlap on the left": [(101, 201), (51, 151), (1, 51)],
          "overlap on the right": [(101, 201), (151, 251), (1, 101)],
          "one within another": [(101, 301), (151, 201), (1, 101)],
          "the same again": [(101, 201), (101, 201), (1, 101), (1, 101)],
          "old and new octets": [(1, 101), (51, 151)],
          "overlaps of all kinds": [(10, 20), (30, 40), (15, 35), (5, 12), (38, 60), (1, 6)],
      })  # fmt: skip
def any_order(t, pieces):
    c = t.open("echo", window=20000)
    for start, end in pieces:
        put(c, start, end)
    expect_echo(c, max(end for _, end in pieces))
    c.gather(quiet=0.1, most=0.2)
    if c.acked != max(end for _, end in pieces):
        raise Wrong(f"acknowledged {c.acked}")


@case("RFC 5681 §4.2, SHOULD; RFC 9293 §3.8.6.3: a segment out of order is acknowledged at once", rows={"first": 1, "second": 2, "third": 3})
def out_of_order_is_acknowledged_at_once(t, count):
    c = t.open()
    for number in range(count):
        put(c, 101 + 100 * number, 201 + 100 * number)
        c.expect_at_once(c.expect_ack(1))


@case("RFC 5681 §4.2, §3.2: segments out of order that come together bring as many duplicate ACKs, or three at least")
def duplicate_acks_of_a_burst(t):
    c = t.open()
    for number in range(6):
        put(c, 101 + 100 * number, 201 + 100 * number)
    count = len([heard for heard in c.gather(quiet=0.1, most=0.5) if heard.ack == 1])
    if count < 3:
        raise Wrong(f"{count} duplicate ACKs for six segments")


@case("RFC 5681 §4.2: a segment that fills a hole is acknowledged at once")
def hole_filled_is_acknowledged_at_once(t):
    c = t.open()
    put(c, 101, 201)
    c.expect_ack(1)
    put(c, 1, 101)
    c.expect_at_once(c.expect_ack(201))


@case("RFC 5681 §4.2: a segment that fills a part of a hole is acknowledged at once")
def part_of_a_hole_filled(t):
    c = t.open()
    put(c, 301, 401)
    c.expect_ack(1)
    put(c, 1, 101)
    c.expect_at_once(c.expect_ack(101))


@case("RFC 9293 §3.10.7.4: a FIN that overtakes text waits for it")
def fin_overtakes_text(t):
    c = t.open("echo")
    c.send("FPA", letters(6, 11), seq=6)
    heard = c.expect_ack(1)
    if heard.has("F"):
        raise Wrong("FIN before the text")
    put(c, 1, 6)
    expect_echo(c, 11)
    c.gather(quiet=0.2, most=0.5)
    if c.acked != 12:
        raise Wrong(f"acknowledged {c.acked}, not 12")


@case(f"{DELAYED}: a lone segment is acknowledged within half a second")
def lone_segment(t):
    c = t.open()
    c.send("PA", b"x" * 100)
    heard = c.expect_ack(101)
    if heard.at - t.sent_at >= 0.5:
        raise Wrong(f"after {heard.at - t.sent_at:.3f} s")


@case("RFC 9293 §3.8.6.3, SHLD-19: an ACK for at least every second full segment", rows={"2 at once": 2, "4 at once": 4, "10 at once": 10})
def every_second_full_segment(t, count):
    c = t.open()
    for _ in range(count):
        c.send("A", b"x" * 1400)
    end = 1 + 1400 * count
    first = c.next(1.0)
    if first is None:
        raise Wrong("no ACK")
    c.expect_at_once(first)
    while c.acked < end and c.next(0.5):
        pass
    if c.acked != end:
        raise Wrong(f"acknowledged {c.acked} of {end}")
    t.trace.append(f"acknowledged {end} {t.timing(first)}")


@case("RFC 9293 §3.8.6.3, SHLD-19: in a slow stream too every second full segment is acknowledged at once")
def every_second_of_a_slow_stream(t):
    c = t.open()
    c.send("A", b"x" * 1400)
    c.gather(quiet=0.6, most=0.6)
    for number in range(3):
        c.send("A", b"x" * 1400)
        early = c.gather(quiet=0.01, most=0.015)
        c.send("A", b"x" * 1400)
        if not early or c.acked < c.nxt:
            heard = c.next(1.0)
            if heard is None or c.acked < c.nxt:
                raise Wrong("two full segments are not acknowledged")
            c.expect_at_once(heard)
        c.gather(quiet=0.05, most=0.05)


@case("RFC 9293 §3.8.6.3: an answer of the application takes the ACK with it")
def ack_with_the_answer(t):
    c = t.open("echo")
    c.send("PA", b"hello")
    heard = c.expect("A", ack=6, skip=lambda one: not one.len)
    if heard.data != b"hello":
        raise Wrong(f"{c.line(heard)} came")


@case("RFC 9293 §3.10.7.4, sixth; §3.8.5, MUST-30: text with URG is delivered in its place",
      rows={"pointer 1": 1, "at the end": 5, "beyond": 500, "zero": 0, "65535": 65535})
def urgent_text(t, pointer):
    c = t.open("discard")
    c.send("PUA", b"hello", urgent=pointer)
    c.expect_ack(6)
    c.send("PA", b"x" * 10)
    c.expect_ack(16)


@case("RFC 9293 §3.1: an urgent pointer without URG says nothing")
def pointer_without_urg(t):
    c = t.open("echo")
    c.send("PA", b"hello", urgent=3)
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 9293 §3.10.7.4, seventh: text is taken with PSH or without", rows={"with": "PA", "without": "A"})
def push_or_not(t, flags):
    c = t.open("echo")
    c.send(flags, b"hello")
    if c.read(5) != b"hello":
        raise Wrong("no echo")


@case("RFC 9293 §3.9.1.2, MUST-61: the last segment of what the application gave has PSH")
def push_on_the_last_segment(t):
    c = t.open("echo")
    c.send("PA", b"hello")
    heard = c.expect("A", ack=6, skip=lambda one: not one.len)
    if not heard.has("P"):
        raise Wrong("no PSH")


# ---- SACK ----


def blocks(c, heard):
    return [((left - c.irs_of_blocks) & 0xFFFFFFFF, (right - c.irs_of_blocks) & 0xFFFFFFFF) for left, right in heard.sack]


def open_with_sack(t, **offered):
    c = t.open("discard", sack=True, **offered)
    c.irs_of_blocks = c.iss
    return c


def expect_blocks(c, ack, wanted):
    heard = c.expect_ack(ack)
    if blocks(c, heard) != wanted:
        raise Wrong(f"SACK blocks {wanted} were due, {blocks(c, heard)} came")
    return heard


@case("RFC 2018 §4: an ACK while there is a hole says what lies behind it")
def sack_of_one_block(t):
    c = open_with_sack(t)
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201)])
    put(c, 201, 301)
    expect_blocks(c, 1, [(101, 301)])


@case("RFC 2018 §4: the first block is the one that this segment belongs to, then the most recent ones")
def sack_order_of_blocks(t):
    c = open_with_sack(t)
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201)])
    put(c, 301, 401)
    expect_blocks(c, 1, [(301, 401), (101, 201)])
    put(c, 501, 601)
    expect_blocks(c, 1, [(501, 601), (301, 401), (101, 201)])
    put(c, 401, 451)
    expect_blocks(c, 1, [(301, 451), (501, 601), (101, 201)])


@case("RFC 2018 §3: at most four blocks, three with timestamps", rows={"plain": (False, 4), "with timestamps": (True, 3)})
def sack_most_blocks(t, row):
    with_ts, most = row
    c = open_with_sack(t, ts=with_ts)
    for number in range(6):
        put(c, 101 + 200 * number, 201 + 200 * number)
    heard = c.gather(quiet=0.2, most=1.0)[-1]
    expected = [(101 + 200 * number, 201 + 200 * number) for number in range(5, 5 - most, -1)]
    if blocks(c, heard) != expected:
        raise Wrong(f"blocks {blocks(c, heard)}, not {expected}")


@case("RFC 2018 §4: blocks go when the hole is filled")
def sack_ends_with_the_hole(t):
    c = open_with_sack(t)
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201)])
    put(c, 1, 101)
    expect_blocks(c, 201, [])


@case("RFC 2018 §4: blocks that are joined are one")
def sack_joins_blocks(t):
    c = open_with_sack(t)
    put(c, 101, 201)
    put(c, 301, 401)
    put(c, 201, 301)
    last = c.gather(quiet=0.2, most=1.0)[-1]
    if blocks(c, last) != [(101, 401)]:
        raise Wrong(f"blocks {blocks(c, last)}")


@case("RFC 2883 §4.1: the first block of an ACK to a duplicate says what came twice", rows={"all of it": (1, 101), "a part": (51, 101)})
def duplicate_sack_below(t, row):
    c = open_with_sack(t)
    put(c, 1, 101)
    c.expect_ack(101)
    put(c, *row)
    expect_blocks(c, 101, [row])


@case("RFC 2883 §4.1, example 2: a duplicate while there is a hole")
def duplicate_sack_above(t):
    c = open_with_sack(t)
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201)])
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201), (101, 201)])


@case("RFC 2883 §4.1: a duplicate below, while there is a hole")
def duplicate_sack_with_a_hole(t):
    c = open_with_sack(t)
    put(c, 1, 101)
    c.expect_ack(101)
    put(c, 201, 301)
    expect_blocks(c, 101, [(201, 301)])
    put(c, 1, 101)
    expect_blocks(c, 101, [(1, 101), (201, 301)])


@case("RFC 2018 §2: a peer that did not permit SACK gets none")
def no_sack_unless_permitted(t):
    c = t.open("discard")
    put(c, 101, 201)
    if c.expect_ack(1).sack:
        raise Wrong("a SACK block")


@case("RFC 9293 §3.4: reassembly round the circle, with SACK")
def sack_round_the_circle(t):
    c = t.connection("discard")
    c.iss = 0xFFFFFFFF - 120
    c.open(sack=True)
    c.irs_of_blocks = c.iss
    put(c, 101, 201)
    expect_blocks(c, 1, [(101, 201)])
    put(c, 1, 101)
    expect_blocks(c, 201, [])
