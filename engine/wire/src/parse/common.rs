//! The short path: an untagged frame with IPv4 or IPv6 and nothing between IP and TCP, TCP with timestamps or without
//! options.
//!
//! It reads constant places behind one length check, and answers exactly what the way for every frame would; what is
//! not of this shape, or is wrong in any way but its TCP checksum, is left to that.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum::{self, Accepted};
use super::{ChecksumCheck, Expect, tcp, tcp_options};
use crate::octets::{be16, be32, part};
use crate::protocol::{ETHER_LEN, IPV4_LEN, IPV6_LEN, TCP_LEN, ether_type, ip, tcp_option};
use crate::{
    DropReason, EtherAddr, FourTuple, Packet, PacketKind, Span, Sum, TcpOptions, TcpPacket, TupleV4, TupleV6,
};

#[inline]
pub(super) fn parse(frame: &[u8], expect: &Expect) -> Option<Result<Packet, DropReason>> {
    let ethernet = frame.first_chunk::<ETHER_LEN>()?;
    match be16(ethernet, 12) {
        _ if expect.vlan.is_some() => None,
        ether_type::IPV4 => parse_v4(frame, expect.checksum),
        ether_type::IPV6 => parse_v6(frame, expect.checksum),
        _ => None,
    }
}

#[inline]
fn parse_v4(frame: &[u8], check: ChecksumCheck) -> Option<Result<Packet, DropReason>> {
    const TCP: usize = IP + IPV4_LEN;
    let head = frame.first_chunk::<{ TCP + TCP_LEN }>()?;
    let plain = head[IP] == 0x45 && be16(head, IP + 6) & !DONT_FRAGMENT == 0 && head[IP + 9] == ip::TCP;
    let total_len = usize::from(be16(head, IP + 2));
    if !plain || total_len < IPV4_LEN + TCP_LEN {
        return None;
    }
    let segment = frame.get(TCP..IP + total_len)?;
    if check != ChecksumCheck::Trust && !ipv4_header_is_right(head) {
        return None;
    }
    let tuple = TupleV4 {
        local: Ipv4Addr::from(be32(head, IP + 16)),
        remote: Ipv4Addr::from(be32(head, IP + 12)),
        local_port: be16(head, TCP + 2),
        remote_port: be16(head, TCP),
    };
    let pseudo = Sum::pseudo_v4(tuple.remote, tuple.local, ip::TCP, segment.len() as u16);
    let (ttl, traffic_class) = (head[IP + 8], head[IP + 1]);
    let ether = (part(head, 6), part(head, 0));
    parse_segment(
        segment,
        TCP,
        FourTuple::V4(tuple),
        ether,
        (ttl, traffic_class),
        pseudo,
        check,
    )
}

/// The sum over the header's ten words, added as numbers of 32 bits (RFC 1071 §2(C)), is all ones.
#[inline(always)]
fn ipv4_header_is_right<const N: usize>(head: &[u8; N]) -> bool {
    let word = |at: usize| u64::from(be32(head, IP + at));
    let sum = word(0) + word(4) + word(8) + word(12) + word(16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff
}

#[inline]
fn parse_v6(frame: &[u8], check: ChecksumCheck) -> Option<Result<Packet, DropReason>> {
    const TCP: usize = IP + IPV6_LEN;
    let head = frame.first_chunk::<{ TCP + TCP_LEN }>()?;
    let payload_len = usize::from(be16(head, IP + 4));
    if head[IP] >> 4 != 6 || head[IP + 6] != ip::TCP || payload_len < TCP_LEN {
        return None;
    }
    let segment = frame.get(TCP..TCP + payload_len)?;
    let tuple = TupleV6 {
        local: Ipv6Addr::from(part::<16, _>(head, IP + 24)),
        remote: Ipv6Addr::from(part::<16, _>(head, IP + 8)),
        local_port: be16(head, TCP + 2),
        remote_port: be16(head, TCP),
    };
    let pseudo = Sum::pseudo_v6(tuple.remote, tuple.local, ip::TCP, segment.len() as u16);
    let (ttl, traffic_class) = (head[IP + 7], (head[IP] << 4) | (head[IP + 1] >> 4));
    let ether = (part(head, 6), part(head, 0));
    parse_segment(
        segment,
        TCP,
        FourTuple::V6(tuple),
        ether,
        (ttl, traffic_class),
        pseudo,
        check,
    )
}

/// The segment that starts at octet `start` of the frame; `ether` is source and destination, `ip` TTL and traffic class.
#[inline(always)]
fn parse_segment(
    segment: &[u8],
    start: usize,
    tuple: FourTuple,
    ether: (EtherAddr, EtherAddr),
    ip: (u8, u8),
    pseudo: Sum,
    check: ChecksumCheck,
) -> Option<Result<Packet, DropReason>> {
    let header = segment.first_chunk::<TCP_LEN>()?;
    let (header_len, options) = plain_options(header[12], segment)?;
    if tuple.local_port() == 0 || tuple.remote_port() == 0 {
        return None;
    }
    let Some(accepted) = checksum::accept(pseudo, segment, be16(header, 16), check) else {
        return Some(Err(DropReason::BadTcpChecksum));
    };
    // Made as one: each part by itself would be moved into the next.
    Some(Ok(Packet {
        ether_source: ether.0,
        ether_destination: ether.1,
        kind: PacketKind::Tcp(TcpPacket {
            tuple,
            header: tcp::fields(header, options),
            payload: Span {
                start: (start + header_len) as u16,
                len: (segment.len() - header_len) as u16,
            },
            ttl: ip.0,
            traffic_class: ip.1,
            partial_checksum: accepted == Accepted::Partial,
        }),
    }))
}

/// Length of a header without options, or with NOP NOP timestamps, and those.
#[inline(always)]
fn plain_options(offset: u8, segment: &[u8]) -> Option<(usize, TcpOptions)> {
    match offset >> 4 {
        5 => Some((TCP_LEN, TcpOptions::default())),
        8 => {
            let head = segment.first_chunk::<{ TCP_LEN + 12 }>()?;
            if be32(head, TCP_LEN) != NOP_NOP_TIMESTAMPS {
                return None;
            }
            let timestamps = tcp_options::timestamps(&part(head, TCP_LEN + 4));
            let options = TcpOptions {
                timestamps: Some(timestamps),
                ..TcpOptions::default()
            };
            Some((TCP_LEN + 12, options))
        }
        _ => None,
    }
}

/// Where the IP header starts.
const IP: usize = ETHER_LEN;
const DONT_FRAGMENT: u16 = 0x4000;
const NOP_NOP_TIMESTAMPS: u32 = u32::from_be_bytes([
    tcp_option::NO_OPERATION,
    tcp_option::NO_OPERATION,
    tcp_option::TIMESTAMPS,
    10,
]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::parse_any;
    use crate::testing::{tcp_v4_frame, tcp_v6_frame};

    const STAMPS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn it_takes_the_frames_it_is_meant_for_and_no_others() {
        let takes = |frame: &[u8]| super::parse(frame, &Expect::default()).is_some();
        assert!(takes(&tcp_v4_frame(&[], b"")));
        assert!(takes(&tcp_v4_frame(&STAMPS, b"payload")));
        assert!(!takes(&tcp_v4_frame(&[2, 4, 5, 0xb4], b"")));
        assert!(takes(&tcp_v6_frame(6, &[], b"payload")));
        assert!(!takes(&tcp_v6_frame(60, &[6, 0, 1, 4, 0, 0, 0, 0], b"")));
    }

    proptest! {
        // Fast path = slow path, for frames that are nearly common in every way.
        #[test]
        fn it_answers_as_the_way_for_every_frame_does(
            (v6, with_options) in any::<(bool, bool)>(),
            payload in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((0..80usize, any::<u8>()), 0..3),
            cut in 0..4usize,
            trusted in any::<bool>(),
        ) {
            let options: &[u8] = if with_options { &STAMPS } else { &[] };
            let mut frame = if v6 {
                tcp_v6_frame(6, &[], &payload)
            } else {
                tcp_v4_frame(options, &payload)
            };
            for (at, value) in changes {
                if let Some(octet) = frame.get_mut(at) {
                    *octet = value;
                }
            }
            frame.truncate(frame.len() - cut);
            let checksum = if trusted { ChecksumCheck::Trust } else { ChecksumCheck::VerifyOrPartial };
            let expect = Expect { checksum, vlan: None };
            if let Some(parsed) = super::parse(&frame, &expect) {
                prop_assert_eq!(parsed, parse_any(&frame, &expect));
            }
        }
    }
}
