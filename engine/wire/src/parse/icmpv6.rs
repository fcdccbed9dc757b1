//! ICMPv6 (RFC 4443, RFC 8201).

use std::net::Ipv6Addr;

use super::{IpPacket, checksum, icmpv4, neighbour, quoted};
use crate::address::{Addresses, Ends};
use crate::octets::be32;
use crate::protocol::ip;
use crate::{DropReason, IcmpErrorKind, Icmpv6Message, Icmpv6Packet};

pub(super) fn parse(packet: &IpPacket<'_>, ends: Ends<Ipv6Addr>) -> Result<Icmpv6Packet, DropReason> {
    let (header, body) = packet
        .upper
        .split_first_chunk::<8>()
        .ok_or(DropReason::Truncated)?;
    let pseudo = checksum::pseudo(Addresses::V6(ends), ip::ICMPV6, packet.upper.len());
    if !pseudo.with(packet.upper).is_right() {
        return Err(DropReason::BadIcmp);
    }
    let message = match (header[0], header[1]) {
        (ECHO_REQUEST, 0) => Icmpv6Message::EchoRequest(icmpv4::echo(packet, header)),
        (ECHO_REPLY, 0) => Icmpv6Message::EchoReply(icmpv4::echo(packet, header)),
        (NEIGHBOUR_SOLICITATION, code) => {
            Icmpv6Message::NeighbourSolicitation(neighbour::solicitation(packet, ends, code)?)
        }
        (NEIGHBOUR_ADVERTISEMENT, code) => {
            Icmpv6Message::NeighbourAdvertisement(neighbour::advertisement(packet, ends, code)?)
        }
        (kind, code) => {
            // RFC 4443 §3.1, §3.2, §3.3, §3.4: all four errors are for the transport.
            let kind = match kind {
                UNREACHABLE => IcmpErrorKind::Unreachable,
                PACKET_TOO_BIG => IcmpErrorKind::PacketTooBig { mtu: be32(header, 4) },
                TIME_EXCEEDED => IcmpErrorKind::TimeExceeded,
                PARAMETER_PROBLEM => IcmpErrorKind::ParameterProblem {
                    pointer: be32(header, 4),
                },
                _ => return Err(DropReason::IgnoredIcmp),
            };
            Icmpv6Message::Error(quoted::parse_v6(body, kind, code)?)
        }
    };
    Ok(Icmpv6Packet {
        source: ends.source,
        destination: ends.destination,
        hop_limit: packet.ttl,
        traffic_class: packet.traffic_class,
        message,
    })
}

const UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
