//! The least round-trip time, and ProbeRtt, which empties the queue to see it (draft §5.3.4); restart from idleness (§5.4).

use std::time::Duration;

use fourtuple_wire::Instant;

use super::probe_bw::least_window;
use super::rate::RateSample;
use super::{AckPhase, AckSample, Bbr, Congestion, Phase, SendSample};

/// The estimate, and the state of its probing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinRtt {
    /// Microseconds; zero before any sample.
    least_us: u32,
    taken_at: Option<Instant>,
    expired: bool,
    /// Nothing was outstanding before what is being acknowledged.
    idle_restart: bool,
    /// ProbeRtt lasts until then, once little enough is outstanding.
    done_at: Option<Instant>,
    round_done: bool,
    /// The window in ProbeRtt.
    pub(super) window: u32,
}

/// BBR.MinRTTFilterLen: an older estimate is probed anew.
const FILTER: Duration = Duration::from_secs(10);
/// BBR.ProbeRTTDuration.
const LASTS: Duration = Duration::from_millis(200);

impl MinRtt {
    pub(super) fn begin(&mut self, srtt_us: u32, now: Instant) {
        self.least_us = srtt_us;
        self.taken_at = Some(now);
    }

    /// The estimate, when there is one.
    pub(super) fn least_us(&self) -> Option<u32> {
        (self.least_us > 0).then_some(self.least_us)
    }
}

impl Bbr {
    pub(super) fn follow_min_rtt(&mut self, sample: &AckSample) {
        let age = self.min_rtt.taken_at.map(|at| sample.now.since(at));
        self.min_rtt.expired = age.is_some_and(|age| age > FILTER);
        if self.min_rtt.expired && self.phase != Phase::ProbeRtt {
            // Of the estimate that goes: its successor is taken with a full queue.
            self.min_rtt.window = self.bdp_of(50).max(least_window(sample.mss));
        }
        let rtt = sample.rtt_us;
        if rtt > 0 && (self.min_rtt.least_us == 0 || rtt < self.min_rtt.least_us || self.min_rtt.expired) {
            self.min_rtt.least_us = rtt;
            self.min_rtt.taken_at = Some(sample.now);
        }
    }

    pub(super) fn check_probe_rtt(&mut self, hot: &mut Congestion, sample: &AckSample, rate: &RateSample) {
        if self.phase != Phase::ProbeRtt && self.min_rtt.expired && !self.min_rtt.idle_restart {
            self.save_window(hot);
            self.phase = Phase::ProbeRtt;
            self.min_rtt.done_at = None;
            self.probing.ack_phase = AckPhase::ProbeStopping;
            self.rounds.restart(self.sampler.delivered);
        }
        if self.phase == Phase::ProbeRtt {
            self.probe_rtt(hot, sample);
        }
        if rate.delivered > 0 {
            self.min_rtt.idle_restart = false;
        }
    }

    fn probe_rtt(&mut self, hot: &mut Congestion, sample: &AckSample) {
        // What is delivered now is limited by us.
        self.sampler.mark_app_limited(sample.pipe);
        if self.min_rtt.done_at.is_none() {
            if sample.pipe <= self.min_rtt.window {
                self.min_rtt.done_at = Some(sample.now + LASTS);
                self.min_rtt.round_done = false;
                self.rounds.restart(self.sampler.delivered);
            }
            return;
        }
        self.min_rtt.round_done |= self.rounds.started;
        if self.min_rtt.round_done {
            self.check_probe_rtt_done(hot, sample.now);
        }
    }

    fn check_probe_rtt_done(&mut self, hot: &mut Congestion, now: Instant) {
        if self.min_rtt.done_at.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.taken_at = Some(now);
        self.restore_window(hot);
        self.forget_short_term();
        if self.full_pipe.reached {
            self.start_down(now);
            self.phase = Phase::Cruise;
        } else {
            self.phase = Phase::Startup;
        }
    }

    /// Nothing is outstanding, and the application had been the limit: on at the bandwidth, without a burst.
    pub(super) fn restart_from_idle(&mut self, hot: &mut Congestion, sample: &SendSample) {
        self.min_rtt.idle_restart = true;
        self.aggregation.restart(sample.now);
        if self.phase.in_cycle() {
            self.set_pacing_rate(100);
        } else if self.phase == Phase::ProbeRtt {
            self.check_probe_rtt_done(hot, sample.now);
        }
    }
}
