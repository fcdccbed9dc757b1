"""wrk -c 100 for 30 s over each family, to completion on the worker and through application threads, without one error."""

import services
import stage

TIME_LIMIT_S = 240


def check():
    stage.need("wrk", "curl", "nc", "ab", "nstat")
    for mode in ("handler", "threads=2"):
        with stage.Lab("--queues", "2") as lab:
            server = lab.serve(*services.ALL, workers=2, flags=["--mode", mode])
            services.exercise(lab, server, wrk_seconds=30)
            stage.drain(server)


stage.main(check)
