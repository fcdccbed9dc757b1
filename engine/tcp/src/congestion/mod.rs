//! Congestion control: how much may be outstanding, by which algorithm, and what recovery tells it.
//!
//! ```text
//!   Tcb:    Congestion { window, threshold, acknowledged }      twelve octets, what every segment looks at
//!   Flight: Model      { Cubic | Dctcp | Bbr, what undo needs, the pacer }   in a pool, while there is something to remember
//! ```
//! A connection without a [`Model`], because it needs none yet or because the pool is empty, grows as RFC 5681 says, and
//! shrinks by its own algorithm's factor. Which algorithm it is stands in the profile and comes with every call, so that it
//! may change between two of them. An enum over one sealed trait: a call is a jump and no pointer; fixed point, no float.
//! What is lost is decided in `recovery`, when to send in `transmit`.
//!
//! RFC 5681, 6582, 6928 here and in `new_reno`; RFC 9438 `cubic`, RFC 9406 `hystart`, RFC 8257 `dctcp`,
//! draft-ietf-ccwg-bbr `bbr`.

mod bbr;
mod calls;
mod cubic;
mod dctcp;
mod hystart;
mod kind;
mod model;
mod new_reno;
mod sample;

pub(crate) use calls::{AckTold, wants_every_sending};
pub use kind::{CongestionKind, UnknownCongestion};
pub(crate) use model::Model;
pub(crate) use new_reno::NewReno;
pub(crate) use sample::{AckSample, Reduction, SendSample};

/// What an algorithm answers to; `hot` are the numbers in the TCB.
pub(crate) trait Algorithm {
    /// Something was acknowledged, cumulatively or selectively, or the peer echoed a mark.
    fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample);
    /// Loss was inferred, and fast recovery begins: sets threshold and window.
    fn on_loss(&mut self, hot: &mut Congestion, reduction: &Reduction);
    /// The peer echoed a mark, for the first time in a window (RFC 3168 §6.1.2).
    fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction);
    /// The retransmission timer ran out for the first time for what is outstanding.
    fn on_timeout(&mut self, hot: &mut Congestion, reduction: &Reduction);
    /// Recovery ended with `flight` octets outstanding.
    fn on_recovered(&mut self, hot: &mut Congestion, flight: u32, mss: u32);
}

/// The numbers of congestion control that every connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Congestion {
    /// Octets that may be outstanding.
    window: u32,
    /// Slow-start threshold in octets; `u32::MAX` before the first congestion.
    threshold: u32,
    /// Octets acknowledged since the window last grew by a segment.
    acknowledged: u32,
}

impl Congestion {
    pub(crate) const fn new(initial: u32) -> Self {
        Self {
            window: initial,
            threshold: u32::MAX,
            acknowledged: 0,
        }
    }

    /// Octets that may be outstanding.
    #[inline]
    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    /// Slow-start threshold in octets.
    pub(crate) const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Slow start: the window is below the threshold.
    #[inline]
    pub(crate) const fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    /// The window as proportional rate reduction has it (RFC 9937); BBR keeps its own.
    pub(crate) fn set_window(&mut self, kind: CongestionKind, octets: u32) {
        if kind != CongestionKind::Bbr {
            self.window = octets.min(MAX_WINDOW);
        }
    }

    fn grow(&mut self, octets: u32) {
        self.window = self.window.saturating_add(octets).min(MAX_WINDOW);
    }

    /// Something was acknowledged, cumulatively or selectively, or the peer echoed a mark.
    #[inline]
    pub(crate) fn on_ack(&mut self, model: Option<&mut Model>, sample: &AckSample) {
        match model {
            Some(model) => model.on_ack(self, sample),
            None => NewReno.on_ack(self, sample),
        }
    }

    /// Fast recovery begins: threshold and window come down, once a window of data. What they were is kept for `undo`.
    pub(crate) fn on_loss(&mut self, model: Option<&mut Model>, reduction: &Reduction) {
        match model {
            Some(model) => model.on_loss(self, reduction),
            None => NewReno.on_loss(self, reduction),
        }
    }

    /// The peer echoes a mark (RFC 3168 §6.1.2): `true` when the window came down for it, which it does once a window.
    pub(crate) fn on_mark(&mut self, model: Option<&mut Model>, reduction: &Reduction) -> bool {
        match model {
            Some(model) => model.on_mark(self, reduction),
            None => {
                NewReno.on_mark(self, reduction);
                true
            }
        }
    }

    /// The retransmission timer ran out; `first`: for what is outstanding for the first time.
    pub(crate) fn on_timeout(&mut self, model: Option<&mut Model>, reduction: &Reduction, first: bool) {
        match model {
            Some(model) => model.on_timeout(self, reduction, first),
            None => {
                if first {
                    NewReno.on_timeout(self, reduction);
                }
                self.window = reduction.mss;
                self.acknowledged = 0;
            }
        }
    }

    /// Fast recovery ended with `flight` octets outstanding.
    pub(crate) fn on_recovered(
        &mut self,
        model: Option<&mut Model>,
        kind: CongestionKind,
        flight: u32,
        mss: u32,
    ) {
        match model {
            Some(model) => model.on_recovered(self, kind, flight, mss),
            None => NewReno.on_recovered(self, flight, mss),
        }
    }

    /// What was outstanding at a timeout is acknowledged. Those that begin slow start then are in it; BBR goes on from its model.
    pub(crate) fn on_timeout_repaired(&mut self, model: &mut Model) {
        model.on_timeout_repaired(self);
    }

    /// What was taken for lost had only been late: window and threshold are what they were before, if they were more.
    pub(crate) fn undo(&mut self, model: Option<&mut Model>, window: u32, threshold: u32) {
        self.window = self.window.max(window);
        self.threshold = self.threshold.max(threshold);
        if let Some(model) = model {
            model.undo(self);
        }
    }

    /// A further duplicate ACK in recovery without SACK (RFC 6582 §3.2 step 3): a segment left the network.
    pub(crate) fn inflate(&mut self, octets: u32) {
        self.grow(octets);
    }

    /// A partial ACK in recovery without SACK (RFC 6582 §3.2 step 5): deflate by what was acknowledged, add back a segment.
    pub(crate) fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        self.window = self.window.saturating_sub(acked);
        if acked >= mss {
            self.grow(mss);
        }
        self.window = self.window.max(mss);
    }

    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1); BBR paces instead (draft §5.4).
    pub(crate) fn on_idle(&mut self, kind: CongestionKind, initial: u32) {
        if kind != CongestionKind::Bbr {
            self.window = self.window.min(initial);
        }
        self.acknowledged = 0;
    }

    /// The handshake lost its SYN (RFC 5681 §3.1): data starts from one segment.
    pub(crate) fn on_syn_lost(&mut self, mss: u32) {
        self.window = self.window.min(mss);
    }

    /// Octets a second that the pacer lets go, with a round-trip time of `srtt_us`; `None` before there is one.
    pub(crate) fn pacing_rate(
        &self,
        model: Option<&Model>,
        kind: CongestionKind,
        srtt_us: u32,
    ) -> Option<u64> {
        if kind == CongestionKind::Bbr
            && let Some(rate) = model.and_then(Model::pacing_rate)
        {
            return Some(rate);
        }
        // Twice the window each round trip while it doubles, so that pacing does not hold slow start up; a fifth more than
        // the window afterwards, so that ACKs stay the clock.
        let gain_percent = if self.window < self.threshold / 2 {
            200
        } else {
            120
        };
        let octets = u64::from(self.window) * gain_percent * 10_000;
        (srtt_us > 0).then(|| (octets / u64::from(srtt_us)).max(1))
    }
}

/// More than any window scaling can use (RFC 7323 §2.3: 2³⁰).
pub(crate) const MAX_WINDOW: u32 = 2u32.pow(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_doubles_in_slow_start_and_keeps_a_fifth_above_the_window_after() {
        let mut hot = Congestion::new(10_000);
        let rate = |hot: &Congestion| hot.pacing_rate(None, CongestionKind::Cubic, 100_000);
        assert_eq!(rate(&hot), Some(200_000));
        hot.threshold = 15_000;
        assert_eq!(rate(&hot), Some(120_000));
        hot.threshold = 20_000;
        assert_eq!(
            rate(&hot),
            Some(120_000),
            "it doubles below half of the threshold only"
        );
        assert_eq!(hot.pacing_rate(None, CongestionKind::Cubic, 0), None);
    }

    #[test]
    fn rate_reduction_sets_every_window_but_that_of_bbr() {
        for kind in CongestionKind::ALL {
            let mut hot = Congestion::new(10_000);
            hot.set_window(kind, 3_000);
            let kept = kind == CongestionKind::Bbr;
            assert_eq!(hot.window(), if kept { 10_000 } else { 3_000 });
        }
    }
}
