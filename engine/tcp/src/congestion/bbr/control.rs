//! What the model decides (draft §5.6): the pacing rate, and how much may be outstanding.

use super::path::octets_in;
use super::probe_bw::least_window;
use super::{AckSample, Bbr, Congestion, Phase};
use crate::congestion::MAX_WINDOW;

/// BBR.PacingMarginPercent: a percent below the bandwidth, so that queues shrink.
const MARGIN_PERCENT: u64 = 99;

impl Bbr {
    /// `gain` percent of the bandwidth; before the pipe was full once the rate only grows (§5.6.2).
    pub(super) fn set_pacing_rate(&mut self, gain: u64) {
        let rate = self.bandwidth.bounded / 100 * gain / 100 * MARGIN_PERCENT;
        self.pacing_rate = if self.full_pipe.reached && rate > 0 {
            rate
        } else {
            self.pacing_rate.max(rate)
        };
    }

    /// `gain` percent of the bandwidth-delay product; the initial window before there is a round-trip time.
    pub(super) fn bdp_of(&self, gain: u64) -> u32 {
        self.bdp_at(self.bandwidth.bounded, gain)
    }

    fn bdp_at(&self, bandwidth: u64, gain: u64) -> u32 {
        let Some(least_us) = self.min_rtt.least_us() else {
            return self.initial;
        };
        let bdp = octets_in(bandwidth, u64::from(least_us));
        (bdp.min(u64::from(MAX_WINDOW)) * gain / 100) as u32
    }

    /// The same, but the window while there is no bandwidth.
    pub(super) fn bdp(&self, hot: &Congestion, gain: u64) -> u32 {
        if self.bandwidth.bounded == 0 {
            hot.window
        } else {
            self.bdp_of(gain)
        }
    }

    /// With room for what leaves and is acknowledged at once.
    pub(super) fn inflight(&self, gain: u64, mss: u32) -> u32 {
        self.inflight_at(self.bandwidth.bounded, gain, mss)
    }

    pub(super) fn inflight_at(&self, bandwidth: u64, gain: u64, mss: u32) -> u32 {
        self.with_quanta(self.bdp_at(bandwidth, gain), mss)
    }

    /// §5.6.4.2, QuantizationBudget.
    fn with_quanta(&self, inflight: u32, mss: u32) -> u32 {
        // §5.6.3: what leaves at once is a millisecond's worth, 64 KiB at most.
        let quantum = (self.pacing_rate / 1000).clamp(2 * u64::from(mss), (64 << 10).max(2 * u64::from(mss)));
        let inflight = inflight.max((3 * quantum) as u32).max(least_window(mss));
        if self.phase == Phase::Up {
            inflight.saturating_add(mss.saturating_mul(2))
        } else {
            inflight
        }
    }

    /// §5.6.4.6: towards what the model allows, by what was acknowledged; down to it at once.
    pub(super) fn set_window(&mut self, hot: &mut Congestion, sample: &AckSample) {
        let allowed = self
            .bdp_of(self.phase.window_gain())
            .saturating_add(self.aggregation.extra());
        let allowed = self.with_quanta(allowed, sample.mss);
        let grown = hot.window.saturating_add(sample.delivered).min(MAX_WINDOW);
        if self.full_pipe.reached {
            hot.window = grown.min(allowed);
        } else if hot.window < allowed || self.sampler.delivered < u64::from(self.initial) {
            hot.window = grown;
        }
        let least = least_window(sample.mss);
        hot.window = hot.window.max(least);
        if self.phase == Phase::ProbeRtt {
            hot.window = hot.window.min(self.min_rtt.window.max(least));
        }
        hot.window = hot.window.min(self.bound_by_loss(sample.mss).max(least));
    }

    /// §5.6.4.7: the volume cap of the phase.
    fn bound_by_loss(&self, mss: u32) -> u32 {
        let long = match self.phase {
            Phase::Startup => return u32::MAX,
            Phase::Drain | Phase::Down | Phase::Refill | Phase::Up => self.bounds.inflight_long,
            Phase::Cruise | Phase::ProbeRtt => self.inflight_with_headroom(mss),
        };
        long.min(self.bounds.inflight_short)
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::MaxBandwidth;
    use super::super::tests::{MSS, PHASES, ack, known};
    use super::*;

    // proves: draft-ietf-ccwg-bbr §5.6.2 (SetPacingRateWithGain)
    #[test]
    fn the_rate_is_a_percent_below_the_gain_of_the_phase() {
        let rates = PHASES.map(|phase| {
            let (mut bbr, _) = known(phase);
            bbr.set_pacing_rate(phase.pacing_gain());
            bbr.pacing_rate
        });
        let expected = [2_742_300, 495_000, 891_000, 990_000, 990_000, 1_237_500, 990_000];
        assert_eq!(rates, expected);
    }

    // proves: draft-ietf-ccwg-bbr §5.6.2 (no slower before the pipe was full)
    #[test]
    fn before_the_pipe_was_full_the_rate_only_grows() {
        let (mut bbr, _) = known(Phase::Startup);
        bbr.full_pipe.reached = false;
        bbr.pacing_rate = 2_000_000;
        bbr.set_pacing_rate(100);
        assert_eq!(bbr.pacing_rate, 2_000_000);
        bbr.set_pacing_rate(277);
        assert_eq!(bbr.pacing_rate, 2_742_300);
        bbr.full_pipe.reached = true;
        bbr.set_pacing_rate(100);
        assert_eq!(bbr.pacing_rate, 990_000);
        // Nothing is known of the bandwidth: the rate that was.
        bbr.bandwidth = MaxBandwidth::default();
        bbr.set_pacing_rate(100);
        assert_eq!(bbr.pacing_rate, 990_000);
    }

    // proves: draft-ietf-ccwg-bbr §5.6.4.2 (BDPMultiple)
    #[test]
    fn the_product_is_the_window_before_there_is_a_bandwidth_and_the_initial_one_before_a_round_trip() {
        let (mut bbr, hot) = known(Phase::Cruise);
        assert_eq!(bbr.bdp(&hot, 100), 100_000);
        assert_eq!(bbr.bdp(&hot, 225), 225_000);
        bbr.min_rtt.begin(0, ack(0).now);
        assert_eq!(bbr.bdp(&hot, 100), 10 * MSS);
        bbr.bandwidth = MaxBandwidth::default();
        assert_eq!(bbr.bdp(&hot, 100), 100 * MSS);
    }

    // proves: draft-ietf-ccwg-bbr §5.6.3 (SetSendQuantum), §5.6.4.2 (QuantizationBudget)
    #[test]
    fn three_quanta_are_outstanding_at_least_and_two_segments_more_in_up() {
        for (phase, bandwidth, pacing_rate, mss, expected) in [
            (Phase::Cruise, 1_000_000, 1_000_000, MSS, 100_000),
            (Phase::Up, 1_000_000, 1_000_000, MSS, 102_000),
            // A millisecond's worth is less than two segments.
            (Phase::Cruise, 10_000, 1_999_999, MSS, 6_000),
            (Phase::Up, 10_000, 1_999_999, MSS, 8_000),
            (Phase::Cruise, 10_000, 10_500_000, MSS, 31_500),
            // 64 KiB at most, unless two segments are more.
            (Phase::Cruise, 10_000, 100_000_000, MSS, 3 * 65_536),
            (Phase::Cruise, 10_000, 100_000_000, 40_000, 240_000),
        ] {
            let (mut bbr, _) = known(phase);
            bbr.bandwidth.bounded = bandwidth;
            bbr.pacing_rate = pacing_rate;
            let got = bbr.inflight(100, mss);
            assert_eq!(got, expected, "{phase:?} {bandwidth} {pacing_rate} {mss}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.6.4.6 (SetCwnd)
    #[test]
    fn the_window_follows_what_is_acknowledged_up_to_twice_the_product() {
        for (full, delivered, window, after) in [
            (true, 50_000, 150_000, 151_000),
            (true, 50_000, 199_500, 200_000),
            (true, 50_000, 300_000, 200_000),
            // Before the pipe was full it grows from below the bound, and does not come down.
            (false, 50_000, 199_999, 200_999),
            (false, 50_000, 200_000, 200_000),
            (false, 50_000, 300_000, 300_000),
            // And as long as less than the initial window was delivered.
            (false, 9_999, 300_000, 301_000),
            (false, 10_000, 300_000, 300_000),
        ] {
            let (mut bbr, mut hot) = known(if full { Phase::Cruise } else { Phase::Startup });
            bbr.full_pipe.reached = full;
            bbr.sampler.delivered = delivered;
            hot.window = window;
            bbr.set_window(&mut hot, &ack(0));
            assert_eq!(hot.window, after, "{full} {delivered} {window}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.6.4.7 (BoundCwndForModel), §5.6.4.5 (BoundCwndForProbeRTT)
    #[test]
    fn what_loss_taught_bounds_the_window_by_phase() {
        for (phase, short, after) in [
            (Phase::Startup, 60_000, 101_000),
            (Phase::Drain, u32::MAX, 80_000),
            (Phase::Down, u32::MAX, 80_000),
            (Phase::Refill, 60_000, 60_000),
            (Phase::Up, u32::MAX, 80_000),
            // Fifteen percent are left to others.
            (Phase::Cruise, u32::MAX, 68_000),
            (Phase::Cruise, 60_000, 60_000),
            (Phase::ProbeRtt, u32::MAX, 40_000),
            (Phase::ProbeRtt, 30_000, 30_000),
            // Four segments at least.
            (Phase::Cruise, 1, 4_000),
        ] {
            let (mut bbr, mut hot) = known(phase);
            bbr.bounds.inflight_long = 80_000;
            bbr.bounds.inflight_short = short;
            bbr.min_rtt.window = 40_000;
            bbr.set_window(&mut hot, &ack(0));
            assert_eq!(hot.window, after, "{phase:?} {short}");
        }
    }
}
