//! Buffers for the unit tests of this crate.

use std::ops::Range;
use std::rc::Rc;

use fourtuple_wire::{Payload, Received};

use crate::Buffers;

/// Payload to send: 16 bytes, as a port's shared buffer is.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    memory: Rc<Vec<u8>>,
    start: u32,
    len: u32,
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self {
            memory: Rc::new(bytes.to_vec()),
            start: 0,
            len: bytes.len() as u32,
        }
    }
}

impl Payload for Bytes {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start as usize..(self.start + self.len) as usize]
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let start = (range.start as u32).min(self.len);
        let end = (range.end as u32).clamp(start, self.len);
        Self {
            memory: self.memory.clone(),
            start: self.start + start,
            len: end - start,
        }
    }

    fn space(&self) -> usize {
        self.memory.len()
    }
}

/// Received payload that pins 64 octets more than it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    space: usize,
}

impl Frame {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            space: bytes.len() + 64,
        }
    }
}

impl Received for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn trim_front(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    fn space(&self) -> usize {
        self.space
    }
}

/// The pair of them.
#[derive(Debug)]
pub(crate) struct TestBuffers;

impl Buffers for TestBuffers {
    type Rx = Frame;
    type Tx = Bytes;
}
