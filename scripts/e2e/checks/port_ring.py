"""Ring pairs inside one process carry 100 MiB each way, compared byte by byte, and 1,000 connections, in jumbo frames too."""

import report
import stage
from stage import expect

TIME_LIMIT_S = 120
BLOCK = 64 << 10


def demo(*words):
    done = stage.run([stage.fourtuple(), "demo", *words, "--verify", "--json"], within_s=50)
    found = report.parse(done.stdout, words[0], with_server=True)
    expect(not any(found["errors"].values()), f"{words}: errors {found['errors']}")
    stage.note(f"{' '.join(map(str, words))}: {found['duration_s']:.2f} s")
    return found["operations"]


def check():
    blocks = (100 << 20) // BLOCK
    for frames in ((), ("--mtu", "9000")):
        expect(demo("rr", "-c", "1", "-s", str(BLOCK), "-n", str(blocks), *frames) >= blocks, "blocks are missing")
        expect(demo("crr", "-c", "20", "-n", "1000", *frames) >= 1000, "connections are missing")


stage.main(check)
