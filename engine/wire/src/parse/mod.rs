//! Frames in, packets out. Any bytes at all are read; none can make it panic, and nothing is allocated.
//!
//! ```text
//!   StampedText        IPv4 and TCP with timestamps and text: read where it lies, never written down
//!   parse ─► common    nothing between IP and TCP, timestamps or no options: a look at constant places
//!      └───► ethernet ─► arp
//!                     ─► ipv4 ─► tcp ─► tcp_options        the same answers for every frame, and for all others
//!                     ─► ipv6 ─► udp, icmpv4, icmpv6 ─► neighbour
//!   objection            what is to be said of a packet that was refused
//! ```

mod arp;
mod checksum;
mod common;
mod ethernet;
#[cfg(test)]
mod icmp_tests;
mod icmpv4;
mod icmpv6;
mod ipv4;
mod ipv6;
mod neighbour;
mod objection;
mod quoted;
mod stamped;
mod tcp;
mod tcp_options;
mod udp;

use crate::address::Addresses;
use crate::protocol::{ether_type, ip};
use crate::{DropReason, FragmentPacket, Packet, PacketKind, Span};

pub use objection::{Objection, objection};
pub use stamped::StampedText;

/// What a port expects of the frames it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Expect {
    /// Who looks at IP, TCP and UDP checksums. Those of ICMP are always verified.
    pub checksum: ChecksumCheck,
    /// The VLAN that frames must be tagged with; `None`: frames must not be tagged.
    pub vlan: Option<u16>,
}

/// Who looks at IP, TCP and UDP checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChecksumCheck {
    /// They are verified here.
    #[default]
    Verify,
    /// As `Verify`, but a TCP or UDP checksum that is the bare pseudo-header sum is accepted too, and TCP reports it:
    /// the other end is this host's kernel.
    VerifyOrPartial,
    /// The port has found them right.
    Trust,
}

/// Reads one frame.
///
/// # Errors
/// The reason for which the frame has to be dropped.
pub fn parse(frame: &[u8], expect: &Expect) -> Result<Packet, DropReason> {
    let mut place = Err(DropReason::Truncated);
    parse_into(frame, expect, &mut place);
    place
}

/// Reads one frame into a place, as [`parse`] would tell it. Who uses a place again for the next segment saves moving it.
#[inline]
pub fn parse_into(frame: &[u8], expect: &Expect, place: &mut Result<Packet, DropReason>) {
    if !common::parse(frame, expect, place) {
        parse_uncommon(frame, expect, place);
    }
}

#[inline(never)]
fn parse_uncommon(frame: &[u8], expect: &Expect, place: &mut Result<Packet, DropReason>) {
    *place = parse_any(frame, expect);
}

/// The way for every frame; [`common`] only shortens it.
#[inline(never)]
fn parse_any(frame: &[u8], expect: &Expect) -> Result<Packet, DropReason> {
    let ethernet = ethernet::parse(frame, expect.vlan)?;
    let kind = match ethernet.ether_type {
        ether_type::IPV4 => parse_ip(&ipv4::parse(frame, ethernet.len, expect.checksum)?, expect)?,
        ether_type::IPV6 => parse_ip(&ipv6::parse(frame, ethernet.len)?, expect)?,
        ether_type::ARP => PacketKind::Arp(arp::parse(&frame[ethernet.len..])?),
        _ => return Err(DropReason::UnknownEtherType),
    };
    Ok(Packet {
        ether_source: ethernet.source,
        ether_destination: ethernet.destination,
        kind,
    })
}

/// What an IP header is followed by.
enum IpContent<'a> {
    /// A whole packet.
    Whole(IpPacket<'a>),
    /// A part of one.
    Fragment(FragmentPacket),
}

/// An IP packet up to its upper layer.
struct IpPacket<'a> {
    addresses: Addresses,
    ttl: u8,
    traffic_class: u8,
    /// The upper layer's protocol number.
    protocol: u8,
    /// A fragment header stands in it, though it is whole (RFC 6946).
    fragment_header: bool,
    /// The whole packet within the frame, without Ethernet padding.
    span: Span,
    /// Where the upper layer starts in the frame.
    upper_start: usize,
    /// The upper layer: header and payload.
    upper: &'a [u8],
}

impl IpPacket<'_> {
    /// A part of the upper layer from octet `from` to its end. At most 2¹⁶ octets, since an IP packet has no more.
    fn upper_from(&self, from: usize) -> Span {
        Span {
            start: (self.upper_start + from) as u16,
            len: self.upper.len().saturating_sub(from) as u16,
        }
    }
}

fn parse_ip(content: &IpContent<'_>, expect: &Expect) -> Result<PacketKind, DropReason> {
    match content {
        IpContent::Whole(packet) => parse_upper(packet, expect),
        IpContent::Fragment(fragment) => Ok(PacketKind::Fragment(*fragment)),
    }
}

fn parse_upper(packet: &IpPacket<'_>, expect: &Expect) -> Result<PacketKind, DropReason> {
    match (packet.protocol, packet.addresses) {
        (ip::TCP, _) => tcp::parse(packet, expect.checksum).map(PacketKind::Tcp),
        (ip::UDP, _) => udp::parse(packet, expect.checksum).map(PacketKind::Udp),
        (ip::ICMPV4, Addresses::V4(ends)) => icmpv4::parse(packet, ends).map(PacketKind::Icmpv4),
        (ip::ICMPV6, Addresses::V6(ends)) => icmpv6::parse(packet, ends).map(PacketKind::Icmpv6),
        _ => Err(DropReason::UnknownProtocol),
    }
}
