"""--driver af_xdp over veth: queues, VLAN, jumbo as far as a page goes, what a killed engine leaves behind, refusals."""

import shutil
import signal
import tempfile

import ports
import stage
from stage import expect

TIME_LIMIT_S = 150
ATTACH = ("--iface", "v0", "--driver", "af_xdp")
IP = ("--ip", "10.99.0.2/24")


def possible(lab):
    """Skips where the kernel has no AF_XDP."""
    done = lab.run("engine", [stage.fourtuple(), "serve", "echo:7", *ATTACH, *IP, "--stats", "off", "--workers", "99"], expect_code=None)
    if "no AF_XDP" in done.stderr:
        raise stage.Skipped("this kernel has no AF_XDP")


def program_on_v0(lab):
    return "xdp" in lab.run("engine", ["ip", "link", "show", "v0"]).stdout


def one_queue():
    with stage.Lab() as lab:
        possible(lab)
        server = lab.serve("echo:7", workers=1, attach=ATTACH)
        expect(program_on_v0(lab), "no XDP program on v0")
        ports.both_ways(lab, server)
        ports.link_goes_and_comes(lab, server)
        ports.refused(lab, "an interface in use", (*ATTACH, *IP), ("v0", "another"))
        stage.drain(server)
        expect(not program_on_v0(lab), "the XDP program stays behind")

        # Killed, it leaves its program behind; the next one takes it over.
        server = lab.serve("echo:7", workers=1, attach=ATTACH, name="killed")
        server.signal(signal.SIGKILL)
        server.wait(5)
        server = lab.serve("echo:7", workers=1, attach=ATTACH, name="next")
        ports.many(lab, 20)
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


def tagged_and_large():
    with stage.Lab() as lab:
        # The tag has to be in the frame: XDP does not see one that veth carries beside it.
        lab.run("linux", ["ethtool", "-K", "v1", "txvlan", "off"])
        ports.vlan(lab, 5)
        ports.mtu(lab, 3500)
        lab.run("linux", ["ip", "link", "set", "v1.5", "mtu", "3496"])
        server = lab.serve("echo:7", workers=1, attach=ATTACH, flags=["--vlan", "5", "--mtu", "3496"])
        ports.both_ways(lab, server, total=20 << 20, count=50)
        stage.drain(server)
        ports.refused(lab, "too large an MTU", (*ATTACH, *IP, "--mtu", "9000"), ("9000", "3500"))


def refusals():
    with stage.Lab() as lab, tempfile.TemporaryDirectory() as folder:
        ports.refused(lab, "no such interface", ("--iface", "nosuch0", "--driver", "af_xdp", *IP), ("nosuch0", "ip link"))
        shutil.os.chmod(folder, 0o755)
        command = shutil.copy(stage.fourtuple(), folder)
        shutil.os.chmod(command, 0o755)
        for bounding, naming in (("-all", "CAP_NET_RAW"), ("-all,+net_raw", "CAP_NET_ADMIN")):
            nobody = ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all"]
            done = lab.run("engine", [*nobody, command, "serve", "echo:7", *ATTACH, *IP, "--stats", "off"], expect_code=3)
            expect(naming in done.stderr, f"without {naming}: {done.stderr}")
        lab.run("engine", ["ip", "link", "set", "v0", "down"])
        ports.refused(lab, "an interface that is down", (*ATTACH, *IP), ("down", "ip link set v0 up"))


def check():
    stage.need("ethtool", "nstat", "curl")
    for part in (one_queue, two_queues, tagged_and_large, refusals):
        stage.note(part.__name__)
        part()


stage.main(check)
