"""Transfers over a path that misbehaves, opened from either end, both families at once: every byte has to arrive.

A row is what the path does, and how much is sent over it. Linux opens first: two echoes, a discard and a chargen against
`serve`; then the engine opens: four runs of `load` against Linux's services. What runs at the same time shares the path.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import re
import socket
import struct
import sys
import time

import accounts
import loss
import stage
from stage import ENGINE_V4, ENGINE_V6, LINUX_V4, LINUX_V6, SCRIPTS, expect

MIB = 1 << 20
CHARGEN_LINES = 95
BLOCK = 64 << 10
# What one transfer waits for at most without a byte's progress, unless the row's path is dead for longer.
PATIENCE_S = 20
LINUX_OPENS = ("echo v4", "echo v6", "discard v4", "chargen v6")
ENGINE_OPENS = ("rr v4", "rr v6", "stream v6", "reverse v4")


@dataclasses.dataclass
class Row:
    name: str
    flags: str
    total: int = 16 * MIB  # bytes of an echo; the one-way transfers send the same
    proves: tuple = ()  # counts of the relay that have to be above zero, as "a_to_b.lost" or for both "lost"
    patience_s: int = PATIENCE_S

    @property
    def words(self):
        return self.flags.split()


@dataclasses.dataclass
class Outcome:
    """Seconds that each transfer took, in the order of LINUX_OPENS and ENGINE_OPENS, and what the relay did."""

    row: Row
    took: dict = dataclasses.field(default_factory=dict)
    fates: dict = dataclasses.field(default_factory=dict)
    retransmits: int = 0
    failures: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def note_fates(self, found):
        for direction in ("a_to_b", "b_to_a"):
            for name, count in found[direction].items():
                self.fates[name] = self.fates.get(name, 0) + count


def send_all(connection, total, seed, dog):
    for chunk in stage.pattern_chunks(total, seed):
        view = memoryview(chunk)
        while view:
            view = view[connection.send(view) :]
            dog.progress()


@contextlib.contextmanager
def watched(connection, patience_s, what):
    """Ends the connection when nothing moves for `patience_s`, and says so rather than what came of it."""
    connection.settimeout(None)
    dog = stage.Watchdog(patience_s, connection)
    try:
        yield dog
    except OSError as error:
        expect(not dog.fired, f"{what}: no progress for {patience_s} s")
        raise stage.Failed(f"{what}: {error}") from None
    finally:
        dog.end()
    expect(not dog.fired, f"{what}: no progress for {patience_s} s")


def echo(connection, row, seed):
    stage.echo_through_half_close(connection, row.total, seed, row.patience_s)
    connection.close()


def discard(connection, row, seed):
    """The server closes when it has read to our end of file; what it read is in its own counters."""
    with watched(connection, row.patience_s, "discard") as dog:
        send_all(connection, row.total, seed, dog)
        connection.shutdown(socket.SHUT_WR)
        expect(connection.recv(1) == b"", "discard sent something")
    connection.close()


def chargen(connection, row, _seed):
    """So many bytes in the one order there is; then a RST, because chargen ends by nothing else."""
    ring = bytes(range(32, 127))
    pattern = b"".join((ring + ring)[turn : turn + 72] + b"\r\n" for turn in range(CHARGEN_LINES))
    wanted, received, left = hashlib.sha256(), hashlib.sha256(), row.total
    for at in range(0, row.total, len(pattern)):
        wanted.update(pattern[: row.total - at])
    with watched(connection, row.patience_s, "chargen") as dog:
        while left:
            chunk = connection.recv(min(left, 1 << 18))
            expect(chunk, f"chargen ended with {left} bytes to go")
            received.update(chunk)
            left -= len(chunk)
            dog.progress()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    expect(wanted.digest() == received.digest(), "chargen's bytes are not its pattern")


# The service, its port, the host and the client of each of LINUX_OPENS.
CLIENTS = (("echo", 7, ENGINE_V4, echo), ("echo", 7, ENGINE_V6, echo), ("discard", 9, ENGINE_V4, discard), ("chargen", 19, ENGINE_V6, chargen))


def linux_opens(lab, row, outcome, seed):
    relay = lab.relay(*row.words, "--seed", str(seed))
    server = lab.serve("echo:7", "discard:9", "chargen:19", workers=1, flags=["--msl", "100ms"])
    connections = [lab.connect(host, port, timeout_s=30) for _, port, host, _ in CLIENTS]

    def one(number):
        started = time.monotonic()
        CLIENTS[number][3](connections[number], row, seed + number)
        outcome.took[LINUX_OPENS[number]] = time.monotonic() - started

    with concurrent.futures.ThreadPoolExecutor(len(CLIENTS)) as pool:
        for number, done in [(number, pool.submit(one, number)) for number in range(len(CLIENTS))]:
            try:
                done.result()
            except stage.Failed as why:
                raise stage.Failed(f"{LINUX_OPENS[number]}: {why}") from why
    snapshot = accounts.nothing_left(lab, within_s=90)
    read = accounts.tcp(snapshot, "bytes_in")
    expect(read == 3 * row.total, f"the server read {read} bytes of {3 * row.total}")
    expect(accounts.total(snapshot, "accepts") == len(CLIENTS), f"{accounts.total(snapshot, 'accepts')} accepts")
    accounts.connections_add_up(snapshot)
    # Nobody but chargen's client ends by a RST.
    expect(accounts.total(snapshot, "resets_received") <= 1, f"{accounts.total(snapshot, 'resets_received')} connections were reset")
    expect(accounts.tcp(snapshot, "resets_out") == 0, f"{accounts.tcp(snapshot, 'resets_out')} connections were aborted by us")
    outcome.retransmits = sum(accounts.tcp(snapshot, f"retransmits_{kind}") for kind in ("rto", "fast", "syn"))
    stage.drain(server, within_s=30)
    return relay


def load(lab, number, row, seed):
    """One run of `load` with an address of its own, so that four can share the interface."""
    pattern, family = ENGINE_OPENS[number].split()
    host, port = LINUX_V4 if family == "v4" else f"[{LINUX_V6}]", {"rr": 7, "stream": 9, "reverse": 19}[pattern]
    flags = {"rr": ["rr", "--verify", "--pipeline", "4"], "stream": ["stream"], "reverse": ["stream", "--reverse"]}[pattern]
    own = f"10.99.0.{10 + number}/24" if family == "v4" else f"fd99::{10 + number}/64"
    done = lab.run("engine", [
        stage.fourtuple(), "load", flags[0], f"{host}:{port}", *flags[1:], "--iface", "v0", "--ip", own,
        "-c", "1", "-n", row.total // BLOCK, "-s", BLOCK, "--timeout", f"{row.patience_s * 3}s", "--seed", seed, "--json",
    ], within_s=240)
    found = json.loads(done.stdout)
    expect(found["operations"] == row.total // BLOCK, f"{found['operations']} of {row.total // BLOCK} operations")
    expect(not any(found["errors"].values()), f"errors: {found['errors']}")
    return found["duration_s"]


def engine_opens(lab, row, outcome, seed):
    relay = lab.relay(*row.words, "--seed", str(seed))
    peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py", "--count"])
    peer.wait_for_line("^ready$", 10)
    with concurrent.futures.ThreadPoolExecutor(len(ENGINE_OPENS)) as pool:
        for name, done in [(name, pool.submit(load, lab, number, row, seed + number)) for number, name in enumerate(ENGINE_OPENS)]:
            try:
                outcome.took[name] = done.result()
            except stage.Failed as why:
                raise stage.Failed(f"{name}: {why}") from why
    # `stream` counts a block when Linux acknowledged it: Linux's discard has to have read as much.
    peer.end()
    read = re.findall(r"^discard (\d+)$", peer.stdout, re.MULTILINE)
    expect(len(read) == 1 and int(read[0]) >= row.total, f"Linux's discard read {read} bytes of {row.total}")
    return relay


def end_relay(relay, row, outcome, which):
    relay.end()
    found = json.loads(relay.stdout.splitlines()[-1])
    stage.note(f"relay: {found}")
    for direction in ("a_to_b", "b_to_a"):
        loss.adds_up(found, direction)
        expect(found[direction]["refused"] == 0, f"the relay could not pass {found[direction]['refused']} frames")
    for name in row.proves:
        for proof in (name,) if "." in name else (f"a_to_b.{name}", f"b_to_a.{name}"):
            direction, count = proof.split(".")
            expect(found[direction][count] > 0, f"{which}: the relay made no frame {count} {direction}: this run proves nothing")
    outcome.note_fates(found)


def run(row, outcome=None, seed=1):
    """The row from either end, in a lab of its own each; fails, or tells how it went."""
    outcome, started = outcome or Outcome(row), time.monotonic()
    try:
        for number, (which, opens) in enumerate((("Linux opens", linux_opens), ("engine opens", engine_opens))):
            with stage.Lab("--relay") as lab:
                end_relay(opens(lab, row, outcome, seed + 100 * number), row, outcome, which)
    finally:
        outcome.seconds = time.monotonic() - started
    return outcome
