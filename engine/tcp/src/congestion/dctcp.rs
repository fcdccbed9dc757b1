//! DCTCP (RFC 8257): the window comes down by how much of a window of data was marked, not by half for any mark.
//!
//! α is the moving share of marked octets, in 1,024ths; once a window with marks, the window loses α/2 of itself. Loss is
//! NewReno's (§3.5), and so is growth (§3.4). The receiver's part, an echo of each packet's mark, is in `ecn`.

use fourtuple_wire::SeqNum;

use super::{AckSample, Algorithm, Congestion, NewReno, Reduction};

/// What DCTCP remembers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dctcp {
    /// DCTCP.Alpha, in 1,024ths.
    alpha: u32,
    /// DCTCP.WindowEnd.
    window_end: Option<SeqNum>,
    /// DCTCP.BytesAcked.
    acked: u32,
    /// DCTCP.BytesMarked.
    marked: u32,
}

impl Default for Dctcp {
    fn default() -> Self {
        Self {
            // §3.3: one, so that the first marks count in full.
            alpha: 1024,
            window_end: None,
            acked: 0,
            marked: 0,
        }
    }
}

impl Dctcp {
    /// §3.3 steps 1–8: counts, and α once a window of data.
    fn count(&mut self, sample: &AckSample) {
        self.acked = self.acked.saturating_add(sample.acked);
        if sample.ece {
            self.marked = self.marked.saturating_add(sample.acked);
        }
        if self.window_end.is_some_and(|end| sample.una.before(end)) {
            return;
        }
        if self.window_end.is_some() && self.acked > 0 {
            let share = (u64::from(self.marked) << 10) / u64::from(self.acked);
            // The last sixteenth rounds up, so that α reaches zero.
            self.alpha -= self.alpha.div_ceil(1 << G_SHIFT).min(self.alpha);
            self.alpha = (self.alpha + (share as u32 >> G_SHIFT)).min(1024);
        }
        self.window_end = Some(sample.nxt);
        (self.acked, self.marked) = (0, 0);
    }
}

/// §4.2: g, the weight of a new window, is 1/16.
const G_SHIFT: u32 = 4;

impl Algorithm for Dctcp {
    fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample) {
        self.count(sample);
        NewReno.on_ack(hot, sample);
        if sample.ece && hot.in_slow_start() {
            // §3.3: a mark ends slow start, as in RFC 3168.
            hot.threshold = hot.threshold.min(hot.window);
        }
    }

    fn on_loss(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        // RFC 8257 §3.5: as any TCP does.
        NewReno.on_loss(hot, reduction);
    }

    fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        // §3.3 step 9: cwnd × (1 − α/2).
        let window = u64::from(hot.window);
        let left = window - ((window * u64::from(self.alpha)) >> 11);
        hot.threshold = (left as u32).max(reduction.mss.saturating_mul(2));
        hot.window = hot.threshold;
        hot.acknowledged = 0;
    }

    fn on_timeout(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        NewReno.on_timeout(hot, reduction);
    }

    fn on_recovered(&mut self, hot: &mut Congestion, flight: u32, mss: u32) {
        NewReno.on_recovered(hot, flight, mss);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CongestionKind;

    const KIND: CongestionKind = CongestionKind::Dctcp;

    /// A window of ten segments is acknowledged, the first `marked` of them with an echo.
    fn window(dctcp: &mut Dctcp, hot: &mut Congestion, number: u32, marked: u32) {
        for at in 0..10 {
            let sample = AckSample {
                una: SeqNum(u32::MAX - 55_555) + number * 10_000 + (at + 1) * 1_000,
                nxt: SeqNum(u32::MAX - 55_555) + (number + 1) * 10_000 + (at + 1) * 1_000,
                ece: at < marked,
                ..AckSample::of(KIND, 1_000, 0)
            };
            dctcp.on_ack(hot, &sample);
        }
    }

    // proves: RFC 8257 §3.3 (α = (1 − g) α + g M, once a window)
    #[test]
    fn alpha_follows_the_share_of_marked_octets() {
        for marked in [0, 1, 5, 10] {
            let (mut dctcp, mut hot) = (Dctcp::default(), Congestion::new(10_000));
            let (mut expected, share) = (1.0f64, f64::from(marked) / 10.0);
            for number in 0..100 {
                window(&mut dctcp, &mut hot, number, marked);
                if number > 0 {
                    expected += (share - expected) / 16.0;
                }
                let off = f64::from(dctcp.alpha) / 1024.0 - expected;
                assert!(
                    off.abs() < 0.03,
                    "{marked} marked, window {number}: {} not {expected}",
                    dctcp.alpha
                );
            }
            assert!(marked > 0 || dctcp.alpha == 0, "{dctcp:?}");
        }
    }

    // proves: RFC 8257 §3.4
    #[test]
    fn without_marks_it_grows_as_newreno_does() {
        let (mut dctcp, mut hot) = (Dctcp::default(), Congestion::new(10_000));
        let mut reno = Congestion::new(10_000);
        (hot.threshold, reno.threshold) = (40_000, 40_000);
        for number in 0..20 {
            window(&mut dctcp, &mut hot, number, 0);
            for _ in 0..10 {
                NewReno.on_ack(&mut reno, &AckSample::of(KIND, 1_000, 0));
            }
            assert_eq!((hot.window, hot.acknowledged), (reno.window, reno.acknowledged));
        }
        assert!(
            hot.window > 41_000,
            "both slow start and congestion avoidance were seen"
        );
    }

    // proves: RFC 8257 §3.3 (cwnd × (1 − α/2))
    #[test]
    fn the_window_loses_half_of_alpha() {
        for (alpha, left) in [(0, 100_000), (64, 96_875), (512, 75_000), (1024, 50_000)] {
            let mut dctcp = Dctcp {
                alpha,
                ..Dctcp::default()
            };
            let mut hot = Congestion::new(100_000);
            dctcp.on_mark(&mut hot, &Reduction::of(KIND, 100_000, 0));
            assert_eq!((hot.window(), hot.threshold()), (left, left));
        }
    }

    // proves: RFC 8257 §3.5 (loss is met as by any TCP)
    #[test]
    fn loss_halves_whatever_alpha_is() {
        let mut dctcp = Dctcp {
            alpha: 0,
            ..Dctcp::default()
        };
        let mut hot = Congestion::new(100_000);
        dctcp.on_loss(&mut hot, &Reduction::of(KIND, 100_000, 0));
        assert_eq!(hot.window(), 50_000);
    }

    #[test]
    fn a_mark_ends_slow_start() {
        let (mut dctcp, mut hot) = (Dctcp::default(), Congestion::new(10_000));
        window(&mut dctcp, &mut hot, 0, 1);
        assert!(!hot.in_slow_start());
    }

    #[test]
    fn a_window_of_which_nothing_was_acknowledged_says_nothing() {
        let (mut dctcp, mut hot) = (Dctcp::default(), Congestion::new(10_000));
        // Windows that begin and end with an ACK of nothing.
        for _ in 0..3 {
            dctcp.on_ack(&mut hot, &AckSample::of(KIND, 0, 0));
            assert_eq!(dctcp.alpha, 1024);
        }
    }

    // proves: RFC 8257 §3.5 (a timeout, and the end of recovery, are those of any TCP)
    #[test]
    fn a_timeout_leaves_a_segment_and_recovery_ends_without_a_burst() {
        let (mut dctcp, mut hot) = (Dctcp::default(), Congestion::new(100_000));
        dctcp.on_timeout(&mut hot, &Reduction::of(KIND, 100_000, 0));
        assert_eq!((hot.window(), hot.threshold()), (1_000, 50_000));
        dctcp.on_recovered(&mut hot, 60_000, 1_000);
        assert_eq!(hot.window(), 50_000);
        dctcp.on_recovered(&mut hot, 5_000, 1_000);
        assert_eq!(hot.window(), 6_000);
    }
}
