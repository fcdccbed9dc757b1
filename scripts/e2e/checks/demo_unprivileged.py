"""demo for somebody without any privilege: every pattern ends well, and --json has what INTERFACE promises."""

import os
import shutil
import tempfile

import report
import stage
from stage import expect

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs")


def check():
    stage.need("setpriv")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = shutil.copy(stage.fourtuple(), folder)
        os.chmod(command, 0o755)
        home = os.path.join(folder, "home")
        os.mkdir(home)
        os.chown(home, 65534, 65534)
        environment = {"PATH": os.environ["PATH"], "HOME": home}
        for pattern in ("rr", "crr", "stream"):
            done = stage.run([*NOBODY, command, "demo", pattern, "-c", "16", "-d", "2s", "--json"], within_s=40, env=environment, cwd=home)
            found = report.parse(done.stdout, pattern, with_server=True)
            expect(found["operations"] > 0, f"{pattern}: no operation")
            expect(not any(found["errors"].values()), f"{pattern}: errors {found['errors']}")
            expect(found["connections"] == 16, f"{pattern}: {found['connections']} connections, not 16")
        # As a person sees it.
        done = stage.run([*NOBODY, command, "demo", "-d", "1s"], within_s=40, env=environment, cwd=home)
        expect("p99" in done.stdout, "the table does not tell the latency")


stage.main(check)
