//! The UDP header (RFC 768).

use super::{ChecksumCheck, IpPacket, checksum, tcp};
use crate::address::Addresses;
use crate::octets::be16;
use crate::protocol::{UDP_LEN, ip};
use crate::{DropReason, Span, UdpPacket};

pub(super) fn parse(packet: &IpPacket<'_>, check: ChecksumCheck) -> Result<UdpPacket, DropReason> {
    let header = packet
        .upper
        .first_chunk::<UDP_LEN>()
        .ok_or(DropReason::Truncated)?;
    let len = usize::from(be16(header, 4));
    let datagram = packet
        .upper
        .get(..len)
        .filter(|_| len >= UDP_LEN)
        .ok_or(DropReason::BadUdp)?;
    let (source_port, destination_port) = (be16(header, 0), be16(header, 2));
    if destination_port == 0 {
        return Err(DropReason::BadUdp);
    }
    let accepted = match (be16(header, 6), packet.addresses) {
        // RFC 768: zero means that the sender made none.
        (0, Addresses::V4(_)) => true,
        // RFC 8200 §8.1: over IPv6 there must be one.
        (0, Addresses::V6(_)) => false,
        (field, addresses) => {
            let pseudo = checksum::pseudo(addresses, ip::UDP, len);
            checksum::accept(pseudo, datagram, field, check).is_some()
        }
    };
    if !accepted {
        return Err(DropReason::BadUdp);
    }
    Ok(UdpPacket {
        tuple: tcp::tuple(packet.addresses, source_port, destination_port),
        payload: Span {
            start: packet.upper_from(UDP_LEN).start,
            len: (len - UDP_LEN) as u16,
        },
        ip: packet.span,
        ttl: packet.ttl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        PEER, PEER6, US, US6, ether, ipv4, ipv6, pseudo_v4, pseudo_v6, set_checksum, verdict,
    };
    use crate::{Expect, FourTuple, Packet, PacketKind, Sum};

    fn udp(ports: (u16, u16), len: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        for number in [ports.0, ports.1, len, 0] {
            datagram.extend(number.to_be_bytes());
        }
        datagram.extend(payload);
        datagram
    }

    fn v4(mut datagram: Vec<u8>) -> Vec<u8> {
        let len = usize::from(u16::from_be_bytes([datagram[4], datagram[5]])).min(datagram.len());
        set_checksum(&mut datagram[..len], 6, &pseudo_v4(17, len));
        ether(0x0800, &ipv4(&[], 0, 17, &datagram))
    }

    #[test]
    fn lengths_ports_and_checksums_are_checked() {
        let bad = Err(DropReason::BadUdp);
        let mut wrong = v4(udp((5, 6), 11, b"abc"));
        *wrong.last_mut().unwrap() ^= 1;
        let without = |mut frame: Vec<u8>, at: usize| {
            frame[at..at + 2].fill(0);
            frame
        };
        let mut over_v6 = udp((5, 6), 11, b"abc");
        set_checksum(&mut over_v6, 6, &pseudo_v6(PEER6, US6, 17, 11));
        let over_v6 = ether(0x86dd, &ipv6(PEER6, US6, 17, 64, &over_v6));
        for (what, frame, expected) in [
            ("a datagram", v4(udp((5, 6), 11, b"abc")), Ok(())),
            ("nothing in it", v4(udp((5, 6), 8, b"")), Ok(())),
            ("no answer wanted", v4(udp((0, 6), 11, b"abc")), Ok(())),
            ("destination port zero", v4(udp((5, 0), 11, b"abc")), bad),
            ("shorter than its packet", v4(udp((5, 6), 10, b"abc")), Ok(())),
            ("length beyond the packet", v4(udp((5, 6), 12, b"abc")), bad),
            ("wrong checksum", wrong, bad),
            (
                "no checksum over IPv4",
                without(v4(udp((5, 6), 11, b"abc")), 40),
                Ok(()),
            ),
            ("over IPv6", over_v6.clone(), Ok(())),
            ("no checksum over IPv6", without(over_v6, 60), bad),
        ] {
            assert_eq!(verdict(&frame), expected, "{what}");
        }
        let short = ether(0x0800, &ipv4(&[], 0, 17, &udp((5, 6), 7, b"abc")));
        assert_eq!(verdict(&short), bad, "length below the header");
        let cut = ether(0x0800, &ipv4(&[], 0, 17, &[0; 7]));
        assert_eq!(verdict(&cut), Err(DropReason::Truncated), "seven octets");
    }

    #[test]
    fn the_packet_is_found_for_quotation() {
        let frame = v4(udp((5, 6), 10, b"abc"));
        let Ok(Packet {
            kind: PacketKind::Udp(packet),
            ..
        }) = crate::parse(&frame, &Expect::default())
        else {
            panic!("not UDP");
        };
        assert_eq!(packet.payload.of(&frame), b"ab");
        assert_eq!(packet.ip.of(&frame), &frame[14..]);
        let ends = ((US, 6).into(), (PEER, 5).into());
        assert_eq!(Some(packet.tuple), FourTuple::new(ends.0, ends.1));
    }

    #[test]
    fn a_kernel_peer_leaves_udp_checksums_partial_too() {
        let mut frame = v4(udp((5, 6), 11, b"abc"));
        let partial = Sum::pseudo_v4(PEER, US, 17, 11).folded();
        frame[40..42].copy_from_slice(&partial.to_be_bytes());
        assert_eq!(verdict(&frame), Err(DropReason::BadUdp));
        let expect = Expect {
            checksum: ChecksumCheck::VerifyOrPartial,
            vlan: None,
        };
        assert!(crate::parse(&frame, &expect).is_ok());
    }
}
