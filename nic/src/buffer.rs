//! The three buffer types (D3), and no fourth.
//!
//! ```text
//!   wire ─► RxBuf ──────────────► application (reads)       unique, contiguous, Send
//!             │ into_shared
//!             ▼
//!           Shared ─ slice ─► send queue, kept until ACKed  shared, read-only
//!             │ attach / append
//!             ▼
//!           TxFrame ─► NIC                                  made fresh for each transmission
//! ```
//!
//! What is kept for retransmission is never itself enqueued: a ring port passes the very buffer on and its peer may
//! edit it; a NIC may read it long after the ACK.

use std::ops::Range;

/// What the port found out about the checksums of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RxChecksum {
    /// The port did not look: software has to.
    #[default]
    Unchecked,
    /// IP header and TCP checksum were verified by the port.
    Good,
    /// At least one of them is wrong.
    Bad,
}

/// What the port is asked to fill in before a frame leaves.
///
/// Only ports that [promise](crate::Promises::tx_checksum) it may be asked. The caller has then written the bare
/// pseudo-header sum into the TCP checksum field, and zero into the IPv4 header checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Bytes of the Ethernet header with its VLAN tags.
    pub l2_len: u8,
    /// Bytes of the IP header with its options or extension headers.
    pub l3_len: u16,
    /// The frame carries IPv6, which has no header checksum.
    pub ipv6: bool,
}

/// One received frame: unique, one contiguous segment, read-only to applications.
///
/// Dropping it gives the buffer back to its pool; only workers may do that without delay to others (D4), so the engine
/// sends buffers home that were lent to application threads.
pub trait RxBuf: Send + 'static {
    /// What it becomes when it is kept or sent on.
    type Shared: Shared;

    /// The bytes that are left of the frame, after trimming.
    fn bytes(&self) -> &[u8];

    /// Takes `count` bytes off the front; all of them when there are fewer.
    fn trim_front(&mut self, count: usize);

    /// Keeps the first `len` bytes; all of them when there are fewer.
    fn truncate(&mut self, len: usize);

    /// The bytes that are left, for writing.
    ///
    /// This and the three below are for buffers that were handed out [blank](crate::Queue::blank): registered memory that an endpoint
    /// fills. What was received is not to be written to.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// The room behind what is there, with whatever it held before.
    fn spare_mut(&mut self) -> &mut [u8];

    /// Takes in the first `count` bytes of the [room behind](Self::spare_mut); all of it when there is less.
    fn grow(&mut self, count: usize);

    /// Writes `bytes` behind what is there, as many as fit; returns how many.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.spare_mut();
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.grow(count);
        count
    }

    /// Bytes of pool memory that this buffer pins, whatever it carries (D5).
    fn space(&self) -> usize;

    /// What the port says of the checksums.
    fn checksum(&self) -> RxChecksum {
        RxChecksum::Unchecked
    }

    /// The RSS hash that the port delivered, if it delivers one.
    fn rss_hash(&self) -> Option<u32> {
        None
    }

    /// Turns the buffer into shared payload without copying.
    fn into_shared(self) -> Self::Shared;
}

/// Payload bytes that several holders read: cloning counts a reference, slicing copies nothing.
pub trait Shared: Clone + Send + 'static {
    /// The bytes of this slice.
    fn bytes(&self) -> &[u8];

    /// A part of it that shares the same memory.
    ///
    /// The range is cut to what there is: a slice never reaches beyond its parent, and never panics.
    fn slice(&self, range: Range<usize>) -> Self;

    /// Bytes of pool memory that it pins, however short the slice is (D5).
    fn space(&self) -> usize;
}

/// One frame on its way out; the port owns it once it took it.
pub trait TxFrame: Send + 'static {
    /// Payload that can be attached without a copy.
    type Shared: Shared;

    /// Appends `len` bytes (zeroed or not: write them all) to the linear part and lends them for writing; `None` when
    /// they don't fit.
    fn append(&mut self, len: usize) -> Option<&mut [u8]>;

    /// The linear part as it stands, for writing into what was appended before.
    fn linear_mut(&mut self) -> &mut [u8];

    /// Adds payload behind all that is there: as an indirect segment where the port [promises](crate::Promises::multi_seg)
    /// several segments a frame, else as a counted copy. `false` when neither is possible (pool or room exhausted); the
    /// frame is then to be dropped.
    #[must_use]
    fn attach(&mut self, payload: &Self::Shared) -> bool;

    /// Payload of so many bytes would be copied by [`attach`](Self::attach), behind what is there: who looks at it anyway, for its
    /// checksum, may [append](Self::append) it, and save one look.
    fn copies(&self, len: usize) -> bool {
        let _ = len;
        false
    }

    /// Bytes of the whole frame.
    fn frame_len(&self) -> usize;

    /// Asks the port to fill in checksums.
    fn request_checksum(&mut self, request: TxChecksum);
}
