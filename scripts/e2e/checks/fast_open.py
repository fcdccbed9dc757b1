"""TCP Fast Open with Linux at the other end, as the client of `serve` and as the server of `load`."""

import json
import socket
import struct
import threading

import report
import stage
from stage import ATTACH, ENGINE_V4, ENGINE_V6, LINUX_V4, expect

TIME_LIMIT_S = 90
MSG_FASTOPEN, TCP_FASTOPEN, TCP_FASTOPEN_CONNECT = 0x20000000, 23, 30


def check():
    stage.need("nstat", "sysctl")
    with stage.Lab() as lab:
        lab.run("linux", ["sysctl", "-w", "net.ipv4.tcp_fastopen=3"])
        linux_asks(lab)
        linux_answers(lab)


def linux_asks(lab):
    server = lab.serve("echo:7", "discard:9", workers=1, flags=["--fast-open", "16"])
    before = lab.linux_counters()
    for address in (ENGINE_V4, ENGINE_V6):
        # The first asks for a cookie, the others bring it and their text.
        for n in range(5):
            text = bytes(range(100 + n))
            expect(echo(lab, address, text) == text, f"{address}: another text came back")
        expect(echo_connect(lab, address, b"by connect") == b"by connect", f"{address}: TCP_FASTOPEN_CONNECT")
    after, numbers = lab.linux_counters(), lab.stats()["totals"]
    grown = {name: after[f"TcpExtTCPFastOpen{name}"] - before[f"TcpExtTCPFastOpen{name}"] for name in ("Active", "ActiveFail", "CookieReqd")}
    stage.note(f"Linux asks: {grown}, ours let in {numbers['fast_opens']}, refused {numbers['fast_open_refused']}")
    # Linux counts as active only what was acknowledged with the SYN: four and one of each family.
    expect(grown["Active"] == 10 and grown["ActiveFail"] == 0, f"{grown}")
    expect(numbers["fast_opens"] == 10 and numbers["fast_open_refused"] == 0, f"{numbers['fast_opens']} of 10")
    expect(numbers["fast_opens_pending"] == 0, "a handshake is not over")
    stage.expect_linux_unharmed(before, after)
    # A service without the setting takes the same SYNs in the usual way.
    stage.drain(server)
    server = lab.serve("echo:7", workers=1, name="serve-off")
    expect(echo(lab, ENGINE_V4, b"again") == b"again", "a cookie for nobody does no harm")
    expect(lab.stats()["totals"]["fast_opens"] == 0, "off means off")
    stage.drain(server)


def echo(lab, address, text):
    with lab.inside("linux"):
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    bounded(connection)
    with connection:
        connection.sendto(text, MSG_FASTOPEN, (address, 7))
        return received(connection, len(text))


def echo_connect(lab, address, text):
    with lab.inside("linux"):
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    bounded(connection)
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        connection.connect((address, 7))
        connection.sendall(text)
        return received(connection, len(text))


def bounded(connection):
    """Ten seconds for each call, by the kernel: Python's own time-outs make sockets non-blocking, and a first sendto would not wait."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 10, 0))


def received(connection, count):
    got = b""
    while len(got) < count and (more := connection.recv(count - len(got))):
        got += more
    return got


def linux_answers(lab):
    with lab.inside("linux"):
        listener = socket.create_server((LINUX_V4, 9007), backlog=64)
    listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 64)
    threading.Thread(target=echoing, args=(listener,), daemon=True).start()
    before = lab.linux_counters()
    done = lab.run("engine", [
        stage.fourtuple(), "load", "crr", f"{LINUX_V4}:9007", *ATTACH, "-c", "1", "-n", "50", "--fast-open", "--verify", "--json",
        "--stats", stage.STATS,
    ])
    found = report.parse(done.stdout, "crr")
    expect(found["operations"] == 50 and not any(found["errors"].values()), f"{found['operations']} {found['errors']}")
    after = lab.linux_counters()
    grown = {name: after[f"TcpExtTCPFastOpen{name}"] - before[f"TcpExtTCPFastOpen{name}"] for name in ("Passive", "PassiveFail", "CookieReqd")}
    stage.note(f"Linux answers: {grown}, {json.dumps(found['latency_ns'])}")
    expect(grown["Passive"] >= 49 and grown["PassiveFail"] == 0, f"{grown}")
    expect(grown["CookieReqd"] >= 1, "nobody asked for a cookie")
    stage.expect_linux_unharmed(before, after, but=stage.LEFT_UNREAD)


def echoing(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo_all, args=(connection,), daemon=True).start()


def echo_all(connection):
    with connection:
        while text := connection.recv(65536):
            connection.sendall(text)


stage.main(check)
