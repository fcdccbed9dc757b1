"""A slow link with a short queue and a long delay, both families at once, opened by Linux and by the engine: every byte arrives."""

import bad_paths
import stage

TIME_LIMIT_S = 120
WAITS = True


def check():
    bad_paths.run(bad_paths.Row("slow", "--rate 40M --queue 64kB --delay 10ms", total=4 << 20, proves=("overflowed",)))


stage.main(check)
