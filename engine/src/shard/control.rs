//! What the engine tells its workers: new listeners, endpoints, draining. Over one SPSC ring each; never on the way of a packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fourtuple_nic::{PoolGauge, Queue};

use super::listeners::NewListener;
use super::ports::AttachedPort;
use super::scan::Act;
use super::slot_list::SlotList;
use super::work::Work;
use crate::handoff::WorkerEnd;
use crate::host::NeighbourCounts;
use crate::listener::ListenerId;
use crate::stats::Counters;

/// A message of the engine to a worker.
pub(crate) enum Control<Q: Queue> {
    /// Listen. The counter falls when it is done.
    Listen(Box<NewListener>, Done),
    /// Stop listening; accepted connections stay.
    Unlisten(ListenerId, Done),
    /// An endpoint wants its connections' events.
    Attach(Box<WorkerEnd<Q>>),
    /// No new connections; those that are there are asked to finish.
    Drain(Done),
    /// RST for every connection that is left.
    AbortAll(Done),
}

/// Counts the workers that have not done something yet.
#[derive(Clone, Debug)]
pub(crate) struct Done(Arc<AtomicU32>);

impl Done {
    /// For so many workers.
    pub(crate) fn of(workers: u16) -> Self {
        Self(Arc::new(AtomicU32::new(u32::from(workers))))
    }

    /// One worker has done it.
    pub(super) fn count(&self) {
        // Pairs with the Acquire of `is_complete`: what the worker did is seen by who waited.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// All have.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl<Q: Queue> Work<Q> {
    /// Does what the engine says.
    pub(crate) fn control(&mut self, message: Control<Q>) {
        match message {
            Control::Listen(new, done) => {
                let profile = new.listen.profile_over(&self.profiles[0]);
                let profile = self.profiles.hold_for_listener(&profile);
                self.listeners.add(&new, profile);
                done.count();
            }
            Control::Unlisten(id, done) => {
                if let Some(listener) = self.listeners.remove(id) {
                    self.profiles.release(listener.profile);
                }
                self.hub.forget_listener(id);
                self.scans.begin(Act::Unlisten(id), Some(done));
            }
            Control::Attach(end) => {
                // No place left: dropping the end tells the endpoint that this worker is not there for it.
                let _refused = self.hub.attach(*end);
            }
            Control::Drain(done) => {
                self.draining = true;
                self.scans.begin(Act::Drain, Some(done));
            }
            Control::AbortAll(done) => self.scans.begin(Act::Abort, Some(done)),
        }
    }

    /// Bytes that the lists have taken on which places of records stand.
    pub(crate) fn lists_reserved_bytes(&self) -> usize {
        let lists = [&self.deliver, &self.retire, &self.starved];
        let debtors = self.ports.iter().map(|port| port.transmit.reserved_bytes());
        lists.map(SlotList::reserved_bytes).iter().sum::<usize>()
            + debtors.sum::<usize>()
            + self.held_up.reserved_bytes()
            + self.alarms.reserved_bytes()
    }

    /// Writes what is measured rather than counted into the counters.
    pub(crate) fn refresh_gauges(&mut self) {
        let pools = || self.ports.iter().map(|port| port.queue.pool());
        let sum = |count: fn(&PoolGauge) -> u32| pools().map(|pool| u64::from(count(&pool))).sum();
        let [rx_buffers, rx_buffers_free] = [sum(|pool| pool.rx_capacity), sum(|pool| pool.rx_free)];
        let [tx_buffers, tx_buffers_free] = [sum(|pool| pool.tx_capacity), sum(|pool| pool.tx_free)];
        let in_use = self.pools.in_use();
        let hub = self.hub.status();
        let lists = self.lists_reserved_bytes();
        let counters = &mut self.counters;
        counters.syn_queue = u64::from(self.records.half_open());
        counters.accept_queue = self
            .listeners
            .iter()
            .map(|listener| u64::from(listener.waiting))
            .sum();
        let pending = self
            .listeners
            .iter()
            .map(|listener| u64::from(listener.fast_open.len()));
        counters.fast_opens_pending = pending.sum();
        counters.connections = u64::from(self.records.connections());
        counters.time_wait = u64::from(self.records.time_wait());
        counters.timers = self.wheel.len() as u64;
        refresh_neighbours(counters, self.ports.iter());
        let reassembly = self.pieces.reassembler.counts();
        counters.fragments_held = self.pieces.reassembler.held() as u64;
        counters.reassembly_expired = reassembly.expired;
        counters.reassembly_evicted = reassembly.evicted;
        counters.reassembly_spoiled = reassembly.spoiled;
        counters.lent_chunks = u64::from(hub.lent);
        counters.lend_refused = hub.lend_refused;
        counters.rx_buffers = rx_buffers;
        counters.rx_buffers_free = rx_buffers_free;
        counters.tx_buffers = tx_buffers;
        counters.tx_buffers_free = tx_buffers_free;
        counters.send_chunks = u64::from(in_use.send_chunks);
        counters.receive_chunks = u64::from(in_use.receive_chunks);
        counters.flights = u64::from(in_use.flights);
        counters.reserved_bytes = (self.records.reserved_bytes()
            + self.wheel.reserved_bytes()
            + lists
            + self.pools.reserved_bytes()
            + self.pieces.reserved_bytes()) as u64;
    }
}

/// What the tables of neighbours did, all ports together.
fn refresh_neighbours<'a, Q: Queue>(
    counters: &mut Counters,
    ports: impl Iterator<Item = &'a AttachedPort<Q>> + Clone,
) {
    let sum =
        |count: fn(&NeighbourCounts) -> u64| ports.clone().map(|port| count(&port.neighbours.counts())).sum();
    counters.neighbours = ports.clone().map(|port| port.neighbours.len() as u64).sum();
    counters.neighbour_solicits = sum(|counts| counts.solicits);
    counters.neighbours_resolved = sum(|counts| counts.resolved);
    counters.neighbours_failed = sum(|counts| counts.failed);
    counters.neighbours_evicted = sum(|counts| counts.evicted);
    counters.neighbours_disbelieved = sum(|counts| counts.disbelieved);
    counters.address_conflicts = ports.map(|port| port.host.conflicts.count()).sum();
}
