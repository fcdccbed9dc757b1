"""The examples, started wrongly: one clear line on stderr, and 2 for the command line, 1 for all else."""

import os
import shutil
import tempfile

import stage
from stage import ENGINE_V4, LOGS, expect

TIME_LIMIT_S = 90
ADDRESS = f"{ENGINE_V4}/24"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs")
# What each takes behind the interface and the addresses.
REST = {
    "echo": (), "kv": (), "files": (LOGS,), "proxy": ("10.99.0.1:80",), "front": ("a.example",),
    "async-axum": (), "async-h2": (), "async-hyper": (), "async-tonic": (), "async-rustls": ("/nosuch.pem", "/nosuch.pem"),
}  # fmt: skip


def judge(why, done, code, naming):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    expect(done.returncode == code, f"{why}: exit {done.returncode}, not {code}: {stage.last_line(done.stderr)}")
    expect(len(lines) == 1 and naming in lines[0], f"{why}: not one line that names {naming!r}: {lines}")


def check():
    stage.need("setpriv")
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name, rest in REST.items():
            program = stage.example(name)

            def run(*words, as_who=()):
                return lab.run("engine", [*as_who, *words], expect_code=None, within_s=30)

            judge(f"{name} without a word", run(program), 2, f"usage: {name} ")
            judge(f"{name} without an address", run(program, "v0"), 2, f"usage: {name} ")
            if name == "async-rustls":
                judge("a certificate that is not there", run(program, "v0", ADDRESS, *rest), 1, "/nosuch.pem")
                continue
            judge(f"{name} on an interface that is not there", run(program, "nosuch0", ADDRESS, *rest), 1, "nosuch0")
            judge(f"{name} at what is no address", run(program, "v0", "10.99.0.2", *rest), 1, "10.99.0.2")
            if name in ("echo", "async-axum"):
                copy = shutil.copy(program, folder)
                os.chmod(copy, 0o755)
                judge(f"{name} without rights", run(copy, "v0", ADDRESS, *rest, as_who=NOBODY), 1, "CAP_NET_RAW")
        judge("an upstream without a port", run(stage.example("proxy"), "v0", ADDRESS, "10.99.0.1"), 1, "10.99.0.1")
        judge("a folder that is not there", run(stage.example("files"), "v0", ADDRESS, "/nosuch"), 1, "/nosuch")
        judge("no thread", run(stage.example("async-hyper"), "v0", ADDRESS, "0"), 2, "usage: async-hyper ")


stage.main(check)
