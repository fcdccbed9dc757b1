"""Urgent data both ways with Linux: MSG_OOB of its sockets, out of line and in line (SO_OOBINLINE, SIOCATMARK).

The engine's side is its example `urgent`, which sends back as urgent what came so.
"""

import fcntl
import socket
import struct
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 60
SIOCATMARK = 0x8905


def receive(connection, count):
    got = b""
    while len(got) < count:
        part = connection.recv(count - len(got))
        expect(part, f"the end of file after {got!r}")
        got += part
    return got


def out_of_band(connection, within_s=5):
    """The byte out of line; Linux says EINVAL or EAGAIN until it has come."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return connection.recv(1, socket.MSG_OOB)
        except OSError as error:
            expect(time.monotonic() < deadline, f"no urgent byte within {within_s} s: {error}")
            time.sleep(0.01)


def at_mark(connection):
    return struct.unpack("i", fcntl.ioctl(connection, SIOCATMARK, struct.pack("i", 0)))[0] == 1


def out_of_line(lab, host):
    with lab.connect(host, 7) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(20):
            connection.sendall(b"before")
            connection.send(b"!" if number % 2 else b"?", socket.MSG_OOB)
            connection.sendall(b"after")
            byte = out_of_band(connection)
            expect(byte == (b"!" if number % 2 else b"?"), f"round {number}: the urgent byte is {byte!r}")
            text = receive(connection, 11)
            expect(text == b"beforeafter", f"round {number}: {text!r} without the urgent byte")


def in_line(lab, host):
    with lab.connect(host, 7) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        for number in range(20):
            connection.sendall(b"before")
            connection.send(b"!", socket.MSG_OOB)
            connection.sendall(b"after")
            # What stands before the mark ends a read: Linux gives no byte behind it in the same call.
            text = receive(connection, 6)
            expect(text == b"before", f"round {number}: {text!r} before the mark")
            deadline = time.monotonic() + 5
            while not at_mark(connection):
                expect(time.monotonic() < deadline, f"round {number}: not at the mark")
                time.sleep(0.01)
            text = receive(connection, 6)
            expect(text == b"!after", f"round {number}: {text!r} from the mark on")


def long_urgent(lab, host):
    """More urgent data than a pointer reaches: the last byte is the one that Linux calls urgent."""
    with lab.connect(host, 7) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        sent = bytes(range(256)) * 400
        # A socket with a time limit sends what fits into its buffer, and says so; one without sends all of it as one.
        limit = connection.gettimeout()
        connection.settimeout(None)
        count = connection.send(sent, socket.MSG_OOB)
        expect(count == len(sent), f"{count} of {len(sent)} bytes in one call")
        connection.settimeout(limit)
        rest = sent
        while rest:
            part = connection.recv(65536)
            expect(part and rest.startswith(part), f"{len(sent) - len(rest)} bytes, then something else")
            rest = rest[len(part):]


def check():
    example = stage.example("urgent")
    with stage.Lab() as lab:
        before = lab.linux_counters()
        server = lab.start("engine", "urgent", [example, "v0", f"{ENGINE_V4}/24", f"{ENGINE_V6}/64"])
        server.wait_for_line("^ready$", 20)
        for host in (ENGINE_V4, ENGINE_V6):
            out_of_line(lab, host)
            in_line(lab, host)
            long_urgent(lab, host)
        server.expect_running()
        told = len(server.stdout.splitlines())
        expect(told > 80, f"the application was told {told} times")
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)


stage.main(check)
