//! The retransmission timeout (RFC 6298): smoothed round-trip time, its variation, and the timeout made of them.
//!
//! Measured is one segment at a time, in microseconds, never one that was retransmitted (Karn, §3); with timestamps a
//! retransmitted segment gives a sample too (RFC 7323 §4), in milliseconds. Backoff is counted by `Timers`.

use std::time::Duration;

use fourtuple_wire::{Instant, SeqNum};

use crate::Profile;
use crate::profile::millis;

/// Estimator and the measurement under way.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Rto {
    /// SRTT in eighths of a microsecond; zero before the first sample.
    srtt: u32,
    /// RTTVAR in quarters of a microsecond.
    rttvar: u32,
    /// An ACK at or beyond this ends the measurement under way.
    timed_end: SeqNum,
    /// When the measured segment was sent, in microseconds on a circle of 32 bits; [`UNTIMED`] when none is.
    timed_at: u32,
    /// The timeout without backoff, in milliseconds.
    base_ms: u16,
    /// Tick at which the pacer lets the next segment go, on a circle of 16 bits (beside the timeout, for the room).
    pace_at: u16,
}

/// No segment is being measured; a moment that would read so counts as the one before.
const UNTIMED: u32 = u32::MAX;

impl Rto {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            srtt: 0,
            rttvar: 0,
            timed_end: SeqNum(0),
            timed_at: UNTIMED,
            base_ms: in_16_bits(millis(profile.initial_rto).max(1)),
            pace_at: 0,
        }
    }

    /// A segment that ends at `end` was sent for the first time: it is measured, if none is.
    #[inline]
    pub(crate) fn start(&mut self, end: SeqNum, now: Instant) {
        if self.timed_at == UNTIMED {
            self.timed_end = end;
            self.timed_at = (now.as_micros() as u32).min(UNTIMED - 1);
        }
    }

    /// Something was retransmitted: what is being measured could be answered twice (Karn's algorithm).
    #[inline]
    pub(crate) fn stop(&mut self) {
        self.timed_at = UNTIMED;
    }

    /// No measurement is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.timed_at == UNTIMED
    }

    /// New octets up to `ack` were acknowledged: a sample, if that covers the measured segment; whether it was one.
    #[inline]
    pub(crate) fn acknowledged(&mut self, ack: SeqNum, profile: &Profile, now: Instant) -> bool {
        let sampled = self.timed_at != UNTIMED && ack.at_or_after(self.timed_end);
        if sampled {
            let sample = (now.as_micros() as u32).wrapping_sub(self.timed_at);
            self.timed_at = UNTIMED;
            self.sample(sample, profile);
        }
        sampled
    }

    /// RFC 6298 §2.2 and §2.3, in fixed point.
    #[inline(always)]
    pub(crate) fn sample(&mut self, rtt_us: u32, profile: &Profile) {
        let rtt_us = rtt_us.clamp(1, MAX_SAMPLE_US);
        if self.srtt == 0 {
            self.srtt = rtt_us << 3;
            self.rttvar = rtt_us << 1;
        } else {
            let error = rtt_us.abs_diff(self.srtt >> 3);
            // RTTVAR ← ¾ RTTVAR + ¼ |SRTT − R|, and only then SRTT ← ⅞ SRTT + ⅛ R.
            self.rttvar = self.rttvar - (self.rttvar >> 2) + error;
            self.srtt = (self.srtt - (self.srtt >> 3) + rtt_us).max(1);
        }
        // §2.3: RTO ← SRTT + max(G, 4 RTTVAR); G is the millisecond tick. Rounded up: never early. A loss is repaired, or a tail
        // probed for (RFC 8985 §7.2), two round trips after SND.UNA moved last: on a long path without variation that is waited for.
        let srtt_us = self.srtt >> 3;
        let rto_us = srtt_us + self.rttvar.max(srtt_us + REPAIR_SLACK_US);
        // Deviation: §2.4 rounds up to one second; the bound is a setting, 200 ms unless given (as every stack has it).
        let least = millis(profile.min_rto).max(1);
        self.base_ms = in_16_bits(if u64::from(rto_us) <= u64::from(least) * 1000 {
            least
        } else {
            rto_us.div_ceil(1000).min(millis(profile.max_rto).max(least))
        });
    }

    /// RFC 6298 §5.7: the handshake's SYN was retransmitted, so data begins with three seconds when nothing was measured.
    pub(crate) fn after_lost_syn(&mut self) {
        if self.srtt == 0 {
            self.base_ms = self.base_ms.max(3000);
        }
    }

    /// The timeout after `backoff` expiries, in milliseconds (RFC 6298 §5.5; RFC 9293 §3.8.2, MUST-19).
    #[inline(always)]
    pub(crate) fn timeout_ms(&self, backoff: u8, profile: &Profile) -> u32 {
        if backoff == 0 {
            return u32::from(self.base_ms);
        }
        let doubled = u64::from(self.base_ms) << backoff.min(32);
        doubled.min(u64::from(millis(profile.max_rto).max(u32::from(self.base_ms)))) as u32
    }

    /// The pacer lets the next segment go after this time: at the first tick that is not before it.
    pub(crate) fn set_pace(&mut self, wait: Duration, now: Instant) {
        let wait = wait.min(LONGEST_PACE);
        self.pace_at = (now + wait).as_nanos().div_ceil(1_000_000) as u16;
    }

    /// Ticks until the pacer's moment, negative when it has passed.
    pub(crate) fn pace_left(&self, tick: u32) -> i32 {
        i32::from(self.pace_at.wrapping_sub(tick as u16) as i16)
    }

    /// That moment has come.
    pub(crate) fn is_pace_due(&self, tick: u32) -> bool {
        self.pace_left(tick) <= 0
    }

    /// SRTT in microseconds; zero before the first sample.
    #[inline]
    pub(crate) fn srtt_us(&self) -> u32 {
        self.srtt >> 3
    }

    /// When the segment under measurement was sent, in microseconds on a circle of 32 bits.
    pub(crate) fn timed_since(&self) -> Option<u32> {
        (self.timed_at != UNTIMED).then_some(self.timed_at)
    }

    /// SRTT; zero before the first sample.
    pub(crate) fn srtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.srtt >> 3))
    }

    /// RTTVAR.
    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_micros(u64::from(self.rttvar >> 2))
    }
}

/// Half of the circle of 16 bits would be 32 s.
const LONGEST_PACE: Duration = Duration::from_secs(30);

/// A timeout that was measured is cut to 65 s, far beyond what any path takes; its backoff is not.
fn in_16_bits(ms: u32) -> u16 {
    ms.min(u32::from(u16::MAX)) as u16
}

/// What ACKs of a repair may be late: peers delay them by 40 ms, and a tick or two. Up to a round trip of 75 ms the lower bound is more.
const REPAIR_SLACK_US: u32 = 50_000;

/// A minute: longer samples say nothing about the path, and the fixed point stays within 32 bits.
const MAX_SAMPLE_US: u32 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    // proves: RFC 6298 §2.1, §2.2
    #[test]
    fn the_first_sample_gives_srtt_r_and_rttvar_half_of_it() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        assert_eq!(rto.timeout_ms(0, &profile), 1000);
        rto.sample(100_000, &profile);
        assert_eq!(
            (rto.srtt(), rto.rttvar()),
            (Duration::from_millis(100), Duration::from_millis(50))
        );
        assert_eq!(rto.timeout_ms(0, &profile), 300);
    }

    // proves: RFC 6298 §2.3
    #[test]
    fn later_samples_are_smoothed() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        rto.sample(100_000, &profile);
        rto.sample(180_000, &profile);
        // SRTT = 7/8·100 + 1/8·180 = 110 ms; RTTVAR = 3/4·50 + 1/4·80 = 57.5 ms; RTO = 110 + 230 = 340 ms.
        assert_eq!(
            (rto.srtt(), rto.rttvar()),
            (Duration::from_millis(110), Duration::from_micros(57_500))
        );
        assert_eq!(rto.timeout_ms(0, &profile), 340);
    }

    // proves: RFC 9293 MUST-19 (exponential backoff)
    // proves: RFC 6298 §5.5
    #[test]
    fn backoff_doubles_up_to_the_bound() {
        let profile = Profile::default();
        let rto = Rto::new(&profile);
        let timeouts: Vec<_> = (0..9).map(|backoff| rto.timeout_ms(backoff, &profile)).collect();
        assert_eq!(
            timeouts,
            [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
        );
        assert_eq!(rto.timeout_ms(255, &profile), 60_000);
    }

    #[test]
    fn the_lower_bound_holds_on_a_short_path() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        for _ in 0..100 {
            rto.sample(20, &profile);
        }
        assert_eq!(rto.timeout_ms(0, &profile), 200);
        assert!(rto.srtt() <= Duration::from_micros(21));
    }

    #[test]
    fn a_long_path_without_variation_is_given_time_to_repair_a_loss() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        for _ in 0..100 {
            rto.sample(200_000, &profile);
        }
        assert_eq!(rto.timeout_ms(0, &profile), 450);
    }

    // proves: RFC 9293 MUST-18 (Karn's algorithm)
    #[test]
    fn a_retransmitted_segment_is_not_measured() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        rto.start(SeqNum(10), at_ms(0));
        rto.stop();
        assert!(!rto.acknowledged(SeqNum(10), &profile, at_ms(500)));
        assert_eq!(rto.srtt(), Duration::ZERO);
    }

    #[test]
    fn one_segment_is_measured_at_a_time_round_both_circles() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        let start = Instant::from_nanos((u64::from(u32::MAX) - 10_000) * 1000);
        rto.start(SeqNum(5), start);
        rto.start(SeqNum(100), start + Duration::from_millis(1));
        let _ = rto.acknowledged(SeqNum(u32::MAX), &profile, start + Duration::from_millis(20));
        assert_eq!(rto.srtt(), Duration::ZERO, "an ACK before its end does not count");
        let _ = rto.acknowledged(SeqNum(5), &profile, start + Duration::from_millis(40));
        assert_eq!(rto.srtt(), Duration::from_millis(40));
    }

    #[test]
    fn what_leaves_at_the_moment_that_reads_as_none_is_measured_from_the_one_before() {
        let profile = Profile::default();
        let mut rto = Rto::new(&profile);
        assert!(rto.is_idle());
        let start = Instant::from_nanos(u64::from(u32::MAX) * 1000);
        rto.start(SeqNum(5), start);
        assert!(!rto.is_idle());
        assert!(rto.acknowledged(SeqNum(5), &profile, start + Duration::from_millis(40)));
        assert_eq!(rto.srtt(), Duration::from_micros(40_001));
        assert!(rto.is_idle());
    }

    #[test]
    fn the_pacers_moment_is_the_first_tick_that_is_not_before_it_round_the_circle() {
        let mut rto = Rto::new(&Profile::default());
        rto.set_pace(Duration::from_micros(10_200), at_ms(65_530));
        for (tick, left) in [(65_530, 11), (65_540, 1), (65_541, 0), (65_542, -1)] {
            assert_eq!(rto.pace_left(tick), left, "{tick}");
            assert_eq!(rto.is_pace_due(tick), left <= 0, "{tick}");
        }
        rto.set_pace(Duration::from_secs(3600), at_ms(7));
        assert_eq!(rto.pace_left(7), 30_000);
    }
}
