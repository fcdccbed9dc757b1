//! A pool: equal pieces of cold state, addressed by `u32`, fixed in number (D6).
//!
//! Everything is allocated by [`Pool::new`]; afterwards pieces go in and out by a free list threaded through the vacant
//! slots. An index that holds nothing gives `None`, never a panic.

/// No piece: the end of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// Pieces of one kind.
pub(crate) struct Pool<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    in_use: u32,
}

enum Slot<T> {
    Vacant { next: u32 },
    Taken(T),
}

impl<T> Pool<T> {
    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>()
    }

    /// A pool of `capacity` pieces; the only allocation.
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity.min(NIL - 1);
        let slots = (0..capacity)
            .map(|index| Slot::Vacant {
                next: if index + 1 < capacity { index + 1 } else { NIL },
            })
            .collect();
        Self {
            slots,
            vacant: if capacity == 0 { NIL } else { 0 },
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
            Some(Slot::Taken(_)) | None => Err(piece),
        }
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
        self.vacant != NIL
    }

    /// Half of the pieces are taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.in_use as usize >= self.slots.len().div_ceil(2)
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
    fn half_of_an_odd_number_is_the_larger_half() {
        let mut pool = Pool::new(3);
        pool.insert(1).unwrap();
        assert!(!pool.is_half_full());
        pool.insert(2).unwrap();
        assert!(pool.is_half_full());
        assert!(pool.reserved_bytes() >= 3 * size_of::<u32>());
    }

    #[test]
    fn no_index_panics() {
        let mut pool = Pool::<u8>::new(0);
        assert_eq!(pool.insert(1), Err(1));
        assert!(pool.piece_mut(NIL).is_none() && pool.remove(NIL).is_none());
    }
}
