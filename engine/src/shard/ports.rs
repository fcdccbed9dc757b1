//! The ports of a worker: a queue pair of each, and what belongs to its link alone.
//!
//! The strong end-system model (RFC 1122 §3.3.4.2): an address belongs to one port. A packet is ours only if it came in where
//! its destination lives, and a connection's packets leave where its local address lives. So a record keeps the number of its
//! port, and nothing on the way of a packet looks an address up. What one port can't send, because its ring is full or its link
//! is down, holds up nothing of the others: each has its own list of debtors and its own backlog.

use std::ops::{Index, IndexMut};

use fourtuple_nic::Queue;

use super::limits::TX_BACKLOG;
use crate::host::{Host, Neighbours};
use crate::port_number::{MAX_PORTS, PortNumber};
use crate::shard::slot_list::SlotList;
use crate::shortage::Shortage;

/// What a port brings along when its worker starts.
#[derive(Debug)]
pub(crate) struct PortParts<Q: Queue> {
    pub(crate) queue: Q,
    /// Who we are on its link.
    pub(crate) host: Host,
    /// Largest IP packet, in bytes.
    pub(crate) mtu: u16,
    /// Receive buffers that must stay free: below it no SYN is answered, and established connections go on.
    pub(crate) low_water: u32,
}

/// One port as one worker has it.
pub(crate) struct AttachedPort<Q: Queue> {
    pub(crate) queue: Q,
    pub(crate) host: Host,
    pub(crate) neighbours: Neighbours<Q::Tx>,
    /// Largest IP packet, in bytes.
    pub(crate) mtu: u16,
    /// Frames that wait for the port's descriptor ring.
    pub(crate) tx: Vec<Q::Tx>,
    /// Connections and half-open ones of this port that owe something (D1).
    pub(crate) transmit: SlotList,
    pub(crate) low_water: u32,
    pub(crate) shortage: Shortage,
    /// A debtor found no frame when it was last its turn: nobody is to be paid before it.
    pub(crate) lacks_frames: bool,
}

impl<Q: Queue> AttachedPort<Q> {
    /// Reserves a backlog, room for `debtors` that owe something at a time, and a table of neighbours.
    pub(crate) fn new(parts: PortParts<Q>, debtors: usize, mut neighbours: Neighbours<Q::Tx>) -> Self {
        neighbours.keep(parts.host.addresses.gateways());
        Self {
            queue: parts.queue,
            host: parts.host,
            neighbours,
            mtu: parts.mtu,
            tx: Vec::with_capacity(TX_BACKLOG * 2),
            transmit: SlotList::with_capacity(debtors),
            low_water: parts.low_water,
            shortage: Shortage::default(),
            lacks_frames: false,
        }
    }

    /// No more frames are built before the port takes some.
    #[inline]
    pub(crate) fn is_backed_up(&self) -> bool {
        self.tx.len() >= TX_BACKLOG
    }

    /// Somebody owes something here, or the port has yet to take it.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.tx.is_empty() || !self.transmit.is_empty()
    }

    /// Hands what is built to the port, as far as it takes it; `true` when it took some.
    #[inline]
    pub(crate) fn flush(&mut self) -> bool {
        !self.tx.is_empty() && self.queue.tx_burst(&mut self.tx) > 0
    }
}

/// All ports of a worker; at least one.
pub(crate) struct Ports<Q: Queue>(Box<[AttachedPort<Q>]>);

impl<Q: Queue> Ports<Q> {
    /// At most [`MAX_PORTS`]; more are not attached to in the first place.
    pub(crate) fn new(ports: impl IntoIterator<Item = AttachedPort<Q>>) -> Self {
        Self(ports.into_iter().take(MAX_PORTS).collect())
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their numbers, in order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = PortNumber> + Clone + use<Q> {
        (0..self.0.len() as u8).map(PortNumber::nth)
    }

    /// The queues alone, for a test or a simulation that builds another shard on them.
    #[cfg(any(test, fuzzing, feature = "simulation"))]
    pub(crate) fn into_queues(self) -> impl Iterator<Item = Q> {
        self.0.into_iter().map(|port| port.queue)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, AttachedPort<Q>> {
        self.0.iter()
    }

    /// All of them, in order, for writing.
    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, AttachedPort<Q>> {
        self.0.iter_mut()
    }
}

impl<Q: Queue> Index<PortNumber> for Ports<Q> {
    type Output = AttachedPort<Q>;

    #[inline]
    fn index(&self, port: PortNumber) -> &AttachedPort<Q> {
        &self.0[port.place()]
    }
}

impl<Q: Queue> IndexMut<PortNumber> for Ports<Q> {
    #[inline]
    fn index_mut(&mut self, port: PortNumber) -> &mut AttachedPort<Q> {
        &mut self.0[port.place()]
    }
}
