//! Bytes on their way out: copied once into a blank buffer, or a received chunk as it is.

use std::collections::VecDeque;
use std::sync::Arc;

use fourtuple_nic::{Queue, RxBuf};
use fourtuple_tcp::Status;
use fourtuple_wire::{Payload, Received};

use super::chunk::{Chunk, Taken};
use super::connection::Connection;
use super::core::EndpointCore;
use super::protocol::{Command, Origin};
use super::readiness::{Source, WRITABLE};
use super::rings::{EndpointEnd, Return};
use super::stream::StreamError;
use crate::ConnId;
use crate::buffer::TxChunk;
use crate::error::ApiMisuse;
use crate::handler::Trouble;
use crate::options::Change;

/// Connections of one worker whose sends found too little of what all share; each stands here once.
#[derive(Debug, Default)]
pub(super) struct Starving {
    /// For room in the command ring.
    of_room: VecDeque<ConnId>,
    /// For blank buffers.
    of_blanks: VecDeque<ConnId>,
}

/// What a send found too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Credit,
    Room,
    Blanks,
}

/// What is sent from the application's memory.
fn copied<Q: Queue>(id: ConnId, payload: TxChunk<Q::Shared>, connection: &mut Connection<Q>) -> Command<Q> {
    connection.send(id, payload, Origin::Copied)
}

/// How the worker is told of a payload: the command, which takes along what else the connection owes it.
type Telling<Q> = fn(ConnId, TxChunk<<Q as Queue>::Shared>, &mut Connection<Q>) -> Command<Q>;

impl<Q: Queue> EndpointCore<Q> {
    /// Copies as many bytes as credit, blank buffers and the command ring allow; at least one, or says why not.
    pub(super) fn send(&mut self, id: ConnId, bytes: &[u8]) -> Result<usize, StreamError> {
        self.send_as(id, [bytes], copied)
    }

    /// The same of several parts, as if they stood behind one another.
    pub(super) fn send_parts<'a>(
        &mut self,
        id: ConnId,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<usize, StreamError> {
        self.send_as(id, parts, copied)
    }

    /// The same, and what was taken is urgent.
    pub(super) fn send_urgent(&mut self, id: ConnId, bytes: &[u8]) -> Result<usize, StreamError> {
        self.send_as(id, [bytes], |id, payload, _| Command::SendUrgent(id, payload))
    }

    /// Bytes up to the last urgent one that are not read.
    pub(super) fn urgent_ahead(&mut self, id: ConnId) -> Option<u64> {
        self.connections.get(&id)?.urgent_ahead(0)
    }

    /// What was told to be wrong since this was last asked.
    pub(super) fn take_trouble(&mut self, id: ConnId) -> Option<Trouble> {
        self.connections.get_mut(&id)?.trouble.take()
    }

    fn send_as<'a>(
        &mut self,
        id: ConnId,
        parts: impl IntoIterator<Item = &'a [u8]>,
        command: Telling<Q>,
    ) -> Result<usize, StreamError> {
        self.may_send(id)?;
        let mut sent = 0;
        let Self {
            ends, connections, ..
        } = self;
        let Some(connection) = connections.get_mut(&id) else {
            return Ok(0);
        };
        let Some(end) = ends.get_mut(usize::from(id.worker())) else {
            return Ok(0);
        };
        let mut lack = None;
        let mut parts = parts.into_iter().filter(|part| !part.is_empty());
        let mut part = parts.next();
        while part.is_some() {
            if connection.credit <= 0 {
                lack = Some(Lack::Credit);
                break;
            }
            if !end.has_room() {
                lack = Some(Lack::Room);
                break;
            }
            let Some(mut blank) = end.blank() else {
                lack = Some(Lack::Blanks);
                break;
            };
            let credit = connection.credit as usize;
            let mut count = 0;
            // Parts that fit go into one buffer, and so into one segment.
            while let Some(rest) = part {
                let taken = blank.0.append(&rest[..rest.len().min(credit - count)]);
                count += taken;
                part = Some(&rest[taken..])
                    .filter(|rest| !rest.is_empty())
                    .or_else(|| parts.next());
                if taken < rest.len() {
                    break;
                }
            }
            if count == 0 {
                end.give_back(Return::Blank(blank));
                break;
            }
            let payload = blank.into_payload();
            connection.credit -= i64::from(payload.charge());
            // There is room, and nobody else pushes.
            let _ = end.push(command(id, payload, connection));
            sent += count;
        }
        self.tx_copied_bytes += sent as u64;
        if let Some(lack) = lack {
            self.note_lack(id, lack);
        }
        if sent == 0 && part.is_some() {
            Err(StreamError::NotYet)
        } else {
            Ok(sent)
        }
    }

    /// Sends a chunk as it is when it came to this endpoint from this connection's worker; else copies it. All or nothing,
    /// where it can be sent as it is; what is left otherwise.
    pub(super) fn forward(&mut self, id: ConnId, mut chunk: Chunk<Q>) -> Result<(), (StreamError, Chunk<Q>)> {
        if let Err(why) = self.may_send(id) {
            return Err((why, chunk));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let Some(whole_credit) = self
            .connections
            .get(&id)
            .map(|connection| connection.whole_credit)
        else {
            return Err((StreamError::NotYet, chunk));
        };
        // A buffer of another worker must not end in this one's hands (D4), nor one that another endpoint answers for; and
        // what is larger than the send queue goes in pieces.
        if !chunk.is_from(&self.home, id.worker()) || chunk.len() as i64 > whole_credit {
            return match self.send(id, &chunk) {
                Ok(sent) if sent == chunk.len() => Ok(()),
                Ok(sent) => {
                    chunk.advance(sent);
                    Err((StreamError::NotYet, chunk))
                }
                Err(why) => Err((why, chunk)),
            };
        }
        let Self {
            ends, connections, ..
        } = self;
        let Some(end) = ends.get_mut(usize::from(id.worker())) else {
            return Err((StreamError::NotYet, chunk));
        };
        let Some(connection) = connections.get_mut(&id) else {
            return Err((StreamError::NotYet, chunk));
        };
        let lack = if connection.credit < chunk.len() as i64 {
            Some(Lack::Credit)
        } else if !end.has_room() {
            Some(Lack::Room)
        } else {
            None
        };
        if let Some(lack) = lack {
            self.note_lack(id, lack);
            return Err((StreamError::NotYet, chunk));
        }
        match chunk.take() {
            Some(Taken::Buffer(from, buffer)) => {
                let space = buffer.space() as u32;
                let payload = buffer.into_payload();
                connection.credit -= i64::from(payload.charge());
                // From receive charge to send charge: its own, told with it, or another's.
                if from == id {
                    connection.out = connection.out.saturating_sub(space);
                    connection.released = connection.released.saturating_add(space);
                }
                // There is room, and nobody else pushes.
                let _ = end.push(connection.send(id, payload, Origin::Lent));
                if from != id {
                    self.release_from(from, space, space);
                }
            }
            Some(Taken::Part(payload)) => {
                connection.credit -= i64::from(payload.charge());
                let _ = end.push(connection.send(id, payload, Origin::Part));
            }
            Some(Taken::Filled(buffer)) => {
                let payload = buffer.into_payload();
                connection.credit -= i64::from(payload.charge());
                let _ = end.push(connection.send(id, payload, Origin::Filled));
            }
            None => {}
        }
        Ok(())
    }

    /// A send was refused, or not all of it was taken: whoever waits for this connection is told when there is more.
    fn note_lack(&mut self, id: ConnId, lack: Lack) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.blocked = true;
        if lack == Lack::Credit || std::mem::replace(&mut connection.starved, true) {
            return;
        }
        // Who was told and got nothing, because another was faster, goes first the next time.
        let first = connection.fed_at.take() == Some(connection.credit);
        if let Some(starving) = self.starving.get_mut(usize::from(id.worker())) {
            let list = match lack {
                Lack::Blanks => &mut starving.of_blanks,
                Lack::Room | Lack::Credit => &mut starving.of_room,
            };
            if first {
                list.push_front(id);
            } else {
                list.push_back(id);
            }
        }
    }

    /// Everything that was sent has been acknowledged, or will never be.
    pub(super) fn is_flushed(&mut self, id: ConnId) -> Result<(), StreamError> {
        let gone = self.gone();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(gone);
        };
        match connection.ended {
            Some(Err(why)) => Err(StreamError::Connection(why)),
            Some(Ok(())) => Ok(()),
            None if connection.credit >= connection.whole_credit => Ok(()),
            None => {
                connection.blocked = true;
                if self.has_stopped(id) {
                    return Err(StreamError::Misuse(ApiMisuse::Stopped));
                }
                Err(StreamError::NotYet)
            }
        }
    }

    /// Tells those that wait for what all connections of a worker share, as many as there is some for.
    pub(super) fn feed(&mut self, worker: usize) {
        let Self {
            ends,
            connections,
            readiness,
            starving,
            ..
        } = self;
        let (Some(end), Some(starving)) = (ends.get_mut(worker), starving.get_mut(worker)) else {
            return;
        };
        if starving.of_room.is_empty() && starving.of_blanks.is_empty() {
            return;
        }
        let room = end.room();
        let mut feed = |list: &mut VecDeque<ConnId>, mut enough: usize| {
            while enough > 0
                && let Some(id) = list.pop_front()
            {
                let Some(connection) = connections.get_mut(&id) else {
                    continue;
                };
                connection.starved = false;
                connection.fed_at = Some(connection.credit);
                if std::mem::take(&mut connection.blocked) {
                    readiness.tell(Source::Stream(id), &mut connection.watch, WRITABLE);
                    enough -= 1;
                }
            }
        };
        feed(&mut starving.of_room, room);
        feed(&mut starving.of_blanks, room.min(end.blanks.slots()));
        let (rooms, blanks) = (!starving.of_room.is_empty(), !starving.of_blanks.is_empty());
        // A blank buffer is of no use without room for the command that carries it.
        end.starve(rooms || (blanks && room == 0), blanks && room > 0);
    }

    /// Half-close: FIN behind all that was sent. Twice is once.
    pub(super) fn shutdown(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.shut || connection.ended.is_some() {
            return;
        }
        connection.shut = true;
        // A task that waits for room finds out that there is no more sending.
        if std::mem::take(&mut connection.blocked) {
            self.readiness
                .tell(Source::Stream(id), &mut connection.watch, WRITABLE);
        }
        if let Some(end) = self.end_of(id) {
            end.urge(Command::Shutdown(id));
        }
    }

    /// Changes an option; behind all that was sent, as every command.
    pub(super) fn set(&mut self, id: ConnId, change: Change) -> Result<(), StreamError> {
        let Some(connection) = self.connections.get(&id) else {
            return Err(self.gone());
        };
        if connection.ended.is_some() {
            return Err(StreamError::Misuse(ApiMisuse::NoSuchConnection));
        }
        let end = self.end_of(id).ok_or(StreamError::Misuse(ApiMisuse::Stopped))?;
        end.push(Command::Set(id, change))
            .map_err(|_| StreamError::NotYet)
    }

    /// A blank buffer of the connection's worker.
    pub(super) fn blank(&mut self, id: ConnId) -> Result<Chunk<Q>, StreamError> {
        self.may_send(id)?;
        match self.end_of(id).and_then(EndpointEnd::blank) {
            Some(blank) => Ok(Chunk::blank(id, blank, Arc::clone(&self.home))),
            None => {
                self.note_lack(id, Lack::Blanks);
                Err(StreamError::NotYet)
            }
        }
    }

    /// What was seen before is of no interest.
    pub(super) fn forget_seen(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.seen = None;
        }
    }

    /// What the worker sees of this connection.
    pub(super) fn look(&mut self, id: ConnId) -> Result<Status, StreamError> {
        let (stopped, gone) = (self.has_stopped(id), self.gone());
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(gone);
        };
        if let Some(seen) = connection.seen.take() {
            return Ok(seen);
        }
        match connection.ended {
            Some(Err(why)) => return Err(StreamError::Connection(why)),
            Some(Ok(())) => return Err(StreamError::Misuse(ApiMisuse::NoSuchConnection)),
            None if stopped => return Err(StreamError::Misuse(ApiMisuse::Stopped)),
            None => {}
        }
        if !connection.looking {
            let asked = Command::Look(id, Box::new(None));
            let told = self.end_of(id).is_some_and(|end| end.push(asked).is_ok());
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.looking = told;
            }
        }
        Err(StreamError::NotYet)
    }

    /// A send would take something now.
    #[cfg(feature = "async")]
    pub(super) fn may_send_now(&mut self, id: ConnId) -> Result<(), StreamError> {
        self.may_send(id)?;
        let credit = self
            .connections
            .get(&id)
            .map_or(0, |connection| connection.credit);
        let Some(end) = self.end_of(id) else {
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        };
        let lack = if credit <= 0 {
            Lack::Credit
        } else if !end.has_room() {
            Lack::Room
        } else if !end.has_blank() {
            Lack::Blanks
        } else {
            return Ok(());
        };
        self.note_lack(id, lack);
        Err(StreamError::NotYet)
    }

    fn may_send(&self, id: ConnId) -> Result<(), StreamError> {
        let Some(connection) = self.connections.get(&id) else {
            return Err(self.gone());
        };
        match connection.ended {
            Some(Err(why)) => Err(StreamError::Connection(why)),
            Some(Ok(())) => Err(StreamError::Misuse(ApiMisuse::NoSuchConnection)),
            None if self.has_stopped(id) => Err(StreamError::Misuse(ApiMisuse::Stopped)),
            None if connection.shut => Err(StreamError::Misuse(ApiMisuse::SendClosed)),
            None => Ok(()),
        }
    }
}
