//! The rings between one endpoint and one worker, and the few words that both ends keep beside them.
//!
//! All rings are SPSC and have a fixed capacity; both ends are made together, on the thread that makes the endpoint. What an
//! end tells the other by leaving stands in [`Ties`], not in the rings' own notion of abandonment: an endpoint's rings live
//! on in its [`Estate`](super::Estate) until every buffer is home.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use fourtuple_nic::Queue;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::home::Buffer;
use super::lend::Lent;
use super::protocol::{Command, EndpointNumber, Event, Opened};
use crate::ConnId;
use crate::buffer::{RxChunk, TxChunk};
use crate::idle::Sleeper;

/// How much may wait between an endpoint and each worker, and how many of a worker's buffers an endpoint may hold.
///
/// Every number counts per worker, but `connections`, `copied_bytes` and `handed`, which count for the endpoint. Zeros are taken for
/// ones.
///
/// ```
/// let mut limits = fourtuple::EndpointLimits::default();
/// limits.lent = 4096;
/// assert_eq!(limits.events, 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointLimits {
    /// Events that wait for the endpoint.
    pub events: u32,
    /// Commands that wait for the worker.
    pub commands: u32,
    /// Credits and connects that may be outstanding. Three quarters of them are for credits, one a listener at least: an endpoint
    /// that accepts from more listeners than that never gets the last ones' connections.
    pub opened: u32,
    /// Received buffers that the endpoint may hold, unread or in the application's hands.
    pub lent: u32,
    /// Empty buffers that wait to be filled with what the application sends.
    pub blanks: u32,
    /// Connections for which room is set aside when the endpoint is made.
    pub connections: u32,
    /// Bytes of its own memory into which the endpoint may copy unread data, so that connections that nobody reads don't
    /// use up `lent`.
    pub copied_bytes: usize,
    /// Connections that others handed over and that wait to be [taken](crate::Endpoint::take_handed).
    pub handed: u32,
}

impl EndpointLimits {
    /// At least two: one that a credit may take, one for a connect.
    pub(super) fn opened(&self) -> u32 {
        self.opened.max(2)
    }
}

impl Default for EndpointLimits {
    /// 1024 messages each way, 1024 buffers lent, 256 blank, 16 MiB of copies, 1024 connections handed over.
    fn default() -> Self {
        Self {
            events: 1024,
            commands: 1024,
            opened: 256,
            lent: 1024,
            blanks: 256,
            connections: 1024,
            copied_bytes: 16 << 20,
            handed: 1024,
        }
    }
}

/// A buffer on its way home.
pub(super) enum Return<Q: Queue> {
    /// It was lent.
    Lent(RxChunk<Q::Rx>),
    /// It was lent, and split.
    Shared(TxChunk<Q::Shared>),
    /// It was given blank and not used.
    Blank(RxChunk<Q::Rx>),
}

impl<Q: Queue> Return<Q> {
    /// Of a buffer that comes home.
    pub(super) fn of(buffer: Buffer<Q>) -> Self {
        match buffer {
            Buffer::Lent(chunk) => Self::Lent(chunk),
            Buffer::Shared(chunk) => Self::Shared(chunk),
            Buffer::Blank(chunk) => Self::Blank(chunk),
        }
    }
}

/// What one end tells the other outside the rings. Rarely written.
#[derive(Debug, Default)]
pub(super) struct Ties {
    /// Set by the endpoint behind its last command: it is gone, and so is all that it wanted.
    pub(super) endpoint_left: AtomicBool,
    /// Set by the worker behind its last event: nothing comes any more.
    pub(super) worker_left: AtomicBool,
    /// Set by the endpoint when the command ring was full, cleared by the worker when it took some out.
    pub(super) wants_room: AtomicBool,
    /// Written by the worker alone: one of its rings was full, and it wants to be woken when the endpoint takes something out.
    pub(super) wants_pop: AtomicBool,
}

/// What every worker and every other endpoint sees of an endpoint.
#[derive(Debug)]
pub(super) struct Presence {
    pub(super) number: EndpointNumber,
    /// Wakes the endpoint.
    pub(super) sleeper: Arc<Sleeper>,
    /// Connections that it has, all workers together; written by the endpoint.
    pub(super) load: AtomicU32,
    /// Connections that were handed over to it and wait there, or are on their way. A bound, not a count of what is to be found:
    /// no ordering hangs on it.
    pub(super) handed: AtomicU32,
    /// The most of them.
    pub(super) handed_limit: u32,
}

/// What lies in a ring. A cell has no value that could stand for "none": with one that has, tag and rest of a message are moved by
/// themselves, across the borders of words, and whoever reads a word waits for both.
type Message<T> = Cell<T>;

/// The worker's end. Dropping it tells the endpoint that the worker is gone.
pub(crate) struct WorkerEnd<Q: Queue> {
    pub(super) events: Producer<Message<Event<Q>>>,
    /// Chunks that are told together, while nothing else is told. There is room in the ring for all of them.
    staged: Box<[Option<Staged<Q>>; STAGED]>,
    /// How many they are, and how many they may be before the ring is looked at again.
    staged_count: usize,
    may_be_staged: usize,
    pub(super) opened: Producer<Opened>,
    pub(super) blanks: Producer<RxChunk<Q::Rx>>,
    pub(super) commands: Consumer<Message<Command<Q>>>,
    pub(super) returns: Consumer<Return<Q>>,
    pub(super) ties: Arc<Ties>,
    pub(super) presence: Arc<Presence>,
    pub(super) lent_limit: u32,
}

impl<Q: Queue> Drop for WorkerEnd<Q> {
    fn drop(&mut self) {
        self.leave();
        // What is in the rings is dropped here, on the worker, and not by whoever lets go last.
        while self.commands.pop().is_ok() {}
        while self.returns.pop().is_ok() {}
    }
}

impl<Q: Queue> WorkerEnd<Q> {
    /// One more chunk may be staged, as far as the ring and the endpoint's own bound go.
    #[inline(always)]
    pub(super) fn may_stage(&mut self, lent: &Lent) -> bool {
        self.staged_count < self.may_be_staged || self.looks_for_room(lent)
    }

    /// Stages a chunk that may be.
    #[inline(always)]
    pub(super) fn stage(&mut self, id: ConnId, chunk: RxChunk<Q::Rx>, freed: u32) {
        let place = &mut self.staged[self.staged_count % STAGED];
        debug_assert!(place.is_none(), "no more are staged than may be");
        // Nothing is there to be dropped.
        std::mem::forget(place.replace(Staged { id, chunk, freed }));
        self.staged_count += 1;
    }

    /// Tells what is staged, by one publication. To be called before anything else is done with the ring.
    #[inline]
    pub(super) fn tell_staged(&mut self) {
        self.may_be_staged = 0;
        if self.staged_count > 0
            && let Ok(places) = self.events.write_chunk_uninit(self.staged_count)
        {
            self.staged_count = 0;
            let staged = self.staged.iter_mut().filter_map(Option::take);
            let events = staged.map(|staged| Event::Chunk(staged.id, staged.chunk, staged.freed));
            places.fill_from_iter(events.map(Cell::new));
        }
    }

    /// The other end's position is read here, and so its line: for a burst once.
    #[inline(never)]
    fn looks_for_room(&mut self, lent: &Lent) -> bool {
        self.tell_staged();
        self.may_be_staged = self.events.slots().min(STAGED).min(lent.left());
        self.may_be_staged > 0
    }

    /// Tells the endpoint that nothing comes any more.
    pub(super) fn leave(&self) {
        // Pairs with the Acquire in `EndpointEnd::worker_has_left`: every event before this is seen by who sees this.
        self.ties.worker_left.store(true, Ordering::Release);
        self.presence.sleeper.wake_if_sleeping();
    }
}

/// An [`Event::Chunk`] that is not told yet.
struct Staged<Q: Queue> {
    id: ConnId,
    chunk: RxChunk<Q::Rx>,
    freed: u32,
}

/// Chunks that a worker tells together at most: two bursts. A power of two.
const STAGED: usize = 64;

/// The endpoint's end.
pub(super) struct EndpointEnd<Q: Queue> {
    pub(super) events: Consumer<Message<Event<Q>>>,
    pub(super) opened: Consumer<Opened>,
    pub(super) blanks: Consumer<RxChunk<Q::Rx>>,
    commands: Producer<Message<Command<Q>>>,
    returns: Producer<Return<Q>>,
    pub(super) ties: Arc<Ties>,
    worker: Arc<Sleeper>,
    /// Shutdowns, closes and aborts that found the ring full: at most two a connection and one a lent chunk. They go before
    /// all else.
    urgent: VecDeque<Command<Q>>,
    /// The connection whose late bytes were last answered with an abort.
    last_lost: Option<ConnId>,
    /// Something was pushed since the worker was last woken.
    pushed: bool,
    /// A call found the command ring full, and waits for room.
    starved_of_room: bool,
    /// A call found no blank buffer, and waits for one.
    starved_of_blanks: bool,
    /// The worker left and everything it had sent was taken in.
    pub(super) stopped: bool,
}

/// Makes both ends.
pub(super) fn rings<Q: Queue>(
    limits: &EndpointLimits,
    worker: Arc<Sleeper>,
    presence: Arc<Presence>,
) -> (WorkerEnd<Q>, EndpointEnd<Q>) {
    let slots = |count: u32| count.max(1) as usize;
    let (events, events_out) = RingBuffer::new(slots(limits.events));
    let (opened, opened_out) = RingBuffer::new(slots(limits.opened()));
    let (blanks, blanks_out) = RingBuffer::new(slots(limits.blanks));
    let (commands, commands_out) = RingBuffer::new(slots(limits.commands));
    // Room for every buffer that the endpoint can hold: giving back can't fail.
    let (returns, returns_out) = RingBuffer::new(slots(limits.lent) + slots(limits.blanks));
    let ties = Arc::new(Ties::default());
    let worker_end = WorkerEnd {
        events,
        staged: Box::new([const { None }; STAGED]),
        staged_count: 0,
        may_be_staged: 0,
        opened,
        blanks,
        commands: commands_out,
        returns: returns_out,
        ties: Arc::clone(&ties),
        presence,
        lent_limit: limits.lent.max(1),
    };
    let endpoint_end = EndpointEnd {
        events: events_out,
        opened: opened_out,
        blanks: blanks_out,
        commands,
        returns,
        ties,
        worker,
        urgent: VecDeque::new(),
        last_lost: None,
        pushed: false,
        starved_of_room: false,
        starved_of_blanks: false,
        stopped: false,
    };
    (worker_end, endpoint_end)
}

impl<Q: Queue> EndpointEnd<Q> {
    /// A command can be pushed now. When not, the worker is told to wake the endpoint as soon as there is room.
    pub(super) fn has_room(&mut self) -> bool {
        if self.tell_urgent() {
            return true;
        }
        self.starved_of_room = true;
        self.ties.wants_room.store(true, Ordering::Relaxed);
        // Pairs with the fence of `Hub::finish_turn`, which stands between taking commands out and looking at
        // `wants_room`: either the worker sees that, or we see the room that it made.
        fence(Ordering::SeqCst);
        self.tell_urgent()
    }

    /// Pushes a command; gives it back when there is no room.
    pub(super) fn push(&mut self, command: Command<Q>) -> Result<(), Command<Q>> {
        if !self.has_room() {
            return Err(command);
        }
        self.commands
            .push(Cell::new(command))
            .map_err(|PushError::Full(command)| command.into_inner())?;
        self.pushed = true;
        Ok(())
    }

    /// Shutdown, close and abort: never refused, never overtaken, told as soon as there is room.
    pub(super) fn urge(&mut self, command: Command<Q>) {
        if let Err(command) = self.push(command) {
            self.urgent.push_back(command);
        }
    }

    /// Bytes came for a connection that was closed: a RST, asked for once for a run of them.
    pub(super) fn lost(&mut self, id: ConnId) {
        if self.last_lost != Some(id) {
            self.last_lost = Some(id);
            self.urge(Command::Abort(id));
        }
    }

    /// Tells what is urgent, as far as there is room; `true` when nothing is left.
    pub(super) fn settle(&mut self) -> bool {
        self.urgent.is_empty() || self.has_room() || self.urgent.is_empty()
    }

    /// `true`: nothing urgent is left, and there is room.
    fn tell_urgent(&mut self) -> bool {
        while !self.commands.is_full() {
            let Some(command) = self.urgent.pop_front() else {
                return true;
            };
            // There is room, and nobody else pushes.
            let _ = self.commands.push(Cell::new(command));
            self.pushed = true;
        }
        false
    }

    /// Sends a buffer home.
    pub(super) fn give_back(&mut self, buffer: Return<Q>) {
        // A worker that is gone takes nothing back: the pool outlives it and takes the buffer from here.
        if self.returns.is_abandoned() {
            return;
        }
        let refused = self.returns.push(buffer).is_err();
        debug_assert!(!refused, "the return ring has room for every buffer that is out");
        self.pushed = true;
    }

    /// A blank buffer; without one, the endpoint's next sleep ends when there is.
    pub(super) fn blank(&mut self) -> Option<RxChunk<Q::Rx>> {
        let blank = self.blanks.pop().ok();
        self.starved_of_blanks |= blank.is_none();
        blank
    }

    /// There is a blank buffer; else as [`blank`](Self::blank).
    #[cfg(feature = "async")]
    pub(super) fn has_blank(&mut self) -> bool {
        let has = !self.blanks.is_empty();
        self.starved_of_blanks |= !has;
        has
    }

    /// Something was taken out of the worker's rings: wakes it, the next time it is woken, if it waits for room in them.
    pub(super) fn popped(&mut self) {
        // Pairs with the fence of `Sleeper::prepare`, which stands between asking for this and looking at the rings once more:
        // either the worker sees the room, or we see that it asks.
        fence(Ordering::SeqCst);
        self.pushed |= self.ties.wants_pop.load(Ordering::Relaxed);
    }

    /// Wakes the worker when it was told something.
    pub(super) fn wake_worker(&mut self) {
        if std::mem::take(&mut self.pushed) {
            self.worker.wake_if_sleeping();
        }
    }

    /// The worker left; whatever it had sent before is in the rings.
    pub(super) fn worker_has_left(&self) -> bool {
        self.ties.worker_left.load(Ordering::Acquire)
    }

    /// A step would find something to do: asked once more before sleeping.
    pub(super) fn has_news(&self) -> bool {
        !self.events.is_empty()
            || !self.opened.is_empty()
            || (self.starved_of_blanks && !self.blanks.is_empty())
            || (self.starved_of_room && !self.commands.is_full())
            || (!self.stopped && self.worker_has_left())
    }

    /// Connections wait for this at the end of a step: the next one is to come as soon as there is some.
    pub(super) fn starve(&mut self, of_room: bool, of_blanks: bool) {
        if of_room {
            // Says so to the worker when there is none.
            self.has_room();
            self.starved_of_room = true;
        }
        self.starved_of_blanks |= of_blanks;
    }

    /// Commands that can be pushed now.
    pub(super) fn room(&self) -> usize {
        self.commands.slots()
    }

    /// A step begins: who still starves will say so again.
    pub(super) fn begin_step(&mut self) {
        self.starved_of_blanks = false;
        self.starved_of_room = false;
    }

    /// Commands that wait beside the ring.
    pub(super) fn urgent_len(&self) -> usize {
        self.urgent.len()
    }
}
