//! What an algorithm is told: one struct a call.

use fourtuple_wire::{Instant, SeqNum};

use super::CongestionKind;

/// What an acknowledgment showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// The connection's algorithm.
    pub(crate) kind: CongestionKind,
    pub(crate) now: Instant,
    /// Octets of a full segment.
    pub(crate) mss: u32,
    /// Octets acknowledged cumulatively.
    pub(crate) acked: u32,
    /// Those of them for which the window may grow: none in recovery, and of the ACK that ends it what left since it began.
    pub(crate) counts: u32,
    /// Octets acknowledged for the first time, cumulatively or selectively.
    pub(crate) delivered: u32,
    /// Octets newly thought lost.
    pub(crate) lost: u32,
    /// Octets outstanding before it (SND.NXT − SND.UNA).
    pub(crate) flight: u32,
    /// Octets thought to be in the network after it.
    pub(crate) pipe: u32,
    /// SND.UNA after it.
    pub(crate) una: SeqNum,
    /// SND.NXT.
    pub(crate) nxt: SeqNum,
    /// A round-trip time in microseconds, of the latest segment that was sent once; zero for none.
    pub(crate) rtt_us: u32,
    /// The smoothed round-trip time in microseconds; zero before the first sample.
    pub(crate) srtt_us: u32,
    /// When the segment was sent that left last of those newly acknowledged.
    pub(crate) sent_at: Option<Instant>,
    /// The peer echoed a mark.
    pub(crate) ece: bool,
    /// The window was not used: it says nothing about the path.
    pub(crate) app_limited: bool,
    /// Fast recovery is under way.
    pub(crate) in_recovery: bool,
    /// Both ends use SACK.
    pub(crate) sack: bool,
}

/// Why and when the window comes down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduction {
    /// The connection's algorithm.
    pub(crate) kind: CongestionKind,
    pub(crate) now: Instant,
    /// Octets of a full segment.
    pub(crate) mss: u32,
    /// Octets outstanding, before the ACK that showed it.
    pub(crate) flight: u32,
    /// SND.UNA.
    pub(crate) una: SeqNum,
    /// SND.NXT: the window of data that this is about ends here.
    pub(crate) nxt: SeqNum,
    /// Duplicate ACKs widen the window in recovery (no SACK, RFC 6582).
    pub(crate) inflate: bool,
    /// A second time in one window of data (RFC 5681 §4.3).
    pub(crate) again: bool,
}

/// Data leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendSample {
    /// The connection's algorithm.
    pub(crate) kind: CongestionKind,
    pub(crate) now: Instant,
    /// Octets of it.
    pub(crate) len: u32,
    /// Octets thought to be in the network before it.
    pub(crate) pipe: u32,
    /// The smoothed round-trip time in microseconds; zero before the first sample.
    pub(crate) srtt_us: u32,
    /// Nothing more is queued, and the window would let more go.
    pub(crate) app_limited: bool,
}

#[cfg(test)]
impl AckSample {
    /// `acked` octets of a full window in order, 100 ms after they were sent, at `now_ms`.
    pub(crate) fn of(kind: CongestionKind, acked: u32, now_ms: u64) -> Self {
        Self {
            kind,
            now: Instant::from_millis(now_ms),
            mss: 1000,
            acked,
            counts: acked,
            delivered: acked,
            lost: 0,
            flight: u32::MAX,
            pipe: 0,
            una: SeqNum(0),
            nxt: SeqNum(0),
            rtt_us: 100_000,
            srtt_us: 100_000,
            sent_at: None,
            ece: false,
            app_limited: false,
            in_recovery: false,
            sack: true,
        }
    }
}

#[cfg(test)]
impl Reduction {
    /// `flight` octets are outstanding at `now_ms`.
    pub(crate) fn of(kind: CongestionKind, flight: u32, now_ms: u64) -> Self {
        Self {
            kind,
            now: Instant::from_millis(now_ms),
            mss: 1000,
            flight,
            una: SeqNum(0),
            nxt: SeqNum(0) + flight,
            inflate: false,
            again: false,
        }
    }
}
