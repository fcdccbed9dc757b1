//! A pool: equal pieces of cold state, addressed by `u32`, fixed in number (D6).
//!
//! Everything is allocated by [`Pool::new`]; afterwards pieces go in and out by a free list threaded through the vacant
//! slots. An index that holds nothing gives `None`, never a panic.
//!
//! A pool of large pieces that few connections need at a time is touched as far as is likely to be used, no further: the
//! rest of its room is an address range, which costs memory when it is first used (ADR 0022). Nothing moves, and nothing is
//! asked of the allocator then.

/// No piece: the end of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// Pieces of one kind.
pub(crate) struct Pool<T> {
    /// Room for all is reserved; those behind the last were never used.
    slots: Vec<Slot<T>>,
    capacity: u32,
    vacant: u32,
    in_use: u32,
}

enum Slot<T> {
    Vacant { next: u32 },
    Taken(T),
}

impl<T> Pool<T> {
    /// Bytes that are taken from the system: of all slots that were touched.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot<T>>()
    }

    /// A pool of `capacity` pieces, all of them touched; the only allocation.
    pub(crate) fn new(capacity: u32) -> Self {
        Self::with_ready(capacity, capacity)
    }

    /// The same with room for `ready` of them touched.
    pub(crate) fn with_ready(capacity: u32, ready: u32) -> Self {
        // An index lies below the capacity, and so is never `NIL`.
        let ready = ready.min(capacity);
        let mut slots = Vec::with_capacity(capacity as usize);
        slots.extend((0..ready).map(|index| Slot::Vacant {
            next: if index + 1 < ready { index + 1 } else { NIL },
        }));
        Self {
            slots,
            capacity,
            vacant: if ready == 0 { NIL } else { 0 },
            in_use: 0,
        }
    }

    /// Stores a piece.
    ///
    /// # Errors
    /// Gives it back when the pool is full.
    #[inline]
    pub(crate) fn insert(&mut self, piece: T) -> Result<u32, T> {
        let index = self.vacant;
        match self.slots.get_mut(index as usize) {
            Some(slot @ Slot::Vacant { .. }) => {
                if let Slot::Vacant { next } = *slot {
                    self.vacant = next;
                }
                *slot = Slot::Taken(piece);
                self.in_use += 1;
                Ok(index)
            }
            Some(Slot::Taken(_)) | None => self.insert_behind(piece),
        }
    }

    /// The same where no slot that was used before is free.
    #[cold]
    fn insert_behind(&mut self, piece: T) -> Result<u32, T> {
        let index = self.slots.len() as u32;
        if index >= self.capacity {
            return Err(piece);
        }
        // There is room for it: nothing moves.
        self.slots.push(Slot::Taken(piece));
        self.in_use += 1;
        Ok(index)
    }

    /// Stores the piece that is made for its place; the place, or `None` when the pool is full.
    #[inline(always)]
    pub(crate) fn put(&mut self, make: impl FnOnce(u32) -> T) -> Option<u32> {
        let index = self.vacant;
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return self.insert_behind(make(self.slots.len() as u32)).ok();
        };
        let Slot::Vacant { next } = *slot else { return None };
        self.vacant = next;
        // Nothing is there to be dropped.
        std::mem::forget(std::mem::replace(slot, Slot::Taken(make(index))));
        self.in_use += 1;
        Some(index)
    }

    /// Takes a piece out; its slot is free again.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        if let Slot::Vacant { .. } = slot {
            return None;
        }
        let taken = std::mem::replace(slot, Slot::Vacant { next: self.vacant });
        self.vacant = index;
        self.in_use -= 1;
        match taken {
            Slot::Taken(piece) => Some(piece),
            Slot::Vacant { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn piece(&self, index: u32) -> Option<&T> {
        match self.slots.get(index as usize)? {
            Slot::Taken(piece) => Some(piece),
            Slot::Vacant { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn piece_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize)? {
            Slot::Taken(piece) => Some(piece),
            Slot::Vacant { .. } => None,
        }
    }

    /// A piece could be stored.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.vacant != NIL || (self.slots.len() as u32) < self.capacity
    }

    /// Half of the pieces are taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.in_use >= self.capacity.div_ceil(2)
    }

    /// Pieces that are taken.
    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_gives_the_piece_back_and_freed_slots_are_used_again() {
        let mut pool = Pool::new(2);
        let first = pool.insert("a").unwrap();
        let second = pool.insert("b").unwrap();
        assert_eq!(pool.insert("c"), Err("c"));
        assert_eq!(pool.remove(first), Some("a"));
        assert_eq!((pool.remove(first), pool.piece(first)), (None, None));
        assert_eq!(pool.insert("d"), Ok(first));
        assert_eq!((pool.piece(second), pool.in_use()), (Some(&"b"), 2));
    }

    #[test]
    fn a_piece_is_made_for_its_place_in_slots_old_and_new_until_all_are_taken() {
        let mut pool = Pool::with_ready(2, 1);
        assert_eq!([(); 3].map(|()| pool.put(|own| own)), [Some(0), Some(1), None]);
        assert_eq!((pool.piece(1), pool.in_use()), (Some(&1), 2));
        assert_eq!(pool.remove(0), Some(0));
        assert_eq!(pool.put(|own| own + 7), Some(0));
        assert_eq!((pool.piece(0), pool.in_use()), (Some(&7), 2));
    }

    #[test]
    fn half_of_an_odd_number_is_the_larger_half() {
        let mut pool = Pool::new(3);
        pool.insert(1).unwrap();
        assert!(!pool.is_half_full());
        pool.insert(2).unwrap();
        assert!(pool.is_half_full());
        assert!(pool.reserved_bytes() >= 3 * size_of::<u32>());
    }

    #[test]
    fn what_is_not_ready_is_made_when_it_is_needed_and_kept() {
        let mut pool = Pool::with_ready(3, 1);
        let (one, piece) = (size_of::<Slot<u64>>(), pool.slots.as_ptr());
        assert_eq!(pool.reserved_bytes(), one);
        let places = [10u64, 11, 12].map(|piece| {
            assert!(pool.has_room());
            pool.insert(piece).unwrap()
        });
        assert_eq!(places, [0, 1, 2]);
        assert_eq!((pool.has_room(), pool.insert(13)), (false, Err(13)));
        assert_eq!(pool.slots.as_ptr(), piece, "nothing moved");
        assert_eq!(pool.remove(1), Some(11));
        assert_eq!((pool.insert(14), pool.piece(1)), (Ok(1), Some(&14)));
        assert_eq!(pool.reserved_bytes(), 3 * one);
    }

    #[test]
    fn half_is_of_all_there_may_be() {
        let mut pool = Pool::with_ready(4, 1);
        pool.insert(1).unwrap();
        assert!(!pool.is_half_full());
        pool.insert(2).unwrap();
        assert!(pool.is_half_full());
    }

    #[test]
    fn no_index_panics() {
        let mut pool = Pool::<u8>::new(0);
        assert_eq!(pool.insert(1), Err(1));
        assert!(pool.piece_mut(NIL).is_none() && pool.remove(NIL).is_none());
    }
}
