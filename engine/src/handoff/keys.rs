//! A hash of keys that are ours: names of connections, tokens of connects. No peer chooses one, so it need not defend against keys that
//! were chosen: a multiplication, where the standard one takes some hundred instructions, and each call of a stream looks up a few.

use std::hash::Hasher;

/// 2⁶⁴ over the golden ratio (Knuth, TAOCP 3 §6.4, multiplicative hashing): keys that follow one another fall as far apart as they can,
/// for of all ratios this one is furthest from every fraction. Odd, so that no two keys have one low half of the product; a number with
/// long runs of equal bits would leave keys that differ in few bits close together, and the test below would fail.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The same keys give the same hash in every run (D11).
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    #[inline]
    fn write_u64(&mut self, key: u64) {
        let product = u128::from(self.0 ^ key) * u128::from(SPREAD);
        // What is mixed badly in one half is mixed well in the other.
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn write_u32(&mut self, key: u32) {
        self.write_u64(u64::from(key));
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    /// As a table of 2¹² buckets with seven bits of tag sees them.
    fn places(keys: impl Iterator<Item = u64>) -> (usize, usize) {
        let build = BuildHasherDefault::<KeyHasher>::default();
        let (mut buckets, mut tags) = (HashSet::new(), HashSet::new());
        for key in keys {
            let hash = build.hash_one(key);
            buckets.insert(hash & 0xfff);
            tags.insert(hash >> 57);
        }
        (buckets.len(), tags.len())
    }

    #[test]
    fn keys_that_differ_in_few_bits_anywhere_are_spread_over_buckets_and_tags() {
        for shift in 0..52 {
            let (buckets, tags) = places((0..4096).map(|key| key << shift));
            // By chance 4096 keys meet some 2,590 of 4,096 buckets.
            assert!(
                buckets > 1500 && tags == 128,
                "shift {shift}: {buckets} buckets, {tags} tags"
            );
        }
    }
}
