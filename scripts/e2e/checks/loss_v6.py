"""8 MiB over IPv6 with loss, reordering, duplication and corruption, opened by Linux and by the engine."""

import loss
import stage

TIME_LIMIT_S = 240
WAITS = True


def check():
    loss.both(f"[{stage.LINUX_V6}]", stage.ENGINE_V6)


stage.main(check)
