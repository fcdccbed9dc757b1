//! A connection changes hands: from the handler to an endpoint, or from an endpoint to another (D9). Nothing of it is lost or told
//! twice: who has it hears of everything, in order, and the next owner goes on behind that.
//!
//! ```text
//!   endpoint A            worker                       endpoint B
//!      Move ─────────────►  owner: B, as soon as it has what A knows
//!      Moved ◄────────────  the last that A hears
//!      └─ what A knows of it, with its unread bytes ──────► inbox
//!                           owner: B  ◄───────────────── Take
//! ```

use std::sync::atomic::Ordering;

use fourtuple_nic::Queue;
use fourtuple_tcp::Signals;

use super::work::{Work, is_open};
use crate::ConnId;
use crate::conn_id::SlotRef;
use crate::error::ApiMisuse;
use crate::handoff::{Command, EndpointHandle, EndpointIndex, EndpointNumber, Event, Opened, StreamError};
use crate::records::Owner;

impl<Q: Queue> Work<Q> {
    /// The handler has this connection.
    #[inline]
    pub(super) fn is_handlers(&self, slot: SlotRef) -> bool {
        self.records
            .conn(slot)
            .is_some_and(|conn| conn.owner == Owner::Handler)
    }

    /// Reading outside of `on_readable` may have brought a connection to the end of file, and no segment will come to tell.
    pub(super) fn see_to_the_end(&mut self, slot: SlotRef) {
        if self
            .records
            .conn(slot)
            .is_some_and(|conn| conn.tcb.at_end() && !conn.flags.told_end_of_file && !conn.flags.let_go)
        {
            self.deliver_again(slot);
        }
    }

    /// From the handler to an endpoint.
    pub(super) fn hand_off(
        &mut self,
        slot: SlotRef,
        to: &EndpointHandle<Q>,
        mark: u64,
    ) -> Result<(), StreamError> {
        let ended = StreamError::Misuse(ApiMisuse::NoSuchConnection);
        let (id, tuple) = (self.name(slot), self.records.tuple(slot).ok_or(ended)?);
        let conn = self.records.conn(slot).ok_or(ended)?;
        if conn.owner != Owner::Handler || conn.flags.let_go || !is_open(conn.tcb.state()) {
            return Err(ended);
        }
        // What the send buffer had grown by is not the endpoint's to fill again: its path may not carry that any more.
        let whole = self.send_credit(slot);
        let queued = conn.tcb.queued_charge().min(whole);
        let endpoint = self
            .hub
            .place_of(to.number())
            .ok_or(StreamError::Misuse(ApiMisuse::Stopped))?;
        if !to.has_room() {
            return Err(StreamError::NotYet);
        }
        let opened = Opened::Handed {
            id,
            tuple,
            mark,
            credit: whole - queued,
        };
        to.waiting().fetch_add(1, Ordering::Relaxed);
        if self.hub.try_opened(endpoint, opened).is_err() {
            to.waiting().fetch_sub(1, Ordering::Relaxed);
            return Err(StreamError::NotYet);
        }
        self.forget_timer(slot);
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.owner = Owner::Endpoint(endpoint);
            conn.token = 0;
            conn.freed = queued;
            conn.flags.told_open = true;
            conn.flags.told_end_of_file = false;
            conn.flags.wants_room = false;
            conn.signals.insert(Signals::READABLE);
        }
        self.counters.handed_off += 1;
        self.busy = true;
        self.handed_off.push(slot);
        self.deliver_again(slot);
        Ok(())
    }

    /// From an endpoint to another: the first hears no more.
    ///
    /// # Errors
    /// The command, when the first can't be told so now.
    pub(super) fn begin_move(
        &mut self,
        endpoint: EndpointIndex,
        id: ConnId,
        to: EndpointNumber,
    ) -> Result<(), Command<Q>> {
        let Some(slot) = self.owned(endpoint, id) else {
            return Ok(());
        };
        let target = self.hub.place_of(to);
        let told = Event::Moved(id, target.is_some());
        if self.hub.try_event(endpoint, told).is_err() {
            return Err(Command::Move { id, to });
        }
        let Some(target) = target else {
            return Ok(());
        };
        if let Some(conn) = self.records.conn_mut(slot) {
            conn.token = u32::from(endpoint.0);
            conn.owner = Owner::Moving(target);
            if std::mem::take(&mut conn.flags.held_up) {
                self.held_up.retain(|name| *name != id);
            }
        }
        Ok(())
    }

    /// An endpoint has what there is to know of a connection that moved, and is told everything from now on. It is the one that it
    /// moved to or, when that has gone, the one that it came from.
    pub(super) fn take_moved(&mut self, endpoint: EndpointIndex, id: ConnId) {
        let slot = self.records.named(id);
        let Some((slot, conn)) = slot.and_then(|slot| Some((slot, self.records.conn_mut(slot)?))) else {
            self.counters.stale_commands += 1;
            return;
        };
        let came_from = conn.token == u32::from(endpoint.0);
        match conn.owner {
            Owner::Moving(to) if to == endpoint || came_from => {
                conn.owner = Owner::Endpoint(endpoint);
                conn.token = 0;
                conn.signals.insert(Signals::READABLE);
                self.counters.moved += u64::from(!came_from);
                self.deliver_again(slot);
            }
            Owner::Queue | Owner::Handler | Owner::Endpoint(_) | Owner::Moving(_) | Owner::Orphan => {
                self.counters.stale_commands += 1;
            }
        }
    }
}
