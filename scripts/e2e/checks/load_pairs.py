"""Generator and server are both Fourtuple: sizes that differ, who closes first, local ports, ranges of ports, both ways of a stream."""

import json
import time

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
            "--msl", "2s",
        ])
        for service in ("http .*:80", "echo .*:7000-7999", "chargen .*:19"):
            server.wait_for_line(rf"^listening {service}$", 20)

        def load(pattern, port, *flags):
            done = lab.run("engine", [
                stage.fourtuple(), "load", pattern, f"{LINUX_V4}:{port}", "--iface", "v0", "--ip", f"{ENGINE_V4}/24", "--json", *flags,
            ], within_s=40)
            found = report.parse(done.stdout, pattern)
            expect(not any(found["errors"].values()), f"{pattern} {flags}: errors {found['errors']}")
            server.expect_running()
            return found

        found = load("crr", 80, "-c", "4", "-n", "500", "--close", "server")
        expect(found["operations"] == 500, f"{found['operations']} operations")
        time_wait = sum(worker["time_wait"] for worker in stats(lab)["workers"])
        expect(time_wait >= 450, f"the server keeps {time_wait} TIME_WAIT records, not one each")
        # The next generator is another process, whose sequence numbers and timestamps begin anywhere: a port that it shares with
        # one of these records would be refused for as long as the record lives.
        ends = time.monotonic() + 20
        while sum(worker["time_wait"] for worker in stats(lab)["workers"]):
            expect(time.monotonic() < ends, "TIME_WAIT records live for more than 20 s at --msl 1s")
            time.sleep(0.2)
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
