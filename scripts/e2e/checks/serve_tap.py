"""serve over a tap: the engine makes the interface, the kernel of the same namespace is its peer."""

import os

import services
import stage

TIME_LIMIT_S = 120


def check():
    stage.need("curl", "nc", "ab", "wrk", "nstat")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise stage.Skipped("no /dev/net/tun here")
    with stage.Lab("--tap") as lab:
        server = lab.serve(*services.ALL, workers=2)
        services.exercise(lab, server, wrk_seconds=4)
        stage.drain(server)


stage.main(check)
