//! HyStart++ (RFC 9406): slow start that leaves before the queue overflows, when round-trip times begin to grow.
//!
//! A round is a window of data. When the least round-trip time of its first samples exceeds the last round's by an eighth
//! (4 to 16 ms), the window grows at a quarter of the speed for five rounds (Conservative Slow Start); if times fall back
//! meanwhile it had been noise. Only the first slow start of a connection is watched (§4.3): later ones know a threshold.

use fourtuple_wire::SeqNum;

use super::AckSample;

/// What is known of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HyStart {
    /// An ACK at or behind this ends the round.
    round_end: Option<SeqNum>,
    /// Least round-trip time of the last round in microseconds; `MAX` for none.
    last_us: u32,
    /// Least round-trip time of this round; `MAX` for none.
    current_us: u32,
    /// Least round-trip time of the round in which growth slowed down; zero while it has not.
    baseline_us: u32,
    /// Samples of this round, up to those that are needed.
    samples: u8,
    /// Rounds of Conservative Slow Start.
    slow_rounds: u8,
}

impl Default for HyStart {
    fn default() -> Self {
        Self {
            round_end: None,
            last_us: u32::MAX,
            current_us: u32::MAX,
            baseline_us: 0,
            samples: 0,
            slow_rounds: 0,
        }
    }
}

impl HyStart {
    /// Octets by which an ACK in slow start lets the window grow.
    pub(super) fn on_ack(&mut self, threshold: u32, sample: &AckSample) -> u32 {
        let (acked, mss) = (sample.counts, sample.mss);
        if threshold != u32::MAX {
            // RFC 5681 §3.1, RFC 3465: what was acknowledged, two segments at most.
            return acked.min(mss.saturating_mul(2));
        }
        self.follow_rounds(sample);
        self.judge(sample.rtt_us);
        // §4.3: L is eight segments for a sender that does not pace.
        let octets = acked.min(mss.saturating_mul(8));
        if self.baseline_us == 0 { octets } else { octets / 4 }
    }

    /// Slow start is over, as far as delay can tell.
    pub(super) fn is_over(&self) -> bool {
        self.slow_rounds >= CSS_ROUNDS
    }

    /// §4.2: at the end of a round its least time becomes the last one's.
    fn follow_rounds(&mut self, sample: &AckSample) {
        let ended = self.round_end.is_none_or(|end| sample.una.at_or_after(end));
        if !ended {
            return;
        }
        self.last_us = self.current_us;
        if self.baseline_us != 0 {
            self.slow_rounds += 1;
        }
        self.round_end = Some(sample.nxt);
        self.current_us = u32::MAX;
        self.samples = 0;
    }

    /// §4.2: whether the delay has grown, and whether that was noise.
    fn judge(&mut self, rtt_us: u32) {
        if rtt_us == 0 {
            return;
        }
        self.current_us = self.current_us.min(rtt_us);
        self.samples = (self.samples + 1).min(N_RTT_SAMPLE);
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        if self.baseline_us == 0 {
            // Without a last round no delay is that much more.
            let threshold = (self.last_us / 8).clamp(MIN_RTT_THRESH_US, MAX_RTT_THRESH_US);
            if self.current_us >= self.last_us.saturating_add(threshold) {
                self.baseline_us = self.current_us;
                self.slow_rounds = 0;
            }
        } else if self.current_us < self.baseline_us {
            self.baseline_us = 0;
            self.slow_rounds = 0;
        }
    }
}

// RFC 9406 §4.3, recommended values.
const MIN_RTT_THRESH_US: u32 = 4_000;
const MAX_RTT_THRESH_US: u32 = 16_000;
const N_RTT_SAMPLE: u8 = 8;
const CSS_ROUNDS: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CongestionKind;

    /// Ten segments of a round are acknowledged with this round-trip time; octets that the window may grow by.
    fn round(hystart: &mut HyStart, number: u32, rtt_ms: u32) -> u32 {
        (0..10)
            .map(|at| {
                let sample = AckSample {
                    una: SeqNum(u32::MAX - 5_000) + number * 10_000 + (at + 1) * 1_000,
                    nxt: SeqNum(u32::MAX - 5_000) + (number + 1) * 10_000 + (at + 1) * 1_000,
                    rtt_us: rtt_ms * 1000,
                    ..AckSample::of(CongestionKind::Cubic, 1_000, 0)
                };
                hystart.on_ack(u32::MAX, &sample)
            })
            .sum()
    }

    // proves: RFC 9406 §4.2 (delay increase, Conservative Slow Start, its rounds)
    #[test]
    fn growing_delay_slows_growth_to_a_quarter_and_ends_slow_start_after_five_rounds() {
        let mut hystart = HyStart::default();
        assert_eq!(round(&mut hystart, 0, 40), 10_000);
        assert_eq!(round(&mut hystart, 1, 43), 10_000, "an eighth of 40 ms is five");
        let grown = round(&mut hystart, 2, 49);
        assert!(
            (4_000..9_000).contains(&grown),
            "slower from the eighth sample on: {grown}"
        );
        for number in 3..8 {
            assert!(!hystart.is_over());
            assert_eq!(round(&mut hystart, number, 60), 2_500);
        }
        round(&mut hystart, 8, 60);
        assert!(hystart.is_over());
    }

    // proves: RFC 9406 §4.2 (back to slow start when it had been noise)
    #[test]
    fn a_delay_that_falls_back_resumes_slow_start() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 40);
        round(&mut hystart, 1, 60);
        assert_eq!(round(&mut hystart, 2, 60), 2_500);
        round(&mut hystart, 3, 41);
        assert_eq!(round(&mut hystart, 4, 41), 10_000);
        assert!(!hystart.is_over());
    }

    // proves: RFC 9406 §4.2, §4.3 (the threshold lies between 4 and 16 ms)
    #[test]
    fn the_least_and_the_largest_increase_that_count() {
        for (first, second, slows) in [(1, 4, false), (1, 5, true), (800, 815, false), (800, 816, true)] {
            let mut hystart = HyStart::default();
            round(&mut hystart, 0, first);
            round(&mut hystart, 1, second);
            assert_eq!(
                round(&mut hystart, 2, second) == 2_500,
                slows,
                "{first} to {second} ms"
            );
        }
    }

    #[test]
    fn a_slow_start_with_a_threshold_is_that_of_rfc_5681() {
        let mut hystart = HyStart::default();
        let sample = AckSample::of(CongestionKind::Cubic, 50_000, 0);
        assert_eq!(hystart.on_ack(100_000, &sample), 2_000);
        assert_eq!(hystart.on_ack(u32::MAX, &sample), 8_000);
    }

    #[test]
    fn without_samples_nothing_is_judged() {
        let mut hystart = HyStart::default();
        for number in 0..20 {
            assert_eq!(round(&mut hystart, number, 0), 10_000);
            assert!(!hystart.is_over());
        }
    }

    // proves: RFC 9406 §4.2 (lastRoundMinRTT is that of the last round, or none)
    #[test]
    fn a_round_is_compared_with_the_one_before_it_if_that_had_samples() {
        for (times, slows) in [
            ([40, 40, 49], true),
            ([40, 49, 49], true),
            ([40, 0, 49], false),
            ([0, 0, 900], false),
        ] {
            let mut hystart = HyStart::default();
            let grown: u32 = (0..3).map(|at| round(&mut hystart, at, times[at as usize])).sum();
            assert_eq!(grown < 30_000, slows, "{times:?}");
            assert!(!hystart.is_over());
        }
    }
}
