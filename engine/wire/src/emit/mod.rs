//! Packets out: headers are written into a buffer that the caller measured before.
//!
//! Nothing here allocates or panics. IPv4 packets carry DF and IPv6 packets no extension headers, but for [`Fragments`].

mod arp;
mod common;
mod fragments;
mod icmp;
mod ip;
mod neighbour;
mod tcp;
mod tcp_options;
mod template;

pub use arp::{build_arp_announcement, build_arp_reply, build_arp_request};
pub use common::{STAMPED_HEADERS_LEN, SYN_HEADERS_LEN, StampedFields, SynOptions, emit_stamped, emit_syn};
pub use fragments::{Fragments, build_whole_head};
pub use icmp::{
    Refusal, build_icmp_error, build_icmpv4_echo_reply, build_icmpv4_port_unreachable,
    build_icmpv6_echo_reply, build_icmpv6_port_unreachable,
};
pub use ip::IpFields;
pub use neighbour::{build_neighbour_advertisement, build_neighbour_solicitation};
pub use tcp::{EmitChecksum, emit_tcp, tcp_frame_header_len};
pub use template::HeaderTemplate;

use crate::octets::Writer;
use crate::protocol::{ETHER_LEN, VLAN_TAG_LEN, ether_type};
use crate::{Link, Sum};

/// Puts the checksum into an IPv4 header that is written but for it.
fn put_head_v4_sum(header: &mut [u8]) {
    if let Some(place) = header.get_mut(10..12) {
        place.fill(0);
        let checksum = Sum::of(header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Octets of the Ethernet header with its tag.
#[inline]
const fn ether_len(vlan: Option<u16>) -> usize {
    match vlan {
        Some(_) => ETHER_LEN + VLAN_TAG_LEN,
        None => ETHER_LEN,
    }
}

#[inline]
fn put_ethernet(writer: &mut Writer<'_>, link: &Link, ether_type: u16) {
    writer.put(link.destination);
    writer.put(link.source);
    if let Some(vlan) = link.vlan {
        writer.put_u16(ether_type::VLAN);
        writer.put_u16(vlan & 0x0fff);
    }
    writer.put_u16(ether_type);
}
