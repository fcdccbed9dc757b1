//! One counted reference to a live mbuf, and access to the fields that we use.
//!
//! ```text
//!   buf_addr ─► ┌ headroom ┬ data ─────────────┬ tailroom ┐
//!               0          data_off            +data_len  buf_len
//! ```
//! Fields are found by offsets that the C compiler told (`shim.h`): bindgen names the unions differently in each release.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use dpdk_sys::rte_mbuf;

use crate::pool;

/// One reference to a live mbuf. Not `Copy`, and without `Drop`: the handles built on it say how it ends.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct RawMbuf(NonNull<rte_mbuf>);

struct Field<T>(usize, PhantomData<T>);

impl<T> Field<T> {
    const fn at(offset: dpdk_sys::shim_mbuf_layout) -> Self {
        Self(offset as usize, PhantomData)
    }
}

const BUF_ADDR: Field<*mut u8> = Field::at(dpdk_sys::SHIM_MBUF_BUF_ADDR);
const DATA_OFF: Field<u16> = Field::at(dpdk_sys::SHIM_MBUF_DATA_OFF);
const REFCNT: Field<u16> = Field::at(dpdk_sys::SHIM_MBUF_REFCNT);
const NB_SEGS: Field<u16> = Field::at(dpdk_sys::SHIM_MBUF_NB_SEGS);
const OL_FLAGS: Field<u64> = Field::at(dpdk_sys::SHIM_MBUF_OL_FLAGS);
const PKT_LEN: Field<u32> = Field::at(dpdk_sys::SHIM_MBUF_PKT_LEN);
const DATA_LEN: Field<u16> = Field::at(dpdk_sys::SHIM_MBUF_DATA_LEN);
const RSS: Field<u32> = Field::at(dpdk_sys::SHIM_MBUF_RSS);
const BUF_LEN: Field<u16> = Field::at(dpdk_sys::SHIM_MBUF_BUF_LEN);
const POOL: Field<*mut dpdk_sys::rte_mempool> = Field::at(dpdk_sys::SHIM_MBUF_POOL);
const NEXT: Field<*mut rte_mbuf> = Field::at(dpdk_sys::SHIM_MBUF_NEXT);
const TX_OFFLOAD: Field<u64> = Field::at(dpdk_sys::SHIM_MBUF_TX_OFFLOAD);

/// The mbuf shows a buffer that belongs to another mbuf, or to no pool at all.
const ATTACHED: u64 = dpdk_sys::SHIM_MBUF_F_INDIRECT | dpdk_sys::SHIM_MBUF_F_EXTERNAL;

impl RawMbuf {
    /// Takes over one reference.
    ///
    /// # Safety
    /// `mbuf` is live, and one of its counted references passes to the result.
    #[inline]
    pub(crate) const unsafe fn new(mbuf: NonNull<rte_mbuf>) -> Self {
        Self(mbuf)
    }

    /// Takes over a buffer of a pool and makes it empty.
    ///
    /// In a pool an mbuf has one reference, one segment, none behind it and a buffer of its own; its second line is not
    /// touched, which the core that freed it may still have.
    ///
    /// # Safety
    /// `mbuf` was taken out of a pool, and nobody else has it.
    #[inline]
    pub(crate) unsafe fn begin(mbuf: NonNull<rte_mbuf>) -> Self {
        let mut fresh = Self(mbuf);
        fresh.store(OL_FLAGS, 0);
        fresh.store(DATA_OFF, pool::HEADROOM);
        fresh.set_len(0);
        debug_assert!(fresh.is_plain() && fresh.next().is_none());
        fresh
    }

    /// Gives the reference to C.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut rte_mbuf {
        self.0.as_ptr()
    }

    #[inline]
    fn load<T: Copy>(&self, field: Field<T>) -> T {
        // SAFETY: the mbuf is live (`new`) and the offset is that of a field of this type. Whoever writes the field holds the
        // only reference, so there is no race (refcnt has its own accessor).
        unsafe { self.0.as_ptr().cast::<u8>().add(field.0).cast::<T>().read() }
    }

    #[inline]
    fn store<T: Copy>(&mut self, field: Field<T>, value: T) {
        // SAFETY: as in `load`; `&mut self` methods are called by unique handles only (`Mbuf`, `TxMbuf`, a fresh buffer).
        unsafe { self.0.as_ptr().cast::<u8>().add(field.0).cast::<T>().write(value) }
    }

    /// How many references there are; a lower bound unless it is one.
    #[inline]
    pub(crate) fn references(&self) -> u16 {
        // SAFETY: refcnt is an aligned u16 of a live mbuf, changed by others only with atomic operations.
        unsafe { AtomicU16::from_ptr(self.0.as_ptr().cast::<u8>().add(REFCNT.0).cast()) }
            .load(Ordering::Relaxed)
    }

    /// It is what an [`crate::Mbuf`] may be: the only reference, one segment, in its own buffer.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.references() == 1 && self.load(NB_SEGS) == 1 && self.load(OL_FLAGS) & ATTACHED == 0
    }

    /// Bytes of this segment.
    #[inline]
    pub(crate) fn len(&self) -> u16 {
        self.load(DATA_LEN)
    }

    /// Bytes of the whole chain.
    #[inline]
    pub(crate) fn frame_len(&self) -> u32 {
        self.load(PKT_LEN)
    }

    /// Where this segment's bytes begin, from the start of its buffer.
    #[inline]
    pub(crate) fn data_offset(&self) -> u16 {
        self.load(DATA_OFF)
    }

    /// Bytes of the buffer, headroom included.
    #[inline]
    pub(crate) fn buffer_len(&self) -> u16 {
        self.load(BUF_LEN)
    }

    /// Free bytes behind the data of this segment.
    #[inline]
    pub(crate) fn tailroom(&self) -> usize {
        usize::from(self.buffer_len())
            .saturating_sub(usize::from(self.data_offset()) + usize::from(self.len()))
    }

    /// Where its buffer goes when nobody refers to it any more.
    #[inline]
    pub(crate) fn pool(&self) -> *mut dpdk_sys::rte_mempool {
        self.load(POOL)
    }

    /// Hash that the port delivered, if it set `flag`.
    #[inline]
    pub(crate) fn rss_hash(&self) -> u32 {
        self.load(RSS)
    }

    /// Offload flags.
    #[inline]
    pub(crate) fn flags(&self) -> u64 {
        self.load(OL_FLAGS)
    }

    /// Bytes of this segment.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.window(self.data_offset(), self.len())
    }

    /// `len` bytes of the buffer from `offset` on.
    #[inline]
    pub(crate) fn window(&self, offset: u16, len: u16) -> &[u8] {
        debug_assert!(usize::from(offset) + usize::from(len) <= usize::from(self.buffer_len()));
        // SAFETY: callers take ranges from this mbuf's own data_off and data_len, which lie within the buffer; it lives as long
        // as this reference, and is written to by a unique holder only.
        unsafe { std::slice::from_raw_parts(self.load(BUF_ADDR).add(usize::from(offset)), usize::from(len)) }
    }

    /// Bytes of this segment, for a unique holder.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, len) = (usize::from(self.data_offset()), usize::from(self.len()));
        // SAFETY: the range lies within the buffer; the caller holds the only reference to a direct mbuf (see `store`), so
        // nobody else reads or writes it.
        unsafe { std::slice::from_raw_parts_mut(self.load(BUF_ADDR).add(start), len) }
    }

    /// Free bytes behind the data of this segment, with whatever they held before; for a unique holder.
    #[inline]
    pub(crate) fn tail_mut(&mut self) -> &mut [u8] {
        let start = usize::from(self.data_offset()) + usize::from(self.len());
        let room = self.tailroom();
        // SAFETY: the range lies within the buffer, whose memory was written when the pool was made; the caller holds the only
        // reference to a direct mbuf (see `store`), so nobody else reads or writes it.
        unsafe { std::slice::from_raw_parts_mut(self.load(BUF_ADDR).add(start), room) }
    }

    /// Takes `count` bytes off the front of a single segment.
    #[inline]
    pub(crate) fn trim_front(&mut self, count: u16) {
        let count = count.min(self.len());
        self.store(DATA_OFF, self.data_offset() + count);
        self.set_len(self.len() - count);
    }

    /// Sets the length of a single segment; `len` must lie within the buffer.
    #[inline]
    pub(crate) fn set_len(&mut self, len: u16) {
        debug_assert!(self.data_offset() + len <= self.buffer_len());
        self.store(DATA_LEN, len);
        self.store(PKT_LEN, u32::from(len));
    }

    /// Lengthens this segment by `count` bytes, which are not written, and lends them; `None` when they don't fit.
    #[inline]
    pub(crate) fn extend(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.tailroom() {
            return None;
        }
        let old = self.len();
        // Fits: tailroom is less than 2^16.
        self.store(DATA_LEN, old + count as u16);
        self.bytes_mut().get_mut(usize::from(old)..)
    }

    /// Says what the whole chain holds; for its head.
    #[inline]
    pub(crate) fn set_frame(&mut self, len: u32, segments: u16) {
        self.store(PKT_LEN, len);
        self.store(NB_SEGS, segments);
    }

    /// Shows `len` bytes from `offset` on, of the buffer it is attached to.
    #[inline]
    pub(crate) fn show(&mut self, offset: u16, len: u16) {
        self.store(DATA_OFF, offset);
        self.set_len(len);
    }

    /// Sets offload flags and header lengths; for the head of a chain.
    #[inline]
    pub(crate) fn ask_offload(&mut self, flags: u64, lengths: u64) {
        let flags = self.load(OL_FLAGS) | flags;
        self.store(OL_FLAGS, flags);
        self.store(TX_OFFLOAD, lengths);
    }

    /// Adds one reference.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        // SAFETY: the mbuf is live, and the reference that is counted here is that of the result.
        unsafe {
            dpdk_sys::shim_refcnt_update(self.as_ptr(), 1);
            Self(self.0)
        }
    }

    /// A fresh buffer of the pool that this one came from.
    #[inline]
    pub(crate) fn sibling(&self) -> Option<Self> {
        // SAFETY: a pool lives until all its buffers are home, and this one is not.
        unsafe { NonNull::new(dpdk_sys::shim_alloc(self.load(POOL))).map(Self) }
    }

    /// The segment behind this one in its chain: a view of it, for as long as the chain is held.
    #[inline]
    pub(crate) fn next(&self) -> Option<Self> {
        NonNull::new(self.load(NEXT)).map(Self)
    }

    /// Hangs `next` behind this one, whose chain owns it from now on.
    #[inline]
    pub(crate) fn link(&mut self, next: &Self) {
        self.store(NEXT, next.as_ptr());
    }

    /// Gives the reference to a direct single segment up: the way of every received frame, without a call into C where it is
    /// the last reference and this thread has a cache.
    ///
    /// # Safety
    /// The last use of this reference.
    #[inline]
    pub(crate) unsafe fn release_single(&mut self) {
        // SAFETY: refcnt as in `references`. Acquire pairs with the releasing decrement of whoever gave up the reference before:
        // what it read from the buffer, it read before the buffer is used anew.
        let references = unsafe { AtomicU16::from_ptr(self.0.as_ptr().cast::<u8>().add(REFCNT.0).cast()) };
        // SAFETY: with one reference, the caller's, nobody else can make another; the mbuf is direct and single.
        let done = references.load(Ordering::Acquire) == 1
            && unsafe { pool::put_in_cache(self.as_ptr(), self.load(POOL)) };
        if !done {
            // SAFETY: as the caller promises.
            unsafe { self.release() }
        }
    }

    /// Gives the reference up, and those that the chain behind it holds.
    ///
    /// # Safety
    /// The last use of this reference; behind a head that is unique, or single.
    #[inline]
    pub(crate) unsafe fn release(&mut self) {
        // SAFETY: one live reference, given up by the caller.
        unsafe { dpdk_sys::shim_free(self.as_ptr()) }
    }
}
