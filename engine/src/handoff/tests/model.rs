//! A worker as the hub sees it: a table of connections that move bytes without TCP.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use fourtuple_nic::Queue;
use fourtuple_wire::{Family, FourTuple, Payload, Received};

use crate::ConnId;
use crate::buffer::{RxChunk, TxChunk};
use crate::conn_id::{SlotKind, SlotRef};
use crate::error::ConnectionError;
use crate::handoff::testing::{Slice, TestQueue, as_worker};
use crate::handoff::{
    Command, Endpoint, EndpointIndex, EndpointLimits, Estate, Event, Hub, HubLimits, Listener, Opened,
    Stream, pair,
};
use crate::idle::Sleeper;
use crate::listener::{AcceptPolicy, ListenerId};

pub(super) const WEB: ListenerId = ListenerId(0);

pub(super) fn web() -> Listener {
    Listener::new(WEB, 80, 128)
}

pub(super) const HUB: HubLimits = HubLimits {
    endpoints: 4,
    listeners: 2,
    lent: 1000,
    low_water: 10,
};

pub(super) const LIMITS: EndpointLimits = EndpointLimits {
    events: 16,
    commands: 16,
    opened: 8,
    lent: 8,
    blanks: 8,
    connections: 16,
    copied_bytes: 0,
    handed: 4,
};

/// How a connection was let go by its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Closed {
        unread: bool,
    },
    Aborted,
    /// The endpoint was dropped and nothing was said of this connection.
    Orphaned,
}

/// A connection of the model.
pub(super) struct Conn {
    pub(super) owner: EndpointIndex,
    /// Received and not yet told.
    pub(super) inbound: VecDeque<RxChunk<Slice>>,
    /// Everything that was told.
    pub(super) told: Vec<u8>,
    /// Space of all that was told, not released.
    pub(super) charged: usize,
    /// Bytes that came by `Send`.
    pub(super) sent: Vec<u8>,
    /// Credit to be given back.
    pub(super) writable: u32,
    /// Credit that the endpoint may have.
    pub(super) credit: i64,
    pub(super) peer_closed: bool,
    pub(super) told_peer_closed: bool,
    pub(super) ended: Option<Result<(), ConnectionError>>,
    pub(super) told_ended: bool,
    pub(super) shut: bool,
    pub(super) gone: Option<Gone>,
    /// Nobody is told anything until this endpoint, or the owner again, takes it.
    pub(super) moving: Option<EndpointIndex>,
}

pub(super) struct ModelWorker {
    pub(super) hub: Hub<TestQueue>,
    pub(super) queue: TestQueue,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    /// Established and waiting for a credit.
    pub(super) accept_queue: VecDeque<ConnId>,
    /// Connections that were assigned and whose message found the ring full.
    pub(super) unopened: VecDeque<(EndpointIndex, Opened)>,
    pub(super) connects: Vec<(EndpointIndex, u32, SocketAddr)>,
    /// Sends to be held, each so often as the front says.
    pub(super) holds: VecDeque<u32>,
    pub(super) order: Vec<String>,
    pub(super) detached: Vec<EndpointIndex>,
    pub(super) credit: u32,
    next: u32,
    index: u16,
    pub(super) sleeper: Arc<Sleeper>,
}

impl ModelWorker {
    fn new(index: u16, hub: HubLimits, pool: u32) -> Self {
        Self {
            hub: Hub::new(index, hub),
            queue: TestQueue::new(pool),
            conns: BTreeMap::new(),
            accept_queue: VecDeque::new(),
            unopened: VecDeque::new(),
            connects: Vec::new(),
            holds: VecDeque::new(),
            order: Vec::new(),
            detached: Vec::new(),
            credit: 1000,
            next: 0,
            index,
            sleeper: Arc::new(Sleeper::new().unwrap()),
        }
    }

    /// A peer's handshake is complete: into the accept queue.
    pub(super) fn handshake(&mut self) -> ConnId {
        let id = ConnId::new(self.index, SlotRef::new(SlotKind::Tcb, Family::V4, self.next), 1);
        self.next += 1;
        self.conns.insert(
            id,
            Conn {
                owner: EndpointIndex(u16::MAX),
                inbound: VecDeque::new(),
                told: Vec::new(),
                charged: 0,
                sent: Vec::new(),
                writable: 0,
                credit: i64::from(self.credit),
                peer_closed: false,
                told_peer_closed: false,
                ended: None,
                told_ended: false,
                shut: false,
                gone: None,
                moving: None,
            },
        );
        self.accept_queue.push_back(id);
        id
    }

    /// The peer's bytes arrive; `false` when the pool is empty.
    pub(super) fn arrive(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        let Some(buffer) = self.queue.received(bytes) else {
            return false;
        };
        self.conn(id).inbound.push_back(RxChunk(buffer));
        true
    }

    pub(super) fn conn(&mut self, id: ConnId) -> &mut Conn {
        self.conns.get_mut(&id).expect("a connection of this worker")
    }

    /// One turn, as a shard's: commands, returns, accepts, events, blanks, the end.
    pub(super) fn turn(&mut self) {
        as_worker(|| {
            self.take_commands(usize::MAX);
            self.hub.poll_returns(usize::MAX);
            self.drop_gone();
            self.open();
            self.deliver(usize::MAX);
            self.hub.refill_blanks(&mut self.queue);
            self.hub.finish_turn();
        });
    }

    pub(super) fn take_commands(&mut self, budget: usize) {
        let mut left = budget;
        while let Some((endpoint, command)) = self.hub.poll_command(&mut left, |_, command| Some(command)) {
            self.on_command(endpoint, command);
        }
    }

    fn on_command(&mut self, endpoint: EndpointIndex, command: Command<TestQueue>) {
        match command {
            Command::Send {
                id,
                payload,
                origin,
                released,
            } => {
                self.release(id, released);
                if let Some(left) = self.holds.front_mut().filter(|left| **left > 0) {
                    *left -= 1;
                    let held = Command::Send {
                        id,
                        payload,
                        origin,
                        released: 0,
                    };
                    self.hub.hold(endpoint, held);
                    return;
                }
                self.holds.pop_front();
                self.send(id, &payload);
            }
            Command::SendUrgent(id, payload) => self.send(id, &payload),
            Command::Release(id, space) => self.release(id, space),
            Command::Set(..) => {}
            Command::Shutdown(id) => {
                self.order.push(format!("shutdown {id:?}"));
                self.conn(id).shut = true;
            }
            Command::Close { id, unread } => self.let_go(id, Gone::Closed { unread }),
            Command::Abort(id) => self.let_go(id, Gone::Aborted),
            Command::Connect { token, remote, .. } => {
                self.connects.push((endpoint, token, remote.into()));
            }
            Command::Move { id, to } => {
                let target = self.hub.place_of(to);
                if self
                    .hub
                    .try_event(endpoint, Event::Moved(id, target.is_some()))
                    .is_err()
                {
                    self.hub.hold(endpoint, Command::Move { id, to });
                } else if let Some(target) = target {
                    let conn = self.conn(id);
                    conn.moving = Some(target);
                }
            }
            Command::Take(id) => {
                let conn = self.conn(id);
                assert!(conn.moving.take().is_some(), "only what moves is taken");
                conn.owner = endpoint;
            }
            Command::Look(id, status) => {
                let _ = self.hub.try_event(endpoint, Event::Seen(id, status));
            }
            Command::Credit(listener, count) => self.hub.on_credit(endpoint, listener, count),
            Command::Withdraw(listener, count) => self.hub.on_withdraw(endpoint, listener, count),
        }
    }

    fn send(&mut self, id: ConnId, payload: &TxChunk<<TestQueue as Queue>::Shared>) {
        self.order.push(format!("send {id:?}"));
        let conn = self.conn(id);
        assert!(
            !conn.shut && conn.gone.is_none(),
            "nothing is sent behind a shutdown or a close"
        );
        conn.sent.extend_from_slice(payload.bytes());
        let (len, charge) = (payload.bytes().len() as u32, payload.charge());
        assert!(
            len > 0 && i64::from(len) <= conn.credit,
            "sending is paid for by credit"
        );
        conn.credit -= i64::from(charge);
        conn.writable += charge;
    }

    fn release(&mut self, id: ConnId, space: u32) {
        let conn = self.conn(id);
        assert!(conn.charged >= space as usize, "no space is released twice");
        conn.charged -= space as usize;
    }

    fn let_go(&mut self, id: ConnId, gone: Gone) {
        self.order.push(format!("{gone:?} {id:?}"));
        let conn = self.conn(id);
        // Bytes that crossed a close make it an abort.
        let again = matches!(conn.gone, Some(Gone::Closed { .. } | Gone::Aborted)) && gone == Gone::Aborted;
        assert!(
            conn.gone.is_none() || again,
            "a connection is let go once: {:?}, {gone:?}",
            conn.gone
        );
        conn.gone = Some(gone);
        conn.inbound.clear();
    }

    pub(super) fn drop_gone(&mut self) {
        while let Some(endpoint) = self.hub.poll_gone() {
            for conn in self
                .conns
                .values_mut()
                .filter(|conn| conn.owner == endpoint && conn.gone.is_none() && conn.moving.is_none())
            {
                conn.gone = Some(Gone::Orphaned);
                conn.inbound.clear();
            }
            self.unopened.retain(|(owner, _)| *owner != endpoint);
            self.hub.detach(endpoint);
            self.detached.push(endpoint);
        }
    }

    pub(super) fn open(&mut self) {
        for (endpoint, opened) in std::mem::take(&mut self.unopened) {
            self.tell_opened(endpoint, opened);
        }
        while !self.accept_queue.is_empty()
            && let Some(endpoint) = self.hub.take_credit(WEB, AcceptPolicy::LeastLoaded)
        {
            let Some(id) = self.accept_queue.pop_front() else {
                return;
            };
            let credit = self.credit;
            self.conn(id).owner = endpoint;
            self.tell_opened(
                endpoint,
                Opened::Accepted {
                    id,
                    tuple: tuple(id),
                    listener: WEB,
                    credit,
                },
            );
        }
    }

    fn tell_opened(&mut self, endpoint: EndpointIndex, opened: Opened) {
        if let Err(opened) = self.hub.try_opened(endpoint, opened) {
            self.unopened.push_back((endpoint, opened));
        }
    }

    /// Tells at most `budget` events.
    pub(super) fn deliver(&mut self, budget: usize) {
        let Self {
            hub, conns, unopened, ..
        } = self;
        let mut left = budget;
        let waits = |id: &ConnId| {
            unopened
                .iter()
                .any(|(_, opened)| matches!(opened, Opened::Accepted { id: waiting, .. } if waiting == id))
        };
        for (id, conn) in conns
            .iter_mut()
            .filter(|(id, conn)| conn.owner.0 != u16::MAX && !waits(id))
        {
            while left > 0 && conn.deliver_one(*id, hub) {
                left -= 1;
            }
        }
    }

    /// Nothing is left to tell.
    pub(super) fn all_told(&self) -> bool {
        self.conns.values().all(|conn| {
            conn.gone.is_some()
                || conn.told_ended
                || conn.owner.0 == u16::MAX
                || (conn.inbound.is_empty()
                    && conn.writable == 0
                    && conn.peer_closed == conn.told_peer_closed
                    && conn.ended.is_some() == conn.told_ended)
        })
    }
}

impl Conn {
    /// `false`: nothing to tell, or no room.
    fn deliver_one(&mut self, id: ConnId, hub: &mut Hub<TestQueue>) -> bool {
        if self.gone.is_some() || self.told_ended || self.moving.is_some() {
            return false;
        }
        // Room goes with a chunk, or alone.
        let alone = self.inbound.is_empty() || !hub.may_lend(self.owner);
        if self.writable > 0
            && alone
            && hub
                .try_event(self.owner, Event::Writable(id, self.writable))
                .is_ok()
        {
            self.credit += i64::from(std::mem::take(&mut self.writable));
            return true;
        }
        if let Some(chunk) = self.inbound.pop_front() {
            if !hub.may_lend(self.owner) {
                self.inbound.push_front(chunk);
                return false;
            }
            let (bytes, space) = (chunk.bytes().to_vec(), chunk.space());
            return match hub.try_event(self.owner, Event::Chunk(id, chunk, self.writable)) {
                Ok(()) => {
                    self.credit += i64::from(std::mem::take(&mut self.writable));
                    self.told.extend(bytes);
                    self.charged += space;
                    true
                }
                Err(Event::Chunk(_, chunk, _)) => {
                    self.inbound.push_front(chunk);
                    false
                }
                Err(_) => unreachable!("the event comes back as it was"),
            };
        }
        if self.peer_closed && !self.told_peer_closed {
            self.told_peer_closed = hub.try_event(self.owner, Event::PeerClosed(id)).is_ok();
            return self.told_peer_closed;
        }
        if let Some(outcome) = self.ended {
            self.told_ended = hub.try_event(self.owner, Event::Ended(id, outcome)).is_ok();
            return self.told_ended;
        }
        false
    }
}

pub(super) fn tuple(id: ConnId) -> FourTuple {
    let port = 1024 + id.slot().index() as u16;
    let local = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 2).into(), 80);
    FourTuple::new(local, SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), port)).expect("one family")
}

/// Workers and their endpoints.
pub(super) struct House {
    pub(super) workers: Vec<ModelWorker>,
    pub(super) estates: Receiver<Estate<TestQueue>>,
    estate_way: std::sync::mpsc::Sender<Estate<TestQueue>>,
}

impl House {
    pub(super) fn new(workers: u16) -> Self {
        Self::with(workers, HUB, 200)
    }

    pub(super) fn with(workers: u16, hub: HubLimits, pool: u32) -> Self {
        let (estate_way, estates) = channel();
        let workers = (0..workers)
            .map(|index| ModelWorker::new(index, hub, pool))
            .collect();
        Self {
            workers,
            estates,
            estate_way,
        }
    }

    pub(super) fn endpoint(&mut self, limits: &EndpointLimits) -> Endpoint<TestQueue> {
        let sleepers: Vec<_> = self
            .workers
            .iter()
            .map(|worker| Arc::clone(&worker.sleeper))
            .collect();
        let sleeper = Arc::new(Sleeper::new().unwrap());
        let (core, ends) = pair(&sleepers, limits, Arc::clone(&sleeper), self.estate_way.clone());
        for (worker, end) in self.workers.iter_mut().zip(ends) {
            assert!(worker.hub.attach(end).is_some(), "a place is free");
        }
        Endpoint::new(core, sleeper)
    }

    pub(super) fn turn(&mut self) {
        for worker in &mut self.workers {
            worker.turn();
        }
    }

    /// Turns and steps until nothing moves.
    pub(super) fn settle(&mut self, endpoint: &Endpoint<TestQueue>) {
        let mut quiet = 0;
        while quiet < 3 {
            self.turn();
            quiet = if endpoint.step() == 0 { quiet + 1 } else { 0 };
        }
    }

    /// One connection, accepted by this endpoint.
    pub(super) fn accepted(&mut self, worker: usize, endpoint: &Endpoint<TestQueue>) -> Stream<TestQueue> {
        let _ = web().try_accept(endpoint);
        self.turn();
        let id = self.workers[worker].handshake();
        self.turn();
        let stream = web().try_accept(endpoint).expect("it was delivered");
        assert_eq!(stream.id(), id);
        stream
    }

    /// Every buffer is in its pool or where the model says, and none was dropped by an application thread.
    pub(super) fn check_pools(&mut self, lent: u32) {
        let mut seen = 0;
        for worker in &self.workers {
            let status = worker.hub.status();
            let inbound: usize = worker.conns.values().map(|conn| conn.inbound.len()).sum();
            assert_eq!(worker.queue.pool.strays(), 0, "buffers go home through the rings");
            assert!(worker.queue.pool.used() >= inbound as u32 + status.lent + status.blanks);
            seen += status.lent;
        }
        assert_eq!(seen, lent, "lent chunks");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // What happens after the workers is no worker's business.
            worker.queue.pool.close();
        }
    }
}
