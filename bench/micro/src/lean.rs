//! A port that costs next to nothing, so that what is measured is the engine.
//!
//! Buffers come from a list of the thread and go back there; frames that leave wait in a vector until [`carry`] copies them to
//! the other end, outside of what is measured. Nothing is lost, reordered or delayed.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use fourtuple_nic::{MacAddr, PoolGauge, PortStats, Promises, Queue, RxBuf, Shared, TxChecksum, TxFrame};

/// Octets of a buffer.
const ROOM: usize = 2048;

/// What the port says it has, as much as a port has by default; it never runs out.
const BUFFERS: u32 = 4096;

#[derive(Debug)]
struct Memory([u8; ROOM]);

thread_local! {
    static FREE: RefCell<Vec<Arc<Memory>>> = const { RefCell::new(Vec::new()) };
}

#[inline]
fn take() -> Arc<Memory> {
    let free = FREE.with_borrow_mut(Vec::pop);
    free.unwrap_or_else(|| Arc::new(Memory([0; ROOM])))
}

/// The last holder's drop brings it home.
#[inline]
fn give(memory: &Arc<Memory>) {
    if Arc::strong_count(memory) == 1 {
        FREE.with_borrow_mut(|free| free.push(Arc::clone(memory)));
    }
}

#[inline]
fn part(memory: &Memory, start: u16, len: u16) -> &[u8] {
    let range = usize::from(start)..usize::from(start) + usize::from(len);
    memory.0.get(range).unwrap_or(&[])
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct LeanBuf {
    /// 16 bytes with what follows, as a DPDK port's.
    memory: Arc<Memory>,
    start: u16,
    len: u16,
}

/// Payload that is kept.
#[derive(Clone, Debug)]
pub(crate) struct LeanShared(LeanBuf);

impl LeanBuf {
    /// The whole frame.
    pub(crate) fn octets(&self) -> &[u8] {
        self.bytes()
    }
}

impl Clone for LeanBuf {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            start: self.start,
            len: self.len,
        }
    }
}

impl Drop for LeanBuf {
    #[inline]
    fn drop(&mut self) {
        give(&self.memory);
    }
}

impl RxBuf for LeanBuf {
    type Shared = LeanShared;

    #[inline]
    fn bytes(&self) -> &[u8] {
        part(&self.memory, self.start, self.len)
    }

    #[inline]
    fn trim_front(&mut self, count: usize) {
        let count = count.min(usize::from(self.len)) as u16;
        self.start += count;
        self.len -= count;
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len.min(ROOM) as u16);
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let (from, to) = (usize::from(self.start), usize::from(self.start + self.len));
        let memory = Arc::get_mut(&mut self.memory);
        memory
            .and_then(|memory| memory.0.get_mut(from..to))
            .unwrap_or_default()
    }

    #[inline]
    fn spare_mut(&mut self) -> &mut [u8] {
        let from = usize::from(self.start + self.len);
        let memory = Arc::get_mut(&mut self.memory);
        memory
            .and_then(|memory| memory.0.get_mut(from..))
            .unwrap_or_default()
    }

    #[inline]
    fn grow(&mut self, count: usize) {
        self.len += count.min(self.spare_mut().len()) as u16;
    }

    #[inline]
    fn space(&self) -> usize {
        ROOM
    }

    #[inline]
    fn into_shared(self) -> LeanShared {
        LeanShared(self)
    }
}

impl Shared for LeanShared {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    #[inline]
    fn slice(&self, range: Range<usize>) -> Self {
        let mut slice = self.clone();
        slice.0.truncate(range.end);
        slice.0.trim_front(range.start);
        slice
    }

    #[inline]
    fn space(&self) -> usize {
        ROOM
    }
}

/// A frame on its way out: a linear part, and payload behind it.
#[derive(Debug)]
pub(crate) struct LeanFrame {
    memory: Arc<Memory>,
    len: u16,
    attached: Option<LeanShared>,
    /// Payload behind the first piece; a full segment of small chunks has some.
    more: Vec<LeanShared>,
}

impl LeanFrame {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let payload = self.attached.iter().chain(&self.more).map(Shared::bytes);
        std::iter::once(part(&self.memory, 0, self.len)).chain(payload)
    }

    /// A copy of it, as it comes to the other end.
    fn arriving(&self) -> LeanBuf {
        let mut buffer = LeanBuf {
            memory: take(),
            start: 0,
            len: 0,
        };
        for piece in self.pieces() {
            buffer.append(piece);
        }
        buffer
    }
}

impl TxFrame for LeanFrame {
    type Shared = LeanShared;

    #[inline]
    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        let from = usize::from(self.len);
        let room = Arc::get_mut(&mut self.memory)?.0.get_mut(from..from + len)?;
        self.len += len as u16;
        Some(room)
    }

    #[inline]
    fn linear_mut(&mut self) -> &mut [u8] {
        let len = usize::from(self.len);
        let memory = Arc::get_mut(&mut self.memory);
        memory
            .and_then(|memory| memory.0.get_mut(..len))
            .unwrap_or(&mut [])
    }

    #[inline]
    fn attach(&mut self, payload: &LeanShared) -> bool {
        if self.attached.is_none() {
            self.attached = Some(payload.clone());
        } else {
            self.more.push(payload.clone());
        }
        true
    }

    /// As a ring port does, which is what bulk is measured over.
    #[inline]
    fn copies(&self, len: usize) -> bool {
        usize::from(self.len) + len <= ROOM
    }

    #[inline]
    fn frame_len(&self) -> usize {
        let first = self
            .attached
            .as_ref()
            .map_or(0, |payload| usize::from(payload.0.len));
        usize::from(self.len)
            + first
            + self
                .more
                .iter()
                .map(|payload| payload.bytes().len())
                .sum::<usize>()
    }

    fn request_checksum(&mut self, _: TxChecksum) {}
}

impl Drop for LeanFrame {
    #[inline]
    fn drop(&mut self) {
        give(&self.memory);
    }
}

/// The only queue of its port.
#[derive(Debug)]
pub(crate) struct LeanQueue {
    promises: Promises,
    /// Taken from the front by whole bursts: mostly all of it.
    arrived: Vec<LeanBuf>,
    sent: Vec<LeanFrame>,
}

impl LeanQueue {
    /// The queue of a port whose address ends like this.
    pub(crate) fn new(number: u8) -> Self {
        Self {
            promises: Promises {
                name: format!("lean{number}"),
                mac: MacAddr([2, 0, 0, 0, 0, number]),
                mtu: 1500,
                queues: 1,
                buffer_room: ROOM,
                buffer_space: ROOM,
                rx_checksum: false,
                tx_checksum: false,
                multi_seg: true,
                kernel_peer: false,
                rss: true,
            },
            arrived: Vec::with_capacity(1024),
            sent: Vec::with_capacity(1024),
        }
    }

    /// Frames that wait to be received.
    pub(crate) fn waiting(&self) -> usize {
        self.arrived.len()
    }

    /// Frames that were sent and not carried yet.
    pub(crate) fn unsent(&self) -> usize {
        self.sent.len()
    }

    /// Takes the frames that were sent since they were carried last, as they come to the other end.
    pub(crate) fn take_sent(&mut self) -> Vec<LeanBuf> {
        self.sent.drain(..).map(|frame| frame.arriving()).collect()
    }

    /// A frame comes in.
    pub(crate) fn arrive(&mut self, frame: LeanBuf) {
        self.arrived.push(frame);
    }

    /// The frames that were sent since they were carried last, as octets.
    pub(crate) fn sent_octets(&self) -> Vec<Vec<u8>> {
        self.sent
            .iter()
            .map(|frame| frame.pieces().collect::<Vec<_>>().concat())
            .collect()
    }
}

/// Moves what one end has sent to the other; returns how many frames.
pub(crate) fn carry(from: &mut LeanQueue, to: &mut LeanQueue) -> usize {
    let frames = from.sent.len();
    for frame in from.sent.drain(..) {
        to.arrived.push(frame.arriving());
    }
    frames
}

impl Queue for LeanQueue {
    type Rx = LeanBuf;
    type Shared = LeanShared;
    type Tx = LeanFrame;

    #[inline]
    fn promises(&self) -> &Promises {
        &self.promises
    }

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<LeanBuf>, max: usize) -> usize {
        let count = self.arrived.len().min(max);
        into.extend(self.arrived.drain(..count));
        count
    }

    #[inline]
    fn tx_frame(&mut self) -> Option<LeanFrame> {
        Some(LeanFrame {
            memory: take(),
            len: 0,
            attached: None,
            more: Vec::new(),
        })
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Vec<LeanFrame>) -> usize {
        let count = frames.len();
        self.sent.append(frames);
        count
    }

    #[inline]
    fn share_copy(&mut self, bytes: &[u8]) -> Option<LeanShared> {
        let mut buffer = self.blank()?;
        (buffer.append(bytes) == bytes.len()).then_some(LeanShared(buffer))
    }

    #[inline]
    fn blank(&mut self) -> Option<LeanBuf> {
        Some(LeanBuf {
            memory: take(),
            start: 0,
            len: 0,
        })
    }

    #[inline]
    fn pool(&self) -> PoolGauge {
        PoolGauge {
            rx_capacity: BUFFERS,
            rx_free: BUFFERS,
            tx_capacity: BUFFERS,
            tx_free: BUFFERS,
        }
    }

    #[inline]
    fn payload_pool(&self) -> (u32, u32) {
        (BUFFERS, BUFFERS)
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }
}
