//! Worker threads of ours that the EAL knows: each has an lcore id and with it a cache in every mempool.
//!
//! A thread without one may free buffers too (invariant 3), but pays for it and may stall others; the engine never lets
//! it happen, and [`crate::foreign_frees`] counts it.
//!
//! Registered threads also say when they are *between* pool operations, once a burst. A pool is freed only after every one of
//! them has said so (`pool/retired.rs`), since a preempted thread may still be writing into it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fourtuple_nic::NicError;

const LCORES: usize = dpdk_sys::RTE_MAX_LCORE as usize;

/// One cell for each lcore, on a cache line of its own: odd while a thread of ours has that id, and different after each
/// passage. Written by that thread only.
static PASSAGES: [Passage; LCORES] = [const { Passage(AtomicU64::new(0)) }; LCORES];

#[repr(align(64))]
struct Passage(AtomicU64);

/// One more than the highest lcore id that a thread of ours ever had: caches beyond it are empty.
static LCORES_USED: AtomicUsize = AtomicUsize::new(0);

/// The lowest bit: a thread of ours has this lcore id.
const PRESENT: u64 = 1;

thread_local! {
    /// This thread's lcore id as an index of [`PASSAGES`]; [`LCORES`] when it has none of ours.
    static LCORE: Cell<usize> = const { Cell::new(LCORES) };
    /// How many guards this thread holds.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Proof that this thread has an lcore id; gives it back on drop.
///
/// Not `Send`: the id belongs to the thread that registered.
#[derive(Debug)]
pub struct WorkerThread {
    _thread: PhantomData<*const ()>,
}

impl WorkerThread {
    /// Registers the calling thread (62 µs). A thread may do so several times; the id goes with the last guard.
    pub(super) fn register() -> Result<Self, NicError> {
        if GUARDS.get() == 0 {
            // SAFETY: the EAL runs (only `Eal` calls this), and this thread is not registered: GUARDS counts.
            let refused = unsafe { dpdk_sys::rte_thread_register() } < 0;
            // SAFETY: reads a thread-local of the EAL.
            let lcore = unsafe { dpdk_sys::shim_lcore_id() } as usize;
            if refused || lcore >= LCORES {
                return Err(NicError::Refused {
                    port: "EAL".to_owned(),
                    reason: format!("no lcore id is left for another worker (there are {LCORES}); use fewer"),
                });
            }
            LCORE.set(lcore);
            LCORES_USED.fetch_max(lcore + 1, Ordering::Relaxed);
            step(1);
        }
        GUARDS.set(GUARDS.get() + 1);
        Ok(Self { _thread: PhantomData })
    }

    /// The lcore id that this thread has.
    pub fn lcore_id(&self) -> u32 {
        LCORE.get() as u32
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get() - 1);
        if GUARDS.get() == 0 {
            step(1);
            LCORE.set(LCORES);
            // SAFETY: this thread registered itself in `register` and holds no other guard.
            unsafe { dpdk_sys::rte_thread_unregister() }
        }
    }
}

/// The lcore id that this thread registered, if it did.
#[inline]
pub(crate) fn lcore() -> Option<usize> {
    let lcore = LCORE.get();
    (lcore < LCORES).then_some(lcore)
}

/// The lcore ids whose caches may hold buffers.
pub(crate) fn lcores_used() -> std::ops::Range<usize> {
    0..LCORES_USED.load(Ordering::Relaxed)
}

/// Says that this thread is in no pool operation now; once a burst.
#[inline]
pub(crate) fn pass() {
    step(2);
}

#[inline]
fn step(by: u64) {
    if let Some(Passage(passage)) = PASSAGES.get(LCORE.get()) {
        let before = passage.load(Ordering::Relaxed);
        // Release pairs with the Acquire loads of `Passages`: who sees the new value sees all pool operations before it.
        passage.store(before.wrapping_add(by), Ordering::Release);
    }
}

/// Where all other registered threads stood at one moment.
#[derive(Debug)]
pub(crate) struct Passages(Vec<(usize, u64)>);

impl Passages {
    /// Notes where each of them stands now.
    pub(crate) fn note() -> Self {
        let mine = LCORE.get();
        let others = PASSAGES.iter().enumerate().filter(|&(lcore, _)| lcore != mine);
        let standing = others.map(|(lcore, Passage(passage))| (lcore, passage.load(Ordering::Acquire)));
        Self(standing.filter(|&(_, at)| at & PRESENT != 0).collect())
    }

    /// All of them have passed since, or ended.
    pub(crate) fn all_passed(&self) -> bool {
        self.0
            .iter()
            .all(|&(lcore, at)| PASSAGES[lcore].0.load(Ordering::Acquire) != at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Stands for a registered thread: the cells don't know whether the EAL does.
    fn with_lcore<T>(lcore: usize, work: impl FnOnce() -> T) -> T {
        LCORE.set(lcore);
        let result = work();
        LCORE.set(LCORES);
        result
    }

    #[test]
    fn a_present_thread_is_waited_for_until_it_passes() {
        with_lcore(100, || step(1));
        let noted = Passages::note();
        assert!(!noted.all_passed(), "it has not said anything yet");
        with_lcore(100, pass);
        assert!(noted.all_passed());

        let noted = Passages::note();
        with_lcore(100, || step(1));
        assert!(noted.all_passed(), "an ended thread is in no operation");
        assert!(Passages::note().all_passed(), "an absent one is not waited for");
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        with_lcore(101, || {
            step(1);
            assert!(Passages::note().0.iter().all(|&(lcore, _)| lcore != 101));
            step(1);
        });
    }
}
