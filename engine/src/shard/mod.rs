//! The protocol state that one worker owns, and its turn.
//!
//! A shard is stepped: [`Shard::turn`] contains no thread, clock, park or system call of its own (D11). A worker is a thin
//! thread round it; tests and simulations step several of them from one seed.

mod alarms;
mod answer;
mod calls;
mod commands;
mod connection;
mod control;
mod cookies;
mod deliver;
pub(crate) mod fast_open;
mod fragments;
mod half_open;
mod handed;
pub(crate) mod limits;
pub(crate) mod listeners;
mod listening;
mod moving;
mod path_errors;
mod plain;
pub(crate) mod ports;
pub(crate) mod profiles;
mod receive;
mod retire;
pub(crate) mod scan;
pub(crate) mod slot_list;
#[cfg(feature = "staged")]
pub mod staged;
mod states;
mod timers;
mod train;
mod transmit;
pub(crate) mod work;

use std::sync::Arc;

use fourtuple_nic::{HugePages, Queue};
use fourtuple_tcp::{PoolSizes, Pools, Profile};
use fourtuple_wire::Instant;

pub use calls::{ConnectOptions, WorkerCalls};
pub use connection::{Connection, ReceivedBytes, SharedBytes};
pub(crate) use control::{Control, Done};
pub(crate) use limits::Limits;
pub(crate) use ports::PortParts;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use work::Refused;
pub(crate) use work::{Steering, Work};

use crate::ConnId;
use crate::handler::Handler;
use crate::handoff::{Hub, HubLimits};
use crate::host::Neighbours;
use crate::mesh::Mesh;
use crate::records::{RecordLimits, Records};
use crate::secrets::Secrets;
use crate::shard::fragments::Pieces;
use crate::shard::ports::{AttachedPort, Ports};
use crate::shard::profiles::Profiles;
use crate::shard::receive::{Burst, receive};
use crate::shard::slot_list::SlotList;
use crate::shard::states::States;
use crate::stats::Counters;
use crate::wheel::Wheel;

/// What a shard is made of.
pub(crate) struct ShardParts<Q: Queue> {
    pub(crate) worker: u16,
    pub(crate) workers: u16,
    /// At least one; on all workers the same ones in the same order.
    pub(crate) ports: Vec<PortParts<Q>>,
    pub(crate) mesh: Mesh<Q>,
    pub(crate) steering: Arc<Steering>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) limits: Limits,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Options of connections that were given none.
    pub(crate) profile: Profile,
    pub(crate) quiet_until: Instant,
    pub(crate) started: Instant,
}

/// The protocol state that one worker owns, with the application's handler.
pub(crate) struct Shard<Q: Queue, H: Handler<Q>> {
    pub(crate) work: Work<Q>,
    handler: H,
    states: States<H::State>,
    burst: Burst<Q>,
    due: Vec<u32>,
}

impl<Q: Queue, H: Handler<Q>> Shard<Q, H> {
    /// Reserves and touches everything that the shard will ever use (D6).
    pub(crate) fn new(parts: ShardParts<Q>, handler: H, pages: &dyn HugePages) -> Self {
        let limits = parts.limits;
        let records = RecordLimits {
            connections: limits.connections,
            half_open: limits.half_open,
            time_wait: limits.time_wait,
            v4: parts.v4,
            v6: parts.v6,
        };
        let families = usize::from(parts.v4) + usize::from(parts.v6);
        let wanted = |family| if family { limits.connections } else { 0 };
        let entries = families * (limits.connections as usize * 2 + limits.half_open as usize * 2) + 4096;
        // One of each connection is what most have; a far one beside it, and those of half-open ones, few have.
        let entries_ready = families * limits.connections as usize;
        // Every place stands on a list once at most.
        let list = families * limits.connections as usize;
        let debtors = list + families * limits.half_open as usize;
        let capacities = || parts.ports.iter().map(|port| port.queue.pool().rx_capacity);
        let sizes = pool_sizes(&limits, capacities().sum());
        // What is lent may all be one port's: that one's bound holds for the sum.
        let payload = parts.ports.first().map_or(0, |port| port.queue.payload_pool().0);
        let hub = HubLimits::for_pools(capacities().min().unwrap_or(0), payload);
        let smallest = capacities().min().unwrap_or(0);
        let pieces = Pieces::new(limits.reassemble, smallest, parts.secrets.ports);
        let neighbours = || Neighbours::new(NEIGHBOURS, &neighbour_key(&parts.secrets));
        let attached = |port| AttachedPort::new(port, debtors, neighbours());
        let states = States::new(wanted(parts.v4), wanted(parts.v6), pages);
        let work = Work {
            worker: parts.worker,
            workers: parts.workers,
            now: parts.started,
            records: Records::new(&records, parts.secrets.table, pages),
            pools: Pools::new(&sizes),
            profiles: Profiles::new(parts.profile),
            wheel: Wheel::with_ready(entries, entries_ready, crate::tick::tick_of(parts.started)),
            listeners: listeners::Listeners::default(),
            hub: Hub::new(parts.worker, hub),
            ports: Ports::new(parts.ports.into_iter().map(attached)),
            pieces,
            limits,
            mesh: parts.mesh,
            steering: parts.steering,
            fast_open: fast_open::Cookies::new(),
            port_cursor: parts.secrets.first_port(),
            secrets: parts.secrets,
            counters: Counters::default(),
            deliver: SlotList::with_capacity(list),
            retire: SlotList::with_capacity(list),
            held_up: SlotList::of(ConnId::BLANK, list),
            retry: 0,
            starved: SlotList::with_capacity(list),
            starved_until: Instant::ZERO,
            in_hand: None,
            called_for: None,
            sweep: None,
            scans: scan::Scans::default(),
            orphans: 0,
            quiet_until: parts.quiet_until,
            draining: false,
            wake_at: None,
            #[cfg(any(test, feature = "simulation"))]
            refused: Vec::with_capacity(64),
            #[cfg(any(test, feature = "simulation"))]
            opened_fast: Vec::with_capacity(64),
            alarms: alarms::Alarms::new(list),
            handed_off: Vec::with_capacity(limits::DELIVER_BUDGET),
            busy: false,
        };
        let burst = Burst::new(work.ports.len());
        Self {
            work,
            handler,
            states,
            burst,
            due: Vec::with_capacity(limits::TIMER_BUDGET),
        }
    }

    /// One turn at `now`; returns when the next is due if nothing arrives before.
    pub(crate) fn turn(&mut self, now: Instant) -> Instant {
        let work = &mut self.work;
        work.now = now;
        work.busy = false;
        receive(work, &mut self.burst);
        work.commands();
        work.scan();
        work.timers(&mut self.due);
        deliver::deliver(work, &mut self.handler, &mut self.states);
        deliver::finish(work, &mut self.handler, &mut self.states);
        work.transmit();
        work.retire(|_, slot| self.states.reset(slot));
        work.hub.finish_turn();
        work.mesh.finish_turn();
        if !work.busy {
            work.ports.iter_mut().for_each(|port| port.queue.reclaim());
        }
        work.next_deadline()
    }

    /// The last turn did something.
    pub(crate) fn was_busy(&self) -> bool {
        self.work.busy
    }

    /// Something waits that came from another thread: a sleeper looks once more before it sleeps.
    pub(crate) fn has_work(&self) -> bool {
        self.work.hub.has_work() || self.work.mesh.has_work()
    }

    /// The handler, and what its calls act on, between turns.
    #[cfg(feature = "stepped")]
    pub(crate) fn parts(&mut self) -> (&mut H, &mut Work<Q>, &mut States<H::State>) {
        (&mut self.handler, &mut self.work, &mut self.states)
    }

    /// A command waits for room in a connection's queue, which nobody rings for.
    pub(crate) fn has_held_commands(&self) -> bool {
        self.work.hub.has_held()
    }

    /// Frames wait to be built or to be taken by a port, or a scan goes on that may bring some.
    pub(crate) fn has_unsent(&self) -> bool {
        self.work.has_unsent()
    }

    /// The counters with all gauges up to date.
    pub(crate) fn counters(&mut self) -> &Counters {
        self.work.refresh_gauges();
        &self.work.counters
    }
}

/// Neighbours that a worker remembers of one port.
const NEIGHBOURS: u16 = 1024;

fn neighbour_key(secrets: &Secrets) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&secrets.table.0.to_le_bytes());
    key[8..].copy_from_slice(&secrets.ports.1.to_le_bytes());
    key
}

/// Chunks for send and receive queues. Every receive buffer can be queued once; send chunks are bounded by what connections may
/// queue, and by the buffers that there are.
fn pool_sizes(limits: &Limits, buffers: u32) -> PoolSizes {
    PoolSizes {
        send_chunks: buffers.saturating_mul(2).max(1024),
        receive_chunks: buffers,
        reassemblies: (limits.connections / 4).clamp(64, 65_536),
        flights: (limits.connections / 4).clamp(64, 65_536),
        // Eight kilobytes each: two megabytes at most.
        long_scoreboards: (limits.connections / 64).clamp(4, 256),
        asides: (limits.connections / 4).clamp(64, 65_536),
    }
}
