"""The front example: connections go to the thread of their host, whole, once it was seen; those that name none are answered at once."""

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 90


def curl(lab, host, *flags, address=ENGINE_V4):
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-w", "%{http_code}", "-H", f"Host: {host}", *flags, f"http://{address}/some/path"])
    return done.stdout


def by_hand(lab, pieces):
    with lab.connect(ENGINE_V4, 80) as connection:
        connection.setsockopt(stage.socket.IPPROTO_TCP, stage.socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        said = b""
        while more := connection.recv(65536):
            said += more
    return said


def check():
    stage.need("curl", "ab", "nstat")
    with stage.Lab() as lab:
        server = lab.example("front", "a.example", "b.example")
        before = lab.linux_counters()
        for host in ("a.example", "b.example:80"):
            expect((said := curl(lab, host)) == f"{host.split(':')[0]} was asked: GET /some/path HTTP/1.1\n200", f"{host}: {said!r}")
        expect((said := curl(lab, "c.example")) == "421", f"a host that nobody has: {said!r}")
        expect(curl(lab, "a.example", "-6", address=f"[{ENGINE_V6}]").endswith("200"), "nobody answers over IPv6")
        asked = b"GET /x HTTP/1.1\r\nHost: b.example\r\n\r\n"
        said = by_hand(lab, [asked[at : at + 1] for at in range(len(asked))])
        expect(said.endswith(b"b.example was asked: GET /x HTTP/1.1\n"), f"a byte a segment: {said!r}")
        expect(by_hand(lab, [b"BREW\r\n\r\n"]).startswith(b"HTTP/1.1 400 "), "no request is answered by 400")
        done = lab.run("linux", ["ab", "-q", "-n", "1000", "-c", "20", "-s", "10", "-H", "Host: a.example", f"http://{ENGINE_V4}/"])
        expect("Complete requests:      1000" in done.stdout and "Failed requests:        0" in done.stdout and "Non-2xx" not in done.stdout, "ab counted failures")
        stage.expect_linux_unharmed(before, lab.linux_counters())
        # Who says nothing is reset, and was in nobody's way.
        with lab.connect(ENGINE_V4, 80) as silent:
            silent.sendall(b"GET / HTTP/1.1\r\nHost: a.exa")
            expect(curl(lab, "a.example").endswith("200"), "somebody who dawdles is in the way")
            try:
                expect(not silent.recv(1), "bytes for half a request")
                raise stage.Failed("the connection was closed, not reset")
            except ConnectionResetError:
                pass
        server.expect_running()


stage.main(check)
