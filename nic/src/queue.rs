//! One worker's view of one port: a pair of RX and TX descriptor rings, and the pools behind them.

use std::os::fd::BorrowedFd;

use crate::{Promises, RxBuf, Shared, TxFrame};

/// How full a queue's pools are, in buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolGauge {
    /// Buffers that the pools of received data hold in all.
    pub rx_capacity: u32,
    /// Those that are free now.
    pub rx_free: u32,
    /// Buffers for headers and indirect segments in all.
    pub tx_capacity: u32,
    /// Those that are free now.
    pub tx_free: u32,
}

/// What the port itself counted, all queues together, since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that the port dropped because no descriptor was free (`imissed`).
    pub rx_missed: u64,
    /// Frames received with an error of layer 1 or 2.
    pub rx_errors: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames that the port could not store because its pool was empty (`rx_nombuf`).
    pub rx_no_buffer: u64,
    /// Received frames that were copied: they came as several segments, or in buffers of which their sender has few left.
    pub rx_flattened: u64,
    /// Payload that was copied on sending because the port takes one segment a frame.
    pub tx_linearised: u64,
}

/// One worker's pair of descriptor rings of one port, with that worker's pools.
///
/// Only the worker that owns the queue calls it. No call waits, allocates from the heap, takes a lock or enters the
/// kernel, except where the port itself is a kernel socket.
pub trait Queue: Send + 'static {
    /// Received frames.
    type Rx: RxBuf<Shared = Self::Shared>;
    /// Payload that is kept until it is acknowledged.
    type Shared: Shared;
    /// Frames to send.
    type Tx: TxFrame<Shared = Self::Shared>;

    /// What this port promises; fixed while the queue lives.
    fn promises(&self) -> &Promises;

    /// Receives at most `max` frames behind what is in `into`; returns how many.
    ///
    /// `into` must have room reserved for them: the worker's burst vector is allocated once.
    fn rx_burst(&mut self, into: &mut Vec<Self::Rx>, max: usize) -> usize;

    /// A fresh, empty frame; `None` when the pool is exhausted (try again next turn).
    fn tx_frame(&mut self) -> Option<Self::Tx>;

    /// Hands over frames from the front of `frames`, as many as the ring takes; the rest stays, in order. Returns how many
    /// were taken.
    fn tx_burst(&mut self, frames: &mut Vec<Self::Tx>) -> usize;

    /// Copies `bytes` into a pool buffer; `None` when the pool is exhausted or they don't fit in one buffer
    /// ([`Promises::buffer_room`]).
    fn share_copy(&mut self, bytes: &[u8]) -> Option<Self::Shared>;

    /// An empty buffer of the payload pool, for an endpoint to fill and send (registered memory); `None` when the pool is
    /// exhausted.
    fn blank(&mut self) -> Option<Self::Rx>;

    /// Takes back buffers of frames that were sent; called on idle turns.
    fn reclaim(&mut self) {}

    /// How full the pools are. May count approximately while other threads hold cached buffers.
    fn pool(&self) -> PoolGauge;

    /// Buffers for received data that are free now, as [`pool`](Self::pool) tells: asked for in every turn that receives.
    fn rx_free(&self) -> u32 {
        self.pool().rx_free
    }

    /// Payload buffers in all, and free: what [`share_copy`](Self::share_copy) and [`blank`](Self::blank) draw on.
    fn payload_pool(&self) -> (u32, u32);

    /// What the port counted.
    fn stats(&self) -> PortStats;

    /// A descriptor that becomes readable when frames arrive, where the port has one: a sleeping worker waits on it.
    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Hints that `place` will be read soon: the cache line that it begins in.
    fn prefetch<T>(place: &T) {
        let _ = place;
    }

    /// Hints that `byte` of a received frame will be read soon: its cache line, which this core may write to later, when it sends
    /// in the same buffer.
    fn prefetch_received(byte: &u8) {
        Self::prefetch(byte);
    }

    /// Hints that all of `place` will be read soon: every cache line of it.
    fn prefetch_lines<T>(place: &T) {
        let _ = place;
    }
}
