"""demo with every privilege there is (hugepages where there are some); many connections of which few ask; an interrupt still
gives the report, and 130."""

import signal

import report
import stage
from stage import expect


def check():
    for pattern in ("rr", "crr", "stream"):
        done = stage.run([stage.fourtuple(), "demo", pattern, "-c", "64", "-d", "2s", "--json"], within_s=40)
        found = report.parse(done.stdout, pattern, with_server=True)
        expect(found["operations"] > 0, f"{pattern}: no operation")
        expect(not any(found["errors"].values()), f"{pattern}: errors {found['errors']}")
        expect(found["server"]["busy_ns_per_operation"] > 0, f"{pattern}: the server's cost is {found['server']}")

    # Few of many connections ask at a time: what the server keeps of them must not use up the buffers that the generator sends from.
    flags = ["-c", "6000", "--active", "64", "-n", "20000", "--timeout", "20s", "--json"]
    done = stage.run([stage.fourtuple(), "demo", "rr", *flags], within_s=90)
    found = report.parse(done.stdout, "rr", with_server=True)
    expect(found["operations"] == 20_000, f"{found['operations']} of 20,000 operations with --active")
    expect(not any(found["errors"].values()), f"--active: errors {found['errors']}")

    interrupted = stage.Program("interrupted", [stage.fourtuple(), "demo", "rr", "-c", "8", "-d", "60s", "--json"])
    try:
        interrupted.wait(3)
        expect(False, "demo -d 60s was over within 3 s")
    except stage.Failed as why:
        expect("still runs" in str(why), str(why))
    interrupted.signal(signal.SIGINT)
    code = interrupted.wait(10)
    expect(code == 130, f"exit {code} after SIGINT, not 130")
    found = report.parse(interrupted.stdout, "rr", with_server=True)
    expect(found["operations"] > 0 and found["duration_s"] < 30, f"the partial report says {found}")


stage.main(check)
