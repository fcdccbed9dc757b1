//! The handler: when connections are opened and closed, and when operations have failed.
//!
//! One value a worker. Its slots are the connections of the closed loop; the state that the engine keeps for a connection
//! is the number of its slot. A connection whose operation is over (crr), or that has failed, is detached: what still
//! happens to it concerns nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fourtuple::{
    Closed, ConnectOptions, Connection, ConnectionError, Handler, Instant, Profile, Queue, SharedBytes,
    WorkerCalls,
};

use crate::http_answer::Answers;
use crate::http_request::request;
use crate::order::Order;
use crate::payload::{LENGTHS, Payload};
use crate::plan::{Close, Limit, Pattern, Plan};
use crate::recorder::{Errors, Recorder};
use crate::shared::{Failure, Finished, Live, Phase, Shared};
use crate::slots::{Place, Slots};

/// The generator of one worker.
#[derive(Debug)]
pub struct Generator<Q: Queue> {
    pub(crate) plan: Arc<Plan>,
    shared: Arc<Shared>,
    pub(crate) worker: u16,
    pub(crate) slots: Slots,
    /// Where each slot is in its answers, where HTTP is spoken.
    pub(crate) answers: Vec<Answers>,
    pub(crate) speaks_http: bool,
    /// Bytes of a request.
    pub(crate) request_len: u64,
    pub(crate) recorder: Recorder,
    pub(crate) payload: Payload,
    /// The payload in a buffer of this worker; `None` before it is needed, or when there is no buffer.
    pub(crate) piece: Option<SharedBytes<Q::Shared>>,
    pub(crate) piece_sought: bool,
    pub(crate) phase: Phase,
    pub(crate) options: ConnectOptions,
    /// The time of the first turn, and of the last.
    pub(crate) began: Option<Instant>,
    now: Instant,
    /// When the measured time began here.
    pub(crate) window_start: Instant,
    /// When the last operation of a counted run ended.
    last_end: Instant,
    /// Operations that may still start, and that have not ended, of a run with a count.
    pub(crate) tickets: u64,
    unended: u64,
    pub(crate) probed: bool,
    pub(crate) not_before: Instant,
    next_sweep: Instant,
    next_publish: Instant,
    /// Slots below this have heard of the phase.
    told: u32,
    pub(crate) next_local: usize,
    /// Connections that were tried, as far as --ramp counts them.
    pub(crate) ramped: u32,
    /// Connections that may have requests under way at a time, where not all may; and whose turn it is.
    pub(crate) most_active: Option<u32>,
    pub(crate) order: Order,
}

/// The number of a connection's slot; none when it is detached.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotNumber(Option<std::num::NonZeroU32>);

impl SlotNumber {
    pub(crate) fn of(slot: u32) -> Self {
        Self(std::num::NonZeroU32::new(slot + 1))
    }

    pub(crate) fn slot(self) -> Option<u32> {
        self.0.map(|number| number.get() - 1)
    }

    pub(crate) fn detach(&mut self) {
        self.0 = None;
    }
}

impl<Q: Queue> Generator<Q> {
    pub(crate) fn new(plan: Arc<Plan>, shared: Arc<Shared>, profile: Profile, worker: u16) -> Self {
        let workers = shared.workers.len() as u16;
        let slots = Plan::share(u64::from(plan.connections), worker, workers) as u32;
        let tickets = match plan.limit {
            Limit::Time(_) => u64::MAX,
            Limit::Operations(count) => Plan::share(count, worker, workers),
        };
        let speaks_http = plan.speaks_http();
        let payload = if speaks_http {
            Payload::of(request(&plan))
        } else {
            Payload::new(LENGTHS[0], plan.seed)
        };
        let request_len = if speaks_http {
            payload.bytes().len() as u64
        } else {
            u64::from(plan.size)
        };
        let mut answers = Vec::new();
        answers.resize_with(if speaks_http { slots as usize } else { 0 }, Answers::default);
        Self {
            // Requests begin where they begin.
            slots: Slots::new(slots, plan.pipeline, !speaks_http),
            answers,
            speaks_http,
            request_len,
            recorder: Recorder::new(speaks_http),
            payload,
            piece: None,
            piece_sought: false,
            phase: Phase::Connect,
            options: ConnectOptions::new()
                .with_profile(profile)
                .with_fast_open(plan.fast_open),
            began: None,
            now: Instant::ZERO,
            window_start: Instant::ZERO,
            last_end: Instant::ZERO,
            tickets,
            unended: tickets,
            probed: false,
            not_before: Instant::ZERO,
            next_sweep: Instant::ZERO,
            next_publish: Instant::ZERO,
            told: slots,
            next_local: usize::from(worker),
            ramped: 0,
            most_active: plan
                .active
                .map(|all| (Plan::share(u64::from(all), worker, workers) as u32).max(1)),
            order: Order::new(slots, plan.seed),
            plan,
            shared,
            worker,
        }
    }

    pub(crate) fn live(&self) -> &Live {
        &self.shared.workers[usize::from(self.worker)]
    }

    /// Operations may start now.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.phase, Phase::WarmUp | Phase::Measure)
    }

    /// Takes leave to start an operation, if there is any.
    pub(crate) fn take_ticket(&mut self) -> bool {
        match self.phase {
            Phase::WarmUp => true,
            Phase::Measure if self.tickets > 0 => {
                if let Limit::Operations(_) = self.plan.limit {
                    self.tickets -= 1;
                }
                true
            }
            Phase::Measure | Phase::Connect | Phase::Finish => false,
        }
    }

    /// An operation that started then is over; `true` when it counts.
    pub(crate) fn ended(&mut self, start: Instant, now: Instant) -> bool {
        if self.phase != Phase::Measure {
            return false;
        }
        if let Limit::Time(_) = self.plan.limit {
            return true;
        }
        // What started in the warm-up took no ticket.
        if start < self.window_start || self.unended == 0 {
            return false;
        }
        self.unended -= 1;
        if self.unended == 0 {
            self.last_end = now;
            self.live().done.store(true, Ordering::Relaxed);
        }
        true
    }

    /// The slot's connection has failed, and with it what was under way; another takes its place.
    pub(crate) fn fail(&mut self, slot: u32, kind: fn(&mut Errors) -> &mut u64, why: Failure, now: Instant) {
        let mut lost = 0;
        while let Some(start) = self.slots.answered(slot) {
            lost += 1;
            self.ended(start, now);
        }
        let again = self.phase != Phase::Finish && self.plan.pattern != Pattern::Hold;
        let was = self.slots.vacate(slot, again);
        if self.phase == Phase::Finish || was.place == Place::Vacant {
            return;
        }
        self.live().note(why);
        let errors = &mut self.recorder.counts.errors;
        if was.place == Place::Opening {
            errors.connect += 1;
            self.not_before = now + AGAIN;
        } else if self.plan.pattern == Pattern::Hold {
            *kind(errors) += 1;
            self.recorder.counts.lost += 1;
        } else if matches!(self.plan.pattern, Pattern::Stream { .. }) {
            *kind(errors) += 1;
        } else {
            *kind(errors) += lost;
        }
    }

    /// Requests under way that will have no answer on this connection start again on another.
    pub(crate) fn take_back(&mut self, slot: u32) {
        while let Some(start) = self.slots.answered(slot) {
            let counts = self.phase == Phase::Measure && start >= self.window_start;
            if counts && matches!(self.plan.limit, Limit::Operations(_)) {
                self.tickets += 1;
            }
        }
    }

    /// crr: the connection has done its one operation.
    pub(crate) fn close(&self, connection: &mut Connection<'_, Q>) {
        match self.plan.close {
            Close::Client | Close::Server => connection.close(),
            Close::Reset => connection.abort(),
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        // Those that are drawn have nothing to hear before the end, and those that are held neither.
        let concerns_all =
            phase == Phase::Finish || (self.most_active.is_none() && self.plan.pattern != Pattern::Hold);
        self.told = if concerns_all { 0 } else { self.slots.len() as u32 };
        match phase {
            Phase::Connect | Phase::WarmUp => {}
            Phase::Measure => {
                self.window_start = now;
                if self.unended == 0 {
                    self.last_end = now;
                    self.live().done.store(true, Ordering::Relaxed);
                }
            }
            Phase::Finish => {
                let end = if self.last_end > Instant::ZERO {
                    self.last_end
                } else {
                    now
                };
                let measured = if self.window_start > Instant::ZERO {
                    end.since(self.window_start)
                } else {
                    Duration::ZERO
                };
                if self.plan.pattern == Pattern::Hold {
                    self.recorder.counts.operations = u64::from(self.slots.open);
                }
                let recorder = std::mem::replace(&mut self.recorder, Recorder::new(self.speaks_http));
                self.live().publish(&recorder.counts);
                self.live().finish(Finished { recorder, measured });
            }
        }
    }

    /// Tells the connections of the new phase, some a turn.
    fn tell(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>) {
        let until = (self.told + TELL_BUDGET).min(self.slots.len() as u32);
        for slot in self.told..until {
            let Some(id) = self.slots.at(slot).id else {
                continue;
            };
            // One that has just ended is told so by `on_closed`.
            let _ = worker.with(id, |connection, state| self.on_phase(connection, state, slot));
        }
        self.told = until;
    }

    fn on_phase(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber, slot: u32) {
        match (self.phase, self.slots.at(slot).place) {
            (_, Place::Vacant) => {}
            (Phase::Finish, Place::Opening) => {
                self.slots.vacate(slot, false);
                state.detach();
                connection.abort();
            }
            (Phase::Finish, Place::Open) => self.end_if_idle(connection, state, slot),
            (Phase::Connect | Phase::WarmUp | Phase::Measure, Place::Opening) => {}
            (Phase::Connect | Phase::WarmUp | Phase::Measure, Place::Open) => self.go_on(connection, slot),
        }
    }

    /// In the last phase a connection goes when nothing is under way on it: with a FIN, and it is over when the peer's comes.
    /// (Closed at once it would be an orphan, of which an engine keeps a bounded number.) A peer that streams may never send
    /// one: it is closed.
    pub(crate) fn end_if_idle(
        &mut self,
        connection: &mut Connection<'_, Q>,
        state: &mut SlotNumber,
        slot: u32,
    ) {
        if self.slots.at(slot).outstanding > 0 {
            return;
        }
        if matches!(self.plan.pattern, Pattern::Stream { .. }) {
            self.slots.vacate(slot, false);
            state.detach();
            connection.close();
        } else {
            connection.shutdown();
        }
    }

    /// Looks at some slots for operations that take too long; at all of them eight times within the time-out.
    fn sweep(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>, now: Instant) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + TICK;
        let ticks = (self.plan.timeout.as_nanos() / (8 * TICK.as_nanos())).max(1) as usize;
        for slot in self.slots.sweep(self.slots.len().div_ceil(ticks).max(64)) {
            let place = *self.slots.at(slot);
            let since = match (place.place, self.plan.pattern) {
                (Place::Vacant, _) | (Place::Open, Pattern::Hold) => continue,
                (Place::Opening, _) => Some(place.moved),
                (Place::Open, Pattern::Stream { .. }) => self.runs().then_some(place.moved),
                (Place::Open, _) => self.slots.oldest_start(slot),
            };
            if since.is_none_or(|since| now.since(since) <= self.plan.timeout) {
                continue;
            }
            self.fail(slot, |errors| &mut errors.timeout, Failure::NoAnswer, now);
            if let Some(id) = place.id {
                let _ = worker.with(id, |connection, state| {
                    state.detach();
                    connection.abort();
                });
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        if now < self.next_publish {
            return;
        }
        self.next_publish = now + TICK;
        let live = self.live();
        if self.phase != Phase::Finish {
            live.publish(&self.recorder.counts);
        }
        live.open.store(self.slots.open, Ordering::Relaxed);
        let ready = match self.plan.pattern {
            Pattern::ConnectRequestResponse => self.probed || self.worker != 0,
            Pattern::Hold => self.slots.are_settled(),
            Pattern::RequestResponse | Pattern::Stream { .. } | Pattern::Http => {
                self.slots.open as usize == self.slots.len()
            }
        };
        live.ready.store(ready, Ordering::Relaxed);
    }
}

impl<Q: Queue> Handler<Q> for Generator<Q> {
    type State = SlotNumber;

    fn on_open(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber) {
        let Some(slot) = state.slot() else {
            connection.abort();
            return;
        };
        if let Some(started) = self.slots.opened(slot, connection.now())
            && self.plan.pattern == Pattern::Hold
            && self.phase != Phase::Finish
        {
            self.recorder.counts.established += 1;
            self.recorder
                .latency(connection.now().since(started).as_nanos() as u64);
        }
        let is_probe =
            self.plan.pattern == Pattern::ConnectRequestResponse && self.slots.at(slot).outstanding == 0;
        if is_probe {
            self.probed = true;
            self.slots.vacate(slot, true);
            state.detach();
            connection.close();
        } else if self.phase == Phase::Finish {
            self.end_if_idle(connection, state, slot);
        } else {
            self.go_on(connection, slot);
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber) {
        match state.slot() {
            Some(slot) => self.receive(connection, state, slot),
            None => while connection.receive().is_some() {},
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber) {
        if let Some(slot) = state.slot() {
            self.go_on(connection, slot);
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber) {
        if let Some(slot) = state.slot()
            && !(self.speaks_http && self.http_closed(connection, state, slot))
        {
            self.fail(
                slot,
                |errors| &mut errors.reset,
                Failure::Closed,
                connection.now(),
            );
            state.detach();
        }
        connection.close();
    }

    fn on_closed(&mut self, closed: Closed, state: &mut SlotNumber) {
        let Some(slot) = state.slot() else {
            return;
        };
        let kind: fn(&mut Errors) -> &mut u64 = match closed.outcome {
            Err(ConnectionError::TimedOut) => |errors| &mut errors.timeout,
            Ok(()) | Err(_) => |errors| &mut errors.reset,
        };
        let why = closed.outcome.map_or_else(Failure::Peer, |()| Failure::Closed);
        self.fail(slot, kind, why, self.now);
        state.detach();
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>) {
        let now = worker.now();
        self.now = now;
        self.began.get_or_insert(now);
        let phase = self.shared.phase();
        if phase != self.phase {
            self.enter(phase, now);
        }
        if (self.told as usize) < self.slots.len() {
            self.tell(worker);
        }
        self.open_some(worker, now);
        self.draw(worker);
        self.sweep(worker, now);
        self.publish(now);
        worker.wake_at(now + TICK);
    }
}

/// How often slots are swept, counters published, and the phase looked at when nothing happens.
const TICK: Duration = Duration::from_millis(1);

/// After a connection could not be opened, the next is tried so much later.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// Connections told of a new phase in a turn.
const TELL_BUDGET: u32 = 256;
