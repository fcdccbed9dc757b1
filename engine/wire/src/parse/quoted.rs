//! The packet that an ICMP error quotes: one of ours, if it is to be believed.
//!
//! Only a TCP segment can mean anything to us. Its checksums are not looked at: the quotation is cut, and routers change
//! what they quote (RFC 1812 §4.3.2.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ipv4::FRAGMENT_OFFSET;
use crate::address::{Addresses, Ends};
use crate::octets::{be16, be32, part};
use crate::protocol::{IPV4_LEN, IPV6_LEN, ip};
use crate::{DropReason, IcmpError, IcmpErrorKind, SeqNum};

/// A quoted IPv4 packet: its header with options and at least eight octets behind (RFC 792).
pub(super) fn parse_v4(body: &[u8], kind: IcmpErrorKind, code: u8) -> Result<IcmpError, DropReason> {
    let header = body.first_chunk::<IPV4_LEN>().ok_or(DropReason::BadIcmp)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < IPV4_LEN {
        return Err(DropReason::BadIcmp);
    }
    // We never fragment, but a later fragment would carry no ports.
    if header[9] != ip::TCP || be16(header, 6) & FRAGMENT_OFFSET != 0 {
        return Err(DropReason::IgnoredIcmp);
    }
    let addresses = Addresses::V4(Ends {
        source: Ipv4Addr::from(be32(header, 12)),
        destination: Ipv4Addr::from(be32(header, 16)),
    });
    let upper = body.get(header_len..).unwrap_or(&[]);
    segment(upper, addresses, be16(header, 2), kind, code)
}

/// A quoted IPv6 packet. We send no extension headers, so one that has some is not ours.
pub(super) fn parse_v6(body: &[u8], kind: IcmpErrorKind, code: u8) -> Result<IcmpError, DropReason> {
    let (header, upper) = body.split_first_chunk::<IPV6_LEN>().ok_or(DropReason::BadIcmp)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::BadIcmp);
    }
    if header[6] != ip::TCP {
        return Err(DropReason::IgnoredIcmp);
    }
    let addresses = Addresses::V6(Ends {
        source: Ipv6Addr::from(part::<16, _>(header, 8)),
        destination: Ipv6Addr::from(part::<16, _>(header, 24)),
    });
    let packet_len = be16(header, 4).saturating_add(IPV6_LEN as u16);
    segment(upper, addresses, packet_len, kind, code)
}

fn segment(
    upper: &[u8],
    addresses: Addresses,
    packet_len: u16,
    kind: IcmpErrorKind,
    code: u8,
) -> Result<IcmpError, DropReason> {
    let header = upper.first_chunk::<8>().ok_or(DropReason::BadIcmp)?;
    let (source_port, destination_port) = (be16(header, 0), be16(header, 2));
    Ok(IcmpError {
        kind,
        code,
        // We sent it, so the quoted source is our end.
        tuple: super::tcp::tuple(addresses, source_port, destination_port).reversed(),
        seq: SeqNum(be32(header, 4)),
        packet_len,
    })
}
