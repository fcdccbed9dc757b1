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
