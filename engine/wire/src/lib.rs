//! Frames in, typed headers out.
//!
//! What TCP and the engine share: the four-tuple, sequence numbers, time, checksums, the TCP header with its options, the
//! two payload traits, and the reasons for which a packet is dropped. Parsing never panics and never allocates; what is
//! wrong with a packet is a [`DropReason`], not an error.
//!
//! No NIC, no state, no policy: whether an address is ours, or a segment acceptable, is decided elsewhere.
#![forbid(unsafe_code)]

mod address;
mod drop_reason;
mod emit;
mod instant;
mod octets;
mod packet;
mod parse;
mod payload;
mod protocol;
mod seq;
mod sum;
mod tcp;
#[cfg(test)]
mod testing;
mod tuple;

pub use address::{
    ETHER_BROADCAST, Ends, EtherAddr, Link, ether_multicast_v6, is_group_destination, is_group_ether,
    is_valid_source, solicited_node,
};
pub use drop_reason::DropReason;
pub use emit::{
    EmitChecksum, Fragments, HeaderTemplate, IpFields, Refusal, STAMPED_HEADERS_LEN, SYN_HEADERS_LEN,
    StampedFields, SynOptions, build_arp_announcement, build_arp_reply, build_arp_request, build_icmp_error,
    build_icmpv4_echo_reply, build_icmpv4_port_unreachable, build_icmpv6_echo_reply,
    build_icmpv6_port_unreachable, build_neighbour_advertisement, build_neighbour_solicitation,
    build_whole_head, emit_stamped, emit_syn, emit_tcp, tcp_frame_header_len,
};
pub use instant::Instant;
pub use packet::{
    AdvertisementFlags, ArpOperation, ArpPacket, CE, ECN_MASK, ECT_0, Echo, FragmentKey, FragmentPacket,
    IcmpError, IcmpErrorKind, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet,
    NeighbourAdvertisement, NeighbourSolicitation, Packet, PacketKind, Span, TcpPacket, UdpPacket,
};
pub use parse::{ChecksumCheck, Expect, Objection, StampedText, objection, parse, parse_into};
pub use payload::{Payload, Received};
pub use seq::SeqNum;
pub use sum::Sum;
pub use tcp::{FastOpenCookie, MAX_SACK_BLOCKS, SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};
pub use tuple::{Family, FourTuple, TupleV4, TupleV6};
