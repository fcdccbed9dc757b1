"""What every port that goes both ways has to carry against Linux: 100 MiB unharmed, and 1,000 connections."""

import concurrent.futures
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

BULK = 100 << 20
CONNECTIONS = 1000
AT_ONCE = 20


def bulk(lab, total=BULK):
    start = time.monotonic()
    stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), total, seed=5)
    seconds = time.monotonic() - start
    stage.note(f"{total >> 20} MiB each way in {seconds:.1f} s: {total * 8 / seconds / 1e6:.0f} Mbit/s")


def many(lab, count=CONNECTIONS):
    def each(numbers):
        for number in numbers:
            host = ENGINE_V6 if number % 2 else ENGINE_V4
            with lab.connect(host, 7) as connection:
                word = b"connection %06d" % number
                connection.sendall(word)
                connection.shutdown(stage.socket.SHUT_WR)
                back = b""
                while chunk := connection.recv(64):
                    back += chunk
                expect(back == word, f"connection {number}: {back!r} came back for {word!r}")

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(each, range(first, count, AT_ONCE)) for first in range(AT_ONCE)]:
            done.result()
    stage.note(f"{count} connections in {time.monotonic() - start:.1f} s")


def both_ways(lab, server, total=BULK, count=CONNECTIONS):
    """All of it; Linux may count no harm, and the engine's port has to tell of as much."""
    before = lab.linux_counters()
    many(lab, count)
    bulk(lab, total)
    server.expect_running()
    stage.expect_linux_unharmed(before, lab.linux_counters())
    port = lab.stats()["port"]
    expect(port["rx_bytes"] > total and port["tx_bytes"] > total, f"the port counted {port}")


def refused(lab, why, words, naming, prefix=()):
    """`serve` with these words ends with 3 and one line that names these."""
    done = lab.run("engine", [*prefix, stage.fourtuple(), "serve", "echo:7", *words, "--stats", "off"], within_s=20, expect_code=None)
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    expect(done.returncode == 3, f"{why}: exit {done.returncode}: {lines}")
    expect(len(lines) == 1, f"{why}: {len(lines)} lines on stderr: {lines}")
    for name in naming:
        expect(name in lines[0], f"{why}: {lines[0]!r} does not name {name!r}")


def vlan(lab, number):
    """Linux's addresses move to a VLAN interface on v1."""
    tagged = f"v1.{number}"
    for words in (
        ["link", "add", "link", "v1", "name", tagged, "type", "vlan", "id", number],
        ["address", "del", f"{stage.LINUX_V4}/24", "dev", "v1"], ["address", "del", f"{stage.LINUX_V6}/64", "dev", "v1"],
        ["address", "add", f"{stage.LINUX_V4}/24", "dev", tagged], ["address", "add", f"{stage.LINUX_V6}/64", "dev", tagged, "nodad"],
        ["link", "set", tagged, "up"],
    ):
        lab.run("linux", ["ip", *words])


def mtu(lab, size):
    for side, name in (("linux", "v1"), ("engine", "v0")):
        lab.run(side, ["ip", "link", "set", name, "mtu", size])


def link_goes_and_comes(lab, server):
    """The link is told of in the stats, and its changes in the log."""
    def expect_up(up):
        # The kernel itself takes up to a second to say so.
        deadline = time.monotonic() + 5
        while lab.stats()["ports"][0]["link_up"] is not up:
            expect(time.monotonic() < deadline, f"link_up should be {up}")
            time.sleep(0.1)

    expect_up(True)
    lab.run("linux", ["ip", "link", "set", "v1", "down"])
    expect_up(False)
    server.wait_for_line("the link is down", 5, where="stderr")
    lab.run("linux", ["ip", "link", "set", "v1", "up"])
    server.wait_for_line("the link is up", 5, where="stderr")
    expect('fourtuple_port_link_up{port="' in lab.get("/metrics")[1], "no port_link_up in /metrics")
