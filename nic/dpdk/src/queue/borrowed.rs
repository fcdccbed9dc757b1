//! Buffers that frames came in, for answers to leave in.
//!
//! On a ring port frames come in the sender's own buffers. One that was read and dropped has its lines in this core's cache, as our own;
//! a buffer of our pool that comes home has them in the other core's. So what is sent is written into the former, where there are
//! some, and both ends write to lines that they have.
//!
//! They are taken out of the cache of this thread's lcore, where another thread could not have had them either, and only while a
//! frame of the same pool is in hand, which keeps the pool alive. On idle turns they go home.
//!
//! So a port may receive frames in buffers of its own transmit pool; while those are short, they are copied (`lender.rs`).

use std::ptr::{self, NonNull};

use dpdk_sys::rte_mbuf;

use crate::mbuf::{Mbuf, RawMbuf};
use crate::pool::{self, Pool};

/// Most buffers held: as many as a burst has.
const MOST: usize = 32;

/// Of a pool that holds fewer than so many times that none are taken: its owner may need each.
const PARTS: u32 = 16;

#[derive(Debug)]
pub(super) struct Borrowed {
    buffers: [*mut rte_mbuf; MOST],
    len: usize,
}

impl Default for Borrowed {
    fn default() -> Self {
        Self {
            buffers: [ptr::null_mut(); MOST],
            len: 0,
        }
    }
}

impl Borrowed {
    /// Takes what there is of the pool that a received frame came from, unless it is one of ours.
    #[inline]
    pub(super) fn top_up(&mut self, frame: &Mbuf, receive: &Pool, transmit: &Pool) {
        let pool = frame.pool();
        if self.len == MOST || pool == receive.as_ptr() || pool == transmit.as_ptr() {
            return;
        }
        // SAFETY: the frame is a buffer of this pool, which so lives; its size never changes.
        let taken = unsafe {
            let is_small = (*pool).size < PARTS * MOST as u32;
            if is_small || (*pool).elt_size < transmit.element_size() {
                return;
            }
            pool::take_from_cache(pool, &mut self.buffers[self.len..])
        };
        self.len += taken;
    }

    /// One empty buffer, if there is one.
    #[inline]
    pub(super) fn take(&mut self) -> Option<RawMbuf> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the first `len` places hold mbufs that were taken out of a pool and given to nobody.
        NonNull::new(self.buffers[self.len]).map(|mbuf| unsafe { RawMbuf::begin(mbuf) })
    }

    /// Gives them all back.
    #[inline]
    pub(super) fn empty(&mut self) {
        if self.len > 0 {
            pool::give_back(&mut self.buffers[..self.len]);
            self.len = 0;
        }
    }
}
