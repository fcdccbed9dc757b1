//! Sequence numbers: a circle of 2³², so there is no order and no difference, only before, after and distance.

use std::fmt;
use std::ops::{Add, AddAssign};

/// A TCP sequence number (RFC 9293 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self` lies before `other`: less than half the circle back.
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self` lies after `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Before, or the same.
    pub const fn at_or_before(self, other: Self) -> bool {
        !other.before(self)
    }

    /// After, or the same.
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// Octets from `earlier` up to here, going forward round the circle.
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// `count` octets back.
    pub const fn back(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// The later of the two.
    pub const fn later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn earlier(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }

    /// Within `[start, start + len)`.
    pub const fn within(self, start: Self, len: u32) -> bool {
        self.distance_from(start) < len
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;

    fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, count: u32) {
        self.0 = self.0.wrapping_add(count);
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 9293 MUST-1 (sequence arithmetic is unsigned and modulo 2³²)
    #[test]
    fn order_goes_round_the_circle() {
        for base in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            let here = SeqNum(base);
            let next = here + 1;
            assert!(here.before(next) && next.after(here), "{base}");
            assert!(here.at_or_before(here) && here.at_or_after(here), "{base}");
            assert_eq!(next.distance_from(here), 1);
            assert_eq!(here.distance_from(next), u32::MAX);
            assert_eq!(next.back(1), here);
            assert_eq!((here.later(next), here.earlier(next)), (next, here));
            assert!(here.within(here, 1) && !next.within(here, 1) && !here.within(here, 0));
        }
    }

    // proves: RFC 9293 MUST-1
    #[test]
    fn of_two_numbers_one_is_before_the_other_and_not_both() {
        for base in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            for ahead in [1, 2, 0xffff, 0x7fff_ffff] {
                let (early, mut late) = (SeqNum(base), SeqNum(base));
                late += ahead;
                assert_eq!(late, early + ahead);
                assert_ne!(late, early);
                let told = [
                    (early.before(late), late.before(early)),
                    (late.after(early), early.after(late)),
                    (early.at_or_before(late), late.at_or_before(early)),
                    (late.at_or_after(early), early.at_or_after(late)),
                ];
                assert_eq!(told, [(true, false); 4], "{base} and {ahead} on");
                assert_eq!((late.later(early), late.earlier(early)), (late, early));
            }
        }
    }
}
