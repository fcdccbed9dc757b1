"""One direction of a bad path: what befalls each frame, and what is counted. scripts/relay gives it sockets and a clock.

    frame ─ blackout ─ MTU ─ loss ─ burst loss ─ mark ─ corruption ─ duplication ─ rate with its queue ─ delay, jitter, reordering ─▶

Every frame has one end: passed on, or counted under one of ENDS; a duplicate is a frame more. Each kind of fate draws from
a generator of its own, by the seed and by how many frames came before, so that one does not change another's choices.
Blackouts and MTUs that last for a time count it from the first TCP frame of either direction.
"""

import collections
import dataclasses
import random

ENDS = ("lost", "burst_lost", "blacked_out", "too_big", "overflowed", "refused")
MARKS = ("reordered", "duplicated", "corrupted", "marked", "told")
ALWAYS = (float("-inf"), float("inf"))
ETHERNET = 14
ETHERTYPE_V4, ETHERTYPE_V6 = b"\x08\x00", b"\x86\xdd"
ICMP_V4, ICMP_V6, TCP = 1, 58, 6
# RFC 4443 §3.2: an error carries as much as fits the least MTU of IPv6.
LARGEST_ICMP_V6_QUOTE = 1280 - 40 - 8


@dataclasses.dataclass
class Fates:
    """Shares are from 0 to 1, times in seconds, `rate` in bits per second, `mtu` in bytes of the IP packet."""

    loss: float = 0.0
    burst_loss: float = 0.0  # share of all frames that bursts take
    burst_mean: float = 5.0  # mean length of a burst, in frames
    burst_longest: float = 0.1  # and its length in time at most
    reorder: float = 0.0
    reorder_by: float = 0.002
    duplicate: float = 0.0
    corrupt: float = 0.0
    mark: float = 0.0  # of the packets that say ECT: Congestion Experienced (RFC 3168)
    delay: float = 0.0
    jitter: float = 0.0  # a frame takes from `delay` to `delay + jitter`, and overtakes none by that
    rate: float = 0.0  # 0: without limit
    queue: tuple = (100, "frames")  # what waits for the link at most: (number, "frames" or "bytes")
    mtu: int = 0  # 0: without limit
    mtu_during: tuple = ALWAYS  # (from, until)
    mtu_tells: bool = False  # ICMP Fragmentation Needed and Packet Too Big go back
    blackouts: tuple = ()  # of (from, until)
    spare: int = 0  # the first frames that no random fate befalls


class Timeline:
    """Seconds since the first TCP frame; -1 before it."""

    def __init__(self):
        self.origin = None

    def at(self, frame, now):
        if self.origin is None:
            if not is_tcp(frame):
                return -1.0
            self.origin = now
        return now - self.origin


class Bursts:
    """Gilbert's model: a good state that loses nothing and a bad one that loses all, changed by chance at each frame.

    With a mean burst of N frames the bad state is left with 1/N; it is entered so that bursts take `share` of all frames.
    It is left after `longest` seconds, too: counted in frames alone, a burst that meets nothing but the retransmissions of one
    connection would outlast them for minutes, each time twice as long, which is a dead path and not a burst.
    """

    def __init__(self, share, mean, longest, generator):
        self.leave, self.longest = 1 / max(mean, 1.0), longest
        self.enter = min(1.0, share * self.leave / (1 - share)) if share < 1 else 1.0
        self.draw, self.bad, self.until = generator.random, False, 0.0

    def takes_next(self, now):
        drawn = self.draw()
        if self.bad and now < self.until:
            self.bad = drawn >= self.leave
        else:
            self.bad = drawn < self.enter
            self.until = now + self.longest
        return self.bad


class Link:
    """A serialising link of so many bits per second, with a bounded queue before it that drops at its tail."""

    def __init__(self, rate, queue):
        self.seconds_per_byte = 8 / rate
        self.limit, self.unit = queue
        self.free_at = 0.0
        self.waiting, self.waiting_bytes = collections.deque(), 0

    def departure(self, size, now):
        """When a frame of that size has left, or None when the queue is full."""
        waiting = self.waiting
        while waiting and waiting[0][0] <= now:
            self.waiting_bytes -= waiting.popleft()[1]
        full = len(waiting) >= self.limit if self.unit == "frames" else self.waiting_bytes + size > self.limit
        if full and waiting:
            return None
        self.free_at = max(now, self.free_at) + size * self.seconds_per_byte
        waiting.append((self.free_at, size))
        self.waiting_bytes += size
        return self.free_at


class Way:
    """`send(frame)` passes a frame on now, `hold(due, frame)` later, `answer(frame)` sends one back where it came from."""

    def __init__(self, name, fates, seed, timeline, send, hold, answer):
        self.name, self.fates, self.timeline = name, fates, timeline
        self.send, self.hold, self.answer = send, hold, answer
        self.counts = dict.fromkeys(("received", "sent", *ENDS, *MARKS), 0)

        def generator(fate):
            return random.Random(f"{seed}/{name}/{fate}")

        self.draws = {fate: generator(fate).random for fate in ("loss", "reorder", "duplicate", "corrupt", "where", "jitter", "mark")}
        self.bursts = Bursts(fates.burst_loss, fates.burst_mean, fates.burst_longest, generator("burst")) if fates.burst_loss else None
        self.link = Link(fates.rate, fates.queue) if fates.rate else None
        self.timed = bool(fates.mtu or fates.blackouts)
        self.last_due = 0.0

    def treat(self, frame, now):
        fates, counts, draws = self.fates, self.counts, self.draws
        counts["received"] += 1
        # The other direction may count from this frame, though nothing here does.
        elapsed = self.timeline.at(frame, now)
        if self.timed:
            for start, end in fates.blackouts:
                if start <= elapsed < end:
                    counts["blacked_out"] += 1
                    return
            if fates.mtu and len(frame) - ETHERNET > fates.mtu and fates.mtu_during[0] <= elapsed < fates.mtu_during[1]:
                self.too_big(frame)
                return
        copies, late = 1, 0.0
        if counts["received"] > fates.spare:
            if fates.loss and draws["loss"]() < fates.loss:
                counts["lost"] += 1
                return
            if self.bursts and self.bursts.takes_next(now):
                counts["burst_lost"] += 1
                return
            if fates.mark and draws["mark"]() < fates.mark and may_be_marked(frame):
                counts["marked"] += 1
                frame = marked(frame)
            if fates.corrupt and draws["corrupt"]() < fates.corrupt and frame[12:14] in (ETHERTYPE_V4, ETHERTYPE_V6):
                counts["corrupted"] += 1
                frame = corrupted(frame, draws["where"]())
            if fates.duplicate and draws["duplicate"]() < fates.duplicate:
                counts["duplicated"] += 1
                copies = 2
            if fates.reorder and draws["reorder"]() < fates.reorder:
                counts["reordered"] += 1
                late = fates.reorder_by
        for _ in range(copies):
            self.forward(frame, late, now)

    def forward(self, frame, late, now):
        fates, due = self.fates, now
        if self.link:
            due = self.link.departure(len(frame), now)
            if due is None:
                self.counts["overflowed"] += 1
                return
        due += fates.delay
        if fates.jitter:
            due += fates.jitter * self.draws["jitter"]()
        if late:
            due += late
        else:
            due = self.last_due = max(due, self.last_due)
        if due > now:
            self.hold(due, frame)
        else:
            self.send(frame)

    def too_big(self, frame):
        self.counts["too_big"] += 1
        if self.fates.mtu_tells:
            told = packet_too_big(frame, self.fates.mtu)
            if told:
                self.counts["told"] += 1
                self.answer(told)


def is_tcp(frame):
    kind = frame[12:14]
    return (kind == ETHERTYPE_V4 and frame[23:24] == b"\x06") or (kind == ETHERTYPE_V6 and frame[20:21] == b"\x06")


def may_be_marked(frame):
    """An IP packet with ECT(0) or ECT(1), RFC 3168 §5."""
    kind = frame[12:14]
    bits = frame[15] & 3 if kind == ETHERTYPE_V4 else frame[15] >> 4 & 3 if kind == ETHERTYPE_V6 else 0
    return bits in (1, 2)


def marked(frame):
    """The same with Congestion Experienced, and what that does to the checksum of an IPv4 header (RFC 1624)."""
    if frame[12:14] == ETHERTYPE_V6:
        return frame[:15] + bytes([frame[15] | 0x30]) + frame[16:]
    before, after = frame[15], frame[15] | 3
    checksum = (~int.from_bytes(frame[24:26], "big") & 0xFFFF) + (~before & 0xFFFF) + after
    while checksum >> 16:
        checksum = (checksum & 0xFFFF) + (checksum >> 16)
    return frame[:15] + bytes([after]) + frame[16:24] + (checksum ^ 0xFFFF).to_bytes(2, "big") + frame[26:]


def corrupted(frame, where):
    """One byte behind the Ethernet header with some bits turned: any Internet checksum over it notices."""
    at = ETHERNET + int(where * (len(frame) - ETHERNET))
    turned = 1 + int(where * 7919) % 255
    return frame[:at] + bytes([frame[at] ^ turned]) + frame[at + 1 :]


def packet_too_big(frame, mtu):
    """The frame that a router sends back for one that it can neither pass nor cut, in the name of its destination; or None."""
    ethernet = frame[6:12] + frame[0:6] + frame[12:14]
    packet = frame[ETHERNET:]
    if frame[12:14] == ETHERTYPE_V4 and packet[6] & 0x40:  # RFC 1191 §4: only where Don't Fragment is set
        quote = packet[: (packet[0] & 0xF) * 4 + 8]
        icmp = with_checksum(b"\x03\x04\0\0\0\0" + mtu.to_bytes(2, "big") + quote, at=2)
        head = b"\x45\xc0" + (20 + len(icmp)).to_bytes(2, "big") + b"\0\0\0\0\x40\x01\0\0" + packet[16:20] + packet[12:16]
        return ethernet + with_checksum(head, at=10) + icmp
    if frame[12:14] == ETHERTYPE_V6:
        icmp = b"\x02\0\0\0" + mtu.to_bytes(4, "big") + packet[:LARGEST_ICMP_V6_QUOTE]
        ends = packet[24:40] + packet[8:24]
        pseudo = ends + len(icmp).to_bytes(4, "big") + bytes([0, 0, 0, ICMP_V6])
        icmp = with_checksum(icmp, at=2, also=pseudo)
        return ethernet + b"\x60\0\0\0" + len(icmp).to_bytes(2, "big") + bytes([ICMP_V6, 64]) + ends + icmp
    return None


def internet_checksum(data):
    """RFC 1071."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def with_checksum(data, at, also=b""):
    return data[:at] + internet_checksum(also + data).to_bytes(2, "big") + data[at + 2 :]
