"""Ten thousand idle connections with keep-alive armed, in both modes: the server still takes less than 2 % of a core."""

import resource
import time

import cpu
import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 300
CONNECTIONS = 10_000
MOST_PERCENT = 2


def idle(mode):
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=2, flags=["--mode", mode, "--keepalive", "7200s,75s,9", "--backlog", "4096", "--syn-queue", "4096"])
        connections = []
        with lab.inside("linux"):
            for _ in range(CONNECTIONS):
                connections.append(stage.socket.create_connection((ENGINE_V4, 7), timeout=10))
        deadline = time.monotonic() + 10
        while sum(worker["by_state"]["established"] for worker in lab.stats()["workers"]) < CONNECTIONS:
            expect(time.monotonic() < deadline, "not all connections are there")
            time.sleep(0.2)
        time.sleep(2)
        percent = cpu.share(server.process, 20)
        expect(percent < MOST_PERCENT, f"{mode}: {percent:.2f} % of a core with {CONNECTIONS} idle connections")
        for connection in connections:
            connection.close()
        stage.drain(server)


def check():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < CONNECTIONS + 100:
        raise stage.Skipped(f"only {most} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 100, most))
    for mode in ("handler", "threads=2"):
        idle(mode)


stage.main(check)
