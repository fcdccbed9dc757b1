//! The internet checksum (RFC 1071): a ones-complement sum of 16-bit words, gathered over any number of slices.
//!
//! Words are added in the machine's own byte order and swapped once at the end, which RFC 1071 §2(B) shows to be the same.

use std::net::{Ipv4Addr, Ipv6Addr};

use fearless_simd::{Level, dispatch};

use crate::FourTuple;

/// A ones-complement sum that is still growing. Slices may have odd lengths; only their sequence matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Sum of words in native byte order, not yet folded; below 2⁴⁰ between calls.
    total: u64,
    /// An odd number of octets was added, so the next one completes a word.
    odd: bool,
}

impl Sum {
    /// The sum over one slice.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        Self::default().with(bytes)
    }

    /// The sum over `bytes`, which are copied into `room` on the way; it is as long.
    #[inline(always)]
    pub fn of_copy(bytes: &[u8], room: &mut [u8]) -> Self {
        let (mut total, mut behind, mut odd) = (0, 0, false);
        let (blocks, rest) = bytes.as_chunks::<32>();
        let (places, places_behind) = room.as_chunks_mut::<32>();
        for (block, place) in blocks.iter().zip(places) {
            total = add_words(total, block.as_chunks::<8>().0);
            *place = *block;
        }
        if !rest.is_empty() {
            behind = sum_short(rest);
            odd = rest.len() % 2 == 1;
            for (place, octet) in places_behind.iter_mut().zip(rest) {
                *place = *octet;
            }
        }
        Self {
            total: fold_once(fold_once(total) + behind),
            odd,
        }
    }

    /// This sum and `bytes` behind it.
    #[inline]
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.add(bytes);
        self
    }

    /// Adds `bytes` behind what was added before.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.odd {
            let Some((&first, behind)) = bytes.split_first() else {
                return;
            };
            self.total += u64::from(u16::from_ne_bytes([0, first]));
            self.odd = false;
            rest = behind;
        }
        self.odd = rest.len() % 2 == 1;
        self.total = fold_once(self.total + sum_words(rest));
    }

    /// Adds `bytes` behind what was added before, and copies them into `room` on the way; it is as long.
    #[inline]
    pub fn add_copy(&mut self, bytes: &[u8], room: &mut [u8]) {
        let (mut rest, mut places) = (bytes, room);
        if self.odd {
            let (Some((&first, behind)), Some((place, places_behind))) =
                (rest.split_first(), places.split_first_mut())
            else {
                return;
            };
            *place = first;
            self.total += u64::from(u16::from_ne_bytes([0, first]));
            (rest, places) = (behind, places_behind);
        }
        self.odd = rest.len() % 2 == 1;
        self.total = fold_once(self.total + copy_words(rest, places));
    }

    /// This sum, of an even number of octets so far, and `bytes` behind it carry a checksum among them, and it is right.
    #[inline(always)]
    pub(crate) fn is_right_with(self, bytes: &[u8]) -> bool {
        fold(self.total + sum_words(bytes)) == 0xffff
    }

    /// Adds a sum that was made of the octets behind these.
    #[inline]
    #[must_use]
    pub fn followed_by(self, tail: Self) -> Self {
        let total = if self.odd {
            u64::from(fold(tail.total).swap_bytes())
        } else {
            tail.total
        };
        Self {
            total: fold_once(self.total + total),
            odd: self.odd ^ tail.odd,
        }
    }

    /// Adds one 16-bit number. Only for sums of an even number of octets so far.
    #[inline]
    #[must_use]
    pub(crate) fn with_word(mut self, word: u16) -> Self {
        self.total += u64::from(word.to_be());
        self
    }

    /// Adds one 32-bit number. Only for sums of an even number of octets so far.
    #[inline]
    #[must_use]
    pub(crate) fn with_double_word(mut self, number: u32) -> Self {
        self.total += u64::from(number.to_be());
        self
    }

    /// The pseudo-header of IPv4 (RFC 9293 §3.1): `len` is that of the upper layer with its header.
    #[inline]
    pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Self {
        let [source, destination] = [source, destination].map(|a| u32::from_ne_bytes(a.octets()));
        Self::pseudo_of_words(source, destination, protocol, len)
    }

    /// The same of addresses as they stand in memory.
    #[inline(always)]
    pub(crate) fn pseudo_of_words(source: u32, destination: u32, protocol: u8, len: u16) -> Self {
        let rest = u64::from(u16::from(protocol).to_be()) + u64::from(len.to_be());
        Self {
            total: u64::from(source) + u64::from(destination) + rest,
            odd: false,
        }
    }

    /// The pseudo-header of IPv6 (RFC 8200 §8.1): `len` is that of the upper layer with its header.
    #[inline]
    pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u16) -> Self {
        Self::of(&source.octets())
            .with(&destination.octets())
            .with_word(len)
            .with_word(u16::from(protocol))
    }

    /// The pseudo-header of a segment that leaves with our four-tuple; `len` is that of the segment with its header.
    #[inline]
    pub fn pseudo_tcp(tuple: &FourTuple, len: u16) -> Self {
        match tuple {
            FourTuple::V4(t) => Self::pseudo_v4(t.local, t.remote, TCP, len),
            FourTuple::V6(t) => Self::pseudo_v6(t.local, t.remote, TCP, len),
        }
    }

    /// The sum in the machine's own order of octets, below 2⁴⁰.
    #[inline]
    pub(crate) const fn unfolded(self) -> u64 {
        self.total
    }

    /// The sum folded to 16 bits, not complemented: 0xffff over anything that carries a right checksum.
    #[inline]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.total))
    }

    /// What a checksum field has to hold.
    #[inline]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The octets that were added carry a checksum among them, and it is right.
    #[inline]
    pub fn is_right(self) -> bool {
        fold(self.total) == 0xffff
    }
}

const TCP: u8 = 6;

/// Sum of native 16-bit words; a last single octet is padded with zero behind it. Several words are added at once.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    if bytes.len() <= SHORT {
        return sum_short(bytes);
    }
    sum_long(bytes)
}

/// Up to here one addition with carry for each eight octets is shorter than setting vector registers up.
const SHORT: usize = 224;

/// Headers and small payloads, straight where they are needed.
#[inline(always)]
fn sum_short(bytes: &[u8]) -> u64 {
    let mut total = 0;
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        total = add_words(total, block.as_chunks::<8>().0);
    }
    if rest.is_empty() {
        return fold_once(total);
    }
    let (pairs, rest) = rest.as_chunks::<16>();
    if let Some(pair) = pairs.first() {
        total = add_words(total, pair.as_chunks::<8>().0);
    }
    let (words, rest) = rest.as_chunks::<8>();
    if let Some(word) = words.first() {
        total = add_words(total, &[*word]);
    }
    fold_once(total) + sum_rest(rest)
}

/// A sum and a few words, by one chain of additions with carry. 2⁶⁴ is one more than a multiple of 2¹⁶ - 1, as 2³² is: the last
/// carry goes round, for which there is room, since a sum that carried is not all ones.
#[inline(always)]
fn add_words(total: u64, words: &[[u8; 8]]) -> u64 {
    let mut sum = (total, false);
    for word in words {
        sum = add_word(sum.0, *word, sum.1);
    }
    sum.0 + u64::from(sum.1)
}

/// A sum and one word, with the carry of the word before, and the carry.
#[inline(always)]
fn add_word(total: u64, word: [u8; 8], carry: bool) -> (u64, bool) {
    let (sum, first) = total.overflowing_add(u64::from_ne_bytes(word));
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first | second)
}

/// Full segments, with the widest registers that this processor has.
#[inline(never)]
fn sum_long(bytes: &[u8]) -> u64 {
    dispatch!(Level::new(), _registers => sum_lanes(bytes))
}

/// As [`sum_words`], and they are copied into `room`.
#[inline]
fn copy_words(bytes: &[u8], room: &mut [u8]) -> u64 {
    if bytes.len() <= SHORT {
        copy(bytes, room);
        return sum_short(bytes);
    }
    copy_long(bytes, room)
}

#[inline(always)]
fn copy(bytes: &[u8], room: &mut [u8]) {
    if let Some(room) = room.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// As [`sum_long`], and they are copied into `room`.
#[inline(never)]
fn copy_long(bytes: &[u8], room: &mut [u8]) -> u64 {
    dispatch!(Level::new(), _registers => copy_lanes(bytes, room))
}

/// As [`sum_lanes`], and they are copied into `room`, a cache line at a time.
#[inline(always)]
fn copy_lanes(bytes: &[u8], room: &mut [u8]) -> u64 {
    let (lines, rest) = bytes.as_chunks::<64>();
    let (places, places_behind) = room.as_chunks_mut::<64>();
    let mut lanes = [0u64; 8];
    for (line, place) in lines.iter().zip(places) {
        for block in line.as_chunks::<32>().0 {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        *place = *line;
    }
    copy(rest, places_behind);
    lanes.iter().map(|&lane| fold_once(lane)).sum::<u64>() + sum_short(rest)
}

/// Eight independent lanes, which the compiler turns into as many registers as there are for them.
#[inline(always)]
fn sum_lanes(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    lanes.iter().map(|&lane| fold_once(lane)).sum::<u64>() + sum_short(rest)
}

/// The sum of at most seven octets.
#[inline]
fn sum_rest(rest: &[u8]) -> u64 {
    let (words, rest) = rest.as_chunks::<4>();
    let (halves, rest) = rest.as_chunks::<2>();
    let word = words.first().map_or(0, |word| u32::from_ne_bytes(*word));
    let half = halves.first().map_or(0, |half| u16::from_ne_bytes(*half));
    let last = rest.first().map_or(0, |octet| u16::from_ne_bytes([*octet, 0]));
    u64::from(word) + u64::from(half) + u64::from(last)
}

/// One end-around carry of the upper half.
#[inline]
const fn fold_once(total: u64) -> u64 {
    (total & 0xffff_ffff) + (total >> 32)
}

/// A sum as one of 16 bits: both halves are added, and the carry to them, by adding the sum to itself turned round by half.
#[inline]
pub(crate) const fn fold(total: u64) -> u16 {
    let total = (total.wrapping_add(total.rotate_left(32)) >> 32) as u32;
    (total.wrapping_add(total.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{PEER, PEER6, US, US6};
    use crate::testing::{naive_sum, pseudo_v4, pseudo_v6};

    // RFC 1071 §3 works this one out by hand.
    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).folded(), 0xddf2);
        assert_eq!(Sum::of(&bytes).checksum(), 0x220d);
    }

    #[test]
    fn carries_go_round_from_every_place() {
        for len in 0..200 {
            let bytes = vec![0xff; len];
            assert_eq!(
                Sum::of(&bytes).folded(),
                naive_sum(&[&bytes]),
                "{len} octets of ff"
            );
        }
        let long = vec![0xff; 1 << 20];
        let many = (0..64).fold(Sum::default(), |sum, _| sum.with(&long));
        assert_eq!(many.folded(), 0xffff);
    }

    #[test]
    fn a_sum_of_nothing_is_zero() {
        assert_eq!(Sum::default().folded(), 0);
        assert_eq!(Sum::of(&[]).checksum(), 0xffff);
        assert!(!Sum::default().is_right());
    }

    // proves: RFC 8200 §8.1
    #[test]
    fn pseudo_headers_are_those_of_the_rfcs() {
        for len in [0, 20, 1460, 65_515] {
            let v4 = Sum::pseudo_v4(PEER, US, 6, len);
            assert_eq!(v4.folded(), naive_sum(&[&pseudo_v4(6, usize::from(len))]));
            let v6 = Sum::pseudo_v6(PEER6, US6, 58, len);
            assert_eq!(
                v6.folded(),
                naive_sum(&[&pseudo_v6(PEER6, US6, 58, usize::from(len))])
            );
        }
    }

    proptest! {
        #[test]
        fn any_split_into_slices_gives_the_reference(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let (mut added, mut joined, mut from) = (Sum::default(), Sum::default(), 0);
            for &cut in &cuts {
                added.add(&bytes[from..cut]);
                joined = joined.followed_by(Sum::of(&bytes[from..cut]));
                from = cut;
            }
            let reference = naive_sum(&[&bytes]);
            let mut copy = vec![0; bytes.len()];
            prop_assert_eq!(Sum::of_copy(&bytes, &mut copy).folded(), reference);
            prop_assert_eq!(&copy, &bytes);
            let (mut copied, mut pieces, mut from) = (Sum::default(), vec![0; bytes.len()], 0);
            for &cut in &cuts {
                copied.add_copy(&bytes[from..cut], &mut pieces[from..cut]);
                from = cut;
            }
            prop_assert_eq!(copied.folded(), reference);
            prop_assert_eq!(&pieces, &bytes);
            let twice = Sum::of_copy(&bytes, &mut copy).with(&bytes);
            prop_assert_eq!(twice.folded(), naive_sum(&[&bytes, &bytes]));
            prop_assert_eq!(added.folded(), reference);
            prop_assert_eq!(joined.folded(), reference);
        }

        #[test]
        fn what_carries_its_checksum_is_right_and_no_single_bit_may_change(
            mut bytes in prop::collection::vec(any::<u8>(), 2..200),
            bit in any::<prop::sample::Index>(),
        ) {
            bytes[..2].fill(0);
            let checksum = Sum::of(&bytes).checksum();
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::of(&bytes).is_right());
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!Sum::of(&bytes).is_right());
        }
    }
}
