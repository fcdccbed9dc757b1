//! The TCP header (RFC 9293 §3.1).

use super::checksum::{self, Accepted};
use super::{ChecksumCheck, IpPacket, tcp_options};
use crate::address::Addresses;
use crate::octets::{be16, be32};
use crate::protocol::{TCP_LEN, ip};
use crate::{DropReason, FourTuple, SeqNum, TcpFlags, TcpHeader, TcpOptions, TcpPacket, TupleV4, TupleV6};

pub(super) fn parse(packet: &IpPacket<'_>, check: ChecksumCheck) -> Result<TcpPacket, DropReason> {
    let segment = packet.upper;
    let header = segment.first_chunk::<TCP_LEN>().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    let options = segment.get(TCP_LEN..header_len).ok_or(DropReason::BadTcpHeader)?;
    let (source_port, destination_port) = (be16(header, 0), be16(header, 2));
    if source_port == 0 || destination_port == 0 {
        return Err(DropReason::BadTcpHeader);
    }
    // RFC 9293 §3.1, MUST-3: the receiver checks the checksum of every segment.
    let pseudo = checksum::pseudo(packet.addresses, ip::TCP, segment.len());
    let accepted = checksum::accept(pseudo, segment, be16(header, 16), check);
    let accepted = accepted.ok_or(DropReason::BadTcpChecksum)?;
    Ok(TcpPacket {
        tuple: tuple(packet.addresses, source_port, destination_port),
        header: fields(header, tcp_options::parse(options)),
        payload: packet.upper_from(header_len),
        ttl: packet.ttl,
        traffic_class: packet.traffic_class,
        partial_checksum: accepted == Accepted::Partial,
    })
}

/// The four-tuple as the receiver sees it.
pub(super) fn tuple(addresses: Addresses, source_port: u16, destination_port: u16) -> FourTuple {
    match addresses {
        Addresses::V4(ends) => FourTuple::V4(TupleV4 {
            local: ends.destination,
            remote: ends.source,
            local_port: destination_port,
            remote_port: source_port,
        }),
        Addresses::V6(ends) => FourTuple::V6(TupleV6 {
            local: ends.destination,
            remote: ends.source,
            local_port: destination_port,
            remote_port: source_port,
        }),
    }
}

/// The fixed fields. Reserved bits are not looked at (RFC 9293 §3.1).
#[inline]
pub(super) fn fields(header: &[u8; TCP_LEN], options: TcpOptions) -> TcpHeader {
    TcpHeader {
        seq: SeqNum(be32(header, 4)),
        ack: SeqNum(be32(header, 8)),
        flags: TcpFlags(header[13]),
        window: be16(header, 14),
        urgent: be16(header, 18),
        options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        OUR_PORT, PEER, PEER_PORT, US, parse_tcp, tcp, tcp_v4_frame, tcp_v4_frame_of, tcp_v6_frame, verdict,
    };
    use crate::{Expect, Span, Sum};

    // proves: RFC 9293 MUST-5
    #[test]
    fn every_field_arrives() {
        let frame = tcp_v4_frame(&[2, 4, 5, 0xb4], b"payload");
        let packet = parse_tcp(&frame);
        let expected = TupleV4 {
            local: US,
            remote: PEER,
            local_port: OUR_PORT,
            remote_port: PEER_PORT,
        };
        assert_eq!(packet.tuple, FourTuple::V4(expected));
        assert_eq!(packet.header.seq, SeqNum(0xffff_fffe));
        assert_eq!(packet.header.ack, SeqNum(0x0102_0304));
        assert_eq!(packet.header.flags, TcpFlags::PSH | TcpFlags::ACK);
        assert_eq!((packet.header.window, packet.header.urgent), (0x1234, 7));
        assert_eq!(packet.header.options.mss, Some(1460));
        assert_eq!(packet.payload, Span { start: 58, len: 7 });
        assert!(!packet.partial_checksum);
    }

    #[test]
    fn data_offset_and_ports_are_checked() {
        for (what, at, value, expected) in [
            ("as it is", 12, 0x50, Ok(())),
            ("reserved bits", 12, 0x5f, Ok(())),
            ("data offset 4", 12, 0x40, Err(DropReason::BadTcpHeader)),
            ("data offset 0", 12, 0x00, Err(DropReason::BadTcpHeader)),
            (
                "data offset beyond the segment",
                12,
                0x70,
                Err(DropReason::BadTcpHeader),
            ),
            ("data offset over the whole payload", 12, 0x60, Ok(())),
        ] {
            let mut segment = tcp(&[], b"four");
            segment[at] = value;
            assert_eq!(verdict(&tcp_v4_frame_of(segment)), expected, "{what}");
        }
        for at in [0, 2] {
            let mut segment = tcp(&[], b"four");
            segment[at..at + 2].fill(0);
            assert_eq!(
                verdict(&tcp_v4_frame_of(segment)),
                Err(DropReason::BadTcpHeader),
                "port zero"
            );
        }
    }

    // proves: RFC 9293 MUST-3
    #[test]
    fn every_bit_of_a_segment_is_under_its_checksum() {
        for (frame, start) in [
            (tcp_v4_frame(&[1, 1, 1, 0], b"odd"), 34),
            (tcp_v6_frame(6, &[], b"even"), 54),
        ] {
            for bit in start * 8..frame.len() * 8 {
                let mut wrong = frame.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    matches!(
                        verdict(&wrong),
                        Err(DropReason::BadTcpChecksum | DropReason::BadTcpHeader)
                    ),
                    "bit {bit}"
                );
            }
        }
    }

    // proves: RFC 9293 MUST-3 (the pseudo-header is under it too)
    #[test]
    fn a_segment_that_came_to_another_address_is_refused() {
        let mut frame = tcp_v6_frame(6, &[], b"x");
        frame[14 + 39] ^= 1;
        assert_eq!(verdict(&frame), Err(DropReason::BadTcpChecksum));
    }

    #[test]
    fn a_partial_checksum_is_accepted_only_from_a_kernel_peer() {
        let segment = tcp(&[], b"from the kernel");
        let pseudo = Sum::pseudo_v4(PEER, US, 6, segment.len() as u16).folded();
        let mut partial = tcp_v4_frame(&[], b"from the kernel");
        partial[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let whole = tcp_v4_frame(&[], b"from the kernel");
        let mut wrong = whole.clone();
        wrong[50] ^= 1;
        use ChecksumCheck::{Trust, Verify, VerifyOrPartial};
        for (what, frame, checksum, expected) in [
            ("partial, verified", &partial, Verify, None),
            (
                "partial, from a kernel peer",
                &partial,
                VerifyOrPartial,
                Some(true),
            ),
            ("partial, port verified", &partial, Trust, Some(false)),
            ("whole, from a kernel peer", &whole, VerifyOrPartial, Some(false)),
            ("wrong, from a kernel peer", &wrong, VerifyOrPartial, None),
            ("wrong, port verified", &wrong, Trust, Some(false)),
        ] {
            let expect = Expect { checksum, vlan: None };
            let partial = match crate::parse(frame, &expect).map(|packet| packet.kind) {
                Ok(crate::PacketKind::Tcp(tcp)) => Some(tcp.partial_checksum),
                Ok(other) => panic!("{other:?}"),
                Err(reason) => {
                    assert_eq!(reason, DropReason::BadTcpChecksum);
                    None
                }
            };
            assert_eq!(partial, expected, "{what}");
        }
    }
}
