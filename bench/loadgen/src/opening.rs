//! Opening connections: for every slot that wants one, so many at a time, and as evenly as `--ramp` asks for.

use fourtuple::{Instant, Queue, WorkerCalls};

use crate::generator::{AGAIN, Generator, SlotNumber};
use crate::plan::Pattern;
use crate::shared::{Failure, Phase};

impl<Q: Queue> Generator<Q> {
    /// Opens connections for vacant slots, some a turn.
    pub(crate) fn open_some(&mut self, worker: &mut WorkerCalls<'_, Q, SlotNumber>, now: Instant) {
        if self.phase == Phase::Finish || now < self.not_before {
            return;
        }
        let each_is_an_operation = self.plan.pattern == Pattern::ConnectRequestResponse;
        let due = self.due(now);
        for _ in 0..OPEN_BUDGET {
            let may = match (self.plan.pattern, self.phase) {
                // One connection shows whether the target is there.
                (Pattern::ConnectRequestResponse, Phase::Connect) => {
                    self.worker == 0 && !self.probed && self.slots.opening == 0
                }
                (Pattern::ConnectRequestResponse, _) => true,
                (Pattern::Hold, phase) => {
                    phase == Phase::Connect && self.slots.opening < self.plan.opening && self.ramped < due
                }
                (Pattern::RequestResponse | Pattern::Stream { .. } | Pattern::Http, _) => {
                    self.slots.opening < self.plan.opening && self.ramped < due
                }
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
                    // Those that take the place of others are as soon as may be.
                    if due < u32::MAX {
                        self.ramped += 1;
                    }
                    self.slots.begin(slot, id, now);
                    if let Some(answers) = self.answers.get_mut(slot as usize) {
                        answers.clear();
                    }
                    if is_operation {
                        self.slots.start(slot, now);
                        self.slots.at_mut(slot).unsent = self.request_len;
                    }
                    let with_syn = is_operation && self.plan.fast_open;
                    let _ = worker.with(id, |connection, state| {
                        *state = SlotNumber::of(slot);
                        if with_syn {
                            self.go_on(connection, slot);
                        }
                    });
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

    /// Connections that may have been tried by now: all of them when the ramp is over.
    fn due(&self, now: Instant) -> u32 {
        let elapsed = self.began.map_or(0, |began| now.since(began).as_nanos());
        ramp(self.slots.len() as u32, elapsed, self.plan.ramp.as_nanos())
    }
}

/// The part of `count` that is due after `elapsed` of `span`, the first at once; no limit when it is over.
fn ramp(count: u32, elapsed: u128, span: u128) -> u32 {
    if elapsed >= span {
        return u32::MAX;
    }
    // The quotient is below `count`.
    (u128::from(count) * elapsed / span) as u32 + 1
}

/// Connections opened in a turn.
const OPEN_BUDGET: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_even() {
        let cases = [
            (100, 0, 1_000, 1),
            (100, 9, 1_000, 1),
            (100, 10, 1_000, 2),
            (100, 500, 1_000, 51),
            (100, 999, 1_000, 100),
            (100, 1_000, 1_000, u32::MAX),
            (1, 0, 0, u32::MAX),
            (u32::MAX, 1, 1 << 60, 1),
        ];
        for (count, elapsed, span, due) in cases {
            assert_eq!(
                ramp(count, elapsed, span),
                due,
                "{count} connections, {elapsed} of {span}"
            );
        }
    }
}
