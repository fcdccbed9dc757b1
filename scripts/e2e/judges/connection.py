"""A connection as its peer sees it, in numbers relative to the two SYNs; it does what a case says, and nothing by itself.

Sequence numbers here are relative: the judge's SYN is 0 and its data begins at 1, and so for the TCP under judgment.
"""

import dataclasses
import random
import time

import segments
from judges.registry import Wrong
from segments import NOP

MASK = 0xFFFFFFFF


def signed(value):
    return ((value & MASK) ^ 0x80000000) - 0x80000000


class Connection:
    def __init__(self, tester, port, source_port):
        self.tester, self.port, self.source_port = tester, port, source_port
        self.iss = random.randrange(1 << 32)
        self.irs = None
        self.nxt = 0  # what a segment's sequence number is unless it is said
        self.rcv_nxt = 0  # and its acknowledgment
        self.acked = 0  # what the TCP has acknowledged
        self.window = 65535
        self.ts = False
        self.ts_base = random.randrange(1 << 31)
        self.ts_echo = 0
        self.began = time.monotonic()
        self.peer = None  # its SYN+ACK

    # ---- out ----

    def tsval(self):
        return (self.ts_base + int((time.monotonic() - self.began) * 1000)) & MASK

    def segment(self, flags, data=b"", seq=None, ack=None, window=None, options=None, **fields):
        if options is None:
            options = bytes((NOP, NOP)) + segments.timestamps(self.tsval(), self.ts_echo) if self.ts else b""
        seq = self.nxt if seq is None else seq
        number = 0
        if "A" in flags:
            number = (self.irs or 0) + (self.rcv_nxt if ack is None else ack)
        return segments.Segment(
            self.source_port, self.port, (self.iss + seq) & MASK, number & MASK, flags,
            self.window if window is None else window, options, data, **fields,
        )  # fmt: skip

    def send(self, flags, data=b"", seq=None, ack=None, window=None, options=None, **fields):
        """`fields` are those of a Segment (urgent, offset, reserved, checksum)."""
        made = self.segment(flags, data, seq, ack, window, options, **fields)
        self.tester.send_segment(made)
        said = f"{flags or '-'} seq={signed(made.seq - self.iss)} ack={signed(made.ack - (self.irs or 0)) if 'A' in flags else '-'} len={len(data)} win={made.window}"
        self.tester.log[-1] = self.tester.log[-1].split(">")[0] + "> " + said
        end = (self.nxt if seq is None else seq) + len(data) + ("S" in flags) + ("F" in flags)
        if "R" not in flags:
            self.nxt = max(self.nxt, end)

    def ack(self, upto=None, window=None, blocks=()):
        """A bare ACK, with SACK blocks (relative pairs) if there are any."""
        options = None
        if blocks:
            options = bytes((NOP, NOP)) + segments.sack(*((self.irs + left, self.irs + right) for left, right in blocks))
            if self.ts:
                options = bytes((NOP, NOP)) + segments.timestamps(self.tsval(), self.ts_echo) + options
        self.send("A", ack=upto, window=window, options=options)

    # ---- in ----

    def is_mine(self, frame):
        return frame.kind == "tcp" and frame.port == self.source_port and frame.source_port == self.port

    def next(self, within=1.0):
        """The next segment in relative numbers, or None."""
        frame = self.tester.take(self.is_mine, within)
        if frame is None:
            return None
        if not frame.sound:
            raise Wrong("a segment has a wrong checksum")
        if "S" in frame.flags and "A" in frame.flags and self.irs is None:
            self.irs = frame.seq
        heard = dataclasses.replace(
            frame, seq=signed(frame.seq - self.irs) if self.irs is not None else frame.seq, ack=signed(frame.ack - self.iss) if "A" in frame.flags else 0
        )
        if "A" in heard.flags:
            self.acked = max(self.acked, heard.ack)
        end = heard.seq + heard.len + ("S" in heard.flags) + ("F" in heard.flags)
        if self.irs is not None and heard.seq <= self.rcv_nxt < end and "R" not in heard.flags:
            self.rcv_nxt = end
        if self.ts and heard.ts and heard.seq <= self.rcv_nxt:
            self.ts_echo = heard.ts[0]
        line = self.line(heard)
        self.tester.note("<", line, heard.at)
        return heard

    def line(self, heard):
        words = [heard.flags.replace("P", "") or "-", f"seq={heard.seq}"]
        if "A" in heard.flags:
            words.append(f"ack={heard.ack}")
        words.append(f"len={heard.len}")
        if heard.window == 0 and "R" not in heard.flags:
            words.append("win=0")
        if heard.mss is not None:
            words.append(f"mss={heard.mss}")
        names = sorted(segments.OPTION_NAMES.get(kind, str(kind)) for kind in heard.options)
        if names:
            words.append("[" + ",".join(names) + "]")
        return " ".join(words)

    def mark(self, heard):
        """What the case looked at goes into the trace by which two stacks are compared."""
        self.tester.trace.append(f"{self.line(heard)} {self.tester.timing(heard)}" if heard else "nothing")

    def forget_timing(self):
        """When the last segment came is not what the case is about."""
        line = self.tester.trace.pop()
        self.tester.trace.append(line.removesuffix(" at once").removesuffix(" delayed"))

    def expect(self, flags=None, seq=None, ack=None, len=None, within=1.0, what="", skip=None):
        """The next segment, which has to be this one. `skip` says which may come before; P is never looked at."""
        while True:
            heard = self.next(within)
            if heard is None or skip is None or not skip(heard):
                break
        self.mark(heard)
        wanted = " ".join(
            [flags or "a segment"] + [f"{name}={value}" for name, value in (("seq", seq), ("ack", ack), ("len", len)) if value is not None]
        ) + (f" ({what})" if what else "")
        if heard is None:
            raise Wrong(f"{wanted} was due within {within} s, nothing came")
        right = (
            (flags is None or set(heard.flags) - {"P"} == set(flags) - {"P"})
            and (seq is None or heard.seq == seq)
            and (ack is None or heard.ack == ack)
            and (len is None or heard.len == len)
        )
        if not right:
            raise Wrong(f"{wanted} was due, {self.line(heard)} came")
        return heard

    def expect_ack(self, ack=None, seq=None, within=1.0, what=""):
        """A bare ACK."""
        return self.expect("A", seq=self.rcv_nxt if seq is None else seq, ack=ack, len=0, within=within, what=what)

    def expect_at_once(self, heard, limit=0.1):
        """`limit` is far below any delayed ACK and leaves room for a machine that is busy otherwise."""
        late = heard.at - self.tester.sent_at
        if late > limit:
            raise Wrong(f"{self.line(heard)} came after {late * 1000:.0f} ms, not at once")

    def expect_nothing(self, during=0.3, what=""):
        heard = self.next(during)
        self.mark(heard)
        if heard is not None:
            raise Wrong(f"silence was due{f' ({what})' if what else ''}, {self.line(heard)} came")

    def gather(self, quiet=0.25, most=3.0, count=None):
        """All that comes until nothing came for `quiet`, for `most` in all, or `count` segments with data are there."""
        deadline, found = time.monotonic() + most, []
        while time.monotonic() < deadline:
            heard = self.next(min(quiet, max(0.0, deadline - time.monotonic())))
            if heard is None:
                break
            found.append(heard)
            if count is not None and sum(1 for one in found if one.len) >= count:
                break
        return found

    def read(self, total, within=3.0, answer=True):
        """`total` octets in order from where reading stands; acknowledges what comes if `answer`."""
        start, kept, deadline = self.rcv_nxt, {}, time.monotonic() + within
        octets = bytearray()
        while len(octets) < total:
            heard = self.next(max(0.0, deadline - time.monotonic()))
            if heard is None:
                raise Wrong(f"{total} octets were due, {len(octets)} came within {within} s")
            if "R" in heard.flags:
                raise Wrong(f"reset after {len(octets)} of {total} octets")
            if heard.len:
                kept[heard.seq] = heard.data
                for seq in sorted(kept):
                    data, at = kept[seq], seq - start
                    if at <= len(octets) < at + len(data):
                        octets += data[len(octets) - at :]
                if answer:
                    self.ack(start + len(octets))
        return bytes(octets[:total])

    # ---- opening and ending ----

    def syn_options(self, mss=1460, wscale=None, ts=False, sack=False):
        options = b"" if mss is None else segments.mss(mss)
        if sack:
            options += segments.SACK_OK
        if ts:
            options += segments.timestamps(self.tsval(), 0)
        if wscale is not None:
            options += bytes((NOP,)) + segments.wscale(wscale)
        return options

    def syn(self, options=None, flags="S", data=b"", window=None, **offered):
        self.send(flags, data, seq=0, options=self.syn_options(**offered) if options is None else options, window=window)
        self.nxt = 1

    def expect_syn_ack(self, within=1.0, ack=1):
        heard = self.next(within)
        self.mark(heard)
        if heard is None:
            raise Wrong(f"SYN+ACK was due within {within} s, nothing came")
        if not heard.has("SA") or heard.has("R") or heard.has("F") or heard.ack != ack:
            raise Wrong(f"SYN+ACK with ack={ack} was due, {self.line(heard)} came")
        self.peer = heard
        if heard.ts:
            self.ts_echo = heard.ts[0]
        return heard

    def open(self, options=None, window=None, syn_window=None, **offered):
        """The three-way handshake. `window` is the field in what follows the SYN."""
        if window is not None:
            self.window = window
        self.syn(options, window=syn_window, **offered)
        heard = self.expect_syn_ack()
        self.ts = bool(offered.get("ts")) and heard.ts is not None
        self.send("A")
        return heard

    def their_shift(self):
        return self.peer.wscale if self.peer is not None and self.peer.wscale is not None else 0

    def abandon(self):
        """Ends the connection, so that it costs nobody anything: a RST where the TCP may expect one."""
        for seq in {self.nxt, self.acked}:
            self.tester.send_segment(segments.Segment(self.source_port, self.port, (self.iss + seq) & MASK, ((self.irs or 0) + self.rcv_nxt) & MASK, "RA"))
