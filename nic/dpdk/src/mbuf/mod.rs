//! The three buffer types (D3) as owning handles over DPDK's mbufs, and what they stand on.
//!
//! ```text
//!   RawMbuf      one counted reference to a live mbuf, and its fields; no Drop
//!    ├ Mbuf        the only reference, one segment        RxBuf
//!    ├ SharedMbuf  one of several, and a range            Shared
//!    └ TxMbuf      the only one, to the head of a chain   TxFrame
//! ```

mod raw;
mod rx;
mod shared;
mod tx;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use raw::RawMbuf;
pub use rx::Mbuf;
pub(crate) use rx::space_of;
pub use shared::SharedMbuf;
pub(crate) use tx::Attaching;
pub use tx::TxMbuf;

use crate::eal;

static FOREIGN_FREES: AtomicU64 = AtomicU64::new(0);

/// Handles that were dropped by threads without an lcore id, since the process started.
///
/// Legal, but slow, and a preempted one stalls workers: the engine sends buffers home instead, and its tests hold this at zero.
pub fn foreign_frees() -> u64 {
    FOREIGN_FREES.load(Ordering::Relaxed)
}

/// Counts a drop on a thread that should not have made it.
#[inline]
fn note_free() {
    if eal::lcore().is_none() {
        FOREIGN_FREES.fetch_add(1, Ordering::Relaxed);
    }
}
