"""100 MiB each way at once through 10 % loss and 5 % reordering in both directions, over IPv4 and IPv6, compared byte by byte."""

import time

import loss
import stage

TIME_LIMIT_S = 3000
TOTAL = 100 << 20
FATES = ("--loss", "10%", "--reorder", "5%", "--duplicate", "1%")


def check():
    lines = []
    for family, host in (("IPv4", stage.ENGINE_V4), ("IPv6", stage.ENGINE_V6)):
        with stage.Lab("--relay") as lab:
            started = time.monotonic()
            loss.linux_opens(lab, host, TOTAL, seed=10, fates=FATES, patience_s=60)
            seconds = time.monotonic() - started
            said = f"{family}: {TOTAL >> 20} MiB each way in {seconds:.0f} s, {TOTAL * 8 / seconds / 1e6:.1f} Mb/s"
            stage.progress(said)
            lines.append(said)
    stage.record("\n\n".join(lines) + "\n")


stage.main(check)
