//! What applications did and were told, and whether that can be: bytes exact and in order, one end for every open, no RST and no
//! time limit without a cause.
//!
//! Applications run inside of a turn, where a panic counts as theirs: what is wrong is noted here and found after the step.

use super::hands::Hands;
use super::script::{Conversation, Seat};
use super::whose::Whose;
use crate::ConnId;
use crate::error::ConnectionError;

/// The opener's side of a round.
pub(super) const OPENER: usize = 0;
/// The acceptor's.
pub(super) const ACCEPTOR: usize = 1;

/// What all applications of a world share.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) conversations: Vec<Conversation>,
    /// By place in `conversations`, then by round.
    pub(super) rounds: Vec<Vec<Round>>,
    pub(super) whose: Whose,
    pub(super) hands: Hands,
    /// Nanoseconds of the world.
    pub(super) now: u64,
    pub(super) calm_at: u64,
    /// By host: what its clock shows beyond the world's.
    pub(super) offsets: Vec<u64>,
    /// The first thing that was wrong.
    pub(super) wrong: Option<String>,
    /// Events in words, when they are wanted.
    pub(super) journal: Option<Vec<String>>,
    /// Reads of applications, each of which may owe the peer a window update.
    pub(super) reads: u64,
    pub(super) bytes: u64,
    pub(super) planned_panics: u64,
    pub(super) opened: u64,
    /// By place: since when its opener's host has no place or no port for it.
    pub(super) puts_off: Vec<Option<u64>>,
    /// By host: TIME_WAIT records that went before their time, and time limits that ended something.
    pub(super) evicted: Vec<u64>,
    pub(super) limits_met: Vec<u64>,
}

/// One connection, from both ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) sides: [Side; 2],
    /// Why a RST or a time limit may end it.
    pub(super) causes: Vec<&'static str>,
    /// When the acceptor's host last counted that it had no place for it.
    pub(super) refused_at: Option<u64>,
    pub(super) progress_at: u64,
    /// Time limits that the hosts of both sides had counted when it began.
    pub(super) limits_before: [u64; 2],
    /// An endpoint was dropped that may have had it, and had not accepted it.
    pub(super) dropped_unaccepted: bool,
    /// A cookie let it in.
    pub(super) opened_fast: bool,
}

/// What one application did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side {
    pub(super) stage: Stage,
    pub(super) written: u64,
    pub(super) read: u64,
    /// It will write no more, and said so.
    pub(super) shut: bool,
    pub(super) saw_end_of_file: bool,
    /// It closed both ways.
    pub(super) closed: bool,
    /// How often its connection changed hands.
    pub(super) handed: u32,
    /// The name of the connection on its host, once it has one.
    pub(super) id: Option<ConnId>,
    /// When it heard of the connection for the last time.
    pub(super) over: Option<Over>,
}

/// When something was over: what its host's clock showed, and what the host had evicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    pub(super) clock: u64,
    pub(super) evicted: u64,
}

/// How far a side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    NotYet,
    /// The opener has asked.
    Opening,
    Open,
    Ended(Result<(), ConnectionError>),
    /// It was let go by the application, which hears no more of it.
    LetGo,
}

/// Which side of which round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) place: usize,
    pub(super) round: usize,
    pub(super) side: usize,
}

impl Ledger {
    pub(super) fn new(
        conversations: Vec<Conversation>,
        calm_at: u64,
        offsets: Vec<u64>,
        journal: bool,
    ) -> Self {
        Self {
            rounds: vec![Vec::new(); conversations.len()],
            puts_off: vec![None; conversations.len()],
            conversations,
            whose: Whose::default(),
            hands: Hands::default(),
            evicted: vec![0; offsets.len()],
            limits_met: vec![0; offsets.len()],
            now: 0,
            calm_at,
            offsets,
            wrong: None,
            journal: journal.then(Vec::new),
            reads: 0,
            bytes: 0,
            planned_panics: 0,
            opened: 0,
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.now >= self.calm_at
    }

    /// Something is wrong with a side; the first counts.
    pub(super) fn fail(&mut self, part: Part, what: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            let (number, text) = (self.conversations[part.place].number, what());
            let round = &self.rounds[part.place][part.round];
            self.wrong = Some(format!(
                "conversation {number} round {} {}: {text}\n  {round:?}\n  {:?}",
                part.round,
                ["opener", "acceptor"][part.side],
                self.conversations[part.place]
            ));
        }
    }

    pub(super) fn note(&mut self, part: Part, what: impl FnOnce() -> String) {
        if let Some(journal) = &mut self.journal {
            let number = self.conversations[part.place].number;
            journal.push(format!(
                "{:>14.6} conversation {number}.{} {}: {}",
                self.now as f64 / 1e9,
                part.round,
                ["opener", "acceptor"][part.side],
                what()
            ));
        }
    }

    pub(super) fn round_mut(&mut self, part: Part) -> &mut Round {
        let now = self.now;
        let rounds = &mut self.rounds[part.place];
        if rounds.len() <= part.round {
            rounds.resize_with(part.round + 1, Round::default);
        }
        rounds[part.round].progress_at = now;
        &mut rounds[part.round]
    }

    pub(super) fn round(&self, part: Part) -> &Round {
        &self.rounds[part.place][part.round]
    }

    pub(super) fn side(&self, part: Part) -> &Side {
        &self.round(part).sides[part.side]
    }

    pub(super) fn other(&self, part: Part) -> &Side {
        &self.round(part).sides[1 - part.side]
    }

    /// A round begins: the opener asks for a connection.
    pub(super) fn opening(&mut self, place: usize) -> Part {
        let part = Part {
            place,
            round: self.rounds[place].len(),
            side: OPENER,
        };
        let seats = self.conversations[place].seats;
        let limits_before = seats.map(|seat| self.limits_met[seat.host]);
        let round = self.round_mut(part);
        round.limits_before = limits_before;
        round.sides[OPENER].stage = Stage::Opening;
        self.opened += 1;
        self.note(part, || "opens".into());
        part
    }

    /// The opener could not even ask: the round does not count.
    pub(super) fn not_tried(&mut self, part: Part) {
        self.opened -= 1;
        self.rounds[part.place].pop();
        self.put_off(part.place);
    }

    /// The opener's host has no place or no port now.
    pub(super) fn put_off(&mut self, place: usize) {
        let now = self.now;
        self.puts_off[place].get_or_insert(now);
    }

    /// A side hears that its connection is open, and has this name there.
    pub(super) fn open(&mut self, part: Part, id: ConnId) {
        self.puts_off[part.place] = None;
        self.note(part, || "is open".into());
        if part.side == ACCEPTOR && self.round(part).dropped_unaccepted && self.other(part).saw_end_of_file {
            self.fail(part, || "accepted, and its end was told before".into());
        }
        let side = &mut self.round_mut(part).sides[part.side];
        side.id = Some(id);
        let before = std::mem::replace(&mut side.stage, Stage::Open);
        let expected = [Stage::Opening, Stage::NotYet][part.side];
        if before != expected {
            self.fail(part, || format!("told of its opening when it was {before:?}"));
        }
    }

    pub(super) fn wrote(&mut self, part: Part, count: usize) {
        if count == 0 {
            // Nothing happened: who finds no room for ever stands still.
            return;
        }
        let side = &mut self.round_mut(part).sides[part.side];
        side.written += count as u64;
        let late = side.shut;
        if late {
            self.fail(part, || "bytes were taken after the end of writing".into());
        }
    }

    /// A side reads `bytes`: they have to be those that the other wrote there.
    pub(super) fn read(&mut self, part: Part, bytes: &[u8]) {
        let at = self.side(part).read;
        let key = pattern_key(part.place, part.round, self.writer_for(part));
        let wrong = bytes
            .iter()
            .zip(pattern(key, at))
            .position(|(byte, right)| *byte != right);
        if let Some(wrong) = wrong {
            self.fail(part, || {
                format!(
                    "byte {} of the stream is not the one that was written",
                    at + wrong as u64
                )
            });
        }
        self.reads += 1;
        self.bytes += bytes.len() as u64;
        let side = &mut self.round_mut(part).sides[part.side];
        side.read += bytes.len() as u64;
        let (read, written) = (side.read, self.other(part).written);
        if read > written {
            self.fail(part, || {
                format!("{read} bytes were read of {written} that were written")
            });
        }
        let ended = self.side(part).saw_end_of_file;
        if ended {
            self.fail(part, || "bytes came behind the end of file".into());
        }
    }

    /// A side looks at bytes that it has not read: they have to be the next that the other wrote.
    pub(super) fn peeked(&mut self, part: Part, bytes: &[u8]) {
        let at = self.side(part).read;
        let key = pattern_key(part.place, part.round, self.writer_for(part));
        let wrong = bytes
            .iter()
            .zip(pattern(key, at))
            .any(|(byte, right)| *byte != right);
        if wrong || at + bytes.len() as u64 > self.other(part).written {
            self.fail(part, || {
                format!(
                    "the {} bytes that it sees from {at} on are not those",
                    bytes.len()
                )
            });
        }
    }

    /// Who wrote what a side reads: itself, when the other echoes.
    fn writer_for(&self, part: Part) -> usize {
        if self.conversations[part.place].scripts[1 - part.side].echoes {
            part.side
        } else {
            1 - part.side
        }
    }

    /// A side hears of the end of file.
    pub(super) fn end_of_file(&mut self, part: Part) {
        let side = &mut self.round_mut(part).sides[part.side];
        if std::mem::replace(&mut side.saw_end_of_file, true) {
            return;
        }
        self.note(part, || "sees the end of file".into());
        let (read, other) = (self.side(part).read, *self.other(part));
        // An endpoint that is dropped closes what nobody has accepted from it, too.
        let fell = other.stage == Stage::NotYet && self.round(part).dropped_unaccepted;
        if !other.shut && !fell {
            self.fail(part, || {
                "the end of file came, and the peer did not say so".into()
            });
        } else if read != other.written {
            self.fail(part, || {
                format!("the end of file came after {read} of {} bytes", other.written)
            });
        }
    }

    pub(super) fn shut(&mut self, part: Part) {
        self.note(part, || "writes no more".into());
        self.round_mut(part).sides[part.side].shut = true;
    }

    /// The application closes both ways.
    pub(super) fn close(&mut self, part: Part) {
        self.note(part, || "closes".into());
        let side = &mut self.round_mut(part).sides[part.side];
        side.shut = true;
        side.closed = true;
    }

    /// From here on a RST or a time limit may end a round.
    pub(super) fn cause(&mut self, part: Part, why: &'static str) {
        self.note(part, || format!("cause: {why}"));
        let causes = &mut self.round_mut(part).causes;
        if !causes.contains(&why) {
            causes.push(why);
        }
    }

    /// The application hears no more of it.
    pub(super) fn let_go(&mut self, part: Part) {
        self.round_mut(part).sides[part.side].stage = Stage::LetGo;
        self.is_over_for(part);
    }

    /// An endpoint that accepts for some conversations is dropped, with what it has not accepted yet.
    pub(super) fn drop_unaccepted(&mut self, concerns: impl Fn(&Conversation) -> bool) {
        for (rounds, conversation) in self.rounds.iter_mut().zip(&self.conversations) {
            if concerns(conversation) {
                let untaken = rounds
                    .iter_mut()
                    .filter(|round| round.sides[ACCEPTOR].stage == Stage::NotYet);
                untaken.for_each(|round| round.dropped_unaccepted = true);
            }
        }
    }

    /// The latest round of a conversation is over on both sides, as far as each heard of it; `None` before the first.
    pub(super) fn last_round_over(&self, place: usize) -> Option<bool> {
        let round = self.rounds[place].last()?;
        let over = |side: &Side| matches!(side.stage, Stage::Ended(_) | Stage::LetGo);
        Some(
            over(&round.sides[OPENER])
                && (over(&round.sides[ACCEPTOR]) || round.sides[ACCEPTOR].stage == Stage::NotYet),
        )
    }

    /// Every conversation had all its rounds, and nobody has anything open.
    pub(super) fn is_over(&self) -> bool {
        let open = |side: &Side| matches!(side.stage, Stage::Open | Stage::Opening);
        self.rounds
            .iter()
            .zip(&self.conversations)
            .all(|(rounds, conversation)| {
                rounds.len() >= conversation.rounds as usize
                    && !rounds.iter().any(|round| round.sides.iter().any(open))
            })
    }

    /// A host loses its memory: nobody there hears of anything again.
    pub(super) fn lose(&mut self, host: usize) {
        self.excuse("a host began anew", |conversation| {
            conversation.seats.iter().any(|seat| seat.host == host)
        });
        self.forget_names(host);
        self.forget_endpoints(host);
        for (rounds, conversation) in self.rounds.iter_mut().zip(&self.conversations) {
            for round in rounds {
                for (side, seat) in round.sides.iter_mut().zip(&conversation.seats) {
                    if seat.host == host && matches!(side.stage, Stage::Open | Stage::Opening) {
                        side.stage = Stage::LetGo;
                        side.shut = true;
                    }
                }
            }
        }
    }

    /// Conversations that are opened from a seat and have rounds left, by place, and when they begin.
    pub(super) fn to_open_at(&self, seat: Seat) -> Vec<(usize, u64)> {
        self.conversations
            .iter()
            .zip(&self.rounds)
            .enumerate()
            .filter(|(_, (conversation, rounds))| {
                conversation.seats[OPENER] == seat && rounds.len() < conversation.rounds as usize
            })
            .map(|(place, (conversation, _))| (place, conversation.starts_at))
            .collect()
    }

    pub(super) fn rounds_begun(&self, place: usize) -> usize {
        self.rounds[place].len()
    }

    /// A host of theirs lost its memory: every round that is not over may end in any way.
    pub(super) fn excuse(&mut self, why: &'static str, concerns: impl Fn(&Conversation) -> bool) {
        for place in 0..self.conversations.len() {
            if !concerns(&self.conversations[place]) || self.rounds[place].is_empty() {
                continue;
            }
            // Those before the last may still be in the network, or in an accept queue.
            for round in 0..self.rounds[place].len() {
                let over = |side: &Side| matches!(side.stage, Stage::Ended(_) | Stage::LetGo);
                if self.rounds[place][round].sides.iter().all(over) {
                    continue;
                }
                self.cause(
                    Part {
                        place,
                        round,
                        side: OPENER,
                    },
                    why,
                );
            }
        }
    }
}

/// What tells one stream from another.
pub(super) fn pattern_key(place: usize, round: usize, side: usize) -> u64 {
    (place * 7 + round * 13 + side * 101) as u64
}

/// The bytes of a stream from a place on: at `place`, `31 place + place / 251 + place / 251² + key`.
pub(super) fn pattern(key: u64, place: u64) -> impl Iterator<Item = u8> {
    const LINE: u64 = 251;
    let (mut in_line, mut line) = (place % LINE, place / LINE % LINE);
    let mut next = (place * 31 + place / LINE + place / (LINE * LINE) + key) as u8;
    std::iter::repeat_with(move || {
        let byte = next;
        next = next.wrapping_add(31);
        in_line += 1;
        if in_line == LINE {
            in_line = 0;
            line += 1;
            next = next.wrapping_add(1);
            if line == LINE {
                line = 0;
                next = next.wrapping_add(1);
            }
        }
        byte
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_stream_are_the_same_wherever_one_begins() {
        let whole: Vec<u8> = pattern(7, 0).take(70_000).collect();
        let by_place = |place: u64| (place * 31 + place / 251 + place / 63_001 + 7) as u8;
        for (at, byte) in whole.iter().enumerate() {
            assert_eq!(*byte, by_place(at as u64), "{at}");
        }
        for from in [1, 250, 251, 62_999, 63_001] {
            let part: Vec<u8> = pattern(7, from as u64).take(1_000).collect();
            assert_eq!(part, whole[from..from + 1_000], "{from}");
        }
    }
}
