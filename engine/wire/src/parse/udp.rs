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
