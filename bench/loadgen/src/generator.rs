//! The handler: when connections are opened and closed, when operations start, and when they have failed.
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
    worker: u16,
    pub(crate) slots: Slots,
    pub(crate) recorder: Recorder,
    pub(crate) payload: Payload,
    /// The payload in a buffer of this worker; `None` before it is needed, or when there is no buffer.
    pub(crate) piece: Option<SharedBytes<Q::Shared>>,
    pub(crate) piece_sought: bool,
    pub(crate) phase: Phase,
    options: ConnectOptions,
    /// The time of the last turn.
    now: Instant,
    /// When the measured time began here.
    window_start: Instant,
    /// When the last operation of a counted run ended.
    last_end: Instant,
    /// Operations that may still start, and that have not ended, of a run with a count.
    tickets: u64,
    unended: u64,
    probed: bool,
    not_before: Instant,
    next_sweep: Instant,
    next_publish: Instant,
    /// Slots below this have heard of the phase.
    told: u32,
    next_local: usize,
}

/// The number of a connection's slot; none when it is detached.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotNumber(Option<std::num::NonZeroU32>);

impl SlotNumber {
    fn of(slot: u32) -> Self {
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
        Self {
            slots: Slots::new(slots, plan.pipeline),
            recorder: Recorder::new(),
            payload: Payload::new(LENGTHS[0], plan.seed),
            piece: None,
            piece_sought: false,
            phase: Phase::Connect,
            options: ConnectOptions {
                profile: Some(profile),
                ..ConnectOptions::default()
            },
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
            plan,
            shared,
            worker,
        }
    }

    fn live(&self) -> &Live {
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
        let was = self.slots.vacate(slot, self.phase != Phase::Finish);
        if self.phase == Phase::Finish || was.place == Place::Vacant {
            return;
        }
        self.live().note(why);
        let errors = &mut self.recorder.counts.errors;
        if was.place == Place::Opening {
            errors.connect += 1;
            self.not_before = now + AGAIN;
        } else if matches!(self.plan.pattern, Pattern::Stream { .. }) {
            *kind(errors) += 1;
        } else {
            *kind(errors) += lost;
        }
    }

    /// crr: the connection has done its one operation.
    pub(crate) fn close(&self, connection: &mut Connection<'_, Q>) {
        match self.plan.close {
            Close::Client => connection.close(),
            Close::Reset => connection.abort(),
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.told = 0;
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
                let recorder = std::mem::replace(&mut self.recorder, Recorder::new());
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

    /// In the last phase a connection goes when nothing is under way on it.
    pub(crate) fn end_if_idle(
        &mut self,
        connection: &mut Connection<'_, Q>,
        state: &mut SlotNumber,
        slot: u32,
    ) {
        if self.slots.at(slot).outstanding == 0 {
            self.slots.vacate(slot, false);
            state.detach();
            connection.close();
        }
    }

    /// Opens connections for vacant slots, some a turn.
    fn open_some(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>, now: Instant) {
        if self.phase == Phase::Finish || now < self.not_before {
            return;
        }
        let each_is_an_operation = self.plan.pattern == Pattern::ConnectRequestResponse;
        for _ in 0..OPEN_BUDGET {
            let may = match (each_is_an_operation, self.phase) {
                // One connection shows whether the target is there.
                (true, Phase::Connect) => self.worker == 0 && !self.probed && self.slots.opening == 0,
                (true, _) => true,
                (false, _) => self.slots.opening < OPENING,
            };
            if !may {
                return;
            }
            let Some(slot) = self.slots.next_vacant() else {
                return;
            };
            let is_operation = each_is_an_operation && self.phase != Phase::Connect;
            if is_operation && !self.take_ticket() {
                self.slots.untried(slot);
                return;
            }
            if !self.plan.locals.is_empty() {
                self.options.local = self
                    .plan
                    .locals
                    .get(self.next_local % self.plan.locals.len())
                    .copied();
                self.next_local = self.next_local.wrapping_add(1);
            }
            match worker.connect(self.plan.target, &self.options) {
                Ok(id) => {
                    self.slots.begin(slot, id, now);
                    if is_operation {
                        self.slots.start(slot, now);
                        self.slots.at_mut(slot).unsent = u64::from(self.plan.size);
                    }
                    let _ = worker.with(id, |_, state| *state = SlotNumber::of(slot));
                }
                Err(why) => {
                    self.slots.untried(slot);
                    self.recorder.counts.errors.connect += 1;
                    self.live().note(Failure::NotTried(why));
                    self.not_before = now + AGAIN;
                    if is_operation {
                        self.ended(now, now);
                    }
                    return;
                }
            }
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
                (Place::Vacant, _) => continue,
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
            Pattern::RequestResponse | Pattern::Stream { .. } => self.slots.open as usize == self.slots.len(),
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
        self.slots.opened(slot, connection.now());
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
        if let Some(slot) = state.slot() {
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
        let phase = self.shared.phase();
        if phase != self.phase {
            self.enter(phase, now);
        }
        if (self.told as usize) < self.slots.len() {
            self.tell(worker);
        }
        self.open_some(worker, now);
        self.sweep(worker, now);
        self.publish(now);
        worker.wake_at(now + TICK);
    }
}

/// How often slots are swept, counters published, and the phase looked at when nothing happens.
const TICK: Duration = Duration::from_millis(1);

/// After a connection could not be opened, the next is tried so much later.
const AGAIN: Duration = Duration::from_millis(100);

/// Connections opened in a turn.
const OPEN_BUDGET: usize = 32;

/// Connections of a worker that are being opened at a time, but for crr: below any server's SYN queue.
const OPENING: u32 = 64;

/// Connections told of a new phase in a turn.
const TELL_BUDGET: u32 = 256;
