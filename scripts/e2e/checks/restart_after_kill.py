"""A server that was killed (SIGKILL) starts again at once, as often as one likes: nothing that it left behind stops it."""

import os
import signal
import time

import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 150
TIMES = 3


def serves(lab):
    done = lab.run("linux", ["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\n", f"http://{ENGINE_V4}/"])
    expect(done.stdout.strip() == "200", f"curl says {done.stdout.strip()}")
    expect(lab.get("/healthz")[0] == 200, "/healthz does not answer 200")


def again_and_again(*options, flags=()):
    with stage.Lab(*options) as lab:
        for number in range(TIMES + 1):
            started = time.monotonic()
            server = lab.serve("http:80", "echo:7", workers=2, flags=flags, name=f"serve{number}")
            stage.note(f"start {number}: {time.monotonic() - started:.2f} s")
            serves(lab)
            # Something is under way when it is killed.
            held = lab.connect(ENGINE_V4, 7)
            held.sendall(b"x" * 1000)
            if number == TIMES:
                held.close()
                stage.drain(server)
                return
            server.signal(signal.SIGKILL)
            expect(server.wait(5) == -signal.SIGKILL, "SIGKILL did not end it")
            held.close()


def check():
    stage.need("curl")
    # On huge pages, where there are some, and on ordinary ones.
    again_and_again()
    again_and_again(flags=["--eal=--no-huge"])
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        stage.note("no /dev/net/tun: no tap")
        return
    again_and_again("--tap")


stage.main(check)
