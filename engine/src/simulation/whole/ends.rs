//! How a connection may end, and how long nothing may happen: each excuse is something that was done or counted.
//!
//! | a side is told of | it may be when |
//! |---|---|
//! | a good end | it closed, and so did its peer |
//! | a RST, a time limit | somebody gave cause: an abort, a dropped endpoint, a host that began anew, a side that has ended so |
//! | the same | the acceptor's host said a moment ago that it had no place for it (`connection_limit`) |
//! | a RST | nothing was lost by it, and the peer's TIME_WAIT is over, or was evicted |
//! | a time limit | its options have short ones; a RST too, where the other side's host has counted one |
//! | a refusal | it opened fast, and its acceptor's time was over, or the round before was reset |

use fourtuple_tcp::Profile;

use super::SECOND;
use super::ledger::{ACCEPTOR, Ledger, OPENER, Over, Part, Round, Side, Stage};
use crate::error::ConnectionError;

impl Ledger {
    /// A side hears of the end.
    pub(super) fn ended(&mut self, part: Part, outcome: Result<(), ConnectionError>) {
        self.note(part, || format!("ended: {outcome:?}"));
        let side = &mut self.round_mut(part).sides[part.side];
        let before = std::mem::replace(&mut side.stage, Stage::Ended(outcome));
        self.is_over_for(part);
        if !matches!(before, Stage::Open | Stage::Opening) {
            self.fail(part, || format!("told of its end when it was {before:?}"));
        }
        let (mine, others) = (*self.side(part), *self.other(part));
        match outcome {
            Err(why) if !self.may_end(part, why) => {
                self.fail(part, || format!("ended without a cause: {why}"));
            }
            Ok(()) if before == Stage::Opening => self.fail(part, || "ended well and never opened".into()),
            Ok(()) if !mine.saw_end_of_file && !mine.closed => {
                self.fail(part, || "ended well, and was told of no end of file".into());
            }
            Ok(()) if !mine.shut => self.fail(part, || "ended well, and it had not closed".into()),
            // RFC 9293 §3.10.4: both directions were closed, each with everything acknowledged.
            Ok(()) if self.round(part).causes.is_empty() && !others.shut => {
                self.fail(part, || "ended well, and the peer had not closed".into());
            }
            Ok(()) | Err(_) => {}
        }
        if outcome.is_err() {
            // Its peer may hear a RST for whatever it sends from here on.
            self.cause(part, "the other side has ended");
        }
    }

    /// Nothing more is told to a side.
    pub(super) fn is_over_for(&mut self, part: Part) {
        let host = self.conversations[part.place].seats[part.side].host;
        let over = Over {
            clock: self.now + self.offsets[host],
            evicted: self.evicted[host],
        };
        self.round_mut(part).sides[part.side].over.get_or_insert(over);
    }

    /// Whether there is a reason for which a side may end so.
    fn may_end(&self, part: Part, why: ConnectionError) -> bool {
        let round = self.round(part);
        !round.causes.is_empty()
            || self.had_no_place(round)
            || match why {
                ConnectionError::Reset => self.lost_nothing(part) || self.met_a_time_limit(part),
                ConnectionError::TimedOut => self.conversations[part.place].short_lives,
                ConnectionError::Refused => self.was_open_before_it_was_told(part),
                ConnectionError::Aborted => false,
            }
    }

    /// The acceptor's host counted that its table was full, so lately that what the opener sent meanwhile met nothing else: it is
    /// told when its patience is over, or with a RST when its half-open record's is.
    fn had_no_place(&self, round: &Round) -> bool {
        round.sides[ACCEPTOR].stage == Stage::NotYet
            && round.refused_at.is_some_and(|at| self.now <= at + ASKS_AGAIN)
    }

    /// An opener by Fast Open is still asking while its acceptor is open: a RST because of a time limit there refuses it, and so does one
    /// of the round before, from the same port, which may acknowledge what lies within the text of the new SYN.
    fn was_open_before_it_was_told(&self, part: Part) -> bool {
        let rounds = &self.rounds[part.place];
        let before = part.round.checked_sub(1).map(|round| &rounds[round]);
        rounds[part.round].opened_fast
            && (self.met_a_time_limit(part)
                || self.conversations[part.place].same_port
                    && before.is_some_and(|before| !before.causes.is_empty()))
    }

    /// Only the last acknowledgment was lost, and the peer forgot before the FIN came again: RFC 9293 §3.10.7.1 has it answer with
    /// a RST.
    fn lost_nothing(&self, part: Part) -> bool {
        let (mine, others) = (self.side(part), self.other(part));
        // Who dawdles may not have looked for the end before the RST came, or not even read everything: a peer that went well, for which
        // nobody gave cause, had all of it acknowledged.
        let (conversation, other) = (&self.conversations[part.place], 1 - part.side);
        let went = others
            .id
            .and_then(|id| self.whose.over_since(conversation.seats[other].host, id));
        let heard_all = mine.saw_end_of_file || mine.read == others.written || went.is_some();
        let ended_well = matches!(others.stage, Stage::Ended(Ok(())) | Stage::LetGo);
        mine.shut
            && heard_all
            && others.closed
            && ended_well
            && others.read == mine.written
            && self.has_forgotten(part.place, 1 - part.side, others)
    }

    /// A side's TIME_WAIT, had it one, may be over: twice its MSL has passed on its host's clock, or some were evicted there.
    fn has_forgotten(&self, place: usize, at: usize, side: &Side) -> bool {
        let conversation = &self.conversations[place];
        let host = conversation.seats[at].host;
        let time_wait = 2 * nanos(&conversation.profiles[at]);
        // Who dawdles hears of the end when TIME_WAIT has begun long since, or is over.
        let began = side.id.and_then(|id| self.whose.over_since(host, id));
        began.or(side.over).is_some_and(|over| {
            self.now + self.offsets[host] >= over.clock + time_wait || self.evicted[host] > over.evicted
        })
    }

    /// Options are such that a time limit may end it, and the other side's host has counted one since it began.
    fn met_a_time_limit(&self, part: Part) -> bool {
        let (conversation, other) = (&self.conversations[part.place], 1 - part.side);
        let host = conversation.seats[other].host;
        conversation.short_lives && self.limits_met[host] > self.round(part).limits_before[other]
    }

    /// A round that is open on some side and in which nothing happened for longer than `bound` while all is calm.
    pub(super) fn stuck(&self, bound: u64) -> Option<Part> {
        for (place, rounds) in self.rounds.iter().enumerate() {
            for (round, state) in rounds.iter().enumerate() {
                let side = state
                    .sides
                    .iter()
                    .position(|side| matches!(side.stage, Stage::Open | Stage::Opening));
                // A side that closed may wait for a peer that is gone for as long as an orphan lives.
                let orphan = if state.causes.is_empty() { 0 } else { 80 * SECOND };
                // That there is no place for it is something that happens, too: the opener asked, and was heard.
                let refused = state.refused_at.unwrap_or(0);
                let since = state.progress_at.max(self.calm_at).max(refused);
                if let Some(side) = side
                    && self.now > since + bound + orphan
                {
                    return Some(Part { place, round, side });
                }
            }
        }
        None
    }

    /// An opener whose own host finds no place or no port for it, long after everything that could hold one is over.
    pub(super) fn cannot_open(&self) -> Option<usize> {
        self.puts_off
            .iter()
            .position(|since| since.is_some_and(|since| self.now > since.max(self.calm_at) + HELD_MOST))
    }

    /// A round that may end in any way, and in which nothing happens: its other side may be dead without a word.
    pub(super) fn is_abandoned(&self, part: Part) -> bool {
        let round = self.round(part);
        let excused = !round.causes.is_empty() || self.conversations[part.place].short_lives;
        excused && self.now > round.progress_at.max(self.calm_at) + 5 * SECOND
    }

    /// At the end of the world: every open had its end, and what was written and closed well was read.
    pub(super) fn settle(&mut self) {
        for place in 0..self.conversations.len() {
            for round in 0..self.rounds[place].len() {
                for side in [OPENER, ACCEPTOR] {
                    let part = Part { place, round, side };
                    let (mine, theirs) = (*self.side(part), *self.other(part));
                    if matches!(mine.stage, Stage::Open | Stage::Opening) {
                        self.fail(part, || "opened, and never ended".into());
                    }
                    // Who ended otherwise than well was excused for it, and is a cause since.
                    if self.round(part).causes.is_empty() && mine.written != theirs.read {
                        self.fail(part, || {
                            format!(
                                "{} bytes were written, and {} of them read",
                                mine.written, theirs.read
                            )
                        });
                    }
                }
            }
        }
    }
}

fn nanos(profile: &Profile) -> u64 {
    profile.msl.as_nanos() as u64
}

/// The longest for which a connection may hold its place when all is calm and applications let go: R2, and what closing takes.
const HELD_MOST: u64 = 300 * SECOND;

/// The longest time between two segments of an opener that asks: the largest `max_rto` of a plan, twice, should one be lost.
const ASKS_AGAIN: u64 = 20 * SECOND;

#[cfg(test)]
mod tests {
    use fourtuple_wire::{DropReason, Family, FourTuple};

    use super::*;
    use crate::ConnId;
    use crate::conn_id::{SlotKind, SlotRef};
    use crate::shard::Refused;
    use crate::simulation::whole::MS;
    use crate::simulation::whole::script::{Conversation, port_of};

    const OURS: Part = Part {
        place: 0,
        round: 0,
        side: OPENER,
    };
    const THEIRS: Part = Part {
        place: 0,
        round: 0,
        side: ACCEPTOR,
    };

    fn id(place: u32) -> ConnId {
        ConnId::new(0, SlotRef::new(SlotKind::Tcb, Family::V4, place), 1)
    }

    /// One conversation, which the opener has asked for; all is calm.
    fn asked() -> Ledger {
        let mut ledger = Ledger::new(vec![Conversation::plain()], 0, vec![0, 0], false);
        ledger.opening(0);
        ledger
    }

    #[test]
    fn a_full_table_is_an_excuse_where_it_was_counted_lately_and_nobody_was_let_in() {
        use DropReason::{AcceptQueueFull, ConnectionLimit};
        // What was counted and when, whether the acceptor has it, when the opener's time is over, whether that is right.
        let rows = [
            (None, false, 75, false),
            (Some((ConnectionLimit, 70)), false, 75, true),
            (Some((ConnectionLimit, 40)), false, 75, false),
            (Some((AcceptQueueFull, 70)), false, 75, false),
            (Some((ConnectionLimit, 70)), true, 75, false),
        ];
        for (refused, let_in, ends, right) in rows {
            let mut ledger = asked();
            let there: std::net::IpAddr = "10.0.0.1".parse().unwrap();
            let tuple = FourTuple::new((there, port_of(0)).into(), "10.0.0.2:50000".parse().unwrap());
            if let Some((reason, at)) = refused {
                ledger.now = at * SECOND;
                ledger.refused(&Refused {
                    tuple: tuple.unwrap(),
                    reason,
                    was_full: true,
                });
            }
            if let_in {
                ledger.open(THEIRS, id(2));
            }
            ledger.now = ends * SECOND;
            ledger.ended(OURS, Err(ConnectionError::TimedOut));
            assert_eq!(ledger.wrong.is_none(), right, "{refused:?} {let_in}");
        }
    }

    #[test]
    fn that_nothing_happens_is_an_excuse_while_refusals_are_counted() {
        let mut ledger = asked();
        ledger.now = 39 * SECOND;
        assert_eq!(ledger.stuck(40 * SECOND), None);
        ledger.rounds[0][0].refused_at = Some(ledger.now);
        ledger.now = 70 * SECOND;
        assert_eq!(ledger.stuck(40 * SECOND), None);
        ledger.now = 80 * SECOND;
        assert_eq!(ledger.stuck(40 * SECOND), Some(OURS));
    }

    #[test]
    fn a_reset_behind_everything_wants_a_peer_that_may_have_forgotten() {
        let time_wait = 2 * nanos(&Conversation::plain().profiles[ACCEPTOR]);
        // How long the peer was over, how much longer its worker, whether a record was evicted there, what of ours it read; whether
        // a RST is right.
        let rows = [
            (time_wait, 0, 0, 10, true),
            (time_wait - MS, 0, 0, 10, false),
            (time_wait - MS, MS, 0, 10, true),
            (MS, 0, 1, 10, true),
            (time_wait, 0, 0, 9, false),
        ];
        for (later, dawdled, evicted, read, right) in rows {
            let mut ledger = asked();
            ledger.open(OURS, id(1));
            ledger.open(THEIRS, id(2));
            ledger.wrote(OURS, 10);
            ledger.round_mut(THEIRS).sides[ACCEPTOR].read = read;
            ledger.close(OURS);
            ledger.close(THEIRS);
            ledger.went(0, id(2));
            ledger.now += dawdled;
            ledger.ended(THEIRS, Ok(()));
            ledger.now += later;
            ledger.evicted[0] += evicted;
            ledger.ended(OURS, Err(ConnectionError::Reset));
            assert_eq!(
                ledger.wrong.is_none(),
                right,
                "{later} {dawdled} {evicted} {read}"
            );
        }
    }

    #[test]
    fn short_limits_excuse_a_reset_where_the_other_host_counted_one() {
        for (counted, right) in [(0, false), (1, true)] {
            let mut ledger = asked();
            ledger.conversations[0].short_lives = true;
            ledger.open(OURS, id(1));
            ledger.open(THEIRS, id(2));
            ledger.limits_met[0] += counted;
            ledger.ended(OURS, Err(ConnectionError::Reset));
            assert_eq!(ledger.wrong.is_none(), right, "{counted}");
        }
    }

    #[test]
    fn what_nobody_accepted_ends_with_its_endpoint_and_is_accepted_by_no_other() {
        for (dropped, accepted, right) in [(true, false, true), (false, false, false), (true, true, false)] {
            let mut ledger = asked();
            ledger.open(OURS, id(1));
            if dropped {
                ledger.drop_unaccepted(|_| true);
            }
            ledger.end_of_file(OURS);
            if accepted {
                ledger.open(THEIRS, id(2));
            }
            assert_eq!(ledger.wrong.is_none(), right, "{dropped} {accepted}");
        }
    }

    #[test]
    fn no_end_of_file_is_excused_that_nobody_asked_for() {
        let mut ledger = asked();
        ledger.open(OURS, id(1));
        ledger.open(THEIRS, id(2));
        ledger.let_go(THEIRS);
        ledger.end_of_file(OURS);
        assert!(ledger.wrong.is_some());
    }
}
