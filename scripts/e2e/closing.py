"""A server that closes first, at full rate, for three times two segment lifetimes: nobody is refused, and every record that has
to make room is counted. Twice: Linux's TCP at the other end (ab, a connection a request), then a generator of ours."""

import json
import re
import time

import accounts
import stage
from stage import ENGINE_V4, expect

# Records of one family that a worker keeps at --max-connections 1024, and no more.
BOUND = 1024
GENERATOR = ("--iface", "v1", "--driver", "af_packet", "--mac", "02:00:00:00:09:09", "--ip", "10.99.0.9/24")


def watched(lab, client, seconds):
    """The most TIME_WAIT records there were while the client ran."""
    most, ends = 0, time.monotonic() + seconds + 30
    while client.process.poll() is None:
        now = accounts.total(lab.stats(), "time_wait")
        expect(now <= BOUND, f"{now} TIME_WAIT records, more than the bound")
        most = max(most, now)
        expect(time.monotonic() < ends, f"{client.name} does not end")
        time.sleep(0.25)
    expect(client.wait(5) == 0, f"{client.name} ended with {client.process.returncode}: {stage.last_line(client.stderr)}")
    return most


def by_linux(lab, seconds):
    """Connections that ab made."""
    client = lab.start("linux", "ab", ["ab", "-q", "-t", seconds, "-n", 10_000_000, "-c", 50, "-s", 10, f"http://{ENGINE_V4}/"])
    most = watched(lab, client, seconds)
    expect(re.search(r"Failed requests:\s+0\b", client.stdout), "ab counted failed requests")
    return int(re.search(r"Complete requests:\s+(\d+)", client.stdout)[1]), most


def by_generator(lab, seconds):
    """Connections that `load crr --close server` made."""
    client = lab.start("linux", "load", [
        stage.fourtuple(), "load", "crr", f"{ENGINE_V4}:80", *GENERATOR, "-c", 32, "-d", f"{seconds}s", "--close", "server", "--json",
    ])  # fmt: skip
    most = watched(lab, client, seconds)
    found = json.loads(client.stdout)
    expect(not any(found["errors"].values()), f"load: errors {found['errors']}")
    return found["operations"], most


def closes_first(msl_s):
    stage.need("ab", "curl", "nstat")
    seconds = 3 * 2 * msl_s
    lines = []
    for by in (by_linux, by_generator):
        with stage.Lab() as lab:
            server = lab.serve("http:80", workers=1, flags=["--msl", f"{msl_s}s", "--max-connections", BOUND])
            before = lab.linux_counters()
            made, most = by(lab, seconds)
            found = lab.stats()
            evicted, reopened = accounts.total(found, "time_wait_evicted"), accounts.total(found, "time_wait_reopened")
            stage.progress(f"{by.__name__}: {made} connections, {most} records at most, {evicted} evicted, {reopened} reopened")
            expect(most == BOUND, f"{most} records at most: the table never came to its bound of {BOUND}")
            expect(evicted > 0, "no eviction was counted")
            # Each connection made one; what was under way at the end made some more.
            waited = accounts.tcp(found, "time_waits")
            expect(made <= waited <= made + 200, f"{waited} came into TIME_WAIT for {made} connections")
            for name in ("listen_drops", "listen_overflows", "timeouts", "resets_sent"):
                expect(accounts.total(found, name) == 0, f"{accounts.total(found, name)} {name}")
            stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
            stage.drain(server)
            lines.append(f"| {by.__name__.replace('_', ' ')} | {made} | {made / seconds:.0f} | {most} | {evicted} | {reopened} | 0 |")
    stage.record(
        f"MSL {msl_s} s, {seconds} s, one worker, all on one machine.\n\n"
        "| clients | connections | a second | TIME_WAIT at most | evicted | reopened | refused |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(lines) + "\n"
    )  # fmt: skip
