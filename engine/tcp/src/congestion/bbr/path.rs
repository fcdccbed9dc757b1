//! The model of the path (draft §5.5): packet-timed rounds, the bandwidth, aggregation, and what losses bound.

use fourtuple_wire::Instant;

use super::rate::RateSample;
use super::{AckSample, Bbr, Congestion};

/// Rounds, timed by packets: one ends with the ACK of something sent after the last one ended (§5.5.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    ends_at: u64,
    pub(super) count: u32,
    /// This ACK began one.
    pub(super) started: bool,
    /// Rounds since the bandwidth was probed last.
    pub(super) since_probe: u32,
}

impl Rounds {
    fn follow(&mut self, delivered: u64, rate: &RateSample) {
        self.started = rate.has_data && rate.prior_delivered >= self.ends_at;
        if self.started {
            self.restart(delivered);
            self.count = self.count.wrapping_add(1);
            self.since_probe = self.since_probe.saturating_add(1);
        }
    }

    /// A new one begins here.
    pub(super) fn restart(&mut self, delivered: u64) {
        self.ends_at = delivered;
    }
}

/// The greatest delivery rate of this ProbeBW cycle and the last (§5.5.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    last_cycle: u64,
    this_cycle: u64,
    /// With its bound by loss: what sending goes by.
    pub(super) bounded: u64,
}

impl MaxBandwidth {
    pub(super) fn max(&self) -> u64 {
        self.last_cycle.max(self.this_cycle)
    }

    fn follow(&mut self, rate: &RateSample) {
        if rate.rate >= self.max() || !rate.app_limited {
            self.this_cycle = self.this_cycle.max(rate.rate);
        }
    }

    /// A cycle is over: what was seen in the one before it is forgotten.
    pub(super) fn advance(&mut self) {
        // Nothing was seen (the application was the limit): then what was known holds.
        if self.this_cycle > 0 {
            self.last_cycle = self.this_cycle;
            self.this_cycle = 0;
        }
    }

    pub(super) fn bound(&mut self, most: u64) {
        self.bounded = self.max().min(most);
    }
}

/// What was delivered in the latest round, and whether it had losses (§5.5.10.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossRound {
    ends_at: u64,
    started: bool,
    /// Something was lost in this round, or marked.
    pub(super) in_round: bool,
    /// ACKs of this round that showed losses.
    pub(super) events: u8,
    pub(super) bandwidth: u64,
    pub(super) inflight: u32,
}

impl LossRound {
    /// At the end of an ACK: what it showed begins the next round.
    pub(super) fn advance(&mut self, rate: &RateSample) {
        if self.started {
            self.bandwidth = rate.rate;
            self.inflight = rate.delivered;
        }
    }

    /// Another phase: nothing of what was before it counts.
    pub(super) fn reset(&mut self) {
        self.in_round = false;
        self.events = 0;
        self.bandwidth = 0;
        self.inflight = 0;
    }
}

/// How much more is acknowledged at once than the rate explains (§5.5.9).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregation {
    since: Option<Instant>,
    acked: u64,
    /// Greatest of the last span of rounds, and of this one.
    last: u32,
    current: u32,
    span_began: u32,
}

impl Aggregation {
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = Some(now);
        self.acked = 0;
    }

    /// Octets that are to be outstanding beyond the bandwidth-delay product.
    pub(super) fn extra(&self) -> u32 {
        self.last.max(self.current)
    }

    fn remember(&mut self, extra: u32, round: u32, span: u32) {
        // Two spans of half the length each stand for a window that slides.
        let half = span.div_ceil(2);
        let gone = round.wrapping_sub(self.span_began);
        if gone >= half {
            self.last = if gone >= 2 * half { 0 } else { self.current };
            self.current = 0;
            self.span_began = round;
        }
        self.current = self.current.max(extra);
    }
}

impl Bbr {
    /// Near the start of an ACK: the best of this round so far.
    pub(super) fn take_latest(&mut self, rate: &RateSample) {
        self.losses.bandwidth = self.losses.bandwidth.max(rate.rate);
        self.losses.inflight = self.losses.inflight.max(rate.delivered);
        self.losses.started = rate.has_data && rate.prior_delivered >= self.losses.ends_at;
        if self.losses.started {
            self.losses.ends_at = self.sampler.delivered;
        }
    }

    /// Bandwidth and rounds; once a round the answer to its losses.
    pub(super) fn follow_congestion(&mut self, hot: &Congestion, sample: &AckSample, rate: &RateSample) {
        self.rounds.follow(self.sampler.delivered, rate);
        self.bandwidth.follow(rate);
        if !self.losses.started {
            return;
        }
        self.check_startup_losses(hot, sample, rate);
        if self.losses.in_round && !self.phase.accelerates() {
            self.lower_bounds(hot);
        }
        self.losses.in_round = false;
        self.losses.events = 0;
    }

    /// While it does not probe, BBR comes down to what the last round delivered, by three tenths at most (§5.5.10.3).
    fn lower_bounds(&mut self, hot: &Congestion) {
        if self.bounds.bandwidth_short == u64::MAX {
            self.bounds.bandwidth_short = self.bandwidth.max();
        }
        if self.bounds.inflight_short == u32::MAX {
            self.bounds.inflight_short = hot.window;
        }
        let bandwidth = self.bounds.bandwidth_short / 10 * 7;
        let inflight = (u64::from(self.bounds.inflight_short) * 7 / 10) as u32;
        self.bounds.bandwidth_short = self.losses.bandwidth.max(bandwidth).max(1);
        self.bounds.inflight_short = self.losses.inflight.max(inflight);
    }

    pub(super) fn forget_short_term(&mut self) {
        self.bounds.bandwidth_short = u64::MAX;
        self.bounds.inflight_short = u32::MAX;
    }

    /// Octets are newly thought lost.
    pub(super) fn on_lost(&mut self, hot: &mut Congestion, sample: &AckSample, rate: &RateSample) {
        self.note_congestion(hot);
        self.losses.events = self.losses.events.saturating_add(1);
        if !self.probing.sampling {
            return;
        }
        // The draft asks what was outstanding when the lost packet left; here, when the one left whose arrival showed the loss.
        let (tx_in_flight, lost) = if rate.has_data {
            (rate.tx_in_flight, rate.lost)
        } else {
            (sample.flight.min(hot.window), sample.lost)
        };
        if exceeds_loss_threshold(lost, tx_in_flight) || !sample.sack {
            let inflight = inflight_at_loss(tx_in_flight, lost, sample.lost);
            self.inflight_was_too_high(hot, inflight, rate.app_limited, sample.now);
        }
    }

    /// The first sign of congestion of a round begins its count.
    pub(super) fn note_congestion(&mut self, hot: &Congestion) {
        if !self.losses.in_round {
            self.losses.ends_at = self.sampler.delivered;
            self.save_state(hot);
        }
        self.losses.in_round = true;
    }

    /// How much more was acknowledged at once than the bandwidth explains.
    pub(super) fn follow_aggregation(&mut self, hot: &Congestion, sample: &AckSample) {
        let since = self.aggregation.since.unwrap_or(sample.now);
        let elapsed_us = sample.now.since(since).as_micros().min(60_000_000) as u64;
        let mut expected = octets_in(self.bandwidth.bounded, elapsed_us);
        if self.aggregation.acked <= expected {
            self.aggregation.restart(sample.now);
            expected = 0;
        }
        self.aggregation.acked += u64::from(sample.delivered);
        let extra = (self.aggregation.acked - expected).min(u64::from(hot.window)) as u32;
        let span = if self.full_pipe.reached { 10 } else { 1 };
        self.aggregation.remember(extra, self.rounds.count, span);
    }
}

/// Octets that a rate makes in a time.
pub(super) fn octets_in(rate: u64, us: u64) -> u64 {
    rate.saturating_mul(us) / 1_000_000
}

/// BBR.LossThresh: two percent.
pub(super) fn exceeds_loss_threshold(lost: u32, in_flight: u32) -> bool {
    u64::from(lost) * 100 > u64::from(in_flight) * 2
}

/// The draft's InflightAtLoss: with how much outstanding the losses went over the threshold, of which `size` are the latest.
fn inflight_at_loss(tx_in_flight: u32, lost: u32, size: u32) -> u32 {
    let before = u64::from(tx_in_flight.saturating_sub(size));
    let lost_before = u64::from(lost.saturating_sub(size));
    let prefix = (before * 2).saturating_sub(lost_before * 100) / 98;
    (before + prefix).min(u64::from(u32::MAX)) as u32
}
