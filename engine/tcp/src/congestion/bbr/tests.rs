//! BBR on a simulated bottleneck: a rate, a round-trip time, a queue, losses; segments of 1,000 octets, paced as TCP does.

use std::collections::VecDeque;
use std::time::Duration;

use fourtuple_wire::SeqNum;

use super::*;
use crate::CongestionKind;
use crate::pacing::Pacer;

const MSS: u32 = 1000;
const KIND: CongestionKind = CongestionKind::Bbr;

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
