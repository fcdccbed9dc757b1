//! Frames on their way out: a head with the headers, and payload behind it.
//!
//! ```text
//!   several segments:  [ eth ip tcp small payload ] ─► [ indirect ─► kept payload ] ─► …
//!   one segment:       [ eth ip tcp payload, copied ]                       counted as linearised
//! ```

use fourtuple_nic::{Shared, TxChecksum, TxFrame};

use super::shared::SharedMbuf;
use super::{RawMbuf, note_free};

/// How payload gets into a frame of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attaching {
    /// The port takes one segment a frame: payload is copied, and that is counted.
    Never,
    /// As an indirect segment when it is longer than so many bytes; below, copying costs less.
    Above(u16),
}

impl Attaching {
    /// Ring ports take chains, but the receiver has to copy them into one segment: made, sent, received and dropped, a frame of 1448
    /// bytes costs 271 cycles with an indirect segment and 123 with one copy (examples/cycles.rs).
    pub(crate) const COPY_ALL: Self = Self::Above(u16::MAX);
}

/// One frame on its way out: the only reference to a chain whose head we allocated.
#[derive(Debug)]
pub struct TxMbuf {
    head: RawMbuf,
    /// The last segment, owned by the chain; `None` while the head is the last.
    tail: Option<Tail>,
    segments: u16,
    attaching: Attaching,
    linearised: u16,
}

#[derive(Debug)]
struct Tail {
    mbuf: RawMbuf,
    /// A buffer of our own, to which more may be appended.
    writable: bool,
}

// SAFETY: the handle is the only reference to the chain (invariant 2); indirect segments refer to shared buffers that nobody
// writes to; pools take buffers back from any thread (invariant 3).
unsafe impl Send for TxMbuf {}

impl TxMbuf {
    /// An empty frame on a fresh buffer.
    #[inline]
    pub(crate) fn new(head: RawMbuf, attaching: Attaching) -> Self {
        Self {
            head,
            tail: None,
            segments: 1,
            attaching,
            linearised: 0,
        }
    }

    /// For handing over to the driver.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_mbuf {
        self.head.as_ptr()
    }

    /// Payload slices that were copied because the port takes one segment a frame.
    #[inline]
    pub(crate) fn linearised(&self) -> u16 {
        self.linearised
    }

    /// Copies `bytes` to the end of the chain, where the last segment has room for them.
    #[inline]
    fn copy_behind(&mut self, bytes: &[u8]) -> bool {
        let frame_len = self.head.frame_len() + bytes.len() as u32;
        let last = match &mut self.tail {
            None => Some(&mut self.head),
            Some(tail) => tail.writable.then_some(&mut tail.mbuf),
        };
        let Some(room) = last.and_then(|last| last.extend(bytes.len())) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.head.set_frame(frame_len, self.segments);
        true
    }

    /// Hangs a segment with `bytes` bytes behind the chain, which owns it from now on.
    fn chain(&mut self, segment: RawMbuf, bytes: u16, writable: bool) {
        let frame_len = self.head.frame_len() + u32::from(bytes);
        match &mut self.tail {
            None => self.head.link(&segment),
            Some(tail) => tail.mbuf.link(&segment),
        }
        self.segments += 1;
        self.head.set_frame(frame_len, self.segments);
        self.tail = Some(Tail {
            mbuf: segment,
            writable,
        });
    }

    /// Shows `payload` through an indirect mbuf.
    fn attach_indirect(&mut self, payload: &SharedMbuf) -> bool {
        if !payload.may_be_referred_to() {
            return false;
        }
        let Some(mut indirect) = self.head.sibling() else {
            return false;
        };
        // SAFETY: `indirect` is fresh and unique; the payload's mbuf is live while its handle is, and the reference that attaching
        // counts keeps it so until the chain is freed.
        unsafe { dpdk_sys::shim_attach(indirect.as_ptr(), payload.raw().as_ptr()) }
        let (start, len) = payload.place();
        indirect.show(start, len);
        self.chain(indirect, len, false);
        true
    }

    /// Copies into a further buffer, behind an indirect segment.
    fn chain_copy(&mut self, bytes: &[u8]) -> bool {
        let Some(fresh) = self.head.sibling() else {
            return false;
        };
        self.chain(fresh, 0, true);
        self.copy_behind(bytes)
    }
}

impl TxFrame for TxMbuf {
    type Shared = SharedMbuf;

    #[inline]
    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.tail.is_some() {
            return None;
        }
        let frame_len = self.head.frame_len();
        let room = self.head.tailroom();
        if len > room {
            return None;
        }
        self.head.set_frame(frame_len + len as u32, 1);
        self.head.extend(len)
    }

    #[inline]
    fn linear_mut(&mut self) -> &mut [u8] {
        self.head.bytes_mut()
    }

    #[inline]
    fn attach(&mut self, payload: &SharedMbuf) -> bool {
        let bytes = payload.bytes();
        match self.attaching {
            Attaching::Never => {
                let copied = self.copy_behind(bytes);
                self.linearised += u16::from(copied);
                copied
            }
            Attaching::Above(most) if bytes.len() > usize::from(most) => self.attach_indirect(payload),
            Attaching::Above(_) => self.copy_behind(bytes) || self.chain_copy(bytes),
        }
    }

    #[inline]
    fn copies(&self, len: usize) -> bool {
        match self.attaching {
            // Counted there.
            Attaching::Never => false,
            Attaching::Above(most) => {
                len <= usize::from(most) && len <= self.head.tailroom() && self.tail.is_none()
            }
        }
    }

    #[inline]
    fn frame_len(&self) -> usize {
        self.head.frame_len() as usize
    }

    #[inline]
    fn request_checksum(&mut self, request: TxChecksum) {
        // The driver reads the lengths as fields of 7 and 9 bits.
        let lengths = u64::from(request.l2_len & 0x7f) | u64::from(request.l3_len & 0x1ff) << 7;
        let family = if request.ipv6 {
            dpdk_sys::SHIM_TX_IPV6
        } else {
            dpdk_sys::SHIM_TX_IPV4 | dpdk_sys::SHIM_TX_IP_CKSUM
        };
        self.head
            .ask_offload(family | dpdk_sys::SHIM_TX_TCP_CKSUM, lengths);
    }
}

impl Drop for TxMbuf {
    #[inline]
    fn drop(&mut self) {
        note_free();
        // SAFETY: the handle ends here; the chain is ours alone, and freeing it gives up the references of its indirect segments.
        unsafe { self.head.release() }
    }
}
