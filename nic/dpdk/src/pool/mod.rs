//! Mempools: fixed numbers of mbufs, made when a port is attached.
//!
//! Each worker has three for each port, so that none can starve another:
//!
//! | pool | gives | exhausted means |
//! |---|---|---|
//! | receive | what the driver fills, flattened frames | the port drops frames, counted |
//! | payload | copies and blanks that wait for their ACK | applications wait |
//! | transmit | headers and indirect segments | frames wait for the next turn |
//!
//! Allocation and free go over a cache of the calling thread's lcore; a thread without one pays for the shared ring.

mod retired;

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::{rte_mbuf, rte_mempool};
use fourtuple_nic::NicError;

use crate::eal;
use crate::mbuf::RawMbuf;
pub(crate) use retired::sweep;

/// Bytes before the data of each mbuf: DPDK's own default, room for whoever prepends headers.
pub(crate) const HEADROOM: u16 = dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;

/// Most objects cached for each lcore; DPDK's largest is 512. Above 256 nothing was gained, and what lies in the caches of other
/// threads can't be allocated by ours.
const CACHE_MOST: u32 = 256;

/// One mempool of mbufs; freed when it is dropped *and* its last buffer came home.
#[derive(Debug)]
pub(crate) struct Pool {
    raw: NonNull<rte_mempool>,
    capacity: u32,
    /// Buffers that the driver has and never gives back.
    kept: u32,
    /// Buffers that the driver takes for itself now and then, so that nobody else should count on them.
    reserve: u32,
}

/// How the buffers of a pool have to lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As DPDK likes it.
    Spread,
    /// One behind the other in one piece of the address space: a driver registers the piece with the kernel and computes
    /// addresses in it.
    OnePiece,
}

// SAFETY: DPDK's mempools are multi-producer, multi-consumer; every call made through `&Pool` may run on any thread at any time.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool of `buffers` mbufs with `room` bytes each behind the headroom.
    pub(crate) fn new(
        port: &str,
        purpose: &str,
        buffers: u32,
        room: u16,
        layout: Layout,
    ) -> Result<Self, NicError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // At most 25 characters, unique in the process; the purpose is for who looks with DPDK's own tools.
        let name = CString::new(format!("ft{number}_{purpose}")).unwrap_or_default();
        sweep();
        let raw = create(&name, buffers, room.saturating_add(HEADROOM), layout);
        match raw {
            Some(raw) => Ok(Self {
                raw,
                capacity: buffers,
                kept: 0,
                reserve: 0,
            }),
            None => Err(NicError::NoMemory {
                port: port.to_owned(),
                remedy: format!(
                    "{buffers} {purpose} buffers of {room} bytes can't be had ({}); reserve more huge pages \
                     (`sysctl vm.nr_hugepages=512`), run on ordinary pages (`--no-huge -m 1024`), or ask for fewer buffers or \
                     queues",
                    std::io::Error::from_raw_os_error(eal::errno()),
                ),
            }),
        }
    }

    /// Takes note that the driver keeps what is missing now, until it is closed and beyond, and wants `reserve` more at times.
    /// Called before anybody else takes a buffer.
    pub(crate) fn note_kept(&mut self, reserve: u32) {
        self.kept = self.capacity.saturating_sub(self.free());
        self.reserve = reserve.min(self.capacity - self.kept);
    }

    /// Nobody has a buffer but the driver those that it keeps.
    pub(crate) fn all_home(&self) -> bool {
        self.free() + self.kept >= self.capacity
    }

    /// How many buffers it holds in all, but for those that the driver keeps or reserves.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity - self.kept - self.reserve
    }

    /// How many are free now, those in caches included; approximate while others allocate.
    ///
    /// Reads the caches of our own threads only: DPDK's count reads those of all 128 lcores, which costs microseconds.
    pub(crate) fn free(&self) -> u32 {
        // SAFETY: the pool lives while `self` does; counters are read that other threads may be writing, as DPDK's own count does.
        unsafe {
            let pool = self.raw.as_ptr();
            let cached: u32 = eal::lcores_used()
                .map(|lcore| dpdk_sys::shim_mempool_cached(pool, lcore as u32))
                .sum();
            dpdk_sys::shim_mempool_shared(pool) + cached
        }
    }

    /// One buffer, empty and unique.
    #[inline]
    pub(crate) fn take(&self) -> Option<RawMbuf> {
        // SAFETY: the pool lives; what it gives is a live mbuf with one reference, which is ours.
        unsafe { NonNull::new(dpdk_sys::shim_alloc(self.raw.as_ptr())).map(|mbuf| RawMbuf::new(mbuf)) }
    }

    /// Fills all of `into` with buffers, or none of it; whether it did. No line of theirs is touched: each is as its last user left
    /// it until [`RawMbuf::begin`].
    #[inline]
    pub(crate) fn take_all(&self, into: &mut [*mut rte_mbuf]) -> bool {
        // SAFETY: the pool lives; `into` has room for as many pointers as are asked for.
        unsafe { dpdk_sys::shim_raw_alloc_bulk(self.raw.as_ptr(), into.as_mut_ptr(), into.len() as u32) == 0 }
    }

    /// Bytes of each buffer with all that belongs to it.
    pub(crate) fn element_size(&self) -> u32 {
        // SAFETY: the pool lives; its size never changes.
        unsafe { (*self.raw.as_ptr()).elt_size }
    }

    /// For calls into DPDK that remember the pool: valid until the port is closed, which the pool outlives.
    pub(crate) fn as_ptr(&self) -> *mut rte_mempool {
        self.raw.as_ptr()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        retired::retire(self.raw, self.kept);
    }
}

/// What `rte_pktmbuf_pool_create` does, except on ordinary pages: there it would give each object a page of its own, so that none
/// crosses a page for the sake of DMA, which doubles the memory. No device of ours reads ordinary pages.
fn create(name: &CStr, buffers: u32, data_room: u16, layout: Layout) -> Option<NonNull<rte_mempool>> {
    let any_node = -1;
    let cache = (buffers / 8).min(CACHE_MOST);
    let object = dpdk_sys::SHIM_MBUF_SIZE + u32::from(data_room);
    let huge = eal::Eal::running().is_some_and(|eal| eal.on_huge_pages());
    let flags = match layout {
        Layout::OnePiece => dpdk_sys::RTE_MEMPOOL_F_NO_IOVA_CONTIG | dpdk_sys::RTE_MEMPOOL_F_NO_SPREAD,
        Layout::Spread if huge => 0,
        Layout::Spread => dpdk_sys::RTE_MEMPOOL_F_NO_IOVA_CONTIG,
    };
    let private = dpdk_sys::rte_pktmbuf_pool_private {
        mbuf_data_room_size: data_room,
        ..Default::default()
    };
    let private_size = size_of_val(&private) as u32;
    // SAFETY: the EAL runs (ports are only made through `Eal`). The name is copied, the private part is copied into room that
    // was asked for, and objects are initialised as mbufs before anyone sees the pool; one that can't be filled is freed unseen.
    unsafe {
        let pool = NonNull::new(dpdk_sys::rte_mempool_create_empty(
            name.as_ptr(),
            buffers,
            object,
            cache,
            private_size,
            any_node,
            flags,
        ))?;
        let ops = dpdk_sys::rte_mbuf_best_mempool_ops();
        let chosen = dpdk_sys::rte_mempool_set_ops_byname(pool.as_ptr(), ops, ptr::null_mut()) == 0;
        dpdk_sys::rte_pktmbuf_pool_init(pool.as_ptr(), (&raw const private).cast_mut().cast());
        let filled = chosen && dpdk_sys::rte_mempool_populate_default(pool.as_ptr()) >= 0;
        let in_pieces = layout == Layout::OnePiece && (*pool.as_ptr()).nb_mem_chunks != 1;
        if !filled || in_pieces {
            dpdk_sys::rte_mempool_free(pool.as_ptr());
            return None;
        }
        dpdk_sys::rte_mempool_obj_iter(pool.as_ptr(), Some(dpdk_sys::rte_pktmbuf_init), ptr::null_mut());
        Some(pool)
    }
}

/// Puts one buffer into the cache of this thread's lcore, where there is room; else `false`, and nothing happened.
///
/// The usual case of `rte_mempool_put`, without the call: 9 cycles instead of 22 for taking and freeing. The rest (a full cache,
/// a thread without one) stays with DPDK.
///
/// # Safety
/// `mbuf` is a direct single segment of `pool` whose only reference is given up here.
#[inline]
pub(crate) unsafe fn put_in_cache(mbuf: *mut rte_mbuf, pool: *mut rte_mempool) -> bool {
    let Some(lcore) = eal::lcore() else { return false };
    // SAFETY: a pool lives until all its buffers are home, and this one is not; it has a cache for each lcore, or none at all.
    // Only the thread with that id touches the cache, and `objs` holds more than `flushthresh`.
    unsafe {
        if (*pool).cache_size == 0 {
            return false;
        }
        let cache = (*pool).local_cache.add(lcore);
        let len = (*cache).len;
        if len >= (*cache).flushthresh {
            return false;
        }
        (&raw mut (*cache).objs)
            .cast::<*mut rte_mbuf>()
            .add(len as usize)
            .write(mbuf);
        // Last, so that the counts of `retired.rs` show what is written already.
        (&raw mut (*cache).len).write(len + 1);
    }
    true
}

/// Takes buffers out of the cache of this thread's lcore, those first that came home last; returns how many. Nothing is taken that
/// another thread could have taken.
///
/// # Safety
/// `pool` lives throughout: the caller holds a buffer of it.
#[inline]
pub(crate) unsafe fn take_from_cache(pool: *mut rte_mempool, into: &mut [*mut rte_mbuf]) -> usize {
    let Some(lcore) = eal::lcore() else { return 0 };
    // SAFETY: as in `put_in_cache`; the first `len` places of `objs` hold buffers of the pool that nobody owns.
    unsafe {
        if (*pool).cache_size == 0 {
            return 0;
        }
        let cache = (*pool).local_cache.add(lcore);
        let len = (*cache).len as usize;
        let count = len.min(into.len());
        let first = (&raw mut (*cache).objs).cast::<*mut rte_mbuf>().add(len - count);
        ptr::copy_nonoverlapping(first, into.as_mut_ptr(), count);
        (&raw mut (*cache).len).write((len - count) as u32);
        count
    }
}

/// Gives buffers back that no handle owns; not counted as foreign, whoever calls.
pub(crate) fn give_back(buffers: &mut [*mut rte_mbuf]) {
    let count = buffers.len() as u32;
    // SAFETY: callers own these live mbufs and forget them now; the call takes a list of valid pointers.
    unsafe { dpdk_sys::shim_free_bulk(buffers.as_mut_ptr(), count) }
    buffers.fill(ptr::null_mut());
}
