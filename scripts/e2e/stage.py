"""What the end-to-end checks stand on: a lab of namespaces, the `fourtuple` command in it, Linux's TCP on the other side.

A check is a file in checks/ (or soak/) that ends with `stage.main(check)`. It gets a name of its own for its lab, so
that checks neither see nor hurt each other, and ends with 0 (passed), 77 (skipped) or anything else (failed); the last
line on stderr says why. Whatever a check started ends with it: processes here, the lab through the pipe to
`scripts/lab hold`, which closes even when the check is killed.
"""

import ctypes
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
ENGINE_V4, ENGINE_V6 = "10.99.0.2", "fd99::2"
LINUX_V4, LINUX_V6 = "10.99.0.1", "fd99::1"
STATS = "127.0.0.1:9464"
# How `load` attaches in a lab; `serve` does the same, or by tap.
ATTACH = ("--iface", "v0", "--driver", "af_packet", "--ip", f"{ENGINE_V4}/24", "--ip", f"{ENGINE_V6}/64")
SKIPPED = 77
CLONE_NEWNET = 0x40000000


class Failed(Exception):
    """The product did not do what INTERFACE promises."""


class Skipped(Exception):
    """This machine lacks what the check needs."""


def expect(condition, why):
    if not condition:
        raise Failed(why)


def note(text):
    """A line for the check's log."""
    print(f"[{time.monotonic() - STARTED:7.2f}] {text}", flush=True)


def progress(text):
    """A line for the check's log, and for who waits for a long check ($E2E_PROGRESS is a descriptor)."""
    note(text)
    if descriptor := os.environ.get("E2E_PROGRESS"):
        os.write(int(descriptor), f"    {text}\n".encode())


def record(markdown):
    """What this check measured, for docs/SOAK.md (scripts/soak --record)."""
    (LOGS / f"{CHECK}.table.md").write_text(markdown)
    print(markdown, flush=True)


STARTED = time.monotonic()


def fourtuple():
    """The path of the command under test: $FOURTUPLE, else the release build."""
    given = os.environ.get("FOURTUPLE")
    path = pathlib.Path(given) if given else pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/fourtuple"
    if not path.exists():
        raise Failed(f"{path} is not there: cargo build --release -p fourtuple-cli")
    return str(path)


def example(name):
    """The path of an example of the library: in $EXAMPLES, else where `cargo build --examples` leaves it."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folders = [pathlib.Path(os.environ["EXAMPLES"])] if "EXAMPLES" in os.environ else [target / "debug/examples", target / "release/examples"]
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    raise Failed(f"{folders[0] / name} is not there: cargo build --workspace --examples")


class Program:
    """A started program: its output goes to a file, and it never outlives the check."""

    running = []

    def __init__(self, name, command, **options):
        self.name = name
        self.out_path = LOGS / f"{CHECK}.{name}.out"
        self.err_path = LOGS / f"{CHECK}.{name}.err"
        note("$ " + " ".join(map(str, command)))
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options
            )
        Program.running.append(self)

    @property
    def stdout(self):
        return self.out_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.err_path.read_text(errors="replace")

    def wait_for_line(self, pattern, within_s, where="stdout"):
        """The first match of `pattern` in the program's output; fails when it ends or takes longer."""
        deadline = time.monotonic() + within_s
        while True:
            match = re.search(pattern, getattr(self, where), re.MULTILINE)
            if match:
                return match
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode} before {pattern!r}: {last_line(self.stderr)}")
            expect(time.monotonic() < deadline, f"{self.name} did not print {pattern!r} within {within_s} s")
            time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, within_s):
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} still runs after {within_s} s") from None

    def expect_running(self):
        code = self.process.poll()
        expect(code is None, f"{self.name} ended with {code} during the run: {last_line(self.stderr)}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @classmethod
    def end_all(cls):
        for program in reversed(cls.running):
            program.end()


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "(no output)"


def run(command, within_s=60, expect_code=0, quiet=False, **options):
    """Runs a command to its end; its output, both streams told apart. `expect_code=None` takes any."""
    if not quiet:
        note("$ " + " ".join(map(str, command)))
    try:
        done = subprocess.run(
            list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, timeout=within_s, **options
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"`{command_name(command)}` still ran after {within_s} s") from None
    # Decoded here, because `text=True` would make one character of CR LF.
    done.stdout, done.stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    for stream in (done.stdout, done.stderr):
        if stream.strip() and not quiet:
            print(stream.rstrip()[:4000], flush=True)
    if expect_code is not None and done.returncode != expect_code:
        raise Failed(
            f"`{command_name(command)}` ended with {done.returncode}, not {expect_code}: {last_line(done.stderr or done.stdout)}"
        )
    return done


def command_name(command):
    words = [pathlib.Path(str(word)).name if str(word).startswith("/") else str(word) for word in command]
    return " ".join(words)[:160]


class Lab:
    """Two namespaces joined by a veth pair (or a tap, or a relay): see scripts/lab."""

    def __init__(self, *options):
        self.name = f"e2e-{CHECK.replace('_', '-')[:20]}-{os.getpid()}"
        self.options = options
        self.tap = "--tap" in options

    def __enter__(self):
        self.holder = subprocess.Popen(
            [SCRIPTS / "lab", "hold", self.name, *self.options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        if self.holder.stdout.readline().strip() != "ready":
            code = self.holder.wait()
            raise (Skipped if code == 3 else Failed)(f"scripts/lab could not make a network (exit {code})")
        return self

    def __exit__(self, *_):
        Program.end_all()
        self.holder.stdin.close()
        self.holder.wait(60)  # a machine that is busy otherwise takes its time

    def namespace(self, side):
        return f"ft-{self.name}-linux" if side == "linux" or self.tap else f"ft-{self.name}"

    def on(self, side, command):
        return ["ip", "netns", "exec", self.namespace(side), *command]

    def run(self, side, command, **options):
        return run(self.on(side, command), **options)

    def start(self, side, name, command):
        return Program(name, self.on(side, command))

    @contextmanager
    def inside(self, side):
        """Sockets made by this thread inside the block belong to that side, for as long as they live."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.namespace(side)}") as there:
            enter_namespace(there)
            try:
                yield
            finally:
                enter_namespace(home)

    def connect(self, address, port, timeout_s=10):
        """A connection of Linux's TCP to the engine."""
        with self.inside("linux"):
            return socket.create_connection((address, port), timeout=timeout_s)

    def linux_counters(self):
        """Linux's own TCP/IP counters in its namespace."""
        done = subprocess.run(
            self.on("linux", ["nstat", "-a", "-s", "-z", "--json"]), capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)["kernel"]

    def relay(self, *flags):
        program = Program("relay", [SCRIPTS / "lab", "relay", self.name, *flags])
        program.wait_for_line("^ready$", 10)
        return program

    def serve(self, *services, workers=2, flags=(), name="serve", attach=None):
        """Starts `fourtuple serve` on the engine's side and waits until every service says that it listens."""
        if attach is None:
            attach = ["--iface", "tap0", "--driver", "tap"] if self.tap else ["--iface", "v0", "--driver", "af_packet"]
        server = self.start("engine", name, [
            fourtuple(), "serve", *services, *attach, "--ip", f"{ENGINE_V4}/24", "--ip", f"{ENGINE_V6}/64",
            "--workers", workers, *flags,
        ])
        for service in services:
            word = service.split(":")[0]
            server.wait_for_line(rf"^listening {word} {re.escape(ENGINE_V4)}:\d+ \[{ENGINE_V6}\]:\d+", 20)
        if self.tap:
            run([SCRIPTS / "lab", "address", self.name, "tap0"])
        return server

    def example(self, name, *arguments):
        """Starts an example on the engine's side, at both addresses, and waits until it says that it listens."""
        program = self.start("engine", name, [example(name), "v0", f"{ENGINE_V4}/24,{ENGINE_V6}/64", *arguments])
        program.wait_for_line(r"^listening\b", 20, where="stderr")
        return program

    def get(self, path):
        """GET from the stats endpoint: (status, body)."""
        done = subprocess.run(
            self.on("engine", ["curl", "-s", "-m", "5", "-w", "\n%{http_code}", f"http://{STATS}{path}"]),
            capture_output=True, text=True,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def stats(self):
        status, body = self.get("/api/v1/stats")
        expect(status == 200, f"/api/v1/stats answered {status}")
        return json.loads(body)


def enter_namespace(handle):
    if LIBC.setns(handle.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


LIBC = ctypes.CDLL(None, use_errno=True)


def drain(server, within_s=15):
    """SIGTERM, and the server has to end with 0 by itself."""
    server.expect_running()
    server.signal(signal.SIGTERM)
    code = server.wait(within_s)
    expect(code == 0, f"serve ended with {code} after SIGTERM: {last_line(server.stderr)}")


# What Linux counts when it met something wrong from the other side, or gave up on a connection. Not retransmissions and
# their timeouts: on a machine that is busy otherwise a worker may be off its core for longer than Linux's 200 ms.
HARM = re.compile(
    r"^(TcpInErrs|TcpInCsumErrors|IpInHdrErrors|IpInAddrErrors|IpExtInCsumErrors|Ip6InHdrErrors|Icmp.*InCsumErrors|"
    r"TcpAttemptFails|TcpEstabResets|TcpExtTCPAbort.*|TcpExtTCPBacklogDrop|TcpExtListenOverflows|TcpExtPAWSEstab|"
    r"TcpExtTCPChallengeACK|TcpExtTCPSYNChallenge)$"
)
# What a program on Linux's side brings about that goes away without reading all: not damage.
LEFT_UNREAD = ("TcpEstabResets", "TcpExtTCPAbortOnData", "TcpExtTCPAbortOnClose")


def expect_linux_unharmed(before, after, but=()):
    """Between two readings of Linux's counters nothing grew that stands for damage."""
    grown = {
        key: value - before.get(key, 0)
        for key, value in after.items()
        if HARM.match(key) and key not in but and value > before.get(key, 0)
    }
    expect(not grown, f"Linux counted {grown}")


class Watchdog:
    """Fails a transfer that makes no progress for `patience_s`, rather than waiting for its end."""

    def __init__(self, patience_s, *connections):
        self.patience_s, self.connections = patience_s, connections
        self.moved = time.monotonic()
        self.fired = False
        self.over = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def progress(self):
        self.moved = time.monotonic()

    def watch(self):
        while not self.over.wait(0.2):
            if time.monotonic() - self.moved > self.patience_s:
                self.fired = True
                for connection in self.connections:
                    try:
                        connection.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                return

    def end(self):
        self.over.set()


def pattern_chunks(total, seed):
    """`total` bytes that no error of position or repetition leaves alike, a chunk at a time."""
    source = random.Random(seed)
    block = source.randbytes(1 << 20)
    sent = 0
    while sent < total:
        turn = source.randrange(len(block))
        chunk = (block[turn:] + block[:turn])[: total - sent]
        sent += len(chunk)
        yield chunk


def echo_through_half_close(connection, total, seed, patience_s=15):
    """Sends `total` bytes, shuts the write side, reads to the end of file; both hashes have to be equal."""
    sent_hash, received_hash = hashlib.sha256(), hashlib.sha256()
    counts = {"sent": 0, "received": 0}
    trouble = []
    connection.settimeout(None)
    dog = Watchdog(patience_s, connection)

    def send():
        try:
            for chunk in pattern_chunks(total, seed):
                view = memoryview(chunk)
                while view:
                    count = connection.send(view)
                    sent_hash.update(view[:count])
                    view = view[count:]
                    counts["sent"] += count
                    dog.progress()
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            trouble.append(f"sending stopped after {counts['sent']} bytes: {error}")

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        while True:
            chunk = connection.recv(1 << 18)
            if not chunk:
                break
            received_hash.update(chunk)
            counts["received"] += len(chunk)
            dog.progress()
    except OSError as error:
        trouble.append(f"receiving stopped after {counts['received']} bytes: {error}")
    dog.end()
    sender.join(5)
    note(f"echoed {counts}")
    expect(not dog.fired, f"no progress for {patience_s} s at {counts} of {total}")
    expect(not trouble, "; ".join(trouble))
    expect(counts == {"sent": total, "received": total}, f"{counts}, not {total} each way")
    expect(sent_hash.digest() == received_hash.digest(), "the hashes differ")


def need(*programs):
    for program in programs:
        for folder in os.environ["PATH"].split(":"):
            if os.access(os.path.join(folder, program), os.X_OK):
                break
        else:
            raise Skipped(f"{program} is not installed")


def main(check):
    """Runs a check: exit 0, 77 with `skipped: why`, or 1 with `failed: why` as the last line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    code, last = 0, "passed"
    try:
        if os.geteuid() != 0:
            raise Skipped("network namespaces need root")
        check()
    except Skipped as why:
        code, last = SKIPPED, f"skipped: {why}"
    except Failed as why:
        traceback.print_exc()
        code, last = 1, f"failed: {why}"
    except Exception as why:  # a check that trips is a failure like any other
        traceback.print_exc()
        code, last = 1, f"failed: {type(why).__name__}: {why}"
    finally:
        Program.end_all()
    print(last, file=sys.stderr, flush=True)
    # Not sys.exit: threads of a connection that hangs must not keep the check alive.
    sys.stdout.flush()
    os._exit(code)


CHECK = pathlib.Path(sys.argv[0]).stem
LOGS = pathlib.Path(os.environ.get("E2E_LOGS", "/tmp/fourtuple-e2e"))
LOGS.mkdir(parents=True, exist_ok=True)
