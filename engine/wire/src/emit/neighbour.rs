//! Neighbour solicitation and advertisement (RFC 4861 §4.3, §4.4).

use std::net::Ipv6Addr;

use super::icmp::{Message, build_v6};
use super::ip::IpFields;
use crate::address::{Ends, is_group_ether, solicited_node};
use crate::{AdvertisementFlags, EtherAddr, Link};

/// Asks who has `target`. Returns the frame's length, `None` when it does not fit.
///
/// `link` leads to [`ether_multicast_v6`](crate::ether_multicast_v6) of the target's
/// [`solicited_node`](crate::solicited_node) group, or to the one station that is asked whether it is still there.
/// An unspecified `source` makes it a search for duplicates, which names no Ethernet address.
pub fn build_neighbour_solicitation(
    buffer: &mut [u8],
    link: &Link,
    source: Ipv6Addr,
    target: Ipv6Addr,
) -> Option<usize> {
    let destination = if is_group_ether(&link.destination) {
        solicited_node(target)
    } else {
        target
    };
    let body = body(target, SOURCE_LINK, link.source);
    let message = Message {
        kind: SOLICITATION,
        code: 0,
        rest: [0; 4],
        body: if source.is_unspecified() {
            &body[..16]
        } else {
            &body
        },
    };
    build_v6(buffer, link, &ON_LINK, Ends { source, destination }, &message)
}

/// Tells that `target` is at `link.source`. Returns the frame's length, `None` when it does not fit.
///
/// An answer goes to who asked, with `solicited`; to all nodes (ff02::1), without it, when the asker searched for
/// duplicates (RFC 4861 §7.2.4) or nobody asked.
pub fn build_neighbour_advertisement(
    buffer: &mut [u8],
    link: &Link,
    ends: Ends<Ipv6Addr>,
    target: Ipv6Addr,
    flags: AdvertisementFlags,
) -> Option<usize> {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let bits = flag(flags.router, 0x80) | flag(flags.solicited, 0x40) | flag(flags.overrides, 0x20);
    let message = Message {
        kind: ADVERTISEMENT,
        code: 0,
        rest: [bits, 0, 0, 0],
        body: &body(target, TARGET_LINK, link.source),
    };
    build_v6(buffer, link, &ON_LINK, ends, &message)
}

/// The target, and one option that holds an Ethernet address.
fn body(target: Ipv6Addr, option: u8, address: EtherAddr) -> [u8; 24] {
    let mut body = [0; 24];
    body[..16].copy_from_slice(&target.octets());
    (body[16], body[17]) = (option, 1);
    body[18..].copy_from_slice(&address);
    body
}

/// RFC 4861 §7.1: only hop limit 255 shows that no router passed it on.
const ON_LINK: IpFields = IpFields {
    ttl: 255,
    traffic_class: 0,
    identification: 0,
};
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
