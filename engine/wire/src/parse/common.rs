//! The short path: an untagged frame with IPv4 or IPv6 and nothing between IP and TCP, TCP with any options, and mostly with
//! timestamps or none.
//!
//! It reads constant places behind one length check, and answers exactly what the way for every frame would; what is
//! not of this shape, or is wrong in any way but its TCP checksum, is left to that.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum::{self, Accepted};
use super::{ChecksumCheck, Expect, tcp_options};
use crate::octets::{be16, be32, part};
use crate::protocol::{ETHER_LEN, IPV4_LEN, IPV6_LEN, TCP_LEN, ether_type, ip, tcp_option};
use crate::sum::fold;
use crate::{
    DropReason, EtherAddr, FourTuple, Packet, PacketKind, SeqNum, Span, Sum, TcpFlags, TcpHeader, TcpPacket,
    TupleV4, TupleV6,
};

/// Reads a frame of this shape into `place`; `false`, and what stands there means nothing, when it is of another.
///
/// A place that held a segment before is written over field by field: a packet is too large to be moved about.
#[inline]
pub(super) fn parse(frame: &[u8], expect: &Expect, place: &mut Result<Packet, DropReason>) -> bool {
    let Some(ethernet) = frame.first_chunk::<ETHER_LEN>() else {
        return false;
    };
    if expect.vlan.is_some() {
        return false;
    }
    let read = match be16(ethernet, 12) {
        ether_type::IPV4 => parse_v4(frame, expect.checksum, place),
        ether_type::IPV6 => parse_v6(frame, expect.checksum, place),
        _ => None,
    };
    read.is_some()
}

#[inline(always)]
fn parse_v4(frame: &[u8], check: ChecksumCheck, place: &mut Result<Packet, DropReason>) -> Option<()> {
    const TCP: usize = IP + IPV4_LEN;
    let head = frame.first_chunk::<{ TCP + TCP_LEN }>()?;
    let plain = head[IP] == 0x45 && be16(head, IP + 6) & !DONT_FRAGMENT == 0 && head[IP + 9] == ip::TCP;
    let total_len = usize::from(be16(head, IP + 2));
    if !plain || total_len < IPV4_LEN + TCP_LEN {
        return None;
    }
    let segment = frame.get(TCP..IP + total_len)?;
    // As numbers in the machine's own order, until they are written.
    let remote = u32::from_ne_bytes(part(head, IP + 12));
    let local = u32::from_ne_bytes(part(head, IP + 16));
    if check != ChecksumCheck::Trust && !ipv4_header_is_right(head) {
        return None;
    }
    let (local_port, remote_port) = (be16(head, TCP + 2), be16(head, TCP));
    if local_port == 0 || remote_port == 0 {
        return None;
    }
    let pseudo = Sum::pseudo_of_words(remote, local, ip::TCP, segment.len() as u16);
    let accepted = match accept(pseudo, segment, check)? {
        Ok(accepted) => accepted,
        Err(reason) => {
            *place = Err(reason);
            return Some(());
        }
    };
    let found = Found {
        ether_source: part(head, 6),
        ether_destination: part(head, 0),
        ttl: head[IP + 8],
        traffic_class: head[IP + 1],
        partial_checksum: accepted == Accepted::Partial,
    };
    let tuple = TupleV4 {
        local: Ipv4Addr::from(local.to_ne_bytes()),
        remote: Ipv4Addr::from(remote.to_ne_bytes()),
        local_port,
        remote_port,
    };
    put(segment, TCP, FourTuple::V4(tuple), &found, place)
}

/// The sum over the header's ten words, added as numbers of 32 bits (RFC 1071 §2(C)) in the machine's own order, is all ones.
#[inline(always)]
fn ipv4_header_is_right<const N: usize>(head: &[u8; N]) -> bool {
    let word = |at: usize| u64::from(u32::from_ne_bytes(part(head, IP + at)));
    fold(word(0) + word(4) + word(8) + word(12) + word(16)) == 0xffff
}

#[inline(never)]
fn parse_v6(frame: &[u8], check: ChecksumCheck, place: &mut Result<Packet, DropReason>) -> Option<()> {
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
    if tuple.local_port == 0 || tuple.remote_port == 0 {
        return None;
    }
    let pseudo = Sum::pseudo_v6(tuple.remote, tuple.local, ip::TCP, segment.len() as u16);
    let accepted = match accept(pseudo, segment, check)? {
        Ok(accepted) => accepted,
        Err(reason) => {
            *place = Err(reason);
            return Some(());
        }
    };
    let found = Found {
        ether_source: part(head, 6),
        ether_destination: part(head, 0),
        ttl: head[IP + 7],
        traffic_class: (head[IP] << 4) | (head[IP + 1] >> 4),
        partial_checksum: accepted == Accepted::Partial,
    };
    put(segment, TCP, FourTuple::V6(tuple), &found, place)
}

/// What stands outside of the segment, or was found out about it.
struct Found {
    ether_source: EtherAddr,
    ether_destination: EtherAddr,
    ttl: u8,
    traffic_class: u8,
    partial_checksum: bool,
}

/// What its checksum turned out to be, if the segment is of this shape.
#[inline(always)]
fn accept(pseudo: Sum, segment: &[u8], check: ChecksumCheck) -> Option<Result<Accepted, DropReason>> {
    let header = segment.first_chunk::<TCP_LEN>()?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < TCP_LEN || header_len > segment.len() {
        return None;
    }
    let accepted = checksum::accept(pseudo, segment, be16(header, 16), check);
    Some(accepted.ok_or(DropReason::BadTcpChecksum))
}

/// Writes the segment that starts at octet `start` of the frame.
#[inline(always)]
fn put(
    segment: &[u8],
    start: usize,
    tuple: FourTuple,
    found: &Found,
    place: &mut Result<Packet, DropReason>,
) -> Option<()> {
    if !matches!(
        place,
        Ok(Packet {
            kind: PacketKind::Tcp(_),
            ..
        })
    ) {
        make_room(tuple, place);
    }
    let Ok(packet) = place else { return None };
    let PacketKind::Tcp(tcp) = &mut packet.kind else {
        return None;
    };
    let header = segment.first_chunk::<TCP_LEN>()?;
    let header_len = usize::from(header[12] >> 4) * 4;
    packet.ether_source = found.ether_source;
    packet.ether_destination = found.ether_destination;
    tcp.tuple = tuple;
    tcp.header.seq = SeqNum(be32(header, 4));
    tcp.header.ack = SeqNum(be32(header, 8));
    tcp.header.flags = TcpFlags(header[13]);
    tcp.header.window = be16(header, 14);
    tcp.header.urgent = be16(header, 18);
    let options = &mut tcp.header.options;
    options.mss = None;
    options.window_scale = None;
    options.sack_permitted = false;
    options.timestamps = None;
    options.sack.clear();
    options.fast_open = None;
    if header_len > TCP_LEN {
        let list = segment.get(TCP_LEN..header_len)?;
        match list.first_chunk::<12>() {
            Some(stamps) if list.len() == 12 && be32(stamps, 0) == NOP_NOP_TIMESTAMPS => {
                options.timestamps = Some(tcp_options::timestamps(&part(stamps, 4)));
            }
            Some(_) | None => tcp_options::read(list, options),
        }
    }
    tcp.payload = Span {
        start: (start + header_len) as u16,
        len: (segment.len() - header_len) as u16,
    };
    tcp.ttl = found.ttl;
    tcp.traffic_class = found.traffic_class;
    tcp.partial_checksum = found.partial_checksum;
    Some(())
}

/// A segment stands there from now on, whatever it says.
#[cold]
fn make_room(tuple: FourTuple, place: &mut Result<Packet, DropReason>) {
    *place = Ok(Packet {
        ether_source: EtherAddr::default(),
        ether_destination: EtherAddr::default(),
        kind: PacketKind::Tcp(TcpPacket {
            tuple,
            header: TcpHeader::default(),
            payload: Span::default(),
            ttl: 0,
            traffic_class: 0,
            partial_checksum: false,
        }),
    });
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
    const SYN_OF_LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7];

    #[test]
    fn it_takes_the_frames_it_is_meant_for_and_no_others() {
        let takes = |frame: &[u8]| {
            let mut place = Err(DropReason::Truncated);
            super::parse(frame, &Expect::default(), &mut place)
        };
        assert!(takes(&tcp_v4_frame(&[], b"")));
        assert!(takes(&tcp_v4_frame(&STAMPS, b"payload")));
        assert!(takes(&tcp_v4_frame(&[2, 4, 5, 0xb4], b"")));
        assert!(!takes(&[&[0; 12][..], &[0x08, 0x06], &[0; 60]].concat()));
        assert!(takes(&tcp_v6_frame(6, &[], b"")));
        assert!(takes(&tcp_v6_frame(6, &[], b"payload")));
        assert!(!takes(&tcp_v6_frame(60, &[6, 0, 1, 4, 0, 0, 0, 0], b"")));
    }

    // proves: RFC 1122 §3.2.1.2 (also on the short way)
    #[test]
    fn no_octet_of_a_frame_leads_the_two_ways_apart() {
        const ONE_BLOCK: [u8; 12] = [1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9];
        let frames = [
            tcp_v4_frame(&[], b""),
            tcp_v4_frame(&STAMPS, b"payload"),
            tcp_v4_frame(&SYN_OF_LINUX, b""),
            tcp_v4_frame(&ONE_BLOCK, b"x"),
            tcp_v6_frame(6, &[], b""),
            tcp_v6_frame(6, &[], b"payload"),
        ];
        for checksum in [ChecksumCheck::Verify, ChecksumCheck::Trust] {
            let expect = Expect { checksum, vlan: None };
            for frame in &frames {
                for (at, value) in (0..frame.len()).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value)))
                {
                    let mut changed = frame.clone();
                    changed[at] = value;
                    let mut place = Err(DropReason::Truncated);
                    if super::parse(&changed, &expect, &mut place) {
                        assert_eq!(place, parse_any(&changed, &expect), "octet {at} is {value:#x}");
                    }
                }
            }
        }
    }

    proptest! {
        // Fast path = slow path, for frames that are nearly common in every way.
        #[test]
        fn it_answers_as_the_way_for_every_frame_does(
            (v6, options) in any::<(bool, u8)>(),
            payload in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((0..80usize, any::<u8>()), 0..3),
            cut in 0..4usize,
            before in 0..4u8,
            trusted in any::<bool>(),
        ) {
            let options: &[u8] = match options % 4 {
                0 => &[],
                1 => &STAMPS,
                2 => &SYN_OF_LINUX,
                _ => &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1, 1, 3],
            };
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
            // Whatever stood in the place before.
            let before = match before {
                0 => Err(DropReason::Truncated),
                1 => parse_any(&tcp_v4_frame(&[2, 4, 5, 0xb4, 4, 2, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8], b"x"), &expect),
                2 => parse_any(&tcp_v6_frame(6, &[], b"x"), &expect),
                _ => parse_any(&tcp_v4_frame(&STAMPS, b"x"), &expect),
            };
            let mut place = before;
            if super::parse(&frame, &expect, &mut place) {
                prop_assert_eq!(place, parse_any(&frame, &expect));
            }
        }
    }
}
