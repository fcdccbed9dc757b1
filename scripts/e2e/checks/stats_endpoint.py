"""The stats endpoint: health, strict exposition, versioned JSON, and packets in = sum of verdicts, under load."""

import accounts
import exposition
import stage
from stage import ENGINE_V4, expect


def check():
    stage.need("curl", "wrk")
    with stage.Lab("--queues", "2") as lab:
        server = lab.serve("http:80", "echo:7", workers=2)
        for path in ("/healthz", "/readyz"):
            status, _ = lab.get(path)
            expect(status == 200, f"{path} answered {status}")
        expect(lab.get("/nonsense")[0] == 404, f"an unknown path answered {lab.get('/nonsense')[0]}")

        load = lab.start("linux", "wrk", ["wrk", "-t", "1", "-c", "50", "-d", "4s", f"http://{ENGINE_V4}/"])
        last = -1
        while load.process.poll() is None:
            packets = accounts.verdicts_add_up(lab.stats())
            expect(packets >= last, "received packets fell")
            last = packets
            exposition.parse(lab.get("/metrics")[1])
        expect(last > 1000, f"only {last} packets were seen during the load")

        # A frame that is not for us, by its Ethernet type; and a segment to a port without a listener.
        refused = lab.run("linux", ["nc", "-w", "2", ENGINE_V4, "9999"], expect_code=None)
        expect(refused.returncode != 0, "a port without a listener took a connection")
        snapshot = lab.stats()
        expect(snapshot["schema"] == "fourtuple.stats/1", f"schema {snapshot['schema']!r}")
        expect(sum(w["resets_sent"] for w in snapshot["workers"]) > 0, "no RST was counted")
        expect(sum(w["dropped"]["no_connection"] for w in snapshot["workers"]) > 0, "no_connection was not counted")
        accounts.verdicts_add_up(snapshot)
        stage.drain(server)


stage.main(check)
