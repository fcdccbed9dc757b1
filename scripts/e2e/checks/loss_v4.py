"""8 MiB over IPv4 with loss, reordering, duplication and corruption, opened by Linux and by the engine."""

import loss
import stage

TIME_LIMIT_S = 240
WAITS = True


def check():
    loss.both(stage.LINUX_V4, stage.ENGINE_V4)


stage.main(check)
