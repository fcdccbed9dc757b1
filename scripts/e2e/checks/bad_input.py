"""What an operator gets wrong: one clear line on stderr, and INTERFACE's exit code."""

import os
import pathlib
import shutil
import tempfile

import stage
from stage import Failed, expect

TIME_LIMIT_S = 120
IP = ("--ip", "10.99.0.2/24")
IFACE = ("--iface", "v0", "--driver", "af_packet")
OFF = ("--stats", "off")

# why it is wrong, the command, the exit code, what the line has to name
SERVE = ("serve", "echo:7")
TABLE = (
    ("an unknown interface", (*SERVE, "--iface", "nosuch0", *IP, *OFF), 3, "nosuch0"),
    ("no address", (*SERVE, *IFACE, *OFF), 2, "--ip"),
    ("a bad address", (*SERVE, *IFACE, "--ip", "10.99.0.256/24", *OFF), 2, "10.99.0.256"),
    ("a bad target", ("load", "rr", "10.99.0.999:7", *IFACE, *IP), 2, "10.99.0.999"),
    ("a port given twice", ("serve", "echo:7", "discard:7", *IFACE, *IP, *OFF), 2, "7"),
    ("an unknown service", ("serve", "gopher:70", *IFACE, *IP, *OFF), 2, "gopher"),
    ("a port in two ranges", ("serve", "echo:7000-7999", "discard:7999", *IFACE, *IP, *OFF), 2, "7999"),
    ("a range that ends before it begins", ("serve", "echo:8-7", *IFACE, *IP, *OFF), 2, "8-7"),
    ("a folder that is not there", ("serve", "http", "--root", "/nosuch", *IFACE, *IP, *OFF), 2, "/nosuch"),
    ("a folder that is a file", ("serve", "http", "--root", "{folder}/unknown.toml", *IFACE, *IP, *OFF), 2, "unknown.toml"),
    ("a folder and no http", (*SERVE, "--root", "{folder}", *IFACE, *IP, *OFF), 2, "http"),
    ("an unknown pattern", ("load", "holt", "10.99.0.1:7", *IFACE, *IP), 2, "holt"),
    ("hold with a count", ("load", "hold", "10.99.0.1:7", *IFACE, *IP, "-n", "5"), 2, "--count"),
    ("a path for an echo", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "--path", "/"), 2, "--path"),
    ("sizes that differ, and an echo to compare", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "-s", "1:2", "--verify"), 2, "--verify"),
    ("three sizes", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "-s", "1:2:3"), 2, "1:2:3"),
    ("rr closed by the server", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "--close", "server"), 2, "--close"),
    ("local ports the wrong way round", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "--src-ports", "9-8"), 2, "9-8"),
    ("nobody to hold a connection", ("load", "hold", "10.99.0.1:7", *IFACE, *IP, "-c", "2", "-d", "1s"), 1, "10.99.0.1:7"),
    ("port 0", ("serve", "echo:0", *IFACE, *IP, *OFF), 2, "0"),
    ("an unknown flag", (*SERVE, *IFACE, *IP, "--frobnicate"), 2, "--frobnicate"),
    ("a bad duration", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "-d", "5 parsecs"), 2, "5 parsecs"),
    ("too many workers", (*SERVE, *IFACE, *IP, *OFF, "--workers", "512"), 3, "worker"),
    ("a target that does not answer", ("load", "rr", "10.99.0.77:7", *IFACE, *IP, "-c", "1", "-d", "2s", "--timeout", "1s"), 1, ""),
    ("a target that refuses", ("load", "rr", "10.99.0.1:7", *IFACE, *IP, "-c", "1", "-d", "2s", "--timeout", "1s"), 1, ""),
    ("a TOML key that is not known", (*SERVE, *IFACE, *IP, *OFF, "--config", "{folder}/unknown.toml"), 2, "frobnicate"),
)


def judge(why, done, code, naming):
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    if done.returncode != code:
        return f"{why}: exit {done.returncode}, not {code}: {stage.last_line(done.stderr)}"
    if not lines:
        return f"{why}: nothing on stderr"
    if any("panicked" in line for line in lines):
        return f"{why}: a panic"
    if naming not in done.stderr:
        return f"{why}: the message does not name {naming!r}: {lines[-1]}"
    # clap's usage errors carry their usage lines; everything else is one line, EAL's own words included.
    if code != 2 and len(lines) > 1:
        return f"{why}: {len(lines)} lines on stderr instead of one: {lines}"
    return None


def check():
    wrong = []
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pathlib.Path(folder, "unknown.toml").write_text("frobnicate = 1\n")
        for why, words, code, naming in TABLE:
            words = [word.format(folder=folder) for word in words]
            done = lab.run("engine", [stage.fourtuple(), *words], within_s=30, expect_code=None)
            wrong.append(judge(why, done, code, naming))

        taken = stage.Program("stats_port_taken", lab.on("engine", ["nc", "-l", "127.0.0.1", "9464"]))
        lab.run("engine", ["sh", "-c", "for i in $(seq 50); do ss -Hltn sport = :9464 | grep -q . && exit 0; sleep 0.1; done; exit 1"])
        done = lab.run("engine", [stage.fourtuple(), *SERVE, *IFACE, *IP], within_s=30, expect_code=None)
        wrong.append(judge("the stats port is taken", done, 3, "9464"))
        taken.end()

        # The command has to lie where somebody without privilege can reach it.
        command = shutil.copy(stage.fourtuple(), folder)
        os.chmod(command, 0o755)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
        done = lab.run("engine", [*nobody, command, *SERVE, *IFACE, *IP, *OFF], within_s=30, expect_code=None)
        wrong.append(judge("no privilege", done, 3, ""))

        # v0 as the way out of this machine: refused before anything is touched.
        for words in (["address", "add", "192.0.2.1/24", "dev", "v0"], ["route", "add", "default", "via", "192.0.2.254", "dev", "v0"]):
            lab.run("engine", ["ip", *words])
        done = lab.run("engine", [stage.fourtuple(), *SERVE, *IFACE, *IP, *OFF], within_s=30, expect_code=None)
        wrong.append(judge("the interface of the default route", done, 3, "v0"))
    found = [line for line in wrong if line]
    for line in found:
        stage.note(line)
    if found:
        raise Failed("; ".join(found))
    expect(len(wrong) == len(TABLE) + 3, "a row was not judged")


stage.main(check)
