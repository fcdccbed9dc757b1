"""Clients of one address whose clocks have nothing to do with each other, as behind a NAT: all get in, whatever is in TIME_WAIT.

Linux is each of them in turn: with timestamps from a secret offset, from none, and without timestamps.
"""

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 90
ROUNDS = 60


def ask(lab, host):
    """One connection that the server closes first."""
    with stage.socket.create_connection((host, 80), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        expect(answer.startswith(b"HTTP/1.1 200"), f"{answer[:40]!r}")


def check():
    with stage.Lab() as lab:
        server = lab.serve("http:80", workers=1, flags=["--msl", "30s"])
        before = lab.linux_counters()
        for number in range(ROUNDS):
            # 1: a secret offset for each pair of addresses; 2: none; 0: no timestamps at all.
            lab.run("linux", ["sysctl", "-q", "-w", f"net.ipv4.tcp_timestamps={(1, 2, 0)[number % 3]}"], quiet=True)
            with lab.inside("linux"):
                for host in (ENGINE_V4, ENGINE_V6, ENGINE_V4):
                    ask(lab, host)
        found = lab.stats()["workers"][0]
        expect(found["time_wait"] >= ROUNDS, f"{found['time_wait']} TIME_WAIT records: the server did not close first")
        after = lab.linux_counters()
        again = after["TcpRetransSegs"] - before["TcpRetransSegs"]
        expect(again == 0, f"Linux sent {again} segments again: somebody was not let in at once")
        expect(found["listen_drops"] == 0, f"{found['listen_drops']} SYNs were dropped")
        stage.expect_linux_unharmed(before, after)
        stage.drain(server)


stage.main(check)
