//! What a worker counts: plain numbers of its own, published as one block between turns (D11).
//!
//! The identity that a test holds: `rx_packets` + `steered_in` = `consumed` + `steered_out` + Σ dropped. A frame that was steered
//! has a verdict on the worker that received it (`steered_out`) and one on its owner.

use fourtuple_tcp::{State, TcpCounters};
use fourtuple_wire::DropReason;

use super::delays::Delays;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident,)+) => {
        /// Counters and gauges of one worker, in its own memory.
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: u64,)+
            /// Packets dropped, by [`DropReason`].
            pub dropped: Dropped,
            /// Connections by TCP state (gauge).
            pub by_state: ByState,
            /// How late the worker woke.
            pub wakeup_delay: Delays,
            /// What TCP counts.
            pub tcp: TcpCounters,
        }

        /// The plain fields in order: name, meaning, how workers add up.
        pub const PLAIN: &[Metric] = &[
            $(Metric { name: stringify!($field), meaning: concat!($($doc),+).trim_ascii(), kind: Kind::$kind },)+
        ];

        impl Counters {
            /// The plain fields in the order of [`PLAIN`].
            pub fn plain(&self) -> [u64; PLAIN.len()] {
                [$(self.$field,)+]
            }
        }
    };
}

/// One published number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Name without prefix and unit suffix of the exposition.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Counter, gauge or peak.
    pub kind: Kind,
}

/// Whether a number only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// The largest so far: of several workers the largest counts, not the sum.
    Peak,
    /// Delays counted by their length.
    Histogram,
}

counters! {
    /// Packets received from the port.
    rx_packets: Counter,
    /// Bytes received from the port.
    rx_bytes: Counter,
    /// Packets handed to the port.
    tx_packets: Counter,
    /// Bytes handed to the port.
    tx_bytes: Counter,
    /// Packets whose verdict is consumed: they did what they came for.
    consumed: Counter,
    /// Packets handed to the worker that owns their four-tuple.
    steered_out: Counter,
    /// Packets that another worker received and handed to this one.
    steered_in: Counter,
    /// Segments whose TCP checksum was the bare pseudo-header sum, from this host's kernel.
    partial_checksums: Counter,
    /// Turns taken.
    turns: Counter,
    /// Turns in which something was received, commanded, due or sent.
    busy_turns: Counter,
    /// Time spent in busy turns.
    busy_ns: Counter,
    /// Time asleep.
    idle_ns: Counter,
    /// Times the worker slept.
    sleeps: Counter,
    /// The longest turn.
    longest_turn_ns: Peak,
    /// Connections accepted: handshakes completed on the listening side.
    accepts: Counter,
    /// Connections opened from this side: SYNs of new connections.
    active_opens: Counter,
    /// Connections that reached ESTABLISHED from this side.
    active_established: Counter,
    /// Connections not opened because no free local port was found.
    no_port_left: Counter,
    /// RSTs received that ended a connection or a half-open one.
    resets_received: Counter,
    /// RSTs sent.
    resets_sent: Counter,
    /// SYNs received for a listener.
    syns_received: Counter,
    /// SYN+ACKs sent, with repetitions.
    syn_acks_sent: Counter,
    /// SYNs and final ACKs ignored because the accept queue was full.
    listen_overflows: Counter,
    /// SYNs that found the SYN queue full, whether a cookie answered them or nothing did.
    syn_queue_overflows: Counter,
    /// SYNs and final ACKs ignored for any reason; the reasons stand in `dropped`.
    listen_drops: Counter,
    /// SYN+ACKs sent with a cookie in place of a record.
    cookies_sent: Counter,
    /// Handshakes that a cookie completed.
    cookies_accepted: Counter,
    /// ACKs to a listener that brought back no cookie of its, while some were about.
    cookies_failed: Counter,
    /// Connections that TCP Fast Open let in before their handshake was over.
    fast_opens: Counter,
    /// SYNs whose cookie of TCP Fast Open was wrong, or good while too many were pending: opened in the usual way.
    fast_open_refused: Counter,
    /// SYNs sent with text and a cookie of TCP Fast Open.
    fast_opens_sent: Counter,
    /// Connections that TCP Fast Open let in whose handshake is not over now.
    fast_opens_pending: Gauge,
    /// Connections ended by a time limit.
    timeouts: Counter,
    /// Handler calls that panicked; their connections were aborted.
    handler_panics: Counter,
    /// Connections that a handler gave to an endpoint.
    handed_off: Counter,
    /// Connections that went from an endpoint to another.
    moved: Counter,
    /// Orphans ended by a RST because of their time or number.
    orphans_reset: Counter,
    /// Half-open connections now.
    syn_queue: Gauge,
    /// Connections that wait for an accept now.
    accept_queue: Gauge,
    /// Connections now, in any state but TIME_WAIT records.
    connections: Gauge,
    /// TIME_WAIT records now.
    time_wait: Gauge,
    /// TIME_WAIT records that went early because the bound was reached.
    time_wait_evicted: Counter,
    /// TIME_WAIT records reopened by a new SYN.
    time_wait_reopened: Counter,
    /// Entries in the timer wheel now.
    timers: Gauge,
    /// Stateless answers that found no transmit room.
    answers_dropped: Counter,
    /// ARP and neighbour-discovery requests answered.
    neighbour_answers: Counter,
    /// ICMP echo requests answered.
    echo_answers: Counter,
    /// ICMP errors sent.
    icmp_errors_sent: Counter,
    /// Neighbours known, asked for or found absent now.
    neighbours: Gauge,
    /// Questions asked of the link: who has this address, and is it still there.
    neighbour_solicits: Counter,
    /// Neighbours that became known.
    neighbours_resolved: Counter,
    /// Addresses that nobody on the link answered for.
    neighbours_failed: Counter,
    /// Neighbours forgotten for others, because the table was full.
    neighbours_evicted: Counter,
    /// Claims about neighbours that were not believed.
    neighbours_disbelieved: Counter,
    /// Claims of other stations to an address of ours.
    address_conflicts: Counter,
    /// IP packets put together from fragments.
    reassembled: Counter,
    /// IP packets given up because fragments did not come within a minute.
    reassembly_expired: Counter,
    /// IP packets given up for others, because so many were begun or so many frames held.
    reassembly_evicted: Counter,
    /// IP packets refused because their fragments overlapped or contradicted each other.
    reassembly_spoiled: Counter,
    /// Fragments held now, each in a receive buffer.
    fragments_held: Gauge,
    /// Fragments sent: of answers that are larger than the link takes.
    fragments_sent: Counter,
    /// Frames dropped because their next hop was not resolved in time.
    unresolved_frames: Counter,
    /// Transmissions put off because a pool or the transmit ring was full.
    tx_deferred: Counter,
    /// Payload bytes copied into frames or buffers on sending.
    tx_copied_bytes: Counter,
    /// Chunks lent to endpoints now.
    lent_chunks: Gauge,
    /// Times that received bytes stayed with their connection because an endpoint, or all of them, held as many chunks as they may.
    lend_refused: Counter,
    /// Events that found an endpoint's ring full; the connection went on the owed list.
    events_deferred: Counter,
    /// Commands of endpoints executed.
    commands: Counter,
    /// Changes of options refused: connections of the worker had too many different sets of them.
    options_refused: Counter,
    /// Commands for connections that had ended.
    stale_commands: Counter,
    /// Buffers of the receive pool in all.
    rx_buffers: Gauge,
    /// Buffers of the receive pool that are free.
    rx_buffers_free: Gauge,
    /// Buffers of the transmit pool in all.
    tx_buffers: Gauge,
    /// Buffers of the transmit pool that are free.
    tx_buffers_free: Gauge,
    /// Chunks in send queues now.
    send_chunks: Gauge,
    /// Chunks in receive and reassembly queues now.
    receive_chunks: Gauge,
    /// Records of what connections have outstanding, in use now.
    flights: Gauge,
    /// Bytes reserved at start for this worker's tables, records, wheel and queues.
    reserved_bytes: Gauge,
}

/// Dropped packets by reason.
#[derive(Clone, Debug)]
pub struct Dropped([u64; DropReason::ALL.len()]);

impl Default for Dropped {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl Dropped {
    /// One more.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// For all reasons.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// All, in the order of [`DropReason::ALL`].
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

/// Connections by TCP state.
#[derive(Clone, Debug, Default)]
pub struct ByState([u64; State::ALL.len()]);

impl ByState {
    /// A connection went from one state to another; `None` is outside.
    pub fn moved(&mut self, from: Option<State>, to: Option<State>) {
        if let Some(from) = from {
            self.0[from as usize] = self.0[from as usize].saturating_sub(1);
        }
        if let Some(to) = to {
            self.0[to as usize] += 1;
        }
    }

    /// How many are in this state.
    pub fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// All, in the order of [`State::ALL`].
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }
}
