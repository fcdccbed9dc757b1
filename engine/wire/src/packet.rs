//! What a frame turned out to be: owned values without borrows, so that a whole burst is parsed before any is handled.
//!
//! Parts of the frame are named by [`Span`]; the frame itself stays in its buffer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::{EtherAddr, FourTuple, SeqNum, TcpHeader};

/// A frame that was parsed and found well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The station that sent the frame.
    pub ether_source: EtherAddr,
    /// The station or group that it is for.
    pub ether_destination: EtherAddr,
    /// What it carries.
    pub kind: PacketKind,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// A TCP segment.
    Tcp(TcpPacket),
    /// A UDP datagram.
    Udp(UdpPacket),
    /// An ARP request or reply.
    Arp(ArpPacket),
    /// An ICMP message over IPv4.
    Icmpv4(Icmpv4Packet),
    /// An ICMPv6 message, neighbour discovery among them.
    Icmpv6(Icmpv6Packet),
    /// A part of an IP packet, whatever that carries.
    Fragment(FragmentPacket),
}

/// A part of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Octets of the frame before it.
    pub start: u16,
    /// Its own octets.
    pub len: u16,
}

impl Span {
    /// As indices into the frame.
    #[inline]
    pub fn range(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.len)
    }

    /// The octets themselves; none when `frame` is not the frame that was parsed.
    #[inline]
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.range()).unwrap_or(&[])
    }
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPacket {
    /// The four-tuple as the receiver sees it: its local end is the packet's destination.
    pub tuple: FourTuple,
    /// The header with its options.
    pub header: TcpHeader,
    /// Where the payload lies; Ethernet padding is not part of it.
    pub payload: Span,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN as they stand in the IP header.
    pub traffic_class: u8,
    /// The checksum was only the pseudo-header sum, as a kernel peer leaves it.
    pub partial_checksum: bool,
}

impl TcpPacket {
    /// The network marked it: Congestion Experienced (RFC 3168 §5).
    #[inline]
    pub const fn is_marked(&self) -> bool {
        self.traffic_class & ECN_MASK == CE
    }
}

/// The two bits of the traffic class that are ECN's (RFC 3168 §5).
pub const ECN_MASK: u8 = 0b11;

/// ECN-capable transport: may be marked instead of dropped.
pub const ECT_0: u8 = 0b10;

/// Congestion Experienced.
pub const CE: u8 = 0b11;

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpPacket {
    /// The four-tuple as the receiver sees it. The remote port may be zero: then no answer is wanted.
    pub tuple: FourTuple,
    /// Where the payload lies.
    pub payload: Span,
    /// Where the IP packet lies, which a port-unreachable message quotes.
    pub ip: Span,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// A fragment of an IP packet (RFC 791 §3.2, RFC 8200 §4.5). One that is the whole packet is none (RFC 6946).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPacket {
    /// Of which packet.
    pub key: FragmentKey,
    /// Octets of the packet's fragmentable part before this one's; a multiple of eight.
    pub offset: u32,
    /// Others follow; then its own octets are a multiple of eight.
    pub more: bool,
    /// Where its part of the fragmentable part lies.
    pub payload: Span,
    /// Where the IP packet lies that carries it.
    pub ip: Span,
    /// Octets of the headers that each fragment has: the IPv4 header, or the IPv6 header with what stands before the fragment
    /// header.
    pub head_len: u16,
    /// IPv6: the octet of the head that named the fragment header.
    pub named_at: u16,
    /// What the fragmentable part begins with.
    pub next: u8,
    /// DSCP and ECN as they stand in the IP header.
    pub traffic_class: u8,
}

/// What the fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The sender's number for it.
    pub identification: u32,
    /// IPv4: the protocol (RFC 791 §2.3); IPv6: zero, for there it does not count (RFC 8200 §4.5).
    pub protocol: u8,
}

/// Which kind of ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The sender's Ethernet address as the packet says; never a group.
    pub sender_ether: EtherAddr,
    /// The sender's address; 0.0.0.0 in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// The target's Ethernet address; means nothing in a request.
    pub target_ether: EtherAddr,
    /// The target's address; the sender's own in an announcement.
    pub target: Ipv4Addr,
}

/// An ICMP message over IPv4 (RFC 792).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmpv4Packet {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Ipv4Addr,
    /// TTL.
    pub ttl: u8,
    /// DSCP and ECN as they stand in the IP header.
    pub traffic_class: u8,
    /// What it says.
    pub message: Icmpv4Message,
}

/// What an ICMP message over IPv4 says. Others are [`IgnoredIcmp`](crate::DropReason::IgnoredIcmp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Icmpv4Message {
    /// A request to answer.
    EchoRequest(Echo),
    /// An answer.
    EchoReply(Echo),
    /// An error about a TCP segment of ours.
    Error(IcmpError),
}

/// An ICMPv6 message (RFC 4443, RFC 4861).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmpv6Packet {
    /// Who sent it; unspecified only with a neighbour solicitation that looks for duplicates.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// Hop limit; 255 with neighbour discovery.
    pub hop_limit: u8,
    /// DSCP and ECN as they stand in the IP header.
    pub traffic_class: u8,
    /// What it says.
    pub message: Icmpv6Message,
}

/// What an ICMPv6 message says. Others, router messages among them, are
/// [`IgnoredIcmp`](crate::DropReason::IgnoredIcmp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Icmpv6Message {
    /// A request to answer.
    EchoRequest(Echo),
    /// An answer.
    EchoReply(Echo),
    /// An error about a TCP segment of ours.
    Error(IcmpError),
    /// Who has the target address?
    NeighbourSolicitation(NeighbourSolicitation),
    /// The target address is here.
    NeighbourAdvertisement(NeighbourAdvertisement),
}

/// What both echo messages carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Which series.
    pub identifier: u16,
    /// Which one of it.
    pub sequence: u16,
    /// Where the octets lie that are to come back unchanged.
    pub payload: Span,
}

/// An ICMP error about a TCP segment that we are said to have sent.
///
/// Anybody can write one: whether the segment is in flight is for TCP to say (RFC 5927).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What went wrong.
    pub kind: IcmpErrorKind,
    /// The code field as it stands; its meaning depends on family and kind.
    pub code: u8,
    /// The four-tuple of the segment as we see it: its local end is the quoted source.
    pub tuple: FourTuple,
    /// Sequence number of the segment.
    pub seq: SeqNum,
    /// Octets of the IP packet that was sent, as its header says.
    pub packet_len: u16,
}

/// What went wrong with a segment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrorKind {
    /// Destination unreachable; the code says why.
    Unreachable,
    /// Too large for a link (IPv4: fragmentation needed and DF set).
    PacketTooBig {
        /// The next hop's MTU; zero from routers older than RFC 1191.
        mtu: u32,
    },
    /// TTL or hop limit ran out, or reassembly took too long.
    TimeExceeded,
    /// A field of the header was not understood.
    ParameterProblem {
        /// Octet of the quoted packet at which it lies.
        pointer: u32,
    },
    /// Source quench (IPv4, obsolete).
    SourceQuench,
}

impl IcmpError {
    /// The error says that the destination does not take such segments at all, not that it can't be reached just now.
    ///
    /// RFC 9293 §3.9.2.2, SHLD-26: IPv4 codes 2 and 3 of unreachable, IPv6 codes 1 and 4. The third of IPv4's, code 4, is
    /// [`PacketTooBig`](IcmpErrorKind::PacketTooBig) and belongs to path MTU discovery. MUST-56: all others are soft.
    pub fn is_hard(&self) -> bool {
        match self.kind {
            IcmpErrorKind::Unreachable => match self.tuple {
                FourTuple::V4(_) => matches!(self.code, 2 | 3),
                FourTuple::V6(_) => matches!(self.code, 1 | 4),
            },
            IcmpErrorKind::PacketTooBig { .. }
            | IcmpErrorKind::TimeExceeded
            | IcmpErrorKind::ParameterProblem { .. }
            | IcmpErrorKind::SourceQuench => false,
        }
    }
}

/// Asks who has an address, or whether anybody has it (RFC 4861 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourSolicitation {
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The asker's Ethernet address; absent from a search for duplicates.
    pub source_link: Option<EtherAddr>,
}

/// Says where an address is (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourAdvertisement {
    /// The address that is told of.
    pub target: Ipv6Addr,
    /// Its Ethernet address.
    pub target_link: Option<EtherAddr>,
    /// The flags.
    pub flags: AdvertisementFlags,
}

/// Flags of a neighbour advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AdvertisementFlags {
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what is known.
    pub overrides: bool,
}

#[cfg(test)]
mod tests {
    use crate::testing::{parse_tcp, tcp_v4_frame};

    // proves: RFC 3168 §5
    #[test]
    fn of_the_four_codepoints_one_is_a_mark() {
        let mut packet = parse_tcp(&tcp_v4_frame(&[], b"x"));
        for (traffic_class, marked) in [
            (0, false),
            (1, false),
            (2, false),
            (3, true),
            (0xfc, false),
            (0xff, true),
        ] {
            packet.traffic_class = traffic_class;
            assert_eq!(packet.is_marked(), marked, "{traffic_class:#x}");
        }
    }
}
