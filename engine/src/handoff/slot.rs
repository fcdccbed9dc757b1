//! An endpoint's place at a worker's hub.

use std::sync::atomic::Ordering;

use fourtuple_nic::Queue;
use fourtuple_wire::Payload;

use super::lend::{Lends, Lent};
use super::protocol::{Command, Origin};
use super::rings::{Return, WorkerEnd};

/// See the drawing in [`hub`](super::hub).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Vacant,
    Live,
    Gone,
    Leaving,
}

/// One place.
pub(super) struct Slot<Q: Queue> {
    pub(super) place: Place,
    pub(super) end: Option<WorkerEnd<Q>>,
    pub(super) lent: Lent,
    pub(super) blanks_out: u32,
    pub(super) held: Option<Command<Q>>,
    /// The held command was given back this turn: wait for the next.
    pub(super) stalled: bool,
    /// Something was pushed that the endpoint may sleep for.
    pub(super) news: bool,
    /// A command was taken out: there is room again.
    pub(super) drained: bool,
    /// What connections of this endpoint wait for.
    pub(super) waits: Waits,
}

/// What the endpoint takes no more of, and connections are held up for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// Its event ring is full.
    pub(super) events: bool,
    /// Its ring of opened connections is full.
    pub(super) opened: bool,
    /// It, or all together, hold as many chunks as may be lent.
    pub(super) lend: bool,
}

impl Waits {
    pub(super) fn any(self) -> bool {
        self.events || self.opened || self.lend
    }
}

/// What commands bring along, and is their endpoint's no more.
#[derive(Default)]
struct Brought {
    /// Buffers that were given blank.
    blanks: u32,
    /// Buffers that were lent.
    lent: u32,
    /// Bytes that were copied into blank ones.
    copied: u64,
}

impl Brought {
    #[inline(always)]
    fn note<Q: Queue>(&mut self, command: &Command<Q>) {
        match command {
            Command::Send {
                origin: Origin::Lent, ..
            } => self.lent += 1,
            Command::Send { origin, payload, .. } => self.note_payload(*origin, payload.len()),
            Command::SendUrgent(_, payload) => self.note_payload(Origin::Copied, payload.len()),
            Command::Release(..)
            | Command::Shutdown(_)
            | Command::Close { .. }
            | Command::Abort(_)
            | Command::Set(..)
            | Command::Connect { .. }
            | Command::Move { .. }
            | Command::Take(_)
            | Command::Look(..)
            | Command::Credit(..)
            | Command::Withdraw(..) => {}
        }
    }

    #[inline]
    fn note_payload(&mut self, origin: Origin, bytes: usize) {
        match origin {
            Origin::Copied => {
                self.blanks += 1;
                self.copied += bytes as u64;
            }
            Origin::Filled => self.blanks += 1,
            Origin::Lent => self.lent += 1,
            Origin::Part => {}
        }
    }
}

impl<Q: Queue> Slot<Q> {
    pub(super) fn vacant() -> Self {
        Self {
            place: Place::Vacant,
            end: None,
            lent: Lent::default(),
            blanks_out: 0,
            held: None,
            stalled: false,
            news: false,
            drained: false,
            waits: Waits::default(),
        }
    }

    pub(super) fn live(end: WorkerEnd<Q>) -> Self {
        Self {
            place: Place::Live,
            lent: Lent::with_bound(end.lent_limit),
            end: Some(end),
            ..Self::vacant()
        }
    }

    /// The next that `plain` does not take; each is one less that is `left`. The places of all that were taken out go back together.
    #[inline(always)]
    pub(super) fn poll_command(
        &mut self,
        left: &mut usize,
        lends: &mut Lends,
        copied: &mut u64,
        mut plain: impl FnMut(Command<Q>) -> Option<Command<Q>>,
    ) -> Option<Command<Q>> {
        if self.stalled {
            return None;
        }
        if self.held.is_some() {
            *left -= 1;
            return self.held.take();
        }
        let commands = &mut self.end.as_mut()?.commands;
        let count = commands.slots().min(*left);
        if count == 0 {
            // Nothing is taken, and nothing told: the other end's line stays where it is.
            return None;
        }
        // It may have been detached while it lived, and not know yet; then nobody listens to it any more.
        let listened_to = self.place != Place::Leaving;
        let (mut brought, mut next) = (Brought::default(), None);
        for command in commands.read_chunk(count).ok()? {
            let command = command.into_inner();
            *left -= 1;
            brought.note(&command);
            if listened_to && let Some(command) = plain(command) {
                next = Some(command);
                break;
            }
        }
        self.drained = true;
        self.blanks_out = self.blanks_out.saturating_sub(brought.blanks);
        lends.come_home(&mut self.lent, brought.lent);
        *copied += brought.copied;
        next
    }

    /// Drops what came home.
    pub(super) fn take_returns(&mut self, budget: usize, lends: &mut Lends) -> usize {
        let Some(end) = self.end.as_mut() else { return 0 };
        let count = end.returns.slots().min(budget);
        let Ok(returns) = end.returns.read_chunk(count) else {
            return 0;
        };
        for buffer in returns {
            match buffer {
                Return::Lent(chunk) => {
                    lends.come_home(&mut self.lent, 1);
                    drop(chunk);
                }
                Return::Shared(chunk) => {
                    lends.come_home(&mut self.lent, 1);
                    drop(chunk);
                }
                Return::Blank(chunk) => {
                    self.blanks_out = self.blanks_out.saturating_sub(1);
                    drop(chunk);
                }
            }
        }
        count
    }

    /// Left, and every buffer that it ever had is home.
    pub(super) fn is_settled(&self) -> bool {
        self.place == Place::Leaving && self.lent.count() == 0 && self.blanks_out == 0
    }

    /// It left, and everything it wanted was polled. True until its place changes.
    pub(super) fn has_gone(&self) -> bool {
        self.place == Place::Live
            && self.held.is_none()
            && self.end.as_ref().is_some_and(|end| {
                // Acquire pairs with the Release in `Estate::step`: asked first, so that an empty ring stays empty.
                end.ties.endpoint_left.load(Ordering::Acquire) && end.commands.is_empty()
            })
    }

    /// Connections that the endpoint has or is about to learn of.
    pub(super) fn load(&self) -> u32 {
        self.end.as_ref().map_or(u32::MAX, |end| {
            let on_their_way = end.opened.buffer().capacity() - end.opened.slots();
            end.presence
                .load
                .load(Ordering::Relaxed)
                .saturating_add(on_their_way as u32)
        })
    }

    /// Behind the fence of `finish_turn`. Who is awake sees its news before it sleeps; who sleeps is woken if it is its
    /// turn. `true`: woken.
    pub(super) fn settle_news(&mut self, may_wake: bool) -> bool {
        let Some(end) = &self.end else { return false };
        if std::mem::take(&mut self.drained) && end.ties.wants_room.load(Ordering::Relaxed) {
            end.ties.wants_room.store(false, Ordering::Relaxed);
            self.news = true;
        }
        if !self.news || (end.presence.sleeper.is_sleeping() && !may_wake) {
            return false;
        }
        self.news = false;
        end.presence.sleeper.wake()
    }

    /// What it takes no more of now.
    fn full(&self, lends: &Lends) -> Waits {
        self.end.as_ref().map_or_else(Waits::default, |end| Waits {
            events: end.events.is_full(),
            opened: end.opened.is_full(),
            lend: !lends.may_lend(&self.lent),
        })
    }

    /// A connection is held up: notes for what, and has the endpoint ring when it takes something out. `false`: there is room.
    pub(super) fn wait_for_room(&mut self, lends: &Lends) -> bool {
        let full = self.full(lends);
        self.waits.events |= full.events;
        self.waits.opened |= full.opened;
        self.waits.lend |= full.lend;
        self.ask_to_ring();
        full.any()
    }

    /// Some of what connections wait for is there again.
    pub(super) fn has_made_room(&self, lends: &Lends) -> bool {
        let (waits, full) = (self.waits, self.full(lends));
        (waits.events && !full.events) || (waits.opened && !full.opened) || (waits.lend && !full.lend)
    }

    /// Nobody waits any more: all are tried again.
    pub(super) fn forget_waits(&mut self) {
        self.waits = Waits::default();
        self.ask_to_ring();
    }

    fn ask_to_ring(&self) {
        if let Some(end) = &self.end {
            // Before the fence of `Sleeper::prepare`, behind which the rings are looked at once more; pairs with the fence of
            // `EndpointEnd::popped`. Chunks that come home ring anyway.
            let wants = self.waits.events || self.waits.opened;
            end.ties.wants_pop.store(wants, Ordering::Relaxed);
        }
    }

    /// Something waits for the worker.
    pub(super) fn has_work(&self, lends: &Lends) -> bool {
        let Some(end) = &self.end else { return false };
        self.news
            || self.has_made_room(lends)
            || !end.commands.is_empty()
            || !end.returns.is_empty()
            || self.has_gone()
    }
}
