//! A handful of empty buffers for headers, taken from the pool in bulk: one call for 32 instead of one for each.

use std::ptr::{self, NonNull};

use dpdk_sys::rte_mbuf;

use crate::mbuf::RawMbuf;
use crate::pool::{self, Pool};

use super::{LINE, prefetch};

/// Buffers taken at a time.
const HANDFUL: usize = 32;

/// Octets before the first of a frame.
const HEADROOM: usize = dpdk_sys::RTE_PKTMBUF_HEADROOM as usize;

/// So many buffers before its turn, a buffer's lines are asked for: whoever freed it on another core still has them.
const LOOK_AHEAD: usize = 6;

/// And so many before it the rest of them, where frames are long: one frame has as many lines as a core fetches at a time.
const LONG_LOOK_AHEAD: usize = 2;

/// Octets of a frame that are asked for whatever is written there.
const HEAD: usize = 3 * LINE;

/// Octets of the longest usual frame, in whole lines.
const LONG: usize = 24 * LINE;

#[derive(Debug)]
pub(super) struct Stash {
    buffers: [*mut rte_mbuf; HANDFUL],
    len: usize,
    /// The frames that left last were longer than [`HEAD`], so those that follow will be.
    are_long: bool,
}

impl Default for Stash {
    fn default() -> Self {
        Self {
            buffers: [ptr::null_mut(); HANDFUL],
            len: 0,
            are_long: false,
        }
    }
}

impl Stash {
    /// One empty buffer; `None` when stash and pool are both empty.
    #[inline]
    pub(super) fn take(&mut self, pool: &Pool) -> Option<RawMbuf> {
        if self.len == 0 {
            if !pool.take_all(&mut self.buffers) {
                // Fewer than a handful are left.
                return pool.take();
            }
            self.len = HANDFUL;
            self.buffers
                .iter()
                .rev()
                .take(LOOK_AHEAD)
                .copied()
                .for_each(prefetch_frame);
        }
        self.len -= 1;
        if let Some(ahead) = self.len.checked_sub(LOOK_AHEAD) {
            prefetch_frame(self.buffers[ahead]);
        }
        if self.are_long
            && let Some(ahead) = self.len.checked_sub(LONG_LOOK_AHEAD)
        {
            prefetch_rest(self.buffers[ahead]);
        }
        // SAFETY: the first `len` places hold mbufs that were taken out of the pool and given to nobody.
        NonNull::new(self.buffers[self.len]).map(|mbuf| unsafe { RawMbuf::begin(mbuf) })
    }

    /// So many frames left, of so many octets in all.
    #[inline]
    pub(super) fn note_sent(&mut self, frames: usize, octets: u64) {
        self.are_long = octets > (frames * HEAD) as u64;
    }

    /// How many buffers it holds.
    pub(super) fn len(&self) -> u32 {
        self.len as u32
    }

    /// Gives them all back.
    pub(super) fn empty(&mut self) {
        pool::give_back(&mut self.buffers[..self.len]);
        self.len = 0;
    }
}

/// The lines of a buffer that a small frame writes: the first of its mbuf and those behind the headroom, where they lie in
/// every pool of ours. Only a hint: no address is touched.
#[inline]
fn prefetch_frame(mbuf: *mut rte_mbuf) {
    let mbuf = mbuf.cast::<u8>();
    prefetch::for_write(mbuf);
    for line in (0..HEAD).step_by(LINE) {
        prefetch::for_write(mbuf.wrapping_add(size_of::<rte_mbuf>() + HEADROOM + line));
    }
}

/// Those behind them that a long frame writes, too.
#[inline]
fn prefetch_rest(mbuf: *mut rte_mbuf) {
    let mbuf = mbuf.cast::<u8>();
    for line in (HEAD..LONG).step_by(LINE) {
        prefetch::for_write(mbuf.wrapping_add(size_of::<rte_mbuf>() + HEADROOM + line));
    }
}
