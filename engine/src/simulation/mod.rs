//! Two engines' shards over the in-process NIC on virtual time, stepped from one seed (D11). For tests.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod allocations;
#[cfg(test)]
mod attack;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod conservation;
#[cfg(test)]
mod endpoints;
#[cfg(all(feature = "async", any(test, feature = "simulation")))]
#[cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, reason = "public for examples/exchange.rs")
)]
pub mod exchange;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod fragments;
#[cfg(not(fuzzing))]
mod fuzz;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod handing_off;
#[cfg(test)]
mod handing_off_full;
#[cfg(test)]
mod handler_calls;
mod handlers;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod let_go_late;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod options;
#[cfg(test)]
mod options_given;
#[cfg(test)]
mod options_obeyed;
#[cfg(test)]
mod permutations;
#[cfg(test)]
mod several_ports;
#[cfg(test)]
mod smoltcp;
#[cfg(test)]
mod steering;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod transfer;
#[cfg(any(test, feature = "simulation"))]
#[cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, dead_code, unused_imports, reason = "public for scripts/sim")
)]
pub mod whole;
#[cfg(test)]
mod zero_copy;

use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic::{Clock, OrdinaryPages, Queue, Reta, Toeplitz};
use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, VirtualClock, Wire, WireConditions};
use fourtuple_tcp::Profile;
use fourtuple_wire::Instant;

use crate::handler::Handler;
use crate::host::{Addresses, Host, Rates};
use crate::idle::Sleeper;
use crate::listener::Listen;
use crate::listener::ListenerId;
use crate::mesh::Mesh;
use crate::secrets::Secrets;
use crate::shard::listeners::{NewListener, deal};
use crate::shard::ports::AttachedPort;
use crate::shard::{Control, Done, Limits, PortParts, Shard, ShardParts, Steering};

/// All shards of one end.
pub(crate) struct Side<H: Handler<MemQueue>> {
    pub(crate) shards: Vec<Shard<MemQueue, H>>,
    pub(crate) sleepers: Vec<Arc<Sleeper>>,
    fresh: Vec<(u32, u32)>,
}

/// Two ends and the wire between them.
pub(crate) struct World<S: Handler<MemQueue>, C: Handler<MemQueue>> {
    pub(crate) server: Side<S>,
    pub(crate) client: Side<C>,
    pub(crate) wire: Wire,
    pub(crate) clock: VirtualClock,
}

/// What a world is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) conditions: WireConditions,
    pub(crate) server_workers: u16,
    pub(crate) connections: u32,
    pub(crate) profile: Profile,
    pub(crate) multi_seg: bool,
    /// Ports copy payload at once, as ring ports do.
    pub(crate) copies: bool,
    pub(crate) pools: u32,
    pub(crate) mesh_ring: usize,
    pub(crate) reassemble: bool,
    pub(crate) quiet_until: Instant,
    pub(crate) seed: u64,
    pub(crate) started: Instant,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            conditions: WireConditions {
                delay: Duration::from_micros(20),
                ..WireConditions::default()
            },
            server_workers: 1,
            connections: 256,
            profile: Profile::default().with(|profile| profile.msl = Duration::from_millis(100)),
            multi_seg: true,
            copies: false,
            pools: 2048,
            mesh_ring: 256,
            reassemble: true,
            quiet_until: Instant::ZERO,
            seed: 1,
            started: Instant::ZERO,
        }
    }
}

impl<H: Handler<MemQueue>> Side<H> {
    fn new(
        plan: &Plan,
        queues: Vec<MemQueue>,
        addresses: [&str; 2],
        seed: u64,
        make: impl FnMut(u16) -> H,
    ) -> Self {
        Self::on_ports(plan, vec![(queues, addresses)], seed, make)
    }

    /// On several ports: the queues and the addresses of each.
    fn on_ports(
        plan: &Plan,
        ports: Vec<(Vec<MemQueue>, [&str; 2])>,
        seed: u64,
        mut make: impl FnMut(u16) -> H,
    ) -> Self {
        let workers = ports[0].0.len() as u16;
        let secrets = Arc::new(Secrets::from_seed(seed));
        let steering = Arc::new(Steering {
            toeplitz: Toeplitz::new(secrets.rss),
            reta: Reta::round_robin(workers),
        });
        let sleepers: Vec<_> = (0..workers)
            .map(|_| Arc::new(Sleeper::new().expect("a descriptor")))
            .collect();
        let mut of_workers: Vec<Vec<PortParts<MemQueue>>> = (0..workers).map(|_| Vec::new()).collect();
        for (queues, addresses) in ports {
            let nets: Vec<ipnet::IpNet> = addresses
                .iter()
                .map(|net| net.parse().expect("a network"))
                .collect();
            for (queue, parts) in queues.into_iter().zip(&mut of_workers) {
                let mac = queue.promises().mac;
                parts.push(PortParts {
                    host: Host::new(Addresses::new(mac.0, &nets, &[]), &Rates::default(), None),
                    mtu: queue.promises().mtu,
                    low_water: queue.pool().rx_capacity / 16,
                    queue,
                });
            }
        }
        let fresh = of_workers
            .iter()
            .map(|parts| free(parts.iter().map(|port| &port.queue)))
            .collect();
        let shards = of_workers
            .into_iter()
            .zip(Mesh::all(&sleepers, plan.mesh_ring))
            .enumerate()
            .map(|(worker, (ports, mesh))| {
                let parts = ShardParts {
                    worker: worker as u16,
                    workers,
                    mesh,
                    steering: Arc::clone(&steering),
                    secrets: Arc::clone(&secrets),
                    limits: Limits {
                        connections: plan.connections,
                        half_open: plan.connections,
                        time_wait: plan.connections,
                        orphans: plan.connections,
                        reassemble: plan.reassemble,
                        ephemeral_ports: (49_152, 65_535),
                    },
                    ports,
                    v4: true,
                    v6: true,
                    profile: plan.profile.clone(),
                    quiet_until: plan.quiet_until,
                    started: plan.started,
                };
                Shard::new(parts, make(worker as u16), &OrdinaryPages)
            })
            .collect();
        Self {
            shards,
            sleepers,
            fresh,
        }
    }

    /// Listens on all workers, as the engine does.
    pub(crate) fn listen(&mut self, id: u16, listen: &Listen) -> ListenerId {
        let workers = self.shards.len() as u16;
        let done = Done::of(workers);
        for (worker, shard) in self.shards.iter_mut().enumerate() {
            let new = NewListener {
                id: ListenerId(id),
                share: deal(listen.backlog, workers, worker as u16),
                syn_share: deal(listen.syn_queue, workers, worker as u16).max(1),
                fast_open_share: deal(listen.fast_open, workers, worker as u16),
                listen: listen.clone(),
            };
            shard.work.control(Control::Listen(Box::new(new), done.clone()));
        }
        assert!(done.is_complete());
        ListenerId(id)
    }

    fn turn(&mut self, now: Instant) -> (bool, Instant) {
        let mut busy = false;
        let mut next = Instant::FAR_FUTURE;
        for shard in &mut self.shards {
            next = next.min(shard.turn(now));
            busy |= shard.was_busy();
        }
        (busy, next)
    }

    /// Every table, pool, wheel and list is as at the start, and every packet has its verdict.
    #[track_caller]
    pub(crate) fn assert_as_at_start(&mut self) {
        for (shard, (rx_free, tx_free)) in self.shards.iter_mut().zip(&self.fresh) {
            let counters = shard.counters().clone();
            let verdicts = counters.consumed + counters.steered_out + counters.dropped.sum();
            assert_eq!(
                counters.rx_packets + counters.steered_in,
                verdicts,
                "every packet has one verdict"
            );
            let work = &shard.work;
            assert_eq!(work.records.connections(), 0, "connections");
            assert_eq!(work.records.half_open(), 0, "half-open");
            assert_eq!(work.records.time_wait(), 0, "TIME_WAIT");
            assert_eq!(work.records.table.len(), 0, "table");
            assert_eq!(work.orphans, 0, "orphans");
            assert_eq!(
                counters.by_state.as_slice().iter().sum::<u64>(),
                0,
                "connections by state"
            );
            let in_use = work.pools.in_use();
            assert_eq!(
                (in_use.send_chunks, in_use.receive_chunks, in_use.flights),
                (0, 0, 0),
                "TCP's pools"
            );
            assert!(
                work.deliver.is_empty() && !work.ports.iter().any(AttachedPort::has_unsent),
                "lists"
            );
            let now_free = free(work.ports.iter().map(|port| &port.queue));
            assert_eq!(now_free, (*rx_free, *tx_free), "buffers");
        }
    }
}

/// Free receive and transmit buffers of several queues together.
fn free<'a>(queues: impl Iterator<Item = &'a MemQueue>) -> (u32, u32) {
    queues.fold((0, 0), |(rx, tx), queue| {
        (rx + queue.pool().rx_free, tx + queue.pool().tx_free)
    })
}

impl<S: Handler<MemQueue>, C: Handler<MemQueue>> World<S, C> {
    /// A server at 10.0.0.1 and fd00::1, a client at 10.0.0.2 and fd00::2.
    pub(crate) fn new(plan: &Plan, server: impl FnMut(u16) -> S, client: impl FnMut(u16) -> C) -> Self {
        let clock = VirtualClock::new();
        let options = |queues| MemOptions {
            queues,
            multi_seg: plan.multi_seg,
            copies: plan.copies,
            receive_pool: plan.pools,
            payload_pool: plan.pools,
            transmit_pool: plan.pools,
            ..MemOptions::default()
        };
        let mut ends = [options(plan.server_workers), options(1)];
        ends[0].mac.0[5] = 0x0a;
        ends[1].mac.0[5] = 0x0b;
        ends[0].mac.0[0] = 2;
        ends[1].mac.0[0] = 2;
        let (mut a, mut b) = MemPort::join(ends, [plan.conditions; 2], &clock, plan.seed);
        let wire = a.wire();
        Self {
            server: Side::new(
                plan,
                a.take_queues(),
                ["10.0.0.1/24", "fd00::1/64"],
                plan.seed,
                server,
            ),
            client: Side::new(
                plan,
                b.take_queues(),
                ["10.0.0.2/24", "fd00::2/64"],
                plan.seed + 1,
                client,
            ),
            wire,
            clock,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.now_ns())
    }

    /// One turn of every shard; moves time to the next thing that happens when none did anything. `false`: nothing will.
    pub(crate) fn step(&mut self) -> bool {
        let now = self.now();
        let (busy_one, next_one) = self.server.turn(now);
        let (busy_other, next_other) = self.client.turn(now);
        if busy_one || busy_other {
            self.clock.advance(Duration::from_nanos(500));
            return true;
        }
        let arrival = self
            .wire
            .next_event_ns()
            .map_or(Instant::FAR_FUTURE, Instant::from_nanos);
        let next = next_one.min(next_other).min(arrival);
        if next == Instant::FAR_FUTURE {
            return false;
        }
        self.clock.advance_to(next.as_nanos().max(now.as_nanos() + 1_000));
        true
    }

    /// Steps until `done`, for at most `span` of virtual time.
    #[track_caller]
    pub(crate) fn run_until(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now() + span;
        while !done(self) {
            assert!(self.now() < end, "not done after {span:?} of virtual time");
            if !self.step() {
                self.clock.advance(Duration::from_millis(1));
            }
        }
    }

    /// Steps for a span of virtual time.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now() + span;
        while self.now() < end {
            if !self.step() {
                self.clock.advance_to(end.as_nanos());
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_as_at_start(&mut self) {
        self.server.assert_as_at_start();
        self.client.assert_as_at_start();
    }
}
