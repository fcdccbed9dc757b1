//! Streams that go to another endpoint, and those that come from elsewhere.

use std::time::Duration;

use fourtuple_nic_mem::MemQueue;

use super::super::MS;
use super::super::hands::mark_of;
use super::super::ledger::Part;
use super::super::player::Player;
use super::super::script::RETRY;
use super::{Line, OnEndpoint, Seated};
use crate::handoff::{Chunk, EndpointHandle, Stream, StreamError, Unmoved};

/// A stream on its way.
pub(super) struct Leaving {
    part: Part,
    to: EndpointHandle<MemQueue>,
    stream: Stream<MemQueue>,
}

/// A chunk that the application keeps for a while when its stream is gone.
pub(super) struct Held {
    _chunk: Chunk<MemQueue>,
    until: u64,
}

impl OnEndpoint {
    /// The script has a stream go elsewhere; whether it left this list.
    pub(super) fn leave(&mut self, at: usize) -> bool {
        let mut ledger = self.shared.ledger();
        let Seated { player, line } = &mut self.live[at];
        let part = player.part;
        let Some((name, to)) = ledger.next_owner(part).filter(|_| line.holds_nothing()) else {
            player.stay(ledger.now + RETRY);
            return false;
        };
        let extras = &ledger.conversations[part.place].extras;
        if extras.hand_overs[part.side].holds
            && !player.echoes()
            && !ledger.side(part).saw_end_of_file
            && let Ok(Some(chunk)) = line.stream.try_recv()
        {
            ledger.read(part, &chunk);
            let until = ledger.now + HELD_FOR;
            self.held.push(Held { _chunk: chunk, until });
        }
        let Seated { line, .. } = self.live.remove(at);
        let ends = (line.stream.local(), line.stream.peer());
        ledger.hand_over(part, name, ends, false);
        self.leaving.push(Leaving {
            part,
            to,
            stream: line.stream,
        });
        true
    }

    /// Sends those off that are on their way; whether any went, or has to stay.
    pub(super) fn see_off(&mut self) -> bool {
        let mut settled = false;
        for Leaving { part, to, stream } in std::mem::take(&mut self.leaving) {
            let moved = stream.move_to(&to, mark_of(part), Duration::ZERO);
            let mut ledger = self.shared.ledger();
            match moved {
                Ok(()) => ledger.handed_over(part),
                Err(Unmoved {
                    why: StreamError::NotYet,
                    stream,
                }) => {
                    self.leaving.push(Leaving { part, to, stream });
                    continue;
                }
                // It has ended, or who was to have it is gone.
                Err(Unmoved { why: _, stream }) => {
                    ledger.not_handed_over(part);
                    let mut player = Player::new(part, &ledger);
                    player.stay(ledger.now + RETRY);
                    let line = Line::new(stream, false);
                    self.live.push(Seated { player, line });
                }
            }
            settled = true;
        }
        settled
    }

    /// Takes what was handed over.
    pub(super) fn take_handed(&mut self) -> bool {
        let Some(endpoint) = &self.endpoint else {
            return false;
        };
        let mut took = false;
        while let Ok(handed) = endpoint.take_handed(Duration::ZERO) {
            took = true;
            let ends = (handed.stream.local(), handed.stream.peer());
            let mut ledger = self.shared.ledger();
            if let Some(part) = ledger.taken(self.name, handed.mark, handed.stream.id(), ends) {
                let player = Player::new(part, &ledger);
                let by_copy = ledger.side(part).handed % 2 == 1;
                let line = Line::new(handed.stream, by_copy);
                self.live.push(Seated { player, line });
            }
        }
        took
    }

    /// Drops chunks whose time is over; when the next one's is.
    pub(super) fn let_go_of_held(&mut self, now: u64) -> u64 {
        self.held.retain(|held| held.until > now);
        let held = self.held.iter().map(|held| held.until).min();
        let again = (!self.leaving.is_empty()).then_some(now + RETRY / 10);
        held.into_iter().chain(again).min().unwrap_or(u64::MAX)
    }

    /// The endpoint is dropped: what is on its way is lost, or its next owner finds that nobody wants it.
    pub(super) fn lose_leaving(&mut self, why: &'static str) {
        let mut ledger = self.shared.ledger();
        for leaving in &self.leaving {
            ledger.not_handed_over(leaving.part);
            ledger.lose_part(leaving.part, why);
        }
        ledger.endpoint_went(self.name, why);
    }
}

/// How long an application keeps a chunk of a stream that went elsewhere.
const HELD_FOR: u64 = 100 * MS;
