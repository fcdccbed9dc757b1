"""Where a TCP is judged: a veth with the judge at one end, and `fourtuple serve` or Linux with the same services at the other."""

import pathlib
import re
import sys
from contextlib import contextmanager

import segments
import stage
from judges.station import Station

SERVICES = ("echo:7", "discard:9", "chargen:19", "daytime:13", "http:80")
V4, V6 = f"{stage.ENGINE_V4}/16", f"{stage.ENGINE_V6}/64"
HERE = pathlib.Path(__file__).resolve().parent


def start_fourtuple(lab):
    server = lab.start("engine", "serve", [
        stage.fourtuple(), "serve", *SERVICES, "--iface", "v0", "--driver", "af_packet", "--ip", V4, "--ip", V6,
        "--workers", 1, "--stats", "off", "--max-connections", 8192,
    ])  # fmt: skip
    for service in SERVICES:
        server.wait_for_line(rf"^listening {service.split(':')[0]} ", 20)
    return server


def start_linux(lab):
    """Linux's TCP as it comes; only what `scripts/lab` took from the interface is given back."""
    lab.run("engine", ["sysctl", "-qw", "net.ipv6.conf.v0.disable_ipv6=0", "net.ipv4.conf.v0.arp_ignore=0", "net.ipv6.conf.v0.accept_dad=0"], quiet=True)
    for address in (V4, V6):
        lab.run("engine", ["ip", "address", "add", address, "dev", "v0", *(["nodad"] if ":" in address else [])], quiet=True)
    server = lab.start("engine", "linux", [sys.executable, str(HERE.parent / "linux_services.py")])
    server.wait_for_line("^ready$", 20)
    return server


@contextmanager
def arena(stack):
    """(station, server) for `ours` or `linux`; the kernel at the judge's end has no address, so it says nothing."""
    with stage.Lab() as lab:
        lab.run("linux", ["ip", "address", "flush", "dev", "v1"], quiet=True)
        lab.run("linux", ["sysctl", "-qw", "net.ipv6.conf.v1.disable_ipv6=1", "net.ipv4.conf.v1.arp_ignore=8"], quiet=True)
        shown = lab.run("engine", ["ip", "link", "show", "v0"], quiet=True).stdout
        their_mac = segments.mac(re.search(r"link/ether ([0-9a-f:]{17})", shown).group(1))
        server = (start_fourtuple if stack == "ours" else start_linux)(lab)
        with lab.inside("linux"):
            station = Station("v1", stage.ENGINE_V4, stage.ENGINE_V6, their_mac)
        try:
            yield station, server
        finally:
            station.close()
            server.end()
