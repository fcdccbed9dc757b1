//! Payload that is kept until it is acknowledged: counted references to one buffer, each with its own range.
//!
//! The buffer is never enqueued itself (D3); frames carry indirect mbufs that count a reference for as long as the NIC, or the
//! peer of a ring port, reads them.

use std::ops::Range;
use std::process;

use fourtuple_nic::Shared;

use super::rx::OVERHEAD;
use super::{RawMbuf, note_free};

/// References that one buffer may have. DPDK counts in 16 bits; a clone beyond this ends the process, as `Arc` does, since it
/// could only come from a leak: a 2 kB buffer has fewer bytes to slice.
const REFERENCES_MOST: u16 = u16::MAX - 1024;

/// One counted reference to a buffer, and the bytes of it that are meant.
#[derive(Debug)]
pub struct SharedMbuf {
    raw: RawMbuf,
    /// From the start of the buffer.
    start: u16,
    len: u16,
}

// SAFETY: the reference count is atomic, nobody writes to a shared buffer (invariant 2), and pools take buffers back from
// any thread (invariant 3).
unsafe impl Send for SharedMbuf {}

impl SharedMbuf {
    /// All bytes of a single-segment mbuf that nobody writes to from now on.
    #[inline]
    pub(crate) fn whole(raw: RawMbuf) -> Self {
        let (start, len) = (raw.data_offset(), raw.len());
        Self { raw, start, len }
    }

    /// The mbuf whose buffer this is.
    #[inline]
    pub(super) fn raw(&self) -> &RawMbuf {
        &self.raw
    }

    /// Where the bytes begin in the buffer, and how many they are.
    #[inline]
    pub(super) fn place(&self) -> (u16, u16) {
        (self.start, self.len)
    }

    /// One reference more would still be counted right.
    #[inline]
    pub(super) fn may_be_referred_to(&self) -> bool {
        self.raw.references() < REFERENCES_MOST
    }
}

impl Shared for SharedMbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.raw.window(self.start, self.len)
    }

    #[inline]
    fn slice(&self, range: Range<usize>) -> Self {
        let (start, len) = cut(self.start, self.len, range);
        let mut slice = self.clone();
        (slice.start, slice.len) = (start, len);
        slice
    }

    #[inline]
    fn space(&self) -> usize {
        usize::from(self.raw.buffer_len()) + OVERHEAD
    }
}

impl Clone for SharedMbuf {
    #[inline]
    fn clone(&self) -> Self {
        if !self.may_be_referred_to() {
            process::abort();
        }
        Self {
            raw: self.raw.share(),
            start: self.start,
            len: self.len,
        }
    }
}

impl Drop for SharedMbuf {
    #[inline]
    fn drop(&mut self) {
        note_free();
        // SAFETY: the handle ends here; it was made from a direct single segment.
        unsafe { self.raw.release_single() }
    }
}

/// `range` of the bytes at `start`, cut to the `len` that there are.
fn cut(start: u16, len: u16, range: Range<usize>) -> (u16, u16) {
    let end = range.end.min(usize::from(len));
    let from = range.start.min(end);
    // Both are at most `len`, a u16.
    (start + from as u16, (end - from) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_never_reaches_beyond_its_parent() {
        let rows = [
            (0..10, (128, 10)),
            (2..5, (130, 3)),
            (2..50, (130, 8)),
            (50..60, (138, 0)),
            (5..5, (133, 0)),
            (0..usize::MAX, (128, 10)),
        ];
        for (range, expected) in rows {
            assert_eq!(cut(128, 10, range.clone()), expected, "{range:?}");
        }
    }
}
