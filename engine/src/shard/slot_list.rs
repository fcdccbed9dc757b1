//! A list of places, first in, first out: what a turn has to come back to.
//!
//! ```text
//!        head                                             tail  end
//!   ┌──────┬──────────┐   ┌─────────────────┐   ┌───────────┬────┐
//!   │ gone │ first …  │──►│        …        │──►│ …    last │    │     blocks of 64
//!   └──────┴──────────┘   └─────────────────┘   └───────────┴────┘
//! ```
//! The address range for as many as may ever stand on it is reserved, and enough of it for a busy turn touched; the rest takes memory
//! when it is first used, for hardly ever does every connection stand on a list (ADR 0022). Blocks that were left are used again before a new one
//! is, so that as much is taken as stood on the list at a time. Nothing moves, nothing is lost, nothing is searched.
//!
//! A `VecDeque` of the same would walk through all of its room, and these few steps are taken several times for each packet.

use crate::conn_id::SlotRef;

/// Entries of a block.
const BLOCK: usize = 64;

/// Entries for which there is room from the start.
const READY: usize = 4096;

/// No block.
const NONE: u32 = u32::MAX;

/// Places, or names, in the order in which they came.
#[derive(Debug)]
pub(crate) struct SlotList<T = SlotRef> {
    /// All blocks that were ever used, one behind the other.
    places: Vec<T>,
    /// By block: the one behind it, on the list or among those that are free.
    next: Vec<u32>,
    free: u32,
    /// Where the first stands.
    head: usize,
    /// Where one more will stand, unless its block ends there.
    tail: usize,
    end: usize,
    len: usize,
    capacity: usize,
}

impl SlotList {
    /// Room for so many places.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::of(SlotRef::from_u32(0), capacity)
    }
}

impl<T: Copy> SlotList<T> {
    /// Room for so many; `blank` stands where nothing does.
    pub(crate) fn of(blank: T, capacity: usize) -> Self {
        // The first block and the last may be nearly empty, and one is taken before another is left.
        let blocks = capacity.div_ceil(BLOCK) + 3;
        let ready = capacity.min(READY).div_ceil(BLOCK);
        let mut list = Self {
            places: Vec::with_capacity(blocks * BLOCK),
            next: Vec::with_capacity(blocks),
            free: NONE,
            head: 0,
            tail: 0,
            end: 0,
            len: 0,
            capacity,
        };
        for _ in 0..ready {
            let block = list.new_block(blank);
            list.give_back(block);
        }
        list
    }

    /// How many may stand on it.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that are taken from the system: of all blocks that were touched.
    pub(crate) fn reserved_bytes(&self) -> usize {
        size_of_val(self.places.as_slice()) + size_of_val(self.next.as_slice())
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

    /// One more behind all others.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, slot: T) {
        if self.tail == self.end {
            self.append_block(slot);
        }
        if let Some(place) = self.places.get_mut(self.tail) {
            *place = slot;
            self.tail += 1;
            self.len += 1;
        }
    }

    /// One before all others.
    pub(crate) fn push_front(&mut self, slot: T) {
        if self.len == 0 {
            self.push_back(slot);
            return;
        }
        if self.head.is_multiple_of(BLOCK) {
            let block = self.take_block(slot);
            self.next[block] = (self.head / BLOCK) as u32;
            self.head = (block + 1) * BLOCK;
        }
        self.head -= 1;
        self.places[self.head] = slot;
        self.len += 1;
    }

    /// The first leaves.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let slot = *self.places.get(self.head)?;
        self.len -= 1;
        self.head += 1;
        if self.len == 0 {
            // Its only block begins anew, so that a short list keeps to few lines of the cache.
            self.head = self.end - BLOCK;
            self.tail = self.head;
        } else if self.head.is_multiple_of(BLOCK) {
            self.leave_block();
        }
        Some(slot)
    }

    /// The one that so many stand before, to be asked for ahead of its turn.
    #[inline]
    pub(crate) fn ahead(&self, many: usize) -> Option<T> {
        if many >= self.len {
            return None;
        }
        let (mut at, mut many) = (self.head, many);
        let mut left = BLOCK - at % BLOCK;
        while many >= left {
            many -= left;
            at = *self.next.get(at / BLOCK)? as usize * BLOCK;
            left = BLOCK;
        }
        self.places.get(at + many).copied()
    }

    /// Those stay, in their order, of which it is true.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        for _ in 0..self.len {
            if let Some(slot) = self.pop_front()
                && stays(&slot)
            {
                self.push_back(slot);
            }
        }
    }

    /// The first block is used up, and another is behind it.
    #[cold]
    fn leave_block(&mut self) {
        let block = self.head / BLOCK - 1;
        self.head = self.next[block] as usize * BLOCK;
        self.give_back(block);
    }

    /// The last block is full, or there is none yet.
    #[cold]
    fn append_block(&mut self, blank: T) {
        let block = self.take_block(blank);
        if self.len == 0 {
            self.head = block * BLOCK;
        } else {
            self.next[self.end / BLOCK - 1] = block as u32;
        }
        self.tail = block * BLOCK;
        self.end = self.tail + BLOCK;
    }

    fn take_block(&mut self, blank: T) -> usize {
        match self.next.get(self.free as usize) {
            Some(next) => {
                let block = self.free as usize;
                self.free = *next;
                block
            }
            None => self.new_block(blank),
        }
    }

    fn give_back(&mut self, block: usize) {
        self.next[block] = self.free;
        self.free = block as u32;
    }

    /// A block that was never used. Every place stands on a list once at most, so that there is room for it and nothing moves.
    fn new_block(&mut self, blank: T) -> usize {
        let block = self.next.len();
        self.next.push(NONE);
        self.places.resize(self.places.len() + BLOCK, blank);
        block
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn it_is_a_queue_whatever_is_done_to_it() {
        for capacity in [0, 1, 63, 64, 65, 200] {
            let (mut list, mut model) = (SlotList::with_capacity(capacity), VecDeque::new());
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            for step in 0..20_000u32 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let slot = SlotRef::from_u32(step);
                // It grows for a while, then shrinks.
                let grows = step / 1000 % 2 == 0;
                match random >> 61 {
                    0 | 1 => {
                        list.push_back(slot);
                        model.push_back(slot);
                    }
                    2 => {
                        list.push_front(slot);
                        model.push_front(slot);
                    }
                    3 | 4 if grows => {
                        list.push_back(slot);
                        model.push_back(slot);
                    }
                    5 if step % 64 == 0 => {
                        list.retain(|slot| slot.as_u32() % 3 != 0);
                        model.retain(|slot| slot.as_u32() % 3 != 0);
                    }
                    _ => assert_eq!(list.pop_front(), model.pop_front()),
                }
                assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                for many in [0, 1, 7, 63, 64, 65, 130] {
                    assert_eq!(list.ahead(many), model.get(many).copied());
                }
            }
            while let Some(slot) = model.pop_front() {
                assert_eq!(list.pop_front(), Some(slot));
            }
            assert_eq!(list.pop_front(), None);
        }
    }

    #[test]
    fn there_is_room_for_all_and_nothing_moves_however_they_come_and_go() {
        const ALL: usize = 10_000;
        let mut list = SlotList::with_capacity(ALL);
        let (places, next) = (list.places.as_ptr(), list.next.as_ptr());
        let mut came = 0;
        for round in 0..200usize {
            while list.len() < ALL {
                came += 1;
                let slot = SlotRef::from_u32(came);
                if (came as usize + round).is_multiple_of(3) {
                    list.push_front(slot);
                } else {
                    list.push_back(slot);
                }
            }
            for _ in 0..round * 50 {
                list.pop_front();
            }
        }
        assert_eq!((list.places.as_ptr(), list.next.as_ptr()), (places, next));
        assert!(list.places.len() <= ALL + 3 * BLOCK, "{}", list.places.len());
    }

    #[test]
    fn it_takes_as_much_as_stood_on_it_at_a_time() {
        let mut list = SlotList::with_capacity(1_000_000);
        let ready = list.reserved_bytes();
        assert!((READY * 4..READY * 5).contains(&ready), "{ready}");
        for step in 0..200_000 {
            list.push_back(SlotRef::from_u32(step));
            if list.len() > READY - 2 * BLOCK {
                list.pop_front();
            }
        }
        assert_eq!(list.reserved_bytes(), ready, "what was left is used again");
        for step in 0..READY as u32 {
            list.push_back(SlotRef::from_u32(step));
        }
        assert!((ready + 1..ready * 2 + 1024).contains(&list.reserved_bytes()));
    }
}
