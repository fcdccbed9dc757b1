//! The short path: an untagged frame with IPv4 without options and TCP with timestamps or without options.
//!
//! It reads constant places behind one length check, and answers exactly what the way for every frame would; what is
//! not of this shape, or is wrong in any way but its TCP checksum, is left to that.

use std::net::Ipv4Addr;

use super::checksum::{self, Accepted};
use super::{ChecksumCheck, Expect, tcp, tcp_options};
use crate::octets::{be16, be32, part};
use crate::protocol::{ETHER_LEN, IPV4_LEN, TCP_LEN, ether_type, ip, tcp_option};
use crate::{DropReason, FourTuple, Packet, PacketKind, Span, Sum, TcpOptions, TcpPacket, TupleV4};

#[inline]
pub(super) fn parse(frame: &[u8], expect: &Expect) -> Option<Result<Packet, DropReason>> {
    let head = frame.first_chunk::<HEAD>()?;
    let total_len = usize::from(be16(head, IPV4 + 2));
    let plain = be16(head, 12) == ether_type::IPV4
        && head[IPV4] == 0x45
        && be16(head, IPV4 + 6) & !DONT_FRAGMENT == 0
        && head[IPV4 + 9] == ip::TCP
        && expect.vlan.is_none();
    if !plain || total_len < HEAD - IPV4 {
        return None;
    }
    let segment = frame.get(TCP..IPV4 + total_len)?;
    let (header_len, options) = plain_options(head[TCP + 12], segment)?;
    let (source_port, destination_port) = (be16(head, TCP), be16(head, TCP + 2));
    let header_right =
        expect.checksum == ChecksumCheck::Trust || Sum::of(&part::<IPV4_LEN, _>(head, IPV4)).is_right();
    if source_port == 0 || destination_port == 0 || !header_right {
        return None;
    }
    let tuple = TupleV4 {
        local: Ipv4Addr::from(be32(head, IPV4 + 16)),
        remote: Ipv4Addr::from(be32(head, IPV4 + 12)),
        local_port: destination_port,
        remote_port: source_port,
    };
    let pseudo = Sum::pseudo_v4(tuple.remote, tuple.local, ip::TCP, segment.len() as u16);
    let Some(accepted) = checksum::accept(pseudo, segment, be16(head, TCP + 16), expect.checksum) else {
        return Some(Err(DropReason::BadTcpChecksum));
    };
    Some(Ok(Packet {
        ether_source: part(head, 6),
        ether_destination: part(head, 0),
        kind: PacketKind::Tcp(TcpPacket {
            tuple: FourTuple::V4(tuple),
            header: tcp::fields(&part::<TCP_LEN, _>(head, TCP), options),
            payload: Span {
                start: (TCP + header_len) as u16,
                len: (segment.len() - header_len) as u16,
            },
            ttl: head[IPV4 + 8],
            traffic_class: head[IPV4 + 1],
            partial_checksum: accepted == Accepted::Partial,
        }),
    }))
}

/// Length of a header without options, or with NOP NOP timestamps, and those.
#[inline]
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

const IPV4: usize = ETHER_LEN;
const TCP: usize = IPV4 + IPV4_LEN;
const HEAD: usize = TCP + TCP_LEN;
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
        assert!(!takes(&tcp_v6_frame(6, &[], b"")));
    }

    proptest! {
        // Fast path = slow path, for frames that are nearly common in every way.
        #[test]
        fn it_answers_as_the_way_for_every_frame_does(
            with_options in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((0..60usize, any::<u8>()), 0..3),
            cut in 0..4usize,
            trusted in any::<bool>(),
        ) {
            let options: &[u8] = if with_options { &STAMPS } else { &[] };
            let mut frame = tcp_v4_frame(options, &payload);
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
