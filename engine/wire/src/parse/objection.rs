//! What is to be said of an IP packet that can't be read to its end (RFC 1122 §3.2.2, RFC 4443 §3.4).
//!
//! A second look at a frame that [`parse`](super::parse) refused; off the way of packets that are none. Whether the packet was
//! for us, and how often such a thing is said, is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ipv6::{self, Chain, UNKNOWN_NEXT_HEADER};
use super::{ChecksumCheck, Expect, IpContent, ethernet, ipv4};
use crate::address::{Addresses, Ends};
use crate::octets::part;
use crate::protocol::{IPV6_LEN, ether_type, ip};
use crate::{EtherAddr, Refusal, Span};

/// An ICMP error that a packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The station that sent the frame.
    pub ether_source: EtherAddr,
    /// The station or group that it was for.
    pub ether_destination: EtherAddr,
    /// The packet's addresses.
    pub ends: Ends<IpAddr>,
    /// What is wrong with it.
    pub refusal: Refusal,
    /// The packet, to be quoted.
    pub ip: Span,
}

/// The error that a refused frame asks for, if it does. Never for what is an ICMP error itself.
pub fn objection(frame: &[u8], expect: &Expect) -> Option<Objection> {
    let ethernet = ethernet::parse(frame, expect.vlan).ok()?;
    let (ends, refusal, ip) = match ethernet.ether_type {
        ether_type::IPV4 => about_v4(frame, ethernet.len, expect.checksum)?,
        ether_type::IPV6 => about_v6(frame, ethernet.len)?,
        _ => return None,
    };
    Some(Objection {
        ether_source: ethernet.source,
        ether_destination: ethernet.destination,
        ends,
        refusal,
        ip,
    })
}

type About = (Ends<IpAddr>, Refusal, Span);

/// RFC 1122 §3.2.2.1: a protocol that nobody here speaks.
fn about_v4(frame: &[u8], start: usize, check: ChecksumCheck) -> Option<About> {
    let Ok(IpContent::Whole(packet)) = ipv4::parse(frame, start, check) else {
        return None;
    };
    let Addresses::V4(Ends { source, destination }) = packet.addresses else {
        return None;
    };
    let known = matches!(packet.protocol, ip::TCP | ip::UDP | ip::ICMPV4);
    let ends = ends_of::<Ipv4Addr>(source, destination);
    (!known).then_some((ends, Refusal::ProtocolUnreachable, packet.span))
}

/// RFC 4443 §3.4: a header, an option or a field that was not understood.
fn about_v6(frame: &[u8], start: usize) -> Option<About> {
    let (header, payload) = ipv6::split(frame, start).ok()?;
    let (code, at) = match ipv6::walk(header[6], payload) {
        Ok(Chain::Upper { kind, named_at, .. }) => match kind {
            // RFC 8200 §4.7: nothing follows, and nothing is wrong with that.
            ip::TCP | ip::UDP | ip::ICMPV6 | ip::NO_NEXT_HEADER => return None,
            _ => (UNKNOWN_NEXT_HEADER, named_at),
        },
        Ok(Chain::Fragment(part)) => part.check().err()?.report?,
        Err(problem) => problem.report?,
    };
    // RFC 4443 §2.4(e.1).
    if is_icmp_error(header[6], payload) {
        return None;
    }
    let ends = ends_of(
        Ipv6Addr::from(part::<16, _>(header, 8)),
        Ipv6Addr::from(part::<16, _>(header, 24)),
    );
    let refusal = Refusal::ParameterProblem {
        code,
        pointer: at as u32,
    };
    let ip = Span {
        start: start as u16,
        len: (IPV6_LEN + payload.len()).min(usize::from(u16::MAX)) as u16,
    };
    Some((ends, refusal, ip))
}

fn ends_of<A: Into<IpAddr>>(source: A, destination: A) -> Ends<IpAddr> {
    Ends {
        source: source.into(),
        destination: destination.into(),
    }
}

/// Looks for an ICMPv6 error behind whatever stands before it, understood or not; where it can't be found there is none.
fn is_icmp_error(first: u8, payload: &[u8]) -> bool {
    let (mut kind, mut rest) = (first, payload);
    for _ in 0..MOST_HEADERS {
        match kind {
            ip::ICMPV6 => return rest.first().is_some_and(|kind| *kind < FIRST_INFORMATIONAL),
            ip::HOP_BY_HOP | ip::DESTINATION_OPTIONS | ip::ROUTING | ip::FRAGMENT => {}
            _ => return false,
        }
        let [next, units, ..] = *rest else {
            return false;
        };
        let units = if kind == ip::FRAGMENT { 0 } else { units };
        (kind, rest) = (next, rest.get(8 + usize::from(units) * 8..).unwrap_or(&[]));
    }
    // Longer than any that makes sense: nothing is said of it.
    true
}

/// ICMPv6 types below are errors (RFC 4443 §2.1).
const FIRST_INFORMATIONAL: u8 = 128;
const MOST_HEADERS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PEER, PEER6, US, US6, ether, ipv4, ipv6, tcp_v4_frame, tcp_v6_frame};

    fn said(frame: &[u8]) -> Option<Refusal> {
        objection(frame, &Expect::default()).map(|objection| objection.refusal)
    }

    fn over_v6(next: u8, rest: &[u8]) -> Option<Refusal> {
        said(&ether(0x86dd, &ipv6(PEER6, US6, next, 64, rest)))
    }

    fn problem(code: u8, pointer: u32) -> Option<Refusal> {
        Some(Refusal::ParameterProblem { code, pointer })
    }

    // proves: RFC 1122 §3.2.2.1
    #[test]
    fn an_unknown_protocol_is_unreachable() {
        let frame = ether(0x0800, &ipv4(&[], 0, 47, b"tunnel"));
        let objection = objection(&frame, &Expect::default()).unwrap();
        assert_eq!(objection.refusal, Refusal::ProtocolUnreachable);
        assert_eq!(objection.ends, ends_of(PEER, US));
        assert_eq!(objection.ip.of(&frame), &frame[14..]);
        for (what, frame) in [
            ("TCP", tcp_v4_frame(&[], b"x")),
            ("a fragment", ether(0x0800, &ipv4(&[], 1, 47, b"tunnel"))),
            ("bad ICMP", ether(0x0800, &ipv4(&[], 0, 1, b"nonsense"))),
            ("ARP", ether(0x0806, &[0; 28])),
            ("TCP over IPv6", tcp_v6_frame(6, &[], b"x")),
        ] {
            assert_eq!(said(&frame), None, "{what}");
        }
    }

    // proves: RFC 4443 §2.4(c)
    #[test]
    fn the_whole_packet_is_there_to_be_quoted() {
        let frame = ether(0x86dd, &ipv6(PEER6, US6, 47, 64, &[7; 100]));
        let objection = objection(&frame, &Expect::default()).unwrap();
        assert_eq!(objection.ends, ends_of(PEER6, US6));
        assert_eq!(objection.ip.of(&frame), &frame[14..]);
    }

    // proves: RFC 4443 §3.4, RFC 8200 §4.2, §4.4, §4.5, RFC 5095 §3, RFC 7112 §5
    #[test]
    fn what_is_not_understood_of_ipv6_is_pointed_at() {
        let behind = |first: [u8; 8]| [&first[..], &[0; 24]].concat();
        for (what, next, rest, expected) in [
            ("an unknown protocol", 47, vec![0; 8], problem(1, 6)),
            (
                "one behind options",
                60,
                behind([47, 0, 1, 4, 0, 0, 0, 0]),
                problem(1, 40),
            ),
            ("nothing", 59, vec![], None),
            (
                "hop-by-hop out of place",
                60,
                behind([0, 0, 1, 4, 0, 0, 0, 0]),
                problem(1, 40),
            ),
            (
                "an option that is told",
                60,
                behind([6, 0, 1, 0, 0x9e, 0, 0, 0]),
                problem(2, 44),
            ),
            (
                "one told of to hosts only",
                0,
                behind([6, 0, 0xc9, 4, 0, 0, 0, 0]),
                problem(2, 42),
            ),
            (
                "an option that is not told",
                60,
                behind([6, 0, 0x5e, 4, 0, 0, 0, 0]),
                None,
            ),
            (
                "a route under way",
                43,
                behind([6, 0, 0, 1, 0, 0, 0, 0]),
                problem(0, 42),
            ),
            (
                "a short fragment",
                44,
                [&[6, 0, 0, 9, 0, 0, 0, 1][..], &[0; 9]].concat(),
                problem(0, 4),
            ),
            (
                "a fragment that ends beyond",
                44,
                behind([6, 0, 0xff, 0xf8, 0, 0, 0, 1]),
                problem(0, 42),
            ),
            (
                "a first without its header",
                44,
                [&[6, 0, 0, 1, 0, 0, 0, 1][..], &[0; 16]].concat(),
                problem(3, 0),
            ),
            (
                "a fragment that ends with the longest packet",
                44,
                [&[6, 0, 0xff, 0xf8, 0, 0, 0, 1][..], &[0; 7]].concat(),
                None,
            ),
            (
                "one that ends an octet later",
                44,
                [&[6, 0, 0xff, 0xf8, 0, 0, 0, 1][..], &[0; 8]].concat(),
                problem(0, 42),
            ),
            (
                "one that ends later for what stands before it",
                60,
                [
                    &[44, 0, 1, 4, 0, 0, 0, 0][..],
                    &[6, 0, 0xff, 0xf8, 0, 0, 0, 1],
                    &[0; 7],
                ]
                .concat(),
                problem(0, 50),
            ),
            (
                "a first without all of its TCP options",
                44,
                [&[6, 0, 0, 1, 0, 0, 0, 1][..], &[0; 12], &[0xa0], &[0; 11]].concat(),
                problem(3, 0),
            ),
            (
                "a first with a whole TCP header",
                44,
                [&[6, 0, 0, 1, 0, 0, 0, 1][..], &[0; 12], &[0x50], &[0; 11]].concat(),
                None,
            ),
            (
                "a first with a UDP header",
                44,
                [&[17, 0, 0, 1, 0, 0, 0, 1][..], &[0; 8]].concat(),
                None,
            ),
            (
                "a first that ends before its UDP header",
                44,
                [&[60, 0, 0, 1, 0, 0, 0, 1][..], &[17, 0, 1, 4, 0, 0, 0, 0]].concat(),
                problem(3, 0),
            ),
            (
                "a first that ends within its options",
                44,
                [&[60, 0, 0, 1, 0, 0, 0, 1][..], &[17, 1, 1, 4, 0, 0, 0, 0]].concat(),
                problem(3, 0),
            ),
            (
                "a first with an option that is told when the others are there",
                44,
                [&[60, 0, 0, 1, 0, 0, 0, 1][..], &[17, 0, 0x9e, 4, 0, 0, 0, 0]].concat(),
                None,
            ),
            (
                "an error behind a long header with an unknown option",
                60,
                [&[58, 1, 0x9e, 12][..], &[200; 12], &[1; 8]].concat(),
                None,
            ),
            (
                "an echo behind one",
                60,
                [&[58, 1, 0x9e, 12][..], &[1; 12], &[128; 8]].concat(),
                problem(2, 42),
            ),
            (
                "an error in an atomic fragment, its reserved octet set",
                44,
                [
                    &[60, 0xff, 0, 0, 0, 0, 0, 1][..],
                    &[58, 0, 0x9e, 4, 0, 0, 0, 0],
                    &[1; 8],
                ]
                .concat(),
                None,
            ),
            (
                "an error with an unknown option",
                60,
                [&[58, 0, 0x9e, 4, 0, 0, 0, 0][..], &[1; 8]].concat(),
                None,
            ),
            (
                "an echo with one",
                60,
                [&[58, 0, 0x9e, 4, 0, 0, 0, 0][..], &[128; 8]].concat(),
                problem(2, 42),
            ),
        ] {
            assert_eq!(over_v6(next, &rest), expected, "{what}");
        }
    }
}
