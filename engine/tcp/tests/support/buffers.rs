//! Payloads on the heap.

use std::ops::Range;
use std::sync::Arc;

use fourtuple_tcp::Buffers;
use fourtuple_wire::{Payload, Received};

/// Payload to send.
#[derive(Clone, Debug)]
pub struct Bytes {
    memory: Arc<Vec<u8>>,
    start: u32,
    len: u32,
}

impl Bytes {
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            memory: Arc::new(bytes.to_vec()),
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

/// Received payload that pins `space` octets.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    start: usize,
    space: usize,
}

impl Frame {
    pub fn new(bytes: &[u8], space: usize) -> Self {
        Self {
            bytes: bytes.to_vec(),
            start: 0,
            space,
        }
    }
}

impl Received for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn trim_front(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start + len);
    }

    fn space(&self) -> usize {
        self.space
    }
}

#[derive(Debug)]
pub struct TestBuffers;

impl Buffers for TestBuffers {
    type Rx = Frame;
    type Tx = Bytes;
}
