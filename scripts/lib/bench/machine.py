"""What a run was made on, and where its files are."""

import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess


def cargo_target_dir(root):
    if given := os.environ.get("CARGO_TARGET_DIR"):
        return pathlib.Path(given)
    done = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=root, capture_output=True, text=True, check=True)
    return pathlib.Path(json.loads(done.stdout)["target_directory"])


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def first(pattern, path):
    try:
        match = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return match.group(1).strip() if match else ""


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def commit(root):
    """What is built: marked when it was changed since. The pages that this very script writes don't count."""
    said = output("git", "-C", str(root), "rev-parse", "--short", "HEAD") or "unknown"
    changed = output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return f"{said}-dirty" if changed else said


def facts():
    """Machine and versions; nothing that names this host."""
    flags = os.environ.get("RUSTFLAGS", "")
    return {
        "machine": {
            "processor": first(r"^model name\s*: (.*)$", "/proc/cpuinfo"),
            "cores": os.cpu_count(),
            "tsc_ghz": round(float(first(r"^bogomips\s*: (.*)$", "/proc/cpuinfo") or 0) / 2000, 3),
            "memory_gib": round(int(first(r"^MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20, 1),
            "huge_pages_2m": int(first(r"^HugePages_Total:\s*(\d+)", "/proc/meminfo") or 0),
            "kernel": os.uname().release.split("-")[0],
            "virtual": "hypervisor" in first(r"^flags\s*: (.*)$", "/proc/cpuinfo"),
        },
        "versions": {
            "rustc": output("rustc", "--version").split(" ")[1] if shutil.which("rustc") else "",
            "rustflags": flags,
            "dpdk": output("pkg-config", "--modversion", "libdpdk"),
            "nginx": output("sh", "-c", "PATH=$PATH:/usr/sbin nginx -v 2>&1").rpartition("/")[2],
            "wrk": (output("sh", "-c", "wrk -v 2>&1").split("\n")[0].split(" ") + ["", ""])[1],
        },
    }


def read(path):
    """A report that was written before; `None` when there is none, or one of another form."""
    try:
        report = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return None
    return report if report.get("schema") == SCHEMA else None


def committed(root):
    """The report of the last commit, if there is one."""
    try:
        report = json.loads(output("git", "-C", str(root), "show", "HEAD:docs/performance.json"))
    except ValueError:
        return None
    return report if report.get("schema") == SCHEMA else None


def is_alike(one, other):
    """Figures of both may stand in one table: the machine is the same, and what was built by."""
    machine = ("processor", "cores", "memory_gib")
    return all(one["machine"].get(key) == other["machine"].get(key) for key in machine) and one["versions"] == other["versions"]


def record(root, folder):
    docs = root / "docs"
    shutil.copy(folder / "performance.json", docs / "performance.json")
    shutil.copy(folder / "PERFORMANCE.md", docs / "PERFORMANCE.md")
    (docs / "performance").mkdir(exist_ok=True)
    for plot in (folder / "plots").glob("*.svg"):
        shutil.copy(plot, docs / "performance" / plot.name)


SCHEMA = "fourtuple.bench/2"
