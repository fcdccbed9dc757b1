//! The IPv4 header and its options (RFC 791, RFC 1122 §3.2.1).

use std::net::Ipv4Addr;

use super::{ChecksumCheck, IpContent, IpPacket};
use crate::address::{Addresses, Ends};
use crate::octets::{be16, be32};
use crate::protocol::IPV4_LEN;
use crate::{DropReason, FragmentKey, FragmentPacket, Span, Sum};

pub(super) fn parse(frame: &[u8], start: usize, check: ChecksumCheck) -> Result<IpContent<'_>, DropReason> {
    let packet = frame.get(start..).unwrap_or(&[]);
    let header = packet.first_chunk::<IPV4_LEN>().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(be16(header, 2));
    // RFC 1122 §3.2.1.1: another version is dropped in silence.
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
    let ends = Ends {
        source: Ipv4Addr::from(be32(header, 12)),
        destination: Ipv4Addr::from(be32(header, 16)),
    };
    let span = Span {
        start: start as u16,
        len: total_len as u16,
    };
    if be16(header, 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        return fragment(header, ends, span, header_len).map(IpContent::Fragment);
    }
    Ok(IpContent::Whole(IpPacket {
        addresses: Addresses::V4(ends),
        ttl: header[8],
        traffic_class: header[1],
        protocol: header[9],
        fragment_header: false,
        span,
        upper_start: start + header_len,
        upper,
    }))
}

/// A fragment (RFC 791 §3.2): it has a payload, of whole units of eight octets but for the last, and the packet has no more
/// than 65535 octets.
fn fragment(
    header: &[u8; IPV4_LEN],
    ends: Ends<Ipv4Addr>,
    ip: Span,
    header_len: usize,
) -> Result<FragmentPacket, DropReason> {
    let field = be16(header, 6);
    let (more, offset) = (
        field & MORE_FRAGMENTS != 0,
        u32::from(field & FRAGMENT_OFFSET) * 8,
    );
    let payload = Span {
        start: ip.start + header_len as u16,
        len: ip.len - header_len as u16,
    };
    let end = header_len as u32 + offset + u32::from(payload.len);
    if payload.len == 0 || (more && !payload.len.is_multiple_of(8)) || end > u32::from(u16::MAX) {
        return Err(DropReason::BadFragment);
    }
    Ok(FragmentPacket {
        key: FragmentKey {
            source: ends.source.into(),
            destination: ends.destination.into(),
            identification: u32::from(be16(header, 4)),
            protocol: header[9],
        },
        offset,
        more,
        payload,
        ip,
        head_len: header_len as u16,
        named_at: 0,
        next: header[9],
        traffic_class: header[1],
    })
}

/// Skips options, since none of them asks for anything here (RFC 9293 §3.9.2, MUST-50).
///
/// Deviation: source routes are refused instead of followed or reversed (RFC 9293 MUST-51…53, RFC 1122 §3.2.1.8), as
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ether, ipv4, parse_tcp, pseudo_v4, set_checksum, tcp, tcp_v4_frame, verdict};
    use crate::{ChecksumCheck, Expect};

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut segment = tcp(&[], b"abc");
        let pseudo = pseudo_v4(6, segment.len());
        set_checksum(&mut segment, 16, &pseudo);
        ether(0x0800, &ipv4(options, 0x4000, 6, &segment))
    }

    /// Changes one octet of the IP header and mends its checksum.
    fn altered(at: usize, value: u8) -> Vec<u8> {
        let mut frame = tcp_v4_frame(&[], b"abc");
        frame[14 + at] = value;
        let header_len = (usize::from(frame[14] & 0xf) * 4).clamp(20, frame.len() - 14);
        set_checksum(&mut frame[14..14 + header_len], 10, &[]);
        frame
    }

    // proves: RFC 1122 §3.2.1.1
    #[test]
    fn header_fields_have_to_agree_with_each_other_and_the_frame() {
        let len = (tcp_v4_frame(&[], b"abc").len() - 14) as u8;
        for (what, frame, expected) in [
            ("as it is", altered(3, len), Ok(())),
            ("version 6", altered(0, 0x65), Err(DropReason::BadIpHeader)),
            ("header length 16", altered(0, 0x44), Err(DropReason::BadIpHeader)),
            (
                "header length 60, total 43",
                altered(0, 0x4f),
                Err(DropReason::BadIpHeader),
            ),
            ("total length 19", altered(3, 19), Err(DropReason::BadIpHeader)),
            (
                "total length beyond the frame",
                altered(3, len + 1),
                Err(DropReason::Truncated),
            ),
            (
                "total length that cuts the TCP header",
                altered(3, 39),
                Err(DropReason::Truncated),
            ),
            (
                "the first of several fragments, 23 octets",
                altered(6, 0x20),
                Err(DropReason::BadFragment),
            ),
            ("the last fragment", altered(7, 1), Ok(())),
            ("a fragment beyond any packet", altered(6, 0x1f), Ok(())),
            ("neither DF nor a fragment", altered(6, 0), Ok(())),
            ("the reserved bit", altered(6, 0x80), Ok(())),
            ("IGMP", altered(9, 2), Err(DropReason::UnknownProtocol)),
            (
                "ICMPv6 over IPv4",
                altered(9, 58),
                Err(DropReason::UnknownProtocol),
            ),
        ] {
            assert_eq!(verdict(&frame), expected, "{what}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_truncated() {
        let frame = with_options(&[1, 1, 1, 0]);
        for len in 0..frame.len() {
            assert_eq!(verdict(&frame[..len]), Err(DropReason::Truncated), "{len} octets");
        }
    }

    // RFC 791 §3.1, §3.2: no packet is longer than its length field can say, and none has to carry anything.
    #[test]
    fn a_packet_may_be_empty_and_a_fragment_may_end_where_packets_end() {
        let alone = ether(0x0800, &ipv4(&[], 0, 47, b""));
        assert_eq!(verdict(&alone), Err(DropReason::UnknownProtocol));
        let ends_at = |end: usize| {
            // From octet 65504 of the payload on, behind a header of 20.
            ether(0x0800, &ipv4(&[], 65_504 / 8, 17, &vec![0; end - 65_504 - 20]))
        };
        assert_eq!(verdict(&ends_at(65_535)), Ok(()));
        for end in [65_536, 65_540] {
            assert_eq!(verdict(&ends_at(end)), Err(DropReason::BadFragment), "{end}");
        }
    }

    // proves: RFC 1122 §3.2.1.2
    #[test]
    fn every_bit_of_the_header_is_under_its_checksum() {
        let frame = with_options(&[7, 7, 4, 0, 0, 0, 0, 0]);
        for bit in 8..8 * 28 {
            // Lengths and the checksum of a header of another length are judged before it.
            if matches!(bit / 8, 2 | 3) {
                continue;
            }
            let mut wrong = frame.clone();
            wrong[14 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verdict(&wrong), Err(DropReason::BadIpChecksum), "bit {bit}");
        }
        let mut wrong = frame;
        wrong[24] ^= 1;
        let trust = Expect {
            checksum: ChecksumCheck::Trust,
            ..Expect::default()
        };
        assert!(crate::parse(&wrong, &trust).is_ok(), "the port has looked");
    }

    // proves: RFC 9293 MUST-50, RFC 1122 §3.2.1.8, RFC 7126 §4.3
    #[test]
    fn options_are_skipped_but_for_source_routes() {
        for (what, options, expected) in [
            ("NOP and end", &[1, 1, 1, 0][..], Ok(())),
            ("router alert", &[148, 4, 0, 0], Ok(())),
            ("record route", &[7, 7, 4, 0, 0, 0, 0, 0], Ok(())),
            ("an unknown option", &[200, 3, 9, 1], Ok(())),
            (
                "a source route behind the end is padding",
                &[0, 131, 3, 4],
                Ok(()),
            ),
            (
                "loose source route",
                &[131, 7, 4, 1, 2, 3, 4, 0],
                Err(DropReason::SourceRoute),
            ),
            (
                "strict source route",
                &[137, 7, 4, 1, 2, 3, 4, 0],
                Err(DropReason::SourceRoute),
            ),
            ("one behind NOPs", &[1, 131, 3, 4], Err(DropReason::SourceRoute)),
            ("length zero", &[7, 0, 0, 0], Err(DropReason::BadIpHeader)),
            ("length one", &[7, 1, 0, 0], Err(DropReason::BadIpHeader)),
            (
                "length beyond the header",
                &[7, 5, 4, 0],
                Err(DropReason::BadIpHeader),
            ),
            ("no length", &[1, 1, 1, 7], Err(DropReason::BadIpHeader)),
        ] {
            assert_eq!(verdict(&with_options(options)), expected, "{what}");
        }
        let frame = with_options(&[1; 40]);
        assert_eq!(parse_tcp(&frame).payload.of(&frame), b"abc");
    }

    #[test]
    fn ethernet_padding_is_no_payload() {
        let mut frame = tcp_v4_frame(&[], b"abc");
        frame.resize(60, 0xee);
        assert_eq!(parse_tcp(&frame).payload.of(&frame), b"abc");
        assert_eq!(
            (parse_tcp(&frame).ttl, parse_tcp(&frame).traffic_class),
            (57, 0x2e)
        );
    }
}
