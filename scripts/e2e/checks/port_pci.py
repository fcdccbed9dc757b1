"""--port with PCI addresses: what this machine has is refused with its reason, and the kernel keeps it."""

import pathlib

import ports
import stage
from stage import expect

TIME_LIMIT_S = 60
DEVICES = pathlib.Path("/sys/bus/pci/devices")
IP = ("--ip", "10.99.0.2/24")


def driver(device):
    link = device / "driver"
    return link.resolve().name if link.exists() else None


def check():
    with stage.Lab() as lab:
        ports.refused(lab, "no such device", ("--port", "0000:ff:1f.7", *IP), ("0000:ff:1f.7", "lspci"))
        devices = sorted(DEVICES.iterdir()) if DEVICES.is_dir() else []
        if not devices:
            raise stage.Skipped("this machine has no PCI devices")
        before = {device.name: driver(device) for device in devices}
        judged = 0
        for device in devices:
            network = (device / "class").read_text().startswith("0x02")
            bound = before[device.name]
            if network and bound in ("vfio-pci", "igb_uio", "uio_pci_generic", "mlx5_core", "mlx4_core", "mana"):
                continue
            naming = ("no network controller",) if not network else ("default route",) if "cut the machine off" in line(lab, device) else (
                "dpdk-devbind.py -b vfio-pci", device.name)
            ports.refused(lab, f"{device.name} ({bound})", ("--port", device.name, *IP), naming)
            judged += 1
        expect(before == {device.name: driver(device) for device in devices}, "a device changed its driver")
        stage.note(f"{judged} of {len(devices)} devices judged")


def line(lab, device):
    return lab.run("engine", [stage.fourtuple(), "serve", "echo:7", "--port", device.name, *IP, "--stats", "off"], expect_code=None).stderr


stage.main(check)
