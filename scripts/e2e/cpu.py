"""How much of a core a program takes while nobody asks it for anything."""

import ctypes
import os
import pathlib
import threading
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


def of_empty_naps(seconds=3):
    """Percent of one core that a thread takes here which only sleeps for a millisecond at a time: what the kernel's timers and
    context switches cost on this machine, and no program that naps can go below."""
    found = []

    def nap():
        pause = (ctypes.c_long * 2)(0, 1_000_000)
        nanosleep = ctypes.CDLL(None).nanosleep
        ends, before = time.monotonic() + seconds, time.thread_time()
        while time.monotonic() < ends:
            nanosleep(pause, None)
        found.append(100 * (time.thread_time() - before) / seconds)

    thread = threading.Thread(target=nap)
    thread.start()
    thread.join()
    note(f"an empty thread that naps takes {found[0]:.2f} % of a core")
    return found[0]


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
