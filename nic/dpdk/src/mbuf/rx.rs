//! Received frames: unique and contiguous.

use std::mem::ManuallyDrop;
use std::ptr;

use fourtuple_nic::{RxBuf, RxChecksum};

use super::shared::SharedMbuf;
use super::{RawMbuf, note_free};

/// Bytes that a pool spends on each buffer besides the buffer itself: the mbuf and the pool's own header.
pub(super) const OVERHEAD: usize = dpdk_sys::SHIM_MBUF_SIZE as usize + 64;

/// Bytes of pool memory behind a buffer with `room` bytes for data.
pub(crate) fn space_of(room: u16) -> usize {
    usize::from(room) + usize::from(crate::pool::HEADROOM) + OVERHEAD
}

/// One received frame: the only reference to a single segment in its own buffer.
///
/// The size of a pointer, so that a burst is received straight into a vector of them.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf {
    raw: RawMbuf,
}

// SAFETY: the handle is the only reference (invariant 2), and pools take buffers back from any thread (invariant 3).
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes over an mbuf that [is plain](RawMbuf::is_plain).
    #[inline]
    pub(crate) fn new(raw: RawMbuf) -> Self {
        debug_assert!(raw.is_plain());
        Self { raw }
    }

    /// The pool that its buffer goes home to.
    #[inline]
    pub(crate) fn pool(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.pool()
    }
}

impl RxBuf for Mbuf {
    type Shared = SharedMbuf;

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.raw.bytes()
    }

    #[inline]
    fn trim_front(&mut self, count: usize) {
        self.raw.trim_front(u16::try_from(count).unwrap_or(u16::MAX));
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if len < usize::from(self.raw.len()) {
            self.raw.set_len(len as u16);
        }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.raw.bytes_mut()
    }

    #[inline]
    fn spare_mut(&mut self) -> &mut [u8] {
        self.raw.tail_mut()
    }

    #[inline]
    fn grow(&mut self, count: usize) {
        // Fits: tailroom is less than 2^16, and ends where the buffer does.
        self.raw
            .set_len(self.raw.len() + count.min(self.raw.tailroom()) as u16);
    }

    #[inline]
    fn space(&self) -> usize {
        usize::from(self.raw.buffer_len()) + OVERHEAD
    }

    #[inline]
    fn checksum(&self) -> RxChecksum {
        verdict(self.raw.flags())
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        (self.raw.flags() & dpdk_sys::SHIM_RX_RSS_HASH != 0).then(|| self.raw.rss_hash())
    }

    #[inline]
    fn into_shared(self) -> SharedMbuf {
        let kept = ManuallyDrop::new(self);
        // SAFETY: `kept` is forgotten, so its reference passes to the result and is not used again here.
        let raw = unsafe { ptr::read(&raw const kept.raw) };
        SharedMbuf::whole(raw)
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        note_free();
        // SAFETY: the handle ends here; it is plain.
        unsafe { self.raw.release_single() }
    }
}

/// Reads the two-bit answers of the driver; IPv6 has no header checksum, so "unknown" for IP is no objection.
#[inline]
fn verdict(flags: u64) -> RxChecksum {
    let ip = flags & dpdk_sys::SHIM_RX_IP_CKSUM_MASK;
    let l4 = flags & dpdk_sys::SHIM_RX_L4_CKSUM_MASK;
    if ip == dpdk_sys::SHIM_RX_IP_CKSUM_BAD || l4 == dpdk_sys::SHIM_RX_L4_CKSUM_BAD {
        RxChecksum::Bad
    } else if l4 == dpdk_sys::SHIM_RX_L4_CKSUM_GOOD {
        RxChecksum::Good
    } else {
        RxChecksum::Unchecked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_two_answers_make_one() {
        use dpdk_sys::{
            SHIM_RX_IP_CKSUM_BAD as IP_BAD, SHIM_RX_IP_CKSUM_GOOD as IP_GOOD, SHIM_RX_L4_CKSUM_BAD as L4_BAD,
            SHIM_RX_L4_CKSUM_GOOD as L4_GOOD, SHIM_RX_L4_CKSUM_NONE as L4_NONE,
        };
        let rows = [
            (0, RxChecksum::Unchecked, "nobody looked"),
            (IP_GOOD, RxChecksum::Unchecked, "only the IP header was looked at"),
            (IP_GOOD | L4_GOOD, RxChecksum::Good, "both are right"),
            (L4_GOOD, RxChecksum::Good, "IPv6"),
            (IP_BAD | L4_GOOD, RxChecksum::Bad, "the IP header is wrong"),
            (IP_GOOD | L4_BAD, RxChecksum::Bad, "the segment is wrong"),
            (
                IP_GOOD | L4_NONE,
                RxChecksum::Unchecked,
                "not filled in, but the sender is this host",
            ),
        ];
        for (flags, expected, why) in rows {
            assert_eq!(verdict(flags), expected, "{why}");
        }
    }
}
