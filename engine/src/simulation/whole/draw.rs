//! Numbers drawn from a seed, in the words in which plans are made.

use std::time::Duration;

use fourtuple_nic_mem::Random;

/// A stream of draws. Streams of different salts don't depend on each other, so that a plan with a part left out draws the same
/// for what is left.
#[derive(Clone, Debug)]
pub(super) struct Draw(Random);

impl Draw {
    pub(super) fn new(seed: u64, salt: u64) -> Self {
        let mut first = Random::new(seed ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(Random::new(first.next_u64() ^ salt))
    }

    /// Below `bound`; zero when that is.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// From `from` to `to`, both among them.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.below(to - from + 1)
    }

    /// True in `percent` of cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// One of several.
    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.below(of.len() as u64) as usize]
    }

    /// Any size from `from` to `to`, small ones as often as large ones.
    pub(super) fn size(&mut self, from: u64, to: u64) -> u64 {
        let doublings = u64::from((to / from.max(1)).max(1).ilog2());
        let top = (from.max(1) << self.0.below(doublings + 1))
            .saturating_mul(2)
            .min(to);
        self.between(from, top.max(from))
    }

    /// A time of `from` to `to` milliseconds, short ones as often as long ones, in nanoseconds.
    pub(super) fn span_ns(&mut self, from_ms: u64, to_ms: u64) -> u64 {
        self.size(from_ms * 1000, to_ms * 1000) * 1000
    }

    pub(super) fn span(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_nanos(self.span_ns(from_ms, to_ms))
    }

    /// In any order.
    pub(super) fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.0.below(last as u64 + 1) as usize);
        }
    }
}
