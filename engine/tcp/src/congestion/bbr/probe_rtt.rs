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
// Deviation: the draft probes when nothing as low was seen for five seconds (BBR.ProbeRTTInterval, a filter of its own). Here it is
// one estimate and one age, and half as many probes; when the old estimate goes, the next one holds the queue until ProbeRtt, which
// begins with it, has emptied that.
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

#[cfg(test)]
mod tests {
    use super::super::tests::{KIND, MSS, PHASES, ack, known};
    use super::*;

    /// An ACK so many nanoseconds after the estimate was taken.
    fn after(nanos: u64, rtt_us: u32) -> AckSample {
        AckSample {
            now: ack(0).now + Duration::from_nanos(nanos),
            rtt_us,
            ..ack(0)
        }
    }

    const TEN_S: u64 = 10_000_000_000;

    // proves: draft-ietf-ccwg-bbr §5.2.1 (OnInit: the smoothed time, if there is one)
    #[test]
    fn the_first_estimate_is_the_smoothed_one() {
        let mut least = MinRtt::default();
        for (srtt_us, expected) in [(40_000, Some(40_000)), (0, None), (1, Some(1))] {
            least.begin(srtt_us, ack(0).now);
            assert_eq!(least.least_us(), expected);
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.5.7.2 (the least of ten seconds)
    #[test]
    fn the_estimate_is_the_least_of_ten_seconds() {
        for (known_us, nanos, rtt_us, least_us, taken) in [
            (100_000, 1, 99_999, 99_999, true),
            (100_000, 1, 100_000, 100_000, false),
            (100_000, 1, 100_001, 100_000, false),
            (100_000, 1, 0, 100_000, false),
            (0, 1, 70_000, 70_000, true),
            (0, 1, 0, 0, false),
            (100_000, TEN_S, 120_000, 100_000, false),
            (100_000, TEN_S + 1, 120_000, 120_000, true),
            (100_000, TEN_S + 1, 0, 100_000, false),
        ] {
            let (mut bbr, _) = known(Phase::Cruise);
            bbr.min_rtt.begin(known_us, ack(0).now);
            let sample = after(nanos, rtt_us);
            bbr.follow_min_rtt(&sample);
            let case = format!("{known_us} {nanos} {rtt_us}");
            assert_eq!(bbr.min_rtt.least_us, least_us, "{case}");
            let expected = if taken { sample.now } else { ack(0).now };
            assert_eq!(bbr.min_rtt.taken_at, Some(expected), "{case}");
            assert_eq!(bbr.min_rtt.expired, nanos > TEN_S, "{case}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.6.4.5 (ProbeRTTCwnd: half of the product, four segments at least)
    #[test]
    fn the_window_of_probe_rtt_is_half_of_the_product_that_was_known() {
        for (phase, nanos, bandwidth, window) in [
            (Phase::Cruise, TEN_S + 1, 1_000_000, 50_000),
            (Phase::Cruise, TEN_S + 1, 50_000, 4_000),
            (Phase::Cruise, TEN_S, 1_000_000, 7),
            (Phase::ProbeRtt, TEN_S + 1, 1_000_000, 7),
        ] {
            let (mut bbr, _) = known(phase);
            bbr.bandwidth.bounded = bandwidth;
            bbr.min_rtt.window = 7;
            bbr.follow_min_rtt(&after(nanos, 300_000));
            assert_eq!(bbr.min_rtt.window, window, "{phase:?} {nanos} {bandwidth}");
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.3.4.3 (CheckProbeRTT)
    #[test]
    fn an_old_estimate_is_probed_unless_the_connection_was_idle() {
        for (expired, idle, delivered, probes, idle_then) in [
            (true, false, 1, true, false),
            (true, false, 0, true, false),
            (false, false, 1, false, false),
            (true, true, 1, false, false),
            (true, true, 0, false, true),
        ] {
            let (mut bbr, mut hot) = known(Phase::Cruise);
            (bbr.min_rtt.expired, bbr.min_rtt.idle_restart) = (expired, idle);
            let rate = RateSample {
                delivered,
                ..RateSample::default()
            };
            bbr.check_probe_rtt(&mut hot, &ack(100_000), &rate);
            assert_eq!(bbr.phase == Phase::ProbeRtt, probes, "{expired} {idle}");
            assert_eq!(bbr.min_rtt.idle_restart, idle_then, "{idle} {delivered}");
            assert_eq!(
                bbr.sampler.is_app_limited(),
                probes,
                "what it delivers says nothing"
            );
        }
    }

    // proves: draft-ietf-ccwg-bbr §5.3.4.3 (HandleProbeRTT: 200 ms and a round from when little is outstanding)
    #[test]
    fn probe_rtt_lasts_200_ms_and_a_round_from_when_little_is_outstanding() {
        let (mut bbr, mut hot) = known(Phase::ProbeRtt);
        bbr.min_rtt.window = 50_000;
        bbr.prior_window = 110_000;
        bbr.bounds.inflight_short = 60_000;
        let probe = |bbr: &mut Bbr, hot: &mut Congestion, nanos: u64, pipe: u32, round: bool| {
            bbr.rounds.started = round;
            let sample = AckSample {
                pipe,
                ..after(nanos, 100_000)
            };
            bbr.check_probe_rtt(hot, &sample, &RateSample::default());
            (bbr.phase, bbr.min_rtt.done_at.is_some())
        };
        let waits = (Phase::ProbeRtt, false);
        let counts = (Phase::ProbeRtt, true);
        assert_eq!(probe(&mut bbr, &mut hot, 0, 50_001, true), waits);
        assert_eq!(probe(&mut bbr, &mut hot, 1_000, 50_000, true), counts);
        assert_eq!(
            probe(&mut bbr, &mut hot, 300_000_000, 50_000, false),
            counts,
            "no round yet"
        );
        let (mut other, mut other_hot) = (bbr.clone(), hot);
        assert_eq!(
            probe(&mut bbr, &mut hot, 200_001_000, 50_000, true),
            counts,
            "at 200 ms"
        );
        assert_eq!(hot.window, 100_000);
        assert_eq!(
            probe(&mut bbr, &mut hot, 200_001_001, 50_000, false).0,
            Phase::Cruise
        );
        assert_eq!(hot.window, 110_000);
        assert_eq!(bbr.bounds.inflight_short, u32::MAX);
        assert_eq!(bbr.min_rtt.taken_at, Some(after(200_001_001, 0).now));
        // The pipe had not been full yet.
        other.full_pipe.reached = false;
        let ended = probe(&mut other, &mut other_hot, 200_001_001, 50_000, true);
        assert_eq!(ended.0, Phase::Startup);
    }

    // proves: draft-ietf-ccwg-bbr §5.4.1 (HandleRestartFromIdle)
    #[test]
    fn after_idleness_the_cycle_goes_on_at_the_bandwidth_and_probe_rtt_may_be_over() {
        for phase in PHASES {
            for late in [0, 1] {
                let (mut bbr, mut hot) = known(phase);
                bbr.min_rtt.done_at = Some(ack(0).now);
                bbr.pacing_rate = 7;
                let sample = SendSample {
                    kind: KIND,
                    now: ack(0).now + Duration::from_nanos(late),
                    len: MSS,
                    pipe: 0,
                    srtt_us: 100_000,
                    app_limited: false,
                };
                bbr.restart_from_idle(&mut hot, &sample);
                assert!(bbr.min_rtt.idle_restart);
                let over = phase == Phase::ProbeRtt && late > 0;
                let expected = if over { Phase::Cruise } else { phase };
                assert_eq!(bbr.phase, expected, "{late} ns behind the end");
                let rate = if phase.in_cycle() { 990_000 } else { 7 };
                assert_eq!(bbr.pacing_rate, rate, "{phase:?}");
            }
        }
    }
}
