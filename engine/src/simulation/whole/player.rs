//! One application at work on one connection: does what its script says, whatever it runs on.

use super::ledger::{Ledger, Part, pattern, pattern_key};
use super::script::{End, Script};
use crate::error::ConnectionError;

/// A connection as an application has it, on a worker or on an endpoint.
pub(super) trait Pipe {
    /// Takes some bytes, perhaps none; `Err`: the connection has ended.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Got>;
    /// Gives some bytes, at most about so many.
    fn read(&mut self, most: usize, sink: &mut dyn FnMut(&[u8])) -> Got;
    /// Reads some bytes and writes the same, without a copy.
    fn echo(&mut self, sink: &mut dyn FnMut(&[u8])) -> Got;
    fn shutdown(&mut self);
    /// What has come and is not read, at most so many bytes of it, where that can be looked at.
    fn peek(&self, _most: usize) -> Vec<u8> {
        Vec::new()
    }
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Some,
    Nothing,
    /// `told`: when it came, not only when the connection was over.
    EndOfFile {
        told: bool,
    },
    Failed(ConnectionError),
    /// The worker is gone.
    Gone,
}

/// What is to be done with a connection behind a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on when something happens, and at this time at the latest.
    Wait(u64),
    Close,
    Abort,
    /// An endpoint is to have it.
    HandOver,
    /// The handler panics; an endpoint forgets the stream.
    Forget,
    Failed(ConnectionError),
    Gone,
}

/// An application's memory of one connection.
#[derive(Clone, Debug)]
pub(super) struct Player {
    pub(super) part: Part,
    script: Script,
    peer_total: u64,
    next_write: u64,
    next_read: u64,
    shut: bool,
    forgot: bool,
    hurries: bool,
    /// It changes hands no more before then.
    stays_until: u64,
    /// The next bytes to write.
    ready: Vec<u8>,
    pub(super) wakes_at: u64,
    pub(super) moved: bool,
}

impl Player {
    pub(super) fn new(part: Part, ledger: &Ledger) -> Self {
        let scripts = &ledger.conversations[part.place].scripts;
        let (mut script, peer_total) = (scripts[part.side], scripts[1 - part.side].total);
        // A world of many tiny steps takes too long.
        script.write_most = script.write_most.max(script.total as usize / 100);
        script.read_most = script.read_most.max(peer_total as usize / 100);
        Self {
            part,
            script,
            peer_total,
            next_write: 0,
            next_read: 0,
            shut: ledger.side(part).shut,
            forgot: false,
            hurries: false,
            stays_until: 0,
            ready: Vec::new(),
            // Until it is open there is nothing to do.
            wakes_at: u64::MAX,
            moved: false,
        }
    }

    /// The application lost sight of the connection.
    pub(super) fn has_forgotten(&self) -> bool {
        self.forgot
    }

    /// The connection has ended, and what lies unread is told of for the last time.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// The connection can't go elsewhere before then.
    pub(super) fn stay(&mut self, until: u64) {
        self.stays_until = until;
        self.wakes_at = self.wakes_at.min(until);
    }

    pub(super) fn echoes(&self) -> bool {
        self.script.echoes
    }

    /// Writes what is to go out with the SYN.
    pub(super) fn write_early(&mut self, pipe: &mut dyn Pipe, ledger: &mut Ledger) {
        if self.give(pipe, ledger).is_err() {
            ledger.fail(self.part, || "a write with the SYN failed".into());
        }
    }

    /// Does what there is to do now.
    pub(super) fn step(&mut self, pipe: &mut dyn Pipe, ledger: &mut Ledger) -> Next {
        self.wakes_at = u64::MAX;
        self.moved = false;
        if self.forgot {
            return if ledger.is_calm() {
                Next::Close
            } else {
                Next::Wait(ledger.calm_at)
            };
        }
        loop {
            if let Some(next) = self.enough(ledger) {
                return next;
            }
            let got = self.take(pipe, ledger);
            match got {
                Got::Some | Got::Nothing => {}
                Got::EndOfFile { told } => {
                    if !told {
                        ledger.fail(self.part, || "the end of file came with the end alone".into());
                    }
                    ledger.end_of_file(self.part);
                }
                Got::Failed(why) => return Next::Failed(why),
                Got::Gone => return Next::Gone,
            }
            let wrote = match self.give(pipe, ledger) {
                Ok(wrote) => wrote,
                Err(Got::Failed(why)) => return Next::Failed(why),
                Err(Got::Gone | Got::EndOfFile { .. } | Got::Nothing | Got::Some) => return Next::Gone,
            };
            self.moved |= wrote || got == Got::Some;
            if !wrote && got != Got::Some {
                break;
            }
        }
        self.finish(pipe, ledger)
    }

    /// The script has it end in the middle.
    fn enough(&mut self, ledger: &mut Ledger) -> Option<Next> {
        let side = ledger.side(self.part);
        let done = side.read + side.written;
        match self.script.end {
            End::Abort(at) if done >= at => {
                ledger.cause(self.part, "the application aborts");
                Some(Next::Abort)
            }
            End::Leave(at) if done >= at => {
                ledger.cause(self.part, "the application leaves early");
                Some(Next::Close)
            }
            End::Forget(at) if done >= at => {
                ledger.cause(self.part, "the application is gone");
                self.forgot = true;
                Some(Next::Forget)
            }
            _ if ledger.is_abandoned(self.part) => Some(Next::Abort),
            _ if self.changes_hands(ledger) => Some(Next::HandOver),
            _ => None,
        }
    }

    fn changes_hands(&self, ledger: &Ledger) -> bool {
        let hand_overs = &ledger.conversations[self.part.place].extras.hand_overs[self.part.side];
        let side = ledger.side(self.part);
        side.handed < hand_overs.times
            && side.read + side.written >= hand_overs.every * u64::from(side.handed + 1)
            && !self.hurries
            && ledger.now >= self.stays_until
            && ledger.next_owner(self.part).is_some()
    }

    fn take(&mut self, pipe: &mut dyn Pipe, ledger: &mut Ledger) -> Got {
        let calm = ledger.is_calm() || self.hurries;
        let side = *ledger.side(self.part);
        if side.saw_end_of_file {
            return Got::Nothing;
        }
        if !calm && side.read >= self.script.read_stop {
            self.wakes_at = self.wakes_at.min(ledger.calm_at);
            return Got::Nothing;
        }
        if !calm && ledger.now < self.next_read {
            self.wakes_at = self.wakes_at.min(self.next_read);
            return Got::Nothing;
        }
        let part = self.part;
        if ledger.conversations[part.place].extras.peeks[part.side] {
            ledger.peeked(part, &pipe.peek(PEEKED_MOST));
        }
        let echoes = self.script.echoes;
        let most = if calm { usize::MAX } else { self.script.read_most };
        let mut sink = |bytes: &[u8]| {
            if echoes {
                ledger.wrote(part, bytes.len());
            }
            ledger.read(part, bytes);
        };
        let got = if echoes {
            pipe.echo(&mut sink)
        } else {
            pipe.read(most, &mut sink)
        };
        if got == Got::Some {
            self.next_read = ledger.now + self.script.read_pause;
        }
        got
    }

    fn give(&mut self, pipe: &mut dyn Pipe, ledger: &mut Ledger) -> Result<bool, Got> {
        let side = *ledger.side(self.part);
        if self.shut || self.script.echoes || side.written >= self.script.total {
            return Ok(false);
        }
        let calm = ledger.is_calm();
        if !calm && ledger.now < self.next_write {
            self.wakes_at = self.wakes_at.min(self.next_write);
            return Ok(false);
        }
        let gate = if side.read >= self.peer_total {
            u64::MAX
        } else {
            side.read.saturating_add(self.script.ahead)
        };
        let until = self.script.total.min(gate);
        if side.written >= until {
            return Ok(false);
        }
        let len = (until - side.written)
            .min(self.script.write_most as u64)
            .min(WRITE_MOST) as usize;
        let key = pattern_key(self.part.place, self.part.round, self.part.side);
        let ready = self.ready.len();
        if ready < len {
            let more = pattern(key, side.written + ready as u64).take(len - ready);
            self.ready.extend(more);
        }
        let taken = pipe.write(&self.ready[..len])?;
        self.ready.drain(..taken);
        ledger.wrote(self.part, taken);
        self.next_write = ledger.now + self.script.write_pause;
        Ok(taken > 0)
    }

    /// All is written, or read, or neither can be just now.
    fn finish(&mut self, pipe: &mut dyn Pipe, ledger: &mut Ledger) -> Next {
        let calm = ledger.is_calm();
        let side = *ledger.side(self.part);
        // An echo is over when what it echoes is.
        let all_written = if self.script.echoes {
            side.saw_end_of_file || side.read >= self.peer_total
        } else {
            side.written >= self.script.total
        };
        let all_read = side.saw_end_of_file || side.read >= self.peer_total;
        let end = match self.script.end {
            End::Hold | End::Follow if calm => End::Shut,
            End::Abort(_) | End::Leave(_) | End::Forget(_) => End::Shut,
            end => end,
        };
        match end {
            End::Close if all_written && all_read => return Next::Close,
            End::Shut if all_written && !self.shut => {
                self.shut = true;
                ledger.shut(self.part);
                pipe.shutdown();
            }
            _ => {}
        }
        let ends_now = !matches!(end, End::Hold) && all_written && side.saw_end_of_file;
        if ends_now {
            return Next::Close;
        }
        // What never comes is not waited for without end.
        let patience = if calm {
            ledger.now + super::SECOND
        } else {
            ledger.calm_at
        };
        Next::Wait(self.wakes_at.min(patience))
    }
}

/// Bytes that are looked at before they are read.
const PEEKED_MOST: usize = 3_000;

/// Bytes of one call at most.
const WRITE_MOST: u64 = 65_536;
