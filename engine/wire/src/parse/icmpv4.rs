//! ICMP over IPv4 (RFC 792, RFC 1122 §3.2.2, RFC 1191).

use std::net::Ipv4Addr;

use super::{IpPacket, quoted};
use crate::address::Ends;
use crate::octets::{be16, be32};
use crate::{DropReason, Echo, IcmpErrorKind, Icmpv4Message, Icmpv4Packet, Sum};

pub(super) fn parse(packet: &IpPacket<'_>, ends: Ends<Ipv4Addr>) -> Result<Icmpv4Packet, DropReason> {
    let (header, body) = packet
        .upper
        .split_first_chunk::<8>()
        .ok_or(DropReason::Truncated)?;
    if !Sum::of(packet.upper).is_right() {
        return Err(DropReason::BadIcmp);
    }
    let [kind, code, ..] = *header;
    let error = match (kind, code) {
        (ECHO_REQUEST, 0) => {
            return Ok(message(
                packet,
                ends,
                Icmpv4Message::EchoRequest(echo(packet, header)),
            ));
        }
        (ECHO_REPLY, 0) => {
            return Ok(message(
                packet,
                ends,
                Icmpv4Message::EchoReply(echo(packet, header)),
            ));
        }
        (UNREACHABLE, FRAGMENTATION_NEEDED) => IcmpErrorKind::PacketTooBig {
            mtu: u32::from(be16(header, 6)),
        },
        (UNREACHABLE, _) => IcmpErrorKind::Unreachable,
        (SOURCE_QUENCH, _) => IcmpErrorKind::SourceQuench,
        // RFC 1122 §3.2.2.4, §3.2.2.5: these two are for the transport as well.
        (TIME_EXCEEDED, _) => IcmpErrorKind::TimeExceeded,
        (PARAMETER_PROBLEM, _) => IcmpErrorKind::ParameterProblem {
            pointer: be32(header, 4) >> 24,
        },
        // RFC 1122 §3.2.2, §3.2.2.7: what is not known, and what hosts should not answer.
        _ => return Err(DropReason::IgnoredIcmp),
    };
    let error = quoted::parse_v4(body, error, code)?;
    Ok(message(packet, ends, Icmpv4Message::Error(error)))
}

fn message(packet: &IpPacket<'_>, ends: Ends<Ipv4Addr>, message: Icmpv4Message) -> Icmpv4Packet {
    Icmpv4Packet {
        source: ends.source,
        destination: ends.destination,
        ttl: packet.ttl,
        traffic_class: packet.traffic_class,
        message,
    }
}

/// Identifier, sequence number and payload, the same in both families.
pub(super) fn echo(packet: &IpPacket<'_>, header: &[u8; 8]) -> Echo {
    Echo {
        identifier: be16(header, 4),
        sequence: be16(header, 6),
        payload: packet.upper_from(8),
    }
}

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const SOURCE_QUENCH: u8 = 4;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
