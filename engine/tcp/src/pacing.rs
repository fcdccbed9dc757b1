//! Pacing: segments leave at a rate, rather than a window at once.
//!
//! ```text
//!   ───┬────────┬──────────────┬───────► time
//!    now     now + SLACK      next           may leave while next ≤ now + SLACK
//!                              └─ moves on by len / rate with every segment; never further back than now − CATCH_UP
//! ```
//! The timer wheel ticks in milliseconds: who waits comes back at a tick, so a millisecond's worth may leave ahead of its time.
//! Between ticks ACKs let go what has become due. So a fast link is never held up by the tick, and a slow one, whose segments
//! are further apart than that, sees single segments. What a late turn missed is made up for, up to `CATCH_UP`.

use std::time::Duration;

use fourtuple_wire::Instant;

/// Whether a connection's segments leave at a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pacing {
    /// As the algorithm of congestion control needs it: BBR does, the others do not.
    #[default]
    Auto,
    /// At twice the window a round trip in slow start, a fifth more than the window afterwards; BBR at its own rate.
    On,
    /// Never, but for a rate that was set.
    Off,
}

/// When the next segment may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pacer {
    /// Nanoseconds; zero before anything left.
    next_ns: u64,
}

impl Pacer {
    /// How long a segment has to wait still.
    #[inline]
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let ahead = self.next_ns.saturating_sub(now.as_nanos());
        (ahead > SLACK_NS).then(|| Duration::from_nanos(ahead - SLACK_NS))
    }

    /// A segment of `len` octets leaves, at `rate` octets a second.
    #[inline]
    pub(crate) fn sent(&mut self, len: u32, rate: u64, now: Instant) {
        let earliest = now.as_nanos().saturating_sub(CATCH_UP_NS);
        // Rounded up: at 100 Gb/s a segment takes some hundred nanoseconds.
        let takes = (u64::from(len) * 1_000_000_000).div_ceil(rate.max(LEAST_RATE));
        self.next_ns = self.next_ns.max(earliest).saturating_add(takes);
    }
}

/// A tick of the wheel.
const SLACK_NS: u64 = 1_000_000;
/// Two ticks: a sleeping worker wakes up to one late, and is armed to the next.
const CATCH_UP_NS: u64 = 2_000_000;
/// Octets a second: below, a full segment would keep the connection silent for longer than the least RTO.
const LEAST_RATE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends whenever it may, woken at ticks alone; octets that left in each millisecond.
    fn per_tick(rate: u64, len: u32, ticks: u64) -> Vec<u64> {
        let mut pacer = Pacer::default();
        (0..ticks)
            .map(|tick| {
                let now = Instant::from_millis(1_000 + tick);
                let mut sent = 0;
                while pacer.wait(now).is_none() {
                    pacer.sent(len, rate, now);
                    sent += u64::from(len);
                }
                sent
            })
            .collect()
    }

    #[test]
    fn over_a_second_the_rate_is_kept_from_a_hundred_kilobits_to_a_hundred_gigabits() {
        for rate in [
            12_500u64,
            125_000,
            1_250_000,
            12_500_000,
            1_250_000_000,
            12_500_000_000,
        ] {
            let sent: u64 = per_tick(rate, 1448, 1_000).iter().sum();
            // What the start may make up for, and the segment under way.
            let slack = rate * 4 / 1000 + 2 * 1448;
            assert!(sent.abs_diff(rate) <= slack, "{rate}: {sent}");
        }
    }

    #[test]
    fn no_tick_bursts_beyond_what_is_due_and_a_segment() {
        for rate in [125_000u64, 12_500_000, 1_250_000_000] {
            let ticks = per_tick(rate, 1448, 100);
            for (tick, sent) in ticks.iter().enumerate().skip(1) {
                assert!(*sent <= rate / 1000 + 1448, "{rate}, tick {tick}: {sent}");
            }
            assert!(ticks[0] <= rate * 4 / 1000 + 1448, "{rate}: {}", ticks[0]);
        }
    }

    #[test]
    fn slow_paths_see_single_segments() {
        // A segment each 11.6 ms.
        let ticks = per_tick(125_000, 1448, 100);
        assert!(ticks.iter().all(|sent| *sent <= 1448));
        assert!((7..=10).contains(&ticks.iter().filter(|sent| **sent > 0).count()));
    }

    #[test]
    fn a_late_turn_makes_up_for_what_it_missed_but_not_for_idleness() {
        let mut pacer = Pacer::default();
        let at = |ms| Instant::from_millis(ms);
        pacer.sent(1_000_000, 1_000_000, at(1_000));
        assert_eq!(pacer.wait(at(1_500)), Some(Duration::from_millis(497)));
        let mut sent = 0;
        while pacer.wait(at(60_000)).is_none() {
            pacer.sent(1_000, 1_000_000, at(60_000));
            sent += 1;
        }
        assert_eq!(
            sent, 4,
            "two milliseconds behind, one ahead, and the one that goes over"
        );
    }
}
