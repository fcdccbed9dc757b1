"""Generator and server are both Fourtuple: sizes that differ, who closes first, local ports, ranges of ports, both ways of a stream."""

import json

import report
import stage
from stage import ENGINE_V4, LINUX_V4, expect

TIME_LIMIT_S = 180


def check():
    stage.need("nstat")
    with stage.Lab() as lab:
        # Two engines over the veth pair: the server where Linux usually is, on an address that its kernel does not have.
        lab.run("linux", ["ip", "address", "flush", "dev", "v1"], expect_code=None)
        server = lab.start("linux", "serve", [
            stage.fourtuple(), "serve", "http:80", "echo:7000-7999", "chargen:19", "--iface", "v1", "--ip", f"{LINUX_V4}/24",
        ])
        for service in ("http .*:80", "echo .*:7000-7999", "chargen .*:19"):
            server.wait_for_line(rf"^listening {service}$", 20)

        def load(pattern, port, *flags):
            done = lab.run("engine", [
                stage.fourtuple(), "load", pattern, f"{LINUX_V4}:{port}", "--iface", "v0", "--ip", f"{ENGINE_V4}/24", "--json", *flags,
            ], within_s=60)
            found = report.parse(done.stdout, pattern)
            expect(not any(found["errors"].values()), f"{pattern} {flags}: errors {found['errors']}")
            server.expect_running()
            return found

        # A generator that runs twice: the second is another process, and the server that closed first keeps a TIME_WAIT record for
        # each connection of the first. Its sequence numbers and timestamps go on behind those, so none is refused.
        for run in (1, 2):
            found = load("crr", 80, "-c", "32", "-n", "20000", "--close", "server", "--src-ports", "20000-49999")
            expect(found["operations"] == 20_000, f"{found['operations']} operations")
            workers = stats(lab)["workers"]
            kept = sum(worker["time_wait"] for worker in workers)
            expect(kept >= 19_000, f"after run {run} the server keeps {kept} TIME_WAIT records, not one each")
        reopened = sum(worker["time_wait_reopened"] for worker in workers)
        expect(reopened >= 5_000, f"{reopened} four-tuples were used again, too few to tell")
        stage.note(f"{reopened} TIME_WAIT records of the first run were reopened by the second")
        found = load("rr", 80, "-c", "4", "-n", "1000", "-s", "100:4k")
        sent, received = found["bits_per_s"]["sent"], found["bits_per_s"]["received"]
        expect(30 < received / sent < 60, f"100 bytes for 4000: {found['bits_per_s']}")
        load("crr", 80, "-c", "4", "-n", "300", "-s", "64:20k")
        load("http", 80, "-c", "4", "-n", "2000", "--pipeline", "8")
        for port in (7000, 7555, 7999):
            load("rr", port, "-c", "4", "-n", "100", "--verify", "--src-ports", "5000-5099")
        load("stream", 19, "--reverse", "-c", "2", "-d", "2s")
        load("crr", 7002, "-c", "4", "-n", "300", "--src-range", "10.99.0.128/25")
        load("hold", 7001, "-c", "500", "-d", "1s")
        stage.drain(server)


def stats(lab):
    done = lab.run("linux", ["curl", "-s", "-m", "5", f"http://{stage.STATS}/api/v1/stats"])
    return json.loads(done.stdout)


stage.main(check)
