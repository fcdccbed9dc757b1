//! Why a packet was dropped: one counter each, and none is silent.

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// Why a packet was dropped. Every received packet has exactly one verdict; this is the verdict's reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label in stats, as `bad_tcp_checksum`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means, for `# HELP` lines and documentation.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+),)+
                }
            }
        }
    };
}

drop_reasons! {
    // Ethernet
    /// Shorter than the headers it claims to carry.
    Truncated => "truncated",
    /// An IEEE 802.3 length field with LLC or SNAP, not Ethernet II.
    LlcFrame => "llc_frame",
    /// An EtherType that nobody here reads.
    UnknownEtherType => "unknown_ethertype",
    /// Addressed to another station.
    NotOurMac => "not_our_mac",
    /// A VLAN tag that this port does not carry.
    WrongVlan => "wrong_vlan",
    // IP
    /// A malformed IP header: version, header length or total length.
    BadIpHeader => "bad_ip_header",
    /// A wrong IPv4 header checksum.
    BadIpChecksum => "bad_ip_checksum",
    /// A source address that no host may use, or our own (LAND).
    BadSource => "bad_source",
    /// A destination address that is not ours.
    NotOurAddress => "not_our_address",
    /// TCP or UDP to a broadcast or multicast address, of IP or of Ethernet.
    GroupDestination => "group_destination",
    /// A source route.
    SourceRoute => "source_route",
    /// A fragment of an IP packet, while the setting is to drop them.
    Fragment => "fragment",
    /// A fragment that is malformed or overlaps another, or one of a packet that such a one spoiled.
    BadFragment => "bad_fragment",
    /// An IP protocol that nobody here reads.
    UnknownProtocol => "unknown_protocol",
    // ARP, ND, ICMP, UDP
    /// A malformed ARP packet, or one that is not for us.
    BadArp => "bad_arp",
    /// A malformed neighbour-discovery message, or one that came from beyond the link.
    BadNeighbourDiscovery => "bad_neighbour_discovery",
    /// A malformed ICMP message or a wrong checksum in it.
    BadIcmp => "bad_icmp",
    /// An ICMP message that asks nothing of us.
    IgnoredIcmp => "ignored_icmp",
    /// A malformed UDP datagram.
    BadUdp => "bad_udp",
    /// A well-formed UDP datagram: there is no user of UDP here.
    NoUdpUser => "no_udp_user",
    // TCP, before a connection is looked up
    /// A malformed TCP header: data offset or port zero.
    BadTcpHeader => "bad_tcp_header",
    /// A wrong TCP checksum.
    BadTcpChecksum => "bad_tcp_checksum",
    /// No connection and no listener: a RST answered it, where one may.
    NoConnection => "no_connection",
    /// No connection and no listener, and a RST that must not be answered.
    StrayReset => "stray_reset",
    // TCP, listening side
    /// A SYN while the accept queue is full.
    AcceptQueueFull => "accept_queue_full",
    /// The final ACK of a handshake while the accept queue is full.
    AcceptQueueFullAck => "accept_queue_full_ack",
    /// A SYN while the SYN queue is full, and no cookie could be sent.
    SynQueueFull => "syn_queue_full",
    /// A SYN while the worker holds as many connections as it may.
    ConnectionLimit => "connection_limit",
    /// A SYN while the engine drains or stays quiet.
    NotAccepting => "not_accepting",
    /// A SYN while receive buffers are short: connections that are there need them.
    SynBuffersShort => "syn_buffers_short",
    /// A segment behind the final ACK of a handshake with a cookie, which was lost: the client sends its text again.
    CookieAstray => "cookie_astray",
    /// A segment to a listener that is neither SYN, ACK nor RST, or a SYN with FIN.
    BadListenSegment => "bad_listen_segment",
    // TCP, established side
    /// Outside the receive window (RFC 9293 §3.10.7.4, first check).
    OutOfWindow => "out_of_window",
    /// An old timestamp (RFC 7323 §5, PAWS).
    OldTimestamp => "old_timestamp",
    /// A RST whose sequence number is not exactly RCV.NXT (RFC 5961 §3): challenged.
    ChallengedReset => "challenged_reset",
    /// A SYN in a synchronised state (RFC 5961 §4): challenged.
    ChallengedSyn => "challenged_syn",
    /// No ACK bit where one is needed.
    NoAck => "no_ack",
    /// An acknowledgment of something never sent, or too old (RFC 5961 §5).
    BadAck => "bad_ack",
    /// Nothing in it was new.
    Duplicate => "duplicate",
    /// Data after the peer's FIN, or for a connection that nobody reads any more.
    DataAfterClose => "data_after_close",
    /// A bound of the reassembly queue or the receive buffer was reached.
    ReassemblyFull => "reassembly_full",
    /// A segment for a TIME_WAIT record that it neither re-ACKs nor reopens.
    TimeWait => "time_wait",
    // Limits of ours
    /// The ring to the owning worker was full.
    SteerRingFull => "steer_ring_full",
    /// A pool, a table or the transmit ring had no room for what the packet needed.
    NoRoom => "no_room",
    /// A rate limit held back the answer that was all the packet asked for.
    RateLimited => "rate_limited",
    /// Addressed to a next hop that could not be resolved.
    Unresolved => "unresolved",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_order_of_the_counters() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(!reason.meaning().trim().is_empty());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
