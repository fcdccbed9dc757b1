//! A list of places, first in, first out: what a turn has to come back to.
//!
//! Reserved once for as many as may stand on it. A `VecDeque` of the same would do, but these few steps are taken several times for
//! each packet, and it is not inlined there.

use crate::conn_id::SlotRef;

/// Places in the order in which they came.
#[derive(Debug)]
pub(crate) struct SlotList {
    places: Vec<SlotRef>,
    /// Where the first stands, below `places.len()` unless that is zero.
    head: usize,
    len: usize,
}

impl SlotList {
    /// Room for so many.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            places: vec![SlotRef::from_u32(0); capacity],
            head: 0,
            len: 0,
        }
    }

    /// Room reserved.
    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// How many stand on it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// None do.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one that so many stand before, to be asked for ahead of its turn.
    #[inline]
    pub(crate) fn ahead(&self, many: usize) -> Option<SlotRef> {
        if many >= self.len {
            return None;
        }
        self.places.get(self.wrapped(self.head + many)).copied()
    }

    /// One more behind all others.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, slot: SlotRef) {
        if self.len == self.places.len() {
            self.grow();
        }
        let at = self.wrapped(self.head + self.len);
        if let Some(place) = self.places.get_mut(at) {
            *place = slot;
            self.len += 1;
        }
    }

    /// One before all others.
    pub(crate) fn push_front(&mut self, slot: SlotRef) {
        if self.len == self.places.len() {
            self.grow();
        }
        let at = self.head.checked_sub(1).unwrap_or(self.places.len() - 1);
        if let Some(place) = self.places.get_mut(at) {
            *place = slot;
            self.head = at;
            self.len += 1;
        }
    }

    /// The first leaves.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<SlotRef> {
        if self.len == 0 {
            return None;
        }
        let slot = *self.places.get(self.head)?;
        let next = self.head + 1;
        self.len -= 1;
        // An empty list begins at the front again, so that short ones keep to few lines of the cache.
        self.head = if next == self.places.len() || self.len == 0 {
            0
        } else {
            next
        };
        Some(slot)
    }

    /// `at` is below twice the capacity.
    #[inline]
    fn wrapped(&self, at: usize) -> usize {
        if at >= self.places.len() {
            at - self.places.len()
        } else {
            at
        }
    }

    /// Every place stands on a list once at most, so that this does not happen.
    #[cold]
    fn grow(&mut self) {
        self.places.rotate_left(self.head);
        self.head = 0;
        let capacity = (self.places.len() * 2).max(4);
        self.places.resize(capacity, SlotRef::from_u32(0));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn it_is_a_queue_whatever_is_done_to_it() {
        for capacity in 0..6 {
            let (mut list, mut model) = (SlotList::with_capacity(capacity), VecDeque::new());
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            for step in 0..2_000u32 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let slot = SlotRef::from_u32(step);
                match random >> 62 {
                    0 => {
                        list.push_back(slot);
                        model.push_back(slot);
                    }
                    1 => {
                        list.push_front(slot);
                        model.push_front(slot);
                    }
                    _ => assert_eq!(list.pop_front(), model.pop_front()),
                }
                assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                assert!((0..8).all(|many| list.ahead(many) == model.get(many).copied()));
            }
        }
    }

    #[test]
    fn it_keeps_its_room() {
        let mut list = SlotList::with_capacity(3);
        for step in 0..100 {
            list.push_back(SlotRef::from_u32(step));
            if list.len() == 3 {
                list.pop_front();
            }
        }
        assert_eq!(list.capacity(), 3);
    }
}
