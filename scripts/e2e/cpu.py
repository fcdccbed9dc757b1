"""How much of a core a program takes while nobody asks it for anything."""

import os
import pathlib
import time

from stage import note

TICKS = os.sysconf("SC_CLK_TCK")


def share(process, seconds=10):
    """Percent of one core that the process took during `seconds`, all threads together, by /proc/PID/stat."""
    before, started = used_s(process.pid), time.monotonic()
    threads = of_threads(process.pid)
    time.sleep(seconds)
    span = time.monotonic() - started
    percent = 100 * (used_s(process.pid) - before) / span
    after = of_threads(process.pid)
    each = ", ".join(f"{name} {100 * (ns - threads.get(key, (name, 0))[1]) / span / 1e9:.2f} %" for key, (name, ns) in sorted(after.items()))
    note(f"idle: {percent:.2f} % of a core ({each})")
    return percent


def used_s(pid):
    """User and system time of all threads, also of those that ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def of_threads(pid):
    """By thread: its name and the nanoseconds that it ran; finer than ticks, where the kernel keeps them."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = ((task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]))
        except OSError:
            pass
    return found
