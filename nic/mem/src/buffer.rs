//! Received frames and shared payload.

use std::fmt;
use std::ops::Range;

use fourtuple_nic::{RxBuf, RxChecksum, Shared};

use crate::options::BUFFER_OVERHEAD;
use crate::pool::Loan;

/// One received frame.
pub struct MemBuf {
    loan: Loan,
    /// What is left of the frame within the buffer; always inside it.
    place: Range<usize>,
    checksum: RxChecksum,
}

impl MemBuf {
    /// An empty buffer, of which nobody else may hold a part.
    pub(crate) fn empty(loan: Loan) -> Self {
        Self {
            loan,
            place: 0..0,
            checksum: RxChecksum::Unchecked,
        }
    }

    pub(crate) fn set_checksum(&mut self, checksum: RxChecksum) {
        self.checksum = checksum;
    }
}

impl RxBuf for MemBuf {
    type Shared = MemShared;

    fn bytes(&self) -> &[u8] {
        &self.loan.bytes()[self.place.clone()]
    }

    fn trim_front(&mut self, count: usize) {
        self.place.start += count.min(self.place.len());
    }

    fn truncate(&mut self, len: usize) {
        self.place.end = self.place.start + len.min(self.place.len());
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.loan
            .bytes_mut()
            .get_mut(self.place.clone())
            .unwrap_or_default()
    }

    fn spare_mut(&mut self) -> &mut [u8] {
        self.loan
            .bytes_mut()
            .get_mut(self.place.end..)
            .unwrap_or_default()
    }

    fn grow(&mut self, count: usize) {
        self.place.end += count.min(self.spare_mut().len());
    }

    fn space(&self) -> usize {
        self.loan.pool().room() + BUFFER_OVERHEAD
    }

    fn checksum(&self) -> RxChecksum {
        self.checksum
    }

    fn into_shared(self) -> MemShared {
        MemShared {
            loan: self.loan,
            place: self.place,
        }
    }
}

impl fmt::Debug for MemBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemBuf {{ {} bytes, {:?} }}", self.place.len(), self.checksum)
    }
}

/// Payload that several holders read.
#[derive(Clone)]
pub struct MemShared {
    loan: Loan,
    /// This slice within the buffer; always inside it.
    place: Range<usize>,
}

impl Shared for MemShared {
    fn bytes(&self) -> &[u8] {
        &self.loan.bytes()[self.place.clone()]
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let start = self.place.start + range.start.min(self.place.len());
        let end = self.place.start + range.end.min(self.place.len());
        Self {
            loan: self.loan.clone(),
            place: start..end.max(start),
        }
    }

    fn space(&self) -> usize {
        self.loan.pool().room() + BUFFER_OVERHEAD
    }
}

impl fmt::Debug for MemShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemShared {{ {} bytes }}", self.place.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn trimming_never_reaches_beyond_the_frame() {
        let pool = Pool::new(1, 16, false);
        let mut buffer = MemBuf::empty(pool.take().unwrap());
        assert_eq!(buffer.append(b"0123456789"), 10);
        buffer.trim_front(2);
        buffer.truncate(6);
        assert_eq!(buffer.bytes(), b"234567");
        buffer.truncate(100);
        assert_eq!(buffer.bytes(), b"234567");
        assert_eq!(buffer.append(b"abcdefghijk"), 8, "as many as fit");
        assert_eq!(buffer.bytes(), b"234567abcdefgh");
        buffer.truncate(7);
        buffer.bytes_mut()[0] = b'x';
        buffer.spare_mut()[..2].copy_from_slice(b"yz");
        buffer.grow(2);
        assert_eq!(buffer.bytes(), b"x34567ayz");
        buffer.grow(100);
        assert_eq!(
            (buffer.bytes().len(), buffer.spare_mut().len()),
            (14, 0),
            "all of it"
        );
        assert_eq!(buffer.space(), 16 + BUFFER_OVERHEAD);
        buffer.trim_front(100);
        assert_eq!(buffer.bytes(), b"");
    }

    #[test]
    fn a_slice_is_cut_to_what_there_is() {
        let pool = Pool::new(1, 16, false);
        let mut buffer = MemBuf::empty(pool.take().unwrap());
        buffer.append(b"0123456789");
        buffer.trim_front(1);
        let whole = buffer.into_shared();
        let part = whole.slice(2..5);
        assert_eq!((whole.bytes(), part.bytes()), (&b"123456789"[..], &b"345"[..]));
        #[allow(clippy::reversed_empty_ranges)]
        for (range, expected) in [
            (0..100, &b"345"[..]),
            (2..100, b"5"),
            (50..100, b""),
            (2..1, b""),
            (usize::MAX..usize::MAX, b""),
        ] {
            assert_eq!(part.slice(range.clone()).bytes(), expected, "{range:?}");
        }
        drop(whole);
        assert_eq!((pool.free(), part.bytes()), (0, &b"345"[..]));
        drop(part);
        assert_eq!(pool.free(), 1);
    }
}
