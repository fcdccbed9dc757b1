//! Places of one kind of record: a fixed arena, a free list, and generations that make stale names errors (D6, D7).
//!
//! The free list is threaded through the vacant places and takes no room of its own. What was left last is taken first, for its lines are in
//! the cache still, and so is what stands beside it in other arrays; after [`TURNS`] uses a place goes behind all others, so that
//! all of them wear alike (ADR 0023). Allocates everything in [`Slots::new`], nothing after. A place of a connection whose generation would wrap is retired: it is never used again, which costs capacity after 16
//! million connections on the same place and never another user's connection. Records that no application has a name
//! of turn round instead: a flood of SYNs must not use their places up.

use fourtuple_nic::{Arena, HugePages, Queue};

use crate::conn_id::MAX_GENERATION;

/// A place: the next that is free behind it, or a record. As large as the record alone.
#[derive(Debug)]
pub(crate) enum Place<T> {
    /// Free, or retired.
    Vacant { next: u32 },
    /// In use.
    Taken(T),
}

/// Behind the last free place.
const NONE: u32 = u32::MAX;

/// Generations of a place in a row, a power of two: some seconds for one of few connections at a time that open and close as fast as they
/// can, and the 250th part of all that a place has.
const TURNS: u32 = 1 << 16;

/// A fixed number of places for records of type `T`.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Arena<Place<T>>,
    generations: Arena<u32>,
    /// The place that is taken next, and the one that is taken last.
    first_free: u32,
    last_free: u32,
    used: u32,
    /// Names are given out: a generation is never used twice.
    named: bool,
}

/// The generations of all places, while one of them is written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generations<'a>(&'a Arena<u32>);

impl Generations<'_> {
    /// That of one place.
    #[inline]
    pub(crate) fn of(self, index: u32) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

impl<T> Slots<T> {
    /// Reserves and touches `capacity` places of records that applications have names of.
    pub(crate) fn new(capacity: u32, pages: &dyn HugePages) -> Self {
        let mut behind = 0;
        let vacant = || {
            behind += 1;
            Place::Vacant {
                next: if behind < capacity { behind } else { NONE },
            }
        };
        Self {
            places: Arena::new(capacity as usize, pages, vacant),
            generations: Arena::new(capacity as usize, pages, || 1),
            first_free: if capacity > 0 { 0 } else { NONE },
            last_free: capacity.checked_sub(1).unwrap_or(NONE),
            used: 0,
            named: true,
        }
    }

    /// The same for records that nobody outside of the shard knows.
    pub(crate) fn nameless(capacity: u32, pages: &dyn HugePages) -> Self {
        Self {
            named: false,
            ..Self::new(capacity, pages)
        }
    }

    /// Puts a record into the next free place; gives it back when none is free.
    #[inline]
    pub(crate) fn insert(&mut self, record: T) -> Result<u32, T> {
        let index = self.first_free;
        match self.places.get_mut(index) {
            Some(place @ Place::Vacant { .. }) => {
                if let Place::Vacant { next } = *place {
                    self.first_free = next;
                }
                *place = Place::Taken(record);
                self.used += 1;
                Ok(index)
            }
            Some(Place::Taken(_)) | None => Err(record),
        }
    }

    /// The place that [`insert`](Self::insert) would take.
    #[inline]
    pub(crate) fn next_free(&self) -> Option<u32> {
        (self.first_free != NONE).then_some(self.first_free)
    }

    /// Puts a record into the next free place, where it is made; `None`, and it is not made, when none is free.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, make: impl FnOnce() -> T) -> Option<u32> {
        let index = self.first_free;
        let place = self.places.get_mut(index)?;
        let Place::Vacant { next } = *place else {
            return None;
        };
        self.first_free = next;
        self.used += 1;
        *place = Place::Taken(make());
        Some(index)
    }

    /// Empties a place and ends its generation.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index)?;
        if let Place::Vacant { .. } = place {
            return None;
        }
        let taken = std::mem::replace(place, Place::Vacant { next: NONE });
        self.end_generation(index);
        match taken {
            Place::Taken(record) => Some(record),
            Place::Vacant { .. } => None,
        }
    }

    /// The same where nobody wants what was there: large records are not moved.
    pub(crate) fn vacate(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index)
            && let Place::Taken(_) = place
        {
            *place = Place::Vacant { next: NONE };
            self.end_generation(index);
        }
    }

    fn end_generation(&mut self, index: u32) {
        self.used -= 1;
        let generation = &mut self.generations[index];
        if *generation < MAX_GENERATION {
            *generation += 1;
        } else if self.named {
            return;
        } else {
            *generation = 1;
        }
        if !generation.is_multiple_of(TURNS) && self.first_free != NONE {
            if let Some(Place::Vacant { next }) = self.places.get_mut(index) {
                *next = self.first_free;
                self.first_free = index;
            }
            return;
        }
        self.join_behind(index);
    }

    /// A free place is to be taken behind all others.
    #[cold]
    fn join_behind(&mut self, index: u32) {
        match self.places.get_mut(self.last_free) {
            Some(Place::Vacant { next }) if self.first_free != NONE => *next = index,
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

    /// The same with the generations of all places.
    #[inline(always)]
    pub(crate) fn at_mut_and_generations(&mut self, index: u32) -> Option<(&mut T, Generations<'_>)> {
        match self.places.get_mut(index)? {
            Place::Taken(record) => Some((record, Generations(&self.generations))),
            Place::Vacant { .. } => None,
        }
    }

    /// The generation that the place is in.
    #[inline]
    pub(crate) fn generation(&self, index: u32) -> u32 {
        Generations(&self.generations).of(index)
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
        self.places.reserved_bytes() + self.generations.reserved_bytes()
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic::OrdinaryPages;

    use super::*;

    #[test]
    fn what_was_left_last_is_used_first_under_a_new_generation() {
        let mut slots = Slots::new(2, &OrdinaryPages);
        let first = slots.insert('a').unwrap();
        let second = slots.insert('b').unwrap();
        assert_eq!(slots.insert('c'), Err('c'));
        let before = slots.generation(first);
        assert_eq!(slots.remove(first), Some('a'));
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.remove(second), Some('b'));
        assert_eq!(slots.insert('d'), Ok(second));
        assert_eq!(slots.insert('e'), Ok(first));
        assert_eq!(slots.generation(first), before + 1);
        assert_eq!((slots.used(), slots.at(first)), (2, Some(&'e')));
    }

    #[test]
    fn all_places_wear_alike() {
        const PLACES: u32 = 3;
        let mut slots = Slots::new(PLACES, &OrdinaryPages);
        let most = |slots: &Slots<()>| (0..PLACES).map(|index| slots.generation(index)).max();
        let least = |slots: &Slots<()>| (0..PLACES).map(|index| slots.generation(index)).min();
        for _ in 0..4 * PLACES * TURNS {
            let index = slots.insert(()).unwrap();
            slots.remove(index);
            assert!(most(&slots).unwrap() - least(&slots).unwrap() <= TURNS);
        }
        assert!(least(&slots).unwrap() > 3 * TURNS);
    }

    #[test]
    fn every_place_is_taken_once_whatever_the_order_in_which_they_were_left() {
        let mut slots = Slots::new(4, &OrdinaryPages);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut held = Vec::new();
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 63 == 0 {
                match slots.insert(random) {
                    Ok(index) => held.push((index, random)),
                    Err(_) => assert_eq!(held.len(), 4),
                }
            } else if !held.is_empty() {
                let (index, record) = held.swap_remove((random >> 33) as usize % held.len());
                // Now and then behind all others.
                slots.generations[index] = if random >> 62 & 1 == 0 { 1 } else { TURNS - 1 };
                assert_eq!(slots.remove(index), Some(record));
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

    #[test]
    fn a_place_whose_generation_would_wrap_is_retired() {
        let mut slots = Slots::new(1, &OrdinaryPages);
        slots.generations[0] = MAX_GENERATION;
        let index = slots.insert(()).unwrap();
        slots.remove(index);
        assert!(!slots.has_room());
        assert_eq!(slots.used(), 0);
    }

    #[test]
    fn no_flood_uses_up_the_places_of_nameless_records() {
        let mut slots = Slots::nameless(1, &OrdinaryPages);
        slots.generations[0] = MAX_GENERATION;
        let index = slots.insert(()).unwrap();
        slots.remove(index);
        assert!(slots.has_room());
        assert_ne!(slots.generation(index), MAX_GENERATION);
    }
}
