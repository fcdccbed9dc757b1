//! Memory that is fixed at start (D6): reserved *and touched* before the first packet, never grown, never moved.

use std::ops::{Index, IndexMut};

/// Tells the operating system which memory should lie on huge pages.
///
/// The advice is given between reserving memory and touching it first. It takes a system call that only `fourtuple-nic-dpdk`
/// may make.
pub trait HugePages {
    /// Advises that `len` bytes from `address` on should be backed by huge pages. Only advice: failure is no error.
    fn advise(&self, address: usize, len: usize);
}

/// Ordinary pages: no advice is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrdinaryPages;

impl HugePages for OrdinaryPages {
    fn advise(&self, _address: usize, _len: usize) {}
}

/// A fixed number of places, all of them initialised at start.
///
/// Capacity is given once; indexing beyond it panics like a slice does, so indices come from our own free lists and
/// tables, never from a packet.
#[derive(Debug)]
pub struct Arena<T> {
    places: Vec<T>,
}

impl<T> Arena<T> {
    /// Reserves `capacity` places, advises the OS, and touches all of them by initialising each with `init`.
    pub fn new(capacity: usize, pages: &dyn HugePages, init: impl FnMut() -> T) -> Self {
        let mut places: Vec<T> = Vec::new();
        places.reserve_exact(capacity);
        pages.advise(places.as_ptr() as usize, capacity.saturating_mul(size_of::<T>()));
        places.resize_with(capacity, init);
        Self { places }
    }

    /// How many places there are.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Bytes reserved.
    pub fn reserved_bytes(&self) -> usize {
        self.places.capacity() * size_of::<T>()
    }

    /// The place at `index`, if there is one.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)
    }

    /// The place at `index` for writing, if there is one.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)
    }

    /// All places in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.places.iter()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.places[index as usize]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.places[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn every_place_is_there_from_the_start_and_advice_covers_all() {
        struct Heard(Cell<usize>);
        impl HugePages for Heard {
            fn advise(&self, address: usize, len: usize) {
                assert_ne!(address, 0);
                self.0.set(len);
            }
        }
        let heard = Heard(Cell::new(0));
        let mut arena = Arena::new(1000, &heard, || 7u64);
        assert_eq!(heard.0.get(), 8000);
        assert_eq!(arena.capacity(), 1000);
        arena[999] = 1;
        assert_eq!((arena[0], arena[999], arena.get(1000)), (7, 1, None));
    }
}
