//! What the stages of a turn share: everything a worker owns but the application.

use std::sync::Arc;

use fourtuple_nic::{Queue, Reta, Toeplitz};
use fourtuple_tcp::{Ending, Env, Pools, Profile, Signals, State, Tcb};
use fourtuple_wire::{FourTuple, Instant, Received};

use crate::ConnId;
use crate::buffer::{PortBuffers, RxChunk};
use crate::conn_id::SlotRef;
use crate::error::ApiMisuse;
use crate::handoff::Hub;
use crate::mesh::Mesh;
use crate::options::Change;
use crate::records::{Conn, NewConn, Owner, Records};
use crate::secrets::Secrets;
use crate::shard::alarms::Alarms;
use crate::shard::fast_open::Cookies;
use crate::shard::fragments::Pieces;
use crate::shard::limits::Limits;
use crate::shard::listeners::Listeners;
use crate::shard::ports::{AttachedPort, Ports};
use crate::shard::profiles::Profiles;
use crate::shard::scan::Scans;
use crate::shard::slot_list::SlotList;
use crate::stats::Counters;
use crate::tick::{before, tick_of};
use crate::wheel::Wheel;

/// How far away an entry of the wheel must be to be remembered when an earlier one is made: those that are nearer come up soon
/// enough to be forgotten. In ticks (ms).
const FAR: u32 = 10_000;

/// Who owns a four-tuple: one pure function, the same on all workers (D8).
#[derive(Debug)]
pub(crate) struct Steering {
    pub(crate) toeplitz: Toeplitz,
    pub(crate) reta: Reta,
}

impl Steering {
    /// The worker that owns this four-tuple.
    pub(crate) fn owner(&self, tuple: &FourTuple) -> u16 {
        // As the receiver of the frame sees it: the peer is the source.
        let hash = match tuple {
            FourTuple::V4(t) => {
                self.toeplitz
                    .hash_v4(t.remote.octets(), t.local.octets(), t.remote_port, t.local_port)
            }
            FourTuple::V6(t) => {
                self.toeplitz
                    .hash_v6(t.remote.octets(), t.local.octets(), t.remote_port, t.local_port)
            }
        };
        self.reta.owner(hash)
    }
}

/// A handshake that was ignored, for simulations.
#[cfg(any(test, feature = "simulation"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) tuple: FourTuple,
    pub(crate) reason: fourtuple_wire::DropReason,
    /// No connection of its family had a place then.
    pub(crate) was_full: bool,
}

/// Everything a worker owns but the application.
pub(crate) struct Work<Q: Queue> {
    pub(crate) worker: u16,
    pub(crate) workers: u16,
    pub(crate) now: Instant,
    pub(crate) ports: Ports<Q>,
    pub(crate) limits: Limits,
    pub(crate) records: Records<Q>,
    pub(crate) pools: Pools<PortBuffers<Q>>,
    pub(crate) profiles: Profiles,
    pub(crate) wheel: Wheel,
    pub(crate) listeners: Listeners,
    pub(crate) hub: Hub<Q>,
    pub(crate) mesh: Mesh<Q>,
    /// Packets that are put together from fragments.
    pub(crate) pieces: Pieces<Q>,
    pub(crate) steering: Arc<Steering>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) counters: Counters,
    /// Connections whose owner is to be told something.
    pub(crate) deliver: SlotList,
    /// Connections whose endpoint took no more: tried again when it does. Each that lives stands here once.
    pub(crate) held_up: SlotList<ConnId>,
    /// How many of them are to be tried again now.
    pub(crate) retry: usize,
    /// Connections that may be over.
    pub(crate) retire: SlotList,
    /// Connections whose handler found no buffer to send from, with nothing in flight.
    pub(crate) starved: SlotList,
    /// When they try again.
    pub(crate) starved_until: Instant,
    /// A connection that several calls are made for: it is armed once, when they are done.
    pub(crate) in_hand: Option<SlotRef>,
    /// The connection over which the handler is called in the last call of a turn.
    pub(crate) called_for: Option<SlotRef>,
    /// The wheel's pool was exhausted: records are swept from here on until all are armed again.
    pub(crate) sweep: Option<u32>,
    /// What is done to all places, a few a turn.
    pub(crate) scans: Scans,
    /// What servers gave us for TCP Fast Open.
    pub(crate) fast_open: Cookies,
    /// Next ephemeral port to try (RFC 6056).
    pub(crate) port_cursor: u32,
    /// Orphans now.
    pub(crate) orphans: u32,
    /// New connections are refused silently until then (quiet time).
    pub(crate) quiet_until: Instant,
    pub(crate) draining: bool,
    /// When the application wants `on_turn` at the latest.
    pub(crate) wake_at: Option<Instant>,
    /// Timers of the handler's connections.
    pub(crate) alarms: Alarms,
    /// Connections that the handler gave away, and whose states are to go.
    pub(crate) handed_off: Vec<SlotRef>,
    /// Something happened in this turn.
    pub(crate) busy: bool,
    /// Handshakes that were ignored since somebody looked.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) refused: Vec<Refused>,
    /// Connections that a cookie let in since somebody looked, and the number of each one's SYN.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) opened_fast: Vec<(crate::ConnId, fourtuple_wire::SeqNum)>,
}

impl<Q: Queue> Work<Q> {
    /// Lets TCP do something to a connection, and takes note of everything that follows from it: the count by state, debts,
    /// the next deadline. All calls into a TCB go through here.
    #[inline]
    pub(crate) fn with_tcb<R>(
        &mut self,
        slot: SlotRef,
        act: impl FnOnce(&mut Tcb<PortBuffers<Q>>, &mut Env<'_, PortBuffers<Q>>) -> R,
    ) -> Option<R> {
        self.with_conn(slot, |conn, _, env| act(&mut conn.tcb, env))
    }

    /// The same for who looks at what is kept beside the TCB, too, or at its port.
    #[inline(always)]
    pub(crate) fn with_conn<R>(
        &mut self,
        slot: SlotRef,
        act: impl FnOnce(&mut Conn<Q>, &AttachedPort<Q>, &mut Env<'_, PortBuffers<Q>>) -> R,
    ) -> Option<R> {
        let conn = self.records.conn_mut(slot)?;
        let profile = self.profiles.get(conn.profile)?;
        let before = conn.tcb.state();
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let port = &mut self.ports[conn.port];
        let result = act(conn, port, &mut env);
        let after = conn.tcb.state();
        let owes = conn.tcb.owes();
        if owes && !conn.flags.transmit {
            conn.flags.transmit = true;
            port.transmit.push_back(slot);
        }
        if before != after {
            self.state_moved(slot, before, after);
        }
        if !owes && self.in_hand != Some(slot) {
            self.arm(slot);
        }
        Some(result)
    }

    /// The next chunk in order of a connection, read and given back at once; `None` when nothing waits, as is found by who asks
    /// until nothing is left.
    #[inline(always)]
    pub(crate) fn take_chunk(&mut self, slot: SlotRef) -> Option<RxChunk<Q::Rx>> {
        let conn = self.records.conn_mut(slot)?;
        if !conn.tcb.has_unread() {
            return None;
        }
        let profile = self.profiles.get(conn.profile)?;
        let plain = conn.tcb.receive_plain(&mut self.pools);
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        let chunk = match plain {
            Some(chunk) => chunk,
            None => receive_urgent(&mut conn.tcb, &mut env)?,
        };
        conn.tcb.release(chunk.space(), &mut env);
        // A larger window may be owed: the state stays, and no deadline comes nearer.
        if conn.tcb.owes() && !conn.flags.transmit {
            conn.flags.transmit = true;
            self.ports[conn.port].transmit.push_back(slot);
        }
        Some(chunk)
    }

    /// A connection is in another state than before a call.
    #[cold]
    pub(crate) fn state_moved(&mut self, slot: SlotRef, before: State, after: State) {
        self.counters.by_state.moved(Some(before), Some(after));
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        if matches!(after, State::Closed | State::TimeWait)
            && !std::mem::replace(&mut conn.flags.retire, true)
        {
            self.retire.push_back(slot);
        }
        if conn.listener.is_none() && is_opening(before) && is_open(after) {
            self.counters.active_established += 1;
        }
    }

    /// Notes what TCP has to tell the owner of a connection.
    #[inline]
    pub(crate) fn tell(&mut self, slot: SlotRef, signals: Signals, ended: Option<Ending>) {
        if signals.is_empty() && ended.is_none() {
            return;
        }
        if ended.is_some() || signals.intersects(Signals::R1_EXCEEDED | Signals::HANDSHAKE_DONE) {
            self.tell_trouble(slot, signals, ended);
            return;
        }
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.signals.insert(signals);
            if !std::mem::replace(&mut conn.flags.deliver, true) {
                self.deliver.push_back(slot);
            }
        }
    }

    /// The same where the connection has ended, or its peer is not heard.
    #[cold]
    fn tell_trouble(&mut self, slot: SlotRef, signals: Signals, ended: Option<Ending>) {
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        conn.signals.insert(signals);
        let doubt = signals.contains(Signals::R1_EXCEEDED);
        let handshake_done = signals.contains(Signals::HANDSHAKE_DONE);
        if let Some(ending) = ended {
            conn.ended = Some(ending);
            match ending {
                Ending::Reset | Ending::Refused => self.counters.resets_received += 1,
                Ending::TimedOut => {
                    self.counters.timeouts += 1;
                    if conn.flags.orphan {
                        self.counters.orphans_reset += 1;
                    }
                }
                Ending::Closed | Ending::TimeWait | Ending::Aborted => {}
            }
            if !std::mem::replace(&mut conn.flags.retire, true) {
                self.retire.push_back(slot);
            }
        }
        if !conn.flags.deliver {
            conn.flags.deliver = true;
            self.deliver.push_back(slot);
        }
        if doubt {
            self.doubt_next_hop(slot);
        }
        if handshake_done {
            self.fast_open_done(slot);
        }
    }

    /// RFC 9293 §3.8.3, MUST-20 (a): no answer after R1 retransmissions: is the next hop still there?
    fn doubt_next_hop(&mut self, slot: SlotRef) {
        let (Some(tuple), Some(conn)) = (self.records.tuple(slot), self.records.conn(slot)) else {
            return;
        };
        let port = &mut self.ports[conn.port];
        if let Some(next) = port.host.addresses.next_hop(tuple.remote().ip()) {
            port.neighbours.on_doubt(next, self.now);
        }
    }

    /// The application's close, or its abort: how it ends is told to the owner when it is done.
    pub(crate) fn close(&mut self, slot: SlotRef, abort: bool) {
        let closed = self.with_tcb(slot, |tcb, env| {
            if abort {
                tcb.abort(env);
            } else {
                tcb.close(env);
            }
            tcb.state() == State::Closed
        });
        if closed != Some(true) {
            return;
        }
        if self.records.conn(slot).is_some_and(|conn| conn.ended.is_none()) {
            self.tell(slot, Signals::default(), Some(Ending::Aborted));
        } else {
            // It had ended before, and was kept for what lay unread alone: nothing else will happen to it.
            self.note_retire(slot);
        }
    }

    /// Puts a connection on the list of those whose owner is to be told something.
    #[inline]
    pub(crate) fn deliver_again(&mut self, slot: SlotRef) {
        if let Some(conn) = self.records.conn_mut(slot)
            && !conn.flags.deliver
        {
            conn.flags.deliver = true;
            self.deliver.push_back(slot);
        }
    }

    /// Puts a connection on the list of those that may be over.
    pub(crate) fn note_retire(&mut self, slot: SlotRef) {
        if let Some(conn) = self.records.conn_mut(slot)
            && !std::mem::replace(&mut conn.flags.retire, true)
        {
            self.retire.push_back(slot);
        }
    }

    /// Enters a new connection with the TCB that `make` gives and that `begin` sees to where it lies, and counts it. It uses its options from
    /// before; when there is no room it is not made, and uses them no more. `half_open`: what it was until now.
    #[inline(always)]
    pub(crate) fn enter(
        &mut self,
        tuple: &FourTuple,
        new: NewConn,
        half_open: Option<SlotRef>,
        make: impl FnOnce(&mut Env<'_, PortBuffers<Q>>) -> Tcb<PortBuffers<Q>>,
        begin: impl FnOnce(&mut Tcb<PortBuffers<Q>>, &mut Env<'_, PortBuffers<Q>>),
    ) -> Option<SlotRef> {
        let Self {
            records,
            profiles,
            pools,
            counters,
            now,
            ..
        } = self;
        let profile = profiles.get(new.profile)?;
        let mut env = Env {
            now: *now,
            profile,
            pools,
            counters: &mut counters.tcp,
        };
        let make = || Conn::new(new, make(&mut env));
        let Some(slot) = records.insert_conn(tuple, half_open, make) else {
            profiles.release(new.profile);
            return None;
        };
        let conn = records.conn_mut(slot)?;
        begin(&mut conn.tcb, &mut env);
        counters.by_state.moved(None, Some(conn.tcb.state()));
        Some(slot)
    }

    /// Takes a connection that is over out of everything.
    pub(crate) fn discard(&mut self, slot: SlotRef) {
        self.forget_timer(slot);
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        self.counters.by_state.moved(Some(conn.tcb.state()), None);
        if conn.flags.orphan {
            self.orphans = self.orphans.saturating_sub(1);
        }
        if conn.owner == Owner::Queue
            && let Some(listener) = conn.listener.and_then(|id| self.listeners.at_mut(id))
        {
            listener.waiting = listener.waiting.saturating_sub(1);
        }
        let awaited = conn.listener.filter(|_| conn.tcb.awaits_handshake());
        let ended = conn.ended;
        if let Some(profile) = self.profiles.get(conn.profile) {
            let mut env = Env {
                now: self.now,
                profile,
                pools: &mut self.pools,
                counters: &mut self.counters.tcp,
            };
            conn.tcb.free(&mut env);
        }
        self.profiles.release(conn.profile);
        self.records.remove_conn(slot);
        if let Some(id) = awaited {
            self.fast_open_ended(id, ended);
        }
    }

    /// The application let go of a connection: what is left of it is TCP's, bounded in number and time (D5).
    pub(crate) fn orphan(&mut self, slot: SlotRef) {
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        conn.flags.let_go = true;
        if conn.owner == Owner::Orphan {
            return;
        }
        if conn.owner == Owner::Handler {
            self.forget_timer(slot);
        }
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        if conn.owner == Owner::Queue
            && let Some(listener) = conn.listener.and_then(|id| self.listeners.at_mut(id))
        {
            listener.waiting = listener.waiting.saturating_sub(1);
        }
        conn.owner = Owner::Orphan;
        self.note_retire(slot);
        self.count_orphan(slot);
    }

    /// A handler's connection has no timer any more.
    pub(crate) fn forget_timer(&mut self, slot: SlotRef) {
        let handlers = |conn: &&Conn<Q>| conn.owner == Owner::Handler && conn.timer_place().is_some();
        if self.records.conn(slot).filter(handlers).is_some() {
            self.alarms.forget(slot, &mut self.records);
        }
    }

    /// The next connection of the handler whose timer is due.
    pub(crate) fn next_alarm(&mut self) -> Option<SlotRef> {
        self.alarms.poll(tick_of(self.now), &mut self.records)
    }

    /// Nobody will read or write on a connection any more, though its handler may yet be told how it ends: beyond the bound
    /// in number it ends now.
    pub(crate) fn count_orphan(&mut self, slot: SlotRef) {
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        if conn.tcb.state() == State::Closed || std::mem::replace(&mut conn.flags.orphan, true) {
            return;
        }
        self.orphans += 1;
        if self.orphans > self.limits.orphans {
            self.counters.orphans_reset += 1;
            self.close(slot, true);
        }
    }

    /// The calls for the connection in hand are done: arms it, unless `transmit` will.
    #[inline]
    pub(crate) fn put_down(&mut self) {
        if let Some(slot) = self.in_hand.take()
            && !self.note_debt(slot)
        {
            self.arm(slot);
        }
    }

    /// It stands on the list of debtors if it owes something; whether it does.
    #[inline]
    pub(crate) fn note_debt(&mut self, slot: SlotRef) -> bool {
        let Some(conn) = self.records.conn_mut(slot) else {
            return false;
        };
        if conn.tcb.owes() && !std::mem::replace(&mut conn.flags.transmit, true) {
            self.ports[conn.port].transmit.push_back(slot);
        }
        conn.flags.transmit
    }

    /// Makes sure that the wheel looks at a connection no later than its deadline.
    #[inline]
    pub(crate) fn arm(&mut self, slot: SlotRef) {
        if let Some(tick) = self
            .records
            .conn(slot)
            .and_then(|conn| conn.tick_to_arm(tick_of(self.now)))
        {
            self.enter_wheel(slot, tick);
        }
    }

    /// An entry of the wheel for this tick, unless one stands there that will do.
    #[inline(never)]
    pub(crate) fn enter_wheel(&mut self, slot: SlotRef, tick: u32) {
        let Some(conn) = self.records.conn_mut(slot) else {
            return;
        };
        if conn.flags.armed_far && !before(tick, conn.armed_far) {
            // The entry that was made before the nearer ones will do.
            conn.armed = conn.armed_far;
            conn.flags.armed = true;
            conn.flags.armed_far = false;
            return;
        }
        let Some(looked_at) = self.wheel.arm(slot.as_u32(), tick) else {
            self.sweep.get_or_insert(0);
            return;
        };
        if conn.flags.armed
            && !conn.flags.armed_far
            && before(tick_of(self.now).wrapping_add(FAR), conn.armed)
        {
            conn.armed_far = conn.armed;
            conn.flags.armed_far = true;
        }
        conn.armed = looked_at;
        conn.flags.armed = true;
    }

    /// The name of the connection at `slot`.
    pub(crate) fn name(&self, slot: SlotRef) -> ConnId {
        self.records.name(self.worker, slot)
    }

    /// A connection has an option otherwise from now on.
    pub(crate) fn set_option(&mut self, slot: SlotRef, change: Change) -> Result<(), ApiMisuse> {
        let number = self
            .records
            .conn(slot)
            .map(|conn| conn.profile)
            .ok_or(ApiMisuse::NoSuchConnection)?;
        let mut profile = self.profiles[number].clone();
        change.apply(&mut profile);
        self.set_profile(slot, &profile)
    }

    /// A connection has these options from now on; what the handshake agreed on stays.
    pub(crate) fn set_profile(&mut self, slot: SlotRef, profile: &Profile) -> Result<(), ApiMisuse> {
        let conn = self.records.conn_mut(slot).ok_or(ApiMisuse::NoSuchConnection)?;
        let receive_buffer = self.profiles[conn.profile].receive_buffer;
        conn.profile = self
            .profiles
            .exchange(conn.profile, profile)
            .ok_or(ApiMisuse::TooManyOptions)?;
        self.with_tcb(slot, |tcb, env| tcb.options_changed(receive_buffer, env));
        Ok(())
    }
}

/// The next chunk where something urgent is awaited.
#[cold]
#[inline(never)]
fn receive_urgent<Q: Queue>(
    tcb: &mut Tcb<PortBuffers<Q>>,
    env: &mut Env<'_, PortBuffers<Q>>,
) -> Option<RxChunk<Q::Rx>> {
    tcb.receive(env)
}

/// The handshake is not done.
fn is_opening(state: State) -> bool {
    match state {
        State::SynSent | State::SynReceived => true,
        State::Closed
        | State::Listen
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => false,
    }
}

/// The handshake is done: ESTABLISHED, or a state behind it.
pub(crate) fn is_open(state: State) -> bool {
    match state {
        State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
        State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
    }
}
