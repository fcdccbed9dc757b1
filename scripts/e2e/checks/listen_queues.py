"""The queues of a listener, with Linux as the client: who is ignored gets in by its own retransmission, and a flood of SYNs keeps nobody out."""

import ctypes
import os
import pathlib
import random
import select
import socket
import struct
import threading
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

SYN, RST = 0x02, 0x04
# `--backlog 4`, and the 64 connections that an application thread lets in before it looks (`Listener::with_credits`).
CLIENTS, WAITING = 100, 4 + 64
TIME_LIMIT_S = 150


def check():
    stage.need("nstat", "curl")
    accept_queue_full(apart_s=0.005)
    accept_queue_full(apart_s=0)
    syn_queue_full()
    flood()


def accept_queue_full(apart_s):
    """The application stands still and few connections may wait: others' SYNs are ignored, and final ACKs, until they come again."""
    with stage.Lab() as lab:
        server = lab.serve("echo:7", flags=["--mode", "threads=1", "--backlog", "4"])
        before = lab.linux_counters()
        clients = Clients(lab, CLIENTS, apart_s)
        with Stopped(server.process.pid, "ft-app"):
            clients.start()
            wait_until(lambda: totals(lab)["listen_overflows"] > 0, 5, "SYNs are ignored")
            # Linux says again what was ignored at the end: a SYN after a second, text after a fifth of that.
            time.sleep(1)
            numbers = totals(lab)
            expect(numbers["accepts"] <= WAITING, f"{numbers['accepts']} got in while nobody accepted")
        found = clients.join()
        expect(found["echoed"] == CLIENTS, f"{found}: all get in")
        numbers = totals(lab)
        syns, acks = (numbers["dropped"][reason] for reason in ("accept_queue_full", "accept_queue_full_ack"))
        expect(numbers["listen_overflows"] == numbers["listen_drops"] == syns + acks, f"{numbers['listen_overflows']} {syns} {acks}")
        again = lab.linux_counters()["TcpRetransSegs"] - before["TcpRetransSegs"]
        stage.note(f"accept queue: {syns} SYNs and {acks} ACKs ignored, Linux repeated {again}, slowest handshake {found['slowest']:.2f} s")
        expect(again >= CLIENTS - WAITING, f"Linux repeated {again} segments")
        if apart_s > 0:
            expect(syns > 0 and found["slowest"] > 0.9, "a SYN was ignored and came again")
        stage.drain(server)


def syn_queue_full():
    """Four half-open connections may be and are, of hosts that are not there. Without cookies the client is ignored until they leave."""
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, flags=["--syn-queue", "4", "--syn-cookies", "off"])
        before = lab.linux_counters()
        gone = [("10.99.0.77", 5000 + n) for n in range(4)]
        with lab.inside("linux"), raw() as out:
            for source, port in gone:
                out.sendto(segment(source, ENGINE_V4, port, 7, 1000, SYN), (ENGINE_V4, 0))
        wait_until(lambda: totals(lab)["syn_queue"] == 4, 5, "four half-open connections")
        clients = Clients(lab, 1)
        clients.start()
        wait_until(lambda: totals(lab)["dropped"]["syn_queue_full"] > 0, 5, "the client's SYN is ignored")
        with lab.inside("linux"), raw() as out:
            for source, port in gone:
                out.sendto(segment(source, ENGINE_V4, port, 7, 1001, RST), (ENGINE_V4, 0))
        found = clients.join()
        expect(found["echoed"] == 1, f"the client got in: {found}")
        expect(found["slowest"] > 0.9, f"by its retransmission, after {found['slowest']:.2f} s")
        again = lab.linux_counters()["TcpRetransSegs"] - before["TcpRetransSegs"]
        expect(again >= 1, "Linux repeated its SYN")
        numbers = totals(lab)
        expect(numbers["cookies_sent"] == 0, "a cookie was sent in spite of off")
        expect(numbers["listen_drops"] == numbers["dropped"]["syn_queue_full"] == again, f"{numbers['listen_drops']} for {again}")
        stage.note(f"SYN queue: {again} ignored, handshake after {found['slowest']:.2f} s")
        stage.drain(server)


def flood():
    """SYNs from anywhere, as a raw socket sends them, against a short SYN queue: curl gets its answers, over both families."""
    with stage.Lab() as lab:
        server = lab.serve("http:80", flags=["--syn-queue", "64"])
        stop, sent = threading.Event(), []
        attacker = threading.Thread(target=flooding, args=(lab, stop, sent))
        attacker.start()
        before = lab.linux_counters()
        try:
            wait_until(lambda: totals(lab)["cookies_sent"] > 1000, 10, "cookies are sent")
            for n in range(40):
                host = ENGINE_V4 if n % 2 == 0 else f"[{ENGINE_V6}]"
                lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", f"http://{host}/bytes/20000"], quiet=True)
        finally:
            stop.set()
            attacker.join(20)
        numbers = totals(lab)
        stage.note(f"flood: {sum(sent)} SYNs, {numbers['cookies_sent']} cookies, {numbers['cookies_accepted']} came back")
        expect(numbers["cookies_accepted"] == numbers["accepts"] == 40, f"{numbers['cookies_accepted']} {numbers['accepts']} of 40")
        expect(numbers["syn_queue"] <= 64, f"{numbers['syn_queue']} half-open connections")
        expect(numbers["listen_overflows"] == numbers["dropped"]["syn_queue_full"] == 0, "a SYN was ignored")
        # SYN+ACKs for those who are not there.
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=("IpInAddrErrors",))
        stage.drain(server)


class Clients(threading.Thread):
    """Connections of Linux's TCP to port 7, all at once or a little apart, with a few bytes echoed over each."""

    def __init__(self, lab, count, apart_s=0):
        super().__init__()
        self.lab, self.count, self.apart_s = lab, count, apart_s
        self.found = {"echoed": 0, "slowest": 0}

    def run(self):
        with self.lab.inside("linux"):
            sockets = [socket.socket() for _ in range(self.count)]
        started, took = time.monotonic(), {}
        for connection in sockets:
            connection.setblocking(False)
            connection.connect_ex((ENGINE_V4, 7))
            time.sleep(self.apart_s)
        while len(took) < self.count and time.monotonic() < started + 20:
            waiting = [connection for connection in sockets if connection not in took]
            for connection in select.select([], waiting, [], 1)[1]:
                took[connection] = time.monotonic() - started
        self.found["slowest"] = max(took.values(), default=0)
        for connection in took:
            connection.settimeout(10)
            connection.sendall(b"hello")
        for connection in took:
            try:
                self.found["echoed"] += connection.recv(5, socket.MSG_WAITALL) == b"hello"
            except OSError as error:
                stage.note(f"a client: {error}")
        for connection in sockets:
            connection.close()

    def join(self):
        super().join(60)
        expect(not self.is_alive(), "the clients are not done after a minute")
        return self.found


class Stopped:
    """A thread of a process that does nothing inside the block, as if the application were busy: ptrace stops it alone."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, process, name):
        names = {task.name: (task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{process}/task").iterdir()}
        self.thread = next((int(task) for task, comm in names.items() if comm.startswith(name)), None)
        expect(self.thread, f"no thread {name} among {sorted(names.values())}")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long] * 4

    def ask(self, request):
        if self.libc.ptrace(request, self.thread, 0, 0) != 0:
            raise stage.Skipped(f"ptrace is refused: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        self.ask(self.SEIZE)
        self.ask(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)

    def __exit__(self, *_):
        self.ask(self.DETACH)


def flooding(lab, stop, sent):
    rng = random.Random(1)
    with lab.inside("linux"), raw() as out:
        while not stop.is_set():
            for _ in range(20):
                # Nobody's here: the networks for measurements, 198.18.0.0/15.
                source = f"198.{rng.randrange(18, 20)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
                packet = segment(source, ENGINE_V4, rng.randrange(1024, 65536), 80, rng.randrange(1 << 32), SYN)
                out.sendto(packet, (ENGINE_V4, 0))
            sent.append(20)
            time.sleep(0.004)


def segment(source, target, source_port, port, sequence, flags):
    """An IPv4 packet with a TCP header and no options."""
    def checksum(octets):
        total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
        total = (total & 0xFFFF) + (total >> 16)
        return ~(total + (total >> 16)) & 0xFFFF

    source, target = socket.inet_aton(source), socket.inet_aton(target)
    tcp = struct.pack("!HHIIBBHHH", source_port, port, sequence, 0, 0x50, flags, 64000, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    # The kernel fills in length and checksum of the IP header.
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 6, 0, source, target) + tcp


def raw():
    """Of the namespace that the thread is in."""
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def wait_until(true, within_s, what):
    ends = time.monotonic() + within_s
    while not true():
        expect(time.monotonic() < ends, f"not within {within_s} s: {what}")
        time.sleep(0.1)


def totals(lab):
    return lab.stats()["totals"]


stage.main(check)
