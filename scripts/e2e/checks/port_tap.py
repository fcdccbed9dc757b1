"""A tap carries what every port that goes both ways has to: 100 MiB unharmed, and 1,000 connections, on one queue and on two."""

import os

import ports
import stage

TIME_LIMIT_S = 120


def check():
    stage.need("nstat", "curl")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise stage.Skipped("no /dev/net/tun here")
    for workers in (1, 2):
        stage.note(f"{workers} queues")
        with stage.Lab("--tap") as lab:
            server = lab.serve("echo:7", workers=workers)
            ports.both_ways(lab, server)
            stage.drain(server)


stage.main(check)
