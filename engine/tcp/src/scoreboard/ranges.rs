//! Memory of a scoreboard: a few ranges of its own, and many from a pool when a large window lost every other segment.
//!
//! ```text
//!   Flight: Few [64 × 16 octets]  ── no room for a hole ──►  Many [512 × 16 octets] of the pool's
//!                                 ◄── recovery is over ───
//! ```
//! A slow start that overruns a queue loses every second segment of what it sent in a round trip: each is a hole, and takes two
//! ranges. With too few of them SACKs are forgotten, and what they told of is sent again. Few connections are there at a
//! time, so all of them share some larger pieces, which are allocated at the start; who finds none goes on with its own.

use std::ops::{Deref, DerefMut};

use arrayvec::ArrayVec;

use super::Range;

/// The ranges of a scoreboard, in one memory or the other.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the small one is in place, and the large one is a pointer"
)]
pub(crate) enum Ranges {
    Few(ArrayVec<Range, FEW>),
    Many(Vec<Range>),
}

/// A larger piece, empty.
pub(crate) struct Spare(Vec<Range>);

/// The larger pieces that nobody has.
pub(crate) struct Spares {
    free: Vec<Spare>,
    count: u32,
}

/// Two for each hole of which a receiver tells, and what was sent behind them.
pub(crate) const FEW: usize = 64;

/// 250 holes: the first slow start of a connection on a path of a hundred megabits a second and 50 ms, behind a usual queue.
pub(super) const MANY: usize = 512;

/// A SACK or a retransmission takes two, and leaves some to new text.
const SHORT: usize = 8;

impl Ranges {
    pub(super) fn few() -> Self {
        Self::Few(ArrayVec::new())
    }

    pub(super) fn remaining_capacity(&self) -> usize {
        match self {
            Self::Few(ranges) => ranges.remaining_capacity(),
            Self::Many(ranges) => MANY.saturating_sub(ranges.len()),
        }
    }

    #[inline]
    pub(super) fn is_short(&self) -> bool {
        match self {
            Self::Few(ranges) => ranges.remaining_capacity() < SHORT,
            Self::Many(_) => false,
        }
    }

    /// Appends one; `false` when there is no room.
    pub(super) fn push(&mut self, range: Range) -> bool {
        match self {
            Self::Few(ranges) => ranges.try_push(range).is_ok(),
            Self::Many(ranges) if ranges.len() < MANY => {
                ranges.push(range);
                true
            }
            Self::Many(_) => false,
        }
    }

    /// Puts one before that at `index`; nothing when there is no room.
    pub(super) fn insert(&mut self, index: usize, range: Range) {
        match self {
            Self::Few(ranges) => {
                let _full = ranges.try_insert(index, range);
            }
            Self::Many(ranges) if ranges.len() < MANY => ranges.insert(index, range),
            Self::Many(_) => {}
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Range {
        match self {
            Self::Few(ranges) => ranges.remove(index),
            Self::Many(ranges) => ranges.remove(index),
        }
    }

    /// Forgets the first `count`.
    pub(super) fn forget_first(&mut self, count: usize) {
        match self {
            Self::Few(ranges) => {
                ranges.drain(..count);
            }
            Self::Many(ranges) => {
                ranges.drain(..count);
            }
        }
    }

    pub(super) fn lengthen(&mut self, Spare(mut many): Spare) {
        many.clear();
        many.extend_from_slice(self);
        *self = Self::Many(many);
    }

    #[inline]
    pub(super) fn shorten(&mut self) -> Option<Spare> {
        let fits = matches!(self, Self::Many(ranges) if ranges.len() <= FEW / 2);
        if !fits {
            return None;
        }
        let few = self.iter().copied().collect();
        std::mem::replace(self, Self::Few(few)).into_spare()
    }

    pub(super) fn into_spare(self) -> Option<Spare> {
        match self {
            Self::Few(_) => None,
            Self::Many(ranges) => Some(Spare(ranges)),
        }
    }
}

impl Deref for Ranges {
    type Target = [Range];

    #[inline]
    fn deref(&self) -> &[Range] {
        match self {
            Self::Few(ranges) => ranges,
            Self::Many(ranges) => ranges,
        }
    }
}

impl DerefMut for Ranges {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Range] {
        match self {
            Self::Few(ranges) => ranges,
            Self::Many(ranges) => ranges,
        }
    }
}

impl Spares {
    /// So many pieces; the only allocation.
    pub(crate) fn new(count: u32) -> Self {
        Self {
            free: (0..count).map(|_| Spare(Vec::with_capacity(MANY))).collect(),
            count,
        }
    }

    pub(crate) fn take(&mut self) -> Option<Spare> {
        self.free.pop()
    }

    pub(crate) fn give_back(&mut self, spare: Spare) {
        self.free.push(spare);
    }

    /// Pieces that scoreboards have.
    pub(crate) fn in_use(&self) -> u32 {
        self.count - self.free.len() as u32
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.free.capacity() * size_of::<Spare>() + self.count as usize * MANY * size_of::<Range>()
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::SeqNum;

    use super::super::Fate;
    use super::*;

    fn range(end: u32) -> Range {
        Range {
            end: SeqNum(end),
            first: 0,
            last: 0,
            fate: Fate::Sent,
            again: false,
            exact: true,
        }
    }

    fn ends(ranges: &Ranges) -> Vec<u32> {
        ranges.iter().map(|range| range.end.0).collect()
    }

    #[test]
    fn it_moves_to_the_larger_memory_and_back_with_all_that_it_knows() {
        let mut spares = Spares::new(1);
        let mut ranges = Ranges::few();
        while !ranges.is_short() {
            assert!(ranges.push(range(ranges.len() as u32)));
        }
        let before = ends(&ranges);
        ranges.lengthen(spares.take().unwrap());
        assert_eq!((ends(&ranges), spares.in_use()), (before, 1));
        assert!(spares.take().is_none() && !ranges.is_short());
        ranges.insert(3, range(999));
        assert_eq!((ranges[3].end, ranges[4].end), (SeqNum(999), SeqNum(3)));
        while ranges.push(range(ranges.len() as u32)) {}
        assert_eq!((ranges.len(), ranges.remaining_capacity()), (MANY, 0));
        ranges.insert(3, range(0));
        assert_eq!(ranges.len(), MANY, "no room, nothing grows");
        assert!(ranges.shorten().is_none(), "there is too much of it");
        ranges.forget_first(MANY - 10);
        let before = ends(&ranges);
        spares.give_back(ranges.shorten().unwrap());
        assert_eq!((ends(&ranges), spares.in_use()), (before, 0));
        assert!(matches!(ranges, Ranges::Few(_)) && ranges.into_spare().is_none());
    }

    #[test]
    fn what_is_reserved_is_the_pieces_and_a_place_for_each() {
        assert_eq!(Spares::new(0).reserved_bytes(), 0);
        let piece = size_of::<Spare>() + 512 * 16;
        assert_eq!(Spares::new(3).reserved_bytes(), 3 * piece);
    }
}
