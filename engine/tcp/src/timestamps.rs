//! Timestamps (RFC 7323): the clock we send, the peer's value we echo, and PAWS.
//!
//! Our clock ticks in milliseconds and starts at an offset that is secret to the four-tuple (§5.4).

use fourtuple_wire::{Instant, SeqNum, TcpHeader, Timestamps};

use crate::Profile;
use crate::timers::is_before;

/// TS.Recent with its age, and the offset of our clock.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct TimestampState {
    /// TS.Recent.
    pub(crate) recent: u32,
    /// Offset of our clock.
    pub(crate) offset: u32,
    /// When TS.Recent was taken, in units of [`AGE_SHIFT`].
    recent_at: u16,
    /// Both ends offered timestamps.
    pub(crate) enabled: bool,
}

impl TimestampState {
    pub(crate) const fn new(offset: u32) -> Self {
        Self {
            recent: 0,
            offset,
            recent_at: 0,
            enabled: false,
        }
    }

    /// TSval of a segment sent now.
    #[inline]
    pub(crate) const fn value(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.offset)
    }

    /// The option of a segment sent now.
    #[inline]
    pub(crate) fn option(&self, now: Instant) -> Option<Timestamps> {
        self.enabled.then(|| Timestamps {
            value: self.value(now),
            echo: self.recent,
        })
    }

    /// The first timestamp of the peer, from its SYN.
    pub(crate) const fn begin(&mut self, value: u32, now: Instant) {
        self.enabled = true;
        self.take(value, now);
    }

    #[inline]
    const fn take(&mut self, value: u32, now: Instant) {
        self.recent = value;
        self.recent_at = age_unit(now);
    }

    /// RFC 7323 §5.3 R1: the segment's timestamp is older than TS.Recent, and TS.Recent is not outdated (§5.5).
    #[inline]
    pub(crate) fn is_old(&self, value: u32, now: Instant) -> bool {
        is_before(value, self.recent) && age_unit(now).wrapping_sub(self.recent_at) <= OUTDATED
    }

    /// A segment's timestamp is the recent one or a later one.
    #[inline]
    pub(crate) const fn is_next(&self, value: u32) -> bool {
        !is_before(value, self.recent)
    }

    /// RFC 7323 §4.3 (2) and §5.3 R3: TS.Recent follows a segment that is not behind the last ACK sent.
    #[inline]
    pub(crate) fn follow(&mut self, value: u32, seq: SeqNum, last_ack_sent: SeqNum, now: Instant) {
        if seq.at_or_before(last_ack_sent) && (!is_before(value, self.recent) || self.is_outdated(now)) {
            self.take(value, now);
        }
    }

    fn is_outdated(&self, now: Instant) -> bool {
        age_unit(now).wrapping_sub(self.recent_at) > OUTDATED
    }

    /// A round-trip sample in microseconds from an echo of ours (§4.1); a millisecond at least, `None` for nonsense.
    pub(crate) fn sample_us(&self, echo: u32, now: Instant) -> Option<u32> {
        let elapsed = self.value(now).wrapping_sub(echo);
        (echo != 0 && elapsed < MAX_ECHO_AGE_MS).then(|| elapsed.max(1) * 1000)
    }
}

/// Timestamps that a SYN offers and we take up.
pub(crate) fn offered(header: &TcpHeader, profile: &Profile) -> Option<Timestamps> {
    header.options.timestamps.filter(|_| profile.timestamps)
}

const fn age_unit(now: Instant) -> u16 {
    (now.as_millis() >> AGE_SHIFT) as u16
}

/// 2²⁰ ms, some 17 minutes: 16 bits of it last for two years, where 32 bits of milliseconds last seven weeks.
const AGE_SHIFT: u32 = 20;

/// RFC 7323 §5.5: TS.Recent is invalid after 24 days.
const OUTDATED: u16 = ((24 * 24 * 3600 * 1000u64) >> AGE_SHIFT) as u16;

/// A minute, as long as any sample that the estimator takes.
const MAX_ECHO_AGE_MS: u32 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    #[test]
    fn a_timestamp_is_old_when_it_is_before_the_recent_one_round_the_circle() {
        let now = Instant::from_millis(5);
        for recent in [0u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let mut state = TimestampState::new(0);
            state.begin(recent, now);
            assert!(state.is_old(recent.wrapping_sub(1), now), "{recent}");
            assert!(
                !state.is_old(recent, now) && !state.is_old(recent.wrapping_add(1), now),
                "{recent}"
            );
        }
    }

    #[test]
    fn a_timestamp_of_24_days_is_no_reason_to_refuse() {
        let mut state = TimestampState::new(0);
        state.begin(1000, Instant::ZERO);
        assert!(state.is_old(999, Instant::from_millis(23 * DAY_MS)));
        for days in [25, 49, 50, 75, 100] {
            let now = Instant::from_millis(days * DAY_MS);
            assert!(!state.is_old(999, now), "{days}");
            let mut followed = state;
            followed.follow(7, SeqNum(0), SeqNum(0), now);
            assert_eq!(followed.recent, 7, "{days}");
        }
    }

    #[test]
    fn the_recent_value_follows_only_what_the_last_ack_covers() {
        let mut state = TimestampState::new(0);
        state.begin(10, Instant::ZERO);
        state.follow(12, SeqNum(101), SeqNum(100), Instant::ZERO);
        assert_eq!(state.recent, 10, "a segment behind a hole");
        state.follow(9, SeqNum(100), SeqNum(100), Instant::ZERO);
        assert_eq!(state.recent, 10, "never back");
        state.follow(12, SeqNum(100), SeqNum(100), Instant::ZERO);
        assert_eq!(state.recent, 12);
    }

    // proves: RFC 7323 §5.4
    #[test]
    fn the_clock_is_milliseconds_and_an_offset() {
        let mut state = TimestampState::new(u32::MAX);
        assert_eq!(state.option(Instant::ZERO), None);
        state.begin(3, Instant::ZERO);
        assert_eq!(
            state.option(Instant::from_millis(2)),
            Some(Timestamps { value: 1, echo: 3 })
        );
        assert_eq!(state.sample_us(1, Instant::from_millis(42)), Some(40_000));
        assert_eq!(
            state.sample_us(5, Instant::from_millis(2)),
            None,
            "an echo of the future"
        );
    }

    // proves: RFC 7323 §5.5
    #[test]
    fn the_recent_value_lasts_for_24_days_to_a_unit_of_its_age() {
        let mut state = TimestampState::new(0);
        state.begin(1000, Instant::ZERO);
        // 24 days are 1977.5 units of 2²⁰ ms.
        for (units, lasts) in [(1_977u64, true), (1_978, false)] {
            let now = Instant::from_millis(units << 20);
            assert_eq!(state.is_old(999, now), lasts, "{units}");
            let mut followed = state;
            followed.follow(999, SeqNum(0), SeqNum(0), now);
            assert_eq!(followed.recent, if lasts { 1000 } else { 999 }, "{units}");
        }
    }

    #[test]
    fn an_echo_of_a_minute_ago_tells_no_round_trip() {
        let state = TimestampState::new(0);
        for (elapsed, sample) in [(0, Some(1_000)), (59_999, Some(59_999_000)), (60_000, None)] {
            assert_eq!(
                state.sample_us(7, Instant::from_millis(7 + elapsed)),
                sample,
                "{elapsed}"
            );
        }
        assert_eq!(
            state.sample_us(0, Instant::from_millis(5)),
            None,
            "nothing was echoed"
        );
    }
}
