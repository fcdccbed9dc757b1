//! Applications on an endpoint: stepped as everything else, never waiting.

mod moving;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;

use moving::{Held, Leaving};

use super::draw::Draw;
use super::hands::EndpointName;
use super::ledger::{ACCEPTOR, Part};
use super::on_worker::Shared;
use super::player::{Got, Next, Pipe, Player};
use super::script::{RETRY, Seat};
use super::whose::Came;
use crate::error::ConnectError;
use crate::handoff::{
    Chunk, Connecting, Endpoint, EndpointLimits, Estate, Listener, Stream, StreamError, WorkerEnd, pair,
};
use crate::idle::Sleeper;
use crate::shard::ConnectOptions;

/// An endpoint with its applications, and later what is left of it.
pub(super) struct OnEndpoint {
    here: Seat,
    name: EndpointName,
    shared: Shared,
    endpoint: Option<Endpoint<MemQueue>>,
    left_behind: Receiver<Estate<MemQueue>>,
    estate: Option<Estate<MemQueue>>,
    /// With the place of the conversation.
    listeners: Vec<(Listener, usize)>,
    to_open: Vec<(usize, u64)>,
    connecting: Vec<(Connecting<MemQueue>, Part)>,
    live: Vec<Seated>,
    leaving: Vec<Leaving>,
    held: Vec<Held>,
    was_calm: bool,
    draw: Draw,
}

/// A stream and who plays on it.
struct Seated {
    player: Player,
    line: Line,
}

/// A stream, with what could not be sent on yet, and chunks that nobody gives back.
struct Line {
    stream: Stream<MemQueue>,
    unsent: Option<Chunk<MemQueue>>,
    kept: Vec<Chunk<MemQueue>>,
    by_copy: bool,
}

impl OnEndpoint {
    /// Also gives the ends for the workers, in their order.
    pub(super) fn new(
        here: Seat,
        shared: &Shared,
        workers: &[Arc<Sleeper>],
        limits: &EndpointLimits,
        draw: Draw,
    ) -> (Self, Vec<WorkerEnd<MemQueue>>) {
        let sleeper = Arc::new(Sleeper::new().expect("a descriptor"));
        let (estates, left_behind) = channel();
        let (core, ends) = pair(workers, limits, Arc::clone(&sleeper), estates);
        let to_open = shared.ledger().to_open_at(here);
        let endpoint = Endpoint::new(core, sleeper);
        let this = Self {
            here,
            name: shared.ledger().endpoint_came(here.host, endpoint.handle()),
            shared: shared.clone(),
            endpoint: Some(endpoint),
            left_behind,
            estate: None,
            listeners: Vec::new(),
            to_open,
            connecting: Vec::new(),
            live: Vec::new(),
            leaving: Vec::new(),
            held: Vec::new(),
            was_calm: false,
            draw,
        };
        (this, ends)
    }

    pub(super) fn listen(&mut self, listener: Listener, place: usize) {
        self.listeners.push((listener, place));
    }

    /// It was dropped, and all that it had is back.
    pub(super) fn is_settled(&self) -> bool {
        self.endpoint.is_none() && self.estate.is_none()
    }

    /// One step: whether anything moved, and when it wants the next one.
    pub(super) fn step(&mut self) -> (bool, u64) {
        let now = self.shared.ledger().now;
        let Some(endpoint) = &self.endpoint else {
            if self.estate.as_mut().is_some_and(|estate| estate.step()) {
                self.estate = None;
            }
            let next = if self.estate.is_some() {
                now + RETRY / 10
            } else {
                u64::MAX
            };
            return (false, next);
        };
        let mut busy = endpoint.step() > 0;
        busy |= self.see_off();
        busy |= self.take_handed();
        busy |= self.accept();
        busy |= self.open();
        busy |= self.finish_connecting();
        busy |= self.hoard();
        let calm = self.shared.ledger().is_calm();
        let became_calm = calm && !std::mem::replace(&mut self.was_calm, calm);
        let mut next = self.let_go_of_held(now);
        // Who always began with the same stream would have it take every buffer, where there are few.
        if !self.live.is_empty() {
            self.live.rotate_left(1);
        }
        let mut at = 0;
        while at < self.live.len() {
            // Looked at whenever it is stepped: a read costs little, and nobody tells which stream has news.
            let (moved, goes_on) = self.play(at);
            busy |= moved;
            if goes_on {
                next = next.min(self.live[at].player.wakes_at);
                at += 1;
            }
        }
        for (_, due) in &self.to_open {
            next = next.min(*due);
        }
        if !self.connecting.is_empty() || !calm {
            let ledger = self.shared.ledger();
            for (_, place) in &self.listeners {
                let accepts_at = ledger.conversations[*place].accepts_at;
                if accepts_at > now {
                    next = next.min(accepts_at);
                }
            }
        }
        (busy || became_calm, next)
    }

    /// The endpoint is dropped, with everything that it has.
    pub(super) fn die(&mut self, why: &'static str) {
        let Some(endpoint) = self.endpoint.take() else {
            return;
        };
        self.lose_leaving(why);
        let mut ledger = self.shared.ledger();
        for part in self.live.iter().map(|seated| seated.player.part) {
            ledger.cause(part, why);
            ledger.close(part);
            ledger.let_go(part);
        }
        for (_, part) in &self.connecting {
            ledger.cause(*part, why);
            // It is closed, should it come to be open, which nobody here hears of.
            ledger.close(*part);
            ledger.let_go(*part);
        }
        let here = self.here;
        // Also those that wait in a ring to be accepted.
        ledger.drop_unaccepted(|conversation| conversation.is_accepted_at(here));
        ledger.excuse(why, |conversation| {
            conversation.seats.contains(&here) || conversation.is_accepted_at(here)
        });
        drop(ledger);
        self.to_open.clear();
        if self.draw.percent(50) {
            self.live.clear();
            self.leaving.clear();
            self.connecting.clear();
        }
        drop(endpoint);
        self.live.clear();
        self.leaving.clear();
        self.held.clear();
        self.connecting.clear();
        self.estate = self.left_behind.try_recv().ok();
    }

    fn accept(&mut self) -> bool {
        let Some(endpoint) = &self.endpoint else {
            return false;
        };
        let mut accepted = false;
        for (listener, place) in &self.listeners {
            let mut ledger = self.shared.ledger();
            if ledger.now < ledger.conversations[*place].accepts_at && !ledger.is_calm() {
                continue;
            }
            while let Ok(stream) = listener.try_accept(endpoint) {
                accepted = true;
                let iss = ledger.began_with(self.here.host, stream.id());
                let ends = (stream.peer(), stream.local());
                let part = match ledger.accepted(ends, stream.id(), iss) {
                    Came::As(part) => part,
                    Came::Twice => {
                        stream.abort();
                        continue;
                    }
                    Came::OfNobody => {
                        let wrong = format!("{stream:?} came in and nobody opened it");
                        ledger.wrong.get_or_insert(wrong);
                        return true;
                    }
                };
                debug_assert_eq!(part.side, ACCEPTOR);
                self.live.push(Seated {
                    player: Player::new(part, &ledger),
                    line: Line::new(stream, self.draw.percent(30)),
                });
            }
        }
        accepted
    }

    fn open(&mut self) -> bool {
        let Some(endpoint) = &self.endpoint else {
            return false;
        };
        let mut opened = false;
        let mut ledger = self.shared.ledger();
        let now = ledger.now;
        for (place, due) in &mut self.to_open {
            if now < *due {
                continue;
            }
            let conversation = &ledger.conversations[*place];
            let remote = super::world::address(conversation, 1);
            let extras = &conversation.extras;
            let begun = if extras.with_options || extras.opens_fast {
                let options = ConnectOptions {
                    profile: extras.with_options.then(|| conversation.profiles[0].clone()),
                    fast_open: extras.opens_fast,
                    ..ConnectOptions::default()
                };
                endpoint.start_connect_with(remote, &options)
            } else {
                endpoint.start_connect(remote)
            };
            match begun {
                Ok(connecting) => {
                    let part = ledger.opening(*place);
                    self.connecting.push((connecting, part));
                    *due = u64::MAX;
                    opened = true;
                }
                Err(_) => {
                    ledger.put_off(*place);
                    *due = now + RETRY;
                }
            }
        }
        self.to_open.retain(|(_, due)| *due != u64::MAX);
        opened
    }

    fn finish_connecting(&mut self) -> bool {
        let mut ledger = self.shared.ledger();
        let (live, by_copy) = (&mut self.live, self.draw.percent(30));
        let to_open = &mut self.to_open;
        let before = self.connecting.len();
        self.connecting
            .retain(|(connecting, part)| match connecting.try_finish() {
                Ok(stream) => {
                    ledger.open(*part, stream.id());
                    live.push(Seated {
                        player: Player::new(*part, &ledger),
                        line: Line::new(stream, by_copy),
                    });
                    false
                }
                Err(StreamError::NotYet) => true,
                Err(StreamError::Connection(why)) => {
                    ledger.ended(*part, Err(why));
                    false
                }
                Err(StreamError::Connect(ConnectError::Limit | ConnectError::NoPortLeft(_))) => {
                    // Not even tried: the same round once more.
                    ledger.not_tried(*part);
                    to_open.push((part.place, ledger.now + RETRY));
                    false
                }
                Err(error) => {
                    ledger.fail(*part, || format!("connect: {error}"));
                    false
                }
            });
        self.connecting.len() != before
    }

    /// Whether anything moved, and whether the stream is still there.
    fn play(&mut self, at: usize) -> (bool, bool) {
        let mut ledger = self.shared.ledger();
        let seated = &mut self.live[at];
        let part = seated.player.part;
        let next = seated.player.step(&mut seated.line, &mut ledger);
        let moved = seated.player.moved;
        match next {
            Next::Wait(until) => {
                seated.player.wakes_at = until;
                return (moved, true);
            }
            Next::Forget => {
                // The application went away from its stream: it reads no more, and gives nothing back.
                seated.player.wakes_at = ledger.calm_at;
                return (true, true);
            }
            Next::Close => {
                ledger.close(part);
                if !seated.line.kept.is_empty() || seated.line.unsent.is_some() {
                    ledger.cause(part, "closed with chunks in hand");
                }
                ledger.let_go(part);
                drop(ledger);
                drop(self.live.remove(at));
            }
            Next::Abort => {
                ledger.close(part);
                ledger.cause(part, "aborted");
                ledger.let_go(part);
                drop(ledger);
                self.live.remove(at).line.stream.abort();
            }
            Next::HandOver => {
                drop(ledger);
                return (true, !self.leave(at));
            }
            Next::Failed(why) => {
                ledger.ended(part, Err(why));
                drop(ledger);
                drop(self.live.remove(at));
            }
            Next::Gone => {
                ledger.fail(part, || "its worker is gone".into());
                drop(ledger);
                drop(self.live.remove(at));
            }
        }
        (true, false)
    }
}

impl Line {
    fn new(stream: Stream<MemQueue>, by_copy: bool) -> Self {
        Self {
            stream,
            unsent: None,
            kept: Vec::new(),
            by_copy,
        }
    }

    /// Nothing that the application has in hand belongs to it.
    fn holds_nothing(&self) -> bool {
        self.unsent.is_none() && self.kept.is_empty()
    }

    fn end_of_file(&self) -> Got {
        Got::EndOfFile {
            told: self.stream.was_told_of_end(),
        }
    }

    fn failed(error: StreamError) -> Got {
        match error {
            StreamError::NotYet => Got::Nothing,
            StreamError::Connection(why) => Got::Failed(why),
            StreamError::Connect(_) | StreamError::Misuse(_) => Got::Gone,
        }
    }
}

impl Pipe for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Got> {
        match self.stream.try_send(bytes) {
            Ok(taken) => Ok(taken),
            Err(StreamError::NotYet) => Ok(0),
            Err(error) => Err(Self::failed(error)),
        }
    }

    fn read(&mut self, most: usize, sink: &mut dyn FnMut(&[u8])) -> Got {
        if self.by_copy {
            let mut room = vec![0; most.min(20_000)];
            return match self.stream.recv_into(&mut room, Duration::ZERO) {
                Ok(0) => self.end_of_file(),
                Ok(count) => {
                    sink(&room[..count]);
                    Got::Some
                }
                Err(error) => Self::failed(error),
            };
        }
        match self.stream.try_recv() {
            Ok(Some(chunk)) => {
                sink(&chunk);
                Got::Some
            }
            Ok(None) => self.end_of_file(),
            Err(error) => Self::failed(error),
        }
    }

    fn echo(&mut self, sink: &mut dyn FnMut(&[u8])) -> Got {
        if self.unsent.is_none() {
            self.unsent = match self.stream.try_recv() {
                Ok(chunk) => chunk,
                Err(error) => return Self::failed(error),
            };
        }
        let Some(chunk) = self.unsent.take() else {
            return self.end_of_file();
        };
        let before = chunk.to_vec();
        let left = match self.stream.send_chunk(chunk, Duration::ZERO) {
            Ok(()) => 0,
            Err(unsent) => {
                let left = unsent.chunk.len();
                self.unsent = Some(unsent.chunk);
                match unsent.why {
                    StreamError::NotYet => {}
                    why => return Self::failed(why),
                }
                left
            }
        };
        if left == before.len() {
            return Got::Nothing;
        }
        sink(&before[..before.len() - left]);
        Got::Some
    }

    fn shutdown(&mut self) {
        self.stream.shutdown();
    }
}

/// Chunks that a forgotten stream keeps at most: as many as it can get.
const KEPT_MOST: usize = 10_000;

impl Line {
    /// Takes what comes and gives nothing back, as an application does that has lost sight of its stream.
    fn hoard(&mut self) -> bool {
        let before = self.kept.len();
        while self.kept.len() < KEPT_MOST
            && let Ok(Some(chunk)) = self.stream.try_recv()
        {
            self.kept.push(chunk);
        }
        self.kept.len() > before
    }
}

impl OnEndpoint {
    /// Streams that were forgotten go on taking chunks.
    fn hoard(&mut self) -> bool {
        self.live
            .iter_mut()
            .filter(|seated| seated.player.has_forgotten())
            .fold(false, |moved, seated| seated.line.hoard() | moved)
    }
}
