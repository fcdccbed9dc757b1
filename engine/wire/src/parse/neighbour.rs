//! Neighbour discovery: the two messages that resolve addresses, checked as RFC 4861 §7.1 asks.

use std::net::Ipv6Addr;

use super::IpPacket;
use crate::address::{Ends, is_group_ether, solicited_node};
use crate::octets::part;
use crate::{AdvertisementFlags, DropReason, EtherAddr, NeighbourAdvertisement, NeighbourSolicitation};

pub(super) fn solicitation(
    packet: &IpPacket<'_>,
    ends: Ends<Ipv6Addr>,
    code: u8,
) -> Result<NeighbourSolicitation, DropReason> {
    let (fixed, target) = fixed(packet, code)?;
    let source_link = link_option(fixed.1, SOURCE_LINK)?;
    // RFC 4861 §7.1.1: a search for duplicates goes to the solicited-node group and names no Ethernet address.
    if ends.source.is_unspecified() && (source_link.is_some() || ends.destination != solicited_node(target)) {
        return Err(DropReason::BadNeighbourDiscovery);
    }
    Ok(NeighbourSolicitation { target, source_link })
}

pub(super) fn advertisement(
    packet: &IpPacket<'_>,
    ends: Ends<Ipv6Addr>,
    code: u8,
) -> Result<NeighbourAdvertisement, DropReason> {
    let ((header, options), target) = fixed(packet, code)?;
    let flags = AdvertisementFlags {
        router: header[4] & ROUTER != 0,
        solicited: header[4] & SOLICITED != 0,
        overrides: header[4] & OVERRIDE != 0,
    };
    // RFC 4861 §7.1.2: nobody solicited what goes to a group.
    if flags.solicited && ends.destination.is_multicast() {
        return Err(DropReason::BadNeighbourDiscovery);
    }
    Ok(NeighbourAdvertisement {
        target,
        target_link: link_option(options, TARGET_LINK)?,
        flags,
    })
}

/// ICMPv6 header with target, and what stands behind.
type Fixed<'a> = (&'a [u8; 24], &'a [u8]);

fn fixed<'a>(packet: &IpPacket<'a>, code: u8) -> Result<(Fixed<'a>, Ipv6Addr), DropReason> {
    let fixed = packet.upper.split_first_chunk::<24>();
    let fixed = fixed.ok_or(DropReason::BadNeighbourDiscovery)?;
    let target = Ipv6Addr::from(part::<16, _>(fixed.0, 8));
    // RFC 4861 §7.1: a hop limit below 255 tells that a router has passed it on. RFC 6980 §5: none comes in fragments, be it one.
    if packet.ttl != 255 || code != 0 || target.is_multicast() || packet.fragment_header {
        return Err(DropReason::BadNeighbourDiscovery);
    }
    Ok((fixed, target))
}

/// The Ethernet address in the first option of kind `wanted`; options of other kinds are skipped.
fn link_option(mut options: &[u8], wanted: u8) -> Result<Option<EtherAddr>, DropReason> {
    let mut found = None;
    while !options.is_empty() {
        let [kind, units, ..] = *options else {
            return Err(DropReason::BadNeighbourDiscovery);
        };
        // RFC 4861 §7.1: an option of length zero spoils the whole message.
        let (option, behind) = options
            .split_at_checked(usize::from(units) * 8)
            .filter(|_| units > 0)
            .ok_or(DropReason::BadNeighbourDiscovery)?;
        if kind == wanted && found.is_none() {
            let address = option.first_chunk::<8>().map(|option| part(option, 2));
            found = address.filter(|address| !is_group_ether(address));
        }
        options = behind;
    }
    Ok(found)
}

const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
