//! What goes over one connection: requests and their echoes, or blocks of a stream.
//!
//! A latency is from the turn in which the operation was started to the turn in which its last byte was there, by the
//! worker's clock; for a stream to discard it is a sample: of one block at a time, until it is acknowledged.

use fourtuple::{Connection, Queue};

use crate::generator::{Generator, SlotNumber};
use crate::payload::{LENGTHS, Payload};
use crate::plan::Pattern;
use crate::shared::{Failure, Phase};

impl<Q: Queue> Generator<Q> {
    /// Starts what may be started on an open connection, and sends what there is room for.
    pub(crate) fn go_on(&mut self, connection: &mut Connection<'_, Q>, slot: u32) {
        match self.plan.pattern {
            Pattern::RequestResponse | Pattern::Http => {
                if self.most_active.is_none() {
                    self.start_requests(connection, slot);
                }
                self.send_requests(connection, slot);
            }
            Pattern::Hold => {}
            Pattern::ConnectRequestResponse => self.send_requests(connection, slot),
            Pattern::Stream { reverse: false } => self.fill(connection, slot),
            Pattern::Stream { reverse: true } => {
                let now = connection.now();
                let place = self.slots.at_mut(slot);
                (place.moved, place.probe_start) = (now, now);
            }
        }
    }

    /// Takes what has arrived.
    pub(crate) fn receive(&mut self, connection: &mut Connection<'_, Q>, state: &mut SlotNumber, slot: u32) {
        if self.speaks_http {
            self.receive_answers(connection, state, slot);
            return;
        }
        while let Some(received) = connection.receive() {
            let bytes = received.bytes();
            if self.phase == Phase::Measure {
                self.recorder.counts.received += bytes.len() as u64;
            }
            let right = match self.plan.pattern {
                Pattern::Stream { .. } => {
                    self.stream_received(bytes.len() as u64, connection.now(), slot);
                    true
                }
                Pattern::RequestResponse | Pattern::ConnectRequestResponse => {
                    self.answer_received(bytes, connection.now(), slot)
                }
                // What a service says to one that only holds the line is its own affair.
                Pattern::Hold | Pattern::Http => true,
            };
            if !right {
                self.fail(
                    slot,
                    |errors| &mut errors.verify,
                    Failure::Closed,
                    connection.now(),
                );
                state.detach();
                drop(received);
                connection.abort();
                return;
            }
        }
        match self.plan.pattern {
            Pattern::RequestResponse if self.phase == Phase::Finish => {
                self.end_if_idle(connection, state, slot)
            }
            Pattern::RequestResponse => self.go_on(connection, slot),
            Pattern::ConnectRequestResponse if self.slots.at(slot).outstanding == 0 => {
                self.slots.vacate(slot, self.phase != Phase::Finish);
                state.detach();
                self.close(connection);
            }
            Pattern::ConnectRequestResponse | Pattern::Stream { .. } | Pattern::Hold | Pattern::Http => {}
        }
    }

    pub(crate) fn start_requests(&mut self, connection: &Connection<'_, Q>, slot: u32) {
        let now = connection.now();
        while self.runs() && self.slots.at(slot).outstanding < self.plan.pipeline && self.take_ticket() {
            self.slots.start(slot, now);
            self.slots.at_mut(slot).unsent += self.request_len;
        }
    }

    pub(crate) fn send_requests(&mut self, connection: &mut Connection<'_, Q>, slot: u32) {
        loop {
            let place = *self.slots.at(slot);
            if place.unsent == 0 {
                return;
            }
            let sent = self.send_some(connection, slot, place.unsent);
            if sent == 0 {
                return;
            }
            self.slots.at_mut(slot).unsent -= sent;
        }
    }

    /// Queues one piece of at most `most` bytes; 0 when there is no room, and `on_writable` tells when to go on.
    fn send_some(&mut self, connection: &mut Connection<'_, Q>, slot: u32, most: u64) -> u64 {
        self.seek_piece(connection);
        let place = self.slots.at_mut(slot);
        let part = self.payload.at(
            u64::from(place.offset) + place.sent,
            usize::try_from(most).unwrap_or(usize::MAX),
        );
        let len = part.len() as u64;
        let sent = match &self.piece {
            Some(piece) => connection.send_shared(piece.slice(part)).map_or(0, |()| len),
            None => connection.send(&self.payload.bytes()[part]) as u64,
        };
        place.sent += sent;
        if self.phase == Phase::Measure && !matches!(self.plan.pattern, Pattern::Stream { .. }) {
            self.recorder.counts.sent += sent;
        }
        sent
    }

    /// Puts the payload into a buffer of this worker, once, as long as one takes.
    fn seek_piece(&mut self, connection: &mut Connection<'_, Q>) {
        if std::mem::replace(&mut self.piece_sought, true) {
            return;
        }
        if self.speaks_http {
            self.piece = connection.share(self.payload.bytes());
            return;
        }
        for len in LENGTHS {
            let payload = Payload::new(len, self.plan.seed);
            if let Some(piece) = connection.share(payload.bytes()) {
                (self.payload, self.piece) = (payload, Some(piece));
                return;
            }
        }
    }

    /// Bytes of an echo; `false` when they are not what was sent.
    fn answer_received(&mut self, bytes: &[u8], now: fourtuple::Instant, slot: u32) -> bool {
        let place = self.slots.at_mut(slot);
        let position = u64::from(place.offset) + place.received;
        place.received += bytes.len() as u64;
        place.progress += bytes.len() as u64;
        if place.received > place.sent || (self.plan.verify && !self.payload.matches(position, bytes)) {
            return false;
        }
        let size = u64::from(self.plan.size);
        while self.slots.at(slot).progress >= size {
            self.slots.at_mut(slot).progress -= size;
            let Some(start) = self.slots.answered(slot) else {
                return false;
            };
            if self.ended(start, now) {
                self.recorder.operation(now.since(start).as_nanos() as u64);
            }
        }
        true
    }

    /// Counts what was acknowledged, and fills the send queue.
    fn fill(&mut self, connection: &mut Connection<'_, Q>, slot: u32) {
        let now = connection.now();
        let queued = connection
            .status()
            .map_or(0, |status| u64::from(status.send_queue));
        let size = u64::from(self.plan.size);
        let place = self.slots.at_mut(slot);
        let acknowledged = place.sent.saturating_sub(queued);
        let fresh = acknowledged.saturating_sub(place.acknowledged);
        place.acknowledged += fresh;
        let place = *place;
        if fresh > 0 {
            if self.phase == Phase::Measure {
                self.recorder.counts.sent += fresh;
            }
            self.blocks(fresh, now, slot);
        }
        if place.probe_end <= acknowledged {
            if place.probe_end > 0 && self.phase == Phase::Measure {
                self.recorder
                    .latency(now.since(place.probe_start).as_nanos() as u64);
            }
            let place = self.slots.at_mut(slot);
            (place.probe_end, place.probe_start) = (place.sent + size, now);
        }
        while self.runs() && self.send_some(connection, slot, u64::MAX) > 0 {}
    }

    /// Bytes that came by a stream.
    fn stream_received(&mut self, count: u64, now: fourtuple::Instant, slot: u32) {
        let start = self.slots.at(slot).probe_start;
        if self.blocks(count, now, slot) > 0 {
            if self.phase == Phase::Measure {
                self.recorder.latency(now.since(start).as_nanos() as u64);
            }
            self.slots.at_mut(slot).probe_start = now;
        }
    }

    /// So many bytes of blocks are done; tells how many blocks are.
    fn blocks(&mut self, bytes: u64, now: fourtuple::Instant, slot: u32) -> u64 {
        let size = u64::from(self.plan.size);
        let place = self.slots.at_mut(slot);
        place.moved = now;
        place.progress += bytes;
        let done = place.progress / size;
        place.progress %= size;
        for _ in 0..done {
            if self.ended(now, now) {
                self.recorder.counts.operations += 1;
            }
        }
        done
    }
}
