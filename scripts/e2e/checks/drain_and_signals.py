"""SIGTERM and SIGINT let what is under way finish and refuse what is new; peers in every state hear of the end; a second
signal ends the server at once with 130."""

import ctypes
import select
import signal
import struct
import time

import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 150
WAITS = True
DRAIN_S = 1
# How much longer than --drain-timeout an end may take: RSTs, threads, the port.
SMALL_S = 4
SO_ATTACH_FILTER = 26


def finishes_what_is_under_way(mode, number):
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, flags=["--mode", mode])
        connection = lab.connect(ENGINE_V4, 7)
        connection.sendall(b"before ")
        expect(connection.recv(64) == b"before ", "no echo before the drain")
        server.signal(number)
        deadline = time.monotonic() + 5
        while lab.get("/readyz")[0] == 200:
            expect(time.monotonic() < deadline, "/readyz still says 200 while draining")
            time.sleep(0.05)
        connection.sendall(b"during")
        expect(connection.recv(64) == b"during", "no echo during the drain")
        try:
            late = lab.connect(ENGINE_V4, 7, timeout_s=1.5)
        except OSError:
            late = None
        expect(late is None, "a connection was accepted during the drain")
        connection.shutdown(stage.socket.SHUT_WR)
        expect(connection.recv(64) == b"", "no end of file after ours")
        connection.close()
        code = server.wait(10)
        expect(code == 0, f"exit {code} after the drain")


class HalfOpen:
    """A client that says SYN and nothing more, at an address that Linux does not have; it hears what comes for it."""

    ADDRESS = "10.99.0.77"
    PORT = 40000

    def __init__(self, lab):
        with lab.inside("linux"):
            self.raw = stage.socket.socket(stage.socket.AF_INET, stage.socket.SOCK_RAW, stage.socket.IPPROTO_RAW)
            self.ear = stage.socket.socket(stage.socket.AF_PACKET, stage.socket.SOCK_RAW, stage.socket.htons(0x0800))
        # Only what is for this address: under load the socket would overflow. As `tcpdump -dd ip dst 10.99.0.77` has it.
        program = b"".join(struct.pack("=HBBI", *step) for step in (
            (0x28, 0, 0, 12), (0x15, 0, 3, 0x0800), (0x20, 0, 0, 30), (0x15, 0, 1, 0x0A63004D), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
        ))
        steps = ctypes.create_string_buffer(program)
        self.ear.setsockopt(stage.socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(steps)))
        self.ear.bind(("v1", 0x0800))

    def say_syn(self, port):
        source, target = (stage.socket.inet_aton(address) for address in (self.ADDRESS, ENGINE_V4))
        segment = struct.pack("!HHIIBBHHH", self.PORT, port, 1, 0, 5 << 4, 0x02, 65535, 0, 0)
        pseudo = source + target + struct.pack("!BBH", 0, 6, len(segment))
        total = sum(struct.unpack(f"!{(len(pseudo) + len(segment)) // 2}H", pseudo + segment))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        segment = segment[:16] + struct.pack("!H", ~total & 0xFFFF) + segment[18:]
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0, source, target)
        self.raw.sendto(header + segment, (ENGINE_V4, 0))

    def hear(self, flag, within_s):
        """Waits for a segment to it with this flag."""
        deadline = time.monotonic() + within_s
        while True:
            left = deadline - time.monotonic()
            expect(left > 0, f"a half-open client heard no segment with flag {flag:#x} within {within_s} s")
            if select.select([self.ear], [], [], left)[0]:
                frame = self.ear.recv(2048)
                if frame[30:34] == stage.socket.inet_aton(self.ADDRESS) and frame[23] == 6 and frame[47] & flag:
                    return


def peers_in_every_state_hear_of_it(mode, number):
    """What is still there at the end of --drain-timeout is reset; nobody hangs, and the exit is 0."""
    with stage.Lab() as lab:
        services = ("echo:7", "discard:9", "chargen:19", "daytime:13", "http:80")
        server = lab.serve(*services, workers=2, flags=["--mode", mode, "--drain-timeout", f"{DRAIN_S}s", "--msl", "5s"])
        peers = {}
        for name, port in (("idle", 7), ("unsent", 19), ("unsent, ours closed", 19), ("closed by the server", 13), ("half-closed", 9)):
            peers[name] = lab.connect(ENGINE_V4, port)
        peers["idle"].sendall(b"x")
        expect(peers["idle"].recv(1) == b"x", "no echo")
        peers["unsent, ours closed"].shutdown(stage.socket.SHUT_WR)
        peers["half-closed"].shutdown(stage.socket.SHUT_WR)
        half_open = HalfOpen(lab)
        half_open.say_syn(7)
        half_open.hear(0x12, 5)
        # Windows fill up, the daytime is said and closed.
        time.sleep(1)
        load = None
        try:
            stage.need("wrk")
            load = lab.start("linux", "wrk", ["wrk", "-t", "1", "-c", "40", "-d", "6s", f"http://{ENGINE_V4}/"])
            time.sleep(1)
        except stage.Skipped:
            stage.note("no wrk: no load")
        half_open.say_syn(7)
        signalled = time.monotonic()
        server.signal(number)
        code = server.wait(DRAIN_S + SMALL_S + 10)
        took = time.monotonic() - signalled
        stage.note(f"{mode}, signal {number}: exit {code} after {took:.2f} s")
        expect(code == 0, f"exit {code} after --drain-timeout")
        expect(took < DRAIN_S + SMALL_S, f"the end took {took:.1f} s with --drain-timeout {DRAIN_S}s")
        half_open.hear(0x04, 5)
        for name, peer in peers.items():
            peer.settimeout(3)
            try:
                while peer.recv(1 << 16):
                    pass
            except ConnectionResetError:
                pass
            except TimeoutError:
                expect(False, f"the peer `{name}` heard neither FIN nor RST")
        if load:
            load.end()


def second_signal(first, second):
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1)
        connection = lab.connect(ENGINE_V4, 7)
        connection.sendall(b"x")
        connection.recv(1)
        server.signal(first)
        time.sleep(0.5)
        server.expect_running()
        signalled = time.monotonic()
        server.signal(second)
        code = server.wait(5)
        expect(code == 130, f"exit {code} after a second signal, not 130")
        expect(time.monotonic() - signalled < 1, "the second signal did not end it at once")


def check():
    finishes_what_is_under_way("handler", signal.SIGTERM)
    finishes_what_is_under_way("threads=2", signal.SIGINT)
    peers_in_every_state_hear_of_it("handler", signal.SIGINT)
    peers_in_every_state_hear_of_it("threads=2", signal.SIGTERM)
    second_signal(signal.SIGTERM, signal.SIGTERM)
    second_signal(signal.SIGINT, signal.SIGTERM)


stage.main(check)
