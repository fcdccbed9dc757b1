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
        if rate > 0 && (self.full_pipe.reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
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
