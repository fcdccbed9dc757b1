//! The IPv4 header and its options (RFC 791, RFC 1122 §3.2.1).

use std::net::Ipv4Addr;

use super::{ChecksumCheck, IpPacket};
use crate::address::{Addresses, Ends};
use crate::octets::{be16, be32};
use crate::protocol::IPV4_LEN;
use crate::{DropReason, Span, Sum};

pub(super) fn parse(frame: &[u8], start: usize, check: ChecksumCheck) -> Result<IpPacket<'_>, DropReason> {
    let packet = frame.get(start..).unwrap_or(&[]);
    let header = packet.first_chunk::<IPV4_LEN>().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(be16(header, 2));
    if header[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len {
        return Err(DropReason::BadIpHeader);
    }
    // What lies behind the total length is Ethernet padding.
    let packet = packet.get(..total_len).ok_or(DropReason::Truncated)?;
    let (whole_header, upper) = packet.split_at(header_len);
    if check != ChecksumCheck::Trust && !Sum::of(whole_header).is_right() {
        // RFC 1122 §3.2.1.2: verified on every packet, discarded silently.
        return Err(DropReason::BadIpChecksum);
    }
    read_options(&whole_header[IPV4_LEN..])?;
    if be16(header, 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        return Err(DropReason::Fragment);
    }
    Ok(IpPacket {
        addresses: Addresses::V4(Ends {
            source: Ipv4Addr::from(be32(header, 12)),
            destination: Ipv4Addr::from(be32(header, 16)),
        }),
        ttl: header[8],
        traffic_class: header[1],
        protocol: header[9],
        span: Span {
            start: start as u16,
            len: total_len as u16,
        },
        upper_start: start + header_len,
        upper,
    })
}

/// Skips options, since none of them asks for anything here.
///
/// Deviation: source routes are refused instead of followed or reversed (RFC 9293 MUST-49…51, RFC 1122 §3.2.1.8), as
/// RFC 7126 §4.3 and §4.4 advise.
fn read_options(mut options: &[u8]) -> Result<(), DropReason> {
    while let [kind, behind @ ..] = options {
        options = match *kind {
            END_OF_OPTIONS => return Ok(()),
            NO_OPERATION => behind,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(DropReason::SourceRoute),
            _ => {
                let len = behind.first().copied().map_or(0, usize::from);
                options
                    .get(len..)
                    .filter(|_| len >= 2)
                    .ok_or(DropReason::BadIpHeader)?
            }
        };
    }
    Ok(())
}

pub(super) const MORE_FRAGMENTS: u16 = 0x2000;
pub(super) const FRAGMENT_OFFSET: u16 = 0x1fff;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
