"""How samples are taken: the programs, the placement of the cores round each sample, namespaces for Linux's side."""

import json
import os
import pathlib
import subprocess
import time
from contextlib import contextmanager


class Unmeasured(Exception):
    """This machine, or this version, can't measure it; the table says why."""


class Bench:
    """What every row is given."""

    def __init__(self, root, target, quick):
        self.root, self.quick = root, quick
        release = target / "release"
        self.fourtuple, self.peers, self.micro = (str(release / name) for name in ("fourtuple", "fourtuple-peers", "fourtuple-micro"))
        self.cycles = str(release / "examples/cycles")
        # Every look at the cores, in the order of the run.
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

    def sample(self, take, tries=4):
        """Calls `take` until the cores were placed alike before and after; its result with their state."""
        states = []
        for _ in range(tries):
            before = self.placement()
            result = take()
            after = self.placement()
            if before["state"] == after["state"]:
                return {**result, "state": before["state"], "discarded": len(states)}
            states.append(f"{before['state']}→{after['state']}")
        raise RuntimeError(f"the placement of the cores changed in every sample: {', '.join(states)}")

    def demo(self, pattern, *flags, within_s=600):
        """One sample of `fourtuple demo`: server and generator, a core each, over the in-process link."""
        # Errors of a few operations are told in the report, and judged there.
        text = self.run([self.fourtuple, "demo", pattern, "--json", "--idle", "poll", "--max-error-rate", "1%", *flags], within_s=within_s)
        return json.loads(text)

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
