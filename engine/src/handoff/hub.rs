//! All endpoints of one worker, as its shard uses them.
//!
//! Nothing here waits, locks or allocates: an endpoint's place is set aside at start, its rings come with it. Every ring is
//! SPSC. Commands are given to the shard a few of each endpoint in turn, also while event rings are full; a
//! command that can't be executed now is [held](Hub::hold) and comes first next turn.
//!
//! ```text
//!   place:  vacant ─ attach ─► live ─ poll_gone ─► gone ─ detach ─► leaving ─ last buffer home ─► vacant
//! ```
//!
//! What is not here: which connection belongs to which endpoint, and the events that did not fit (the shard's owed list).

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{Ordering, fence};

use fourtuple_nic::Queue;

use super::credit::Credits;
use super::lend::{Lends, Lent};
use super::protocol::{Command, EndpointIndex, EndpointNumber, Event, Opened};
use super::rings::WorkerEnd;
use super::slot::{Place, Slot, Waits};
use crate::ConnId;
use crate::buffer::RxChunk;
use crate::listener::{AcceptPolicy, ListenerId};

/// Bounds of a worker's hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HubLimits {
    /// Endpoints at a time, those included that left and whose buffers are not all home.
    pub(crate) endpoints: u16,
    /// Listeners; their numbers are below this.
    pub(crate) listeners: u16,
    /// Buffers lent, all endpoints together: a quarter of the pool (D5).
    pub(crate) lent: u32,
    /// With fewer free payload buffers than this, endpoints get no more than a few blank ones.
    pub(crate) low_water: u32,
}

impl HubLimits {
    /// For a worker whose pools hold so many buffers of received frames and of payload.
    pub(crate) fn for_pools(received: u32, payload: u32) -> Self {
        Self {
            endpoints: 64,
            listeners: 4096,
            lent: received / 4,
            low_water: payload / 16,
        }
    }
}

/// What a worker's hub can tell of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct HubStatus {
    /// Endpoints attached and not gone.
    pub(crate) endpoints: u32,
    /// Endpoints that are gone and whose connections or buffers are not all settled.
    pub(crate) leaving: u32,
    /// Received buffers that are lent now.
    pub(crate) lent: u32,
    /// The most that may be.
    pub(crate) lent_bound: u32,
    /// Blank buffers that endpoints hold now.
    pub(crate) blanks: u32,
    /// Entries in the fullest event ring, of so many.
    pub(crate) fullest_events: (u32, u32),
    /// Commands that wait in all rings.
    pub(crate) commands_waiting: u32,
    /// Endpoints that sleep although they have news: they are woken one a turn.
    pub(crate) wakes_waiting: u32,
    /// Events and connections that were refused because a ring was full, since start.
    pub(crate) ring_full: u64,
    /// Chunks that were refused because enough were lent, since start.
    pub(crate) lend_refused: u64,
    /// Times that a command was held, since start.
    pub(crate) held: u64,
    /// Sleeping endpoints that were woken, since start.
    pub(crate) wakes: u64,
}

/// All endpoints of one worker.
pub(crate) struct Hub<Q: Queue> {
    worker: u16,
    limits: HubLimits,
    slots: Vec<Slot<Q>>,
    /// Places from the first to the last that is taken: a worker without endpoints looks at none.
    used: usize,
    credits: Credits,
    lends: Lends,
    next_command: usize,
    next_blanks: usize,
    /// Bytes of commands that endpoints copied into their buffers, and nobody asked for yet.
    copied_bytes: u64,
    next_wake: usize,
    ring_full: u64,
    lend_refused: u64,
    held: u64,
    wakes: u64,
}

impl<Q: Queue> Hub<Q> {
    /// Of this worker, with a place for each of `limits.endpoints`.
    pub(crate) fn new(worker: u16, limits: HubLimits) -> Self {
        let endpoints = usize::from(limits.endpoints);
        Self {
            worker,
            limits,
            slots: (0..endpoints).map(|_| Slot::vacant()).collect(),
            used: 0,
            credits: Credits::new(endpoints, usize::from(limits.listeners)),
            lends: Lends::new(limits.lent),
            next_command: 0,
            next_blanks: 0,
            copied_bytes: 0,
            next_wake: 0,
            ring_full: 0,
            lend_refused: 0,
            held: 0,
            wakes: 0,
        }
    }

    /// Gives an endpoint a place; `None`: all are taken, and the endpoint finds that this worker has stopped.
    pub(crate) fn attach(&mut self, end: WorkerEnd<Q>) -> Option<EndpointIndex> {
        let at = self.slots.iter().position(|slot| slot.place == Place::Vacant)?;
        self.slots[at] = Slot::live(end);
        self.used = self.used.max(at + 1);
        Some(EndpointIndex(at as u16))
    }

    /// The next command of any endpoint that `plain` does not take. It is asked of a few of each endpoint in turn, and each command is one
    /// less that is `left`.
    #[inline]
    pub(crate) fn poll_command(
        &mut self,
        left: &mut usize,
        mut plain: impl FnMut(EndpointIndex, Command<Q>) -> Option<Command<Q>>,
    ) -> Option<(EndpointIndex, Command<Q>)> {
        let mut idle = 0;
        while *left > 0 && idle < self.used {
            let at = if self.next_command < self.used {
                self.next_command
            } else {
                0
            };
            self.next_command = at + 1;
            let index = EndpointIndex(at as u16);
            let most = (*left).min(COMMANDS_IN_A_ROW);
            let mut untouched = most;
            let polled = self.slots[at].poll_command(
                &mut untouched,
                &mut self.lends,
                &mut self.copied_bytes,
                |command| plain(index, command),
            );
            *left -= most - untouched;
            if let Some(command) = polled {
                return Some((index, command));
            }
            idle = if untouched < most { 0 } else { idle + 1 };
        }
        None
    }

    /// Bytes that endpoints copied to send them, since this was last asked.
    #[inline]
    pub(crate) fn take_copied(&mut self) -> u64 {
        std::mem::take(&mut self.copied_bytes)
    }

    /// The command can't be executed now: it comes first next turn, and this endpoint's others behind it.
    pub(crate) fn hold(&mut self, endpoint: EndpointIndex, command: Command<Q>) {
        if let Some(slot) = self.slot_mut(endpoint) {
            slot.held = Some(command);
            slot.stalled = true;
            self.held += 1;
        }
    }

    /// Drops buffers that came home, here on the worker, at most `budget`; returns how many.
    pub(crate) fn poll_returns(&mut self, budget: usize) -> usize {
        let mut left = budget;
        for slot in &mut self.slots[..self.used] {
            left -= slot.take_returns(left, &mut self.lends);
            if slot.is_settled() {
                *slot = Slot::vacant();
            }
        }
        while self.used > 0 && self.slots[self.used - 1].place == Place::Vacant {
            self.used -= 1;
        }
        budget - left
    }

    /// Whether the endpoint's event ring takes another event now.
    pub(crate) fn has_event_room(&mut self, endpoint: EndpointIndex) -> bool {
        let slot = self.slots.get_mut(usize::from(endpoint.0));
        slot.and_then(|slot| slot.end.as_mut()).is_some_and(|end| {
            end.tell_staged();
            !end.events.is_full()
        })
    }

    /// A chunk may be lent to this endpoint: neither its bound nor that of all is reached.
    pub(crate) fn may_lend(&self, endpoint: EndpointIndex) -> bool {
        self.slot(endpoint)
            .is_some_and(|slot| self.lends.may_lend(&slot.lent))
    }

    /// What chunks are lent to this endpoint by, where each needs the same few things.
    #[inline]
    pub(crate) fn lender(&mut self, endpoint: EndpointIndex) -> Option<Lender<'_, Q>> {
        let slot = self.slots.get_mut(usize::from(endpoint.0))?;
        Some(Lender {
            end: slot.end.as_mut()?,
            lent: &mut slot.lent,
            lends: &mut self.lends,
            news: &mut slot.news,
        })
    }

    /// Tells an event. A chunk is lent by this.
    ///
    /// # Errors
    /// The event, when the ring is full, the chunk may not be lent, or the endpoint has no place here: try again later.
    pub(crate) fn try_event(&mut self, endpoint: EndpointIndex, event: Event<Q>) -> Result<(), Event<Q>> {
        let Some(slot) = self.slots.get_mut(usize::from(endpoint.0)) else {
            return Err(event);
        };
        let lends = match event {
            Event::Chunk(..) => true,
            Event::Writable(..)
            | Event::Urgent(..)
            | Event::Trouble(..)
            | Event::PeerClosed(_)
            | Event::Ended(..)
            | Event::Moved(..)
            | Event::Seen(..) => false,
        };
        if lends && !self.lends.may_lend(&slot.lent) {
            self.lend_refused += 1;
            return Err(event);
        }
        let Some(end) = slot.end.as_mut() else {
            return Err(event);
        };
        end.tell_staged();
        if let Err(rtrb::PushError::Full(event)) = end.events.push(Cell::new(event)) {
            self.ring_full += 1;
            return Err(event.into_inner());
        }
        if lends {
            self.lends.lend(&mut slot.lent);
        }
        slot.news = true;
        Ok(())
    }

    /// Where this endpoint is, if it is there.
    pub(crate) fn place_of(&self, number: EndpointNumber) -> Option<EndpointIndex> {
        let lives = |slot: &Slot<Q>| {
            let end = slot.end.as_ref().filter(|_| slot.place == Place::Live);
            end.is_some_and(|end| end.presence.number == number)
        };
        let at = self.slots[..self.used].iter().position(lives)?;
        Some(EndpointIndex(at as u16))
    }

    /// Takes a credit for this listener, of the endpoint that is to have the next connection.
    pub(crate) fn take_credit(
        &mut self,
        listener: ListenerId,
        policy: AcceptPolicy,
    ) -> Option<EndpointIndex> {
        let Self {
            worker,
            credits,
            slots,
            used,
            ..
        } = self;
        credits.take(listener, policy, *worker, *used, |endpoint| {
            slots.get(usize::from(endpoint.0)).map_or(u32::MAX, Slot::load)
        })
    }

    /// Some endpoint waits for a connection of this listener.
    pub(crate) fn has_credit(&self, listener: ListenerId) -> bool {
        self.credits.has(listener)
    }

    /// The endpoint said that it takes so many more.
    pub(crate) fn on_credit(&mut self, endpoint: EndpointIndex, listener: ListenerId, count: u32) {
        if self.slot(endpoint).is_some_and(|slot| slot.place == Place::Live) {
            self.credits.post(endpoint, listener, count);
        }
    }

    /// The endpoint takes so many fewer, as far as it was not given them.
    pub(crate) fn on_withdraw(&mut self, endpoint: EndpointIndex, listener: ListenerId, count: u32) {
        self.credits.withdraw(endpoint, listener, count);
    }

    /// The listener is gone: nobody waits for it any more.
    pub(crate) fn forget_listener(&mut self, listener: ListenerId) {
        self.credits.forget_listener(listener);
    }

    /// Tells of a connection, or that there is none: the answer to a credit or a connect.
    ///
    /// # Errors
    /// The message, when the ring is full: try again later.
    pub(crate) fn try_opened(&mut self, endpoint: EndpointIndex, opened: Opened) -> Result<(), Opened> {
        let Some(slot) = self.slot_mut(endpoint) else {
            return Err(opened);
        };
        let Some(end) = slot.end.as_mut() else {
            return Err(opened);
        };
        match end.opened.push(opened) {
            Ok(()) => {
                slot.news = true;
                Ok(())
            }
            Err(rtrb::PushError::Full(opened)) => {
                self.ring_full += 1;
                Err(opened)
            }
        }
    }

    /// Fills the rings of blank buffers. Under the low-water mark each endpoint gets but a few, so that it can still answer
    /// and so give back what it reads, and each in turn. The last buffers are for handlers: an endpoint that sends as fast as
    /// buffers come back would leave them none.
    pub(crate) fn refill_blanks(&mut self, queue: &mut Q) {
        let (mut free, mut short) = (None, None);
        let kept_back = (self.limits.low_water / KEPT_BACK_PART).max(1);
        let first = if self.next_blanks < self.used {
            self.next_blanks
        } else {
            0
        };
        for at in (first..self.used).chain(0..first) {
            let slot = &mut self.slots[at];
            if slot.place != Place::Live {
                continue;
            }
            let Some(end) = slot.end.as_mut() else { continue };
            let (room, capacity) = (end.blanks.slots(), end.blanks.buffer().capacity());
            if room < (capacity / 4).max(1) {
                continue;
            }
            // Asked only when somebody needs some: a port may have to count.
            let free = free.get_or_insert_with(|| queue.payload_pool().1);
            let budget = if *free < self.limits.low_water {
                (capacity / 8).max(1)
            } else {
                capacity
            };
            let was_empty = room == capacity;
            let wanted = budget.saturating_sub(capacity - room);
            let spare = free.saturating_sub(kept_back) as usize;
            if spare < wanted {
                // Next time the first that got none comes first.
                short.get_or_insert(at + usize::from(spare > 0));
            }
            let mut filled = 0;
            while filled < wanted.min(spare)
                && let Some(blank) = queue.blank()
            {
                // There is room, and nobody else pushes.
                let _ = end.blanks.push(crate::buffer::RxChunk(blank));
                filled += 1;
            }
            slot.blanks_out += filled as u32;
            *free = free.saturating_sub(filled as u32);
            slot.news |= was_empty && filled > 0;
        }
        self.next_blanks = short.unwrap_or(self.next_blanks);
    }

    /// An endpoint that was dropped and whose last command was polled: the shard is to drop its connections, then to
    /// [`detach`](Self::detach) it. Told once.
    pub(crate) fn poll_gone(&mut self) -> Option<EndpointIndex> {
        let at = self.slots[..self.used].iter().position(Slot::has_gone)?;
        let endpoint = EndpointIndex(at as u16);
        self.slots[at].place = Place::Gone;
        self.credits.forget(endpoint);
        Some(endpoint)
    }

    /// The shard tells this endpoint nothing any more. Its place is free again once all its buffers are home.
    pub(crate) fn detach(&mut self, endpoint: EndpointIndex) {
        self.credits.forget(endpoint);
        let Some(slot) = self.slot_mut(endpoint) else {
            return;
        };
        if let (Place::Live | Place::Gone, Some(end)) = (slot.place, &mut slot.end) {
            end.tell_staged();
            end.leave();
            slot.place = Place::Leaving;
            slot.held = None;
            slot.waits = Waits::default();
        }
    }

    /// Tells what was lent in this turn and not told yet.
    pub(crate) fn tell_staged(&mut self) {
        let ends = self.slots[..self.used]
            .iter_mut()
            .filter_map(|slot| slot.end.as_mut());
        ends.for_each(WorkerEnd::tell_staged);
    }

    /// The end of a turn: wakes at most one endpoint that sleeps and has news; the others in the turns to come.
    pub(crate) fn finish_turn(&mut self) {
        self.tell_staged();
        let mut quiet = true;
        for slot in &mut self.slots[..self.used] {
            slot.stalled = false;
            quiet &= !(slot.news || slot.drained);
        }
        if quiet {
            return;
        }
        // Pairs with the fence of `Sleeper::prepare`: behind all pushes and pops of this turn, before the looks below.
        fence(Ordering::SeqCst);
        let mut woken = None;
        for offset in 0..self.used {
            let at = (self.next_wake + offset) % self.used;
            if self.slots[at].settle_news(woken.is_none()) {
                woken = Some(at);
            }
        }
        if let Some(at) = woken {
            self.next_wake = at + 1;
            self.wakes += 1;
        }
    }

    /// Something waits here for the worker: it is not to sleep.
    pub(crate) fn has_work(&self) -> bool {
        self.slots[..self.used]
            .iter()
            .any(|slot| slot.has_work(&self.lends))
    }

    /// A command is held, and nobody will ring when it can be executed.
    pub(crate) fn has_held(&self) -> bool {
        self.slots[..self.used].iter().any(|slot| slot.held.is_some())
    }

    /// A connection is held up because its endpoint takes no more: the worker is told when that changes. `false`: it does.
    pub(crate) fn wait_for_room(&mut self, endpoint: EndpointIndex) -> bool {
        let lends = &self.lends;
        self.slots.get_mut(usize::from(endpoint.0)).is_some_and(|slot| {
            slot.end.iter_mut().for_each(WorkerEnd::tell_staged);
            slot.wait_for_room(lends)
        })
    }

    /// Some endpoint takes again what it did not: told once.
    pub(crate) fn has_made_room(&mut self) -> bool {
        let lends = &self.lends;
        let mut made = false;
        for slot in &mut self.slots[..self.used] {
            if slot.waits.any() && slot.has_made_room(lends) {
                slot.forget_waits();
                made = true;
            }
        }
        made
    }

    /// What is to be published.
    pub(crate) fn status(&self) -> HubStatus {
        let mut status = HubStatus {
            lent: self.lends.total(),
            lent_bound: self.limits.lent,
            ring_full: self.ring_full,
            lend_refused: self.lend_refused,
            held: self.held,
            wakes: self.wakes,
            ..HubStatus::default()
        };
        for slot in &self.slots[..self.used] {
            match slot.place {
                Place::Vacant => continue,
                Place::Live => status.endpoints += 1,
                Place::Gone | Place::Leaving => status.leaving += 1,
            }
            status.blanks += slot.blanks_out;
            status.wakes_waiting += u32::from(slot.news);
            status.commands_waiting += u32::from(slot.held.is_some());
            if let Some(end) = &slot.end {
                let capacity = end.events.buffer().capacity();
                let fill = (capacity - end.events.slots()) as u32;
                if fill >= status.fullest_events.0 {
                    status.fullest_events = (fill, capacity as u32);
                }
                status.commands_waiting += end.commands.slots() as u32;
            }
        }
        status
    }

    fn slot(&self, endpoint: EndpointIndex) -> Option<&Slot<Q>> {
        self.slots.get(usize::from(endpoint.0))
    }

    fn slot_mut(&mut self, endpoint: EndpointIndex) -> Option<&mut Slot<Q>> {
        self.slots.get_mut(usize::from(endpoint.0))
    }
}

/// One endpoint's event ring, with the counts of what is lent.
pub(crate) struct Lender<'a, Q: Queue> {
    end: &'a mut WorkerEnd<Q>,
    lent: &'a mut Lent,
    lends: &'a mut Lends,
    news: &'a mut bool,
}

impl<Q: Queue> Lender<'_, Q> {
    /// One more chunk may be lent, and told.
    #[inline(always)]
    pub(crate) fn takes_one(&mut self) -> bool {
        self.lends.has_left() && self.end.may_stage(self.lent)
    }

    /// Lends a chunk to an endpoint that takes one, and tells of so much room: with all that are lent in this turn.
    #[inline(always)]
    pub(crate) fn lend(&mut self, id: ConnId, chunk: RxChunk<Q::Rx>, freed: u32) {
        self.end.stage(id, chunk, freed);
        self.lends.lend(self.lent);
        *self.news = true;
    }
}

/// Commands of one endpoint before others get their turn.
const COMMANDS_IN_A_ROW: usize = 16;

/// This part of the low-water mark is kept for handlers.
const KEPT_BACK_PART: u32 = 8;

impl<Q: Queue> fmt::Debug for Hub<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("worker", &self.worker)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
