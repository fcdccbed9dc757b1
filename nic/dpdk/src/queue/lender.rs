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

/// What was last seen of the two pools whose buffers frames come in.
#[derive(Debug, Default)]
pub(super) struct Lender {
    /// That from which the other end sends.
    others: Look,
    /// Ours, from which the other end sends, too, in buffers that we sent to it (`borrowed.rs`).
    own: Look,
}

/// What was last seen of a pool.
#[derive(Debug, Default)]
struct Look {
    /// Frames until the next look.
    left: Cell<u32>,
    is_short: Cell<bool>,
}

impl Lender {
    /// `true` when a frame is to be copied into a buffer of `receive`; `transmit` is the pool that we send from.
    #[inline]
    pub(super) fn is_short(
        &self,
        frame: &RawMbuf,
        receive: *mut rte_mempool,
        transmit: *mut rte_mempool,
    ) -> bool {
        let pool = frame.pool();
        if pool == receive {
            return false;
        }
        let look = if pool == transmit { &self.own } else { &self.others };
        look.is_short(pool)
    }
}

impl Look {
    #[inline]
    fn is_short(&self, pool: *mut rte_mempool) -> bool {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => self.look(pool),
        }
        self.is_short.get()
    }

    #[cold]
    fn look(&self, pool: *mut rte_mempool) {
        // SAFETY: a pool lives until all its buffers are home, and the caller has one that is not. Its size never changes, and its
        // count is read while others take and give, as DPDK's own count does.
        let (size, left) = unsafe { ((*pool).size, dpdk_sys::shim_mempool_shared(pool)) };
        self.is_short.set(left < size / SHORT);
        self.left.set(LOOK_EVERY.min(size / PART));
    }
}
