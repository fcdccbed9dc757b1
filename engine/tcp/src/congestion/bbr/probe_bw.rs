//! The ProbeBW cycle (draft §5.3.3): Down leaves room, Cruise keeps the rate, Refill fills the pipe, Up looks for more.

use std::hash::{DefaultHasher, Hasher};

use fourtuple_wire::Instant;

use super::path::exceeds_loss_threshold;
use super::rate::RateSample;
use super::{AckSample, Bbr, Congestion, Phase};
use crate::congestion::MAX_WINDOW;

/// Which ACKs are coming in: those of segments sent while probing, or others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AckPhase {
    #[default]
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// What the cycle remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probing {
    pub(super) ack_phase: AckPhase,
    /// ACKs are of segments sent while probing, and no answer was given to them yet.
    pub(super) sampling: bool,
    /// The last probe met too much loss.
    too_high: bool,
    /// The last probe stopped where the one before had met loss.
    precautionary: bool,
    /// Rounds of Up so far: the exponent of its growth.
    up_rounds: u8,
    /// Octets acknowledged towards the next segment of growth.
    up_acked: u32,
    /// Octets to be acknowledged for a segment of growth; zero for no growth, which is outside of Up.
    up_step: u32,
    /// When this cycle began, and after how many milliseconds it probes.
    began: Option<Instant>,
    wait_ms: u32,
}

/// BBR.Headroom: what is left to others, in percent.
const HEADROOM_PERCENT: u64 = 15;
/// T_reno_bound: rounds after which it probes whatever the clock says, so as to be no slower than NewReno.
const RENO_ROUNDS: u32 = 63;

impl Bbr {
    pub(super) fn start_down(&mut self, now: Instant) {
        self.losses.reset();
        self.probing.up_step = 0;
        // Two to three seconds, and up to a round less or more, so that connections do not probe together.
        let dice = dice(now, self.sampler.delivered);
        self.probing.wait_ms = 2_000 + (dice % 1_000) as u32;
        self.rounds.since_probe = (dice >> 32) as u32 & 1;
        self.probing.began = Some(now);
        self.probing.ack_phase = AckPhase::ProbeStopping;
        self.rounds.restart(self.sampler.delivered);
        self.phase = Phase::Down;
    }

    pub(super) fn start_refill(&mut self) {
        self.forget_short_term();
        self.probing.up_rounds = 0;
        self.probing.up_acked = 0;
        self.probing.precautionary = false;
        self.probing.ack_phase = AckPhase::Refilling;
        self.rounds.restart(self.sampler.delivered);
        self.phase = Phase::Refill;
    }

    fn start_up(&mut self, hot: &Congestion, mss: u32, rate: &RateSample) {
        self.probing.sampling = true;
        self.probing.ack_phase = AckPhase::ProbeStarting;
        self.rounds.restart(self.sampler.delivered);
        self.full_pipe.restart(rate.rate);
        self.phase = Phase::Up;
        self.steepen(hot, mss);
    }

    /// The draft's UpdateProbeBWCyclePhase.
    pub(super) fn advance_cycle(&mut self, hot: &Congestion, sample: &AckSample, rate: &RateSample) {
        if !self.full_pipe.reached {
            return;
        }
        if self.adapt_long_term(hot, sample, rate) {
            return;
        }
        match self.phase {
            Phase::Down => {
                if !self.try_probe(hot, sample) && self.has_headroom(sample) {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Cruise => {
                self.try_probe(hot, sample);
            }
            Phase::Refill => {
                if self.rounds.started {
                    self.start_up(hot, sample.mss, rate);
                }
            }
            Phase::Up => {
                if self.is_time_to_go_down(hot, sample, rate) {
                    self.probing.too_high = false;
                    self.start_down(sample.now);
                }
            }
            Phase::Startup | Phase::Drain | Phase::ProbeRtt => {}
        }
    }

    /// It is time to probe: by the clock, or because NewReno would have grown by now.
    fn try_probe(&mut self, hot: &Congestion, sample: &AckSample) -> bool {
        let waited = self
            .probing
            .began
            .is_none_or(|began| sample.now.since(began).as_millis() > u128::from(self.probing.wait_ms));
        let target = self.bdp(hot, 100).min(hot.window) / sample.mss.max(1);
        let due = waited || self.rounds.since_probe >= target.min(RENO_ROUNDS);
        if due {
            self.start_refill();
        }
        due
    }

    /// The queue is empty, and there is room for others.
    fn has_headroom(&self, sample: &AckSample) -> bool {
        sample.pipe <= self.inflight_with_headroom(sample.mss)
            && sample.pipe <= self.inflight_at(self.bandwidth.max(), 100, sample.mss)
    }

    fn is_time_to_go_down(&mut self, hot: &Congestion, sample: &AckSample, rate: &RateSample) -> bool {
        let bound = self.bounds.inflight_long;
        if self.probing.too_high && sample.pipe >= bound {
            self.probing.precautionary = true;
            return true;
        }
        if is_window_limited(hot, sample) && hot.window >= bound {
            // The bound, not the path, keeps the rate from growing.
            self.full_pipe.restart(rate.rate);
            return false;
        }
        self.full_pipe.now
    }

    /// Window less a part for others; `MAX` while nothing bounds it.
    pub(super) fn inflight_with_headroom(&self, mss: u32) -> u32 {
        let bound = self.bounds.inflight_long;
        if bound == u32::MAX {
            return u32::MAX;
        }
        let room = ((u64::from(bound) * HEADROOM_PERCENT / 100) as u32).max(mss);
        bound.saturating_sub(room).max(least_window(mss))
    }

    /// The bound grows by one segment in the first round of Up, then by two, four, eight.
    fn steepen(&mut self, hot: &Congestion, mss: u32) {
        let growth = 1u32 << self.probing.up_rounds;
        self.probing.up_rounds = (self.probing.up_rounds + 1).min(30);
        self.probing.up_step = (hot.window / growth).max(mss).max(1);
    }

    fn raise_long_term(&mut self, hot: &Congestion, sample: &AckSample) {
        if !is_window_limited(hot, sample) || hot.window < self.bounds.inflight_long {
            return;
        }
        let probing = &mut self.probing;
        probing.up_acked = probing.up_acked.saturating_add(sample.delivered);
        let steps = probing.up_acked.checked_div(probing.up_step).unwrap_or(0);
        probing.up_acked -= steps * probing.up_step;
        let grown = steps.saturating_mul(sample.mss);
        self.bounds.inflight_long = self.bounds.inflight_long.saturating_add(grown).min(MAX_WINDOW);
        if self.rounds.started {
            self.steepen(hot, sample.mss);
        }
    }

    /// The draft's AdaptLongTermModel: `true` when it decided on a phase.
    fn adapt_long_term(&mut self, hot: &Congestion, sample: &AckSample, rate: &RateSample) -> bool {
        if self.rounds.started && self.probing.ack_phase == AckPhase::ProbeStarting {
            self.probing.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.rounds.started && self.probing.ack_phase == AckPhase::ProbeStopping {
            self.probing.sampling = false;
            self.probing.ack_phase = AckPhase::Init;
            if self.phase.in_cycle() && !rate.app_limited {
                self.bandwidth.advance();
            }
            if self.phase.in_cycle() && self.probing.precautionary && !self.probing.too_high {
                self.start_refill();
                return true;
            }
        }
        let safe = !exceeds_loss_threshold(rate.lost, rate.tx_in_flight) && (sample.lost == 0 || sample.sack);
        if safe && self.bounds.inflight_long != u32::MAX {
            if rate.has_data {
                self.bounds.inflight_long = self.bounds.inflight_long.max(rate.tx_in_flight);
            }
            if self.phase == Phase::Up {
                self.raise_long_term(hot, sample);
            }
        }
        false
    }

    /// With so much outstanding a probe met too much loss: the long-term bound (draft's HandleInflightTooHigh).
    pub(super) fn inflight_was_too_high(
        &mut self,
        hot: &Congestion,
        inflight: u32,
        app_limited: bool,
        now: Instant,
    ) {
        self.probing.too_high = true;
        self.probing.sampling = false;
        if !app_limited {
            // No lower than CUBIC would go.
            let target = u64::from(self.bdp(hot, 100).min(hot.window)) * 7 / 10;
            self.bounds.inflight_long = inflight.max(target as u32).min(MAX_WINDOW);
        }
        if self.phase == Phase::Up {
            self.undo.phase = Some(Phase::Up);
            self.start_down(now);
        }
    }
}

/// BBR.MinPipeCwnd: four segments keep a receiver that acknowledges every second one going.
pub(super) const fn least_window(mss: u32) -> u32 {
    mss.saturating_mul(4)
}

/// The window, not the pacer or the application, is the limit.
fn is_window_limited(hot: &Congestion, sample: &AckSample) -> bool {
    !sample.app_limited && sample.flight.saturating_add(sample.mss) > hot.window
}

/// Bits as good as random, of numbers that no peer knows exactly.
fn dice(now: Instant, delivered: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(now.as_nanos());
    hasher.write_u64(delivered);
    hasher.finish()
}

#[cfg(test)]
mod tests;
