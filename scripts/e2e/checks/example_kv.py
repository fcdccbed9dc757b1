"""The key-value example against redis-cli and redis-benchmark: pipelined, cut at any byte, binary, hostile, and unread."""

import hashlib
import re
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 180
BENCHED = ("PING_INLINE", "PING_MBULK", "SET", "GET")


def cli(lab, *words, address=ENGINE_V4, **options):
    return lab.run("linux", ["redis-cli", "-h", address, *words], **options).stdout.strip()


def by_hand(lab):
    for words, answer in (
        (["PING"], "PONG"), (["SET", "k", "a b\tc"], "OK"), (["GET", "k"], "a b\tc"), (["GET", "none"], ""),
        (["INCR", "n"], "1"), (["INCR", "n"], "2"), (["DEL", "k", "n", "none"], "2"), (["GET", "k"], ""),
    ):
        expect((said := cli(lab, *words)) == answer, f"redis-cli {words} says {said!r}")
    expect(cli(lab, "BREW", "tea").startswith("ERR"), "an unknown command is no error")
    # A megabyte is too much, half of one is not.
    for size, answer in ((500_000, "OK"), (1_100_000, "ERR")):
        made = f"head -c {size} /dev/zero | tr '\\0' x | timeout 20 redis-cli -h {ENGINE_V4} -x SET big"
        said = lab.run("linux", ["sh", "-c", made], expect_code=None)
        expect(said.stdout.startswith(answer), f"SET of {size} bytes: {said.stdout} {said.stderr}")
    big = hashlib.sha256(b"x" * 500_000 + b"\n").hexdigest()
    said = lab.run("linux", ["sh", "-c", f"timeout 20 redis-cli -h {ENGINE_V4} GET big | sha256sum"])
    expect(said.stdout.split()[0] == big, "a large value comes back as something else")


def ask(lab, pieces, answer):
    """Sends pieces, each in a segment of its own, and reads what is expected."""
    with lab.connect(ENGINE_V4, 6379) as connection:
        connection.setsockopt(stage.socket.IPPROTO_TCP, stage.socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        said = b""
        while len(said) < len(answer) and (more := connection.recv(65536)):
            said += more
    expect(said == answer, f"{pieces[:3]!r}… is answered by {said[:60]!r}")


def cut(lab):
    asked = b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$4\r\n\0\xff\r\n\r\nPING\r\n*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n"
    answer = b"+OK\r\n+PONG\r\n$4\r\n\0\xff\r\n\r\n"
    ask(lab, [asked[at : at + 1] for at in range(len(asked))], answer)
    for at in range(1, len(asked), 7):
        ask(lab, [asked[:at], asked[at:]], answer)
    ask(lab, [b"PING\r\n" * 20_000], b"+PONG\r\n" * 20_000)


def hostile(lab):
    for asked in (b"*1\r\n$99999999999\r\n", b"*1\r\nx\r\n", b"x" * 5000, b"*100\r\n" + b"$0\r\n\r\n" * 100):
        with lab.connect(ENGINE_V4, 6379) as connection:
            connection.sendall(asked)
            said = b""
            while more := connection.recv(65536):
                said += more
            expect(said.startswith(b"-ERR"), f"{asked[:20]!r} is answered by {said[:60]!r}")


def unread(lab):
    """Who asks for half a gigabyte and reads none of it is in nobody's way."""
    with lab.connect(ENGINE_V4, 6379) as lazy:
        lazy.settimeout(1)
        try:
            for _ in range(1000):
                lazy.sendall(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n" * 100)
        except TimeoutError:
            stage.note("the window closed")
        expect(cli(lab, "PING") == "PONG", "a client that does not read is in the way")


def resident_mib(server):
    status = open(f"/proc/{server.process.pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def bench(lab, pipeline, address):
    done = lab.run("linux", ["redis-benchmark", "-h", address, "-t", "ping,set,get", "-n", "20000", "-q", "-P", pipeline], within_s=120)
    rates = dict(re.findall(r"(?:^|[\r\n])(\w+): ([\d.]+) requests per second", done.stdout))
    expect(set(BENCHED) <= set(rates) and all(float(rates[name]) > 0 for name in BENCHED), f"redis-benchmark -P {pipeline} says {rates}")
    expect(not done.stderr.strip() and "rror" not in done.stdout, f"redis-benchmark -P {pipeline}: {done.stderr}")


def check():
    stage.need("redis-cli", "redis-benchmark", "nstat")
    with stage.Lab() as lab:
        server = lab.example("kv")
        before = lab.linux_counters()
        by_hand(lab)
        cut(lab)
        expect(cli(lab, "SET", "six", "v6", address=ENGINE_V6) == "OK" and cli(lab, "GET", "six") == "v6", "what was set over IPv6 is not there over IPv4")
        for pipeline, address in (("1", ENGINE_V4), ("16", ENGINE_V4), ("16", ENGINE_V6)):
            bench(lab, pipeline, address)
        stage.expect_linux_unharmed(before, lab.linux_counters(), but=stage.LEFT_UNREAD)
        resident = resident_mib(server)
        hostile(lab)
        unread(lab)
        expect(resident_mib(server) < resident + 32, "what a client does not read is kept in memory")
        server.expect_running()


stage.main(check)
