"""--driver af_xdp over veth: queues, VLAN, jumbo as far as a page goes, what a killed engine leaves behind, refusals."""

import ctypes
import os
import shutil
import signal
import struct
import tempfile
from contextlib import contextmanager

import ports
import stage
from stage import expect

TIME_LIMIT_S = 150
ATTACH = ports.AF_XDP
IP = ("--ip", "10.99.0.2/24")


def program_on_v0(lab):
    return "prog/xdp" in lab.run("engine", ["ip", "link", "show", "v0"]).stdout


def one_queue():
    with stage.Lab() as lab:
        if not ports.has_af_xdp(lab):
            raise stage.Skipped("this kernel has no AF_XDP")
        server = lab.serve("echo:7", workers=1, attach=ATTACH)
        expect(program_on_v0(lab), "no XDP program on v0")
        ports.both_ways(lab, server)
        ports.refused(lab, "an interface in use", (*ATTACH, *IP), ("v0", "another engine"))
        expect(program_on_v0(lab), "who was refused took the program of the other away")
        ports.many(lab, 20)
        stage.drain(server)
        expect(not program_on_v0(lab), "the XDP program stays behind")

        # Killed, it leaves its program behind; the next one takes it over.
        server = lab.serve("echo:7", workers=1, attach=ATTACH, name="killed")
        server.signal(signal.SIGKILL)
        server.wait(5)
        server = lab.serve("echo:7", workers=1, attach=ATTACH, name="next")
        ports.many(lab, 20)
        ports.link_goes_and_comes(lab, server)
        stage.drain(server)


def two_queues():
    with stage.Lab("--queues", "2") as lab:
        ports.refused(lab, "fewer workers than queues", (*ATTACH, *IP), ("--workers 2", "ethtool -L v0"))
        ports.refused(lab, "more workers than queues", (*ATTACH, *IP, "--workers", "99"), ("99",))
        server = lab.serve("echo:7", workers=2, attach=ATTACH, flags=["--mac", "02:00:00:00:00:99"])
        ports.both_ways(lab, server)
        worked = [worker["rx_packets"] for worker in lab.stats()["workers"]]
        expect(all(worked), f"a queue received nothing: {worked}")
        stage.drain(server)


def tagged():
    with stage.Lab("--relay") as lab:
        # A veth takes XDP only when the other end sends on no more queues than it receives on.
        stage.run(["ip", "netns", "exec", f"ft-{lab.name}-relay", "ethtool", "-L", "r0", "rx", 1, "tx", 1])
        trunk = ports.Trunk(lab, 5)
        server = lab.serve("echo:7", workers=1, attach=ATTACH, flags=["--vlan", "5"])
        ports.both_ways(lab, server, total=5 << 20, count=50)
        expect(trunk.tagged > 1000 and trunk.untagged == 0, f"{trunk.tagged} frames with the tag, {trunk.untagged} without")
        stage.drain(server)


def large():
    with stage.Lab() as lab:
        ports.mtu(lab, 3500)
        server = lab.serve("echo:7", workers=1, attach=ATTACH, flags=["--mtu", "3500"])
        ports.both_ways(lab, server)
        stage.drain(server)
        ports.refused(lab, "too large an MTU", (*ATTACH, *IP, "--mtu", "9000"), ("9000", "3500"))


@contextmanager
def somebody_elses_program(lab):
    """An XDP program that passes everything on, attached to v0 as long as the block lasts."""
    libc, bpf = ctypes.CDLL(None, use_errno=True), {"x86_64": 321, "aarch64": 280}[os.uname().machine]

    def call(command, attributes):
        attributes += b"\0" * (128 - len(attributes))
        fd = libc.syscall(bpf, command, ctypes.c_char_p(attributes), len(attributes))
        if fd < 0:
            raise OSError(ctypes.get_errno(), f"bpf command {command}")
        return fd

    instructions = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("<IIQQIIQII16s", 6, 2, ctypes.addressof(instructions), ctypes.addressof(licence), 0, 0, 0, 0, 0, b"somebody_elses")
    with lab.inside("engine"):
        program = call(5, load)
        link = call(28, struct.pack("<IIII", program, stage.socket.if_nametoindex("v0"), 37, 0))
    try:
        yield
    finally:
        os.close(link)
        os.close(program)


def refusals():
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        with somebody_elses_program(lab):
            ports.refused(lab, "an XDP program of somebody else's", (*ATTACH, *IP), ("somebody_elses", "ip link set v0 xdp off"))
            expect(program_on_v0(lab), "somebody else's program was removed")
        ports.refused(lab, "no such interface", ("--iface", "nosuch0", "--driver", "af_xdp", *IP), ("nosuch0", "ip link"))
        os.chmod(folder, 0o755)
        command = shutil.copy(stage.fourtuple(), folder)
        os.chmod(command, 0o755)
        for bounding, naming in (("-all", "CAP_NET_RAW"), ("-all,+net_raw", "CAP_NET_ADMIN")):
            nobody = ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all"]
            done = lab.run("engine", [*nobody, command, "serve", "echo:7", *ATTACH, *IP, "--stats", "off"], expect_code=3)
            expect(naming in done.stderr, f"without {naming}: {done.stderr}")
        lab.run("engine", ["ip", "link", "set", "v0", "down"])
        ports.refused(lab, "an interface that is down", (*ATTACH, *IP), ("down", "ip link set v0 up"))


def check():
    stage.need("ethtool", "nstat", "curl")
    for part in (one_queue, two_queues, tagged, large, refusals):
        stage.note(part.__name__)
        part()


stage.main(check)
