//! One host: its shards, its endpoints, and how both begin and end.

use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::{DropReason, Instant};

use super::checks::{self, Watch};
use super::draw::Draw;
use super::on_endpoint::OnEndpoint;
use super::on_worker::{OnWorker, Shared};
use super::plan::WorldPlan;
use super::script::{Conversation, Seat, Way, port_of};
use super::{MS, frames, ledger};
use crate::handoff::{EndpointLimits, Listener};
use crate::listener::{Delivery, Listen};
use crate::shard::{Control, Shard};
use crate::simulation::{Plan, Side};
use crate::stats::PLAIN;

/// A host under way.
pub(super) struct Host {
    at: usize,
    side: Side<OnWorker>,
    watches: Vec<Watch>,
    /// By worker: it is not stepped before then.
    stalled: Vec<u64>,
    /// Workers sleep until they have something to do, as the engine's do.
    sleeps: bool,
    /// By worker: when it wants its next turn, by the host's clock, and when it had its last, by the world's.
    rests: Vec<(Instant, u64)>,
    endpoints: Vec<OnEndpoint>,
    /// Those that were dropped.
    gone: Vec<OnEndpoint>,
    /// By worker: free buffers at the very beginning.
    fresh: Vec<[u32; 3]>,
    /// How often it began anew, and endpoints of it.
    beginnings: u64,
    shared: Shared,
    /// Panics of handlers in former lives.
    panics: u64,
    /// Who did something in the last step, by bit: workers, then endpoints.
    pub(super) busy: u64,
}

impl Host {
    /// `queues`: by port, then by worker.
    pub(super) fn new(at: usize, plan: &WorldPlan, queues: Vec<Vec<MemQueue>>, shared: &Shared) -> Self {
        let started = Instant::from_nanos(plan.hosts[at].clock);
        let side = boot(at, plan, queues, shared, started, 0);
        let mut host = Self {
            at,
            watches: side.shards.iter().map(Watch::new).collect(),
            stalled: vec![0; side.shards.len()],
            sleeps: plan.hosts[at].sleeps,
            rests: vec![(Instant::ZERO, 0); side.shards.len()],
            fresh: side.shards.iter().map(checks::free_buffers).collect(),
            side,
            endpoints: Vec::new(),
            gone: Vec::new(),
            beginnings: 0,
            shared: shared.clone(),
            panics: 0,
            busy: 0,
        };
        host.begin(plan);
        host
    }

    /// Listens, and attaches endpoints.
    fn begin(&mut self, plan: &WorldPlan) {
        for (place, conversation) in plan.conversations.iter().enumerate() {
            if conversation.seats[ledger::ACCEPTOR].host == self.at {
                self.side.listen(place as u16, &listen(conversation));
            }
        }
        for number in 0..plan.hosts[self.at].endpoints {
            let endpoint = self.endpoint(number, plan);
            self.endpoints.push(endpoint);
        }
    }

    fn endpoint(&mut self, number: usize, plan: &WorldPlan) -> OnEndpoint {
        let host = &plan.hosts[self.at];
        let here = Seat {
            host: self.at,
            way: Way::Endpoint(number),
        };
        let limits = EndpointLimits {
            events: host.events,
            commands: host.events,
            lent: host.lent,
            blanks: (host.buffers / 8).min(host.lent),
            opened: host.events.max(32),
            connections: 32,
            handed: host.handed,
            ..EndpointLimits::default()
        };
        let draw = Draw::new(plan.seed, 10_000 + self.beginnings * 100 + number as u64);
        let (mut endpoint, ends) = OnEndpoint::new(here, &self.shared, &self.side.sleepers, &limits, draw);
        for (shard, end) in self.side.shards.iter_mut().zip(ends) {
            shard.work.control(Control::Attach(Box::new(end)));
        }
        for (place, conversation) in plan.conversations.iter().enumerate() {
            if conversation.is_accepted_at(here) {
                let id = crate::listener::ListenerId(place as u16);
                let listener = Listener::new(id, port_of(conversation.number), conversation.backlog);
                let credits = conversation.extras.credits;
                let listener = credits.map_or(listener, |credits| listener.with_credits(credits));
                endpoint.listen(listener, place);
            }
        }
        endpoint
    }

    /// Everybody here in some order; whether anything happened, and when somebody wants the next step: at once, where somebody
    /// was passed over. `heard`: frames wait at one of its ports.
    pub(super) fn step(
        &mut self,
        now: u64,
        offset: u64,
        heard: bool,
        passed_over: u64,
        draw: &mut Draw,
    ) -> Result<(bool, u64), String> {
        let (mut busy, mut next) = (false, u64::MAX);
        let workers = self.side.shards.len();
        let mut order: Vec<usize> = (0..workers + self.endpoints.len()).collect();
        draw.shuffle(&mut order);
        self.busy = 0;
        for actor in order {
            if draw.percent(passed_over) {
                next = now;
                continue;
            }
            if actor >= workers {
                let (moved, wants) = self.endpoints[actor - workers].step();
                busy |= moved;
                self.busy |= u64::from(moved) << actor;
                next = next.min(wants);
                continue;
            }
            if self.stalled[actor] > now {
                next = next.min(self.stalled[actor]);
                continue;
            }
            let here = Instant::from_nanos(now + offset);
            if !heard && self.is_asleep(actor, now, here) {
                let due = self.rests[actor].0;
                if due != Instant::FAR_FUTURE {
                    next = next.min(due.as_nanos().saturating_sub(offset));
                }
                continue;
            }
            let shard = &mut self.side.shards[actor];
            let wants = shard.turn(here);
            busy |= shard.was_busy();
            self.busy |= u64::from(shard.was_busy()) << actor;
            self.watches[actor]
                .after_turn(shard, here, wants)
                .map_err(|what| format!("worker {actor}: {what}"))?;
            self.rests[actor] = (wants, now);
            self.report(actor);
            if wants != Instant::FAR_FUTURE {
                next = next.min(wants.as_nanos().saturating_sub(offset));
            }
        }
        for endpoint in &mut self.gone {
            next = next.min(endpoint.step().1);
        }
        self.gone.retain(|endpoint| !endpoint.is_settled());
        Ok((busy, next))
    }

    /// A worker has nothing to do yet, for all that it can know.
    fn is_asleep(&self, worker: usize, now: u64, here: Instant) -> bool {
        let shard = &self.side.shards[worker];
        let (due, turned) = self.rests[worker];
        self.sleeps
            && here < due
            && now < turned + SLEEP_MOST
            && !shard.has_work()
            && !shard.has_held_commands()
            && !shard.has_unsent()
    }

    /// Tells the ledger what a worker counted and whom it let in.
    fn report(&mut self, worker: usize) {
        let (shard, watch) = (&mut self.side.shards[worker], &mut self.watches[worker]);
        let met = checks::limits_met(shard) - watch.limits_met;
        let work = &mut shard.work;
        let evicted = work.counters.time_wait_evicted - watch.evicted;
        if watch.came_in.is_empty()
            && watch.went.is_empty()
            && work.opened_fast.is_empty()
            && work.refused.is_empty()
            && evicted + met == 0
        {
            return;
        }
        watch.evicted += evicted;
        watch.limits_met += met;
        let mut ledger = self.shared.ledger();
        for id in watch.went.drain(..) {
            ledger.went(self.at, id);
        }
        ledger.evicted[self.at] += evicted;
        ledger.limits_met[self.at] += met;
        for (id, iss) in watch.came_in.drain(..) {
            ledger.came_in(self.at, id, iss);
        }
        for (id, irs) in work.opened_fast.drain(..) {
            ledger.opened_fast(self.at, id, irs);
        }
        for refused in work.refused.drain(..) {
            ledger.refused(&refused);
        }
    }

    pub(super) fn stall(&mut self, worker: usize, until: u64) {
        self.stalled[worker] = until;
    }

    /// No worker is passed over any more.
    pub(super) fn awake(&mut self) {
        self.stalled.fill(0);
    }

    /// Loses all memory, and begins anew with the same addresses.
    pub(super) fn reboot(&mut self, plan: &WorldPlan, now: Instant) {
        self.beginnings += 1;
        self.panics = self.panics();
        // What applications held goes with them.
        self.endpoints.clear();
        self.gone.clear();
        let shards = std::mem::take(&mut self.side.shards);
        let mut queues: Vec<Vec<MemQueue>> = Vec::new();
        for shard in shards {
            for (port, queue) in shard.work.ports.into_queues().enumerate() {
                if queues.len() <= port {
                    queues.push(Vec::new());
                }
                queues[port].push(queue);
            }
        }
        self.side = boot(self.at, plan, queues, &self.shared, now, self.beginnings);
        self.watches = self.side.shards.iter().map(Watch::new).collect();
        self.rests.fill((Instant::ZERO, 0));
        self.begin(plan);
    }

    /// An endpoint is dropped, and another takes its place.
    pub(super) fn end_endpoint(&mut self, number: usize, plan: &WorldPlan) {
        self.beginnings += 1;
        let fresh = self.endpoint(number, plan);
        let Some(place) = self.endpoints.get_mut(number) else {
            return;
        };
        let mut old = std::mem::replace(place, fresh);
        old.die("its endpoint is gone");
        self.gone.push(old);
    }

    /// All endpoints are dropped, and nobody sleeps any more.
    pub(super) fn end_endpoints(&mut self) {
        self.sleeps = false;
        for mut endpoint in self.endpoints.drain(..) {
            endpoint.die("the world ends");
            self.gone.push(endpoint);
        }
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics
            + self
                .side
                .shards
                .iter()
                .map(|shard| shard.work.counters.handler_panics)
                .sum::<u64>()
    }

    /// What each worker counted, in a line.
    pub(super) fn counts(&mut self) -> Vec<String> {
        let at = self.at;
        let line = |(worker, shard): (usize, &mut Shard<MemQueue, OnWorker>)| {
            let counters = shard.counters();
            let plain = PLAIN.iter().zip(counters.plain()).filter(|(_, count)| *count > 0);
            let mut line = format!("host {at} worker {worker}:");
            for (metric, count) in plain {
                line += &format!(" {} {count}", metric.name);
            }
            for reason in DropReason::ALL {
                let count = counters.dropped.of(*reason);
                if count > 0 {
                    line += &format!(" {reason:?} {count}");
                }
            }
            line + &format!(" {:?}", counters.tcp)
        };
        self.side.shards.iter_mut().enumerate().map(line).collect()
    }

    /// Time would end nothing more here.
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.side.shards.iter().all(checks::is_empty)
    }

    /// Whether everything is as at the beginning.
    pub(super) fn left_over(&mut self) -> Result<(), String> {
        for (worker, (shard, fresh)) in self.side.shards.iter_mut().zip(&self.fresh).enumerate() {
            checks::left_over(shard, *fresh)
                .map_err(|what| format!("host {} worker {worker}: {what}", self.at))?;
        }
        Ok(())
    }
}

/// A worker that sleeps has a turn so often at least (D10).
const SLEEP_MOST: u64 = 250 * MS;

fn boot(
    at: usize,
    plan: &WorldPlan,
    queues: Vec<Vec<MemQueue>>,
    shared: &Shared,
    started: Instant,
    life: u64,
) -> Side<OnWorker> {
    let host = &plan.hosts[at];
    let parts = Plan {
        connections: host.connections,
        profile: host.profile.clone(),
        mesh_ring: host.mesh_ring,
        started,
        ..Plan::default()
    };
    let nets: Vec<[String; 2]> = (0..queues.len())
        .map(|port| {
            let (link, last) = if at == 0 { (port, 1) } else { (at - 1, 2) };
            [
                format!("{}/24", frames::ip(link, last, false)),
                format!("{}/64", frames::ip(link, last, true)),
            ]
        })
        .collect();
    let ports = queues
        .into_iter()
        .zip(&nets)
        .map(|(queues, nets)| (queues, [nets[0].as_str(), nets[1].as_str()]))
        .collect();
    let seed = plan.seed ^ (at as u64 + 1) << 32 ^ life << 48;
    Side::on_ports(&parts, ports, seed, |worker| OnWorker::new(at, worker, shared))
}

fn listen(conversation: &Conversation) -> Listen {
    Listen {
        backlog: conversation.backlog,
        delivery: match conversation.seats[ledger::ACCEPTOR].way {
            Way::Worker(_) => Delivery::Handler,
            Way::Endpoint(_) => Delivery::Endpoints,
        },
        policy: conversation.extras.policy,
        fast_open: conversation.extras.fast_open,
        profile: Some(conversation.profiles[ledger::ACCEPTOR].clone()),
        ..Listen::on(port_of(conversation.number))
    }
}
