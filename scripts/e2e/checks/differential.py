"""The same segments to Linux and to `fourtuple serve`: whatever differs has its reason in reasons.toml."""

import platform

import stage
from judges import report, runner

TIME_LIMIT_S = 200
# Other releases differ from this one in what reasons.toml says of Linux.
KERNEL = "6.18."


def check():
    if not platform.release().startswith(KERNEL):
        raise stage.Skipped(f"the list of differences is that of Linux {KERNEL}x, this is {platform.release()}")
    reasons, work = report.Reasons.read(), runner.chosen([], (4, 6))
    bad = report.differential(report.judge_both(work, reasons), reasons)
    stage.expect(not bad, f"{bad} differences from Linux without a reason")


stage.main(check)
