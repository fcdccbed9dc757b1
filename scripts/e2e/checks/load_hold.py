"""`fourtuple load hold`: 2,000 connections to Linux, opened evenly, held, closed in order; one that ends early is lost."""

import sys
import time

import report
import stage
from stage import LINUX_V4, SCRIPTS, expect

TIME_LIMIT_S = 120
MANY = 2000
# Takes connections and closes every tenth of them after a second.
FICKLE = """
import asyncio, itertools, socket
count = itertools.count()
class Fickle(asyncio.Protocol):
    def connection_made(self, transport):
        if next(count) % 10 == 0:
            asyncio.get_running_loop().call_later(1, transport.close)
async def main():
    listener = socket.create_server(("0.0.0.0", 99), backlog=1024)
    server = await asyncio.get_running_loop().create_server(Fickle, sock=listener, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def hold(lab, target, *flags, code=0):
    done = lab.run("engine", [stage.fourtuple(), "load", "hold", target, *stage.ATTACH, "--json", *flags], within_s=60, expect_code=code)
    return report.parse(done.stdout, "hold")


def established(lab):
    done = lab.run("linux", ["ss", "-Htn", "state", "established", "sport", "=", ":9"])
    return len(done.stdout.splitlines())


def check():
    stage.need("ss", "nstat")
    with stage.Lab() as lab:
        peer = lab.start("linux", "linux_services", [sys.executable, SCRIPTS / "e2e/linux_services.py"])
        peer.wait_for_line("^ready$", 10)
        before = lab.linux_counters()
        words = [stage.fourtuple(), "load", "hold", f"{LINUX_V4}:9", *stage.ATTACH, "--json", "-c", MANY, "-d", "6s", "--ramp", "2s"]
        started = time.monotonic()
        running = lab.start("engine", "hold", words)
        time.sleep(1.3)
        half = established(lab)
        if time.monotonic() - started < 2:
            expect(MANY / 20 < half < MANY, f"{half} connections in the middle of --ramp")
        deadline = time.monotonic() + 15
        while (now := established(lab)) < MANY:
            expect(time.monotonic() < deadline, f"Linux sees {now} connections, not {MANY}")
            time.sleep(0.2)
        expect(running.wait(30) == 0, f"hold ended with {running.process.returncode}: {stage.last_line(running.stderr)}")
        found = report.parse(running.stdout, "hold")
        expect(found["hold"] == {"established": MANY, "lost": 0}, f"hold {found['hold']}")
        expect(found["operations"] == MANY and not any(found["errors"].values()), f"{found}")
        expect(found["latency_ns"]["max"] > 0, "no latency of connecting")
        expect(established(lab) == 0, "connections are left at Linux")
        # In order: a FIN each, nothing reset.
        stage.expect_linux_unharmed(before, lab.linux_counters())

        fickle = lab.start("linux", "fickle", [sys.executable, "-c", FICKLE])
        fickle.wait_for_line("^ready$", 10)
        found = hold(lab, f"{LINUX_V4}:99", "-c", "50", "-d", "3s", code=4)
        expect(found["hold"] == {"established": 50, "lost": 5} and found["operations"] == 45, f"{found}")
        expect(found["errors"]["reset"] == 5, f"errors {found['errors']}")
        hold_of_nothing = lab.run("engine", [stage.fourtuple(), "load", "hold", f"{LINUX_V4}:98", *stage.ATTACH, "-d", "2s"], expect_code=1)
        expect("refuses" in hold_of_nothing.stderr, f"{hold_of_nothing.stderr!r}")


stage.main(check)
