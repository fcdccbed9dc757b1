"""--driver af_packet beyond the usual: jumbo frames, VLAN tags, an address of its own, the link, what the kernel drops."""

import ports
import stage
from stage import ENGINE_V4, expect

TIME_LIMIT_S = 120
ATTACH = ("--iface", "v0", "--driver", "af_packet")


def tagged():
    with stage.Lab("--relay") as lab:
        trunk = ports.Trunk(lab, 5)
        server = lab.serve("echo:7", workers=1, attach=ATTACH, flags=["--vlan", "5"])
        ports.both_ways(lab, server, total=5 << 20, count=50)
        expect(trunk.tagged > 1000 and trunk.untagged == 0, f"{trunk.tagged} frames with the tag, {trunk.untagged} without")
        stage.drain(server)


def own_address():
    with stage.Lab() as lab:
        server = lab.serve("echo:7", workers=1, attach=ATTACH, flags=["--mac", "02:00:00:00:00:99"])
        ports.both_ways(lab, server)
        neighbour = lab.run("linux", ["ip", "neigh", "show", ENGINE_V4]).stdout
        expect("02:00:00:00:00:99" in neighbour, f"Linux knows {neighbour!r}")
        ports.link_goes_and_comes(lab, server)
        stage.drain(server)


def jumbo():
    with stage.Lab("--queues", "2") as lab:
        ports.refused(lab, "a larger MTU than the interface's", (*ATTACH, "--ip", "10.99.0.2/24", "--mtu", "9000"), ("9000", "1500"))
        ports.mtu(lab, 9000)
        server = lab.serve("echo:7", workers=2, attach=ATTACH, flags=["--mtu", "9000"])
        before = lab.stats()["port"]
        ports.both_ways(lab, server)
        after = lab.stats()["port"]
        mean = (after["rx_bytes"] - before["rx_bytes"]) / (after["rx_packets"] - before["rx_packets"])
        stage.note(f"{mean:.0f} bytes a frame received")
        expect(mean > 3000, f"{mean:.0f} bytes a frame: no jumbo frames came")
        stage.drain(server)


def check():
    stage.need("nstat", "curl")
    for part in (tagged, own_address, jumbo):
        stage.note(part.__name__)
        part()


stage.main(check)
