//! Frames on their way out.

use std::fmt;

use arrayvec::ArrayVec;
use fourtuple_nic::{Shared, TxChecksum, TxFrame};

use crate::MemShared;
use crate::pool::Loan;

/// Payload slices that one frame may hold behind its linear part.
pub const MAX_SEGMENTS: usize = 16;

/// One frame on its way out.
pub struct MemFrame {
    head: Loan,
    linear_len: usize,
    segments: ArrayVec<Segment, MAX_SEGMENTS>,
    multi_seg: bool,
    copies: bool,
    linearised: u16,
    checksum: Option<TxChecksum>,
}

/// Payload that stays where it is, and the buffer of the transmit pool that refers to it: a real NIC needs one.
struct Segment {
    payload: MemShared,
    _indirect: Loan,
}

impl MemFrame {
    pub(crate) fn new(head: Loan, multi_seg: bool, copies: bool) -> Self {
        Self {
            head,
            linear_len: 0,
            segments: ArrayVec::new(),
            multi_seg,
            copies,
            linearised: 0,
            checksum: None,
        }
    }

    /// Payload slices that were copied because the port takes one segment a frame.
    pub(crate) fn linearised(&self) -> u16 {
        self.linearised
    }

    /// What the port was asked to fill in.
    pub(crate) fn requested_checksum(&self) -> Option<TxChecksum> {
        self.checksum
    }

    /// Writes the whole frame behind `into`.
    pub(crate) fn flatten(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.head.bytes()[..self.linear_len]);
        for segment in &self.segments {
            into.extend_from_slice(segment.payload.bytes());
        }
    }
}

impl TxFrame for MemFrame {
    type Shared = MemShared;

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        if !self.segments.is_empty() {
            return None;
        }
        let start = self.linear_len;
        let end = start.checked_add(len)?;
        let room = self.head.bytes_mut().get_mut(start..end)?;
        self.linear_len = end;
        Some(room)
    }

    fn linear_mut(&mut self) -> &mut [u8] {
        &mut self.head.bytes_mut()[..self.linear_len]
    }

    fn attach(&mut self, payload: &MemShared) -> bool {
        let bytes = payload.bytes();
        let copies = self.copies(bytes.len());
        if copies || !self.multi_seg {
            let Some(room) = self.append(bytes.len()) else {
                return false;
            };
            room.copy_from_slice(bytes);
            self.linearised += u16::from(!copies);
            return true;
        }
        if self.segments.is_full() {
            return false;
        }
        let Some(indirect) = self.head.pool().take() else {
            return false;
        };
        self.segments.push(Segment {
            payload: payload.clone(),
            _indirect: indirect,
        });
        true
    }

    fn copies(&self, len: usize) -> bool {
        self.copies
            && self.multi_seg
            && self.segments.is_empty()
            && self.linear_len + len <= self.head.bytes().len()
    }

    fn frame_len(&self) -> usize {
        let attached = self.segments.iter().map(|segment| segment.payload.bytes().len());
        self.linear_len + attached.sum::<usize>()
    }

    fn request_checksum(&mut self, request: TxChecksum) {
        self.checksum = Some(request);
    }
}

impl fmt::Debug for MemFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.segments.len();
        write!(
            f,
            "MemFrame {{ {} bytes, {segments} attached }}",
            self.frame_len()
        )
    }
}
