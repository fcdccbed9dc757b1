//! What a listing shows of a connection.

use std::time::Duration;

use fourtuple_wire::Instant;

use crate::{Buffers, CongestionKind, Profile, State, Tcb};

/// A snapshot of a connection (RFC 9293 §3.10.6). Soft errors are told here to who looks, and to handlers
/// and streams that ask for them; nobody else is bothered (SHLD-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state.
    pub state: State,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Round-trip time variation.
    pub rttvar: Duration,
    /// Retransmission timeout with its backoff.
    pub rto: Duration,
    /// Congestion window in octets.
    pub cwnd: u32,
    /// Slow-start threshold in octets; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// The algorithm of congestion control.
    pub congestion: CongestionKind,
    /// Octets sent and not acknowledged.
    pub in_flight: u32,
    /// SND.WND in octets.
    pub send_window: u32,
    /// RCV.WND in octets, as advertised.
    pub receive_window: u32,
    /// Bytes queued for sending, in flight or not.
    pub send_queue: u32,
    /// Bytes in order that the application has not taken.
    pub unread: u32,
    /// Buffer space charged to the receive window.
    pub charged: u32,
    /// Effective send MSS in octets.
    pub mss: u16,
    /// Retransmissions by timer of what is outstanding.
    pub retransmits: u8,
    /// Both ends use SACK.
    pub sack: bool,
    /// Both ends use ECN.
    pub ecn: bool,
    /// Both ends use timestamps.
    pub timestamps: bool,
    /// An ICMP error said that the peer can't be reached just now, and nothing was acknowledged since.
    pub unreachable: bool,
    /// Milliseconds for which nothing of what is outstanding was acknowledged; zero when nothing is.
    pub stalled_ms: u32,
}

impl<B: Buffers> Tcb<B> {
    /// A snapshot for listings.
    pub fn status(&self, profile: &Profile, now: Instant) -> Status {
        let in_flight = self.snd.flight();
        Status {
            state: self.state,
            srtt: self.rto.srtt(),
            rttvar: self.rto.rttvar(),
            rto: Duration::from_millis(u64::from(self.rto.timeout_ms(self.timers.backoff, profile))),
            cwnd: self.congestion.window(),
            ssthresh: self.congestion.threshold(),
            congestion: profile.congestion,
            in_flight,
            send_window: self.snd.wnd,
            receive_window: self.rcv.wnd(),
            send_queue: self.queue.len(),
            unread: self.received.unread(),
            charged: self.received.charged(),
            mss: self.snd.mss,
            retransmits: self.timers.retransmits,
            sack: self.flags.contains(crate::tcb::Flags::SACK),
            ecn: self.flags.contains(crate::tcb::Flags::ECN),
            timestamps: self.timestamps.enabled,
            unreachable: self.flags.contains(crate::tcb::Flags::UNREACHABLE),
            stalled_ms: if in_flight == 0 {
                0
            } else {
                (now.as_millis() as u32).wrapping_sub(self.progress_at)
            },
        }
    }
}
