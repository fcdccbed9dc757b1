//! Telling owners what happened to their connections: the handler by calls, endpoints by their rings.
//!
//! Runs before `transmit`, so that answers and the window that reading opened leave in the same turn, with the ACK they carry.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fourtuple_nic::Queue;
use fourtuple_tcp::{Signals, State};
use fourtuple_wire::{FourTuple, Received};

use super::calls::WorkerCalls;
use super::connection::Connection;
use super::handed::lend_plainly;
use super::limits::DELIVER_BUDGET;
use super::retire::{Over, outcome};
use super::states::States;
use super::work::{Work, is_open};
use crate::ConnId;
use crate::conn_id::SlotRef;
use crate::handler::{Closed, Handler, Trouble};
use crate::handoff::{EndpointIndex, Event, Opened};
use crate::listener::ListenerId;
use crate::records::{Conn, List, Owner};
use crate::tick::tick_of;

/// States that are asked for before their turn: of very many connections, none is in the cache.
const LOOK_AHEAD: usize = 8;

/// Tells everybody, within a budget; one connection's owner at a time.
///
/// A panic of the handler aborts the connection that it was called for, is counted, and the rest is told (D12).
pub(crate) fn deliver<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
) {
    forget_handed_off(work, states);
    work.deliver_accepted();
    work.feed_starved();
    work.retry_held_up();
    if work.alarms.is_due(tick_of(work.now)) {
        tell_timers(work, handler, states);
    }
    let mut left = work.deliver.len().min(DELIVER_BUDGET);
    for slot in (0..LOOK_AHEAD).map_while(|ahead| work.deliver.ahead(ahead)) {
        states.prefetch::<Q>(slot);
    }
    while left > 0 {
        let mut at = None;
        let stage = catch_unwind(AssertUnwindSafe(|| {
            while left > 0 {
                left -= 1;
                if size_of::<H::State>() > 0
                    && let Some(slot) = work.deliver.ahead(LOOK_AHEAD)
                {
                    states.prefetch::<Q>(slot);
                }
                let Some(slot) = work.deliver.pop_front() else {
                    break;
                };
                at = Some(slot);
                deliver_one(work, handler, states, slot);
            }
        }));
        if stage.is_err() {
            work.counters.handler_panics += 1;
            if let Some(slot) = at {
                contain(work, states, slot);
            }
        }
    }
    work.hub.tell_staged();
    // What is left is due at once: the worker is not to rest before it.
    work.busy |= !work.deliver.is_empty() || work.retry > 0;
    work.retire(|_, slot| states.reset(slot));
    forget_handed_off(work, states);
    work.counters.handler_panics += states.take_panics();
}

/// States of connections that the handler gave away go before their places have others.
fn forget_handed_off<Q: Queue, S: Default>(work: &mut Work<Q>, states: &mut States<S>) {
    while let Some(slot) = work.handed_off.pop() {
        states.reset(slot);
    }
}

/// Calls the handler for timers that are due.
#[cold]
fn tell_timers<Q: Queue, H: Handler<Q>>(work: &mut Work<Q>, handler: &mut H, states: &mut States<H::State>) {
    for _ in 0..DELIVER_BUDGET {
        let Some(slot) = work.next_alarm() else {
            return;
        };
        work.busy = true;
        let called = catch_unwind(AssertUnwindSafe(|| {
            work.in_hand = Some(slot);
            handler.on_timer(&mut Connection { work, slot }, states.at(slot));
            work.put_down();
            work.see_to_the_end(slot);
        }));
        if called.is_err() {
            work.counters.handler_panics += 1;
            contain(work, states, slot);
        }
    }
    work.busy |= work.alarms.is_due(tick_of(work.now));
}

/// The last calls of a turn, those that concern no single connection.
pub(crate) fn finish<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
) {
    work.wake_at = None;
    let called = catch_unwind(AssertUnwindSafe(|| {
        handler.on_turn(&mut WorkerCalls { work, states })
    }));
    if called.is_err() {
        work.counters.handler_panics += 1;
        if let Some(slot) = work.called_for.take() {
            contain(work, states, slot);
        }
    }
}

/// The handler panicked over this connection: it hears nothing more of it.
fn contain<Q: Queue, S: Default>(work: &mut Work<Q>, states: &mut States<S>, slot: SlotRef) {
    work.in_hand = None;
    states.reset(slot);
    if work.records.conn(slot).is_some() {
        work.close(slot, true);
        work.orphan(slot);
    }
}

fn deliver_one<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
    slot: SlotRef,
) {
    let Some((conn, own)) = work.records.conn_and_own_mut(slot) else {
        work.records.came_off(slot, List::Deliver);
        return;
    };
    if !std::mem::take(&mut conn.flags.deliver) {
        return;
    }
    let (owner, only_readable) = (conn.owner, conn.is_only_readable());
    if let Owner::Endpoint(endpoint) = owner
        && only_readable
    {
        let id = ConnId::new(work.worker, slot, own.generation());
        if lend_plainly(conn, id, work.hub.lender(endpoint), &mut work.pools) {
            // As `put_down`: the state stays, and nothing more is owed.
            if !conn.flags.transmit && !conn.is_armed_in_time() {
                work.arm(slot);
            }
            return;
        }
    }
    work.in_hand = Some(slot);
    match owner {
        // As nearly always: `tell_handler` without its looks at what else there may be.
        Owner::Handler if only_readable => {
            conn.signals = Signals::default();
            let before = conn.tcb.unread();
            handler.on_readable(&mut Connection { work, slot }, states.at(slot));
            if work.settle_plainly(slot) {
                work.in_hand = None;
                return;
            }
            read_some(work, handler, states, slot, before);
        }
        Owner::Handler => tell_handler(work, handler, states, slot),
        Owner::Endpoint(endpoint) => work.tell_endpoint(slot, endpoint),
        Owner::Queue | Owner::Moving(_) | Owner::Orphan => {}
    }
    work.put_down();
}

/// The handler left something, or did more than to read and to send.
#[cold]
fn read_some<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
    slot: SlotRef,
    before: usize,
) {
    let mut connection = Connection { work, slot };
    let after = connection.unread();
    if after > 0 {
        left_unread(&mut connection, before, after, false);
    }
    tell_end(work, handler, states, slot);
}

fn tell_handler<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
    slot: SlotRef,
) {
    let Some(conn) = work.records.conn_mut(slot) else {
        return;
    };
    if conn.tcb.state() == State::Closed && conn.listener.is_some() && !conn.flags.told_open {
        // Accepted, and over before the handler heard of it: it is not told of the end of what never began for it.
        conn.flags.let_go = true;
        conn.flags.told_ended = true;
        work.note_retire(slot);
        return;
    }
    let signals = std::mem::take(&mut conn.signals);
    let first = is_open(conn.tcb.state()) && !conn.flags.told_open;
    conn.flags.told_open |= first;
    let wants_room = signals.contains(Signals::WRITABLE) && std::mem::take(&mut conn.flags.wants_room);
    let before = conn.tcb.unread();
    let state = states.at(slot);
    let mut connection = Connection { work, slot };
    if first {
        handler.on_open(&mut connection, state);
    }
    if signals.contains(Signals::URGENT) && connection.is_handlers() {
        handler.on_urgent(&mut connection, state);
    }
    let trouble = trouble_of(signals);
    if let Some(trouble) = trouble
        && connection.is_handlers()
    {
        handler.on_trouble(&mut connection, trouble, state);
    }
    if wants_room && connection.is_handlers() {
        handler.on_writable(&mut connection, state);
    }
    // They may have read, or given it away.
    let before = if first || wants_room || trouble.is_some() || signals.contains(Signals::URGENT) {
        if !connection.is_handlers() {
            return;
        }
        connection.unread()
    } else {
        before
    };
    let last_call = connection.state() == State::Closed;
    if before > 0 && (signals.contains(Signals::READABLE) || wants_room || first || last_call) {
        handler.on_readable(&mut connection, state);
        let after = connection.unread();
        if after > 0 {
            left_unread(&mut connection, before, after, last_call);
        }
    }
    tell_end(work, handler, states, slot);
}

/// The last things that a handler is told: the peer's FIN, and the end.
fn tell_end<Q: Queue, H: Handler<Q>>(
    work: &mut Work<Q>,
    handler: &mut H,
    states: &mut States<H::State>,
    slot: SlotRef,
) {
    let Some(conn) = work.records.conn_mut(slot) else {
        return;
    };
    if conn.sees_end()
        && conn.flags.told_open
        && !conn.flags.told_end_of_file
        && !conn.flags.let_go
        && conn.owner == Owner::Handler
    {
        conn.flags.told_end_of_file = true;
        handler.on_peer_closed(&mut Connection { work, slot }, states.at(slot));
    }
    if work.over(slot) == Over::Tell && work.is_handlers(slot) {
        let id = work.name(slot);
        let ending = work.records.conn_mut(slot).and_then(|conn| {
            conn.flags.told_ended = true;
            conn.ended
        });
        handler.on_closed(
            Closed {
                id,
                outcome: ending.map_or(Ok(()), outcome),
            },
            states.at(slot),
        );
        work.note_retire(slot);
    }
}

/// The handler left something of what there was to read.
#[cold]
fn left_unread<Q: Queue>(connection: &mut Connection<'_, Q>, before: usize, after: usize, last_call: bool) {
    let slot = connection.slot;
    if !connection.is_handlers() {
        return;
    }
    if after < before {
        // It took some and left some: again next turn.
        connection.work.deliver_again(slot);
    }
    let Some(conn) = connection.work.records.conn_mut(slot) else {
        return;
    };
    if after < before {
        conn.signals.insert(Signals::READABLE);
    } else if last_call && after == before {
        // It wants nothing of what is left, and nothing else will happen.
        conn.flags.let_go = true;
    }
}

impl<Q: Queue> Work<Q> {
    /// Connections that found no buffer try again.
    fn feed_starved(&mut self) {
        if self.starved.is_empty() || self.now < self.starved_until {
            return;
        }
        for _ in 0..self.starved.len().min(DELIVER_BUDGET) {
            let Some(slot) = self.starved.pop_front() else {
                return;
            };
            let Some(conn) = self.records.conn_mut(slot) else {
                self.records.came_off(slot, List::Starved);
                continue;
            };
            if std::mem::take(&mut conn.flags.starved) {
                conn.signals.insert(Signals::WRITABLE);
                self.deliver_again(slot);
            }
        }
    }

    /// Accept queues empty into endpoints that have credit (D9).
    fn deliver_accepted(&mut self) {
        for place in 0..self.listeners.places() {
            while self.deliver_one_accepted(ListenerId(place)) {}
        }
    }

    /// The connection that waits for longest goes to an endpoint; `false` when none waits, or no endpoint takes one.
    fn deliver_one_accepted(&mut self, id: ListenerId) -> bool {
        let Some(name) = self
            .listeners
            .at(id)
            .and_then(|listener| listener.accept_queue.front().copied())
        else {
            return false;
        };
        let waits = |conn: &Conn<Q>| conn.owner == Owner::Queue;
        let slot = self
            .records
            .named(name)
            .filter(|slot| self.records.conn(*slot).is_some_and(waits));
        let Some((slot, tuple)) = slot.and_then(|slot| Some((slot, self.records.tuple(slot)?))) else {
            // It was reset while it waited, and is no longer counted.
            self.leave_accept_queue(id, false);
            return true;
        };
        let policy = self.listeners.at(id).map(|listener| listener.policy);
        let Some(endpoint) = self.hub.take_credit(id, policy.unwrap_or_default()) else {
            return false;
        };
        let opened = Opened::Accepted {
            id: name,
            tuple,
            listener: id,
            credit: self.send_credit(slot),
        };
        if self.hub.try_opened(endpoint, opened).is_err() {
            self.hub.on_credit(endpoint, id, 1);
            self.counters.events_deferred += 1;
            return false;
        }
        self.leave_accept_queue(id, true);
        self.busy = true;
        self.give_to(slot, endpoint);
        true
    }

    /// The first of an accept queue leaves it.
    fn leave_accept_queue(&mut self, id: ListenerId, waited: bool) {
        if let Some(listener) = self.listeners.at_mut(id) {
            listener.accept_queue.pop_front();
            listener.waiting = listener.waiting.saturating_sub(u32::from(waited));
        }
    }

    /// A connection has an endpoint from now on.
    fn give_to(&mut self, slot: SlotRef, endpoint: EndpointIndex) {
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.owner = Owner::Endpoint(endpoint);
            conn.flags.told_open = true;
            conn.signals.insert(Signals::READABLE);
        }
        self.deliver_again(slot);
    }

    /// What an endpoint is told of its connection, in order: opened, room, chunks, end of file, the end. When it takes no more
    /// the connection is held up until it does.
    fn tell_endpoint(&mut self, slot: SlotRef, endpoint: EndpointIndex) {
        if self.try_tell_endpoint(slot, endpoint).is_err() {
            self.counters.events_deferred += 1;
            self.hold_up(slot, endpoint);
        }
    }

    fn hold_up(&mut self, slot: SlotRef, endpoint: EndpointIndex) {
        if !self.hub.wait_for_room(endpoint) {
            // It made room meanwhile.
            self.deliver_again(slot);
            return;
        }
        let name = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        if std::mem::replace(&mut conn.flags.held_up, true) {
            // More happened to it meanwhile, which some of can be told: room to send, while no chunk may be lent.
            return;
        }
        if self.held_up.len() >= self.held_up.capacity() {
            // Names of connections that have ended: a look at all of them takes them out.
            self.retry = self.held_up.len();
        }
        self.held_up.push_back(name);
    }

    /// Connections that were held up go back on the list when their endpoints take more again.
    fn retry_held_up(&mut self) {
        if self.held_up.is_empty() {
            self.retry = 0;
            return;
        }
        if self.hub.has_made_room() {
            self.retry = self.held_up.len();
            // Whoever was first before, and took what there was, is the last now: with little to be lent, one that always has more
            // would leave nothing to the others.
            if let Some(first) = self.held_up.pop_front() {
                self.held_up.push_back(first);
            }
        }
        for _ in 0..self.retry.min(DELIVER_BUDGET) {
            self.retry -= 1;
            let Some(name) = self.held_up.pop_front() else {
                return;
            };
            let Some(slot) = self.records.named(name) else {
                continue;
            };
            let owner = self.records.conn(slot).map(|conn| conn.owner);
            if let Some(Owner::Endpoint(endpoint)) = owner
                && !self.hub.has_event_room(endpoint)
                && self.hub.wait_for_room(endpoint)
            {
                self.held_up.push_back(name);
                continue;
            }
            if let Some(conn) = self.records.conn_mut(slot) {
                conn.flags.held_up = false;
            }
            self.deliver_again(slot);
        }
    }

    fn try_tell_endpoint(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        let (id, Some(tuple)) = (self.name(slot), self.records.tuple(slot)) else {
            return Ok(());
        };
        self.tell_opened(slot, endpoint, tuple)?;
        self.tell_urgent(slot, endpoint)?;
        self.report_trouble(slot, endpoint)?;
        // Before the chunks: who holds all that may be lent until it can send would wait for ever.
        self.tell_room(slot, endpoint)?;
        loop {
            if !self
                .records
                .conn(slot)
                .is_some_and(|conn| conn.tcb.has_unread() && conn.flags.told_open)
            {
                break;
            }
            if !self.hub.may_lend(endpoint) || !self.hub.has_event_room(endpoint) {
                return Err(RingFull);
            }
            let Some(Some(chunk)) = self.with_tcb(slot, |tcb, env| tcb.receive(env)) else {
                break;
            };
            if let Err(Event::Chunk(_, chunk, _)) = self.hub.try_event(endpoint, Event::Chunk(id, chunk, 0)) {
                // Can't be: fullness was looked at. The window takes the bytes' space back, their loss would be silent.
                let space = chunk.space();
                drop(chunk);
                self.with_tcb(slot, |tcb, env| tcb.release(space, env));
                self.close(slot, true);
                return Ok(());
            }
        }
        self.tell_end_of_file(slot, endpoint)?;
        self.tell_ended(slot, endpoint)
    }

    fn tell_opened(
        &mut self,
        slot: SlotRef,
        endpoint: EndpointIndex,
        tuple: FourTuple,
    ) -> Result<(), RingFull> {
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        if conn.flags.told_open {
            return Ok(());
        }
        let token = conn.token;
        let open = is_open(conn.tcb.state());
        let opened = match (open, conn.ended.map(outcome)) {
            (true, _) => Opened::Connected {
                id,
                tuple,
                token,
                credit: self.send_credit(slot),
            },
            (false, Some(Err(why))) => Opened::ConnectFailed { token, why },
            (false, _) => return Ok(()),
        };
        self.hub.try_opened(endpoint, opened).map_err(|_| RingFull)?;
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.flags.told_open = true;
            conn.flags.told_ended |= !open;
        }
        if !open {
            self.note_retire(slot);
        }
        Ok(())
    }

    /// What an endpoint's payload may be charged before it hears of room: what the connection's own queue takes, or one that is slow
    /// would hold up the endpoint's commands for all others.
    pub(super) fn send_credit(&self, slot: SlotRef) -> u32 {
        let profile = self.records.conn(slot).map(|conn| conn.profile);
        profile
            .and_then(|profile| self.profiles.get(profile))
            .map_or(0, |profile| profile.send_buffer)
    }

    fn report_trouble(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        if let Some(trouble) = trouble_of(conn.signals).filter(|_| conn.flags.told_open) {
            self.hub
                .try_event(endpoint, Event::Trouble(id, trouble))
                .map_err(|_| RingFull)?;
            conn.signals.remove(Signals::R1_EXCEEDED | Signals::UNREACHABLE);
        }
        Ok(())
    }

    /// Before the chunks that it speaks of: how far the urgent ones reach.
    fn tell_urgent(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        if !conn.signals.contains(Signals::URGENT) || !conn.flags.told_open {
            return Ok(());
        }
        if let Some(ahead) = conn.tcb.urgent_ahead(&self.pools) {
            self.hub
                .try_event(endpoint, Event::Urgent(id, ahead))
                .map_err(|_| RingFull)?;
        }
        conn.signals.remove(Signals::URGENT);
        Ok(())
    }

    fn tell_end_of_file(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        if !conn.sees_end() || conn.flags.told_end_of_file {
            return Ok(());
        }
        self.hub
            .try_event(endpoint, Event::PeerClosed(id))
            .map_err(|_| RingFull)?;
        conn.flags.told_end_of_file = true;
        Ok(())
    }

    fn tell_room(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        conn.signals = Signals::default();
        // What the endpoint sent and is not queued any more has been acknowledged.
        let queued = conn.tcb.queued_charge();
        let freed = conn.freed.saturating_sub(queued);
        if freed == 0 {
            return Ok(());
        }
        self.hub
            .try_event(endpoint, Event::Writable(id, freed))
            .map_err(|_| RingFull)?;
        conn.freed = queued;
        Ok(())
    }

    fn tell_ended(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> Result<(), RingFull> {
        if self.over(slot) != Over::Tell {
            return Ok(());
        }
        let id = self.name(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return Ok(());
        };
        let how = conn.ended.map_or(Ok(()), outcome);
        self.hub
            .try_event(endpoint, Event::Ended(id, how))
            .map_err(|_| RingFull)?;
        conn.flags.told_ended = true;
        self.note_retire(slot);
        Ok(())
    }
}

/// What signals say of trouble; that somebody said why goes before silence.
fn trouble_of(signals: Signals) -> Option<Trouble> {
    if signals.contains(Signals::UNREACHABLE) {
        Some(Trouble::Unreachable)
    } else if signals.contains(Signals::R1_EXCEEDED) {
        Some(Trouble::NoAnswer)
    } else {
        None
    }
}

/// The endpoint takes no more now.
struct RingFull;
