//! The endpoint's side of all its rings, and what it knows of its connections. Stepped; no thread, clock, park or syscall in
//! it but the wake of a worker that sleeps.
//!
//! A step takes in what the workers sent, sends home what was dropped, tells what could not be told before, and posts
//! credits. It may allocate: it runs on the application's threads.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use fourtuple_nic::Queue;
use fourtuple_wire::{FourTuple, Received};

use super::accept::Accepting;
use super::connection::{Connection, Piece};
use super::endpoint::Opening;
use super::estate::Estate;
use super::handle::{Arrival, EndpointHandle, Inbox};
use super::home::Home;
use super::keys::KeyHasher;
use super::moving::HandedOver;
use super::protocol::{Command, EndpointNumber, Event, Opened};
use super::readiness::{CLOSED, READABLE, Readiness, Source, WRITABLE};
use super::receiving::RELEASE_STEPS;
use super::rings::{EndpointEnd, EndpointLimits, Presence, Return, WorkerEnd, rings};
use super::sending::Starving;
use super::stream::StreamError;
use crate::ConnId;
use crate::error::ApiMisuse;
use crate::idle::Sleeper;

/// Its keys are ours, so its order is no secret: the same calls give the same one, and with it the same run (D11).
type Map<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// One endpoint, all its workers.
pub(crate) struct EndpointCore<Q: Queue> {
    /// By worker; empty once the endpoint is dropped.
    pub(super) ends: Vec<EndpointEnd<Q>>,
    pub(super) connections: Map<ConnId, Connection<Q>>,
    pub(super) accepting: Vec<Accepting>,
    /// By token.
    pub(super) connects: Map<u32, Opening>,
    pub(super) next_token: u32,
    pub(super) next_worker: usize,
    /// Answers that each worker may still owe: credits and connects. At most `limits.opened`.
    pub(super) owed_opened: Vec<u32>,
    pub(super) home: Arc<Home<Q>>,
    pub(super) limits: EndpointLimits,
    /// Bytes that were sent from the application's memory and so copied, since start.
    pub(super) tx_copied_bytes: u64,
    pub(super) presence: Arc<Presence>,
    /// Where other endpoints put connections.
    pub(super) inbox: Arc<Inbox<Arrival<Q>>>,
    pub(super) handed: HandedOver,
    /// Connections that are to go to another endpoint as soon as their workers have answered, and with which mark.
    pub(super) departing: Map<ConnId, (EndpointHandle<Q>, u64)>,
    /// Connections that went to others while the application held chunks of theirs: the space of those.
    pub(super) moved_away: Map<ConnId, u32>,
    /// Connections with released space that is not told.
    pub(super) to_release: VecDeque<ConnId>,
    pub(super) steps_since_release: u32,
    /// Buffers that lie unread, per worker.
    pub(super) unread_lent: Vec<u32>,
    /// Bytes of our own memory that hold copies.
    pub(super) copied_bytes: usize,
    /// What is to be told of what is watched.
    pub(super) readiness: Readiness,
    /// By worker: connections that wait for what all share.
    pub(super) starving: Vec<Starving>,
    /// Messages that steps moved and nobody was told of yet.
    moved: usize,
    estates: Sender<Estate<Q>>,
}

/// Makes an endpoint for these workers, and the ends that travel to them, in their order.
///
/// `endpoint` is the endpoint's own sleeper; what is left when it is dropped goes to `estates`, for the control thread.
pub(crate) fn pair<Q: Queue>(
    workers: &[Arc<Sleeper>],
    limits: &EndpointLimits,
    endpoint: Arc<Sleeper>,
    estates: Sender<Estate<Q>>,
) -> (EndpointCore<Q>, Vec<WorkerEnd<Q>>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let presence = Arc::new(Presence {
        number: EndpointNumber(NEXT.fetch_add(1, Ordering::Relaxed)),
        sleeper: Arc::clone(&endpoint),
        load: AtomicU32::new(0),
        handed: AtomicU32::new(0),
        handed_limit: limits.handed.max(1),
    });
    let (worker_ends, ends): (Vec<_>, Vec<_>) = workers
        .iter()
        .map(|worker| rings(limits, Arc::clone(worker), Arc::clone(&presence)))
        .unzip();
    let core = EndpointCore {
        connections: Map::with_capacity_and_hasher(limits.connections as usize, BuildHasherDefault::new()),
        accepting: Vec::new(),
        connects: Map::default(),
        next_token: 0,
        next_worker: 0,
        owed_opened: vec![0; ends.len()],
        home: Arc::new(Home::new(
            (limits.lent.max(1) + limits.blanks.max(1)) as usize * ends.len(),
            endpoint,
        )),
        limits: *limits,
        tx_copied_bytes: 0,
        presence,
        inbox: Arc::new(Inbox::new()),
        handed: HandedOver::default(),
        departing: Map::default(),
        moved_away: Map::default(),
        to_release: VecDeque::new(),
        steps_since_release: 0,
        unread_lent: vec![0; ends.len()],
        copied_bytes: 0,
        readiness: Readiness::default(),
        starving: ends.iter().map(|_| Starving::default()).collect(),
        moved: 0,
        estates,
        ends,
    };
    (core, worker_ends)
}

impl<Q: Queue> EndpointCore<Q> {
    /// Moves messages both ways; returns how many.
    pub(crate) fn step(&mut self) -> usize {
        let mut moved = 0;
        for worker in 0..self.ends.len() {
            self.ends[worker].begin_step();
            moved += self.take_in(worker);
        }
        moved += self.send_home();
        moved += self.take_arrivals();
        for worker in 0..self.ends.len() {
            let urgent = self.ends[worker].urgent_len();
            self.ends[worker].settle();
            moved += urgent - self.ends[worker].urgent_len();
            self.spill(worker);
            self.feed(worker);
        }
        self.steps_since_release += 1;
        if self.steps_since_release >= RELEASE_STEPS {
            self.tell_released();
        }
        self.post_credits();
        self.presence
            .load
            .store(self.connections.len() as u32, Ordering::Relaxed);
        self.wake_workers();
        self.readiness.tell_stepped();
        self.moved += moved;
        moved
    }

    /// Tells what a step may leave untold: to be called before the thread sleeps or turns to something else.
    pub(super) fn finish_steps(&mut self) {
        self.tell_released();
        self.wake_workers();
    }

    /// Messages moved since this was last asked.
    pub(super) fn take_moved(&mut self) -> usize {
        std::mem::take(&mut self.moved)
    }

    /// A step would find something to do.
    pub(super) fn has_news(&self) -> bool {
        !self.home.is_empty() || self.inbox.has_arrived() || self.ends.iter().any(EndpointEnd::has_news)
    }

    /// Wakes the workers that were told something since the last time.
    pub(super) fn wake_workers(&mut self) {
        for end in &mut self.ends {
            end.wake_worker();
        }
    }

    /// Tasks are to be woken when the lock is released.
    pub(super) fn has_tasks(&self) -> bool {
        self.readiness.has_wakers()
    }

    /// The endpoint was dropped.
    pub(super) fn has_left(&self) -> bool {
        self.ends.is_empty()
    }

    /// Why a stream finds its connection here no more.
    pub(super) fn gone(&self) -> StreamError {
        StreamError::Misuse(if self.has_left() {
            ApiMisuse::Stopped
        } else {
            ApiMisuse::LetGo
        })
    }

    pub(super) fn end_of(&mut self, id: ConnId) -> Option<&mut EndpointEnd<Q>> {
        self.ends.get_mut(usize::from(id.worker()))
    }

    /// The worker of this connection is gone, and whatever it sent was taken in.
    pub(super) fn has_stopped(&self, id: ConnId) -> bool {
        self.ends
            .get(usize::from(id.worker()))
            .is_none_or(|end| end.stopped)
    }

    /// Lets go of a connection whose stream was dropped: FIN, or RST when something is unread.
    pub(super) fn close(&mut self, id: ConnId) {
        // What is in the ring is unread, too.
        if usize::from(id.worker()) < self.ends.len() && self.connections.contains_key(&id) {
            self.moved += self.take_in(usize::from(id.worker()));
        }
        self.let_go(id, |unread| Command::Close { id, unread });
    }

    /// Lets go of a connection: RST.
    pub(super) fn abort(&mut self, id: ConnId) {
        self.let_go(id, |_| Command::Abort(id));
    }

    /// The endpoint is dropped: closes everything and leaves the rest to the control thread.
    pub(super) fn leave(&mut self) {
        // Credits and connects are answered before: what they brought is closed with the rest.
        for worker in 0..self.ends.len() {
            self.take_in(worker);
        }
        self.settle_moves();
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.let_go(id, |unread| Command::Close { id, unread });
        }
        self.to_release.clear();
        for accepting in &mut self.accepting {
            accepting.tell(&mut self.readiness, CLOSED);
        }
        self.accepting.clear();
        self.readiness.tell_stepped();
        self.tell_handed(CLOSED);
        // Who waits for an answer finds that there is none to come.
        for (token, opening) in &mut self.connects {
            self.readiness
                .tell(Source::Connect(*token), &mut opening.watch, CLOSED);
        }
        let mut estate = Estate::new(std::mem::take(&mut self.ends), Arc::clone(&self.home));
        // The home is shared with us until the endpoint's last stream goes: ours is replaced, so that only chunks count.
        self.home = Arc::new(Home::new(1, Arc::clone(&self.presence.sleeper)));
        if !estate.step() {
            // Without a control thread there are no workers either: the pools outlive them and take buffers from here.
            let _ = self.estates.send(estate);
        }
    }

    fn take_in(&mut self, worker: usize) -> usize {
        // Looked at first: what the worker sent before it left is then in the rings.
        let worker_has_left = self.ends[worker].worker_has_left();
        // Counted before the other ring is emptied: a connection is opened before it has events.
        let events = self.ends[worker].events.slots();
        let mut moved = events;
        while let Ok(opened) = self.ends[worker].opened.pop() {
            self.on_opened(worker, opened);
            moved += 1;
        }
        for _ in 0..events {
            if let Ok(event) = self.ends[worker].events.pop() {
                self.on_event(worker, event.into_inner());
            }
        }
        let end = &mut self.ends[worker];
        if moved > 0 {
            end.popped();
        }
        if worker_has_left && !end.stopped {
            end.stopped = true;
            moved += 1;
            while let Ok(blank) = end.blanks.pop() {
                end.give_back(Return::Blank(blank));
            }
            self.tell_stopped(worker);
        }
        moved
    }

    fn on_opened(&mut self, worker: usize, opened: Opened) {
        if !matches!(opened, Opened::Handed { .. }) {
            self.owed_opened[worker] = self.owed_opened[worker].saturating_sub(1);
        }
        match opened {
            Opened::Handed {
                id,
                tuple,
                mark,
                credit,
            } => {
                self.open(id, tuple, credit);
                self.on_handed(id, mark);
            }
            Opened::Accepted {
                id,
                tuple,
                listener,
                credit,
            } => {
                self.open(id, tuple, credit);
                self.on_accepted(worker, id, listener);
            }
            Opened::Connected {
                id,
                tuple,
                token,
                credit,
            } => {
                self.open(id, tuple, credit);
                if !self.on_connect_answered(token, Ok((id, tuple))) {
                    // Nobody waits for it any more.
                    self.abort(id);
                }
            }
            Opened::ConnectRefused { token, why } => {
                if !self.ask_next_worker(token, why) {
                    self.on_connect_answered(token, Err(StreamError::Connect(why)));
                }
            }
            Opened::ConnectFailed { token, why } => {
                self.on_connect_answered(token, Err(StreamError::Connection(why)));
            }
        }
    }

    fn open(&mut self, id: ConnId, tuple: FourTuple, credit: u32) {
        self.connections.insert(id, Connection::new(tuple, credit));
    }

    fn on_event(&mut self, worker: usize, event: Event<Q>) {
        match event {
            Event::Chunk(id, chunk, freed) => match self.connections.get_mut(&id) {
                Some(connection) => {
                    if freed > 0 && connection.grant(freed) {
                        self.readiness
                            .tell(Source::Stream(id), &mut connection.watch, WRITABLE);
                    }
                    connection.delivered += chunk.bytes().len() as u64;
                    connection.unread.push_back(Piece::Lent(chunk));
                    self.unread_lent[worker] += 1;
                    self.readiness
                        .tell(Source::Stream(id), &mut connection.watch, READABLE);
                }
                None => {
                    let end = &mut self.ends[worker];
                    end.give_back(Return::Lent(chunk));
                    // RFC 9293 §3.6.1: closed here while it was on its way; the peer is to learn that it was lost.
                    end.lost(id);
                }
            },
            Event::Writable(id, count) => {
                if let Some(connection) = self.connections.get_mut(&id)
                    && connection.grant(count)
                {
                    self.readiness
                        .tell(Source::Stream(id), &mut connection.watch, WRITABLE);
                }
            }
            Event::Urgent(id, ahead) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.urgent_end = connection.delivered + u64::from(ahead);
                    self.readiness.wake_reader(&mut connection.watch);
                }
            }
            Event::Trouble(id, trouble) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.trouble = Some(trouble);
                }
            }
            Event::PeerClosed(id) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.peer_closed = true;
                    self.readiness
                        .tell(Source::Stream(id), &mut connection.watch, READABLE);
                }
            }
            Event::Moved(id, there) => self.on_moved(id, there),
            Event::Seen(id, status) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.looking = false;
                    connection.seen = *status;
                }
            }
            Event::Ended(id, outcome) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.ended = Some(outcome);
                    self.readiness
                        .tell(Source::Stream(id), &mut connection.watch, CLOSED);
                }
            }
        }
    }

    fn send_home(&mut self) -> usize {
        let mut count = 0;
        while let Some(homecoming) = self.home.pop() {
            self.take_home(homecoming.id, homecoming.buffer);
            count += 1;
        }
        count
    }

    fn let_go(&mut self, id: ConnId, command: impl FnOnce(bool) -> Command<Q>) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        self.readiness.forget(&mut connection.watch);
        if connection.moving.is_some() {
            self.departing.remove(&id);
        }
        self.sweep_ready();
        let unread = connection.discarded || !connection.unread.is_empty();
        for piece in connection.unread {
            self.done_reading(id, piece);
        }
        let ended = connection.ended.is_some();
        if let Some(end) = self.end_of(id)
            && !ended
            && !end.stopped
        {
            end.urge(command(unread));
        }
    }

    /// Bytes of copies and unread buffers, for tests.
    #[cfg(test)]
    pub(super) fn unread(&self) -> (usize, u32) {
        (self.copied_bytes, self.unread_lent.iter().sum())
    }
}
