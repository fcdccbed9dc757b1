//! A point in time as the protocol sees it: given as an argument, never read from a clock.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the engine's clock started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// From nanoseconds since the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the clock's start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds since the clock's start.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time that passed since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_they_say_and_nothing_wraps() {
        let at = Instant::from_millis(7) + Duration::from_nanos(8_009);
        assert_eq!(
            (at.as_nanos(), at.as_micros(), at.as_millis()),
            (7_008_009, 7_008, 7)
        );
        assert_eq!(at.since(Instant::from_nanos(9)), Duration::from_nanos(7_008_000));
        assert_eq!(Instant::ZERO.since(at), Duration::ZERO);
        assert_eq!(at + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::from_millis(u64::MAX), Instant::FAR_FUTURE);
    }
}
