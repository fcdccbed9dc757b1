//! NewReno: slow start and congestion avoidance (RFC 5681 §3.1, with RFC 3465's byte counting), and the window's course
//! through fast recovery (RFC 6582 §3.2; with SACK the window just stays at the threshold, RFC 6675 §5).

use super::Algorithm;

/// The window, the threshold, and octets acknowledged since the window last grew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    window: u32,
    threshold: u32,
    acknowledged: u32,
}

impl NewReno {
    pub(crate) const fn new(initial: u32) -> Self {
        Self {
            window: initial,
            threshold: u32::MAX,
            acknowledged: 0,
        }
    }

    /// RFC 5681 equation (4): half of what was outstanding, but two segments at least.
    fn halve(&mut self, flight: u32, mss: u32) {
        self.threshold = (flight / 2).max(mss.saturating_mul(2));
    }

    fn grow(&mut self, octets: u32) {
        self.window = self.window.saturating_add(octets).min(MAX_WINDOW);
    }
}

impl Algorithm for NewReno {
    #[inline]
    fn window(&self) -> u32 {
        self.window
    }

    fn threshold(&self) -> u32 {
        self.threshold
    }

    fn on_ack(&mut self, acked: u32, mss: u32) {
        if self.window < self.threshold {
            // RFC 5681 §3.1 and RFC 3465: slow start grows by what was acknowledged, two segments at most.
            self.grow(acked.min(mss.saturating_mul(2)));
            return;
        }
        // RFC 5681 §3.1: congestion avoidance grows by one segment when a whole window was acknowledged.
        self.acknowledged = self.acknowledged.saturating_add(acked);
        if self.acknowledged >= self.window {
            self.acknowledged -= self.window;
            self.grow(mss);
        }
    }

    fn on_fast_retransmit(&mut self, flight: u32, mss: u32, inflate: bool) {
        self.halve(flight, mss);
        self.acknowledged = 0;
        self.window = self.threshold;
        if inflate {
            // RFC 6582 §3.2 step 2: three segments have left the network.
            self.grow(mss.saturating_mul(3));
        }
    }

    fn on_duplicate_ack(&mut self, mss: u32) {
        // RFC 6582 §3.2 step 3.
        self.grow(mss);
    }

    fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        // RFC 6582 §3.2 step 5: deflate by what was acknowledged, add back a segment if it was that much.
        self.window = self.window.saturating_sub(acked);
        if acked >= mss {
            self.grow(mss);
        }
        self.window = self.window.max(mss);
    }

    fn on_recovered(&mut self, flight: u32, mss: u32) {
        // RFC 6582 §3.2 step 5, full acknowledgment, option (1): no burst.
        self.window = self.threshold.min(flight.max(mss).saturating_add(mss));
        self.acknowledged = 0;
    }

    fn on_timeout(&mut self, flight: u32, mss: u32, first: bool) {
        if first {
            self.halve(flight, mss);
        }
        // RFC 5681 §3.1: the loss window is one segment.
        self.window = mss;
        self.acknowledged = 0;
    }

    fn on_idle(&mut self, initial: u32) {
        self.window = self.window.min(initial);
        self.acknowledged = 0;
    }

    fn on_syn_lost(&mut self, mss: u32) {
        self.window = self.window.min(mss);
    }
}

/// More than any window scaling can use (RFC 7323 §2.3: 2³⁰).
const MAX_WINDOW: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    // proves: RFC 9293 MUST-19 (slow start, congestion avoidance)
    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_segment_a_window() {
        let mut reno = NewReno::new(10 * MSS);
        for _ in 0..10 {
            reno.on_ack(MSS, MSS);
        }
        assert_eq!(reno.window(), 20 * MSS);
        reno.on_fast_retransmit(20 * MSS, MSS, false);
        assert_eq!((reno.window(), reno.threshold()), (10 * MSS, 10 * MSS));
        for _ in 0..10 {
            reno.on_ack(MSS, MSS);
        }
        assert_eq!(reno.window(), 11 * MSS);
    }

    // proves: RFC 3465 §2
    #[test]
    fn one_ack_grows_slow_start_by_two_segments_at_most() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_ack(50 * MSS, MSS);
        assert_eq!(reno.window(), 12 * MSS);
    }

    #[test]
    fn fast_recovery_inflates_deflates_and_ends_without_a_burst() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_fast_retransmit(10 * MSS, MSS, true);
        assert_eq!((reno.window(), reno.threshold()), (8 * MSS, 5 * MSS));
        reno.on_duplicate_ack(MSS);
        assert_eq!(reno.window(), 9 * MSS);
        reno.on_partial_ack(3 * MSS, MSS);
        assert_eq!(reno.window(), 7 * MSS);
        reno.on_recovered(2 * MSS, MSS);
        assert_eq!(reno.window(), 3 * MSS);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_halves_once() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_timeout(10 * MSS, MSS, true);
        reno.on_timeout(MSS, MSS, false);
        assert_eq!((reno.window(), reno.threshold()), (MSS, 5 * MSS));
    }

    #[test]
    fn the_threshold_is_never_below_two_segments() {
        let mut reno = NewReno::new(MSS);
        reno.on_timeout(MSS, MSS, true);
        assert_eq!(reno.threshold(), 2 * MSS);
    }

    #[test]
    fn idleness_takes_the_window_back_to_the_initial_one_but_never_up() {
        let mut reno = NewReno::new(50 * MSS);
        reno.on_idle(10 * MSS);
        assert_eq!(reno.window(), 10 * MSS);
        reno.on_timeout(MSS, MSS, true);
        reno.on_idle(10 * MSS);
        assert_eq!(reno.window(), MSS);
    }
}
