"""How samples are taken: the programs, the placement of the cores round each sample, namespaces for Linux's side."""

import json
import os
import pathlib
import statistics
import subprocess
import threading
import time
from contextlib import contextmanager


class Unmeasured(Exception):
    """This machine, or this version, can't measure it; the table says why."""


# Figures that a sample is known by, in the order in which they are looked for.
FIGURES = ("gbit_per_s", "cost_ns", "requests_per_s", "operations_per_s", "p50_ns", "ns_a_side")


class Bench:
    """What every row is given."""

    def __init__(self, root, target, quick):
        self.root, self.quick = root, quick
        release = target / "release"
        self.fourtuple, self.peers, self.micro = (str(release / name) for name in ("fourtuple", "fourtuple-peers", "fourtuple-micro"))
        self.cycles = str(release / "examples/cycles")
        self.begin_row()
        self._counts = None

    def begin_row(self):
        # Every look at the cores of this row, in their order.
        self.placements = []
        # What others took of the machine while nothing of ours ran, in the worst look; 1 is all cores.
        self.disturbed = 0.0

    def seconds(self, long, short=None):
        """How long a sample is: short ones show that it works, not how fast it is."""
        return (short or max(1.0, long / 8)) if self.quick else long

    def run(self, command, within_s=300, codes=(0,), **options):
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, **options)
        if done.returncode not in codes:
            said = (done.stderr or done.stdout).strip().splitlines() or [""]
            raise RuntimeError(f"{pathlib.Path(str(command[0])).name} ended with {done.returncode}: {said[-1]}")
        return done.stdout

    def json(self, command, **options):
        return json.loads(self.run(command, **options))

    def placement(self):
        self.disturbed = max(self.disturbed, taken_by_others())
        found = self.json([self.peers, "probe"])
        self.placements.append(found)
        return found

    def sample(self, take, times=1, patience=3):
        """Calls `take` until so many samples had their cores placed alike before and after; the median of those of the commonest
        state, with the state, the least and the most, and how many were discarded. Samples of other states are told apart, not mixed.

        Where each takes minutes, a state seldom lasts as long: with no `patience`, if it changed in every sample, the last is told
        with both its states, and compared with nothing."""
        times = 1 if self.quick else times
        kept, changed = [], []
        before = self.placement()
        while len(kept) < times and len(changed) < times + patience:
            result = take()
            after = self.placement()
            if before["state"] == after["state"]:
                kept.append({**result, "state": before["state"]})
            else:
                changed.append(f"{before['state']}→{after['state']}")
            before = after
        if not kept and not patience:
            return {**result, "state": changed[-1], "samples": 1, "discarded": len(changed) - 1}
        if not kept:
            raise RuntimeError(f"the placement of the cores changed in every sample: {', '.join(changed)}")
        states = [sample["state"] for sample in kept]
        state = max(sorted(set(states)), key=states.count)
        figure = next((name for name in FIGURES if name in kept[0]), None)
        alike = sorted((sample for sample in kept if sample["state"] == state), key=lambda sample: sample.get(figure, 0))
        median = dict(alike[(len(alike) - 1) // 2])
        median.update(samples=len(alike), discarded=len(changed))
        if figure and len(alike) > 1:
            median["spread"] = {"of": figure, "least": alike[0][figure], "most": alike[-1][figure]}
        elsewhere = {
            other: {"samples": states.count(other), figure: statistics.median(sample[figure] for sample in kept if sample["state"] == other)}
            for other in sorted(set(states) - {state})
            if figure
        }
        if elsewhere:
            median["in_other_states"] = elsewhere
        return median

    def demo(self, pattern, *flags, within_s=600):
        """One sample of `fourtuple demo`: server and generator, a core each, over the in-process link. With what memory the OS had
        given it, at the most."""
        # Errors of a few operations are told in the report, and judged there.
        # Short samples need no cores of their own.
        idle = "adaptive" if self.quick else "poll"
        command = [self.fourtuple, "demo", pattern, "--json", "--idle", idle, "--max-error-rate", "1%", *flags]
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        most, over = [0], threading.Event()

        def watch():
            while not over.wait(0.1):
                try:
                    most[0] = max(most[0], memory_of(process.pid))
                except (OSError, ValueError, IndexError):
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            out, err = process.communicate(timeout=within_s)
        except BaseException:
            # Its time is up, or the run is interrupted.
            process.kill()
            process.wait()
            raise
        finally:
            over.set()
            watcher.join()
        if process.returncode != 0:
            raise RuntimeError(f"demo {pattern} ended with {process.returncode}: {(err.strip().splitlines() or [''])[-1]}")
        return {**json.loads(out), "os_bytes": most[0]}

    def counts(self):
        """Instructions of all stages, counted once a run: they are the same each time."""
        if self._counts is None:
            self._counts = {}
            text = self.run([self.micro, "counts"], within_s=600, codes=(0, 1, 3))
            for line in text.splitlines()[1:]:
                words = line.split()
                if len(words) >= 2 and words[1].replace(".", "", 1).isdigit():
                    self._counts[words[0]] = float(words[1])
        if not self._counts:
            raise Unmeasured("valgrind is not there")
        return self._counts

    @contextmanager
    def namespaces(self):
        """Two namespaces joined by a veth pair with addresses of Linux at both ends: 10.98.0.1 and 10.98.0.2."""
        if os.geteuid() != 0:
            raise Unmeasured("needs root for namespaces")
        one, other = f"ftb{os.getpid()}a", f"ftb{os.getpid()}b"
        ip = lambda *words: self.run(["ip", *words])  # noqa: E731
        try:
            for name in (one, other):
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", one, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", other)
            for name, address in ((one, "10.98.0.1/24"), (other, "10.98.0.2/24")):
                ip("-n", name, "address", "add", address, "dev", "v0")
                ip("-n", name, "link", "set", "v0", "up")
            yield (["ip", "netns", "exec", one], "10.98.0.1"), (["ip", "netns", "exec", other], "10.98.0.2")
        finally:
            for name in (one, other):
                subprocess.run(["ip", "netns", "del", name], capture_output=True)

    @contextmanager
    def lab(self):
        """scripts/lab: Linux on one side of a veth pair, an interface for the engine on the other."""
        if os.geteuid() != 0:
            raise Unmeasured("needs root for namespaces")
        name = f"bench-{os.getpid()}"
        holder = subprocess.Popen([str(self.root / "scripts/lab"), "hold", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            if holder.stdout.readline().strip() != "ready":
                raise Unmeasured("scripts/lab could not make a network")
            yield ["ip", "netns", "exec", f"ft-{name}"], ["ip", "netns", "exec", f"ft-{name}-linux"]
        finally:
            holder.stdin.close()
            holder.wait(60)

    @contextmanager
    def background(self, command, ready=None, within_s=20):
        """A program that runs as long as the block; it has printed `ready` when the block begins."""
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            if ready is None:
                time.sleep(0.4)
            else:
                deadline = time.monotonic() + within_s
                while ready not in (line := process.stdout.readline()):
                    if not line or time.monotonic() > deadline:
                        raise RuntimeError(f"{command[-1]} did not say {ready!r}")
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(map(str, command))[:120]} ended with {process.returncode}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def taken_by_others(seconds=0.2):
    """The part of all cores that somebody uses while this script sleeps."""

    def ticks():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    (all_before, idle_before), _ = ticks(), time.sleep(seconds)
    all_after, idle_after = ticks()
    return 1 - (idle_after - idle_before) / max(all_after - all_before, 1)


def memory_of(pid):
    """Bytes that the OS has given a process: resident, and in huge pages."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kib = dict(line.split(":", 1) for line in status.splitlines() if line.startswith(("VmRSS", "HugetlbPages")))
    return sum(int(value.split()[0]) for value in kib.values()) * 1024


def memory_free():
    """Bytes that the OS could give now."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
