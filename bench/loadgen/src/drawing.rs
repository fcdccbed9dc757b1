//! Which connection asks next, where only so many have requests under way at a time (`--active`): each once in an order that looks
//! random, then all of them again.

use fourtuple::{Queue, WorkerCalls};

use crate::generator::{Generator, SlotNumber};
use crate::slots::Place;

impl<Q: Queue> Generator<Q> {
    /// Starts requests on connections of the order until as many ask as may.
    pub(crate) fn draw(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>) {
        let Some(most) = self.most_active else {
            return;
        };
        if self.slots.len() == 0 {
            return;
        }
        for _ in 0..DRAWN {
            if !self.runs() || self.slots.active >= most || self.tickets == 0 {
                return;
            }
            let slot = self.order.draw();
            let place = self.slots.at(slot);
            let (Place::Open, 0, Some(id)) = (place.place, place.outstanding, place.id) else {
                continue;
            };
            // One that has just ended is told so by `on_closed`.
            let _ = worker.with(id, |connection, _| {
                self.start_requests(connection, slot);
                self.send_requests(connection, slot);
            });
        }
    }
}

/// Connections looked at in a turn.
const DRAWN: usize = 256;
