//! CUBIC (RFC 9438): after congestion the window comes back along a cubic of the time since, whatever the round-trip time.
//!
//! ```text
//!   window                        ╱      W(t) = C (t − K)³ + W_max        C = 0.4 segments/s³
//!   W_max  ─ ─ ─ ─ ─ ─ ____──────        K    = ∛((W_max − window)/C)     β = 0.7
//!                   ╱
//!   0.7 W_max ─────╱  |← K →|            never below W_est, what NewReno would have by now (§4.3)
//! ```
//! Fixed point: time in milliseconds, windows in octets, what is less than an octet in 1,024ths of one. Time counts while the
//! window is used (§4.2, §5.8): the epoch moves on with what was idle. Slow start is HyStart++'s.

use fourtuple_wire::Instant;

use super::hystart::HyStart;
use super::{AckSample, Algorithm, Congestion, MAX_WINDOW, NewReno, Reduction};

// RFC 9438 §4.1: the variables.
/// What CUBIC remembers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Cubic {
    /// When this epoch of congestion avoidance began; `None` before its first ACK.
    epoch: Option<Instant>,
    /// The last time something was acknowledged or, after a pause, sent.
    last: Option<Instant>,
    /// W_max: the window just before the last reduction, in octets.
    w_max: u32,
    /// The window just before the last reduction, in octets (§4.3: where α becomes one).
    prior: u32,
    /// K in milliseconds.
    k_ms: u32,
    /// W_est in 1,024ths of an octet.
    w_est: u64,
    /// What the window has still to grow by, in 1,024ths of an octet.
    credit: u64,
    hystart: HyStart,
}

impl Cubic {
    /// §4.6 and §4.7: W_max, lower still when the window had not come back to the last one (fast convergence).
    fn reduce(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        let used = reduction.flight.min(hot.window);
        self.prior = used;
        self.w_max = if used < self.w_max {
            ((u64::from(used) * FAST_CONVERGENCE_1024) >> 10) as u32
        } else {
            used
        };
        self.epoch = None;
        self.credit = 0;
        NewReno::reduce(hot, reduction);
    }

    /// §4.2: congestion avoidance begins anew, from the window that is.
    fn begin_epoch(&mut self, hot: &Congestion, sample: &AckSample) {
        self.epoch = Some(sample.now);
        self.credit = 0;
        self.w_est = u64::from(hot.window) << 10;
        // After slow start, or a timeout (§4.8): the plateau is here.
        self.w_max = self.w_max.max(hot.window);
        self.k_ms = k_ms(self.w_max - hot.window, sample.mss);
    }

    /// §4.3: W_est grows by α segments each round trip, as a NewReno with β = 0.7 would that shares fairly with the real one (§5.1).
    fn follow_reno(&mut self, hot: &Congestion, sample: &AckSample) {
        let acked = (u64::from(sample.counts) * u64::from(sample.mss)) << 10;
        let share = acked / u64::from(hot.window.max(1));
        let caught_up = self.w_est >> 10 >= u64::from(self.prior);
        self.w_est += if caught_up { share } else { share * 9 / 17 };
        self.w_est = self.w_est.min(u64::from(MAX_WINDOW) << 10);
    }

    // RFC 9438 §4.4, §4.5: concave up to W_max, convex beyond it; both are the one curve.
    /// Towards where the cubic stands a round trip from now, by half a window each round trip at most.
    fn grow(&mut self, hot: &mut Congestion, sample: &AckSample) {
        let Some(epoch) = self.epoch else {
            return;
        };
        let elapsed_us = sample.now.since(epoch).as_micros() as u64;
        let now_ms = elapsed_us / 1000;
        let then_ms = (elapsed_us + u64::from(sample.srtt_us)) / 1000;
        let reno = (self.w_est >> 10) as u32;
        if reno > w_cubic(now_ms, self.k_ms, self.w_max, sample.mss) {
            // §4.3: the Reno-friendly region.
            hot.window = hot.window.max(reno);
            self.credit = 0;
            return;
        }
        let window = u64::from(hot.window.max(1));
        let target = u64::from(w_cubic(then_ms, self.k_ms, self.w_max, sample.mss));
        let ahead = target.clamp(window, window + window / 2) - window;
        self.credit += ((ahead * u64::from(sample.counts)) << 10) / window;
        hot.grow((self.credit >> 10) as u32);
        self.credit &= 1023;
    }

    /// Time in which nothing was outstanding, or the window not used, is none of the epoch's.
    fn pass(&mut self, now: Instant, counts: bool) {
        if let (false, Some(epoch), Some(last)) = (counts, self.epoch, self.last) {
            self.epoch = Some(epoch + now.since(last));
        }
        self.last = Some(now);
    }

    /// Data leaves while nothing is outstanding.
    pub(super) fn on_restart(&mut self, now: Instant) {
        self.pass(now, false);
    }

    /// Nothing would be lost with it.
    pub(super) fn is_void(&self) -> bool {
        self.epoch.is_none() && self.w_max == 0
    }
}

impl Algorithm for Cubic {
    fn on_ack(&mut self, hot: &mut Congestion, sample: &AckSample) {
        let limited = sample.app_limited || sample.in_recovery;
        self.pass(sample.now, !limited || sample.in_recovery);
        // RFC 3168 §6.1.2: an echo of a mark lets nothing grow.
        if limited || sample.ece || sample.counts == 0 {
            return;
        }
        if hot.in_slow_start() {
            let octets = self.hystart.on_ack(hot.threshold, sample);
            hot.grow(octets);
            if self.hystart.is_over() {
                hot.threshold = hot.threshold.min(hot.window);
            }
            return;
        }
        if self.epoch.is_none() {
            self.begin_epoch(hot, sample);
        }
        self.follow_reno(hot, sample);
        self.grow(hot, sample);
    }

    fn on_loss(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        self.reduce(hot, reduction);
        hot.window = hot.threshold;
        if reduction.inflate {
            hot.grow(reduction.mss.saturating_mul(3));
        }
    }

    fn on_mark(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        self.reduce(hot, reduction);
        hot.window = hot.threshold;
    }

    fn on_timeout(&mut self, hot: &mut Congestion, reduction: &Reduction) {
        self.reduce(hot, reduction);
        // RFC 9438 §4.8: the first epoch after a timeout has its plateau where slow start ends.
        self.w_max = 0;
        hot.window = reduction.mss;
    }

    fn on_recovered(&mut self, hot: &mut Congestion, flight: u32, mss: u32) {
        NewReno.on_recovered(hot, flight, mss);
    }
}

/// (1 + β)/2 of RFC 9438 §4.7 in 1,024ths: 0.85.
const FAST_CONVERGENCE_1024: u64 = 870;

/// K = ∛(distance/C), in milliseconds: C is 0.4 segments a second cubed, 4/10¹⁰ a millisecond cubed.
fn k_ms(distance: u32, mss: u32) -> u32 {
    cube_root(u64::from(distance) * 2_500_000_000 / u64::from(mss.max(1)))
}

/// W_cubic(t) in octets, `t` in milliseconds since the epoch began.
fn w_cubic(t_ms: u64, k_ms: u32, w_max: u32, mss: u32) -> u32 {
    let k_ms = u64::from(k_ms);
    let away = t_ms.abs_diff(k_ms).min(LONGEST_MS);
    // Within 64 bits: beyond a minute in sixteenths, whose cube is 4,096 times less.
    let (away, scale) = if away >> 16 == 0 {
        (away, 0)
    } else {
        (away >> 4, 12)
    };
    let octets = (away * away * away / 5_000_000 * (2 * u64::from(mss)) / 1000) << scale;
    let w_max = u64::from(w_max);
    let at = if t_ms < k_ms {
        w_max.saturating_sub(octets)
    } else {
        w_max + octets
    };
    at.min(u64::from(MAX_WINDOW)) as u32
}

/// Some seventeen minutes: by then the cubic is beyond any window.
const LONGEST_MS: u64 = 1_000_000;

/// The integer part of a cube root, bit by bit from the top.
fn cube_root(value: u64) -> u32 {
    let mut root = 0u64;
    let top = (64 - value.leading_zeros()).div_ceil(3);
    for bit in (0..top).rev() {
        let next = root | 1 << bit;
        if next * next <= value / next {
            root = next;
        }
    }
    root as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::CongestionKind;

    const MSS: u32 = 1000;
    const KIND: CongestionKind = CongestionKind::Cubic;

    #[test]
    fn the_cube_root_is_the_integer_part_of_the_real_one() {
        let mut values: Vec<u64> = (0..2000).collect();
        values.extend((1..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        values.extend([2_642_245u64.pow(3), 2_642_245u64.pow(3) - 1, u64::MAX]);
        for value in values {
            let root = u128::from(cube_root(value));
            let value = u128::from(value);
            assert!(
                root.pow(3) <= value && value < (root + 1).pow(3),
                "{value}: {root}"
            );
        }
    }

    /// RFC 9438 in floating point: the window in segments after `seconds` without congestion.
    fn w_cubic_f64(seconds: f64, w_max: f64, window: f64) -> f64 {
        let k = ((w_max - window) / 0.4).cbrt();
        0.4 * (seconds - k).powi(3) + w_max
    }

    // proves: RFC 9438 §4.2 (K and W_cubic)
    #[test]
    fn the_curve_is_that_of_the_rfc() {
        for (w_max, mss) in [
            (20u32, 1000u32),
            (100, 1448),
            (1_000, 1448),
            (20_000, 8948),
            (400_000, 536),
        ] {
            let (w_max_octets, window) = (w_max * mss, w_max * mss / 10 * 7);
            let k = k_ms(w_max_octets - window, mss);
            for tenths in [0u32, 1, 5, 10, 27, 50, 100, 300, 600, 700] {
                let seconds = f64::from(tenths) / 10.0;
                let expected = w_cubic_f64(seconds, f64::from(w_max), f64::from(window) / f64::from(mss));
                let expected = (expected * f64::from(mss)).min(f64::from(MAX_WINDOW));
                let got = f64::from(w_cubic(u64::from(tenths) * 100, k, w_max_octets, mss));
                // A thousandth, and what a millisecond of K does far from it.
                let slack = expected.abs() / 1000.0 + 2.0 * f64::from(mss);
                assert!(
                    (got - expected).abs() <= slack,
                    "{w_max} × {mss} at {seconds} s: {got}, not {expected}"
                );
            }
        }
    }

    /// A window is acknowledged each round trip of 100 ms, segment by segment; gives the window after each.
    fn rounds(cubic: &mut Cubic, hot: &mut Congestion, from_ms: u64, count: u64) -> Vec<u32> {
        (0..count)
            .map(|round| {
                let segments = hot.window / MSS;
                for at in 0..segments {
                    let now_ms = from_ms + round * 100 + u64::from(at) * 100 / u64::from(segments);
                    cubic.on_ack(hot, &AckSample::of(KIND, MSS, now_ms));
                }
                hot.window
            })
            .collect()
    }

    fn reduced_from(window: u32, now_ms: u64) -> (Cubic, Congestion) {
        let (mut cubic, mut hot) = (Cubic::default(), Congestion::new(window));
        cubic.on_loss(&mut hot, &Reduction::of(KIND, window, now_ms));
        (cubic, hot)
    }

    // proves: RFC 9438 §4.6 (β = 0.7), §4.4, §4.5 (concave, then convex)
    #[test]
    fn the_window_drops_to_seven_tenths_and_comes_back_along_the_curve() {
        let (mut cubic, mut hot) = reduced_from(1_000 * MSS, 0);
        assert_eq!(hot.window, 700_195);
        let windows = rounds(&mut cubic, &mut hot, 0, 150);
        for (round, window) in windows.iter().enumerate() {
            let seconds = (round + 1) as f64 / 10.0;
            let expected = w_cubic_f64(seconds, 1_000.0, 700.195) * 1000.0;
            let off = (f64::from(*window) - expected).abs() / expected;
            assert!(off < 0.02, "after {seconds} s: {window}, not {expected}");
        }
        // K is 9.08 s: there the plateau, beyond it growth again.
        assert!(windows[90].abs_diff(1_000_000) < 1_000 && windows[149] > 1_080_000);
    }

    // proves: RFC 9438 §4.3 (Reno-friendly region)
    #[test]
    fn with_a_small_window_it_grows_as_newreno_would() {
        let (mut cubic, mut hot) = reduced_from(20 * MSS, 0);
        let windows = rounds(&mut cubic, &mut hot, 0, 30);
        // α = 9/17 of a segment each round trip up to W_max, then one.
        let gained = windows[9] - 14_003;
        assert!(gained.abs_diff(10 * 529) < 300, "{gained}");
        let later = windows[29] - windows[19];
        assert!(later.abs_diff(10_000) < 500, "{later}");
    }

    // proves: RFC 9438 §4.7 (fast convergence)
    #[test]
    fn a_second_loss_below_the_last_plateau_gives_way() {
        let (mut cubic, mut hot) = reduced_from(1_000 * MSS, 0);
        cubic.on_loss(&mut hot, &Reduction::of(KIND, 700 * MSS, 100));
        assert_eq!(cubic.w_max, 594_726, "0.85 × 700 segments");
        assert_eq!(hot.threshold, 490_136);
    }

    // proves: RFC 9438 §4.8 (timeout)
    #[test]
    fn after_a_timeout_slow_start_leads_to_a_plateau_at_its_end() {
        let (mut cubic, mut hot) = reduced_from(1_000 * MSS, 0);
        cubic.on_timeout(&mut hot, &Reduction::of(KIND, 100 * MSS, 1_000));
        assert_eq!((hot.window, hot.threshold), (MSS, 70_019));
        let mut now_ms = 2_000;
        while hot.in_slow_start() {
            now_ms += 10;
            cubic.on_ack(&mut hot, &AckSample::of(KIND, MSS, now_ms));
        }
        cubic.on_ack(&mut hot, &AckSample::of(KIND, MSS, now_ms));
        assert_eq!((cubic.w_max, cubic.k_ms), (71_000, 0));
    }

    // proves: RFC 9438 §4.2, §5.8 (time is that in which the window is used)
    #[test]
    fn what_was_idle_or_not_used_is_no_time_of_the_epoch() {
        let (mut cubic, mut hot) = reduced_from(1_000 * MSS, 0);
        rounds(&mut cubic, &mut hot, 0, 20);
        let (mut paused, mut window) = (cubic, hot);
        paused.on_restart(Instant::from_millis(2_000) + Duration::from_secs(60));
        rounds(&mut paused, &mut window, 62_000, 10);
        rounds(&mut cubic, &mut hot, 2_000, 10);
        assert!(window.window.abs_diff(hot.window) < 2 * MSS, "{window:?} {hot:?}");
        // Acknowledgments of a window that is not used neither grow it nor count.
        let idle = AckSample {
            app_limited: true,
            ..AckSample::of(KIND, MSS, 100_000)
        };
        let before = hot.window;
        cubic.on_ack(&mut hot, &idle);
        assert_eq!(hot.window, before);
        cubic.on_ack(&mut hot, &AckSample::of(KIND, MSS, 100_001));
        assert!(hot.window - before < MSS);
    }

    #[test]
    fn no_number_makes_it_panic_or_leave_its_bounds() {
        for window in [1, MSS, 1 << 20, MAX_WINDOW] {
            for (acked, srtt_us, now_ms) in [
                (1, 0, 0),
                (u32::MAX, u32::MAX, u64::MAX / 2_000_000),
                (MAX_WINDOW, 1, 1 << 30),
            ] {
                let (mut cubic, mut hot) = reduced_from(window, 0);
                let sample = AckSample {
                    srtt_us,
                    mss: if acked == 1 { 1 } else { 65_535 },
                    ..AckSample::of(KIND, acked, now_ms)
                };
                for _ in 0..3 {
                    cubic.on_ack(&mut hot, &sample);
                    assert!(hot.window <= MAX_WINDOW);
                }
            }
        }
    }

    /// In an epoch that began at zero with the plateau at its beginning: 100 segments.
    fn at_the_plateau() -> (Cubic, Congestion) {
        let cubic = Cubic {
            epoch: Some(Instant::ZERO),
            w_max: 100 * MSS,
            ..Cubic::default()
        };
        (cubic, Congestion::new(100 * MSS))
    }

    // proves: RFC 9438 §4.2 (the target is W_cubic a round-trip time from now, 1.5 windows at most)
    #[test]
    fn an_ack_grows_the_window_by_its_share_of_the_way_to_the_target() {
        for (now_ms, srtt_ms, grown) in [
            // W(1 s) is 100.4 segments: a hundredth of 400 octets.
            (0, 1_000, 4),
            (1_000, 0, 4),
            (500, 500, 4),
            (0, 0, 0),
            // W(5 s) is 150 segments, W(4 s) 125.6, W(10 s) 500.
            (4_000, 0, 256),
            (5_000, 0, 500),
            (10_000, 0, 500),
            (0, 10_000, 500),
        ] {
            let (mut cubic, mut hot) = at_the_plateau();
            let sample = AckSample {
                srtt_us: srtt_ms * 1_000,
                ..AckSample::of(KIND, MSS, now_ms)
            };
            cubic.grow(&mut hot, &sample);
            assert_eq!(hot.window - 100 * MSS, grown, "{now_ms} ms, {srtt_ms} ms");
        }
    }

    // proves: RFC 9438 §4.3 (only where W_cubic(t) < W_est)
    #[test]
    fn the_window_is_that_of_newreno_only_where_the_cubic_is_below_it() {
        // W(1 s) is 100,400 octets.
        for (w_est, window) in [(100_399, 100_027), (100_400, 100_027), (100_401, 100_401)] {
            let (mut cubic, mut hot) = at_the_plateau();
            cubic.w_est = w_est << 10;
            // W(1.9 s) is 102.74 segments, the way there 2,742 octets: a hundredth of them.
            let sample = AckSample {
                srtt_us: 900_000,
                ..AckSample::of(KIND, MSS, 1_000)
            };
            cubic.grow(&mut hot, &sample);
            assert_eq!(hot.window, window, "{w_est}");
        }
    }

    // proves: RFC 9438 §4.7 (fast convergence only below the last plateau)
    #[test]
    fn a_loss_at_the_last_plateau_keeps_it() {
        let (mut cubic, _) = reduced_from(1_000 * MSS, 0);
        for (used, w_max) in [
            (1_000 * MSS, 1_000 * MSS),
            (1_001 * MSS, 1_001 * MSS),
            (1_000 * MSS, 849_609),
        ] {
            let mut hot = Congestion::new(2_000 * MSS);
            cubic.on_loss(&mut hot, &Reduction::of(KIND, used, 100));
            assert_eq!((cubic.w_max, cubic.prior), (w_max, used));
        }
    }

    #[test]
    fn the_window_ends_recovery_at_the_threshold_without_a_burst() {
        let (mut cubic, mut hot) = reduced_from(100 * MSS, 0);
        cubic.on_recovered(&mut hot, 100 * MSS, MSS);
        assert_eq!(hot.window, 70_019);
        cubic.on_recovered(&mut hot, 5 * MSS, MSS);
        assert_eq!(hot.window, 6 * MSS);
    }
}
