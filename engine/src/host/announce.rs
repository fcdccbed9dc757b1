//! Telling the link at start that our addresses are here, so that a predecessor's entries are corrected; and asking before
//! whether another station has them (RFC 5227 §2.1, RFC 4862 §5.4). Nothing waits for the answer: who has one of them is told of
//! in the log ([`conflicts`](super::conflicts)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use fourtuple_wire::{
    AdvertisementFlags, ETHER_BROADCAST, Ends, Instant, build_arp_announcement, build_arp_request,
    build_neighbour_advertisement, build_neighbour_solicitation, ether_multicast_v6, solicited_node,
};

use super::Host;

/// How far announcing has come.
#[derive(Clone, Debug)]
pub(super) struct Announcements {
    /// Rounds that are still to be made.
    rounds: u8,
    /// The step that comes next in this round: an address, in the first two for each.
    next: usize,
    /// When.
    due: Instant,
}

impl Default for Announcements {
    fn default() -> Self {
        Self {
            rounds: ROUNDS,
            next: 0,
            due: Instant::ZERO,
        }
    }
}

impl Host {
    /// Writes the next announcement that is due into `out`. Call again until `None`.
    ///
    /// One that does not fit is left out: the announcements are a courtesy, resolving works without them.
    pub(crate) fn poll_announcement(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        while self.announcements.rounds > 0 && self.announcements.due <= now {
            let step = self.announcements.next;
            let (place, searches) = match self.announcements.rounds {
                ROUNDS => (step / 2, step.is_multiple_of(2)),
                _ => (step, false),
            };
            let Some(address) = self.addresses.iter().nth(place) else {
                self.announcements = Announcements {
                    rounds: self.announcements.rounds - 1,
                    next: 0,
                    due: now + INTERVAL,
                };
                continue;
            };
            self.announcements.next += 1;
            let len = if searches {
                self.build_search(address, out)
            } else {
                self.build_announcement(address, out)
            };
            if len.is_some() {
                return len;
            }
        }
        None
    }

    /// When [`poll_announcement`](Self::poll_announcement) has something to do.
    pub(crate) fn next_announcement(&self) -> Instant {
        if self.announcements.rounds > 0 {
            self.announcements.due
        } else {
            Instant::FAR_FUTURE
        }
    }

    /// Asks whether another station has an address of ours.
    fn build_search(&self, address: IpAddr, out: &mut [u8]) -> Option<usize> {
        match address {
            IpAddr::V4(ours) => {
                let link = self.link_to(ETHER_BROADCAST);
                build_arp_request(out, &link, Ipv4Addr::UNSPECIFIED, ours)
            }
            IpAddr::V6(ours) => {
                let link = self.link_to(ether_multicast_v6(solicited_node(ours)));
                build_neighbour_solicitation(out, &link, Ipv6Addr::UNSPECIFIED, ours)
            }
        }
    }

    pub(super) fn build_announcement(&self, address: IpAddr, out: &mut [u8]) -> Option<usize> {
        match address {
            IpAddr::V4(ours) => {
                let link = self.link_to(ETHER_BROADCAST);
                build_arp_announcement(out, link.source, link.vlan, ours)
            }
            IpAddr::V6(ours) => {
                let ends = Ends {
                    source: ours,
                    destination: super::answer::ALL_NODES,
                };
                let link = self.link_to(ether_multicast_v6(super::answer::ALL_NODES));
                // RFC 4861 §7.2.6: unsolicited, and meant to replace what is known.
                let flags = AdvertisementFlags {
                    overrides: true,
                    ..AdvertisementFlags::default()
                };
                build_neighbour_advertisement(out, &link, ends, ours, flags)
            }
        }
    }
}

/// RFC 5227 §1.1, ANNOUNCE_NUM; RFC 4861 §10 allows three.
const ROUNDS: u8 = 2;
/// RFC 5227 §1.1, ANNOUNCE_INTERVAL.
const INTERVAL: Duration = Duration::from_secs(2);
