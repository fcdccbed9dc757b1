//! What a packet that is no TCP segment asks of this machine, and the answer.
//!
//! Answers go back to the station that the packet came from, without asking the neighbour table: an answer costs no state.
//! Each is limited in rate; what is held back is counted by its verdict.

use std::net::{IpAddr, Ipv6Addr};

use fourtuple_wire::{
    AdvertisementFlags, ArpOperation, ArpPacket, DropReason, Echo, Ends, EtherAddr, FourTuple, IcmpError,
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Instant, IpFields, NeighbourAdvertisement,
    NeighbourSolicitation, Packet, PacketKind, UdpPacket, build_arp_reply, build_icmpv4_echo_reply,
    build_icmpv4_port_unreachable, build_icmpv6_echo_reply, build_icmpv6_port_unreachable,
    build_neighbour_advertisement, ether_multicast_v6, is_group_ether,
};

use super::{Host, Learned, Origin};
use crate::stats::Counters;

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Consumed, or why not.
    pub(crate) verdict: Result<(), DropReason>,
    /// Octets of the frame that stands in `out` and is to be sent.
    pub(crate) reply_len: Option<usize>,
    /// A claim about a neighbour, for [`Neighbours::learn`](super::Neighbours::learn).
    pub(crate) learned: Option<Learned>,
    /// An error about a segment that one of our addresses is said to have sent, for the owner of its four-tuple.
    pub(crate) icmp_error: Option<IcmpError>,
}

impl Answer {
    const CONSUMED: Self = Self {
        verdict: Ok(()),
        reply_len: None,
        learned: None,
        icmp_error: None,
    };

    /// Somebody claims an address of ours.
    pub(super) fn refused_claim() -> Self {
        Self::drop(DropReason::BadSource)
    }

    fn drop(reason: DropReason) -> Self {
        Self {
            verdict: Err(reason),
            ..Self::CONSUMED
        }
    }

    /// Counts the reply to `packet`, if there is one, by what it is; called when it was handed on.
    pub(crate) fn count_reply(&self, packet: &Packet, counters: &mut Counters) {
        if self.reply_len.is_none() {
            return;
        }
        match &packet.kind {
            PacketKind::Arp(_) => counters.neighbour_answers += 1,
            PacketKind::Icmpv4(_) => counters.echo_answers += 1,
            PacketKind::Icmpv6(icmp) => match icmp.message {
                Icmpv6Message::NeighbourSolicitation(_) => counters.neighbour_answers += 1,
                Icmpv6Message::EchoRequest(_) => counters.echo_answers += 1,
                Icmpv6Message::EchoReply(_)
                | Icmpv6Message::Error(_)
                | Icmpv6Message::NeighbourAdvertisement(_) => {}
            },
            PacketKind::Udp(_) => counters.icmp_errors_sent += 1,
            PacketKind::Tcp(_) | PacketKind::Fragment(_) => {}
        }
    }

    /// A reply that was built, or did not fit.
    fn reply(len: Option<usize>) -> Self {
        match len {
            Some(_) => Self {
                reply_len: len,
                ..Self::CONSUMED
            },
            None => Self::drop(DropReason::NoRoom),
        }
    }
}

impl From<Result<(), DropReason>> for Answer {
    fn from(verdict: Result<(), DropReason>) -> Self {
        Self {
            verdict,
            ..Self::CONSUMED
        }
    }
}

impl Host {
    /// Judges `packet`, which was parsed from `frame`, and writes the frame that answers it into `out`: at most an ICMPv6
    /// error of 1280 octets behind an Ethernet header, or an echo as long as `frame`.
    ///
    /// TCP is the shard's: of a segment only the addresses are checked.
    pub(crate) fn answer(&mut self, packet: &Packet, frame: &[u8], now: Instant, out: &mut [u8]) -> Answer {
        let (from, to) = (packet.ether_source, packet.ether_destination);
        if to != self.addresses.mac() && !is_group_ether(&to) {
            return Answer::drop(DropReason::NotOurMac);
        }
        // IEEE 802.3 §3.2.3: no station sends from a group; an answer would go to all.
        if is_group_ether(&from) || from == self.addresses.mac() {
            return Answer::drop(DropReason::BadSource);
        }
        match &packet.kind {
            PacketKind::Tcp(segment) => self.addresses.admit_segment(to, &segment.tuple).into(),
            PacketKind::Udp(datagram) => match self.addresses.admit_segment(to, &datagram.tuple) {
                Ok(()) => self.answer_udp(datagram, frame, from, now, out),
                Err(reason) => Answer::drop(reason),
            },
            PacketKind::Arp(arp) => self.answer_arp(arp, now, out),
            PacketKind::Icmpv4(icmp) => self.answer_icmpv4(icmp, packet, frame, now, out),
            PacketKind::Icmpv6(icmp) => self.answer_icmpv6(icmp, packet, frame, now, out),
            // The whole packet is answered.
            PacketKind::Fragment(_) => Answer::drop(DropReason::Fragment),
        }
    }

    /// Nobody uses UDP here; who may be told is told (RFC 1122 §3.2.2.1, §4.1.3.1, RFC 4443 §3.1).
    fn answer_udp(
        &mut self,
        datagram: &UdpPacket,
        frame: &[u8],
        from: EtherAddr,
        now: Instant,
        out: &mut [u8],
    ) -> Answer {
        let mut answer = Answer::drop(DropReason::NoUdpUser);
        // RFC 768: who sends from port 0 expects no answer. RFC 4443 §2.4(f), RFC 1812 §4.3.2.8: errors are limited.
        if datagram.tuple.remote_port() == 0 || !self.limits.icmp_errors.try_take(now) {
            return answer;
        }
        let (link, ip, offending) = (self.link_to(from), IpFields::default(), datagram.ip.of(frame));
        answer.reply_len = match datagram.tuple {
            FourTuple::V4(t) => {
                let ends = Ends {
                    source: t.local,
                    destination: t.remote,
                };
                build_icmpv4_port_unreachable(out, &link, &ip, ends, offending)
            }
            FourTuple::V6(t) => {
                let ends = Ends {
                    source: t.local,
                    destination: t.remote,
                };
                build_icmpv6_port_unreachable(out, &link, &ip, ends, offending)
            }
        };
        answer
    }

    /// RFC 826, "Packet Reception", and RFC 5227 §2.
    fn answer_arp(&mut self, arp: &ArpPacket, now: Instant, out: &mut [u8]) -> Answer {
        let (sender, target) = (IpAddr::V4(arp.sender), IpAddr::V4(arp.target));
        let probe = arp.sender.is_unspecified() && arp.operation == ArpOperation::Request;
        let from_us = arp.sender_ether == self.addresses.mac();
        if !probe && !from_us && self.addresses.is_ours(sender) {
            return self.on_conflict(sender, now, out);
        }
        if !probe && !self.addresses.is_peer(sender) {
            return Answer::drop(DropReason::BadSource);
        }
        if arp.sender_ether == [0; 6] || arp.sender_ether == self.addresses.mac() {
            return Answer::drop(DropReason::BadArp);
        }
        let claim = |origin| Learned {
            ip: sender,
            ether: arp.sender_ether,
            origin,
        };
        let learned = |origin| Some(claim(origin)).filter(|_| !probe && self.addresses.on_link(sender));
        match arp.operation {
            ArpOperation::Request if arp.sender == arp.target => Answer {
                learned: learned(Origin::Announcement),
                ..Answer::CONSUMED
            },
            ArpOperation::Request if !self.addresses.is_ours(target) => Answer::drop(DropReason::BadArp),
            ArpOperation::Request => {
                let learned = learned(Origin::Request);
                if !self.limits.neighbour_answers.try_take(now) {
                    return Answer::drop(DropReason::RateLimited);
                }
                let link = self.link_to(arp.sender_ether);
                Answer {
                    learned,
                    ..Answer::reply(build_arp_reply(out, &link, arp.target, arp.sender))
                }
            }
            ArpOperation::Reply if self.addresses.is_ours(target) => Answer {
                learned: learned(Origin::Reply),
                ..Answer::CONSUMED
            },
            ArpOperation::Reply if arp.sender == arp.target => Answer {
                learned: learned(Origin::Announcement),
                ..Answer::CONSUMED
            },
            ArpOperation::Reply => Answer::drop(DropReason::BadArp),
        }
    }

    fn answer_icmpv4(
        &mut self,
        icmp: &Icmpv4Packet,
        packet: &Packet,
        frame: &[u8],
        now: Instant,
        out: &mut [u8],
    ) -> Answer {
        let (source, destination) = (IpAddr::V4(icmp.source), IpAddr::V4(icmp.destination));
        // RFC 1122 §3.2.2.6: an echo request to a group may be ignored, and is: it would multiply.
        if let Err(reason) = self
            .addresses
            .admit(packet.ether_destination, source, destination)
        {
            return Answer::drop(reason);
        }
        match &icmp.message {
            Icmpv4Message::EchoRequest(echo) => {
                let ends = Ends {
                    source: icmp.destination,
                    destination: icmp.source,
                };
                self.answer_echo(echo, frame, now, |host, payload| {
                    let (link, ip) = (
                        host.link_to(packet.ether_source),
                        answer_fields(icmp.traffic_class),
                    );
                    build_icmpv4_echo_reply(out, &link, &ip, ends, echo, payload)
                })
            }
            Icmpv4Message::EchoReply(_) => Answer::drop(DropReason::IgnoredIcmp),
            Icmpv4Message::Error(error) => take_error(*error, destination),
        }
    }

    fn answer_icmpv6(
        &mut self,
        icmp: &Icmpv6Packet,
        packet: &Packet,
        frame: &[u8],
        now: Instant,
        out: &mut [u8],
    ) -> Answer {
        let (source, destination) = (IpAddr::V6(icmp.source), IpAddr::V6(icmp.destination));
        match &icmp.message {
            Icmpv6Message::NeighbourSolicitation(solicitation) => {
                return self.answer_solicitation(icmp, solicitation, packet.ether_source, now, out);
            }
            Icmpv6Message::NeighbourAdvertisement(advertisement) => {
                return self.take_advertisement(icmp, advertisement, packet.ether_source, now, out);
            }
            Icmpv6Message::EchoRequest(_) | Icmpv6Message::EchoReply(_) | Icmpv6Message::Error(_) => {}
        }
        if let Err(reason) = self
            .addresses
            .admit(packet.ether_destination, source, destination)
        {
            return Answer::drop(reason);
        }
        match &icmp.message {
            Icmpv6Message::EchoRequest(echo) => {
                let ends = Ends {
                    source: icmp.destination,
                    destination: icmp.source,
                };
                self.answer_echo(echo, frame, now, |host, payload| {
                    let (link, ip) = (
                        host.link_to(packet.ether_source),
                        answer_fields(icmp.traffic_class),
                    );
                    build_icmpv6_echo_reply(out, &link, &ip, ends, echo, payload)
                })
            }
            Icmpv6Message::Error(error) => take_error(*error, destination),
            Icmpv6Message::EchoReply(_)
            | Icmpv6Message::NeighbourSolicitation(_)
            | Icmpv6Message::NeighbourAdvertisement(_) => Answer::drop(DropReason::IgnoredIcmp),
        }
    }

    /// RFC 1122 §3.2.2.6, RFC 4443 §4.2: what came in goes back.
    fn answer_echo(
        &mut self,
        echo: &Echo,
        frame: &[u8],
        now: Instant,
        build: impl FnOnce(&Self, &[u8]) -> Option<usize>,
    ) -> Answer {
        if !self.limits.echoes.try_take(now) {
            return Answer::drop(DropReason::RateLimited);
        }
        Answer::reply(build(self, echo.payload.of(frame)))
    }

    /// RFC 4861 §7.2.3, §7.2.4.
    fn answer_solicitation(
        &mut self,
        icmp: &Icmpv6Packet,
        solicitation: &NeighbourSolicitation,
        from: EtherAddr,
        now: Instant,
        out: &mut [u8],
    ) -> Answer {
        let NeighbourSolicitation { target, source_link } = *solicitation;
        let (source, destination) = (IpAddr::V6(icmp.source), icmp.destination);
        let searches_duplicates = icmp.source.is_unspecified();
        if !searches_duplicates && !self.addresses.is_peer(source) {
            return Answer::drop(DropReason::BadSource);
        }
        if !self.addresses.is_ours(target.into())
            || !(self.addresses.is_ours(destination.into())
                || self.addresses.is_our_solicited_node(destination))
        {
            return Answer::drop(DropReason::NotOurAddress);
        }
        if !self.limits.neighbour_answers.try_take(now) {
            return Answer::drop(DropReason::RateLimited);
        }
        let (destination, ether) = if searches_duplicates {
            (ALL_NODES, ether_multicast_v6(ALL_NODES))
        } else {
            (icmp.source, source_link.unwrap_or(from))
        };
        let flags = AdvertisementFlags {
            router: false,
            solicited: !searches_duplicates,
            overrides: true,
        };
        let (link, ends) = (
            self.link_to(ether),
            Ends {
                source: target,
                destination,
            },
        );
        let len = build_neighbour_advertisement(out, &link, ends, target, flags);
        let learned = source_link
            .filter(|_| self.addresses.on_link(source))
            .map(|ether| Learned {
                ip: source,
                ether,
                origin: Origin::Request,
            });
        Answer {
            learned,
            ..Answer::reply(len)
        }
    }

    /// RFC 4861 §7.2.5.
    fn take_advertisement(
        &mut self,
        icmp: &Icmpv6Packet,
        advertisement: &NeighbourAdvertisement,
        from: EtherAddr,
        now: Instant,
        out: &mut [u8],
    ) -> Answer {
        let NeighbourAdvertisement {
            target,
            target_link,
            flags,
        } = *advertisement;
        let AdvertisementFlags {
            router: _,
            solicited,
            overrides,
        } = flags;
        if self.addresses.is_ours(target.into()) && from != self.addresses.mac() {
            return self.on_conflict(target.into(), now, out);
        }
        if !self.addresses.is_peer(icmp.source.into()) || !self.addresses.is_peer(target.into()) {
            return Answer::drop(DropReason::BadSource);
        }
        if icmp.destination != ALL_NODES && !self.addresses.is_ours(icmp.destination.into()) {
            return Answer::drop(DropReason::NotOurAddress);
        }
        if !self.addresses.on_link(target.into()) {
            return Answer::drop(DropReason::BadNeighbourDiscovery);
        }
        let origin = match (solicited, overrides, target_link) {
            (true, true, Some(_)) => Origin::Reply,
            (true, false, Some(_)) => Origin::WeakReply,
            (true, _, None) => Origin::Confirmation,
            (false, _, Some(_)) => Origin::Announcement,
            // RFC 4861 §4.4: without an address and unasked it says nothing.
            (false, _, None) => return Answer::drop(DropReason::BadNeighbourDiscovery),
        };
        let learned = Learned {
            ip: target.into(),
            ether: target_link.unwrap_or(from),
            origin,
        };
        Answer {
            learned: Some(learned),
            ..Answer::CONSUMED
        }
    }
}

/// An error came to the address that is said to have sent the segment, or it is no error of ours.
fn take_error(error: IcmpError, destination: IpAddr) -> Answer {
    if error.tuple.local().ip() != destination {
        return Answer::drop(DropReason::IgnoredIcmp);
    }
    Answer {
        icmp_error: Some(error),
        ..Answer::CONSUMED
    }
}

/// RFC 1122 §3.2.2.6: an answer has the request's type of service; congestion marks are the network's and not ours to repeat.
fn answer_fields(traffic_class: u8) -> IpFields {
    IpFields {
        traffic_class: traffic_class & DSCP_MASK,
        ..IpFields::default()
    }
}

/// ff02::1, all nodes of the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The upper six bits; ECN is below.
const DSCP_MASK: u8 = 0xfc;
