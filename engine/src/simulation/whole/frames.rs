//! Frames as the world sees them: in words for the journal, counted for storms, and the router's word that one was too big.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fourtuple_wire::{ChecksumCheck, Expect, Packet, PacketKind, Sum, TcpFlags, parse};

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An acknowledgment and nothing else, or a probe.
    PureAck,
    /// Something that is to be acknowledged, or answered with a RST.
    Segment,
    Other,
}

pub(super) fn read(frame: &[u8]) -> Option<Packet> {
    let expect = Expect {
        checksum: ChecksumCheck::Trust,
        vlan: None,
    };
    parse(frame, &expect).ok()
}

pub(super) fn purpose(packet: Option<&Packet>) -> Purpose {
    match packet.map(|packet| &packet.kind) {
        Some(PacketKind::Tcp(segment)) => {
            let flags = segment.header.flags;
            let asks = segment.payload.len > 0 || flags.intersects(TcpFlags::SYN | TcpFlags::FIN);
            if asks {
                Purpose::Segment
            } else if flags.contains(TcpFlags::RST) {
                Purpose::Other
            } else {
                Purpose::PureAck
            }
        }
        _ => Purpose::Other,
    }
}

/// A frame in one line.
pub(super) fn describe(packet: Option<&Packet>, frame: &[u8]) -> String {
    match packet.map(|packet| &packet.kind) {
        Some(PacketKind::Tcp(segment)) => {
            let header = &segment.header;
            let options = &header.options;
            let mut line = format!(
                "{} > {} {:?} seq {} ack {} win {} len {}",
                segment.tuple.remote(),
                segment.tuple.local(),
                header.flags,
                header.seq.0,
                header.ack.0,
                header.window,
                segment.payload.len
            );
            if !options.sack.is_empty() {
                let blocks = options.sack.iter();
                let blocks: Vec<_> = blocks
                    .map(|block| format!("{}-{}", block.left.0, block.right.0))
                    .collect();
                line += &format!(" sack {}", blocks.join(","));
            }
            line
        }
        Some(PacketKind::Arp(arp)) => format!("ARP {:?} {} > {}", arp.operation, arp.sender, arp.target),
        Some(PacketKind::Icmpv4(icmp)) => {
            format!("ICMP {} > {} {:?}", icmp.source, icmp.destination, icmp.message)
        }
        Some(PacketKind::Icmpv6(icmp)) => {
            format!("ICMPv6 {} > {} {:?}", icmp.source, icmp.destination, icmp.message)
        }
        Some(PacketKind::Udp(_)) => "UDP".into(),
        Some(PacketKind::Fragment(_)) => "a fragment".into(),
        None => format!("a frame of {} bytes", frame.len()),
    }
}

/// What a router says of a packet that was too big for the way ahead (RFC 1191 §4, RFC 4443 §3.2): the frame for its sender.
///
/// The router speaks from the address that the packet was for: any would do.
pub(super) fn too_big(frame: &[u8], most: u16) -> Option<Vec<u8>> {
    let mut answer = Vec::with_capacity(128);
    answer.extend_from_slice(frame.get(6..12)?);
    answer.extend_from_slice(frame.get(..6)?);
    answer.extend_from_slice(frame.get(12..14)?);
    let packet = frame.get(14..)?;
    if frame.get(12..14)? == [0x08, 0x00] {
        // The header and eight octets.
        let quoted = packet.get(..28)?;
        let source = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?);
        let destination = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?);
        let mut icmp = vec![3, 4, 0, 0, 0, 0];
        icmp.extend_from_slice(&most.to_be_bytes());
        icmp.extend_from_slice(quoted);
        let sum = Sum::of(&icmp).checksum();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut header = vec![0x45, 0];
        header.extend_from_slice(&(20 + icmp.len() as u16).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0, 0, 64, 1, 0, 0]);
        header.extend_from_slice(&source.octets());
        header.extend_from_slice(&destination.octets());
        let sum = Sum::of(&header).checksum();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        answer.extend_from_slice(&header);
        answer.extend_from_slice(&icmp);
        return Some(answer);
    }
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?);
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?);
    let quoted = packet.get(..packet.len().min(200))?;
    let mut icmp = vec![2, 0, 0, 0];
    icmp.extend_from_slice(&u32::from(most).to_be_bytes());
    icmp.extend_from_slice(quoted);
    let pseudo = Sum::pseudo_v6(source, destination, 58, icmp.len() as u16);
    let sum = pseudo.with(&icmp).checksum();
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    answer.extend_from_slice(&[0x60, 0, 0, 0]);
    answer.extend_from_slice(&(icmp.len() as u16).to_be_bytes());
    answer.extend_from_slice(&[58, 64]);
    answer.extend_from_slice(&source.octets());
    answer.extend_from_slice(&destination.octets());
    answer.extend_from_slice(&icmp);
    Some(answer)
}

/// A number made of a frame's addresses, by which a port spreads frames: the same for all of a connection.
pub(super) fn spread_hash(frame: &[u8]) -> u32 {
    let octets = frame.get(26..42).unwrap_or(&[]);
    octets.iter().fold(2_166_136_261, |hash: u32, octet| {
        (hash ^ u32::from(*octet)).wrapping_mul(16_777_619)
    })
}

/// The two addresses of a link, `at` 1 for the hub's and 2 for the other's.
pub(super) fn ip(link: usize, at: u8, ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::new(0xfd00 + link as u16, 0, 0, 0, 0, 0, 0, u16::from(at)).into()
    } else {
        Ipv4Addr::new(10, link as u8, 0, at).into()
    }
}
