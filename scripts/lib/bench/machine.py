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


def facts(root):
    """Machine, versions and date; nothing that names this host."""
    flags = os.environ.get("RUSTFLAGS", "")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": output("git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*") or "unknown",
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


def committed(root):
    """The report of the last commit, if there is one."""
    text = output("git", "-C", str(root), "show", "HEAD:docs/performance.json")
    try:
        return json.loads(text)
    except ValueError:
        return None


def record(root, folder):
    docs = root / "docs"
    shutil.copy(folder / "performance.json", docs / "performance.json")
    shutil.copy(folder / "PERFORMANCE.md", docs / "PERFORMANCE.md")
    (docs / "performance").mkdir(exist_ok=True)
    for plot in (folder / "plots").glob("*.svg"):
        shutil.copy(plot, docs / "performance" / plot.name)
