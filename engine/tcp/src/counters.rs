//! What TCP counts: plain numbers of one worker, handed in by reference (D11).

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// Counts of one worker since its start.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct TcpCounters {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl TcpCounters {
            /// Calls `each` with name, meaning and value of every counter, in the order of their declaration.
            pub fn each(&self, mut each: impl FnMut(&'static str, &'static str, u64)) {
                $(each(stringify!($field), concat!($($doc),+), self.$field);)+
            }
        }
    };
}

counters! {
    /// Segments that a connection was given.
    segments_in,
    /// Segments of those that header prediction took.
    predicted,
    /// Payload bytes received in order and new.
    bytes_in,
    /// Segments built for sending.
    segments_out,
    /// Payload bytes sent, retransmissions included.
    bytes_out,
    /// Segments sent with nothing but an acknowledgment.
    pure_acks_out,
    /// Active opens.
    active_opens,
    /// Connections made by a listener's handshake.
    passive_opens,
    /// Connections that reached ESTABLISHED.
    established,
    /// Connections that entered TIME_WAIT.
    time_waits,
    /// Segments retransmitted because the retransmission timer ran out.
    retransmits_rto,
    /// Segments retransmitted by fast retransmit and fast recovery.
    retransmits_fast,
    /// SYN and SYN+ACK segments sent again.
    retransmits_syn,
    /// Zero-window probes sent.
    window_probes,
    /// Keep-alive probes sent.
    keepalive_probes,
    /// Times the retransmission timer ran out.
    rto_expiries,
    /// Fast recoveries begun.
    fast_recoveries,
    /// Segments that RACK took for lost (RFC 8985 §6).
    rack_losses,
    /// Times the reordering timer of RACK ran out.
    rack_timeouts,
    /// Retransmissions that were lost themselves, each a further reduction (RFC 5681 §4.3).
    lost_retransmits,
    /// Tail loss probes sent (RFC 8985 §7).
    tlp_probes,
    /// Losses that a tail loss probe repaired.
    tlp_recoveries,
    /// Recoveries and timeouts that were found spurious, and undone (RFC 4015).
    undos,
    /// Of those, timeouts.
    spurious_rtos,
    /// Segments sent by limited transmit (RFC 3042).
    limited_transmits,
    /// Duplicate acknowledgments received.
    duplicate_acks_in,
    /// Segments received out of order and kept.
    out_of_order_in,
    /// Segments of which nothing was new.
    duplicates_in,
    /// Segments that found the receive buffer or the reassembly queue full.
    reassembly_full,
    /// Chunks received out of order and given up for data in order (RFC 2018 §8 permits it).
    reneged,
    /// Segments refused because a pool was empty.
    pool_empty,
    /// Selective acknowledgments received with news.
    sack_blocks_in,
    /// Duplicates that peers reported by D-SACK (RFC 2883).
    dsacks_in,
    /// Duplicates that were reported to peers by D-SACK (RFC 2883).
    dsacks_out,
    /// Segments received with a congestion mark (CE) on connections that use ECN.
    ce_segments_in,
    /// Times the window came down because the peer echoed a mark (RFC 3168).
    ecn_reductions,
    /// Segments refused by PAWS (RFC 7323 §5).
    paws_drops,
    /// Challenge ACKs owed (RFC 5961).
    challenge_acks,
    /// Challenge ACKs held back by their rate limit.
    challenge_acks_limited,
    /// RST segments built for connections.
    resets_out,
    /// RST segments that ended a connection.
    resets_in,
    /// Connections given up for lack of progress (R2, user timeout, connect timeout).
    timeouts,
    /// Connections given up for unanswered keep-alive probes.
    keepalive_timeouts,
    /// Orphans given up for lack of progress.
    orphan_timeouts,
    /// Orphans whose peer did not close in time.
    fin_wait_2_timeouts,
    /// ICMP errors that ended a connection in SYN_SENT.
    icmp_errors_hard,
    /// ICMP errors about outstanding segments that ended nothing.
    icmp_errors_soft,
    /// ICMP errors about nothing that is outstanding, or about packets that were not too large.
    icmp_errors_refused,
    /// Times a connection's segments got smaller because a packet was too large for its path.
    path_mtu_reduced,
    /// Times a connection's segments got smaller because full ones vanished and nothing told why (RFC 4821).
    path_mtu_suspected,
    /// Segments sent larger than others, to see whether the path carries them.
    path_mtu_probes,
    /// Segments of those that were lost.
    path_mtu_probes_lost,
    /// Segments of those that arrived: the connection's segments have that size since.
    path_mtu_raised,
    /// Connections aborted because unread data was closed upon, or data came for nobody.
    unread_aborts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_name_and_a_meaning() {
        let counters = TcpCounters {
            segments_in: 7,
            unread_aborts: 9,
            ..TcpCounters::default()
        };
        let mut seen = Vec::new();
        counters.each(|name, meaning, value| {
            assert!(!meaning.trim().is_empty());
            seen.push((name, value));
        });
        assert_eq!(seen.first(), Some(&("segments_in", 7)));
        assert_eq!(seen.last(), Some(&("unread_aborts", 9)));
    }
}
