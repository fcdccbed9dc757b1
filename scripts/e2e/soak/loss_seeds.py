"""16 MiB each way through loss, reordering, duplication and corruption, with two seeds and both families."""

import loss
import stage

TIME_LIMIT_S = 1200


def check():
    for seed in range(100, 102):
        loss.both(stage.LINUX_V4, stage.ENGINE_V4, total=16 << 20, seed=seed)
        loss.both(f"[{stage.LINUX_V6}]", stage.ENGINE_V6, total=16 << 20, seed=seed)


stage.main(check)
