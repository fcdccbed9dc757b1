"""One client opens from one port again and again, to a server that closes first: its SYN meets a TIME_WAIT and reopens it at once."""

import errno
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 60
TIMES = 40
PORT = 5555


def open_when_free(connection, address):
    """The last connection of the port is over for Linux when the last ACK has come."""
    for _ in range(500):
        try:
            return connection.connect(address)
        except OSError as why:
            if why.errno != errno.EADDRNOTAVAIL:
                raise
        time.sleep(0.002)
    raise stage.Failed("Linux does not let go of the port")


def ask(host):
    family = stage.socket.AF_INET6 if ":" in host else stage.socket.AF_INET
    with stage.socket.socket(family) as connection:
        connection.setsockopt(stage.socket.SOL_SOCKET, stage.socket.SO_REUSEADDR, 1)
        connection.settimeout(5)
        connection.bind(("", PORT))
        open_when_free(connection, (host, 80))
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        expect(answer.startswith(b"HTTP/1.1 200"), f"{answer[:40]!r}")


def check():
    with stage.Lab() as lab:
        server = lab.serve("http:80", workers=1, flags=["--msl", "30s"])
        # By the timestamp (RFC 6191), then by the sequence number alone.
        for timestamps in (1, 0):
            lab.run("linux", ["sysctl", "-q", "-w", f"net.ipv4.tcp_timestamps={timestamps}"])
            before, reopened = lab.linux_counters(), lab.stats()["workers"][0]["time_wait_reopened"]
            with lab.inside("linux"):
                for host in (ENGINE_V4, ENGINE_V6):
                    for _ in range(TIMES):
                        ask(host)
            # The last answer is read before Linux's FIN of that connection has come, and told a moment later.
            ends = time.monotonic() + 5
            while (worker := lab.stats()["workers"][0])["time_wait"] != 2 and time.monotonic() < ends:
                time.sleep(0.05)
            after = lab.linux_counters()
            reopened = worker["time_wait_reopened"] - reopened
            expect(reopened >= 2 * (TIMES - 1), f"{reopened} were reopened, timestamps {timestamps}")
            expect(worker["time_wait"] == 2, f"{worker['time_wait']} TIME_WAIT records, not one a four-tuple")
            again = after["TcpRetransSegs"] - before["TcpRetransSegs"]
            expect(again == 0, f"Linux sent {again} segments again: a SYN was not taken at once")
            stage.expect_linux_unharmed(before, after)
        stage.drain(server)


stage.main(check)
