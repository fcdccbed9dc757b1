//! The handler's state of each connection: one place a connection, in arenas beside the records.

use fourtuple_nic::{Arena, HugePages};
use fourtuple_wire::Family;

use crate::conn_id::SlotRef;

/// States of type `S` for the connections of both families.
#[derive(Debug)]
pub(crate) struct States<S> {
    v4: Arena<S>,
    v6: Arena<S>,
}

impl<S: Default> States<S> {
    pub(crate) fn new(v4: u32, v6: u32, pages: &dyn HugePages) -> Self {
        Self {
            v4: Arena::new(v4 as usize, pages, S::default),
            v6: Arena::new(v6 as usize, pages, S::default),
        }
    }

    /// The state of the connection at `slot`.
    pub(crate) fn at(&mut self, slot: SlotRef) -> &mut S {
        match slot.family() {
            Family::V4 => &mut self.v4[slot.index()],
            Family::V6 => &mut self.v6[slot.index()],
        }
    }

    /// A fresh one for the place's next connection.
    pub(crate) fn reset(&mut self, slot: SlotRef) {
        *self.at(slot) = S::default();
    }
}
