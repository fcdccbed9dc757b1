"""The echo example: bytes come back through a half-close, with equal hashes, from several connections at once."""

import stage
from stage import ENGINE_V4

TIME_LIMIT_S = 60


def check():
    stage.need("nstat")
    with stage.Lab() as lab:
        server = lab.example("echo")
        before = lab.linux_counters()
        for seed in range(3):
            stage.echo_through_half_close(lab.connect(ENGINE_V4, 7), 4 << 20, seed)
        stage.expect_linux_unharmed(before, lab.linux_counters())
        server.expect_running()


stage.main(check)
