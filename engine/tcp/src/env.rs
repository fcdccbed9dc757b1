//! What every call is given from outside: time, options, cold state, counters. TCP reads no clock and owns no memory.

use fourtuple_wire::{Instant, Payload, Received};

use crate::aside::Aside;
use crate::flight::Flight;
use crate::pool::Pool;
use crate::reassembly::Reassembly;
use crate::receive_queue::ReceiveNode;
use crate::scoreboard::Spares;
use crate::send_queue::SendNode;
use crate::{Profile, TcpCounters};

/// Which buffers a TCB holds.
pub trait Buffers: 'static {
    /// Received payload: unique, trimmed, charged by its space.
    type Rx: Received;
    /// Payload to send: shared, kept until it is acknowledged.
    type Tx: Payload;
}

/// What a call is given.
pub struct Env<'a, B: Buffers> {
    /// The time of this turn.
    pub now: Instant,
    /// Options of the connection.
    pub profile: &'a Profile,
    /// Cold state of the shard.
    pub pools: &'a mut Pools<B>,
    /// Counts of the worker.
    pub counters: &'a mut TcpCounters,
}

impl<B: Buffers> Env<'_, B> {
    /// The millisecond tick on its circle.
    #[inline]
    pub(crate) fn tick(&self) -> u32 {
        self.now.as_millis() as u32
    }
}

/// Cold state of all connections of a shard, fixed in number and addressed by `u32`: [`Pools::new`] allocates everything.
///
/// What lies beside chunks is touched at start for a thousand connections at most. More than those are seldom used, and take memory
/// when they are (ADR 0022).
pub struct Pools<B: Buffers> {
    pub(crate) send: Pool<SendNode<B::Tx>>,
    pub(crate) receive: Pool<ReceiveNode<B::Rx>>,
    pub(crate) reassemblies: Pool<Reassembly>,
    pub(crate) flights: Pool<Flight>,
    pub(crate) long_scoreboards: Spares,
    pub(crate) asides: Pool<Aside>,
}

/// Connections for which there are flights and holes from the start: a flight alone takes 1.6 kB.
const READY: u32 = 1024;

/// How many pieces of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSizes {
    /// Chunks queued for sending beyond the first of each connection.
    pub send_chunks: u32,
    /// Chunks received and not yet taken by the application, in order or not.
    pub receive_chunks: u32,
    /// Connections that may have a hole in what they received; beyond, segments out of order are dropped.
    pub reassemblies: u32,
    /// Connections of which it may be kept what is outstanding, when it was sent and what of it was SACKed; beyond, loss is
    /// recovered without (RFC 6582).
    pub flights: u32,
    /// Of those, connections that may remember hundreds of holes at a time; beyond, what was SACKed is sent again.
    pub long_scoreboards: u32,
    /// Connections that may have urgent data under way or look for their path's MTU; beyond, urgent data is data.
    pub asides: u32,
}

/// How many pieces are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolsInUse {
    /// Of [`PoolSizes::send_chunks`].
    pub send_chunks: u32,
    /// Of [`PoolSizes::receive_chunks`].
    pub receive_chunks: u32,
    /// Of [`PoolSizes::reassemblies`].
    pub reassemblies: u32,
    /// Of [`PoolSizes::flights`].
    pub flights: u32,
    /// Of [`PoolSizes::long_scoreboards`].
    pub long_scoreboards: u32,
    /// Of [`PoolSizes::asides`].
    pub asides: u32,
}

impl<B: Buffers> Pools<B> {
    /// Reserves all of it.
    pub fn new(sizes: &PoolSizes) -> Self {
        Self {
            send: Pool::new(sizes.send_chunks),
            receive: Pool::new(sizes.receive_chunks),
            reassemblies: Pool::with_ready(sizes.reassemblies, sizes.receive_chunks.min(READY)),
            flights: Pool::with_ready(sizes.flights, sizes.send_chunks.min(READY)),
            long_scoreboards: Spares::new(sizes.long_scoreboards),
            asides: Pool::with_ready(sizes.asides, sizes.receive_chunks.min(READY)),
        }
    }

    /// Bytes taken from the system so far.
    pub fn reserved_bytes(&self) -> usize {
        self.send.reserved_bytes()
            + self.receive.reserved_bytes()
            + self.reassemblies.reserved_bytes()
            + self.flights.reserved_bytes()
            + self.long_scoreboards.reserved_bytes()
            + self.asides.reserved_bytes()
    }

    /// What is taken now.
    pub fn in_use(&self) -> PoolsInUse {
        PoolsInUse {
            send_chunks: self.send.in_use(),
            receive_chunks: self.receive.in_use(),
            reassemblies: self.reassemblies.in_use(),
            flights: self.flights.in_use(),
            long_scoreboards: self.long_scoreboards.in_use(),
            asides: self.asides.in_use(),
        }
    }
}

impl<B: Buffers> std::fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pools").field(&self.in_use()).finish()
    }
}
