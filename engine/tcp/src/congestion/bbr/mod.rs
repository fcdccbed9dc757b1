//! BBR version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its round-trip time, decides how fast to send and
//! how much to have outstanding; loss bounds the model, and halves nothing.
//!
//! ```text
//!   Startup ─► Drain ─► Down ─► Cruise ─► Refill ─► Up ─► Down …      from any: ProbeRtt when the least RTT is 10 s old
//!   2.77 bw    0.5      0.9     1.0       1.0       1.25 of the bandwidth, as the pacer lets it go
//! ```
//!
//! | file | of the draft |
//! |---|---|
//! | `rate` | delivery rate samples (§4.1) |
//! | `path` | rounds, bandwidth, aggregation, bounds by loss (§5.5) |
//! | `startup` | Startup and Drain (§5.3.1, §5.3.2) |
//! | `probe_bw` | the cycle (§5.3.3) |
//! | `probe_rtt` | the least round-trip time, restart from idle (§5.3.4, §5.4) |
//! | `control` | pacing rate, window (§5.6) |
//!
//! Rates are octets a second, times microseconds, gains percent. The draft gives no answer to ECN: an echoed mark counts as a loss
//! in its round, so that RFC 3168's demand is met.

mod control;
mod path;
mod probe_bw;
mod probe_rtt;
mod rate;
mod startup;

use fourtuple_wire::Instant;

use self::path::{Aggregation, LossRound, MaxBandwidth, Rounds};
use self::probe_bw::{AckPhase, Probing};
use self::probe_rtt::MinRtt;
use self::rate::{RateSample, Sampler};
use self::startup::FullPipe;
use super::{AckSample, Algorithm, Congestion, Reduction, SendSample};

/// Where the state machine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Phase {
    /// One of the four of the ProbeBW cycle.
    const fn in_cycle(self) -> bool {
        match self {
            Self::Down | Self::Cruise | Self::Refill | Self::Up => true,
            Self::Startup | Self::Drain | Self::ProbeRtt => false,
        }
    }

    /// Sending as fast as the path is thought to carry, or faster.
    const fn accelerates(self) -> bool {
        match self {
            Self::Startup | Self::Refill | Self::Up => true,
            Self::Drain | Self::Down | Self::Cruise | Self::ProbeRtt => false,
        }
    }

    /// Percent of the bandwidth at which segments leave.
    const fn pacing_gain(self) -> u64 {
        match self {
            // 4 ln 2: what doubles the rate each round.
            Self::Startup => 277,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }

    /// Percent of the bandwidth-delay product that may be outstanding.
    const fn window_gain(self) -> u64 {
        match self {
            Self::Startup | Self::Drain | Self::Down | Self::Cruise | Self::Refill => 200,
            Self::Up => 225,
            Self::ProbeRtt => 50,
        }
    }
}

/// What BBR remembers of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bbr {
    begun: bool,
    phase: Phase,
    sampler: Sampler,
    rounds: Rounds,
    bandwidth: MaxBandwidth,
    full_pipe: FullPipe,
    losses: LossRound,
    bounds: Bounds,
    aggregation: Aggregation,
    min_rtt: MinRtt,
    probing: Probing,
    undo: Undo,
    /// Fast recovery, or that of a timeout, is under way.
    in_recovery: bool,
    /// The window before recovery or ProbeRtt lowered it.
    prior_window: u32,
    /// The initial window in octets.
    initial: u32,
    /// The round from which Drain lasts three at most.
    drain_since: u32,
    /// Octets a second; zero before anything is known.
    pacing_rate: u64,
}

/// What loss taught: no more than these, `MAX` for no bound.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bandwidth_short: u64,
    inflight_short: u32,
    inflight_long: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bandwidth_short: u64::MAX,
            inflight_short: u32::MAX,
            inflight_long: u32::MAX,
        }
    }
}

/// What to return to when a loss turns out to be none.
#[derive(Clone, Copy, Debug, Default)]
struct Undo {
    phase: Option<Phase>,
    bounds: Bounds,
}

impl Bbr {
    /// The first data, or the first after another algorithm.
    fn begin(&mut self, hot: &Congestion, srtt_us: u32, now: Instant) {
        if self.begun {
            return;
        }
        self.begun = true;
        self.initial = hot.window();
        self.min_rtt.begin(srtt_us, now);
        self.aggregation.restart(now);
        let span_us = u64::from(if srtt_us == 0 { 1000 } else { srtt_us });
        let nominal = u64::from(self.initial) * 1_000_000 / span_us;
        self.pacing_rate = (nominal * Phase::Startup.pacing_gain() / 100).max(1);
    }

    /// Data leaves.
    pub(super) fn on_sent(&mut self, hot: &mut Congestion, sample: &SendSample) {
        self.begin(hot, sample.srtt_us, sample.now);
        if sample.pipe == 0 && self.sampler.is_app_limited() {
            self.restart_from_idle(hot, sample);
        }
        self.sampler.on_sent(sample);
    }

    /// Octets a second.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        (self.pacing_rate > 0).then_some(self.pacing_rate)
    }

    /// The window as it was without recovery and ProbeRtt, kept for when they end.
    fn save_window(&mut self, hot: &Congestion) {
        self.prior_window = if self.in_recovery || self.phase == Phase::ProbeRtt {
            self.prior_window.max(hot.window)
        } else {
            hot.window
        };
    }

    fn restore_window(&self, hot: &mut Congestion) {
        hot.window = hot.window.max(self.prior_window);
    }

    fn save_state(&mut self, hot: &Congestion) {
        self.save_window(hot);
        self.undo = Undo {
            phase: None,
            bounds: self.bounds,
        };
    }

    /// The recovery had been for nothing: bounds and phase are what they were.
    pub(super) fn on_spurious_loss(&mut self, hot: &mut Congestion) {
        self.in_recovery = false;
        self.restore_window(hot);
        self.losses.in_round = false;
        self.full_pipe.restart(0);
        let before = self.undo.bounds;
        self.bounds.bandwidth_short = self.bounds.bandwidth_short.max(before.bandwidth_short);
        self.bounds.inflight_short = self.bounds.inflight_short.max(before.inflight_short);
        self.bounds.inflight_long = self.bounds.inflight_long.max(before.inflight_long);
        match self.undo.phase.take() {
            Some(Phase::Startup) if self.phase != Phase::Startup => {
                self.full_pipe.reached = false;
                if self.phase != Phase::ProbeRtt {
                    self.phase = Phase::Startup;
                }
            }
            Some(Phase::Up) if self.phase != Phase::Up && self.phase != Phase::ProbeRtt => {
                self.start_refill();
            }
            Some(_) | None => {}
        }
    }

    /// What was outstanding at a timeout is acknowledged: the window is what it was before.
    pub(super) fn on_timeout_repaired(&mut self, hot: &mut Congestion) {
        if self.in_recovery {
            self.in_recovery = false;
            self.restore_window(hot);
        }
    }

    /// The draft's UpdateModelAndState, in its order.
    fn update_model(&mut self, hot: &mut Congestion, sample: &AckSample, rate: &RateSample) {
        self.take_latest(rate);
        self.follow_congestion(hot, sample, rate);
        self.follow_aggregation(hot, sample);
        self.full_pipe.check(self.rounds.started, rate);
        self.check_startup_done();
        self.check_drain_done(sample);
        self.advance_cycle(hot, sample, rate);
        self.follow_min_rtt(sample);
        self.check_probe_rtt(hot, sample, rate);
        self.losses.advance(rate);
        self.bandwidth.bound(self.bounds.bandwidth_short);
    }
}

impl Algorithm for Bbr {
    fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample) {
        self.begin(hot, sample.srtt_us, sample.now);
        let rate = self.sampler.on_ack(sample, self.min_rtt.least_us());
        if sample.lost > 0 {
            self.on_lost(hot, sample, &rate);
        }
        if sample.delivered == 0 {
            return;
        }
        self.update_model(hot, sample, &rate);
        self.set_pacing_rate(self.phase.pacing_gain());
        self.set_window(hot, sample);
    }

    fn on_loss(&mut self, hot: &mut Congestion, _: &Reduction) {
        self.save_window(hot);
        self.in_recovery = true;
    }

    fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        self.note_congestion(hot);
        if self.probing.sampling {
            self.inflight_was_too_high(hot, reduction.flight, false, reduction.now);
        }
    }

    fn on_timeout(&mut self, hot: &mut Congestion, _: &Reduction) {
        self.save_state(hot);
        self.in_recovery = true;
    }

    fn on_recovered(&mut self, hot: &mut Congestion, _: u32, _: u32) {
        self.in_recovery = false;
        self.restore_window(hot);
    }
}

#[cfg(test)]
mod tests;
