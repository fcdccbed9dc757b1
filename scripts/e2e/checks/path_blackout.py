"""One direction dead for a second, then the other, in the middle of transfers: they go on, and every byte arrives."""

import bad_paths
import stage

TIME_LIMIT_S = 120
WAITS = True


def check():
    flags = "--rate 60M --blackout-ab 300ms+800ms --blackout-ba 2s+800ms"
    bad_paths.run(bad_paths.Row("blackout", flags, total=8 << 20, proves=("blacked_out",)))


stage.main(check)
