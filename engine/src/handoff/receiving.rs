//! Bytes on their way in: read in place or copied, their space given back to the receive window (D5).
//!
//! A buffer's space is released when it is done with: dropped by the application, read to its end, or sent on. What was
//! copied to make room is released when it is read.

use std::sync::Arc;

use fourtuple_nic::Queue;
use fourtuple_wire::Received;

use super::chunk::Chunk;
use super::connection::Piece;
use super::core::EndpointCore;
use super::home::Buffer;
use super::protocol::Command;
use super::rings::Return;
use super::stream::StreamError;
use crate::ConnId;
use crate::buffer::RxChunk;
use crate::error::ApiMisuse;

/// Released space of a connection that is told at once, in bytes; less waits for what is sent next, until the thread is about to
/// sleep, or for [`RELEASE_STEPS`]. One command for about eight full buffers: more often, and a reader's commands outnumber its chunks.
const RELEASE_AT: u32 = 16 * 1024;

/// Steps after which all released space is told, however little.
pub(super) const RELEASE_STEPS: u32 = 8;

impl<Q: Queue> EndpointCore<Q> {
    /// What is there to be read: `None` is the end of file.
    pub(super) fn receive(&mut self, id: ConnId) -> Result<Option<Chunk<Q>>, StreamError> {
        if self.may_read(id)? {
            let piece = self.connections.get_mut(&id).and_then(|connection| {
                let piece = connection.unread.pop_front();
                if let Some(Piece::Lent(chunk)) = &piece {
                    connection.out += chunk.space() as u32;
                }
                piece
            });
            return Ok(piece.map(|piece| self.hand_out(id, piece)));
        }
        Ok(None)
    }

    /// Copies what is there to be read; 0 is the end of file.
    pub(super) fn read(&mut self, id: ConnId, into: &mut [u8]) -> Result<usize, StreamError> {
        let mut at = 0;
        self.read_with(id, into.len(), |bytes| {
            into[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        })
    }

    /// Gives `sink` what is there to be read, piece by piece, at most `room` bytes; 0 is the end of file.
    pub(super) fn read_with(
        &mut self,
        id: ConnId,
        room: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, StreamError> {
        let mut count = 0;
        if room == 0 || !self.may_read(id)? {
            return Ok(0);
        }
        while count < room
            && let Some(connection) = self.connections.get_mut(&id)
            && let Some(piece) = connection.unread.front_mut()
        {
            let bytes = piece.bytes();
            let taken = bytes.len().min(room - count);
            sink(&bytes[..taken]);
            count += taken;
            if taken < bytes.len() {
                piece.advance(taken);
            } else if let Some(piece) = connection.unread.pop_front() {
                self.done_reading(id, piece);
            }
        }
        Ok(count)
    }

    /// Gives back space of the receive window.
    pub(super) fn release(&mut self, id: ConnId, space: u32) {
        self.release_from(id, space, 0);
    }

    /// The same, of which so much was in the application's hands.
    pub(super) fn release_from(&mut self, id: ConnId, space: u32, out: u32) {
        let Some(connection) = self.connections.get_mut(&id) else {
            self.release_for_moved(id, out);
            return;
        };
        connection.out = connection.out.saturating_sub(out);
        if connection.ended.is_some() {
            return;
        }
        connection.released = connection.released.saturating_add(space);
        if !connection.listed {
            connection.listed = true;
            self.to_release.push_back(id);
        }
        if connection.released >= RELEASE_AT {
            let _ = self.tell_release(id);
        }
    }

    /// Copies what is there and leaves it there; `NotYet` while that is less than `least` and more may come.
    #[cfg(feature = "async")]
    pub(super) fn peek(&self, id: ConnId, least: usize, into: &mut [u8]) -> Result<usize, StreamError> {
        if !self.may_read(id)? {
            return Ok(0);
        }
        let Some(connection) = self.connections.get(&id) else {
            return Ok(0);
        };
        let mut count = 0;
        for piece in &connection.unread {
            let room = &mut into[count..];
            let bytes = piece.bytes();
            let fits = bytes.len().min(room.len());
            room[..fits].copy_from_slice(&bytes[..fits]);
            count += fits;
        }
        let over = connection.peer_closed || connection.ended.is_some() || self.has_stopped(id);
        if count < least && !over {
            Err(StreamError::NotYet)
        } else {
            Ok(count)
        }
    }

    /// `Ok(false)`: the end of file.
    pub(super) fn may_read(&self, id: ConnId) -> Result<bool, StreamError> {
        let Some(connection) = self.connections.get(&id) else {
            return Err(self.gone());
        };
        if !connection.unread.is_empty() {
            return Ok(true);
        }
        match connection.ended {
            Some(Err(why)) => Err(StreamError::Connection(why)),
            Some(Ok(())) => Ok(false),
            None if connection.peer_closed => Ok(false),
            None if self.has_stopped(id) => Err(StreamError::Misuse(ApiMisuse::Stopped)),
            None => Err(StreamError::NotYet),
        }
    }

    /// The worker said that the peer has closed its direction.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn was_told_of_end(&self, id: ConnId) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|connection| connection.peer_closed)
    }

    fn hand_out(&mut self, id: ConnId, piece: Piece<Q>) -> Chunk<Q> {
        match piece {
            Piece::Lent(chunk) => {
                let worker = usize::from(id.worker());
                self.unread_lent[worker] = self.unread_lent[worker].saturating_sub(1);
                Chunk::lent(id, chunk, Arc::clone(&self.home))
            }
            Piece::Copied { bytes, read, space } => {
                self.copied_bytes = self.copied_bytes.saturating_sub(bytes.len());
                // The memory is the application's from now on: nothing is pinned by it.
                self.release(id, space);
                Chunk::copied(bytes, read)
            }
        }
    }

    pub(super) fn done_reading(&mut self, id: ConnId, piece: Piece<Q>) {
        match piece {
            Piece::Lent(chunk) => {
                let worker = usize::from(id.worker());
                self.unread_lent[worker] = self.unread_lent[worker].saturating_sub(1);
                self.take_back(id, chunk);
            }
            Piece::Copied { bytes, space, .. } => {
                self.copied_bytes = self.copied_bytes.saturating_sub(bytes.len());
                self.release(id, space);
            }
        }
    }

    /// A chunk came home that the application had in its hands.
    pub(super) fn take_home(&mut self, id: ConnId, buffer: Buffer<Q>) {
        let space = buffer.space() as u32;
        self.release_from(id, space, space);
        if let Some(end) = self.end_of(id) {
            end.give_back(Return::of(buffer));
        }
    }

    pub(super) fn take_back(&mut self, id: ConnId, chunk: RxChunk<Q::Rx>) {
        self.release(id, chunk.space() as u32);
        if let Some(end) = self.end_of(id) {
            end.give_back(Return::Lent(chunk));
        }
    }

    /// Connections that nobody reads must not use up what may be lent: beyond three quarters of it, unread data is copied
    /// into the endpoint's own memory and the buffers go home. Their space stays charged to their windows.
    pub(super) fn spill(&mut self, worker: usize) {
        let bound = self.limits.lent.max(1) - self.limits.lent / 4;
        if self.unread_lent[worker] < bound {
            return;
        }
        let (half, budget) = (self.limits.lent / 2, self.limits.copied_bytes);
        let Self {
            ends,
            connections,
            unread_lent,
            copied_bytes,
            ..
        } = self;
        let of_worker = connections
            .iter_mut()
            .filter(|(id, _)| usize::from(id.worker()) == worker);
        for piece in of_worker.flat_map(|(_, connection)| connection.unread.iter_mut()) {
            let Piece::Lent(chunk) = &*piece else { continue };
            if unread_lent[worker] <= half || *copied_bytes + chunk.bytes().len() > budget {
                break;
            }
            let copy = Piece::Copied {
                bytes: chunk.bytes().to_vec(),
                read: 0,
                space: chunk.space() as u32,
            };
            *copied_bytes += chunk.bytes().len();
            unread_lent[worker] -= 1;
            if let Piece::Lent(chunk) = std::mem::replace(piece, copy) {
                ends[worker].give_back(Return::Lent(chunk));
            }
        }
    }

    pub(super) fn tell_released(&mut self) {
        self.steps_since_release = 0;
        for _ in 0..self.to_release.len() {
            let Some(id) = self.to_release.pop_front() else {
                return;
            };
            if !self.tell_release(id) {
                self.to_release.push_back(id);
            } else if let Some(connection) = self.connections.get_mut(&id) {
                connection.listed = false;
            }
        }
    }

    /// `false`: no room.
    fn tell_release(&mut self, id: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return true;
        };
        let Some(end) = self.ends.get_mut(usize::from(id.worker())) else {
            return true;
        };
        if connection.released == 0 || connection.ended.is_some() || end.stopped {
            return true;
        }
        let told = end.push(Command::Release(id, connection.released)).is_ok();
        if told {
            connection.released = 0;
        }
        told
    }
}
