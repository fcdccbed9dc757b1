//! Frames that come in the sender's own buffers, as those of a ring port do.
//!
//! Who keeps them takes them from the sender. When all are kept, it can't even send the acknowledgments that would free them, and
//! nothing moves for ever. So its pool is looked at now and then: while it is short, frames are copied, and what is kept
//! is kept of our own.

use std::cell::Cell;

use dpdk_sys::rte_mempool;

use crate::mbuf::RawMbuf;

/// Frames between two looks: what may be kept meanwhile is little beside a pool. A look reads lines that the sender writes to.
const LOOK_EVERY: u32 = 128;

/// A smaller pool is looked at each time that so small a part of it came.
const PART: u32 = 16;

/// A pool is short when this part of it is left where both sides can take it: caches may hold a quarter, too.
const SHORT: u32 = 4;

/// What was last seen of the pool from which the other end sends.
#[derive(Debug, Default)]
pub(super) struct Lender {
    /// Frames until the next look.
    left: Cell<u32>,
    is_short: Cell<bool>,
}

impl Lender {
    /// A burst of `count` frames begins with `first`; `true` when they are to be copied into buffers of `own`.
    #[inline]
    pub(super) fn is_short(&self, first: &RawMbuf, count: usize, own: *mut rte_mempool) -> bool {
        if first.pool() == own {
            return false;
        }
        match self.left.get().checked_sub(count as u32) {
            Some(left) => self.left.set(left),
            None => self.look(first),
        }
        self.is_short.get()
    }

    #[cold]
    fn look(&self, frame: &RawMbuf) {
        let pool = frame.pool();
        // SAFETY: a pool lives until all its buffers are home, and this one is not. Its size never changes, and its count is read
        // while others take and give, as DPDK's own count does.
        let (size, left) = unsafe { ((*pool).size, dpdk_sys::shim_mempool_shared(pool)) };
        self.is_short.set(left < size / SHORT);
        self.left.set(LOOK_EVERY.min(size / PART));
    }
}
