"""10,000 connections opened, used and closed, by either side first: every table, pool, wheel and ring is as at the start."""

import re
import time

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 300
# What has to be as it was: all that a connection takes while it lives. (Counters only rise; neighbours stay known.)
GAUGES = (
    "connections", "time_wait", "timers", "syn_queue", "accept_queue", "lent_chunks", "send_chunks", "receive_chunks",
    "flights", "rx_buffers_free", "tx_buffers_free",
)
CLIENT_FIRST = 2000


def gauges(lab):
    snapshot = lab.stats()
    found = {name: sum(worker[name] for worker in snapshot["workers"]) for name in GAUGES}
    found["by_state"] = {
        state: sum(worker["by_state"][state] for worker in snapshot["workers"]) for state in snapshot["workers"][0]["by_state"]
    }
    return found


def accepts(lab):
    return sum(worker["accepts"] for worker in lab.stats()["workers"])


def one_after_another(lab, count):
    """Linux closes first: each connection sends, reads its echo, closes, and reads to the end."""
    with lab.inside("linux"):
        for number in range(count):
            host = ENGINE_V6 if number % 4 == 0 else ENGINE_V4
            with stage.socket.create_connection((host, 7), timeout=10) as connection:
                word = b"%08d" % number
                connection.sendall(word)
                connection.shutdown(stage.socket.SHUT_WR)
                back = b""
                while chunk := connection.recv(64):
                    back += chunk
                expect(back == word, f"connection {number}: {back!r} came back for {word!r}")


def server_first(lab, count):
    """The server closes first (ab without keep-alive): the TIME_WAIT records are ours."""
    done = lab.run("linux", ["ab", "-q", "-n", count, "-c", "50", "-s", "10", f"http://{ENGINE_V4}/"], within_s=90)
    expect(re.search(rf"Complete requests:\s+{count}\b", done.stdout), "ab did not complete its requests")
    expect(re.search(r"Failed requests:\s+0\b", done.stdout), "ab counted failed requests")


def settled(lab):
    """The gauges once nothing of the first connection is left; entries of the wheel go when they expire, not before."""
    deadline = time.monotonic() + 10
    while True:
        now = gauges(lab)
        left = {name: now[name] for name in ("connections", "time_wait", "timers", "lent_chunks") if now[name]}
        if not left:
            return now
        expect(time.monotonic() < deadline, f"one connection left behind {left}")
        time.sleep(0.2)


def as_at_the_start(lab, start, within_s):
    deadline = time.monotonic() + within_s
    while (now := gauges(lab)) != start:
        differing = {key: (start[key], now[key]) for key in start if start[key] != now[key]}
        expect(time.monotonic() < deadline, f"not as at the start (before, after): {differing}")
        time.sleep(0.2)


def churn(mode):
    with stage.Lab("--queues", "2") as lab:
        server = lab.serve("echo:7", "http:80", workers=2, flags=["--msl", "100ms", "--mode", mode])
        one_after_another(lab, 1)  # the neighbours are known, whatever is made once is made
        start, accepted = settled(lab), accepts(lab)
        before = lab.linux_counters()
        one_after_another(lab, CLIENT_FIRST)
        server_first(lab, 10_000 - CLIENT_FIRST)
        # An entry of the wheel goes when it comes up, not before: that of a FIN_WAIT_2 which lasted longer than its RTO, in a minute.
        as_at_the_start(lab, start, within_s=75)
        expect(accepts(lab) - accepted >= 10_000, f"{accepts(lab) - accepted} accepts were counted")
        stage.expect_linux_unharmed(before, lab.linux_counters())
        stage.drain(server)


def check():
    stage.need("ab")
    for mode in ("handler", "threads=2"):
        churn(mode)


stage.main(check)
