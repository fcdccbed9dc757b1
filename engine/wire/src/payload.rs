//! The two traits through which TCP sees bytes, so that it sees no NIC (D4).

use std::ops::Range;

/// Bytes to send: shared, sliceable, kept until they are acknowledged. Cloning counts a reference.
pub trait Payload: Clone {
    /// The bytes of this slice.
    fn bytes(&self) -> &[u8];

    /// A part that shares the same memory; the range is cut to what there is.
    fn slice(&self, range: Range<usize>) -> Self;

    /// How many bytes.
    fn len(&self) -> usize {
        self.bytes().len()
    }

    /// No bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of buffer memory that it pins, however few of them are its own (D5).
    fn space(&self) -> usize;

    /// What it is charged to a send queue: its bytes, and no less than half of the memory that it pins. So a queue of full
    /// segments is charged for their bytes alone, and one of single bytes pins no more than twice its bound.
    fn charge(&self) -> u32 {
        match self.len() {
            0 => 0,
            len => len.max(self.space() / 2) as u32,
        }
    }
}

/// Bytes received: unique, and trimmed at both ends to what is new and within the window.
pub trait Received {
    /// The bytes that are left.
    fn bytes(&self) -> &[u8];

    /// Takes `count` bytes off the front; all of them when there are fewer.
    fn trim_front(&mut self, count: usize);

    /// Keeps the first `len` bytes; all of them when there are fewer.
    fn truncate(&mut self, len: usize);

    /// Bytes of buffer memory that it pins: what the receive window is charged (D5).
    fn space(&self) -> usize;
}
