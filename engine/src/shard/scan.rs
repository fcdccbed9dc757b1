//! What concerns every place of a shard, done a few places a turn: connections of a listener or an endpoint that went, draining,
//! aborting.
//!
//! Ten million places looked at in one turn would stop the worker for a tenth of a second, ten million connections aborted for
//! many. So a scan has a cursor and a budget: a place that is looked at costs one, one that something is done to costs
//! [`ACTED`]. Arenas without records are passed over whole.
//!
//! ```text
//!   places:   TCBs v4 │ TCBs v6 │ half-open v4 │ half-open v6
//!             ────────── cursor ──►
//! ```
//!
//! What stands behind the cursor stays as it was left: before a scan begins, its cause keeps others from coming in (the listener
//! is out of the table, the shard drains, the endpoint is gone). Scans run one after the other, in the order of their causes.

use std::collections::VecDeque;

use fourtuple_nic::Queue;
use fourtuple_wire::Family;

use super::control::Done;
use super::limits::SCAN_BUDGET;
use super::work::Work;
use crate::conn_id::{SlotKind, SlotRef};
use crate::handoff::EndpointIndex;
use crate::listener::ListenerId;
use crate::records::{Owner, Records};

/// What a place costs that something is done to, in places that are looked at: measured some 300 ns for an abort against some
/// 10 ns for a look.
const ACTED: u32 = 16;

/// What is done to every place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The listener is gone: what waits for an accept is reset, what is half-open is forgotten.
    Unlisten(ListenerId),
    /// The endpoint is gone: so are its interests in its connections.
    Leave(EndpointIndex),
    /// Owners hear that the shard drains.
    Drain,
    /// RST for everything.
    Abort,
}

#[derive(Debug)]
struct Scan {
    act: Act,
    next: u32,
    done: Option<Done>,
}

/// Scans under way, the first of them in work.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    queue: VecDeque<Scan>,
    /// What the last turn's part cost.
    #[cfg(test)]
    pub(crate) spent: u32,
}

impl Scans {
    /// Nothing is left to scan.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Begins one; `done` is counted at its end.
    pub(crate) fn begin(&mut self, act: Act, done: Option<Done>) {
        self.queue.push_back(Scan { act, next: 0, done });
    }
}

/// What came of a place.
enum Visit {
    Passed,
    Acted,
    /// No frame, or no slot for it: this place again next turn.
    NoRoom,
}

impl<Q: Queue> Work<Q> {
    /// This turn's part of the scans.
    pub(crate) fn scan(&mut self) {
        let mut spent = 0;
        while spent < SCAN_BUDGET
            && let Some(scan) = self.scans.queue.front()
        {
            self.busy = true;
            let (act, at) = (scan.act, scan.next);
            let Some((slot, place)) = place(&self.records, at) else {
                self.finish_scan();
                continue;
            };
            spent += match self.visit(act, slot) {
                Visit::Passed => 1,
                Visit::Acted => ACTED,
                Visit::NoRoom => break,
            };
            if let Some(scan) = self.scans.queue.front_mut() {
                scan.next = place + 1;
            }
        }
        #[cfg(test)]
        {
            self.scans.spent = spent;
        }
    }

    fn finish_scan(&mut self) {
        let Some(Scan { act, next: _, done }) = self.scans.queue.pop_front() else {
            return;
        };
        if let Act::Leave(endpoint) = act {
            self.hub.detach(endpoint);
            // Those of this endpoint that were held up are nobody's now.
            self.retry = self.held_up.len();
        }
        if let Some(done) = done {
            done.count();
        }
    }

    fn visit(&mut self, act: Act, slot: SlotRef) -> Visit {
        match slot.kind() {
            SlotKind::Tcb => self.visit_connection(act, slot),
            SlotKind::Syn => self.visit_half_open(act, slot),
            SlotKind::TimeWait => Visit::Passed,
        }
    }

    fn visit_connection(&mut self, act: Act, slot: SlotRef) -> Visit {
        let Some(conn) = self.records.conn(slot) else {
            return Visit::Passed;
        };
        let (owner, listener) = (conn.owner, conn.listener);
        match act {
            Act::Unlisten(id) if owner == Owner::Queue && listener == Some(id) => {
                self.let_go(slot, true);
                Visit::Acted
            }
            Act::Leave(endpoint) if owner == Owner::Endpoint(endpoint) => {
                self.let_go(slot, false);
                Visit::Acted
            }
            Act::Unlisten(_) | Act::Leave(_) => Visit::Passed,
            Act::Drain => {
                self.deliver_again(slot);
                Visit::Acted
            }
            Act::Abort => {
                self.close(slot, true);
                // Who has one is told; what nobody has accepted is nobody's.
                if owner == Owner::Queue {
                    self.orphan(slot);
                }
                Visit::Acted
            }
        }
    }

    fn visit_half_open(&mut self, act: Act, slot: SlotRef) -> Visit {
        let Some(listener) = self
            .records
            .half_open_mut(slot)
            .map(|half_open| half_open.listener)
        else {
            return Visit::Passed;
        };
        match act {
            // The number may be another's one day: nothing that was meant for this one is left.
            Act::Unlisten(id) if listener == id => {
                self.end_half_open(slot);
                Visit::Acted
            }
            Act::Unlisten(_) | Act::Leave(_) | Act::Drain => Visit::Passed,
            // A peer that has our SYN+ACK takes the connection for established, and nobody would answer it any more.
            Act::Abort => {
                if !self.reset_half_open(slot) {
                    return Visit::NoRoom;
                }
                self.end_half_open(slot);
                Visit::Acted
            }
        }
    }
}

/// Place number `at` of all that are scanned, or the first behind it in an arena that holds records, and its number.
fn place<Q: Queue>(records: &Records<Q>, at: u32) -> Option<(SlotRef, u32)> {
    let mut from = 0;
    for kind in [SlotKind::Tcb, SlotKind::Syn] {
        for family in [Family::V4, Family::V6] {
            let (used, capacity) = records.filled(kind, family);
            let end = from + capacity;
            if used > 0 && at < end {
                let at = at.max(from);
                return Some((SlotRef::new(kind, family, at - from), at));
            }
            from = end;
        }
    }
    None
}
