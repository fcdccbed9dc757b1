//! The end of a connection: TCP has ended *and* its owner knows or let go. Then the record goes, or becomes a TIME_WAIT record.

use fourtuple_nic::Queue;
use fourtuple_tcp::{Ending, State};
use fourtuple_wire::FourTuple;

use super::work::Work;
use crate::conn_id::SlotRef;
use crate::error::ConnectionError;
use crate::records::{Conn, List, Owner, Rare};

/// What is left to do with a connection that may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// It is not over, or still owes a segment or an event.
    NotYet,
    /// Its owner has to be told before the record goes.
    Tell,
    /// Nobody needs it.
    Gone,
}

impl<Q: Queue> Work<Q> {
    /// Whether a connection is over for TCP and for its owner.
    #[inline]
    pub(crate) fn over(&mut self, slot: SlotRef) -> Over {
        let Some(conn) = self.records.conn(slot) else {
            return Over::NotYet;
        };
        let ended = match conn.tcb.state() {
            // What came before the peer's FIN is still the handler's to read, if it wants to.
            State::Closed => {
                let unread = conn.owner == Owner::Handler && !conn.flags.let_go && conn.tcb.has_unread();
                conn.tcb.is_closed() && !unread
            }
            // Everything was read and acknowledged: the compact record knows all that is left to know.
            State::TimeWait => !conn.tcb.owes() && !conn.tcb.has_unread(),
            State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => false,
        };
        if !ended {
            return Over::NotYet;
        }
        match conn.owner {
            Owner::Orphan => Over::Gone,
            // Whoever has it next is told.
            Owner::Moving(_) => Over::NotYet,
            Owner::Queue => match conn.ended {
                // It closed in an orderly way before it was accepted: the application still gets what was sent.
                Some(Ending::Closed | Ending::TimeWait) | None => Over::NotYet,
                Some(Ending::Reset | Ending::Refused | Ending::TimedOut | Ending::Aborted) => Over::Gone,
            },
            Owner::Handler | Owner::Endpoint(_) if conn.flags.told_ended => Over::Gone,
            Owner::Handler | Owner::Endpoint(_) => Over::Tell,
        }
    }

    /// Takes out what is over and nobody needs; the rest comes back when more has happened to it.
    pub(crate) fn retire(&mut self, mut gone: impl FnMut(&Self, SlotRef)) {
        while let Some(slot) = self.retire.pop_front() {
            match self.records.conn_mut(slot) {
                Some(conn) => conn.flags.retire = false,
                None => self.records.came_off(slot, List::Retire),
            }
            match self.over(slot) {
                Over::NotYet => {
                    self.unlist_if_closed(slot);
                }
                Over::Tell => self.deliver_again(slot),
                Over::Gone => {
                    gone(self, slot);
                    self.bury(slot);
                }
            }
        }
    }

    /// A connection that is CLOSED may wait for its owner, but its four-tuple is free. `false`: it is not closed.
    pub(super) fn unlist_if_closed(&mut self, slot: SlotRef) -> bool {
        let Some(conn) = self.records.conn_mut(slot) else {
            return false;
        };
        let closed = conn.tcb.is_closed();
        if closed && !conn.flags.rare.note(Rare::UNLISTED) {
            self.records.unlist(slot);
        }
        closed
    }

    /// A connection in TIME_WAIT that owes nothing may wait for its owner, too, but its four-tuple is the compact record's, which
    /// this is. `None`: it is not so far, or there is no room.
    pub(super) fn time_wait_now(&mut self, slot: SlotRef) -> Option<SlotRef> {
        let tuple = self.records.tuple(slot)?;
        let record = self.with_tcb(slot, |tcb, env| tcb.time_wait(env)).flatten()?;
        self.make_time_wait_room(&tuple);
        if !self.records.has_time_wait_room(tuple.family()) {
            return None;
        }
        let conn = self.records.conn_mut(slot)?;
        if !conn.flags.rare.note(Rare::UNLISTED) {
            self.records.unlist(slot);
        }
        self.records.insert_time_wait(&tuple, record)
    }

    /// The TCB goes; in TIME_WAIT a compact record takes its place, if none has before.
    fn bury(&mut self, slot: SlotRef) {
        let waits =
            |conn: &Conn<Q>| conn.tcb.state() == State::TimeWait && !conn.flags.rare.has(Rare::UNLISTED);
        if !self.records.conn(slot).is_some_and(waits) {
            self.discard(slot);
            return;
        }
        let tuple = self.records.tuple(slot);
        let time_wait = self.with_tcb(slot, |tcb, env| tcb.time_wait(env)).flatten();
        self.discard(slot);
        let (Some(tuple), Some(time_wait)) = (tuple, time_wait) else {
            return;
        };
        self.make_time_wait_room(&tuple);
        self.records.insert_time_wait(&tuple, time_wait);
    }

    /// At the bound the oldest goes: a server that closes first at full rate keeps serving.
    fn make_time_wait_room(&mut self, tuple: &FourTuple) {
        while !self.records.has_time_wait_room(tuple.family()) {
            if !self.records.evict_time_wait(tuple.family()) {
                break;
            }
            self.counters.time_wait_evicted += 1;
        }
    }
}

/// What the application is told of an ending.
pub(crate) fn outcome(ending: Ending) -> Result<(), ConnectionError> {
    match ending {
        Ending::Closed | Ending::TimeWait => Ok(()),
        Ending::Reset => Err(ConnectionError::Reset),
        Ending::Refused => Err(ConnectionError::Refused),
        Ending::TimedOut => Err(ConnectionError::TimedOut),
        Ending::Aborted => Err(ConnectionError::Aborted),
    }
}
