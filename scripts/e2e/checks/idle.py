"""An idle server takes less than 2 % of a core, answers the first SYN at once, and says how late its workers woke."""

import statistics
import time

import cpu
import exposition
import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 150
WAITS = True
MOST_PERCENT = 2
# Of each worker that naps, beside what an empty thread takes that sleeps for a millisecond at a time (2 % or more where timers
# of a virtual machine cost much).
NAPPING_PERCENT = 2
CONNECTIONS = 1000
QUIET_S = 5
FIRST_SYN_MS = 50


def first_syn(lab):
    """Milliseconds from connect() to the SYN+ACK, after some seconds in which nothing came."""
    taken = []
    for _ in range(5):
        time.sleep(QUIET_S)
        with lab.inside("linux"):
            socket = stage.socket.socket()
        socket.settimeout(10)
        started = time.monotonic()
        socket.connect((ENGINE_V4, 7))
        taken.append((time.monotonic() - started) * 1000)
        socket.close()
    median = statistics.median(taken)
    stage.note(f"first SYN after {QUIET_S} s: median {median:.3f} ms of {[round(each, 3) for each in taken]}")
    expect(median < FIRST_SYN_MS, f"the first SYN after {QUIET_S} s took {median:.1f} ms, not below {FIRST_SYN_MS}")


def delays_are_told(lab):
    stats = lab.stats()
    samples = exposition.parse(lab.get("/metrics")[1])
    for number, worker in enumerate(stats["workers"]):
        delay = worker["wakeup_delay_ns"]
        expect(delay["count"] > 0, f"worker {number} slept {worker['sleeps']} times and tells no delay")
        expect(delay["count"] <= worker["sleeps"], "more delays than sleeps")
        ladder = list(delay["up_to"].values())
        expect(ladder == sorted(ladder) and ladder[-1] <= delay["count"], f"the buckets don't add up: {delay}")
        mean_us = delay["sum"] / delay["count"] / 1000
        stage.note(f"worker {number}: {worker['sleeps']} sleeps, {delay['count']} delays, mean {mean_us:.0f} µs")
        name = "fourtuple_worker_wakeup_delay_seconds"
        label = f'worker="{number}"'
        expect((name + "_count", frozenset([label])) in samples, f"{name}_count{{{label}}} is not told")
        expect((name + "_bucket", frozenset([label, 'le="+Inf"'])) in samples, f"{name} has no last bucket")


def idle(server, what, most=MOST_PERCENT):
    percent = cpu.share(server.process)
    expect(percent < most, f"{what}: {percent:.2f} % of a core, not below {most}")
    server.expect_running()


def napping():
    """A port that can wake nobody: workers nap for a millisecond at a time, and that costs little, too."""
    with stage.Lab() as lab:
        server = lab.start("engine", "napping", [
            stage.fourtuple(), "serve", "echo:7", "--port", "vdev:net_null0,no-rx=1", "--ip", f"{ENGINE_V4}/24", "--workers", 2,
        ])
        server.wait_for_line("^listening echo", 20)
        time.sleep(1)
        # Twice what an empty thread takes: before it naps again a worker looks at its queue, its rings and its timers.
        idle(server, "an idle server whose workers nap", 2 * (2 * cpu.of_empty_naps() + NAPPING_PERCENT))
        sleeps = [worker["sleeps"] for worker in lab.stats()["workers"]]
        time.sleep(2)
        naps = [(worker["sleeps"] - before) / 2 for worker, before in zip(lab.stats()["workers"], sleeps)]
        stage.note(f"naps a second: {naps}")
        expect(min(naps) > 500, f"naps are longer than a millisecond: {naps} a second")
        stage.drain(server)


def check():
    stage.need("curl")
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=2, flags=["--keepalive", "60s,10s,6"])
        time.sleep(1)
        idle(server, "an idle server")
        first_syn(lab)
        connections = [lab.connect(ENGINE_V4, 7) for _ in range(CONNECTIONS)]
        for connection in connections:
            connection.sendall(b"x")
            expect(connection.recv(1) == b"x", "no echo")
        time.sleep(1)
        idle(server, f"{CONNECTIONS} idle connections")
        delays_are_told(lab)
        for connection in connections:
            connection.close()
        stage.drain(server)
    napping()


stage.main(check)
