//! The IPv6 header and the extension headers that are skipped (RFC 8200).

use std::net::Ipv6Addr;

use super::{IpContent, IpPacket};
use crate::address::{Addresses, Ends};
use crate::octets::{be16, be32, part};
use crate::protocol::{IPV6_LEN, TCP_LEN, UDP_LEN, ip};
use crate::{DropReason, FragmentKey, FragmentPacket, Span};

pub(super) fn parse(frame: &[u8], start: usize) -> Result<IpContent<'_>, DropReason> {
    let (header, payload) = split(frame, start)?;
    let payload_len = payload.len() as u16;
    let ends = Ends {
        source: Ipv6Addr::from(part::<16, _>(header, 8)),
        destination: Ipv6Addr::from(part::<16, _>(header, 24)),
    };
    let traffic_class = (header[0] << 4) | (header[1] >> 4);
    let span = Span {
        start: start as u16,
        // The longest packet is 40 octets longer than the field can say; a quotation never gets there.
        len: payload_len.saturating_add(IPV6_LEN as u16),
    };
    match walk(header[6], payload).map_err(|problem| problem.reason)? {
        Chain::Upper {
            kind,
            upper,
            fragment_header,
            ..
        } => Ok(IpContent::Whole(IpPacket {
            addresses: Addresses::V6(ends),
            ttl: header[7],
            traffic_class,
            protocol: kind,
            fragment_header,
            span,
            upper_start: start + IPV6_LEN + (payload.len() - upper.len()),
            upper,
        })),
        Chain::Fragment(part) => {
            part.check().map_err(|problem| problem.reason)?;
            Ok(IpContent::Fragment(FragmentPacket {
                key: FragmentKey {
                    source: ends.source.into(),
                    destination: ends.destination.into(),
                    identification: part.identification,
                    protocol: 0,
                },
                offset: part.offset,
                more: part.more,
                payload: Span {
                    start: (start + part.at + FRAGMENT_LEN) as u16,
                    len: part.payload.len() as u16,
                },
                ip: span,
                head_len: part.at as u16,
                named_at: part.named_at as u16,
                next: part.next,
                traffic_class,
            }))
        }
    }
}

/// The header, and what its length field says is behind it.
pub(super) fn split(frame: &[u8], start: usize) -> Result<(&[u8; IPV6_LEN], &[u8]), DropReason> {
    let packet = frame.get(start..).unwrap_or(&[]);
    let (header, rest) = packet
        .split_first_chunk::<IPV6_LEN>()
        .ok_or(DropReason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::BadIpHeader);
    }
    let payload = rest
        .get(..usize::from(be16(header, 4)))
        .ok_or(DropReason::Truncated)?;
    Ok((header, payload))
}

/// What a chain of extension headers leads to. Places are octets of the IP packet.
pub(super) enum Chain<'a> {
    Upper {
        kind: u8,
        upper: &'a [u8],
        /// The octet that named it.
        named_at: usize,
        /// The header of an atomic fragment was passed.
        fragment_header: bool,
    },
    Fragment(Part<'a>),
}

/// What stands in a fragment header, and behind it.
pub(super) struct Part<'a> {
    offset: u32,
    more: bool,
    identification: u32,
    next: u8,
    payload: &'a [u8],
    /// Where the fragment header is.
    at: usize,
    /// The octet that named it.
    named_at: usize,
}

/// Why a packet is not read on, and what is to be told of it: the code of a parameter problem, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: DropReason,
    pub(super) report: Option<(u8, usize)>,
}

impl Problem {
    const fn silent(reason: DropReason) -> Self {
        Self { reason, report: None }
    }

    const fn told(reason: DropReason, code: u8, at: usize) -> Self {
        Self {
            reason,
            report: Some((code, at)),
        }
    }
}

/// Goes along the chain of extension headers to the upper layer. `payload` is what is behind the IPv6 header.
pub(super) fn walk(first: u8, payload: &[u8]) -> Result<Chain<'_>, Problem> {
    let (mut kind, mut rest, mut named_at) = (first, payload, NEXT_HEADER);
    let mut fragment_header = false;
    for place in 0..=MAX_EXTENSIONS {
        let at = IPV6_LEN + payload.len() - rest.len();
        match kind {
            // RFC 8200 §4.1: the hop-by-hop header stands directly behind the IPv6 header, or is unknown where it stands.
            ip::HOP_BY_HOP if place > 0 => {
                return Err(Problem::told(
                    DropReason::BadIpHeader,
                    UNKNOWN_NEXT_HEADER,
                    named_at,
                ));
            }
            ip::HOP_BY_HOP | ip::DESTINATION_OPTIONS | ip::ROUTING | ip::FRAGMENT => {}
            _ => {
                return Ok(Chain::Upper {
                    kind,
                    upper: rest,
                    named_at,
                    fragment_header,
                });
            }
        }
        let [next, units, ..] = *rest else {
            return Err(Problem::silent(DropReason::Truncated));
        };
        // The second octet of a fragment header is reserved: it has one length.
        let units = if kind == ip::FRAGMENT { 0 } else { units };
        let (extension, behind) = rest
            .split_at_checked(8 + usize::from(units) * 8)
            .ok_or(Problem::silent(DropReason::Truncated))?;
        match kind {
            ip::ROUTING => read_routing(extension, at)?,
            ip::FRAGMENT => {
                let part = read_fragment(extension, behind, at, named_at)?;
                // RFC 6946 §4: an atomic fragment is the whole packet, whatever others have its identification.
                if part.offset > 0 || part.more {
                    return Ok(Chain::Fragment(part));
                }
                fragment_header = true;
            }
            _ => read_options(extension, at)?,
        }
        (kind, rest, named_at) = (next, behind, at);
    }
    Err(Problem::silent(DropReason::BadIpHeader))
}

/// A route of any type that has not come to its end is refused, type 0 among them (RFC 5095 §3, RFC 8200 §4.4); one at its
/// end is skipped.
fn read_routing(extension: &[u8], at: usize) -> Result<(), Problem> {
    match *extension {
        [_, _, _, 0, ..] => Ok(()),
        _ => Err(Problem::told(DropReason::SourceRoute, ERRONEOUS_FIELD, at + 2)),
    }
}

fn read_fragment<'a>(
    extension: &[u8],
    payload: &'a [u8],
    at: usize,
    named_at: usize,
) -> Result<Part<'a>, Problem> {
    let header = extension
        .first_chunk::<FRAGMENT_LEN>()
        .ok_or(Problem::silent(DropReason::Truncated))?;
    let field = be16(header, 2);
    Ok(Part {
        offset: u32::from(field & !7),
        more: field & 1 != 0,
        identification: be32(header, 4),
        next: header[0],
        payload,
        at,
        named_at,
    })
}

impl Part<'_> {
    /// RFC 8200 §4.5, error conditions; RFC 7112 §5.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let bad = |code, at| Err(Problem::told(DropReason::BadFragment, code, at));
        if self.more && !self.payload.len().is_multiple_of(8) {
            return bad(ERRONEOUS_FIELD, PAYLOAD_LENGTH);
        }
        let head = (self.at - IPV6_LEN) as u32;
        if head + self.offset + self.payload.len() as u32 > u32::from(u16::MAX) {
            return bad(ERRONEOUS_FIELD, self.at + 2);
        }
        if self.payload.is_empty() {
            return Err(Problem::silent(DropReason::BadFragment));
        }
        if self.offset == 0 && !self.has_whole_chain() {
            return bad(INCOMPLETE_CHAIN, 0);
        }
        Ok(())
    }

    /// RFC 7112 §5: the first fragment holds all headers, the upper layer's among them.
    fn has_whole_chain(&self) -> bool {
        match walk(self.next, self.payload) {
            Ok(Chain::Upper { kind, upper, .. }) => match kind {
                ip::TCP => upper.get(12).is_some_and(|offset| {
                    upper.len() >= usize::from(offset >> 4) * 4 && upper.len() >= TCP_LEN
                }),
                ip::UDP | ip::ICMPV6 => upper.len() >= UDP_LEN,
                _ => true,
            },
            Ok(Chain::Fragment(_)) => false,
            // What else is wrong with it is told when all of it is there.
            Err(problem) => problem.reason != DropReason::Truncated,
        }
    }
}

/// Options of a hop-by-hop or destination header: unknown ones are skipped where their type allows it.
fn read_options(extension: &[u8], at: usize) -> Result<(), Problem> {
    let bad = Problem::silent(DropReason::BadIpHeader);
    let mut options = &extension[2..];
    while let [kind, behind @ ..] = options {
        options = match (*kind, behind) {
            (PAD1, _) => behind,
            // RFC 8200 §4.2: the two highest bits say whether a packet with an unknown option may be used, and whether that is
            // to be told.
            (kind, _) if kind & DISCARD_AND_TELL != 0 => {
                let here = at + extension.len() - options.len();
                return Err(Problem::told(DropReason::BadIpHeader, UNKNOWN_OPTION, here));
            }
            (kind, _) if kind & DISCARD != 0 => return Err(bad),
            (_, [len, body @ ..]) => body.get(usize::from(*len)..).ok_or(bad)?,
            (_, []) => return Err(bad),
        };
    }
    Ok(())
}

/// Longest chain that is followed. RFC 8200 §4.1 names five headers of the kinds skipped here, each at most once but for
/// destination options (twice); a longer chain has no use but to cost time.
const MAX_EXTENSIONS: usize = 6;
/// Octets of a fragment header.
const FRAGMENT_LEN: usize = 8;
const PAD1: u8 = 0;
const DISCARD: u8 = 0x40;
const DISCARD_AND_TELL: u8 = 0x80;
/// Places in the IPv6 header.
const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
/// Codes of a parameter problem (RFC 4443 §3.4, RFC 7112 §6).
const ERRONEOUS_FIELD: u8 = 0;
pub(super) const UNKNOWN_NEXT_HEADER: u8 = 1;
const UNKNOWN_OPTION: u8 = 2;
const INCOMPLETE_CHAIN: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{parse_tcp, tcp_v6_frame, verdict};

    const TCP: u8 = 6;

    // proves: RFC 8200 §4, §4.2, §4.4, RFC 5095 §3
    // proves: RFC 6946 §4
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
            (
                "routing type 0 at its end",
                43,
                vec![6, 0, 0, 0, 0, 0, 0, 0],
                Ok(()),
            ),
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
                "a first fragment of 23 octets",
                44,
                vec![6, 0, 0, 1, 0, 0, 0, 1],
                Err(DropReason::BadFragment),
            ),
            (
                "a fragment beyond any packet",
                44,
                vec![6, 0, 0xff, 0xf8, 0, 0, 0, 1],
                Err(DropReason::BadFragment),
            ),
            ("an atomic fragment", 44, vec![6, 0, 0, 0, 0, 0, 0, 1], Ok(())),
            (
                "an atomic fragment with reserved bits",
                44,
                vec![6, 0xff, 0, 6, 0, 0, 0, 1],
                Ok(()),
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
