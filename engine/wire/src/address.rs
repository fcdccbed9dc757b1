//! Addresses: what they are, and which may stand where. Whether one is *ours* is not decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A 48-bit Ethernet address.
pub type EtherAddr = [u8; 6];

/// ff:ff:ff:ff:ff:ff.
pub const ETHER_BROADCAST: EtherAddr = [0xff; 6];

/// The link layer of a frame that goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Our Ethernet address.
    pub source: EtherAddr,
    /// The next hop's.
    pub destination: EtherAddr,
    /// The VLAN of the frame, 1–4094; `None` for no tag.
    pub vlan: Option<u16>,
}

/// The two addresses of a packet, named as they stand in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends<A> {
    /// Who sent it.
    pub source: A,
    /// To whom.
    pub destination: A,
}

/// The group bit is set: broadcast or multicast.
#[inline]
pub const fn is_group_ether(address: &EtherAddr) -> bool {
    address[0] & 1 == 1
}

/// A host may send from this address. Not one: 0/8, 127/8, multicast, class E and the limited broadcast; ::, ::1, IPv6
/// multicast, IPv4-mapped addresses.
///
/// Two kinds of packet do come from the unspecified address, and their reader has to let them: the ARP probe and the
/// neighbour solicitation that looks for duplicates.
#[inline]
pub fn is_valid_source(address: IpAddr) -> bool {
    match address {
        // RFC 1122 §3.2.1.3: (a) this network, (g) loopback, (c) broadcast, and class D are never a source.
        IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 127 | 224..),
        // RFC 4291 §2.5.2, §2.5.3, §2.7.
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.to_ipv4_mapped().is_some())
        }
    }
}

/// A destination that means more than one host whatever the subnet: multicast and the limited broadcast.
#[inline]
pub fn is_group_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets()[0], 224..=239) || address == Ipv4Addr::BROADCAST,
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// The solicited-node multicast address of `target` (RFC 4291 §2.7.1).
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = target.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// The Ethernet address of an IPv6 multicast group (RFC 2464 §7).
pub const fn ether_multicast_v6(group: Ipv6Addr) -> EtherAddr {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Addresses of either family, before it is known what the packet carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {
    V4(Ends<Ipv4Addr>),
    V6(Ends<Ipv6Addr>),
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 9293 MUST-63
    #[test]
    fn which_addresses_may_send() {
        for (address, may) in [
            ("10.9.0.1", true),
            ("0.0.0.0", false),
            ("0.255.255.255", false),
            ("1.0.0.0", true),
            ("126.255.255.255", true),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("128.0.0.0", true),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.0", false),
            ("255.255.255.255", false),
            ("fd09::1", true),
            ("fe80::1", true),
            ("2001:db8::1", true),
            ("::", false),
            ("::1", false),
            ("::2", true),
            ("ff02::1", false),
            ("::ffff:10.9.0.1", false),
        ] {
            assert_eq!(is_valid_source(address.parse().unwrap()), may, "{address}");
        }
    }

    // proves: RFC 9293 MUST-57
    #[test]
    fn which_destinations_are_groups() {
        for (address, group) in [
            ("223.255.255.255", false),
            ("224.0.0.1", true),
            ("239.255.255.255", true),
            ("240.0.0.1", false),
            ("255.255.255.254", false),
            ("255.255.255.255", true),
            ("fe80::1", false),
            ("ff02::1", true),
        ] {
            assert_eq!(is_group_destination(address.parse().unwrap()), group, "{address}");
        }
        assert!(is_group_ether(&ETHER_BROADCAST) && is_group_ether(&[0x33, 0x33, 0, 0, 0, 1]));
        assert!(!is_group_ether(&[0x02, 0xff, 0xff, 0xff, 0xff, 0xff]));
    }

    #[test]
    fn the_solicited_node_group_keeps_the_last_three_octets() {
        let group = solicited_node("2001:db8::abcd:12:3456".parse().unwrap());
        assert_eq!(group, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
        assert_eq!(ether_multicast_v6(group), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    }
}
