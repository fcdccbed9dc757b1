//! Whether a PCI device can be taken over: looked up in /sys before DPDK is let near it, since DPDK only says that it found no
//! port, and a device that the kernel uses is not to be touched.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fourtuple_nic::NicError;

/// Drivers that hand a device to user space.
const FOR_USER_SPACE: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// Drivers of the kernel beside which DPDK's works: the device stays bound to them.
const SHARED: [&str; 3] = ["mlx5_core", "mlx4_core", "mana"];

/// The first byte of the class of a network controller.
const NETWORK: &str = "0x02";

/// Where the kernel tells of its devices.
struct Machine<'a> {
    /// `/sys/bus/pci/devices`
    devices: &'a Path,
    /// `/dev/vfio`
    vfio: &'a Path,
    /// `/proc/net/route`, `/proc/net/ipv6_route`
    routes: String,
    /// What `/sys/module/vfio/parameters/enable_unsafe_noiommu_mode` says.
    no_iommu: bool,
}

/// Refuses a device that is not there, is no network controller, carries the default route, or belongs to the kernel; says what
/// to do.
pub(crate) fn require_usable(address: &str) -> Result<(), NicError> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = Machine {
        devices: Path::new("/sys/bus/pci/devices"),
        vfio: Path::new("/dev/vfio"),
        routes: read("/proc/net/route") + &default_v6(&read("/proc/net/ipv6_route")),
        no_iommu: read("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode").starts_with(['Y', '1']),
    };
    machine.require_usable(address)
}

/// An EAL that was started without PCI can't be given a device later.
pub(super) fn require_bus(label: &str, eal_words: &[String]) -> Result<(), NicError> {
    if !eal_words.iter().any(|word| word == "--no-pci") {
        return Ok(());
    }
    Err(NicError::Refused {
        port: label.to_owned(),
        reason: format!(
            "the EAL of this process runs without PCI (`{}`) and can't be started again; start the engine with the PCI port first",
            eal_words.join(" ")
        ),
    })
}

impl Machine<'_> {
    fn require_usable(&self, address: &str) -> Result<(), NicError> {
        let port = format!("pci:{address}");
        let refused = |reason: String| {
            Err(NicError::Refused {
                port: port.clone(),
                reason,
            })
        };
        let device = self.devices.join(address);
        if !device.is_dir() {
            return Err(NicError::Unknown {
                port,
                remedy: "`lspci -D` shows the devices that are here".to_owned(),
            });
        }
        let class = fs::read_to_string(device.join("class")).unwrap_or_default();
        if !class.starts_with(NETWORK) {
            return refused(format!(
                "it is no network controller (class {}); `lspci -D | grep -i net` shows those",
                class.trim()
            ));
        }
        let interfaces = interfaces(&device);
        if let Some(interface) = interfaces.iter().find(|name| self.carries_default_route(name)) {
            return refused(format!(
                "it is {interface}, which carries this machine's default route: taking it would cut the machine off; use another \
                 device"
            ));
        }
        match driver(&device).as_deref() {
            Some("vfio-pci") => self.require_vfio(&port, &device),
            Some(bound) if FOR_USER_SPACE.contains(&bound) || SHARED.contains(&bound) => Ok(()),
            bound => {
                let by = bound.map_or_else(
                    || "no driver".to_owned(),
                    |bound| format!("the kernel's driver {bound}"),
                );
                let whose = if interfaces.is_empty() {
                    String::new()
                } else {
                    format!(" (interface {})", interfaces.join(", "))
                };
                refused(format!(
                    "it is bound to {by}{whose}; bind it to one for user space: `modprobe vfio-pci`, `dpdk-devbind.py -b \
                     vfio-pci {address}`"
                ))
            }
        }
    }

    /// Bound to vfio-pci: there has to be a group, and this process has to be allowed to open it.
    fn require_vfio(&self, port: &str, device: &Path) -> Result<(), NicError> {
        let refused = |reason: &str| {
            Err(NicError::Refused {
                port: port.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let Some(group) = link_name(&device.join("iommu_group")) else {
            return if self.no_iommu {
                refused(
                    "it was bound to vfio-pci before the mode without IOMMU was switched on; unbind it and bind it again",
                )
            } else {
                refused(
                    "vfio-pci has no IOMMU for it: switch one on (intel_iommu=on or amd_iommu=on on the kernel's command line), or \
                     do without protection: `echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode`, then bind it again",
                )
            };
        };
        let ordinary = self.vfio.join(&group);
        let node = if ordinary.exists() {
            ordinary
        } else {
            self.vfio.join(format!("noiommu-{group}"))
        };
        match File::options().read(true).write(true).open(&node) {
            // Busy: somebody else has the group, as DPDK will say.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(NicError::NotPermitted {
                port: port.to_owned(),
                remedy: format!(
                    "{} belongs to others: run as root, or `chown` it to this user",
                    node.display()
                ),
            }),
            Err(error) => Err(NicError::Refused {
                port: port.to_owned(),
                reason: format!(
                    "{} can't be opened: {error}; is another process using the device?",
                    node.display()
                ),
            }),
        }
    }

    fn carries_default_route(&self, interface: &str) -> bool {
        self.routes.lines().any(|line| {
            let mut fields = line.split_whitespace();
            let (name, destination) = (fields.next(), fields.next());
            let mask = fields.nth(5);
            name == Some(interface) && destination == Some("00000000") && mask == Some("00000000")
        })
    }
}

/// The default routes of `/proc/net/ipv6_route` as lines of `/proc/net/route`.
fn default_v6(table: &str) -> String {
    // linux/route.h: the route says that there is none.
    const RTF_REJECT: u32 = 0x200;
    let mut lines = String::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [destination, "00", _, _, _, _, _, _, flags, name] = fields[..]
            && destination.bytes().all(|digit| digit == b'0')
            && u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & RTF_REJECT == 0)
        {
            lines.push_str(&format!("{name} 00000000 0 0 0 0 0 00000000\n"));
        }
    }
    lines
}

/// The kernel's interfaces of a device: directly below it, or below the virtio device that it is.
fn interfaces(device: &Path) -> Vec<String> {
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let virtio = names(device.to_owned()).filter(|name| name.starts_with("virtio"));
    let mut found: Vec<String> = virtio
        .flat_map(|name| names(device.join(name).join("net")))
        .chain(names(device.join("net")))
        .collect();
    found.sort();
    found
}

fn driver(device: &Path) -> Option<String> {
    link_name(&device.join("driver"))
}

/// The last part of where a link points to.
fn link_name(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A made-up /sys and /dev, removed at the end.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("ft-pci-{name}-{}", std::process::id()));
            fs::create_dir_all(folder.join("vfio")).expect("a folder");
            Self(folder)
        }

        /// A device of this class, bound to `driver`, with a folder for each of `below`.
        fn device(&self, address: &str, class: &str, driver: Option<&str>, below: &[&str]) {
            let device = self.0.join(address);
            for folder in below {
                fs::create_dir_all(device.join(folder)).expect("a folder");
            }
            fs::create_dir_all(&device).expect("a folder");
            fs::write(device.join("class"), format!("{class}\n")).expect("a file");
            if let Some(driver) = driver {
                symlink(format!("../drivers/{driver}"), device.join("driver")).expect("a link");
            }
        }

        fn judge(&self, address: &str, no_iommu: bool) -> Result<(), String> {
            let machine = Machine {
                devices: &self.0,
                vfio: &self.0.join("vfio"),
                routes: "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                         eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                    .to_owned(),
                no_iommu,
            };
            machine.require_usable(address).map_err(|error| error.to_string())
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const NIC: &str = "0x020000";

    #[test]
    fn a_device_that_is_not_for_user_space_is_refused_with_what_to_do() {
        let fake = Fake::new("refused");
        fake.device("0000:00:01.0", "0x010802", Some("nvme"), &[]);
        fake.device("0000:00:03.0", NIC, Some("virtio-pci"), &["virtio2/net/eth0"]);
        fake.device("0000:00:04.0", NIC, Some("ixgbe"), &["net/eth1"]);
        fake.device("0000:00:05.0", NIC, None, &[]);
        fake.device("0000:00:06.0", NIC, Some("vfio-pci"), &[]);
        let rows = [
            ("0000:00:09.0", "lspci"),
            ("0000:00:01.0", "no network controller (class 0x010802)"),
            ("0000:00:03.0", "eth0, which carries this machine's default route"),
            ("0000:00:04.0", "ixgbe (interface eth1); bind it"),
            ("0000:00:04.0", "dpdk-devbind.py -b vfio-pci 0000:00:04.0"),
            ("0000:00:05.0", "no driver"),
            ("0000:00:06.0", "intel_iommu=on"),
        ];
        for (address, named) in rows {
            let message = fake.judge(address, false).expect_err(named);
            assert!(message.contains(named), "{message}");
        }
        let message = fake.judge("0000:00:06.0", true).unwrap_err();
        assert!(message.contains("bind it again"), "{message}");
    }

    #[test]
    fn a_device_for_user_space_is_taken() {
        let fake = Fake::new("taken");
        for (address, driver) in [
            ("0000:01:00.0", "vfio-pci"),
            ("0000:01:00.1", "igb_uio"),
            ("0000:01:00.2", "uio_pci_generic"),
            ("0000:01:00.3", "mlx5_core"),
            ("0000:01:00.4", "vfio-pci"),
        ] {
            fake.device(address, NIC, Some(driver), &[]);
        }
        for (address, group, node) in [("0000:01:00.0", "7", "7"), ("0000:01:00.4", "8", "noiommu-8")] {
            symlink(
                format!("../../kernel/iommu_groups/{group}"),
                fake.0.join(address).join("iommu_group"),
            )
            .expect("a link");
            fs::write(fake.0.join("vfio").join(node), "").expect("a file");
        }
        for address in [
            "0000:01:00.0",
            "0000:01:00.1",
            "0000:01:00.2",
            "0000:01:00.3",
            "0000:01:00.4",
        ] {
            assert_eq!(fake.judge(address, false), Ok(()), "{address}");
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        let fake = Fake::new("group");
        fake.device("0000:02:00.0", NIC, Some("vfio-pci"), &[]);
        symlink("../groups/9", fake.0.join("0000:02:00.0/iommu_group")).expect("a link");
        let message = fake.judge("0000:02:00.0", false).unwrap_err();
        assert!(message.contains("noiommu-9 can't be opened"), "{message}");
    }

    #[test]
    fn default_routes_of_both_families_count() {
        let zeros = "0".repeat(32);
        let table = format!(
            "{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(default_v6(&table), "eth0 00000000 0 0 0 0 0 00000000\n");
    }

    #[test]
    fn an_eal_without_pci_takes_no_device() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(require_bus("p", &words("--in-memory -a 0000:01:00.0")), Ok(()));
        let message = require_bus("p", &words("--in-memory --no-pci"))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("--no-pci") && message.contains("first"),
            "{message}"
        );
    }
}
