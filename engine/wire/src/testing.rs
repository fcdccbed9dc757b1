//! Frames for tests, put together octet by octet and independently of `emit`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{DropReason, Expect, Packet, PacketKind, TcpPacket};

pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const PEER6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const US6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const PEER_PORT: u16 = 50000;
pub(crate) const OUR_PORT: u16 = 80;

/// The internet checksum word by word, as RFC 1071 §4.1 spells it: the reference for [`Sum`](crate::Sum).
pub(crate) fn naive_sum(parts: &[&[u8]]) -> u16 {
    let mut bytes = parts.concat();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

pub(crate) fn set_checksum(bytes: &mut [u8], at: usize, pseudo: &[u8]) {
    bytes[at..at + 2].fill(0);
    let checksum = !naive_sum(&[pseudo, bytes]);
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

pub(crate) fn pseudo_v4(protocol: u8, len: usize) -> Vec<u8> {
    let mut pseudo = [PEER.octets(), US.octets()].concat();
    pseudo.extend([0, protocol]);
    pseudo.extend((len as u16).to_be_bytes());
    pseudo
}

pub(crate) fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, len: usize) -> Vec<u8> {
    let mut pseudo = [source.octets(), destination.octets()].concat();
    pseudo.extend((len as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, next]);
    pseudo
}

pub(crate) fn ether(ether_type: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(body);
    frame
}

/// An IPv4 packet from PEER to US whose header checksum is right.
pub(crate) fn ipv4(options: &[u8], flags_and_offset: u16, protocol: u8, upper: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0x2e];
    packet.extend(((header_len + upper.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(flags_and_offset.to_be_bytes());
    packet.extend([57, protocol, 0, 0]);
    packet.extend([PEER.octets(), US.octets()].concat());
    packet.extend(options);
    set_checksum(&mut packet, 10, &[]);
    packet.extend(upper);
    packet
}

/// An IPv6 packet from `source` to `destination`.
pub(crate) fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, ttl: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x62, 0xe1, 0x23, 0x45];
    packet.extend((rest.len() as u16).to_be_bytes());
    packet.extend([next, ttl]);
    packet.extend([source.octets(), destination.octets()].concat());
    packet.extend(rest);
    packet
}

/// A segment with ACK and PSH, its checksum still zero.
pub(crate) fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut segment = Vec::new();
    segment.extend(PEER_PORT.to_be_bytes());
    segment.extend(OUR_PORT.to_be_bytes());
    segment.extend([0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4]);
    segment.extend([
        ((20 + options.len()) / 4 * 16) as u8,
        0x18,
        0x12,
        0x34,
        0,
        0,
        0,
        7,
    ]);
    segment.extend(options);
    segment.extend(payload);
    segment
}

pub(crate) fn tcp_v4_frame(options: &[u8], payload: &[u8]) -> Vec<u8> {
    tcp_v4_frame_of(tcp(options, payload))
}

pub(crate) fn tcp_v4_frame_of(mut segment: Vec<u8>) -> Vec<u8> {
    let pseudo = pseudo_v4(6, segment.len());
    set_checksum(&mut segment, 16, &pseudo);
    ether(0x0800, &ipv4(&[], 0x4000, 6, &segment))
}

/// A segment over IPv6 behind `extensions`, of which the first is of kind `next`.
pub(crate) fn tcp_v6_frame(next: u8, extensions: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment = tcp(&[], payload);
    let pseudo = pseudo_v6(PEER6, US6, 6, segment.len());
    set_checksum(&mut segment, 16, &pseudo);
    let rest = [extensions, &segment].concat();
    ether(0x86dd, &ipv6(PEER6, US6, next, 57, &rest))
}

#[track_caller]
pub(crate) fn parse_tcp(frame: &[u8]) -> TcpPacket {
    match crate::parse(frame, &Expect::default()) {
        Ok(Packet {
            kind: PacketKind::Tcp(tcp),
            ..
        }) => tcp,
        other => panic!("not a TCP segment: {other:?}"),
    }
}

pub(crate) fn verdict(frame: &[u8]) -> Result<(), DropReason> {
    crate::parse(frame, &Expect::default()).map(drop)
}
