//! Applications that run to completion on a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fourtuple_nic_mem::MemQueue;
use fourtuple_tcp::State;
use fourtuple_wire::{Instant, SeqNum};

use super::hands::mark_of;
use super::ledger::{Ledger, Part};
use super::player::{Got, Next, Pipe, Player};
use super::script::{RETRY, Seat, Way};
use super::whose::Came;
use crate::ConnId;
use crate::error::ConnectError;
use crate::handler::{Closed, Handler};
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// What all applications of a world share: every call of it is short, and none is made within another.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic that the plan asked for carries, so that nothing is printed of it.
#[derive(Debug)]
pub struct PlannedPanic;

/// The applications of one worker.
pub(super) struct OnWorker {
    host: usize,
    worker: u16,
    shared: Shared,
    live: Vec<(ConnId, Player)>,
    /// What came twice, and was ended at once.
    doubles: Vec<ConnId>,
    /// Conversations that are opened here, by place, and when to try next.
    to_open: Vec<(usize, u64)>,
    /// All was calm when it was last looked at.
    was_calm: bool,
}

impl OnWorker {
    pub(super) fn new(host: usize, worker: u16, shared: &Shared) -> Self {
        let here = Seat {
            host,
            way: Way::Worker(worker),
        };
        let to_open = shared.ledger().to_open_at(here);
        Self {
            host,
            worker,
            shared: shared.clone(),
            live: Vec::new(),
            doubles: Vec::new(),
            to_open,
            was_calm: false,
        }
    }

    fn play(&mut self, connection: &mut Connection<'_, MemQueue>, tag: &mut Tag) {
        let id = connection.id();
        let Some(at) = self.live.iter().position(|(other, _)| *other == id) else {
            return;
        };
        let shared = self.shared.clone();
        let mut ledger = shared.ledger();
        let part = self.live[at].1.part;
        if connection.state() == State::Closed {
            self.live[at].1.hurry();
        }
        if tag.0 != Some(part) {
            ledger.fail(part, || format!("its state is another's: {tag:?}"));
        }
        let mut next = self.live[at].1.step(&mut InCall(connection), &mut ledger);
        if next == Next::HandOver {
            if hand_off(connection, part, &mut ledger) {
                self.live.remove(at);
                return;
            }
            let player = &mut self.live[at].1;
            player.stay(ledger.now + RETRY);
            next = player.step(&mut InCall(connection), &mut ledger);
            player.wakes_at = player.wakes_at.min(ledger.now + RETRY);
        }
        match next {
            Next::Wait(at_latest) => self.live[at].1.wakes_at = at_latest,
            Next::Close => {
                ledger.close(part);
                // Nothing else is to be done but to hear of the end.
                self.live[at].1.wakes_at = u64::MAX;
                connection.close();
            }
            Next::Abort => {
                ledger.close(part);
                ledger.cause(part, "aborted");
                self.live[at].1.wakes_at = u64::MAX;
                connection.abort();
            }
            Next::Forget => {
                ledger.let_go(part);
                ledger.planned_panics += 1;
                drop(ledger);
                self.live.remove(at);
                std::panic::panic_any(PlannedPanic);
            }
            // A handler's pipe tells of no end.
            Next::HandOver => ledger.fail(part, || "it can't go, and is to go at once".into()),
            Next::Failed(_) | Next::Gone => ledger.fail(part, || "a handler's read failed".into()),
        }
    }

    fn open_what_is_due(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Tag>) {
        let shared = self.shared.clone();
        let mut at = 0;
        while at < self.to_open.len() {
            let (place, due) = self.to_open[at];
            let mut ledger = shared.ledger();
            let now = ledger.now;
            if now < due {
                at += 1;
                continue;
            }
            if ledger.last_round_over(place) == Some(false) {
                self.to_open[at].1 = now + RETRY / 10;
                at += 1;
                continue;
            }
            let conversation = ledger.conversations[place].clone();
            let remote = super::world::address(&conversation, 1);
            let options = ConnectOptions {
                local_port: conversation.same_port.then_some(40_000 + conversation.number),
                profile: Some(conversation.profiles[0].clone()),
                fast_open: conversation.extras.opens_fast,
                ..ConnectOptions::default()
            };
            match worker.connect(remote, &options) {
                Ok(id) => {
                    let ends = worker.with(id, |connection, tag| {
                        let ends = (connection.local(), connection.peer());
                        (ends, first_unacknowledged(connection), tag.0.is_none())
                    });
                    let Ok((ends, Some(iss), fresh)) = ends else {
                        ledger.wrong = Some("a connection is not there behind its connect".into());
                        return;
                    };
                    let part = ledger.opening(place);
                    ledger.puts_off[place] = None;
                    ledger.begins(part, ends, iss);
                    if !fresh {
                        ledger.fail(part, || "a new connection has another's state".into());
                    }
                    let mut player = Player::new(part, &ledger);
                    let _ = worker.with(id, |connection, tag| {
                        tag.0 = Some(part);
                        if conversation.extras.opens_fast {
                            player.write_early(&mut InCall(connection), &mut ledger);
                        }
                    });
                    self.live.push((id, player));
                    if ledger.rounds_begun(place) as u32 >= conversation.rounds {
                        self.to_open.remove(at);
                    }
                }
                // Another worker's port, or a four-tuple in TIME_WAIT: any port will do, or a later time.
                Err(ConnectError::AddressInUse | ConnectError::Limit | ConnectError::NoPortLeft(_)) => {
                    self.to_open[at].1 = now + RETRY;
                    ledger.put_off(place);
                    if now > ledger.calm_at {
                        ledger.conversations[place].same_port = false;
                    }
                    at += 1;
                }
                Err(error @ (ConnectError::BadAddress(_) | ConnectError::Quiet | ConnectError::Stopping)) => {
                    ledger.wrong = Some(format!("connect: {error}"));
                    return;
                }
            }
        }
    }
}

/// What the application keeps with a connection on a worker: whose it is.
#[derive(Debug, Default)]
pub(super) struct Tag(Option<Part>);

impl Handler<MemQueue> for OnWorker {
    type State = Tag;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, tag: &mut Tag) {
        let id = connection.id();
        if connection.listener().is_some() {
            let mut ledger = self.shared.ledger();
            // Nothing of what it may send has been acknowledged yet but its SYN.
            let iss = first_unacknowledged(connection).map(|una| una.back(1));
            for (id, irs) in connection.work.opened_fast.drain(..) {
                ledger.opened_fast(self.host, id, irs);
            }
            let part = match ledger.accepted((connection.peer(), connection.local()), id, iss) {
                Came::As(part) => part,
                Came::Twice => {
                    drop(ledger);
                    self.doubles.push(id);
                    connection.abort();
                    return;
                }
                Came::OfNobody => {
                    let wrong = format!("{} came in and nobody opened it", connection.four_tuple());
                    ledger.wrong.get_or_insert(wrong);
                    return;
                }
            };
            if tag.0.is_some() {
                ledger.fail(part, || "a new connection has another's state".into());
            }
            *tag = Tag(Some(part));
            let player = Player::new(part, &ledger);
            drop(ledger);
            self.live.push((id, player));
        } else if let Some((_, player)) = self.live.iter().find(|(other, _)| *other == id) {
            self.shared.ledger().open(player.part, id);
        }
        self.play(connection, tag);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, tag: &mut Tag) {
        self.play(connection, tag);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, tag: &mut Tag) {
        self.play(connection, tag);
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, tag: &mut Tag) {
        if let Some(part) = tag.0 {
            self.shared.ledger().end_of_file(part);
        }
        self.play(connection, tag);
    }

    fn on_closed(&mut self, closed: Closed, tag: &mut Tag) {
        if let Some(at) = self.doubles.iter().position(|other| *other == closed.id) {
            self.doubles.swap_remove(at);
            return;
        }
        let mut ledger = self.shared.ledger();
        let at = self.live.iter().position(|(other, _)| *other == closed.id);
        match (at, tag.0) {
            (Some(at), Some(part)) if self.live[at].1.part == part => {
                self.live.remove(at);
                ledger.ended(part, closed.outcome);
            }
            (at, tag) => {
                let wrong = format!(
                    "{:?} ended, known as {at:?}, with the state of {tag:?}",
                    closed.id
                );
                ledger.wrong.get_or_insert(wrong);
            }
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Tag>) {
        self.open_what_is_due(worker);
        let (now, calm, offset) = {
            let ledger = self.shared.ledger();
            (ledger.now, ledger.is_calm(), ledger.offsets[self.host])
        };
        let became_calm = calm && !std::mem::replace(&mut self.was_calm, calm);
        let due: Vec<ConnId> = self
            .live
            .iter()
            .filter(|(_, player)| player.wakes_at <= now || became_calm)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let known = worker.with(id, |connection, tag| {
                if connection.state() != State::SynSent && tag.0.is_some() {
                    self.play(connection, tag);
                }
            });
            if known.is_err()
                && let Some((_, player)) = self.live.iter().find(|(other, _)| *other == id)
            {
                let part = player.part;
                self.shared
                    .ledger()
                    .fail(part, || format!("{id:?} is gone, and nobody was told"));
            }
        }
        let next = self
            .live
            .iter()
            .map(|(_, player)| player.wakes_at)
            .chain(self.to_open.iter().map(|(_, due)| *due))
            .min();
        if let Some(next) = next.filter(|next| *next != u64::MAX) {
            worker.wake_at(Instant::from_nanos(next.max(now + 1_000) + offset));
        }
        debug_assert_eq!(worker.worker(), self.worker);
    }
}

/// Gives a connection to an endpoint, if that can have it now.
fn hand_off(connection: &mut Connection<'_, MemQueue>, part: Part, ledger: &mut Ledger) -> bool {
    let Some((name, to)) = ledger.next_owner(part) else {
        return false;
    };
    let given = connection.hand_off(&to, mark_of(part)).is_ok();
    if given {
        ledger.hand_over(part, name, (connection.local(), connection.peer()), true);
    }
    given
}

fn first_unacknowledged(connection: &Connection<'_, MemQueue>) -> Option<SeqNum> {
    let conn = connection.work.records.conn(connection.slot)?;
    Some(conn.tcb.snd_una())
}

/// A connection for the duration of a call.
struct InCall<'a, 'b>(&'a mut Connection<'b, MemQueue>);

impl Pipe for InCall<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Got> {
        Ok(self.0.send(bytes))
    }

    fn read(&mut self, most: usize, sink: &mut dyn FnMut(&[u8])) -> Got {
        let mut count = 0;
        while count < most
            && let Some(bytes) = self.0.receive()
        {
            count += bytes.bytes().len();
            sink(bytes.bytes());
        }
        if count > 0 { Got::Some } else { Got::Nothing }
    }

    fn echo(&mut self, sink: &mut dyn FnMut(&[u8])) -> Got {
        if self.0.send_room() < ONE_BUFFER {
            self.0.ask_for_room();
            return Got::Nothing;
        }
        let Some(bytes) = self.0.receive() else {
            return Got::Nothing;
        };
        sink(bytes.bytes());
        let sent = self.0.send_shared(bytes.into_payload());
        debug_assert!(sent.is_ok(), "there was room");
        Got::Some
    }

    fn shutdown(&mut self) {
        self.0.shutdown();
    }

    fn peek(&self, most: usize) -> Vec<u8> {
        self.0.peek().flatten().copied().take(most).collect()
    }
}

/// Room that any received chunk fits into.
const ONE_BUFFER: usize = 2_048;
