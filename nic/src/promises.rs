//! What a port promises, told once at start.

use std::fmt;
use std::str::FromStr;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The group bit is set: broadcast or multicast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a MAC address: write six hex bytes, as in 02:00:00:00:00:01");
        let mut octets = [0u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts
                .next()
                .filter(|p| (1..=2).contains(&p.len()))
                .ok_or_else(wrong)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(octets))
    }
}

/// What a port promises while it is attached; fixed from start to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promises {
    /// What people call this port, as `af_packet:veth0`.
    pub name: String,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet that it carries, in bytes.
    pub mtu: u16,
    /// How many queue pairs were set up.
    pub queues: u16,
    /// Bytes of frame or payload that one pool buffer holds.
    pub buffer_room: usize,
    /// Bytes of pool memory that one received frame pins.
    pub buffer_space: usize,
    /// The port checks IP and TCP checksums of what it receives and tells.
    pub rx_checksum: bool,
    /// The port fills in IP and TCP checksums when a frame asks.
    pub tx_checksum: bool,
    /// A frame may consist of several segments: payload is attached without a copy.
    pub multi_seg: bool,
    /// The other end is this host's own kernel, which leaves TCP checksums partial.
    pub kernel_peer: bool,
    /// The port spreads frames by Toeplitz over the four-tuple under our key and table; else software checks every frame.
    pub rss: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_as_it_is_written() {
        let mac = MacAddr([0x02, 0, 0xab, 0xcd, 0x0e, 0xff]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for wrong in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "zz:00:00:00:00:01",
            "002:0:0:0:0:0",
        ] {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong}");
        }
    }
}
