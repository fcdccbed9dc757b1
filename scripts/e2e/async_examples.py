"""The examples of engine/examples-async on the engine's side of a lab."""

import signal

import stage

URL = f"http://{stage.ENGINE_V4}"
URL_V6 = f"http://[{stage.ENGINE_V6}]"


def curl(lab, *words, **options):
    """What curl printed; fails when curl does, and when the answer is no 2xx."""
    return lab.run("linux", ["curl", "-sS", "-m", "20", "--fail", *words], **options).stdout


def wrk(lab, path, seconds=3, connections=50):
    done = lab.run("linux", ["wrk", "-t", "1", "-c", connections, "-d", f"{seconds}s", "--latency", f"{URL}{path}"], within_s=seconds + 30)
    for bad in ("Socket errors", "Non-2xx"):
        found = [line.strip() for line in done.stdout.splitlines() if bad in line]
        stage.expect(not found, f"wrk: {found}")


def interrupt(server, within_s=15):
    """Ctrl-C, and it has to end with 0 by itself."""
    server.expect_running()
    server.signal(signal.SIGINT)
    code = server.wait(within_s)
    stage.expect(code == 0, f"{server.name} ended with {code}: {stage.last_line(server.stderr)}")
