//! What people call a port: an interface of the kernel, a virtual device of DPDK, a device in a PCI slot.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A port by its name. [`FromStr`] reads the words of `--port`; interfaces are named by `--iface`.
///
/// ```
/// use fourtuple::PortName;
/// assert_eq!("65:00.0".parse(), Ok(PortName::Pci("0000:65:00.0".into())));
/// assert_eq!("vdev:net_memif0,id=0".parse(), Ok(PortName::Virtual("net_memif0,id=0".into())));
/// assert!("eth0".parse::<PortName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum PortName {
    /// A network interface, attached to by the [`Driver`](crate::Driver) that is chosen.
    Interface(String),
    /// A virtual device: driver name and arguments as DPDK's `--vdev` reads them.
    Virtual(String),
    /// A PCI device that is bound to a driver for user space, as `0000:65:00.0`.
    Pci(String),
}

impl PortName {
    /// What an address names it by, as in `10.99.0.2/24%v0`: the interface, the PCI address in full, or the virtual device
    /// without its arguments.
    pub fn short_name(&self) -> &str {
        match self {
            Self::Interface(name) | Self::Pci(name) => name,
            Self::Virtual(specification) => specification.split(',').next().unwrap_or(specification),
        }
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) | Self::Pci(name) => f.write_str(name),
            Self::Virtual(specification) => write!(f, "vdev:{specification}"),
        }
    }
}

impl FromStr for PortName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(specification) = text.strip_prefix("vdev:") {
            return match specification.strip_prefix("net_") {
                Some(rest) if !rest.is_empty() && !rest.starts_with(',') => {
                    Ok(Self::Virtual(specification.to_owned()))
                }
                _ => Err(format!(
                    "`{text}` names no virtual device: write its driver and arguments as DPDK does, as in \
                     vdev:net_memif0,role=server,id=0"
                )),
            };
        }
        pci(text).map(Self::Pci).ok_or_else(|| {
            format!(
                "`{text}` is no port: write a PCI address (0000:65:00.0) or vdev:SPEC (vdev:net_memif0,role=server); an \
                 interface is named by --iface"
            )
        })
    }
}

impl TryFrom<String> for PortName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A PCI address in full, from `65:00.0` or `0000:65:00.0`.
fn pci(text: &str) -> Option<String> {
    let hex = |part: &str, digits: usize| {
        (part.len() <= digits && !part.is_empty())
            .then(|| {
                part.bytes()
                    .all(|digit| digit.is_ascii_hexdigit())
                    .then(|| u32::from_str_radix(part, 16).ok())
                    .flatten()
            })
            .flatten()
    };
    let (slot, function) = text.rsplit_once('.')?;
    let mut parts = slot.rsplit(':');
    let (device, bus) = (hex(parts.next()?, 2)?, hex(parts.next()?, 2)?);
    let domain = parts.next().map_or(Some(0), |domain| hex(domain, 8))?;
    let function = hex(function, 1)?;
    let fits = parts.next().is_none() && device < 32 && function < 8;
    fits.then(|| format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_is_read_in_both_forms_and_nothing_else_is() {
        for text in ["65:00.0", "0000:65:00.0"] {
            assert_eq!(
                text.parse(),
                Ok(PortName::Pci("0000:65:00.0".to_owned())),
                "{text}"
            );
        }
        for wrong in [
            "",
            "eth0",
            "65:00",
            "65:20.0",
            "65:00.8",
            "1:2:3:4.0",
            "+5:00.0",
            "vdev:",
            "vdev:memif",
            "vdev:net_",
        ] {
            let error = wrong.parse::<PortName>().expect_err(wrong);
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_short_name_of_a_virtual_device_is_without_arguments() {
        let port: PortName = "vdev:net_memif0,role=server,id=0".parse().unwrap();
        assert_eq!(port.short_name(), "net_memif0");
        assert_eq!(
            "65:00.0".parse::<PortName>().unwrap().short_name(),
            "0000:65:00.0"
        );
    }

    #[test]
    fn a_name_is_written_as_it_is_read() {
        for text in ["vdev:net_ring0", "0000:65:00.0"] {
            assert_eq!(text.parse::<PortName>().unwrap().to_string(), text);
        }
    }
}
