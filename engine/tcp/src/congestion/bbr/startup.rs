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

#[cfg(test)]
mod tests {
    use super::super::tests::{PHASES, ack, known};
    use super::*;

    // proves: draft-ietf-ccwg-bbr §5.3.1.2 (CheckFullBWReached)
    #[test]
    fn three_rounds_that_grow_by_less_than_a_quarter_fill_the_pipe() {
        let rate = |rate: u64, app_limited: bool| RateSample {
            rate,
            app_limited,
            ..RateSample::default()
        };
        let mut pipe = FullPipe::default();
        // A round begins, its rate, the application was the limit; rounds without growth then, and from which rate.
        for (started, sample, rounds, baseline) in [
            (true, rate(1_000, false), 0, 1_000),
            (true, rate(1_249, false), 1, 1_000),
            (true, rate(1_250, false), 0, 1_250),
            (true, rate(1_300, false), 1, 1_250),
            (false, rate(1_300, false), 1, 1_250),
            (true, rate(1_300, true), 1, 1_250),
            (true, rate(1_300, false), 2, 1_250),
        ] {
            pipe.check(started, &sample);
            assert_eq!((pipe.rounds, pipe.baseline), (rounds, baseline), "{sample:?}");
            assert!(!pipe.now && !pipe.reached, "{sample:?}");
        }
        pipe.check(true, &rate(1_300, false));
        assert!(pipe.now && pipe.reached);
        // It is full until the count begins anew, and was full once for ever.
        pipe.check(true, &rate(9_000, false));
        assert_eq!((pipe.rounds, pipe.now), (3, true));
        pipe.restart(500);
        assert_eq!(
            (pipe.rounds, pipe.baseline, pipe.now, pipe.reached),
            (0, 500, false, true)
        );
    }

    // proves: draft-ietf-ccwg-bbr §5.3.1.3 (Startup ends by loss)
    #[test]
    fn six_losses_of_two_percent_of_a_round_fill_the_pipe_too() {
        use Phase::{Drain, Startup};
        for (phase, in_round, events, lost, sack, fills) in [
            (Startup, true, 6, 2_001, true, true),
            (Startup, true, 7, 9_000, true, true),
            (Startup, true, 5, 2_001, true, false),
            (Startup, true, 6, 2_000, true, false),
            (Startup, false, 6, 2_001, true, false),
            (Drain, true, 6, 2_001, true, false),
            // Without SACK nobody counts them.
            (Startup, true, 1, 1, false, true),
        ] {
            for delivered in [90_000, 120_000] {
                let (mut bbr, hot) = known(phase);
                bbr.full_pipe.reached = false;
                (bbr.losses.in_round, bbr.losses.events) = (in_round, events);
                bbr.losses.inflight = delivered;
                let rate = RateSample {
                    lost,
                    tx_in_flight: 100_000,
                    ..RateSample::default()
                };
                let sample = AckSample { sack, ..ack(0) };
                bbr.check_startup_losses(&hot, &sample, &rate);
                let case = format!("{phase:?} {in_round} {events} {lost} {sack}");
                assert_eq!(bbr.full_pipe.reached, fills, "{case}");
                assert_eq!(bbr.undo.phase, fills.then_some(Startup), "{case}");
                let long = if fills { delivered.max(100_000) } else { u32::MAX };
                assert_eq!(bbr.bounds.inflight_long, long, "{case}");
            }
        }
        // It was full before: nothing is concluded anew.
        let (mut bbr, hot) = known(Startup);
        bbr.losses.in_round = true;
        let sample = AckSample {
            sack: false,
            ..ack(0)
        };
        bbr.check_startup_losses(&hot, &sample, &RateSample::default());
        assert_eq!(bbr.bounds.inflight_long, u32::MAX);
    }

    // proves: draft-ietf-ccwg-bbr §5.3.2 (CheckDrainDone)
    #[test]
    fn drain_is_over_when_the_queue_is_empty_or_after_three_rounds() {
        for (rounds, pipe, over) in [
            (0, 100_000, true),
            (0, 99_999, true),
            (0, 100_001, false),
            (3, 100_001, false),
            (4, 100_001, true),
            (5, 100_001, true),
        ] {
            for phase in PHASES {
                let (mut bbr, _) = known(phase);
                bbr.drain_since = u32::MAX;
                bbr.rounds.count = u32::MAX.wrapping_add(rounds);
                bbr.check_drain_done(&ack(pipe));
                let done = over && phase == Phase::Drain;
                let expected = if done { Phase::Down } else { phase };
                assert_eq!(bbr.phase, expected, "{rounds} rounds, {pipe}");
            }
        }
    }
}
