//! A port for tests: nothing but a pool that counts, and that notices buffers dropped where no worker is.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use fourtuple_nic::{PoolGauge, PortStats, Promises, Queue, RxBuf, Shared, TxChecksum, TxFrame};

thread_local! {
    /// This thread plays a worker just now.
    static ON_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Runs `turn` as a worker.
pub(super) fn as_worker<R>(turn: impl FnOnce() -> R) -> R {
    let before = ON_WORKER.replace(true);
    let result = turn();
    ON_WORKER.set(before);
    result
}

/// Bytes that a buffer of the pool holds.
pub(super) const ROOM: usize = 64;
/// Bytes of pool memory that it pins.
pub(super) const SPACE: usize = 128;

/// The pool of one worker.
#[derive(Debug)]
pub(super) struct Pool {
    capacity: u32,
    used: AtomicU32,
    strays: AtomicU32,
    /// Set when the workers are gone: then anybody may drop.
    closed: AtomicBool,
}

impl Pool {
    pub(super) fn new(capacity: u32) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            used: AtomicU32::new(0),
            strays: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Buffers that are not in the pool.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::SeqCst)
    }

    /// Buffers that were dropped off a worker.
    pub(super) fn strays(&self) -> u32 {
        self.strays.load(Ordering::SeqCst)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn take(self: &Arc<Self>) -> Option<Slice> {
        let took = self
            .used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used < self.capacity).then_some(used + 1)
            });
        took.ok()?;
        let memory = Arc::new(Memory {
            bytes: [0; ROOM],
            pool: Arc::clone(self),
        });
        Some(Slice {
            memory,
            start: 0,
            end: 0,
        })
    }
}

struct Memory {
    bytes: [u8; ROOM],
    pool: Arc<Pool>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(1, Ordering::SeqCst);
        if !ON_WORKER.get() && !self.pool.closed.load(Ordering::SeqCst) {
            self.pool.strays.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A buffer, and a slice of one.
#[derive(Clone)]
pub(super) struct Slice {
    memory: Arc<Memory>,
    start: u8,
    end: u8,
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(RxBuf::bytes(self)).finish()
    }
}

impl RxBuf for Slice {
    type Shared = Self;

    fn bytes(&self) -> &[u8] {
        &self.memory.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    fn trim_front(&mut self, count: usize) {
        self.start += count.min(RxBuf::bytes(self).len()) as u8;
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.start + len.min(RxBuf::bytes(self).len()) as u8;
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let memory = Arc::get_mut(&mut self.memory).expect("a received buffer is unique");
        &mut memory.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    fn spare_mut(&mut self) -> &mut [u8] {
        let memory = Arc::get_mut(&mut self.memory).expect("a received buffer is unique");
        &mut memory.bytes[usize::from(self.end)..ROOM]
    }

    fn grow(&mut self, count: usize) {
        self.end += count.min(ROOM - usize::from(self.end)) as u8;
    }

    fn space(&self) -> usize {
        SPACE
    }

    fn into_shared(self) -> Self {
        self
    }
}

impl Shared for Slice {
    fn bytes(&self) -> &[u8] {
        RxBuf::bytes(self)
    }

    fn slice(&self, range: Range<usize>) -> Self {
        let mut part = self.clone();
        RxBuf::truncate(&mut part, range.end);
        part.trim_front(range.start);
        part
    }

    fn space(&self) -> usize {
        SPACE
    }
}

/// No frame is ever built here.
#[derive(Debug)]
pub(super) enum NoFrame {}

impl TxFrame for NoFrame {
    type Shared = Slice;

    fn append(&mut self, _: usize) -> Option<&mut [u8]> {
        match *self {}
    }

    fn linear_mut(&mut self) -> &mut [u8] {
        match *self {}
    }

    fn attach(&mut self, _: &Slice) -> bool {
        match *self {}
    }

    fn frame_len(&self) -> usize {
        match *self {}
    }

    fn request_checksum(&mut self, _: TxChecksum) {
        match *self {}
    }
}

/// The port of one worker.
#[derive(Debug)]
pub(super) struct TestQueue {
    promises: Promises,
    pub(super) pool: Arc<Pool>,
    /// Blank buffers that were made beforehand, where making one would count as an allocation.
    pub(super) stock: Vec<Slice>,
}

impl TestQueue {
    pub(super) fn new(capacity: u32) -> Self {
        let promises = Promises {
            name: "test".into(),
            mac: fourtuple_nic::MacAddr::default(),
            mtu: 1500,
            queues: 1,
            buffer_room: ROOM,
            buffer_space: SPACE,
            rx_checksum: false,
            tx_checksum: false,
            multi_seg: false,
            kernel_peer: false,
            rss: false,
        };
        Self {
            promises,
            pool: Pool::new(capacity),
            stock: Vec::new(),
        }
    }

    /// A received buffer with these bytes.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<Slice> {
        let mut slice = self.pool.take()?;
        assert_eq!(slice.append(bytes), bytes.len());
        Some(slice)
    }
}

impl Queue for TestQueue {
    type Rx = Slice;
    type Shared = Slice;
    type Tx = NoFrame;

    fn promises(&self) -> &Promises {
        &self.promises
    }

    fn rx_burst(&mut self, _: &mut Vec<Slice>, _: usize) -> usize {
        0
    }

    fn tx_frame(&mut self) -> Option<NoFrame> {
        None
    }

    fn tx_burst(&mut self, _: &mut Vec<NoFrame>) -> usize {
        0
    }

    fn share_copy(&mut self, bytes: &[u8]) -> Option<Slice> {
        self.received(bytes)
    }

    fn blank(&mut self) -> Option<Slice> {
        self.stock.pop().or_else(|| self.pool.take())
    }

    fn pool(&self) -> PoolGauge {
        let (capacity, used) = (self.pool.capacity, self.pool.used());
        PoolGauge {
            rx_capacity: capacity,
            rx_free: capacity - used,
            tx_capacity: 0,
            tx_free: 0,
        }
    }

    fn payload_pool(&self) -> (u32, u32) {
        (self.pool.capacity, self.pool.capacity - self.pool.used())
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }
}
