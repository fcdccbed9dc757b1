//! Answers of HTTP as operations: which of them count, which are errors, and how a connection goes on behind each.

use fourtuple::{Connection, Instant, Queue};

use crate::generator::{Generator, SlotNumber};
use crate::http_answer::{Done, Step};
use crate::plan::{Close, Pattern};
use crate::shared::{Failure, Phase};

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It stays.
    Stay,
    /// Its last answer was here: this side closes.
    Close,
    /// What came is no answer to anything.
    Broken,
}

impl<Q: Queue> Generator<Q> {
    /// Takes what has arrived.
    pub(crate) fn receive_answers(
        &mut self,
        connection: &mut Connection<'_, Q>,
        state: &mut SlotNumber,
        slot: u32,
    ) {
        while let Some(received) = connection.receive() {
            let bytes = received.bytes();
            if self.phase == Phase::Measure {
                self.recorder.counts.received += bytes.len() as u64;
            }
            match self.read_answers(bytes, connection.now(), slot) {
                Then::Stay => {}
                Then::Close => {
                    drop(received);
                    // What comes behind an answer that said it is the last is not looked at: unread, it would reset.
                    while connection.receive().is_some() {}
                    self.take_back(slot);
                    self.slots.vacate(slot, self.phase != Phase::Finish);
                    state.detach();
                    self.close(connection);
                    return;
                }
                Then::Broken => {
                    drop(received);
                    self.fail(
                        slot,
                        |errors| &mut errors.verify,
                        Failure::NotHttp,
                        connection.now(),
                    );
                    state.detach();
                    connection.abort();
                    return;
                }
            }
        }
        if !self.plan.keeps() {
            return;
        }
        if self.phase == Phase::Finish {
            self.end_if_idle(connection, state, slot);
        } else {
            self.go_on(connection, slot);
        }
    }

    /// The peer's FIN; `true` when it was an orderly end.
    pub(crate) fn http_closed(
        &mut self,
        connection: &Connection<'_, Q>,
        state: &mut SlotNumber,
        slot: u32,
    ) -> bool {
        let now = connection.now();
        // An answer without a length ends here.
        if let Some(done) = self.answers[slot as usize].at_end()
            && self.slots.at(slot).outstanding > 0
        {
            self.answered_with(done, now, slot);
        } else if self.slots.at(slot).answered {
            // Between connections it is the server that closes, and it has.
            if let Some(start) = self.slots.answered(slot) {
                self.count(start, now);
            }
        } else {
            return false;
        }
        self.take_back(slot);
        self.slots.vacate(slot, self.phase != Phase::Finish);
        state.detach();
        true
    }

    fn read_answers(&mut self, mut bytes: &[u8], now: Instant, slot: u32) -> Then {
        while !bytes.is_empty() {
            let place = self.slots.at(slot);
            if place.outstanding == 0 || place.answered {
                return Then::Broken;
            }
            match self.answers[slot as usize].read(&mut bytes) {
                Step::More => {}
                Step::Broken => return Then::Broken,
                Step::Done(done) => {
                    let waits_for_end = done.ok
                        && self.plan.pattern == Pattern::ConnectRequestResponse
                        && self.plan.close == Close::Server;
                    if waits_for_end {
                        self.slots.at_mut(slot).answered = true;
                        continue;
                    }
                    self.answered_with(done, now, slot);
                    if done.last || self.plan.pattern == Pattern::ConnectRequestResponse {
                        return Then::Close;
                    }
                }
            }
        }
        Then::Stay
    }

    /// The oldest request under way has its answer.
    fn answered_with(&mut self, done: Done, now: Instant, slot: u32) {
        let Some(start) = self.slots.answered(slot) else {
            return;
        };
        if done.ok {
            self.count(start, now);
        } else {
            self.ended(start, now);
            if self.phase != Phase::Finish {
                self.live().note(Failure::Status);
                *self.recorder.counts.errors.status.get_or_insert_default() += 1;
            }
        }
    }

    fn count(&mut self, start: Instant, now: Instant) {
        if self.ended(start, now) {
            self.recorder.operation(now.since(start).as_nanos() as u64);
        }
    }
}
