//! The contract of `fourtuple-nic` as the in-process NIC keeps it, and what its wire does.

mod buffers;
mod rings;
mod wire;

use fourtuple_nic::{Queue, TxFrame};
use fourtuple_nic_mem::{MemFrame, MemOptions, MemPort, MemQueue, VirtualClock, Wire, WireConditions};

pub(crate) struct Pair {
    pub(crate) clock: VirtualClock,
    pub(crate) a: MemQueue,
    pub(crate) b: MemQueue,
    pub(crate) wire: Wire,
}

pub(crate) fn pair(options: MemOptions, conditions: WireConditions, seed: u64) -> Pair {
    let clock = VirtualClock::new();
    let (mut a, mut b) = MemPort::pair(options, conditions, &clock, seed);
    Pair {
        clock,
        wire: a.wire(),
        a: a.take_queues().remove(0),
        b: b.take_queues().remove(0),
    }
}

/// A small pool, so that exhaustion is near.
pub(crate) fn small() -> MemOptions {
    MemOptions {
        receive_pool: 8,
        payload_pool: 8,
        transmit_pool: 8,
        ..MemOptions::default()
    }
}

pub(crate) fn frame(queue: &mut MemQueue, bytes: &[u8]) -> MemFrame {
    let mut frame = queue.tx_frame().expect("a free buffer");
    frame
        .append(bytes.len())
        .expect("room for the frame")
        .copy_from_slice(bytes);
    frame
}

/// Buffers that are free: received, payload, transmit.
pub(crate) fn free(queue: &MemQueue) -> (u32, u32, u32) {
    let gauge = queue.pool();
    (gauge.rx_free, queue.payload_pool().1, gauge.tx_free)
}
