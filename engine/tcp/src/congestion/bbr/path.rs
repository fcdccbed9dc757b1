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
    /// The best of the last cycle, and of this one.
    #[cfg(test)]
    pub(super) fn of(last_cycle: u64, this_cycle: u64) -> Self {
        Self {
            last_cycle,
            this_cycle,
            bounded: 0,
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Phase;
    use super::super::tests::{KIND, MSS, START_MS, ack, known};
    use super::*;

    fn rate(rate: u64, app_limited: bool) -> RateSample {
        RateSample {
            has_data: true,
            rate,
            app_limited,
            ..RateSample::default()
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.5 (UpdateMaxBw), §5.5.6 (AdvanceMaxBwFilter)
    #[test]
    fn what_the_application_limited_counts_only_when_it_is_no_less() {
        for (sample, this_cycle) in [
            (rate(1_500, true), 1_500),
            (rate(1_000, true), 1_000),
            (rate(999, true), 0),
            (rate(999, false), 999),
            (rate(1_500, false), 1_500),
        ] {
            let mut best = MaxBandwidth::of(1_000, 0);
            best.follow(&sample);
            assert_eq!(
                (best.last_cycle, best.this_cycle),
                (1_000, this_cycle),
                "{sample:?}"
            );
        }
        let mut best = MaxBandwidth::of(1_000, 700);
        best.advance();
        assert_eq!((best.last_cycle, best.this_cycle, best.max()), (700, 0, 700));
        // A cycle without a sample takes nothing away.
        best.advance();
        assert_eq!((best.last_cycle, best.this_cycle), (700, 0));
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.3 (AdvanceLatestDeliverySignals, ResetCongestionSignals)
    #[test]
    fn the_best_of_a_round_gives_way_to_the_first_of_the_next() {
        let sample = RateSample {
            delivered: 5_000,
            ..rate(500, false)
        };
        for (started, kept) in [(false, (900, 9_000)), (true, (500, 5_000))] {
            let mut losses = LossRound {
                started,
                in_round: true,
                events: 3,
                bandwidth: 900,
                inflight: 9_000,
                ..LossRound::default()
            };
            losses.advance(&sample);
            assert_eq!((losses.bandwidth, losses.inflight), kept);
            losses.reset();
            assert_eq!((losses.in_round, losses.events), (false, 0));
            assert_eq!((losses.bandwidth, losses.inflight), (0, 0));
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.3 (UpdateLatestDeliverySignals)
    #[test]
    fn a_round_of_losses_ends_with_an_ack_of_what_left_behind_it() {
        for (has_data, prior_delivered, started) in
            [(true, 7_000, true), (true, 6_999, false), (false, 7_000, false)]
        {
            let (mut bbr, _) = known(Phase::Cruise);
            bbr.sampler.delivered = 9_000;
            (bbr.losses.ends_at, bbr.losses.bandwidth, bbr.losses.inflight) = (7_000, 800, 8_000);
            let sample = RateSample {
                has_data,
                prior_delivered,
                rate: 900,
                delivered: 2_000,
                ..RateSample::default()
            };
            bbr.take_latest(&sample);
            assert_eq!((bbr.losses.bandwidth, bbr.losses.inflight), (900, 8_000));
            assert_eq!(bbr.losses.started, started, "{has_data} {prior_delivered}");
            assert_eq!(bbr.losses.ends_at, if started { 9_000 } else { 7_000 });
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.9 (the greatest of some rounds)
    #[test]
    fn aggregation_is_forgotten_after_five_to_ten_rounds() {
        let mut seen = Aggregation::default();
        for (extra, round, greatest) in [
            (700, 0, 700),
            (300, 4, 700),
            (200, 5, 700),
            (100, 9, 700),
            (100, 10, 200),
            (90, 15, 100),
            // Nine rounds after the fifteenth the last span still counts; ten after the 24th it does not.
            (80, 24, 90),
            (10, 34, 10),
        ] {
            seen.remember(extra, round, 10);
            assert_eq!(seen.extra(), greatest, "round {round}");
        }
        // Before the pipe was full: this round and the last.
        let mut seen = Aggregation::default();
        for (extra, round, greatest) in [(700, 0, 700), (100, 1, 700), (50, 2, 100)] {
            seen.remember(extra, round, 1);
            assert_eq!(seen.extra(), greatest, "round {round}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.9 (UpdateACKAggregation)
    #[test]
    fn what_is_acknowledged_beyond_the_rate_is_aggregation() {
        let (mut bbr, mut hot) = known(Phase::Cruise);
        let at = |bbr: &mut Bbr, hot: &Congestion, ms: u64, segments: u32| {
            bbr.follow_aggregation(hot, &AckSample::of(KIND, segments * MSS, START_MS + ms));
            bbr.aggregation.extra()
        };
        // A thousand octets a millisecond are expected; the first ACK begins a span of time.
        assert_eq!(at(&mut bbr, &hot, 1, 3), 3_000);
        assert_eq!(at(&mut bbr, &hot, 2, 2), 4_000, "five acknowledged, one expected");
        // Ten expected, more than five: another span.
        assert_eq!(at(&mut bbr, &hot, 11, 3), 4_000);
        assert_eq!(at(&mut bbr, &hot, 12, 3), 5_000, "six acknowledged, one expected");
        hot.window = 6_000;
        assert_eq!(at(&mut bbr, &hot, 12, 50), 6_000, "the window at most");
        // The pipe was full: ten rounds are remembered; before, this one and the last.
        bbr.rounds.count = 4;
        assert_eq!(at(&mut bbr, &hot, 500, 1), 6_000);
        bbr.full_pipe.reached = false;
        assert_eq!(at(&mut bbr, &hot, 501, 1), 1_000);
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.3 (InitLowerBounds, LossLowerBounds)
    #[test]
    fn a_round_with_losses_takes_three_tenths_of_the_short_term_bounds_at_most() {
        let (mut bbr, hot) = known(Phase::Cruise);
        let bounds = |bbr: &Bbr| (bbr.bounds.bandwidth_short, bbr.bounds.inflight_short);
        bbr.lower_bounds(&hot);
        assert_eq!(bounds(&bbr), (700_000, 70_000));
        bbr.lower_bounds(&hot);
        assert_eq!(bounds(&bbr), (490_000, 49_000));
        (bbr.losses.bandwidth, bbr.losses.inflight) = (480_000, 48_000);
        bbr.lower_bounds(&hot);
        assert_eq!(
            bounds(&bbr),
            (480_000, 48_000),
            "what was delivered, which is more"
        );
        bbr.forget_short_term();
        assert_eq!(bounds(&bbr), (u64::MAX, u32::MAX));
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.3 (UpdateCongestionSignals, AdaptLowerBoundsFromCongestion)
    #[test]
    fn bounds_come_down_at_the_end_of_a_round_with_losses_in_which_it_did_not_probe() {
        for (phase, started, in_round, short, remains) in [
            (Phase::Cruise, true, true, 70_000, false),
            (Phase::Drain, true, true, 70_000, false),
            (Phase::Cruise, false, true, u32::MAX, true),
            (Phase::Cruise, true, false, u32::MAX, false),
            (Phase::Refill, true, true, u32::MAX, false),
            (Phase::Up, true, true, u32::MAX, false),
        ] {
            let (mut bbr, hot) = known(phase);
            (bbr.losses.started, bbr.losses.in_round, bbr.losses.events) = (started, in_round, 2);
            bbr.follow_congestion(&hot, &ack(0), &RateSample::default());
            assert_eq!(bbr.bounds.inflight_short, short, "{phase:?} {started} {in_round}");
            assert_eq!(bbr.losses.in_round, remains);
            assert_eq!(bbr.losses.events, if started { 0 } else { 2 });
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.2 (NoteLoss, SaveStateUponLoss)
    #[test]
    fn the_first_loss_of_a_round_begins_it_and_keeps_what_was() {
        let (mut bbr, hot) = known(Phase::Cruise);
        (bbr.sampler.delivered, bbr.bounds.inflight_long) = (5_000, 90_000);
        bbr.note_congestion(&hot);
        (bbr.sampler.delivered, bbr.bounds.inflight_long) = (6_000, 80_000);
        bbr.note_congestion(&hot);
        assert!(bbr.losses.in_round);
        assert_eq!(
            (bbr.losses.ends_at, bbr.undo.bounds.inflight_long),
            (5_000, 90_000)
        );
        assert_eq!(bbr.prior_window, 100_000);
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.2 (IsInflightTooHigh: two percent)
    #[test]
    fn more_than_two_percent_lost_are_too_many() {
        for (lost, in_flight, many) in [
            (0, 0, false),
            (1, 0, true),
            (2_000, 100_000, false),
            (2_001, 100_000, true),
            (50_000, 100_000, true),
            (u32::MAX, u32::MAX, true),
        ] {
            assert_eq!(
                exceeds_loss_threshold(lost, in_flight),
                many,
                "{lost} of {in_flight}"
            );
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.2 (InflightAtLoss)
    #[test]
    fn losses_went_over_two_percent_with_so_much_outstanding() {
        for (tx_in_flight, lost, size, expected) in [
            // (0.02 × 97,000 − 0) / 0.98 = 1,979.6 beyond 97,000.
            (100_000, 3_000, 3_000, 98_979),
            // (0.02 × 98,500 − 1,500) / 0.98 = 479.6 beyond 98,500.
            (100_000, 3_000, 1_500, 98_979),
            // Over it already before the latest.
            (100_000, 5_000, 1_000, 99_000),
            (1_000, 5_000, 5_000, 0),
        ] {
            let at = inflight_at_loss(tx_in_flight, lost, size);
            assert_eq!(at, expected, "{tx_in_flight} {lost} {size}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.10.2 (HandleLostPacket)
    #[test]
    fn losses_of_a_probe_bound_what_may_be_outstanding() {
        let sampled = |lost: u32| RateSample {
            has_data: true,
            tx_in_flight: 100_000,
            lost,
            ..RateSample::default()
        };
        for (sampling, sack, rate, flight, long) in [
            (true, true, sampled(2_000), 0, u32::MAX),
            // 2 % of 99,000 less the thousand before, by 0.98, beyond 99,000.
            (true, true, sampled(2_001), 0, 99_998),
            (false, true, sampled(2_001), 0, u32::MAX),
            // Without SACK any loss tells.
            (true, false, sampled(1_000), 0, 101_020),
            // Nothing is known of what was lost: what was outstanding before, the window at most.
            (true, true, RateSample::default(), 50_000, u32::MAX),
            (true, true, RateSample::default(), 49_999, 70_000),
        ] {
            let (mut bbr, mut hot) = known(Phase::Refill);
            bbr.probing.sampling = sampling;
            let sample = AckSample {
                lost: MSS,
                flight,
                sack,
                ..ack(0)
            };
            bbr.on_lost(&mut hot, &sample, &rate);
            assert_eq!(
                bbr.bounds.inflight_long, long,
                "{sampling} {sack} {rate:?} {flight}"
            );
            assert_eq!(
                bbr.probing.sampling,
                sampling && long == u32::MAX,
                "one answer a probe"
            );
            bbr.on_lost(&mut hot, &sample, &rate);
            assert_eq!(bbr.losses.events, 2);
        }
    }

    #[test]
    fn time_of_a_minute_at_most_counts() {
        let (mut bbr, hot) = known(Phase::Cruise);
        let mut sample = ack(0);
        sample.now = sample.now + Duration::from_secs(1 << 30);
        bbr.follow_aggregation(&hot, &sample);
        assert_eq!(bbr.aggregation.extra(), MSS);
    }
}
