"""The echo example: bytes come back through a half-close, with equal hashes, over IPv4 and IPv6; nc talks to it, too."""

import stage
from stage import ENGINE_V4, ENGINE_V6, expect

TIME_LIMIT_S = 60


def check():
    stage.need("nc", "nstat")
    with stage.Lab() as lab:
        server = lab.example("echo")
        before = lab.linux_counters()
        for seed, address in enumerate((ENGINE_V4, ENGINE_V6)):
            stage.echo_through_half_close(lab.connect(address, 7), 4 << 20, seed)
        for family, address in (("-4", ENGINE_V4), ("-6", ENGINE_V6)):
            done = lab.run("linux", ["sh", "-c", f"echo hello | timeout 10 nc {family} -N {address} 7"])
            expect(done.stdout == "hello\n", f"nc {family} says {done.stdout!r}")
        stage.expect_linux_unharmed(before, lab.linux_counters())
        server.expect_running()


stage.main(check)
