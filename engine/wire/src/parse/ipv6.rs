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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{parse_tcp, tcp_v6_frame, verdict};

    const TCP: u8 = 6;

    #[test]
    fn extension_headers_are_skipped_or_refused() {
        let chain = |kind: u8, count: u8| {
            let mut chain = Vec::new();
            for left in (0..count).rev() {
                chain.extend([if left == 0 { TCP } else { kind }, 0, 1, 4, 0, 0, 0, 0]);
            }
            chain
        };
        let unknown = Err(DropReason::UnknownProtocol);
        let bad = Err(DropReason::BadIpHeader);
        let route = Err(DropReason::SourceRoute);
        for (what, first, extensions, expected) in [
            ("none", TCP, vec![], Ok(())),
            ("hop-by-hop with PadN", 0, chain(60, 1), Ok(())),
            (
                "hop-by-hop with Pad1 and a router alert",
                0,
                vec![6, 0, 0, 0, 5, 2, 0, 0],
                Ok(()),
            ),
            ("hop-by-hop, then destination options", 0, chain(60, 2), Ok(())),
            ("hop-by-hop in second place", 60, chain(0, 2), bad),
            ("six destination options", 60, chain(60, 6), Ok(())),
            ("more than anybody needs", 60, chain(60, 7), bad),
            (
                "an unknown option to skip",
                60,
                vec![6, 0, 0x1e, 4, 9, 9, 9, 9],
                Ok(()),
            ),
            (
                "an unknown option to discard",
                60,
                vec![6, 0, 0x5e, 4, 9, 9, 9, 9],
                bad,
            ),
            ("a home address", 60, vec![6, 0, 0xc9, 4, 9, 9, 9, 9], bad),
            (
                "an option that ends outside",
                60,
                vec![6, 0, 1, 5, 0, 0, 0, 0],
                bad,
            ),
            ("an option without length", 60, vec![6, 0, 1, 3, 0, 0, 0, 1], bad),
            (
                "an extension that ends outside",
                60,
                vec![6, 200, 1, 4, 0, 0, 0, 0],
                Err(DropReason::Truncated),
            ),
            ("routing type 0", 43, vec![6, 0, 0, 0, 0, 0, 0, 0], route),
            (
                "routing type 0 under way",
                43,
                vec![6, 0, 0, 1, 0, 0, 0, 0],
                route,
            ),
            (
                "routing type 2 under way",
                43,
                vec![6, 0, 2, 1, 0, 0, 0, 0],
                route,
            ),
            (
                "routing type 4 at its end",
                43,
                vec![6, 0, 4, 0, 0, 0, 0, 0],
                Ok(()),
            ),
            (
                "a fragment",
                44,
                vec![6, 0, 0, 1, 0, 0, 0, 1],
                Err(DropReason::Fragment),
            ),
            (
                "an atomic fragment",
                44,
                vec![6, 0, 0, 0, 0, 0, 0, 1],
                Err(DropReason::Fragment),
            ),
            ("nothing behind", 59, vec![], unknown),
            ("authentication", 51, vec![6, 4, 0, 0, 0, 0, 0, 0], unknown),
            ("ICMP for IPv4", 1, vec![], unknown),
        ] {
            let frame = tcp_v6_frame(first, &extensions, b"abc");
            assert_eq!(verdict(&frame), expected, "{what}");
            if expected.is_ok() {
                assert_eq!(parse_tcp(&frame).payload.of(&frame), b"abc", "{what}");
            }
        }
    }

    #[test]
    fn the_header_has_to_agree_with_the_frame() {
        let frame = tcp_v6_frame(60, &[6, 0, 1, 4, 0, 0, 0, 0], b"abc");
        for len in 0..frame.len() {
            assert_eq!(verdict(&frame[..len]), Err(DropReason::Truncated), "{len} octets");
        }
        let mut wrong = frame.clone();
        wrong[14] = 0x45;
        assert_eq!(verdict(&wrong), Err(DropReason::BadIpHeader));
        let mut padded = frame.clone();
        padded.extend([0xee; 9]);
        let tcp = parse_tcp(&padded);
        assert_eq!(tcp.payload.of(&padded), b"abc");
        assert_eq!((tcp.ttl, tcp.traffic_class), (57, 0x2e));
    }

    #[test]
    fn the_longest_chain_is_walked_without_harm() {
        // Six headers of 2048 octets full of single-octet padding: the most work that a frame can ask for.
        let mut extensions = Vec::new();
        for left in (0..6).rev() {
            extensions.extend([if left == 0 { TCP } else { 60 }, 255]);
            extensions.extend([0; 2046]);
        }
        assert_eq!(verdict(&tcp_v6_frame(60, &extensions, b"")), Ok(()));
    }
}
