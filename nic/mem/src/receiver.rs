//! The receiving half of a port: frames are spread over its RX rings, each in a fresh buffer.

use std::collections::VecDeque;
use std::sync::Arc;

use fourtuple_nic::{RxBuf, RxChecksum};

use crate::conditions::WireCounts;
use crate::pool::Pool;
use crate::{MemBuf, MemOptions, Spread, offload};

/// Frames that have arrived and wait to be fetched.
pub(crate) struct Receiver {
    queues: Vec<RxRing>,
    ring: usize,
    verifies: bool,
    pub(crate) spread: Spread,
    /// The next queue in turn.
    turn: usize,
    pub(crate) counts: RxCounts,
}

struct RxRing {
    frames: VecDeque<MemBuf>,
    pool: Arc<Pool>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RxCounts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Receiver {
    pub(crate) fn new(options: &MemOptions, pools: Vec<Arc<Pool>>) -> Self {
        let ring = |pool| RxRing {
            frames: VecDeque::with_capacity(options.rx_ring),
            pool,
        };
        Self {
            queues: pools.into_iter().map(ring).collect(),
            ring: options.rx_ring,
            verifies: options.rx_checksum,
            spread: options.spread.clone(),
            turn: 0,
            counts: RxCounts::default(),
        }
    }

    /// A frame has arrived; `counts` tells what became of it.
    pub(crate) fn accept(&mut self, bytes: &[u8], counts: &mut WireCounts) {
        let queue = self.choose(bytes);
        let Some(ring) = self.queues.get_mut(queue) else {
            counts.missed += 1;
            return;
        };
        if ring.frames.len() >= self.ring {
            counts.missed += 1;
            return;
        }
        if bytes.len() > ring.pool.room() {
            counts.too_long += 1;
            return;
        }
        let Some(loan) = ring.pool.take() else {
            counts.no_buffer += 1;
            return;
        };
        let mut frame = MemBuf::empty(loan);
        frame.append(bytes);
        frame.set_checksum(if self.verifies {
            offload::verify(bytes)
        } else {
            RxChecksum::Unchecked
        });
        ring.frames.push_back(frame);
        counts.delivered += 1;
        self.counts.packets += 1;
        self.counts.bytes += bytes.len() as u64;
    }

    fn choose(&mut self, bytes: &[u8]) -> usize {
        let queues = self.queues.len().max(1);
        match &self.spread {
            Spread::ByHash(hash) => hash(bytes) as usize % queues,
            Spread::AllTo(queue) => usize::from(*queue).min(queues - 1),
            Spread::RoundRobin => {
                self.turn = (self.turn + 1) % queues;
                (self.turn + queues - 1) % queues
            }
        }
    }

    /// Hands over at most `max` frames of a queue; returns how many.
    pub(crate) fn fetch(&mut self, queue: usize, into: &mut Vec<MemBuf>, max: usize) -> usize {
        let Some(ring) = self.queues.get_mut(queue) else {
            return 0;
        };
        let count = max.min(ring.frames.len());
        into.extend(ring.frames.drain(..count));
        count
    }

    /// Frames that wait, of all queues.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.iter().map(|ring| ring.frames.len()).sum()
    }
}
