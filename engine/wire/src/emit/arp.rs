//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use std::net::Ipv4Addr;

use super::{ether_len, put_ethernet};
use crate::address::ETHER_BROADCAST;
use crate::octets::Writer;
use crate::protocol::ether_type;
use crate::{EtherAddr, Link};

/// Asks who has `target`; `link` leads to all stations, or to one that is asked again. Returns the frame's length, `None`
/// when it does not fit.
pub fn build_arp_request(
    buffer: &mut [u8],
    link: &Link,
    sender: Ipv4Addr,
    target: Ipv4Addr,
) -> Option<usize> {
    build(buffer, link, REQUEST, sender, ([0; 6], target))
}

/// Tells the station that `link` leads to, whose address is `target`, that `sender` is here. Returns the frame's length,
/// `None` when it does not fit.
pub fn build_arp_reply(buffer: &mut [u8], link: &Link, sender: Ipv4Addr, target: Ipv4Addr) -> Option<usize> {
    build(buffer, link, REPLY, sender, (link.destination, target))
}

/// Tells all stations that `address` is at `source`, in the form of a request (RFC 5227 §3). Returns the frame's length,
/// `None` when it does not fit.
pub fn build_arp_announcement(
    buffer: &mut [u8],
    source: EtherAddr,
    vlan: Option<u16>,
    address: Ipv4Addr,
) -> Option<usize> {
    let link = Link {
        source,
        destination: ETHER_BROADCAST,
        vlan,
    };
    build_arp_request(buffer, &link, address, address)
}

fn build(
    buffer: &mut [u8],
    link: &Link,
    operation: u16,
    sender: Ipv4Addr,
    target: (EtherAddr, Ipv4Addr),
) -> Option<usize> {
    let len = ether_len(link.vlan) + ARP_LEN;
    let mut writer = Writer::new(buffer.get_mut(..len)?);
    put_ethernet(&mut writer, link, ether_type::ARP);
    writer.put_u16(HARDWARE_ETHERNET);
    writer.put_u16(ether_type::IPV4);
    writer.put([6, 4]);
    writer.put_u16(operation);
    writer.put(link.source);
    writer.put(sender.octets());
    writer.put(target.0);
    writer.put(target.1.octets());
    Some(writer.len())
}

const ARP_LEN: usize = 28;
const HARDWARE_ETHERNET: u16 = 1;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
