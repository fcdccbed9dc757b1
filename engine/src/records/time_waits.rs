//! TIME_WAIT records of one family: a ring of places, in the order in which connections ended.
//!
//! ```text
//!        oldest                                   newest
//!   ┌───┬───────┬────────┬──────────┬────────┬───┬────────┬───┐
//!   │   │ first │ record │ reopened │ record │ … │ record │   │
//!   └───┴───────┴────────┴──────────┴────────┴───┴────────┴───┘
//! ```
//! All of them last equally long, so that they end in the order in which they came, and need neither a free list nor an entry in the
//! timer wheel. The place of one that was reopened stays empty until it is the oldest's turn; one that was prolonged by a FIN that came again goes to
//! the back when it is the oldest. A place is 32 octets (IPv6: 56). Everything is allocated in [`TimeWaits::new`].

use fourtuple_nic::{Arena, HugePages, Queue};
use fourtuple_tcp::TimeWait;

use super::Keyed;

/// The ring.
pub(super) struct TimeWaits<K, T = TimeWait> {
    places: Arena<Option<Keyed<K, T>>>,
    /// Where the oldest lies, if there is one; it is never an empty place.
    oldest: u32,
    /// Places from the oldest to the newest, with those that are empty.
    span: u32,
    used: u32,
}

impl<K, T> TimeWaits<K, T> {
    /// Reserves and touches `capacity` places.
    pub(super) fn new(capacity: u32, pages: &dyn HugePages) -> Self {
        Self {
            places: Arena::new(capacity as usize, pages, || None),
            oldest: 0,
            span: 0,
            used: 0,
        }
    }

    /// Puts a record behind all others; its place, or `None` when there is none left.
    pub(super) fn insert(&mut self, key: K, record: T) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let index = self.behind(self.oldest, self.span);
        *self.places.get_mut(index)? = Some(Keyed::new(key, record));
        self.span += 1;
        self.used += 1;
        Some(index)
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, index: u32) -> Option<Keyed<K, T>> {
        let record = self.places.get_mut(index)?.take()?;
        self.used -= 1;
        // Each empty place is passed once.
        while self.span > 0 && self.at(self.oldest).is_none() {
            self.oldest = self.behind(self.oldest, 1);
            self.span -= 1;
        }
        Some(record)
    }

    /// The oldest goes behind all others; its new place.
    pub(super) fn put_back(&mut self) -> Option<u32> {
        let place = self.remove(self.oldest)?;
        self.insert(place.key, place.record)
    }

    /// The one that came first, and its place.
    pub(super) fn oldest(&self) -> Option<(u32, &T)> {
        let place = self.at(self.oldest)?;
        Some((self.oldest, &place.record))
    }

    /// The record at `index` with its key.
    #[inline]
    pub(super) fn at(&self, index: u32) -> Option<&Keyed<K, T>> {
        self.places.get(index)?.as_ref()
    }

    /// The record at `index`, for writing.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        let place = self.places.get_mut(index)?.as_mut()?;
        Some(&mut place.record)
    }

    /// Asks for the lines of a place.
    #[inline]
    pub(super) fn prefetch<Q: Queue>(&self, index: u32) {
        if let Some(place) = self.places.get(index) {
            Q::prefetch_lines(place);
        }
    }

    /// One more could be entered.
    pub(super) fn has_room(&self) -> bool {
        self.span < self.capacity()
    }

    /// Records.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Places between the oldest and the newest, with those that are empty.
    #[cfg(test)]
    pub(super) fn span(&self) -> u32 {
        self.span
    }

    /// Places in all.
    pub(super) fn capacity(&self) -> u32 {
        self.places.capacity() as u32
    }

    /// Bytes reserved.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.places.reserved_bytes()
    }

    /// The place so far behind another; `steps` is no more than the capacity.
    fn behind(&self, index: u32, steps: u32) -> u32 {
        let at = index + steps;
        if at >= self.capacity() {
            at - self.capacity()
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic::OrdinaryPages;

    use super::*;

    type Ring = TimeWaits<char, ()>;

    /// The keys from the oldest on, by taking them out.
    fn drain(ring: &mut Ring) -> String {
        let next = |ring: &mut Ring| {
            let (index, ()) = ring.oldest()?;
            ring.remove(index)
        };
        std::iter::from_fn(|| next(ring)).map(|place| place.key).collect()
    }

    #[test]
    fn they_come_out_in_order_round_the_ring_without_those_that_were_reopened() {
        let mut ring = Ring::new(4, &OrdinaryPages);
        for _ in 0..7 {
            let places = ['a', 'b', 'c', 'd'].map(|key| ring.insert(key, ()).unwrap());
            assert!(!ring.has_room() && ring.insert('e', ()).is_none());
            assert_eq!(ring.remove(places[1]).map(|place| place.key), Some('b'));
            assert!(ring.remove(places[1]).is_none());
            assert!(!ring.has_room(), "the place is used again in its turn");
            ring.remove(places[0]).unwrap();
            assert_eq!((ring.used(), ring.span(), ring.has_room()), (2, 2, true));
            // The next round begins one further on.
            ring.insert('f', ()).unwrap();
            assert_eq!(drain(&mut ring), "cdf");
            assert_eq!((ring.used(), ring.span()), (0, 0));
            assert!(ring.oldest().is_none());
        }
    }

    #[test]
    fn the_oldest_goes_behind_all_others_in_a_full_ring_too() {
        let mut ring = Ring::new(3, &OrdinaryPages);
        for key in ['a', 'b', 'c'] {
            ring.insert(key, ()).unwrap();
        }
        let place = ring.put_back().unwrap();
        assert_eq!(ring.at(place).unwrap().key, 'a');
        assert_eq!(drain(&mut ring), "bca");
    }

    #[test]
    fn a_ring_without_places_takes_nothing() {
        let mut ring = Ring::new(0, &OrdinaryPages);
        assert!(ring.insert('a', ()).is_none() && ring.oldest().is_none());
    }
}
