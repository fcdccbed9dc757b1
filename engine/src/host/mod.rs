//! What this machine owes the link beside TCP: ARP, neighbour discovery, echo, ICMP errors.
//!
//! Sans-IO: a parsed packet and the time in, a verdict and at most one frame out; nothing here knows a NIC, a thread or a
//! clock, and nothing allocates after the start. Every worker has a [`Host`] for the checks and the rates; worker 0 alone
//! asks the link ([`Neighbours::poll`] → [`Host::build_solicit`]) and tells the others what it learned.
//!
//! ```text
//!   packet ─► Host::answer ─┬─ verdict            counted by the shard
//!                           ├─ reply              a frame in `out`
//!                           ├─ learned ─────────► Neighbours::learn ─► poll_ready, message to the other workers
//!                           └─ icmp_error ──────► owner of its four-tuple
//! ```
//!
//! [`Reassembler`] puts packets together from their fragments.
//!
//! RFC 826, 5227 (ARP), 792, 1122 §3.2.2 (ICMP), 4443 (ICMPv6), 4861 §7 (neighbour discovery; no router discovery: the
//! gateway is configured).

mod addresses;
mod announce;
mod answer;
mod conflicts;
mod learned;
mod neighbours;
mod objection;
mod rate_limit;
mod reassembly;
mod waiting;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use fourtuple_wire::{
    ETHER_BROADCAST, EtherAddr, Link, build_arp_request, build_neighbour_solicitation, ether_multicast_v6,
    solicited_node,
};

pub(crate) use addresses::{Addresses, route};
pub(crate) use learned::{Learned, Origin};
pub(crate) use neighbours::{Hop, NeighbourCounts, Neighbours, Resolution, Solicit};
pub(crate) use objection::{Refused, may_ask_for_an_error};
pub(crate) use rate_limit::{RateLimits, Rates};
pub(crate) use reassembly::{Added, FRAMES as REASSEMBLED_FRAMES, PacketPlace, Reassembler};

/// This machine as the link sees it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Who we are.
    pub(crate) addresses: Addresses,
    /// How much we answer.
    pub(crate) limits: RateLimits,
    vlan: Option<u16>,
    announcements: announce::Announcements,
    /// Claims of others to our addresses.
    pub(crate) conflicts: conflicts::Conflicts,
}

impl Host {
    /// A host that announces its addresses when it is first asked to.
    pub(crate) fn new(addresses: Addresses, rates: &Rates, vlan: Option<u16>) -> Self {
        Self {
            addresses,
            limits: RateLimits::new(rates),
            vlan,
            announcements: announce::Announcements::default(),
            conflicts: conflicts::Conflicts::default(),
        }
    }

    /// The VLAN of all frames.
    pub(crate) fn vlan(&self) -> Option<u16> {
        self.vlan
    }

    /// The link layer of a frame to `destination`.
    pub(crate) fn link_to(&self, destination: EtherAddr) -> Link {
        Link {
            source: self.addresses.mac(),
            destination,
            vlan: self.vlan,
        }
    }

    /// Writes the question into `out`; `None` when it does not fit, or we have no address of its family.
    pub(crate) fn build_solicit(&self, solicit: &Solicit, out: &mut [u8]) -> Option<usize> {
        match (self.addresses.source_for(solicit.ip)?, solicit.ip) {
            (IpAddr::V4(ours), IpAddr::V4(target)) => {
                // RFC 1122 §2.3.2.1 (2): a station that is known is polled in unicast.
                let link = self.link_to(solicit.station.unwrap_or(ETHER_BROADCAST));
                build_arp_request(out, &link, ours, target)
            }
            (IpAddr::V6(ours), IpAddr::V6(target)) => {
                let group = ether_multicast_v6(solicited_node(target));
                let link = self.link_to(solicit.station.unwrap_or(group));
                build_neighbour_solicitation(out, &link, ours, target)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}
