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

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes of a buffer of so much memory.
    #[derive(Clone)]
    struct Slice(Vec<u8>, usize);

    impl Payload for Slice {
        fn bytes(&self) -> &[u8] {
            &self.0
        }

        fn slice(&self, range: Range<usize>) -> Self {
            Self(self.0[range].to_vec(), self.1)
        }

        fn space(&self) -> usize {
            self.1
        }
    }

    #[test]
    fn a_slice_is_charged_its_bytes_and_no_less_than_half_of_what_it_pins() {
        for (len, space, charge) in [
            (0, 2048, 0),
            (1, 2048, 1024),
            (1023, 2048, 1024),
            (1025, 2048, 1025),
            (1460, 2048, 1460),
            (3, 4, 3),
        ] {
            let payload = Slice(vec![7; len], space);
            assert_eq!((payload.len(), payload.is_empty()), (len, len == 0));
            assert_eq!(payload.charge(), charge, "{len} of {space}");
            assert_eq!(payload.slice(0..len / 2).len(), len / 2);
        }
    }
}
