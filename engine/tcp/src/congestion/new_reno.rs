//! NewReno: slow start and congestion avoidance (RFC 5681 §3.1, with RFC 3465's byte counting), and the window's course
//! through fast recovery (RFC 6582 §3.2; with SACK the window just stays at the threshold, RFC 6675 §5).
//!
//! It keeps nothing but what is in the TCB, so it is also how a connection of any algorithm goes on that has no [`Model`]
//! (super::Model); the factor by which the window comes down is the algorithm's own.

use super::{AckSample, Algorithm, Congestion, Reduction};

/// NewReno, and any algorithm without its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewReno;

impl NewReno {
    /// RFC 5681 equation (4), with β of the algorithm: a part of what was outstanding, but two segments at least.
    pub(super) fn reduce(hot: &mut Congestion, reduction: &Reduction) {
        // The window bounds what a sender that uses duplicate ACKs has put beyond it.
        let used = u64::from(reduction.flight.min(hot.window));
        let left = (used * reduction.kind.beta_1024()) >> 10;
        hot.threshold = (left as u32).max(reduction.mss.saturating_mul(2));
        hot.acknowledged = 0;
    }

    /// Slow start or congestion avoidance, by `acked` octets.
    pub(super) fn grow(hot: &mut Congestion, acked: u32, mss: u32) {
        if hot.in_slow_start() {
            // RFC 5681 §3.1 and RFC 3465: slow start grows by what was acknowledged, two segments at most.
            hot.grow(acked.min(mss.saturating_mul(2)));
            return;
        }
        // RFC 5681 §3.1: congestion avoidance grows by one segment when a whole window was acknowledged.
        hot.acknowledged = hot.acknowledged.saturating_add(acked);
        if hot.acknowledged >= hot.window {
            hot.acknowledged -= hot.window;
            hot.grow(mss);
        }
    }
}

impl Algorithm for NewReno {
    fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample) {
        // RFC 3168 §6.1.2: an echo of a mark lets nothing grow.
        if !sample.in_recovery && !sample.app_limited && !sample.ece {
            Self::grow(hot, sample.counts, sample.mss);
        }
    }

    fn on_loss(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        Self::reduce(hot, reduction);
        hot.window = hot.threshold;
        if reduction.inflate {
            // RFC 6582 §3.2 step 2: three segments have left the network.
            hot.grow(reduction.mss.saturating_mul(3));
        }
    }

    fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        Self::reduce(hot, reduction);
        hot.window = hot.threshold;
    }

    fn on_timeout(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        Self::reduce(hot, reduction);
        // RFC 5681 §3.1: the loss window is one segment.
        hot.window = reduction.mss;
    }

    fn on_recovered(&mut self, hot: &mut Congestion, flight: u32, mss: u32) {
        // RFC 6582 §3.2 step 5, full acknowledgment, option (1): no burst.
        hot.window = hot.threshold.min(flight.max(mss).saturating_add(mss));
        hot.acknowledged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CongestionKind;

    const MSS: u32 = 1000;
    const KIND: CongestionKind = CongestionKind::NewReno;

    fn acks(hot: &mut Congestion, count: u32, octets: u32) {
        for _ in 0..count {
            hot.on_ack(None, &AckSample::of(KIND, octets, 0));
        }
    }

    fn loss(hot: &mut Congestion, flight: u32, inflate: bool) {
        let reduction = Reduction {
            inflate,
            ..Reduction::of(KIND, flight, 0)
        };
        hot.on_loss(None, &reduction);
    }

    // proves: RFC 5681 §3.1
    #[test]
    fn each_window_that_is_acknowledged_adds_one_segment() {
        let mut hot = Congestion::new(10 * MSS);
        hot.threshold = 5 * MSS;
        for segments in 10..15 {
            acks(&mut hot, segments, MSS);
            assert_eq!(hot.window, (segments + 1) * MSS);
        }
    }

    // proves: RFC 9293 MUST-19 (slow start, congestion avoidance)
    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_segment_a_window() {
        let mut hot = Congestion::new(10 * MSS);
        acks(&mut hot, 10, MSS);
        assert_eq!(hot.window(), 20 * MSS);
        loss(&mut hot, 20 * MSS, false);
        assert_eq!((hot.window(), hot.threshold()), (10 * MSS, 10 * MSS));
        acks(&mut hot, 10, MSS);
        assert_eq!(hot.window(), 11 * MSS);
    }

    // proves: RFC 3465 §2
    #[test]
    fn one_ack_grows_slow_start_by_two_segments_at_most() {
        let mut hot = Congestion::new(10 * MSS);
        acks(&mut hot, 1, 50 * MSS);
        assert_eq!(hot.window(), 12 * MSS);
    }

    #[test]
    fn fast_recovery_inflates_deflates_and_ends_without_a_burst() {
        let mut hot = Congestion::new(10 * MSS);
        loss(&mut hot, 10 * MSS, true);
        assert_eq!((hot.window(), hot.threshold()), (8 * MSS, 5 * MSS));
        hot.inflate(MSS);
        assert_eq!(hot.window(), 9 * MSS);
        hot.on_partial_ack(3 * MSS, MSS);
        assert_eq!(hot.window(), 7 * MSS);
        hot.on_recovered(None, KIND, 2 * MSS, MSS);
        assert_eq!(hot.window(), 3 * MSS);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_halves_once() {
        let mut hot = Congestion::new(10 * MSS);
        hot.on_timeout(None, &Reduction::of(KIND, 10 * MSS, 0), true);
        hot.on_timeout(None, &Reduction::of(KIND, MSS, 0), false);
        assert_eq!((hot.window(), hot.threshold()), (MSS, 5 * MSS));
    }

    #[test]
    fn the_threshold_is_never_below_two_segments() {
        let mut hot = Congestion::new(MSS);
        hot.on_timeout(None, &Reduction::of(KIND, MSS, 0), true);
        assert_eq!(hot.threshold(), 2 * MSS);
    }

    #[test]
    fn idleness_takes_the_window_back_to_the_initial_one_but_never_up() {
        let mut hot = Congestion::new(50 * MSS);
        hot.on_idle(KIND, 10 * MSS);
        assert_eq!(hot.window(), 10 * MSS);
        hot.on_timeout(None, &Reduction::of(KIND, MSS, 0), true);
        hot.on_idle(KIND, 10 * MSS);
        assert_eq!(hot.window(), MSS);
    }

    #[test]
    fn without_a_model_each_algorithm_keeps_its_factor() {
        for (kind, left) in [
            (CongestionKind::Cubic, 7_001),
            (CongestionKind::Dctcp, 5_000),
            (KIND, 5_000),
        ] {
            let mut hot = Congestion::new(10 * MSS);
            hot.on_loss(None, &Reduction::of(kind, 10 * MSS, 0));
            assert_eq!(hot.window(), left, "{kind}");
        }
    }

    #[test]
    fn a_window_that_is_not_used_and_one_in_recovery_do_not_grow() {
        let mut hot = Congestion::new(10 * MSS);
        let idle = AckSample {
            app_limited: true,
            ..AckSample::of(KIND, MSS, 0)
        };
        let lossy = AckSample {
            in_recovery: true,
            ..AckSample::of(KIND, MSS, 0)
        };
        hot.on_ack(None, &idle);
        hot.on_ack(None, &lossy);
        assert_eq!(hot.window(), 10 * MSS);
    }

    // proves: RFC 3465 §2.1 (what is acknowledged beyond a window counts for the next)
    #[test]
    fn what_is_acknowledged_beyond_a_window_is_kept() {
        let mut hot = Congestion::new(10 * MSS);
        hot.threshold = 5 * MSS;
        for (octets, window, left) in [(15_500, 11, 5_500), (5_499, 11, 10_999), (1, 12, 0)] {
            acks(&mut hot, 1, octets);
            assert_eq!((hot.window, hot.acknowledged), (window * MSS, left));
        }
    }
}
