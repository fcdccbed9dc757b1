"""What scripts/relay does to frames, without a network: the same fates by the same seed, in the shares and times asked for."""

import sys

import stage
from stage import SCRIPTS, expect

sys.path.insert(0, str(SCRIPTS / "lib"))
import path  # noqa: E402

V4 = bytes.fromhex("02000000000202000000000108004500002800004000400600000a6300010a630002") + bytes(20)
V6 = bytes.fromhex("02000000000202000000000186dd6000000000140640") + b"\xfd\x99" + bytes(13) + b"\1" + b"\xfd\x99" + bytes(13) + b"\2" + bytes(20)


class Run:
    """A direction with its clock in our hand: `passed` is when each frame left, and the frame."""

    def __init__(self, seed=1, name="a_to_b", timeline=None, **fates):
        self.passed, self.answers = [], []
        self.way = path.Way(
            name, path.Fates(**fates), seed, timeline or path.Timeline(),
            lambda frame: self.passed.append((self.now, frame)), lambda due, frame: self.passed.append((due, frame)), self.answers.append,
        )

    def give(self, count, spacing=0.001, frame=lambda number: V4 + number.to_bytes(4, "big"), start=0.0):
        for number in range(count):
            self.now = start + number * spacing
            self.way.treat(frame(number), self.now)
        return self

    def numbers(self):
        return [int.from_bytes(frame[-4:], "big") for _, frame in sorted(self.passed, key=lambda one: one[0])]


def adds_up(run):
    counts = run.way.counts
    told = len(run.passed) + sum(counts[end] for end in path.ENDS)
    expect(told == counts["received"] + counts["duplicated"], f"{told} ends of frames: {counts}")


def same_fates_by_the_same_seed():
    many = {"loss": 0.05, "burst_loss": 0.02, "duplicate": 0.02, "corrupt": 0.02, "reorder": 0.05}
    one, two, other = Run(3, **many).give(2000), Run(3, **many).give(2000), Run(4, **many).give(2000)
    expect(one.passed == two.passed, "the same seed, and another run")
    expect(one.passed != other.passed, "another seed, and the same run")
    # One option leaves another's choices as they were: who is lost does not depend on who is corrupted.
    lost = lambda run: set(range(2000)) - {int.from_bytes(frame[-4:], "big") for _, frame in run.passed}
    expect(lost(Run(3, loss=0.05).give(2000)) == lost(Run(3, loss=0.05, reorder=0.3, duplicate=0.2).give(2000)), "losses depend on other options")
    for run in (one, other):
        adds_up(run)


def shares():
    run = Run(loss=0.1, reorder=0.2, duplicate=0.05, corrupt=0.02).give(20_000)
    for mark, wanted in (("lost", 0.1), ("reordered", 0.18), ("duplicated", 0.045), ("corrupted", 0.018)):
        found = run.way.counts[mark] / 20_000
        expect(0.85 * wanted < found < 1.15 * wanted, f"{found:.2%} {mark}, not {wanted:.2%}")
    adds_up(run)


def bursts_are_bursts():
    run = Run(burst_loss=0.05, burst_mean=8).give(100_000, spacing=1e-6)
    passed = set(run.numbers())
    lengths, length = [], 0
    for number in range(100_000):
        if number in passed:
            if length:
                lengths.append(length)
            length = 0
        else:
            length += 1
    mean, taken = sum(lengths) / len(lengths), sum(lengths) / 100_000
    expect(6.5 < mean < 9.5, f"bursts of {mean:.1f} frames, not 8")
    expect(0.04 < taken < 0.06, f"bursts took {taken:.1%}, not 5 %")
    # A burst is over after its longest time, however few frames came meanwhile: one frame a second loses hardly two in a row.
    run = Run(burst_loss=0.05, burst_mean=20, burst_longest=0.1).give(10_000, spacing=1.0)
    expect(run.way.counts["burst_lost"] < 60, f"{run.way.counts['burst_lost']} of 10,000 lone frames lost")


def rate_and_queue():
    # 1 Mb/s and frames of 1,250 bytes: one in 10 ms. A queue of 5 takes five of what comes at once, and drops the rest.
    wide = lambda number: V4 + bytes(1250 - len(V4) - 4) + number.to_bytes(4, "big")
    for queue in ((5, "frames"), (6250, "bytes")):
        run = Run(rate=1e6, queue=queue).give(20, spacing=0.0, frame=wide)
        expect(run.numbers() == [0, 1, 2, 3, 4], f"a queue of {queue} passed {run.numbers()}")
        leaving = [round(due, 6) for due, _ in run.passed]
        expect(leaving == [0.01, 0.02, 0.03, 0.04, 0.05], f"left at {leaving}")
        expect(run.way.counts["overflowed"] == 15, f"{run.way.counts['overflowed']} overflowed")
        run.give(1, start=1.0, frame=wide)
        expect(round(run.passed[-1][0], 6) == 1.01, "an idle link made a frame wait")
        adds_up(run)


def delay_and_order():
    run = Run(delay=0.02, jitter=0.03).give(1000, spacing=0.001)
    expect(run.numbers() == list(range(1000)), "jitter made frames overtake")
    took = [due - number * 0.001 for number, (due, _) in enumerate(run.passed)]
    expect(min(took) >= 0.02 and max(took) <= 0.051 and max(took) - min(took) > 0.01, f"took {min(took)} to {max(took)} s")
    run = Run(reorder=0.1, reorder_by=0.005).give(1000, spacing=0.001)
    expect(run.numbers() != list(range(1000)) and sorted(run.numbers()) == list(range(1000)), "nothing was reordered, or something lost")


def time_windows():
    timeline = path.Timeline()
    run = Run(timeline=timeline, blackouts=((100 / 1024, 200 / 1024),))
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    run.give(50, frame=lambda _: arp)  # time does not count before the first TCP frame
    run.give(300, spacing=1 / 1024, start=5.0)  # binary fractions: exact sums
    missing = sorted(set(range(300)) - set(run.numbers()[50:]))
    expect(missing == list(range(100, 200)), f"frames {missing[:1]}..{missing[-1:]} vanished, not 100..199")
    adds_up(run)
    other = Run(timeline=timeline, name="b_to_a", blackouts=((0.0, 0.1),)).give(1, start=5.05)
    expect(not other.passed, "the directions do not share their time")


def large_frames():
    wide = lambda head: lambda number: head + bytes(1486 - len(head)) + number.to_bytes(4, "big")
    run = Run(mtu=1400, mtu_during=(0.1, 0.2)).give(300, frame=wide(V4))
    expect(run.way.counts["too_big"] == 100 and not run.answers, f"{run.way.counts}, {len(run.answers)} answers")
    expect(len(Run(mtu=1400).give(300).passed) == 300, "small frames vanished")
    for head, kind, at in ((V4, b"\x03\x04", 34), (V6, b"\x02\x00", 54)):
        run = Run(mtu=1400, mtu_tells=True).give(1, frame=wide(head))
        (told,) = run.answers
        expect(told[:6] == head[6:12] and told[6:12] == head[:6], "the answer goes elsewhere")
        expect(told[at : at + 2] == kind and told[at + 6 : at + 8] == (1400).to_bytes(2, "big"), f"not that kind of ICMP: {told[at:at+8].hex()}")
        if head is V4:
            sums = (told[14:34], told[34:])
        else:
            sums = (told[22:54] + (len(told) - 54).to_bytes(4, "big") + bytes([0, 0, 0, 58]) + told[54:],)
        for part in sums:
            expect(path.internet_checksum(part) == 0, "a wrong checksum")
    may_cut = V4[:20] + b"\0\0" + V4[22:]
    expect(not Run(mtu=1400, mtu_tells=True).give(1, frame=wide(may_cut)).answers, "told where a router would have cut")


def check():
    for part in (same_fates_by_the_same_seed, shares, bursts_are_bursts, rate_and_queue, delay_and_order, time_windows, large_frames):
        part()


stage.main(check)
