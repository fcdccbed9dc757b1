"""SIGTERM lets what is under way finish and refuses what is new; a second signal ends the server at once with 130."""

import signal
import time

import stage
from stage import ENGINE_V4, expect


def finishes_what_is_under_way(mode):
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, flags=["--mode", mode])
        connection = lab.connect(ENGINE_V4, 7)
        connection.sendall(b"before ")
        expect(connection.recv(64) == b"before ", "no echo before the drain")
        server.signal(signal.SIGTERM)
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


def gives_up_at_its_time():
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, flags=["--drain-timeout", "1s"])
        connection = lab.connect(ENGINE_V4, 7)
        connection.sendall(b"x")
        connection.recv(1)
        server.signal(signal.SIGTERM)
        code = server.wait(8)
        expect(code == 0, f"exit {code} after --drain-timeout")
        try:
            rest = connection.recv(1)
            expect(False, f"the connection ended with {rest!r}, not with a RST")
        except ConnectionResetError:
            pass


def second_signal():
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1)
        connection = lab.connect(ENGINE_V4, 7)
        connection.sendall(b"x")
        connection.recv(1)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        server.expect_running()
        server.signal(signal.SIGTERM)
        code = server.wait(5)
        expect(code == 130, f"exit {code} after a second signal, not 130")


def check():
    for mode in ("handler", "threads=2"):
        finishes_what_is_under_way(mode)
    gives_up_at_its_time()
    second_signal()


stage.main(check)
