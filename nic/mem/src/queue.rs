//! One worker's pair of rings of one port, and that worker's pools.

use std::fmt;
use std::sync::Arc;

use fourtuple_nic::{PoolGauge, PortStats, Promises, Queue, RxBuf, TxFrame};

use crate::pool::Pool;
use crate::{End, MemBuf, MemFrame, MemOptions, MemShared, Wire};

/// One worker's pair of rings of one port.
pub struct MemQueue {
    wire: Wire,
    end: End,
    index: u16,
    promises: Promises,
    /// Payload is copied at once where it fits.
    copies: bool,
    pools: Pools,
}

/// The pools of one queue.
#[derive(Clone)]
pub(crate) struct Pools {
    pub(crate) receive: Arc<Pool>,
    pub(crate) payload: Arc<Pool>,
    pub(crate) transmit: Arc<Pool>,
}

impl MemQueue {
    pub(crate) fn new(wire: Wire, end: End, index: u16, options: &MemOptions, pools: Pools) -> Self {
        Self {
            wire,
            end,
            index,
            promises: options.promises(),
            copies: options.copies,
            pools,
        }
    }

    /// The number of this queue at its port.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The wire that its port is on.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Sends one frame of these bytes, as a test does that plays the peer; `false` when a pool or the ring is exhausted.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        let Some(mut frame) = self.tx_frame() else {
            return false;
        };
        let Some(room) = frame.append(bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.tx_burst(&mut vec![frame]) == 1
    }

    /// All frames that have arrived, as a test reads them that plays the peer.
    pub fn receive_bytes(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        self.rx_burst(&mut frames, usize::MAX);
        frames.iter().map(|frame| frame.bytes().to_vec()).collect()
    }
}

impl Queue for MemQueue {
    type Rx = MemBuf;
    type Shared = MemShared;
    type Tx = MemFrame;

    fn promises(&self) -> &Promises {
        &self.promises
    }

    fn rx_burst(&mut self, into: &mut Vec<MemBuf>, max: usize) -> usize {
        self.wire.fetch(self.end, usize::from(self.index), into, max)
    }

    fn tx_frame(&mut self) -> Option<MemFrame> {
        let head = self.pools.transmit.take()?;
        Some(MemFrame::new(head, self.promises.multi_seg, self.copies))
    }

    fn tx_burst(&mut self, frames: &mut Vec<MemFrame>) -> usize {
        self.wire.send(self.end, usize::from(self.index), frames)
    }

    fn share_copy(&mut self, bytes: &[u8]) -> Option<MemShared> {
        if bytes.len() > self.pools.payload.room() {
            return None;
        }
        let mut buffer = self.blank()?;
        buffer.append(bytes);
        Some(buffer.into_shared())
    }

    fn blank(&mut self) -> Option<MemBuf> {
        self.pools.payload.take().map(MemBuf::empty)
    }

    fn reclaim(&mut self) {
        self.wire.advance();
    }

    fn pool(&self) -> PoolGauge {
        PoolGauge {
            rx_capacity: self.pools.receive.capacity(),
            rx_free: self.pools.receive.free(),
            tx_capacity: self.pools.transmit.capacity(),
            tx_free: self.pools.transmit.free(),
        }
    }

    fn payload_pool(&self) -> (u32, u32) {
        (self.pools.payload.capacity(), self.pools.payload.free())
    }

    fn stats(&self) -> PortStats {
        self.wire.stats(self.end)
    }
}

impl fmt::Debug for MemQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemQueue")
            .field("end", &self.end)
            .field("index", &self.index)
            .field("pool", &self.pool())
            .finish()
    }
}
