//! Places of one kind of record: a fixed arena and a free list (D6, D7).
//!
//! ```text
//!   taken    the record, its key, and what the place keeps while it is taken
//!   vacant   the next free place, and what the last record left: the generation, and what still names the place
//! ```
//! The free list is threaded through the vacant places, and so is what a record leaves to the next: neither takes room of its own.
//! What was left last is taken first, for its lines are in the cache still (ADR 0023). What is left, and whether and when a place is used
//! again, is for who keeps the records to say ([`Again`]). Allocates everything in [`Slots::new`], nothing after.

use fourtuple_nic::{Arena, HugePages, Queue};

/// A place: what a record left here and the next that is free behind it, or a record. As large as the record alone.
#[derive(Debug)]
pub(crate) enum Place<T, L> {
    /// Free, or retired.
    Vacant { next: u32, left: L },
    /// In use.
    Taken(T),
}

/// When a place that was left is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Before all others.
    First,
    /// Behind all others that are free.
    Last,
    /// Not any more, which costs capacity.
    Never,
}

/// Behind the last free place.
const NONE: u32 = u32::MAX;

/// A fixed number of places for records of type `T`, which leave an `L` to the next.
#[derive(Debug)]
pub(crate) struct Slots<T, L> {
    places: Arena<Place<T, L>>,
    /// The place that is taken next, and the one that is taken last.
    first_free: u32,
    last_free: u32,
    used: u32,
}

impl<T, L: Copy> Slots<T, L> {
    /// Reserves and touches `capacity` places, each as if a record had left this.
    pub(crate) fn new(capacity: u32, left: L, pages: &dyn HugePages) -> Self {
        let mut behind = 0;
        let vacant = || {
            behind += 1;
            let next = if behind < capacity { behind } else { NONE };
            Place::Vacant { next, left }
        };
        Self {
            places: Arena::new(capacity as usize, pages, vacant),
            first_free: if capacity > 0 { 0 } else { NONE },
            last_free: capacity.checked_sub(1).unwrap_or(NONE),
            used: 0,
        }
    }

    /// Puts a record into the next free place, and tells what was left there; gives the record back when no place is free.
    #[inline]
    pub(crate) fn insert(&mut self, record: T) -> Result<(u32, L), T> {
        let index = self.first_free;
        match self.places.get_mut(index) {
            Some(place @ Place::Vacant { .. }) => {
                let Place::Vacant { next, left } = *place else {
                    return Err(record);
                };
                self.first_free = next;
                *place = Place::Taken(record);
                self.used += 1;
                Ok((index, left))
            }
            Some(Place::Taken(_)) | None => Err(record),
        }
    }

    /// The place that [`insert`](Self::insert) would take.
    #[inline]
    pub(crate) fn next_free(&self) -> Option<u32> {
        (self.first_free != NONE).then_some(self.first_free)
    }

    /// Puts a record into the next free place, where it is made, and tells what was left there; `None`, and it is not made, when none is
    /// free.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce() -> T) -> Option<(u32, L)> {
        let index = self.first_free;
        let place = self.places.get_mut(index)?;
        let Place::Vacant { next, left } = *place else {
            return None;
        };
        self.first_free = next;
        self.used += 1;
        *place = Place::Taken(make());
        Some((index, left))
    }

    /// Empties a place, which is used again before all others; what is left there is made of the record.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32, left: impl FnOnce(&T) -> L) -> Option<T> {
        let left = left(self.at(index)?);
        let vacant = Place::Vacant { next: NONE, left };
        let taken = std::mem::replace(self.places.get_mut(index)?, vacant);
        self.used -= 1;
        self.free(index, Again::First);
        match taken {
            Place::Taken(record) => Some(record),
            Place::Vacant { .. } => None,
        }
    }

    /// The same where nobody wants what was there: large records are not moved.
    pub(crate) fn vacate(&mut self, index: u32, left: L, again: Again) {
        if let Some(place) = self.places.get_mut(index)
            && let Place::Taken(_) = place
        {
            *place = Place::Vacant { next: NONE, left };
            self.used -= 1;
            self.free(index, again);
        }
    }

    fn free(&mut self, index: u32, again: Again) {
        match again {
            Again::First if self.first_free != NONE => {
                if let Some(Place::Vacant { next, .. }) = self.places.get_mut(index) {
                    *next = self.first_free;
                    self.first_free = index;
                }
            }
            Again::First | Again::Last => self.join_behind(index),
            Again::Never => {}
        }
    }

    /// A free place is to be taken behind all others.
    #[cold]
    fn join_behind(&mut self, index: u32) {
        match self.places.get_mut(self.last_free) {
            Some(Place::Vacant { next, .. }) if self.first_free != NONE => *next = index,
            Some(_) | None => self.first_free = index,
        }
        self.last_free = index;
    }

    /// Asks for all lines of a place, whether or not there is a record.
    #[inline]
    pub(crate) fn prefetch<Q: Queue>(&self, index: u32) {
        if let Some(place) = self.places.get(index) {
            Q::prefetch_lines(place);
        }
    }

    /// The record at `index`.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.places.get(index)? {
            Place::Taken(record) => Some(record),
            Place::Vacant { .. } => None,
        }
    }

    /// The record at `index`, for writing.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.places.get_mut(index)? {
            Place::Taken(record) => Some(record),
            Place::Vacant { .. } => None,
        }
    }

    /// What is there, for writing.
    #[inline]
    pub(crate) fn place_mut(&mut self, index: u32) -> Option<&mut Place<T, L>> {
        self.places.get_mut(index)
    }

    /// What is there.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> Option<&Place<T, L>> {
        self.places.get(index)
    }

    /// Places in use.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// A record could be inserted.
    pub(crate) fn has_room(&self) -> bool {
        self.first_free != NONE
    }

    /// Places in all.
    pub(crate) fn capacity(&self) -> u32 {
        self.places.capacity() as u32
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.places.reserved_bytes()
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic::OrdinaryPages;

    use super::*;

    #[test]
    fn what_was_left_last_is_used_first_and_tells_what_was_left() {
        let mut slots = Slots::new(2, 1, &OrdinaryPages);
        let (first, left) = slots.insert('a').unwrap();
        let (second, _) = slots.insert('b').unwrap();
        assert_eq!(slots.insert('c'), Err('c'));
        assert_eq!(slots.remove(first, |_| left + 1), Some('a'));
        assert_eq!(slots.remove(first, |_| 7), None);
        assert_eq!(slots.remove(second, |_| 9), Some('b'));
        assert_eq!(slots.insert('d'), Ok((second, 9)));
        assert_eq!((slots.used(), slots.at(second)), (1, Some(&'d')));
        assert_eq!(slots.insert_with(|| 'e'), Some((first, 2)));
        assert_eq!((slots.next_free(), slots.insert_with(|| 'f')), (None, None));
        slots.vacate(first, 4, Again::First);
        slots.vacate(first, 5, Again::First);
        assert_eq!((slots.used(), slots.insert('f')), (1, Ok((first, 4))));
    }

    #[test]
    fn a_place_that_is_not_to_be_used_again_is_not() {
        let mut slots = Slots::new(1, 0, &OrdinaryPages);
        let (index, _) = slots.insert('a').unwrap();
        slots.vacate(index, 1, Again::Never);
        assert!(!slots.has_room());
        assert_eq!((slots.used(), slots.insert('b')), (0, Err('b')));
    }

    #[test]
    fn every_place_is_taken_once_whatever_the_order_in_which_they_were_left() {
        let mut slots = Slots::new(4, 0, &OrdinaryPages);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut held = Vec::new();
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 63 == 0 {
                match slots.insert(random) {
                    Ok((index, _)) => held.push((index, random)),
                    Err(_) => assert_eq!(held.len(), 4),
                }
            } else if !held.is_empty() {
                let (index, _) = held.swap_remove((random >> 33) as usize % held.len());
                let again = if (random >> 62) & 1 == 0 {
                    Again::First
                } else {
                    Again::Last
                };
                slots.vacate(index, 0, again);
            }
            assert_eq!(
                (slots.used() as usize, slots.has_room()),
                (held.len(), held.len() < 4)
            );
            assert!(
                held.iter()
                    .all(|(index, record)| slots.at(*index) == Some(record))
            );
        }
    }
}
