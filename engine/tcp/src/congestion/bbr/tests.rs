//! BBR on a simulated bottleneck: a rate, a round-trip time, a queue, losses; segments of 1,000 octets, paced as TCP does. And models
//! of a known path, for the tests of each part by hand.

use std::collections::VecDeque;
use std::time::Duration;

use fourtuple_wire::SeqNum;

use super::*;
use crate::CongestionKind;
use crate::pacing::Pacer;

pub(super) const MSS: u32 = 1000;
pub(super) const KIND: CongestionKind = CongestionKind::Bbr;
pub(super) const START_MS: u64 = 10_000;

/// A model that knows its path, 1,000,000 octets a second and 100 ms: a product of 100,000 octets, which is the window. The pipe was
/// full once, nothing was lost.
pub(super) fn known(phase: Phase) -> (Bbr, Congestion) {
    let (mut bbr, mut hot) = (Bbr::default(), Congestion::new(10 * MSS));
    bbr.begin(&hot, 100_000, Instant::from_millis(START_MS));
    bbr.bandwidth = MaxBandwidth::of(0, 1_000_000);
    bbr.bandwidth.bound(u64::MAX);
    bbr.full_pipe.reached = true;
    bbr.phase = phase;
    bbr.pacing_rate = 1_000_000;
    hot.window = 100 * MSS;
    (bbr, hot)
}

/// One segment is acknowledged at once, and so much is outstanding behind it.
pub(super) fn ack(pipe: u32) -> AckSample {
    AckSample {
        pipe,
        ..AckSample::of(KIND, MSS, START_MS)
    }
}

pub(super) const PHASES: [Phase; 7] = [
    Phase::Startup,
    Phase::Drain,
    Phase::Down,
    Phase::Cruise,
    Phase::Refill,
    Phase::Up,
    Phase::ProbeRtt,
];

/// A path, and how one sender fares on it.
struct Path {
    rate: u64,
    rtt: Duration,
    queue: u32,
    /// One of so many is lost; zero for none.
    lose_every: u64,
    /// The application has no more than so many octets in a second; zero for no limit.
    app_rate: u64,
    bbr: Bbr,
    hot: Congestion,
    pacer: Pacer,
    now: Instant,
    free_at: Instant,
    /// Sent at, acknowledged at, lost.
    in_flight: VecDeque<(Instant, Instant, bool)>,
    sent: u64,
    delivered: u64,
    drops: u64,
    srtt_us: u32,
    phases: Vec<Phase>,
}

impl Path {
    fn new(rate: u64, rtt_ms: u64, queue: u32) -> Self {
        let now = Instant::from_millis(10_000);
        Self {
            rate,
            rtt: Duration::from_millis(rtt_ms),
            queue,
            lose_every: 0,
            app_rate: 0,
            bbr: Bbr::default(),
            hot: Congestion::new(10 * MSS),
            pacer: Pacer::default(),
            now,
            free_at: now,
            in_flight: VecDeque::new(),
            sent: 0,
            delivered: 0,
            drops: 0,
            srtt_us: 0,
            phases: vec![Phase::Startup],
        }
    }

    fn pipe(&self) -> u32 {
        self.in_flight.len() as u32 * MSS
    }

    fn send(&mut self) {
        let elapsed = self.now.since(Instant::from_millis(10_000)).as_micros() as u64;
        let most = if self.app_rate == 0 {
            u64::MAX
        } else {
            self.app_rate * elapsed / 1_000_000
        };
        while self.pipe() + MSS <= self.hot.window()
            && self.pacer.wait(self.now).is_none()
            && (self.sent + 1) * u64::from(MSS) <= most
        {
            let sample = SendSample {
                kind: KIND,
                now: self.now,
                len: MSS,
                pipe: self.pipe(),
                srtt_us: self.srtt_us,
                app_limited: (self.sent + 2) * u64::from(MSS) > most,
            };
            self.bbr.on_sent(&mut self.hot, &sample);
            self.pacer.sent(MSS, self.bbr.pacing_rate().unwrap(), self.now);
            self.sent += 1;
            let waits = self.free_at.since(self.now);
            let full = waits.as_micros() as u64 * self.rate / 1_000_000 > u64::from(self.queue);
            let lost = full || (self.lose_every > 0 && self.sent.is_multiple_of(self.lose_every));
            if !full {
                let takes = Duration::from_nanos(u64::from(MSS) * 1_000_000_000 / self.rate);
                self.free_at = self.free_at.max(self.now) + takes;
            }
            self.drops += u64::from(full);
            // A loss shows when what was sent behind it arrives.
            let back = self.free_at.max(self.now) + self.rtt;
            self.in_flight.push_back((self.now, back, lost));
        }
    }

    /// What comes back by now: one ACK a segment.
    fn receive(&mut self) {
        let mut lost = 0;
        while let Some((sent_at, back, is_lost)) = self
            .in_flight
            .front()
            .copied()
            .filter(|segment| segment.1 <= self.now)
        {
            let flight = self.pipe();
            self.in_flight.pop_front();
            if is_lost {
                // Sent once more, as new data is here.
                lost += MSS;
                continue;
            }
            let rtt_us = back.since(sent_at).as_micros() as u32;
            self.srtt_us = if self.srtt_us == 0 {
                rtt_us
            } else {
                self.srtt_us / 8 * 7 + rtt_us / 8
            };
            self.delivered += u64::from(MSS);
            let sample = AckSample {
                now: back,
                lost,
                flight,
                pipe: self.pipe(),
                una: SeqNum(0),
                rtt_us,
                srtt_us: self.srtt_us,
                sent_at: Some(sent_at),
                in_recovery: lost > 0,
                ..AckSample::of(KIND, MSS, 0)
            };
            lost = 0;
            self.bbr.on_ack(&mut self.hot, &sample);
            if *self.phases.last().unwrap() != self.bbr.phase {
                self.phases.push(self.bbr.phase);
            }
        }
    }

    /// Runs in steps of a millisecond; octets delivered a second.
    fn run(&mut self, ms: u64) -> u64 {
        let before = self.delivered;
        for _ in 0..ms {
            self.now = self.now + Duration::from_millis(1);
            self.receive();
            self.send();
        }
        (self.delivered - before) * 1000 / ms
    }
}

#[test]
fn it_fills_a_path_and_keeps_its_queue_short() {
    for (rate, rtt_ms) in [(125_000, 100), (1_250_000, 20), (12_500_000, 40), (12_500_000, 2)] {
        let bdp = (rate * rtt_ms / 1000) as u32;
        let mut path = Path::new(rate, rtt_ms, 8 * bdp.max(20 * MSS));
        path.run(3_000);
        let reached = path.run(5_000);
        assert!(
            reached >= rate * 92 / 100,
            "{rate} octets/s, {rtt_ms} ms: {reached}"
        );
        let waits = path.free_at.since(path.now).as_millis() as u64;
        assert!(waits <= rtt_ms + 20, "{rate}, {rtt_ms} ms: a queue of {waits} ms");
    }
}

// proves: draft-ietf-ccwg-bbr §5.3 (the state machine)
#[test]
fn the_phases_come_in_the_order_of_the_draft() {
    let mut path = Path::new(1_250_000, 40, 500 * MSS);
    path.run(9_000);
    // With the queue empty after Drain, Down is over with the ACK that began it.
    let expected = [
        Phase::Startup,
        Phase::Drain,
        Phase::Cruise,
        Phase::Refill,
        Phase::Up,
        Phase::Down,
        Phase::Cruise,
    ];
    assert_eq!(path.phases[..expected.len()], expected, "{:?}", path.phases);
    for pair in path.phases.windows(2) {
        let follows = match pair[0] {
            Phase::Startup => vec![Phase::Drain, Phase::ProbeRtt],
            Phase::Drain => vec![Phase::Down, Phase::Cruise, Phase::ProbeRtt],
            Phase::Down => vec![Phase::Cruise, Phase::Refill, Phase::ProbeRtt],
            Phase::Cruise => vec![Phase::Refill, Phase::ProbeRtt],
            Phase::Refill => vec![Phase::Up, Phase::ProbeRtt],
            Phase::Up => vec![Phase::Down, Phase::ProbeRtt],
            Phase::ProbeRtt => vec![Phase::Cruise, Phase::Startup],
        };
        assert!(follows.contains(&pair[1]), "{pair:?}");
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.4 (ProbeRTT)
#[test]
fn an_estimate_of_ten_seconds_is_probed_with_half_a_window_for_200_ms() {
    let mut path = Path::new(1_250_000, 40, 500 * MSS);
    path.run(9_500);
    assert!(!path.phases.contains(&Phase::ProbeRtt));
    let mut least = u32::MAX;
    for _ in 0..6_000 {
        path.run(1);
        if path.bbr.phase == Phase::ProbeRtt {
            least = least.min(path.hot.window());
        }
    }
    assert!(path.phases.contains(&Phase::ProbeRtt), "{:?}", path.phases);
    assert!(
        (20_000..=32_000).contains(&least),
        "half of 50,000 octets: {least}"
    );
    assert_ne!(path.bbr.phase, Phase::ProbeRtt);
    assert!(path.run(1_000) >= 1_100_000);
}

#[test]
fn random_loss_below_the_threshold_costs_little() {
    let mut path = Path::new(1_250_000, 40, 500 * MSS);
    path.lose_every = 100;
    path.run(3_000);
    let reached = path.run(10_000);
    assert!(reached >= 1_000_000, "{reached}");
}

#[test]
fn a_shallow_queue_is_not_flooded() {
    let mut path = Path::new(1_250_000, 40, 12 * MSS);
    path.run(5_000);
    let (sent, drops) = (path.sent, path.drops);
    let reached = path.run(20_000);
    let (sent, drops) = (path.sent - sent, path.drops - drops);
    assert!(reached >= 900_000, "{reached}");
    assert!(drops * 100 <= sent * 3, "{drops} of {sent} dropped");
}

#[test]
fn a_path_that_gets_slower_and_faster_is_followed() {
    let mut path = Path::new(1_250_000, 40, 200 * MSS);
    path.run(5_000);
    path.rate = 400_000;
    path.run(8_000);
    let slow = path.run(5_000);
    assert!((350_000..=400_000).contains(&slow), "{slow}");
    assert!(path.free_at.since(path.now) < Duration::from_millis(400));
    path.rate = 1_250_000;
    path.run(15_000);
    assert!(path.run(3_000) >= 1_100_000);
}

#[test]
fn an_application_that_sends_little_does_not_make_the_path_seem_slow() {
    let mut path = Path::new(1_250_000, 40, 200 * MSS);
    path.run(4_000);
    let known = path.bbr.bandwidth.max();
    path.app_rate =
        path.delivered * 1_000_000 / path.now.since(Instant::from_millis(10_000)).as_micros() as u64 / 3;
    path.run(20_000);
    assert!(
        path.bbr.bandwidth.max() >= known / 2,
        "{} of {known}",
        path.bbr.bandwidth.max()
    );
}

#[test]
fn a_timeout_leaves_one_segment_and_recovery_restores_the_window() {
    let mut path = Path::new(1_250_000, 40, 200 * MSS);
    path.run(4_000);
    let before = path.hot.window();
    path.bbr
        .on_timeout(&mut path.hot, &Reduction::of(KIND, before, 0));
    path.hot.window = MSS;
    path.bbr.on_recovered(&mut path.hot, 0, MSS);
    assert_eq!(path.hot.window(), before);
}

#[test]
fn no_sample_makes_it_panic_or_leave_its_bounds() {
    let mut seed = 1u64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..200 {
        let (mut bbr, mut hot) = (Bbr::default(), Congestion::new(10 * MSS));
        let mut now = Instant::from_nanos(draw(u64::MAX));
        for _ in 0..200 {
            let bits = draw(36);
            now = now + Duration::from_nanos(draw(1 << bits));
            let mut octets = || {
                let bits = draw(33);
                draw(1 << bits) as u32
            };
            let (len, pipe, acked, lost) = (octets(), octets(), octets(), octets());
            let send = SendSample {
                kind: KIND,
                now,
                len,
                pipe,
                srtt_us: acked,
                app_limited: lost % 2 == 0,
            };
            bbr.on_sent(&mut hot, &send);
            let sample = AckSample {
                now,
                lost,
                pipe,
                flight: len,
                rtt_us: lost,
                srtt_us: pipe,
                sent_at: (lost % 3 > 0).then_some(now),
                sack: lost % 5 > 0,
                ..AckSample::of(KIND, acked, 0)
            };
            bbr.on_ack(&mut hot, &sample);
            assert!((4 * MSS..=1 << 30).contains(&hot.window()));
            match acked % 7 {
                0 => bbr.on_loss(&mut hot, &Reduction::of(KIND, pipe, 0)),
                1 => bbr.on_recovered(&mut hot, pipe, MSS),
                2 => bbr.on_spurious_loss(&mut hot),
                3 => bbr.on_mark(&mut hot, &Reduction::of(KIND, pipe, 0)),
                _ => {}
            }
        }
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (IsInAProbeBWState, IsProbingBW)
#[test]
fn four_phases_are_of_the_cycle_and_three_probe() {
    let cycle = PHASES.map(Phase::in_cycle);
    assert_eq!(cycle, [false, false, true, true, true, true, false]);
    let probes = PHASES.map(Phase::accelerates);
    assert_eq!(probes, [true, false, false, false, true, true, false]);
}

// proves: draft-ietf-ccwg-bbr §5.6.2 (InitPacingRate)
#[test]
fn the_first_rate_is_that_of_the_initial_window_in_a_round_trip_or_a_millisecond() {
    assert_eq!(Bbr::default().pacing_rate(), None);
    // 10,000 octets in 40 ms are 250,000 a second, in 1 ms 10,000,000; times 2.77.
    for (srtt_us, rate) in [(40_000, 692_500), (0, 27_700_000)] {
        let (mut bbr, hot) = (Bbr::default(), Congestion::new(10 * MSS));
        bbr.begin(&hot, srtt_us, Instant::from_millis(START_MS));
        assert_eq!(bbr.pacing_rate(), Some(rate));
    }
}

// proves: draft-ietf-ccwg-bbr §5.4 (restart from idle)
#[test]
fn only_idleness_of_the_application_makes_it_restart_at_the_bandwidth() {
    for (pipe, limited, rate) in [(0, true, 990_000), (0, false, 7), (MSS, true, 7)] {
        let (mut bbr, mut hot) = known(Phase::Cruise);
        bbr.pacing_rate = 7;
        if limited {
            bbr.sampler.mark_app_limited(0);
        }
        let sample = SendSample {
            kind: KIND,
            now: Instant::from_millis(START_MS),
            len: MSS,
            pipe,
            srtt_us: 100_000,
            app_limited: false,
        };
        bbr.on_sent(&mut hot, &sample);
        assert_eq!(bbr.pacing_rate(), Some(rate), "{pipe} outstanding, {limited}");
    }
}

// proves: draft-ietf-ccwg-bbr §5.6.4.4 (SaveCwnd, RestoreCwnd)
#[test]
fn the_window_that_is_kept_is_the_one_before_recovery_and_probe_rtt() {
    for (phase, in_recovery, kept) in [
        (Phase::Cruise, false, 30_000),
        (Phase::Cruise, true, 50_000),
        (Phase::ProbeRtt, false, 50_000),
    ] {
        let (mut bbr, mut hot) = known(phase);
        (bbr.in_recovery, bbr.prior_window, hot.window) = (in_recovery, 50_000, 30_000);
        bbr.save_window(&hot);
        assert_eq!(bbr.prior_window, kept, "{phase:?}");
        hot.window = 40_000;
        bbr.on_recovered(&mut hot, 0, MSS);
        assert_eq!(hot.window, kept.max(40_000));
        assert!(!bbr.in_recovery);
    }
}

// proves: draft-ietf-ccwg-bbr §5.5.11.2 (HandleSpuriousLossDetection)
#[test]
fn after_a_loss_that_was_none_bounds_and_window_are_at_least_what_they_were() {
    let before = Bounds {
        bandwidth_short: 900,
        inflight_short: 90_000,
        inflight_long: 95_000,
    };
    let (mut bbr, mut hot) = known(Phase::Cruise);
    bbr.bounds = before;
    bbr.note_congestion(&hot);
    bbr.on_loss(&mut hot, &Reduction::of(KIND, 100_000, START_MS));
    assert!(bbr.in_recovery && bbr.losses.in_round);
    hot.window = 20_000;
    bbr.bounds = Bounds {
        bandwidth_short: 700,
        inflight_short: 100_000,
        inflight_long: 50_000,
    };
    bbr.full_pipe.now = true;
    bbr.on_spurious_loss(&mut hot);
    assert_eq!(hot.window, 100_000);
    let now = bbr.bounds;
    assert_eq!(
        (now.bandwidth_short, now.inflight_short, now.inflight_long),
        (900, 100_000, 95_000)
    );
    assert!(!bbr.in_recovery && !bbr.losses.in_round && !bbr.full_pipe.now);
    assert_eq!(bbr.phase, Phase::Cruise, "no probe was given up for it");
}

// proves: draft-ietf-ccwg-bbr §5.5.11.2 (return to the probing that the loss had ended)
#[test]
fn a_probe_that_a_loss_ended_which_was_none_goes_on() {
    use Phase::{Cruise, Down, Drain, ProbeRtt, Refill, Startup, Up};
    for (given_up, at, goes_on, full) in [
        (Some(Startup), Drain, Startup, false),
        (Some(Startup), ProbeRtt, ProbeRtt, false),
        (Some(Startup), Startup, Startup, true),
        (Some(Up), Down, Refill, true),
        (Some(Up), Cruise, Refill, true),
        (Some(Up), Up, Up, true),
        (Some(Up), ProbeRtt, ProbeRtt, true),
        (None, Down, Down, true),
    ] {
        let (mut bbr, mut hot) = known(at);
        bbr.undo.phase = given_up;
        bbr.on_spurious_loss(&mut hot);
        assert_eq!(
            (bbr.phase, bbr.full_pipe.reached),
            (goes_on, full),
            "{given_up:?} {at:?}"
        );
        assert_eq!(bbr.undo.phase, None);
    }
}

#[test]
fn each_ack_that_shows_a_loss_counts_and_no_other() {
    let (mut bbr, mut hot) = known(Phase::Cruise);
    for (lost, events) in [(0, 0), (MSS, 1), (0, 1), (2 * MSS, 2)] {
        let sample = AckSample {
            lost,
            delivered: 0,
            ..ack(0)
        };
        bbr.on_ack(&mut hot, &sample);
        assert_eq!(bbr.losses.events, events);
        assert_eq!(bbr.losses.in_round, events > 0);
    }
}

// proves: RFC 3168 §6.1.2 (an echoed mark is answered as a loss)
#[test]
fn a_mark_is_a_loss_of_its_round_and_ends_a_probe() {
    let (mut bbr, mut hot) = known(Phase::Cruise);
    bbr.on_mark(&mut hot, &Reduction::of(KIND, 90_000, START_MS));
    assert!(bbr.losses.in_round);
    assert_eq!((bbr.phase, bbr.bounds.inflight_long), (Phase::Cruise, u32::MAX));
    let (mut bbr, mut hot) = known(Phase::Up);
    bbr.probing.sampling = true;
    bbr.on_mark(&mut hot, &Reduction::of(KIND, 90_000, START_MS));
    assert_eq!((bbr.phase, bbr.bounds.inflight_long), (Phase::Down, 90_000));
}
