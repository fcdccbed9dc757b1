"""serve with two application threads behind the rings: every service, both families, and a clean drain."""

import services
import stage

TIME_LIMIT_S = 120


def check():
    stage.need("curl", "nc", "ab", "wrk", "nstat")
    with stage.Lab("--queues", "2") as lab:
        server = lab.serve(*services.ALL, workers=2, flags=["--mode", "threads=2"])
        services.exercise(lab, server, wrk_seconds=4)
        stage.drain(server)


stage.main(check)
