//! One shard over any queue, or several of one engine, whose turn can be taken stage by stage, for programs that measure it
//! (feature `staged`, off by default).
//!
//! The stages are those of [`Shard::turn`], in the same order; nothing is measured here. Nothing in it is for production; it may
//! change in any version.

use std::sync::Arc;

use fourtuple_nic::{HugePages, Queue, Reta, Toeplitz};
use fourtuple_tcp::Profile;
use fourtuple_wire::{Family, FourTuple, Instant};
use ipnet::IpNet;

use super::deliver;
use super::listeners::{NewListener, deal};
use super::receive::receive;
use super::{Control, Done, Limits, PortParts, Shard, ShardParts, Steering, WorkerCalls};
use crate::conn_id::{SlotKind, SlotRef};
use crate::handler::Handler;
use crate::handoff::{Endpoint, EndpointLimits, Listener, pair};
use crate::host::{Addresses, Host, Rates};
use crate::idle::Sleeper;
use crate::listener::{Listen, ListenerId};
use crate::mesh::Mesh;
use crate::port_number::PortNumber;
use crate::secrets::Secrets;

/// What a staged shard is made of.
#[derive(Clone, Debug)]
pub struct StagedOptions {
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Options of connections that were given none.
    pub profile: Profile,
    /// All secrets are made of it: the same seed, the same sequence numbers and ports.
    pub seed: u64,
    /// Most connections.
    pub connections: u32,
    /// Most half-open connections.
    pub half_open: u32,
    /// Most TIME_WAIT records.
    pub time_wait: u32,
    /// First and last ephemeral port.
    pub ephemeral_ports: (u16, u16),
}

/// One shard with a handler, stepped by its owner.
pub struct Staged<Q: Queue, H: Handler<Q>> {
    shard: Shard<Q, H>,
    sleepers: Arc<[Arc<Sleeper>]>,
}

impl<Q: Queue, H: Handler<Q>> std::fmt::Debug for Staged<Q, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged").finish_non_exhaustive()
    }
}

/// What the first part of a look-up leaves for the second.
#[derive(Debug)]
pub struct Hint(u64, Option<SlotRef>);

/// Bytes that a shard reserved, by what they are for.
pub type Reserved = Vec<(&'static str, usize)>;

impl<Q: Queue, H: Handler<Q>> Staged<Q, H> {
    /// A shard at instant zero, without connections.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptor left.
    pub fn new(
        options: &StagedOptions,
        queue: Q,
        handler: H,
        pages: &dyn HugePages,
    ) -> std::io::Result<Self> {
        let mut one = Self::group(options, vec![(queue, handler)], pages)?;
        one.pop().ok_or_else(|| std::io::Error::other("no worker"))
    }

    /// The shards of all workers of an engine, whose port gives each frame to its owner.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptor left.
    pub fn group(
        options: &StagedOptions,
        workers: Vec<(Q, H)>,
        pages: &dyn HugePages,
    ) -> std::io::Result<Vec<Self>> {
        let secrets = Arc::new(Secrets::from_seed(options.seed));
        let sleepers = workers.iter().map(|_| Sleeper::new().map(Arc::new));
        let sleepers: Arc<[_]> = sleepers.collect::<Result<_, _>>().map_err(std::io::Error::from)?;
        let steering = Arc::new(Steering {
            toeplitz: Toeplitz::new(secrets.rss),
            reta: Reta::round_robin(workers.len() as u16),
        });
        let meshes = Mesh::all(&sleepers, MESH_RING);
        let shards = workers.into_iter().zip(meshes).enumerate();
        Ok(shards
            .map(|(worker, ((queue, handler), mesh))| {
                let of_all = (&secrets, &steering, sleepers.len() as u16);
                let parts = parts(options, worker as u16, of_all, queue, mesh);
                Self {
                    shard: Shard::new(parts, handler, pages),
                    sleepers: Arc::clone(&sleepers),
                }
            })
            .collect())
    }

    /// The worker that owns this four-tuple: its port would give it the frames.
    pub fn owner(&self, tuple: &FourTuple) -> u16 {
        self.shard.work.steering.owner(tuple)
    }

    /// An endpoint of an engine that has this worker alone.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptor left.
    pub fn endpoint(&mut self, limits: &EndpointLimits) -> std::io::Result<Endpoint<Q>> {
        let sleeper = Arc::new(Sleeper::new().map_err(std::io::Error::from)?);
        // What a dropped endpoint leaves behind goes with the program.
        let estates = std::sync::mpsc::channel().0;
        let (core, ends) = pair(&self.sleepers, limits, Arc::clone(&sleeper), estates);
        for end in ends {
            self.shard.work.control(Control::Attach(Box::new(end)));
        }
        Ok(Endpoint::new(core, sleeper))
    }

    /// Listens for endpoints under this number, which no other listener may have.
    pub fn listen_for_endpoints(&mut self, number: u16, listen: Listen) -> Listener {
        let (port, backlog) = (listen.port, listen.backlog);
        Listener::new(self.listen(number, &listen.for_endpoints()), port, backlog)
    }

    /// Listens under this number, which no other listener may have.
    pub fn listen(&mut self, number: u16, listen: &Listen) -> ListenerId {
        let new = NewListener {
            id: ListenerId(number),
            share: deal(listen.backlog, 1, 0),
            syn_share: deal(listen.syn_queue, 1, 0).max(1),
            fast_open_share: 0,
            listen: listen.clone(),
        };
        self.shard
            .work
            .control(Control::Listen(Box::new(new), Done::of(1)));
        ListenerId(number)
    }

    /// A whole turn; returns when the next is due if nothing arrives before.
    #[inline]
    pub fn turn(&mut self, now: Instant) -> Instant {
        self.shard.turn(now)
    }

    /// A turn's first stage, at this time.
    #[inline]
    pub fn receive(&mut self, now: Instant) {
        self.shard.work.now = now;
        self.shard.work.busy = false;
        receive(&mut self.shard.work, &mut self.shard.burst);
    }

    /// Commands, scans and deadlines.
    #[inline]
    pub fn timers(&mut self) {
        self.shard.work.commands();
        self.shard.work.scan();
        self.shard.work.timers(&mut self.shard.due);
    }

    /// The handler's calls.
    #[inline]
    pub fn deliver(&mut self) {
        let Shard {
            work,
            handler,
            states,
            ..
        } = &mut self.shard;
        deliver::deliver(work, handler, states);
        deliver::finish(work, handler, states);
    }

    /// Debts become frames.
    #[inline]
    pub fn transmit(&mut self) {
        self.shard.work.transmit();
    }

    /// What is left of a turn.
    #[inline]
    pub fn finish(&mut self) -> Instant {
        let Shard { work, states, .. } = &mut self.shard;
        work.retire(|_, slot| states.reset(slot));
        work.hub.finish_turn();
        work.mesh.finish_turn();
        work.next_deadline()
    }

    /// Hashes all of a burst, asks for the records, then finds each; returns how many have a record.
    #[inline]
    pub fn look_up(&self, burst: &[FourTuple], hints: &mut Vec<Hint>) -> usize {
        let records = &self.shard.work.records;
        hints.clear();
        for tuple in burst {
            let hash = records.table.hash(tuple);
            hints.push(Hint(hash, records.candidate(hash)));
        }
        let found = |(tuple, hint): (&FourTuple, &Hint)| records.find_hinted(hint.1, hint.0, tuple).is_some();
        burst.iter().zip(hints.iter()).filter(|pair| found(*pair)).count()
    }

    /// The queue of the shard's port.
    pub fn queue(&mut self) -> &mut Q {
        &mut self.shard.work.ports[PortNumber::FIRST].queue
    }

    /// Does something as the application would on its worker.
    pub fn call<R>(&mut self, act: impl FnOnce(&mut H, &mut WorkerCalls<'_, Q, H::State>) -> R) -> R {
        let Shard {
            work,
            handler,
            states,
            ..
        } = &mut self.shard;
        act(handler, &mut WorkerCalls { work, states })
    }

    /// Connections, half-open connections and TIME_WAIT records now.
    pub fn records(&self) -> (u32, u32, u32) {
        let records = &self.shard.work.records;
        (records.connections(), records.half_open(), records.time_wait())
    }

    /// Segments that took the fast path, and all that came.
    pub fn predicted(&self) -> (u64, u64) {
        let tcp = &self.shard.work.counters.tcp;
        (tcp.predicted, tcp.segments_in)
    }

    /// Bytes reserved, by what they are for.
    pub fn reserved(&self) -> Reserved {
        let work = &self.shard.work;
        let mut parts = work.records.reserved_parts();
        parts.push(("wheel", work.wheel.reserved_bytes()));
        parts.push(("pools of TCP", work.pools.reserved_bytes()));
        parts.push(("lists of a turn", work.lists_reserved_bytes()));
        parts
    }

    /// Places of connections of IPv4.
    pub fn capacity(&self) -> u32 {
        self.shard.work.records.filled(SlotKind::Tcb, Family::V4).1
    }
}

/// What a worker's shard is made of; `of_all` is what all of them have, and how many they are.
fn parts<Q: Queue>(
    options: &StagedOptions,
    worker: u16,
    of_all: (&Arc<Secrets>, &Arc<Steering>, u16),
    queue: Q,
    mesh: Mesh<Q>,
) -> ShardParts<Q> {
    let (secrets, steering, workers) = of_all;
    let promises = queue.promises();
    let addresses = Addresses::new(promises.mac.0, &options.addresses, &[]);
    let of_family = |v4: bool| options.addresses.iter().any(|net| net.addr().is_ipv4() == v4);
    ShardParts {
        worker,
        workers,
        ports: vec![PortParts {
            host: Host::new(addresses, &Rates::default(), None),
            mtu: promises.mtu,
            low_water: queue.pool().rx_capacity / 16,
            queue,
        }],
        mesh,
        steering: Arc::clone(steering),
        limits: Limits {
            connections: options.connections,
            half_open: options.half_open,
            time_wait: options.time_wait,
            orphans: options.connections,
            reassemble: true,
            ephemeral_ports: options.ephemeral_ports,
        },
        secrets: Arc::clone(secrets),
        v4: of_family(true),
        v6: of_family(false),
        profile: options.profile.clone(),
        quiet_until: Instant::ZERO,
        started: Instant::ZERO,
    }
}

/// The timer wheel by itself.
#[derive(Debug)]
pub struct Timers(crate::wheel::Wheel);

impl Timers {
    /// A wheel for so many entries that stands at tick zero.
    pub fn new(capacity: usize) -> Self {
        Self(crate::wheel::Wheel::new(capacity, 0))
    }

    /// Enters a name for a tick.
    #[inline]
    pub fn arm(&mut self, name: u32, tick: u32) -> bool {
        self.0.arm(name, tick).is_some()
    }

    /// Takes out what is due, at most `budget`.
    #[inline]
    pub fn advance(&mut self, now: u32, budget: usize, due: &mut Vec<u32>) {
        self.0.advance(now, budget, due);
    }
}

const MESH_RING: usize = 16;
