//! Token buckets for what a peer could otherwise make this host send without end.
//!
//! A bucket is the virtual scheduling form of the generic cell rate algorithm (ITU-T I.371): it keeps the one point in time
//! at which it will be full again, so that taking a token is one comparison and one addition. No allocation, no clock.

use std::time::Duration;

use fourtuple_wire::Instant;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In the long run; 0: never.
    pub(crate) per_second: u32,
    /// At once, after a long rest; 0: never.
    pub(crate) burst: u32,
}

/// Lets something happen at a [`Rate`]. 24 bytes.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Time that one token takes to come back; zero when there never is one.
    interval: Duration,
    /// Time that all tokens but one take to come back.
    tolerance: Duration,
    /// When the bucket will be full.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate) -> Self {
        let never = rate.per_second == 0 || rate.burst == 0;
        let interval = if never {
            Duration::ZERO
        } else {
            Duration::from_secs(1) / rate.per_second
        };
        Self {
            interval,
            tolerance: interval.saturating_mul(rate.burst.saturating_sub(1)),
            full_at: Instant::ZERO,
        }
    }

    /// Takes one token; false when none is left.
    pub(crate) fn try_take(&mut self, now: Instant) -> bool {
        if self.interval.is_zero() || self.full_at.since(now) > self.tolerance {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.interval;
        true
    }
}

/// The rates of a worker's stateless answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// RSTs for segments that belong to nothing.
    pub(crate) resets: Rate,
    /// ICMP errors.
    pub(crate) icmp_errors: Rate,
    /// ICMP echo replies.
    pub(crate) echoes: Rate,
    /// ARP replies and neighbour advertisements.
    pub(crate) neighbour_answers: Rate,
    /// ACKs that are looked at for a cookie.
    pub(crate) cookie_checks: Rate,
}

impl Default for Rates {
    /// RFC 1122 and RFC 4443 §2.4(f) ask for limits and leave the figures open. ICMP errors: those of Linux
    /// (`icmp_msgs_per_sec`, `icmp_msgs_burst`). RSTs, ARP: one a millisecond answers every honest peer and is less than a
    /// thousandth of what a worker can send. Echoes: enough for a flood ping to measure loss. Cookies: more than a worker could
    /// make connections of, and few enough that guesses, one in 2²⁸ of which is right, get one connection in some minutes.
    fn default() -> Self {
        Self {
            resets: Rate {
                per_second: 1_000,
                burst: 1_000,
            },
            icmp_errors: Rate {
                per_second: 1_000,
                burst: 50,
            },
            echoes: Rate {
                per_second: 10_000,
                burst: 1_000,
            },
            neighbour_answers: Rate {
                per_second: 1_000,
                burst: 1_000,
            },
            cookie_checks: Rate {
                per_second: 1_000_000,
                burst: 10_000,
            },
        }
    }
}

/// The buckets of a worker's stateless answers.
#[derive(Clone, Debug)]
pub(crate) struct RateLimits {
    /// RSTs for segments that belong to nothing.
    pub(crate) resets: TokenBucket,
    /// ICMP errors.
    pub(crate) icmp_errors: TokenBucket,
    /// ICMP echo replies.
    pub(crate) echoes: TokenBucket,
    /// ARP replies and neighbour advertisements.
    pub(crate) neighbour_answers: TokenBucket,
    /// ACKs that are looked at for a cookie.
    pub(crate) cookie_checks: TokenBucket,
}

impl RateLimits {
    /// Full buckets.
    pub(crate) fn new(rates: &Rates) -> Self {
        Self {
            resets: TokenBucket::new(rates.resets),
            icmp_errors: TokenBucket::new(rates.icmp_errors),
            echoes: TokenBucket::new(rates.echoes),
            neighbour_answers: TokenBucket::new(rates.neighbour_answers),
            cookie_checks: TokenBucket::new(rates.cookie_checks),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = TokenBucket::new(Rate {
            per_second: 10,
            burst: 3,
        });
        let steps = [
            (0, true, "first of the burst"),
            (0, true, "second"),
            (0, true, "third"),
            (0, false, "empty"),
            (99, false, "not yet a tenth of a second"),
            (100, true, "one came back"),
            (100, false, "only one"),
            (5_000, true, "full again"),
            (5_000, true, "not fuller than its burst"),
            (5_000, true, "the last"),
            (5_000, false, "empty again"),
            (4_000, false, "a clock that stands behind gives nothing"),
        ];
        for (millis, expected, why) in steps {
            assert_eq!(
                bucket.try_take(Instant::from_millis(millis)),
                expected,
                "{millis} ms: {why}"
            );
        }
    }

    #[test]
    fn a_rate_of_nothing_gives_nothing() {
        for rate in [
            Rate {
                per_second: 0,
                burst: 5,
            },
            Rate {
                per_second: 5,
                burst: 0,
            },
        ] {
            assert!(
                !TokenBucket::new(rate).try_take(Instant::from_millis(10_000)),
                "{rate:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_burst_and_rate(
            per_second in 1u32..5_000,
            burst in 1u32..100,
            gaps in prop::collection::vec(0u64..5_000_000, 1..400),
        ) {
            let mut bucket = TokenBucket::new(Rate { per_second, burst });
            let (mut now, mut taken) = (0, 0u64);
            for gap in gaps {
                now += gap;
                taken += u64::from(bucket.try_take(Instant::from_nanos(now)));
                // The interval is rounded down to whole nanoseconds: at most 5 parts in a million too fast.
                let allowed = u64::from(burst) + now * u64::from(per_second) / 999_995_000 + 1;
                prop_assert!(taken <= allowed, "{taken} of {allowed} after {now} ns");
            }
        }
    }
}
