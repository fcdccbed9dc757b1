"""Loss in bursts and reordering on both families at once, opened by Linux and by the engine: every byte arrives."""

import bad_paths
import stage

TIME_LIMIT_S = 120
WAITS = True


def check():
    bad_paths.run(bad_paths.Row(
        "bursts", "--burst-loss 1% --burst-mean 6 --reorder 3% --reorder-by 2ms", total=4 << 20, proves=("burst_lost", "reordered")
    ))  # fmt: skip


stage.main(check)
