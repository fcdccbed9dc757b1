"""Every kind of misbehaviour at two strengths, opened from either end, both families: all bytes arrive, nothing is left.

$SOAK_ROWS, a regular expression, chooses rows by their names. The table of what was measured is in NAME.table.md among the logs.
"""

import os
import re
import traceback

import bad_paths
import stage
from bad_paths import MIB, Row

TIME_LIMIT_S = 1500

ROWS = (
    Row("nothing: the relay itself", "", total=100 * MIB),
    Row("loss 1 %", "--loss 1%", total=64 * MIB, proves=("lost",)),
    Row("loss 5 %", "--loss 5%", total=8 * MIB, proves=("lost",)),
    Row("loss 3 % to Linux only", "--loss-ab 3%", total=32 * MIB, proves=("a_to_b.lost",)),
    Row("loss 3 % to us only", "--loss-ba 3%", total=32 * MIB, proves=("b_to_a.lost",)),
    Row("burst loss 1 %, bursts of 4", "--burst-loss 1% --burst-mean 4", total=32 * MIB, proves=("burst_lost",)),
    Row("burst loss 3 %, bursts of 20", "--burst-loss 3% --burst-mean 20", proves=("burst_lost",)),
    Row("reorder 2 % by 1 ms", "--reorder 2% --reorder-by 1ms", total=64 * MIB, proves=("reordered",)),
    Row("reorder 20 % by 5 ms", "--reorder 20% --reorder-by 5ms", proves=("reordered",)),
    Row("duplicate 1 %", "--duplicate 1%", total=100 * MIB, proves=("duplicated",)),
    Row("duplicate 20 %", "--duplicate 20%", total=32 * MIB, proves=("duplicated",)),
    Row("corrupt 0.2 %", "--corrupt 0.2%", total=64 * MIB, proves=("corrupted",)),
    Row("corrupt 3 %", "--corrupt 3%", proves=("corrupted",)),
    Row("delay 10 ms", "--delay 10ms", total=64 * MIB),
    Row("delay 40 ms, jitter 20 ms", "--delay 40ms --jitter 20ms", total=8 * MIB),
    Row("rate 50 Mb/s, queue 100 frames", "--rate 50M --queue 100", proves=("overflowed",)),
    Row("rate 20 Mb/s, queue 32 kB", "--rate 20M --queue 32kB", total=8 * MIB, proves=("overflowed",)),
    Row("MTU 1400 for 1 s, silent", "--mtu 1400 --mtu-during 200ms+1s", total=32 * MIB, proves=("too_big",)),
    Row("MTU 1280 for 4 s, silent", "--mtu 1280 --mtu-during 200ms+4s", total=32 * MIB, proves=("too_big",)),
    Row("MTU 1400 to us, told", "--mtu-ba 1400 --mtu-tells-ba --mtu-during 200ms", total=32 * MIB, proves=("b_to_a.told",)),
    Row("MTU 1280 both ways, told", "--mtu 1280 --mtu-tells --mtu-during 200ms", total=32 * MIB, proves=("told",)),
    Row("MTU 1400 for 1 s, told", "--mtu 1400 --mtu-tells --mtu-during 200ms+1s", total=32 * MIB, proves=("told",)),
    Row("blackout to Linux, 0.5 s", "--blackout-ab 200ms+500ms", total=32 * MIB, proves=("a_to_b.blacked_out",)),
    Row("blackout to Linux, 3 s", "--blackout-ab 200ms+3s", total=32 * MIB, proves=("a_to_b.blacked_out",)),
    Row("blackout to us, 0.5 s", "--blackout-ba 200ms+500ms", total=32 * MIB, proves=("b_to_a.blacked_out",)),
    Row("blackout to us, 3 s", "--blackout-ba 200ms+3s", total=32 * MIB, proves=("b_to_a.blacked_out",)),
    Row(
        "all of it, mild",
        "--loss 0.3% --burst-loss 0.3% --reorder 1% --reorder-by 4ms --duplicate 0.5% --corrupt 0.1% --delay 2ms --jitter 2ms "
        "--rate 100M --queue 200 --blackout 500ms+300ms",
        proves=("lost", "burst_lost", "reordered", "duplicated", "corrupted", "blacked_out"),
    ),
    Row(
        "all of it, hard",
        "--loss 1% --burst-loss 1% --burst-mean 8 --reorder 5% --reorder-by 10ms --duplicate 3% --corrupt 0.5% --delay 5ms "
        "--jitter 5ms --rate 30M --queue 64kB --mtu 1400 --mtu-during 1s+1s --blackout-ab 3s+1s --blackout-ba 5s+1s",
        total=8 * MIB, proves=("lost", "burst_lost", "reordered", "duplicated", "corrupted", "blacked_out", "too_big"), patience_s=40,
    ),
)  # fmt: skip


def cells(outcome):
    row = outcome.row
    for name in (*bad_paths.LINUX_OPENS, *bad_paths.ENGINE_OPENS):
        took = outcome.took.get(name)
        yield f"{row.total * 8e-6 / took:.1f}" if took else "–"


def table(outcomes):
    heads = ("path", "MiB", *bad_paths.LINUX_OPENS, *bad_paths.ENGINE_OPENS, "retransmitted", "frames", "s", "")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for outcome in outcomes:
        row, verdict = outcome.row, "ok" if not outcome.failures else "**" + "; ".join(outcome.failures).replace("|", "/") + "**"
        lines.append("| " + " | ".join((
            row.name, str(row.total // MIB), *cells(outcome), str(outcome.retransmits), str(outcome.fates.get("received", 0)),
            f"{outcome.seconds:.0f}", verdict,
        )) + " |")  # fmt: skip
    return "\n".join(lines)


def run(row, seed):
    outcome = bad_paths.Outcome(row)
    try:
        bad_paths.run(row, outcome, seed)
    except stage.Failed as why:
        traceback.print_exc()
        outcome.failures.append(str(why))
    missed = outcome.fates.get("missed", 0)
    stage.progress(f"{row.name:32} {outcome.seconds:6.1f} s   {outcome.failures[0] if outcome.failures else 'ok'}" + (f"   ({missed} frames missed by the relay)" if missed else ""))
    return outcome


def check():
    chosen = [row for row in ROWS if re.search(os.environ.get("SOAK_ROWS", ""), row.name)]
    stage.expect(chosen, f"no row is called {os.environ.get('SOAK_ROWS')}")
    outcomes = [run(row, 1000 * number) for number, row in enumerate(chosen, 1)]
    caption = "Mb/s of payload (of an echo: each way), four transfers at a time over one path; frames: what the relay was given."
    stage.record(f"{caption}\n\n{table(outcomes)}\n")
    failed = [outcome.row.name for outcome in outcomes if outcome.failures]
    stage.expect(not failed, f"{len(failed)} of {len(outcomes)} rows: {', '.join(failed)}")


stage.main(check)
