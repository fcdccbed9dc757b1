//! The handler's state of each connection: one place a connection, in arenas beside the records.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fourtuple_nic::{Arena, HugePages, Queue};
use fourtuple_wire::Family;

use crate::conn_id::SlotRef;

/// States of type `S` for the connections of both families.
#[derive(Debug)]
pub(crate) struct States<S> {
    v4: Arena<S>,
    v6: Arena<S>,
    /// Panics of states that were dropped, not yet counted.
    panics: u64,
}

/// Octets of a state that are asked for ahead of its turn: what is larger is seldom used whole.
const ASKED_FOR: usize = 128;

impl<S: Default> States<S> {
    pub(crate) fn new(v4: u32, v6: u32, pages: &dyn HugePages) -> Self {
        Self {
            v4: Arena::new(v4 as usize, pages, S::default),
            v6: Arena::new(v6 as usize, pages, S::default),
            panics: 0,
        }
    }

    /// The state of the connection at `slot`.
    pub(crate) fn at(&mut self, slot: SlotRef) -> &mut S {
        match slot.family() {
            Family::V4 => &mut self.v4[slot.index()],
            Family::V6 => &mut self.v6[slot.index()],
        }
    }

    /// Asks for the lines of a state that is used soon.
    #[inline]
    pub(crate) fn prefetch<Q: Queue>(&self, slot: SlotRef) {
        let states = match slot.family() {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        if size_of::<S>() == 0 {
            return;
        }
        if let Some(state) = states.get(slot.index()) {
            if size_of::<S>() <= ASKED_FOR {
                Q::prefetch_lines(state);
            } else {
                Q::prefetch(state);
            }
        }
    }

    /// A fresh one for the place's next connection.
    pub(crate) fn reset(&mut self, slot: SlotRef) {
        if !std::mem::needs_drop::<S>() {
            *self.at(slot) = S::default();
            return;
        }
        // The application's code, too: what it panics over is this connection's alone (D12), and the old state is gone.
        let dropped = catch_unwind(AssertUnwindSafe(|| *self.at(slot) = S::default()));
        self.panics += u64::from(dropped.is_err());
    }

    /// Panics since this was last asked.
    pub(crate) fn take_panics(&mut self) -> u64 {
        if std::mem::needs_drop::<S>() {
            std::mem::take(&mut self.panics)
        } else {
            0
        }
    }
}
