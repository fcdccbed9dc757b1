"""Text that the TCP sends: retransmission and its timer (RFC 6298), fast retransmit and recovery (RFC 5681, 6582, 6675, 3042)."""

from judges.registry import Wrong, case

FULL = 1000
WIDE = 60000


def flight_of(t, count=10, **offered):
    """A chargen whose first flight is there, unacknowledged; its segments in order."""
    c = t.connection("chargen")
    c.window = WIDE
    c.open(mss=FULL + 12 * bool(offered.get("ts")), **offered)
    found = {}
    for heard in c.gather(quiet=0.06, most=0.15):
        if heard.len:
            found.setdefault(heard.seq, heard)
    flight = [found[seq] for seq in sorted(found)]
    if len(flight) < count:
        raise Wrong(f"the first flight has {len(flight)} segments, {count} are needed")
    return c, flight


def end_of(heard):
    return heard.seq + heard.len


def retransmissions(found, first, last):
    return [heard for heard in found if heard.len and first <= heard.seq < last]


@case("RFC 6928 §2, RFC 5681 §3.1: the first flight is ten segments at most, and fills what it may")
def initial_window(t):
    c = t.connection("chargen")
    c.window = WIDE
    c.open(mss=FULL)
    found = {heard.seq: heard.len for heard in c.gather(quiet=0.06, most=0.15) if heard.len}
    total = sum(found.values())
    if not 2 * FULL <= total <= 10 * FULL:
        raise Wrong(f"{total} octets in the first flight")
    t.trace.append(f"{total} octets")


@case("RFC 1122 §2.3.2.2, RFC 4861 §7.2.2: the first flight to a host whose station has to be asked for is not lost", stranger=True)
def first_flight_to_a_stranger(t):
    c, flight = flight_of(t, 8)
    if flight[0].seq != 1 or any(one.seq + one.len != two.seq for one, two in zip(flight, flight[1:])):
        raise Wrong(f"a hole in the first flight: {[heard.seq for heard in flight]}")


@case("RFC 5681 §3.1: in slow start each acknowledged segment brings two at most (RFC 3465 §2.3: three with L=2)")
def slow_start(t):
    c, flight = flight_of(t, 4)
    before = c.rcv_nxt
    c.ack(end_of(flight[0]))
    found = {heard.seq: heard.len for heard in c.gather(quiet=0.06, most=0.12) if heard.len and heard.seq >= before}
    if sum(found.values()) > 3 * FULL:
        raise Wrong(f"one acknowledged segment brought {sum(found.values())} octets")
    if not found:
        raise Wrong("nothing new for an acknowledged segment")


@case("RFC 6298 §5.4, §5.5, RFC 9293 MUST-19: the same octets again, each time after twice as long", lasts=12)
def retransmission_backs_off(t):
    c = t.open("echo")
    c.send("PA", b"hello")
    first = c.expect("A", skip=lambda one: not one.len)
    at, again = [first.at], None
    while len(at) < 5:
        again = c.next(4.0)
        if again is None:
            raise Wrong(f"retransmitted {len(at) - 1} times")
        if again.len:
            at.append(again.at)
            if again.seq != 1 or again.data != first.data:
                raise Wrong(f"{c.line(again)} is not what was sent first")
    gaps = [two - one for one, two in zip(at, at[1:])]
    if gaps[0] < 0.15:
        raise Wrong(f"first after {gaps[0]:.3f} s")
    # The first may be a probe of the tail (RFC 8985 §7); from then on the timer doubles.
    if any(not 1.6 * one <= two <= 2.6 * one for one, two in zip(gaps[1:], gaps[2:])):
        raise Wrong(f"{', '.join(f'{gap:.2f}' for gap in gaps)} s apart")
    t.trace.append("again and again, doubling")


@case("RFC 6298 §5.4: the earliest segment that is not acknowledged goes first, alone", lasts=6)
def timeout_sends_the_earliest(t):
    c, flight = flight_of(t, 4)
    found = [heard for heard in c.gather(quiet=1.2, most=2.0) if heard.len]
    first_again = next((heard for heard in found if heard.seq == 1), None)
    if first_again is None:
        raise Wrong("no retransmission of the first")
    if first_again.data[:100] != flight[0].data[:100]:
        raise Wrong("other octets")
    late = first_again.at - flight[-1].at
    if late < 0.15:
        raise Wrong(f"after {late:.3f} s")


@case("RFC 5681 §3.1: after a timeout the window is one segment, then slow start", lasts=8)
def window_after_a_timeout(t):
    c, flight = flight_of(t, 8)
    again = c.next(3.0)
    while again is not None and not (again.len and again.seq == 1):
        again = c.next(3.0)
    if again is None:
        raise Wrong("no retransmission")
    burst = [again] + [heard for heard in c.gather(quiet=0.08, most=0.1) if heard.len]
    if sum(heard.len for heard in burst) > 2 * FULL:
        raise Wrong(f"{len(burst)} segments after a timeout")
    c.ack(end_of(flight[0]))
    burst = [heard for heard in c.gather(quiet=0.08, most=0.12) if heard.len]
    if not 1 <= len({heard.seq for heard in burst}) <= 3:
        raise Wrong(f"{len(burst)} segments after the first ACK")


@case("RFC 5681 §3.2: the third duplicate ACK brings the segment again, at once", rows={"plain": {}, "with timestamps": {"ts": True}})
def fast_retransmit(t, offered):
    c, flight = flight_of(t, 6, **offered)
    for _ in range(3):
        c.ack(1)
    found = c.gather(quiet=0.06, most=0.12)
    again = retransmissions(found, 1, 2)
    if not again:
        raise Wrong("no retransmission for three duplicate ACKs")
    c.expect_at_once(again[0])


@case("RFC 5681 §3.2, RFC 9293 §3.8.1: one duplicate ACK, or two, bring no retransmission (reordering)", rows={"one": 1, "two": 2})
def too_few_duplicate_acks(t, count):
    c, flight = flight_of(t, 6)
    for _ in range(count):
        c.ack(1)
    if again := retransmissions(c.gather(quiet=0.06, most=0.1), 1, 2):
        raise Wrong(f"{c.line(again[0])} came")


@case("RFC 3042 §2: the first two duplicate ACKs bring a new segment each")
def limited_transmit(t):
    c, flight = flight_of(t, 6)
    edge = end_of(flight[-1])
    for number in range(2):
        c.ack(1)
        new = [heard for heard in c.gather(quiet=0.04, most=0.06) if heard.len and heard.seq >= edge]
        if len(new) != 1:
            raise Wrong(f"duplicate ACK {number + 1} brought {len(new)} new segments")
        edge = end_of(new[0])


@case("RFC 5681 §2: an ACK with text, with another window or of something new is no duplicate", rows={"another window": "window", "with text": "text"})
def no_duplicate_acks(t, kind):
    c, flight = flight_of(t, 6)
    for number in range(3):
        if kind == "window":
            c.ack(1, window=WIDE - 100 * (number + 1))
        else:
            c.send("PA", b"x" * 10, ack=1)
    if again := retransmissions(c.gather(quiet=0.06, most=0.1), 1, 2):
        raise Wrong(f"{c.line(again[0])} came")


@case("RFC 6582 §3.2 step 3: a partial ACK brings the next hole again, at once")
def partial_ack(t):
    c, flight = flight_of(t, 8)
    for _ in range(4):
        c.ack(1)
    if not retransmissions(c.gather(quiet=0.06, most=0.1), 1, 2):
        raise Wrong("no fast retransmit")
    c.ack(end_of(flight[1]))
    third = flight[2].seq
    again = retransmissions(c.gather(quiet=0.06, most=0.12), third, third + 1)
    if not again:
        raise Wrong("the next hole is not retransmitted")


@case("RFC 6675 §5, RFC 2018 §5: with SACK only holes are sent again", rows={"one hole": (0,), "two holes": (0, 3), "three holes": (0, 2, 4)})
def sack_holes_only(t, holes):
    c, flight = flight_of(t, 9, sack=True)
    for upto in range(1, 9):
        blocks, start = [], None
        for number in range(9):
            there = number not in holes and number <= upto
            if there and start is None:
                start = flight[number].seq
            if not there and start is not None:
                blocks.append((start, flight[number].seq))
                start = None
        if start is not None:
            blocks.append((start, end_of(flight[8])))
        if blocks and upto not in holes:
            c.ack(1, blocks=list(reversed(blocks))[:4])
    found = [heard for heard in c.gather(quiet=0.08, most=0.15) if heard.len]
    again = {heard.seq for heard in found if heard.seq < flight[9 if len(flight) > 9 else 8].seq}
    wanted = {flight[number].seq for number in holes}
    if again - wanted:
        raise Wrong(f"sent again what was acknowledged selectively: {sorted(again - wanted)}")
    if flight[0].seq not in again:
        raise Wrong("the first hole is not sent again")


@case("RFC 6675 §4, DupThresh: SACK blocks for three segments behind a hole are a loss")
def sack_of_three_segments(t):
    c, flight = flight_of(t, 6, sack=True)
    c.ack(1, blocks=[(flight[1].seq, end_of(flight[3]))])
    again = retransmissions(c.gather(quiet=0.08, most=0.15), 1, 2)
    if not again:
        raise Wrong("no retransmission")


@case("RFC 2018 §5: a SACK block of what was never sent does no harm", rows={"beyond": (1 << 20, (1 << 20) + 1000), "below": (-5000, -4000), "backwards": (3001, 1001), "empty": (1001, 1001)})
def absurd_sack_block(t, block):
    c, flight = flight_of(t, 4, sack=True)
    for _ in range(2):
        c.ack(1, blocks=[block])
    c.gather(quiet=0.05, most=0.1)
    c.rcv_nxt = 1
    c.ack(1)
    # It goes on, and what was named by no block in the flight comes again.
    again = retransmissions(c.gather(quiet=0.8, most=2.0), 1, 2)
    if not again:
        raise Wrong("nothing is sent again")
    c.ack(end_of(flight[0]))


@case("RFC 2018 §8: what was acknowledged selectively is kept, for the receiver may renege", lasts=12)
def reneging_receiver(t):
    c, flight = flight_of(t, 6, sack=True)
    c.ack(1, blocks=[(flight[1].seq, end_of(flight[5]))])
    upto, seen = 1, {}
    for _ in range(12):
        for heard in c.gather(quiet=0.5, most=1.5):
            if heard.len:
                seen[heard.seq] = heard
        moved = False
        while upto in seen and upto < end_of(flight[5]):
            upto = end_of(seen.pop(upto))
            moved = True
        if upto >= end_of(flight[5]):
            return
        if moved:
            c.ack(upto)
        seen.clear()
    raise Wrong(f"octets from {upto} on never came again")


@case("RFC 5681 §3.2: an ACK of everything ends recovery; new text flows")
def recovery_ends(t):
    c, flight = flight_of(t, 6)
    for _ in range(3):
        c.ack(1)
    c.gather(quiet=0.06, most=0.1)
    c.ack(c.rcv_nxt)
    new = [heard for heard in c.gather(quiet=0.08, most=0.15) if heard.len]
    if not new:
        raise Wrong("nothing new")


@case("RFC 9293 §3.8.1, MUST-18; RFC 6298 §3: acknowledged octets are not sent again", lasts=5)
def nothing_again_after_its_ack(t):
    c, flight = flight_of(t, 4)
    c.ack(c.rcv_nxt, window=0)
    edge = c.rcv_nxt
    for heard in c.gather(quiet=1.0, most=1.2):
        if heard.len and end_of(heard) <= edge:
            raise Wrong(f"{c.line(heard)} again")


@case("RFC 9293 §3.7.1, SHLD-28: octets are sent in full segments while there are enough")
def full_segments(t):
    c, flight = flight_of(t, 6)
    small = [heard.len for heard in flight[:-1] if heard.len != FULL]
    if small:
        raise Wrong(f"segments of {small} octets in the flight")


@case("RFC 864: what chargen sends is what it should be, over ACKs of any rhythm", rows={"each": 1, "every second": 2, "every fifth": 5})
def octets_are_right(t, rhythm):
    c = t.open("chargen", window=20000, mss=536)
    whole, count = bytearray(), 0
    while len(whole) < 60000:
        heard = c.next(2.0)
        if heard is None:
            raise Wrong(f"nothing more after {len(whole)} octets")
        if heard.len and heard.seq <= 1 + len(whole) < end_of(heard):
            whole += heard.data[1 + len(whole) - heard.seq :]
            count += 1
            if count % rhythm == 0:
                c.ack(1 + len(whole))
    lines = bytes(whole).split(b"\r\n")[:-1]
    if any(len(line) != 72 for line in lines[1:]) or any(one[1:] != two[:71] for one, two in zip(lines[1:], lines[2:])):
        raise Wrong("the lines do not turn by one")


@case("RFC 9293 §3.1, MUST-2: every segment has a right checksum, whatever its length", rows={str(size): size for size in (1, 2, 3, 535, 1439)})
def checksums_of_ours(t, size):
    c = t.open("echo")
    c.send("PA", bytes(255 - at % 256 for at in range(size)))
    if len(c.read(size)) != size:
        raise Wrong("no echo")
