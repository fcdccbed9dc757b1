//! How late something was: a histogram with buckets of powers of two, kept by the worker and published with its counters.
//!
//! ```text
//!   bucket      0          1          2     …     20            21
//!   up to     1,024 ns   2,048 ns   4,096 ns    1.07 s     without bound
//! ```
//!
//! A bucket is found by counting leading zeros: no float, no search.

/// Bounds of the buckets but the last, which has none.
pub const BOUNDS: usize = 21;

/// The first bound, as a power of two of nanoseconds: about a microsecond. Nothing that wakes a thread is quicker.
const FIRST_BOUND: u32 = 10;

/// Words of a histogram as it is published: the buckets, then the sum.
pub(super) const WORDS: usize = BOUNDS + 2;

/// Delays counted by their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// How many lay in each bucket, not counting those in the ones before.
    buckets: [u64; BOUNDS + 1],
    sum_ns: u64,
}

impl Delays {
    /// One more, of so many nanoseconds.
    pub fn count(&mut self, ns: u64) {
        self.buckets[bucket_of(ns)] += 1;
        self.sum_ns = self.sum_ns.wrapping_add(ns);
    }

    /// The upper bound of each bucket but the last, in nanoseconds.
    pub fn bounds() -> impl Iterator<Item = u64> + Clone {
        (FIRST_BOUND..).take(BOUNDS).map(|power| 1 << power)
    }

    /// How many lay in each bucket; the last one has no bound.
    pub fn buckets(&self) -> &[u64; BOUNDS + 1] {
        &self.buckets
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All together, in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// As it is published.
    pub(super) fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[..=BOUNDS].copy_from_slice(&self.buckets);
        words[BOUNDS + 1] = self.sum_ns;
        words
    }

    /// From what was published.
    pub(super) fn from_words(words: &[u64]) -> Self {
        let mut delays = Self::default();
        for (bucket, word) in delays.buckets.iter_mut().zip(words) {
            *bucket = *word;
        }
        delays.sum_ns = words.get(BOUNDS + 1).copied().unwrap_or(0);
        delays
    }
}

/// The first bucket whose bound is not below `ns`.
fn bucket_of(ns: u64) -> usize {
    let power = u64::BITS - ns.saturating_sub(1).leading_zeros();
    (power.saturating_sub(FIRST_BOUND) as usize).min(BOUNDS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_delay_lies_in_the_first_bucket_that_reaches_it() {
        let cases = [
            (0, 0, "none at all"),
            (1, 0, "the least"),
            (1 << 10, 0, "a bound is part of its bucket"),
            ((1 << 10) + 1, 1, "just above it"),
            (1 << 11, 1, "the next bound"),
            (1_000_000, 10, "a millisecond, up to 1,048,576"),
            (1 << 30, 20, "the last bound"),
            ((1 << 30) + 1, 21, "beyond all bounds"),
            (u64::MAX, 21, "the most"),
        ];
        for (ns, bucket, why) in cases {
            assert_eq!(bucket_of(ns), bucket, "{why}");
            if let Some(bound) = Delays::bounds().nth(bucket) {
                assert!(ns <= bound, "{why}");
            }
        }
        assert_eq!(Delays::bounds().count(), BOUNDS);
        assert_eq!(Delays::bounds().last(), Some(1 << 30));
    }

    #[test]
    fn what_is_published_is_what_was_counted() {
        let mut delays = Delays::default();
        for ns in [5, 2_000, 2_000, u64::from(u32::MAX)] {
            delays.count(ns);
        }
        assert_eq!(
            (delays.total(), delays.sum_ns()),
            (4, 4_005 + u64::from(u32::MAX))
        );
        assert_eq!(
            (delays.buckets()[0], delays.buckets()[1], delays.buckets()[21]),
            (1, 2, 1)
        );
        assert_eq!(Delays::from_words(&delays.words()), delays);
    }
}
