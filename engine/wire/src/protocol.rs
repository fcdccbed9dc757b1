//! Numbers that name protocols, and the sizes of their headers.

/// EtherTypes (IEEE 802 numbers).
pub(crate) mod ether_type {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q.
    pub(crate) const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad, the outer of two tags.
    pub(crate) const SERVICE_VLAN: u16 = 0x88a8;
    /// The lowest EtherType; below it the field is an IEEE 802.3 length.
    pub(crate) const LOWEST: u16 = 0x0600;
}

/// IP protocol numbers and IPv6 extension headers (IANA).
pub(crate) mod ip {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMPV4: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const NO_NEXT_HEADER: u8 = 59;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// Kinds of TCP options (IANA).
pub(crate) mod tcp_option {
    pub(crate) const END: u8 = 0;
    pub(crate) const NO_OPERATION: u8 = 1;
    pub(crate) const MSS: u8 = 2;
    pub(crate) const WINDOW_SCALE: u8 = 3;
    pub(crate) const SACK_PERMITTED: u8 = 4;
    pub(crate) const SACK: u8 = 5;
    pub(crate) const TIMESTAMPS: u8 = 8;
    pub(crate) const FAST_OPEN: u8 = 34;
}

/// Octets of an untagged Ethernet header.
pub(crate) const ETHER_LEN: usize = 14;
/// Octets of a VLAN tag.
pub(crate) const VLAN_TAG_LEN: usize = 4;
/// Octets of an IPv4 header without options.
pub(crate) const IPV4_LEN: usize = 20;
/// Octets of an IPv6 header.
pub(crate) const IPV6_LEN: usize = 40;
/// Octets of a TCP header without options.
pub(crate) const TCP_LEN: usize = 20;
/// Octets of a UDP header.
pub(crate) const UDP_LEN: usize = 8;
