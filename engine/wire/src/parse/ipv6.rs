//! The IPv6 header and the extension headers that are skipped (RFC 8200).

use std::net::Ipv6Addr;

use super::IpPacket;
use crate::address::{Addresses, Ends};
use crate::octets::{be16, part};
use crate::protocol::{IPV6_LEN, ip};
use crate::{DropReason, Span};

pub(super) fn parse(frame: &[u8], start: usize) -> Result<IpPacket<'_>, DropReason> {
    let packet = frame.get(start..).unwrap_or(&[]);
    let (header, rest) = packet
        .split_first_chunk::<IPV6_LEN>()
        .ok_or(DropReason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let payload_len = be16(header, 4);
    let payload = rest
        .get(..usize::from(payload_len))
        .ok_or(DropReason::Truncated)?;
    let (protocol, upper) = skip_extensions(header[6], payload)?;
    Ok(IpPacket {
        addresses: Addresses::V6(Ends {
            source: Ipv6Addr::from(part::<16, _>(header, 8)),
            destination: Ipv6Addr::from(part::<16, _>(header, 24)),
        }),
        ttl: header[7],
        traffic_class: (header[0] << 4) | (header[1] >> 4),
        protocol,
        span: Span {
            start: start as u16,
            // The longest packet is 40 octets longer than the field can say; a quotation never gets there.
            len: payload_len.saturating_add(IPV6_LEN as u16),
        },
        upper_start: start + IPV6_LEN + (payload.len() - upper.len()),
        upper,
    })
}

/// Goes along the chain of extension headers to the upper layer.
fn skip_extensions(first: u8, payload: &[u8]) -> Result<(u8, &[u8]), DropReason> {
    let (mut kind, mut rest) = (first, payload);
    for place in 0..=MAX_EXTENSIONS {
        match kind {
            // RFC 8200 §4.1: the hop-by-hop header stands directly behind the IPv6 header, or nowhere.
            ip::HOP_BY_HOP if place > 0 => return Err(DropReason::BadIpHeader),
            ip::HOP_BY_HOP | ip::DESTINATION_OPTIONS | ip::ROUTING => {}
            // Deviation: atomic fragments (RFC 6946) are treated like all others; RFC 8021 asks hosts to send none.
            ip::FRAGMENT => return Err(DropReason::Fragment),
            _ => return Ok((kind, rest)),
        }
        let [next, units, ..] = *rest else {
            return Err(DropReason::Truncated);
        };
        let (extension, behind) = rest
            .split_at_checked(8 + usize::from(units) * 8)
            .ok_or(DropReason::Truncated)?;
        match kind {
            ip::ROUTING => read_routing(extension)?,
            _ => read_options(&extension[2..])?,
        }
        (kind, rest) = (next, behind);
    }
    Err(DropReason::BadIpHeader)
}

/// Type 0 is refused (RFC 5095 §3), and so is a route of any other type that has not come to its end.
fn read_routing(extension: &[u8]) -> Result<(), DropReason> {
    match *extension {
        [_, _, routing_type, segments_left, ..] if routing_type != 0 && segments_left == 0 => Ok(()),
        _ => Err(DropReason::SourceRoute),
    }
}

/// Options of a hop-by-hop or destination header: unknown ones are skipped where their type allows it.
fn read_options(mut options: &[u8]) -> Result<(), DropReason> {
    while let [kind, behind @ ..] = options {
        options = match (*kind, behind) {
            (PAD1, _) => behind,
            // RFC 8200 §4.2: the two highest bits say whether a packet with an unknown option may be used.
            (kind, _) if kind & DISCARD_WHEN_UNKNOWN != 0 => return Err(DropReason::BadIpHeader),
            (_, [len, body @ ..]) => body.get(usize::from(*len)..).ok_or(DropReason::BadIpHeader)?,
            (_, []) => return Err(DropReason::BadIpHeader),
        };
    }
    Ok(())
}

/// Longest chain that is followed. RFC 8200 §4.1 names five headers of the kinds skipped here, each at most once but for
/// destination options (twice); a longer chain has no use but to cost time.
const MAX_EXTENSIONS: usize = 6;
const PAD1: u8 = 0;
const DISCARD_WHEN_UNKNOWN: u8 = 0xc0;
