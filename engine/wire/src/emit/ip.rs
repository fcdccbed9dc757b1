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
    let total_len = upper_len.saturating_add(IPV4_LEN as u16).to_be_bytes();
    let id = fields.identification.to_be_bytes();
    let [s0, s1, s2, s3] = ends.source.octets();
    let [d0, d1, d2, d3] = ends.destination.octets();
    let mut header = [
        0x45,
        fields.traffic_class,
        total_len[0],
        total_len[1],
        id[0],
        id[1],
        DONT_FRAGMENT,
        0,
        fields.ttl,
        protocol,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    if checksum {
        let [high, low] = Sum::of(&header).checksum().to_be_bytes();
        (header[10], header[11]) = (high, low);
    }
    writer.put(header);
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

/// First octet of flags and fragment offset with DF set.
const DONT_FRAGMENT: u8 = 0x40;
