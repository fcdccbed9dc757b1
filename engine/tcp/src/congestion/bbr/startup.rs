//! Startup, which doubles the rate each round until the pipe is full, and Drain, which empties the queue that this made
//! (draft §5.3.1, §5.3.2).

use super::path::exceeds_loss_threshold;
use super::rate::RateSample;
use super::{AckSample, Bbr, Congestion, Phase};

/// Whether faster sending still brings more (§5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    /// The rate from which growth is counted.
    baseline: u64,
    /// Rounds without much growth.
    rounds: u8,
    /// The pipe is full now: ends Up.
    pub(super) now: bool,
    /// It was full once: ended Startup.
    pub(super) reached: bool,
}

impl FullPipe {
    /// Counting begins anew, from this rate.
    pub(super) fn restart(&mut self, baseline: u64) {
        self.baseline = baseline;
        self.rounds = 0;
        self.now = false;
    }

    /// Three rounds that grow by less than a quarter.
    pub(super) fn check(&mut self, round_started: bool, rate: &RateSample) {
        if self.now || !round_started || rate.app_limited {
            return;
        }
        if rate.rate >= self.baseline + self.baseline / 4 {
            self.restart(rate.rate);
            return;
        }
        self.rounds += 1;
        self.now = self.rounds >= 3;
        self.reached |= self.now;
    }
}

/// ACKs of a round with losses that are no accident (BBRStartupFullLossCnt).
const LOSS_EVENTS: u8 = 6;
/// Rounds after which Drain gives up: the bandwidth was thought greater than it is.
const DRAIN_ROUNDS: u32 = 3;

impl Bbr {
    /// §5.3.1.3: a round with many losses, two percent of it, has filled the pipe too.
    pub(super) fn check_startup_losses(&mut self, hot: &Congestion, sample: &AckSample, rate: &RateSample) {
        if self.phase != Phase::Startup || self.full_pipe.reached || !self.losses.in_round {
            return;
        }
        let many = self.losses.events >= LOSS_EVENTS && exceeds_loss_threshold(rate.lost, rate.tx_in_flight);
        if many || !sample.sack {
            self.undo.phase = Some(Phase::Startup);
            self.full_pipe.reached = true;
            self.bounds.inflight_long = self.bdp(hot, 100).max(self.losses.inflight);
        }
    }

    pub(super) fn check_startup_done(&mut self) {
        if self.phase == Phase::Startup && self.full_pipe.reached {
            self.phase = Phase::Drain;
            self.drain_since = self.rounds.count;
        }
    }

    pub(super) fn check_drain_done(&mut self, sample: &AckSample) {
        let rounds = self.rounds.count.wrapping_sub(self.drain_since);
        let drained = sample.pipe <= self.inflight(100, sample.mss) || rounds > DRAIN_ROUNDS;
        if self.phase == Phase::Drain && drained {
            self.start_down(sample.now);
        }
    }
}
