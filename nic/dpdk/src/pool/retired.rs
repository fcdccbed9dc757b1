//! Pools outlive the last lent buffer (D12): a pool whose port is gone waits here until all its buffers are home.
//!
//! "All home" is harder to see than it looks. DPDK counts what lies in the shared ring and in the caches of all lcores, but a
//! thread that frees into its cache raises the cache's length *before* it writes the pointer, and one that flushes its cache
//! counts twice for a moment. Freeing the pool under such a thread would have it write into freed memory. So a pool is
//! freed when
//!
//! 1. the counts add up to its size exactly, and are noted together with where every registered thread stands, and
//! 2. later, each of those threads has passed a point between bursts (or ended), and the counts are still the same.
//!
//! Nobody allocates from a retired pool but the other end of a ring, which takes what it freed itself, and only while a frame of that
//! pool is in its hand (`queue/borrowed.rs`): then not all are home. So between 1 and 2 an operation that was under way has ended, and had it been one of
//! those two, the counts would differ. A thread without an lcore id has no cache, and is done when the ring's count shows it.
//! With no other worker alive both steps fall into one.

use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use dpdk_sys::rte_mempool;

use crate::eal::Passages;

static RETIRED: Mutex<Vec<Retired>> = Mutex::new(Vec::new());

struct Retired {
    pool: NonNull<rte_mempool>,
    /// Buffers that a driver took with it, which never come home.
    kept: u32,
    noted: Option<(Counts, Passages)>,
}

// SAFETY: mempools may be used from any thread; the list is only touched under its lock.
unsafe impl Send for Retired {}

/// Frees `pool` as soon as that is safe: now, or at a later [`sweep`].
pub(super) fn retire(pool: NonNull<rte_mempool>, kept: u32) {
    lock().push(Retired {
        pool,
        kept,
        noted: None,
    });
    sweep();
}

/// Frees what can be freed; returns how many pools still wait.
pub(crate) fn sweep() -> usize {
    let mut retired = lock();
    retired.retain_mut(|waiting| !waiting.try_free());
    retired.len()
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Retired>> {
    RETIRED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Retired {
    /// Whether the pool was freed.
    fn try_free(&mut self) -> bool {
        let counts = Counts::of(self.pool, self.kept);
        if !counts.all_home {
            self.noted = None;
            return false;
        }
        let unchanged = matches!(&self.noted, Some((before, _)) if *before == counts);
        if !unchanged {
            self.noted = Some((counts, Passages::note()));
        }
        let safe = matches!(&self.noted, Some((_, passages)) if passages.all_passed());
        if safe {
            // SAFETY: its `Pool` was dropped, so nobody allocates; all buffers are home and no thread is in an operation on it
            // (the two steps above); drivers were closed before their pools were dropped.
            unsafe { dpdk_sys::rte_mempool_free(self.pool.as_ptr()) }
        }
        safe
    }
}

/// Where a pool's objects lie.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    all_home: bool,
    shared: u32,
    cached: Vec<u32>,
}

impl Counts {
    fn of(pool: NonNull<rte_mempool>, kept: u32) -> Self {
        let pool = pool.as_ptr();
        // SAFETY: a retired pool lives until `try_free`; these calls read counters that other threads may be writing, as
        // DPDK's own counting does.
        unsafe {
            let shared = dpdk_sys::shim_mempool_shared(pool);
            let cached: Vec<u32> = (0..dpdk_sys::RTE_MAX_LCORE)
                .map(|lcore| dpdk_sys::shim_mempool_cached(pool, lcore))
                .collect();
            let total = u64::from(shared) + cached.iter().copied().map(u64::from).sum::<u64>();
            Self {
                all_home: total + u64::from(kept) == u64::from((*pool).size),
                shared,
                cached,
            }
        }
    }
}
