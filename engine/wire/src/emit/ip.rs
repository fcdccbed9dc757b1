//! IPv4 and IPv6 headers.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Sum;
use crate::address::Ends;
use crate::octets::Writer;
use crate::protocol::IPV4_LEN;

/// What the sender chooses of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpFields {
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// IPv4 identification; means nothing while DF is set (RFC 6864), but some like to see it count. Not used for IPv6.
    pub identification: u16,
}

impl Default for IpFields {
    /// TTL 64 (RFC 1122 §3.2.1.7: the default of IANA's IP parameters), no DSCP, no ECN.
    fn default() -> Self {
        Self {
            ttl: 64,
            traffic_class: 0,
            identification: 0,
        }
    }
}

/// Writes an IPv4 header of 20 octets with DF.
///
/// `checksum` tells whether its checksum is computed here or left zero for the port.
#[inline]
pub(super) fn put_ipv4(
    writer: &mut Writer<'_>,
    fields: &IpFields,
    ends: Ends<Ipv4Addr>,
    protocol: u8,
    upper_len: u16,
    checksum: bool,
) {
    let total_len = upper_len.saturating_add(IPV4_LEN as u16);
    let version_and_class = 0x4500 | u16::from(fields.traffic_class);
    let ttl_and_protocol = u16::from_be_bytes([fields.ttl, protocol]);
    let [source, destination] = [ends.source, ends.destination].map(u32::from);
    let field = if checksum {
        Sum::default()
            .with_word(version_and_class)
            .with_word(total_len)
            .with_word(fields.identification)
            .with_word(DONT_FRAGMENT)
            .with_word(ttl_and_protocol)
            .with_double_word(source)
            .with_double_word(destination)
            .checksum()
    } else {
        0
    };
    writer.put_u16(version_and_class);
    writer.put_u16(total_len);
    writer.put_u16(fields.identification);
    writer.put_u16(DONT_FRAGMENT);
    writer.put_u16(ttl_and_protocol);
    writer.put_u16(field);
    writer.put_u32(source);
    writer.put_u32(destination);
}

/// Writes an IPv6 header of 40 octets with flow label zero.
#[inline]
pub(super) fn put_ipv6(
    writer: &mut Writer<'_>,
    fields: &IpFields,
    ends: Ends<Ipv6Addr>,
    protocol: u8,
    upper_len: u16,
) {
    let class = fields.traffic_class;
    let [high, low] = upper_len.to_be_bytes();
    writer.put([
        0x60 | (class >> 4),
        class << 4,
        0,
        0,
        high,
        low,
        protocol,
        fields.ttl,
    ]);
    writer.put(ends.source.octets());
    writer.put(ends.destination.octets());
}

/// Flags and fragment offset with only DF set.
const DONT_FRAGMENT: u16 = 0x4000;
