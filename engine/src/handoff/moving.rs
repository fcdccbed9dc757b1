//! Connections that change hands, on the endpoint's side: those that come here, and those that go to another.
//!
//! A connection goes in two steps, so that nothing of it is lost or told twice: the worker is asked to tell this endpoint no more of
//! it; behind the last that it told, what is known here, unread bytes included, goes to the other's inbox, which then has the worker go on.
//! Unread bytes are copied on the way, for their buffers are this endpoint's to give back.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_wire::{FourTuple, Received};

use super::connection::{Moving, Piece};
use super::core::EndpointCore;
use super::endpoint::{Endpoint, settled};
use super::handle::{Arrival, EndpointHandle};
use super::protocol::Command;
use super::readiness::{Interest, News, READABLE, Source, Token, Waiters, Watch};
use super::rings::Return;
use super::stream::{Stream, StreamError};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::error::ApiMisuse;

/// A connection that a handler or another endpoint handed over.
///
/// ```no_run
/// # fn next(endpoint: &fourtuple::Endpoint) -> Result<(), fourtuple::StreamError> {
/// let fourtuple::Handed { stream, mark, .. } = endpoint.take_handed(std::time::Duration::MAX)?;
/// println!("{} as number {mark}", stream.peer());
/// # Ok(()) }
/// ```
#[non_exhaustive]
pub struct Handed<Q: Queue = PortQueue> {
    /// The connection. What its owner before did not read is here to be read.
    pub stream: Stream<Q>,
    /// The number that it was handed over with.
    pub mark: u64,
}

impl<Q: Queue> fmt::Debug for Handed<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed")
            .field("stream", &self.stream)
            .field("mark", &self.mark)
            .finish()
    }
}

/// A stream that did not move, or not yet.
///
/// ```no_run
/// # fn give(stream: fourtuple::Stream, to: &fourtuple::EndpointHandle) {
/// if let Err(unmoved) = stream.move_to(to, 0, std::time::Duration::from_secs(1)) {
///     eprintln!("{unmoved}");
///     unmoved.stream.abort();
/// }
/// # }
/// ```
#[non_exhaustive]
pub struct Unmoved<Q: Queue = PortQueue> {
    /// Why not.
    pub why: StreamError,
    /// The stream.
    pub stream: Stream<Q>,
}

impl<Q: Queue> fmt::Debug for Unmoved<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmoved")
            .field("why", &self.why)
            .field("stream", &self.stream)
            .finish()
    }
}

impl<Q: Queue> fmt::Display for Unmoved<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection did not move: {}", self.why)
    }
}

impl<Q: Queue> std::error::Error for Unmoved<Q> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

impl<Q: Queue> Endpoint<Q> {
    /// Its name, for those that give it connections.
    pub fn handle(&self) -> EndpointHandle<Q> {
        self.shared.with(|core| core.handle())
    }

    /// The next connection that a [handler](crate::Connection::hand_off) or [another endpoint](Stream::move_to) handed over; waits at
    /// most for `timeout`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn serve(endpoint: fourtuple::Endpoint) -> Result<(), fourtuple::StreamError> {
    /// loop {
    ///     let handed = endpoint.take_handed(Duration::MAX)?;
    ///     println!("{} as number {}", handed.stream.peer(), handed.mark);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up; [`ApiMisuse::Stopped`] when the engine has stopped.
    pub fn take_handed(&self, timeout: Duration) -> Result<Handed<Q>, StreamError> {
        let taken = self
            .shared
            .wait_until(timeout, |core| settled(core.take_handed()))
            .unwrap_or(Err(StreamError::NotYet))?;
        Ok(self.handed(taken))
    }

    /// The next connection that was handed over, for a task: its waker is called when there is one. It moves no messages: somebody
    /// has to [step](Self::step).
    ///
    /// # Errors
    /// [`ApiMisuse::Stopped`] when the engine has stopped.
    pub fn poll_handed(&self, cx: &mut Context<'_>) -> Poll<Result<Handed<Q>, StreamError>> {
        let taken = self.shared.with(|core| match core.take_handed() {
            Err(StreamError::NotYet) => {
                core.handed.tasks.wait(cx.waker());
                Poll::Pending
            }
            settled => Poll::Ready(settled),
        });
        taken.map_ok(|taken| self.handed(taken))
    }

    /// Has [`poll`](Self::poll) tell as [`readable`](super::Ready::readable) when connections were handed over.
    pub fn watch_handed(&self, token: Token) {
        self.shared.with(|core| {
            let stopped = core.ends.iter().all(|end| end.stopped);
            let now = News::of(!core.handed.queue.is_empty(), false, stopped);
            let EndpointCore {
                readiness, handed, ..
            } = core;
            readiness.watch(Source::Handed, &mut handed.watch, token, Interest::READABLE, now);
        });
    }

    pub(super) fn handed(&self, (id, tuple, mark): (ConnId, FourTuple, u64)) -> Handed<Q> {
        let stream = Stream::new(Arc::clone(&self.shared), id, tuple);
        Handed { stream, mark }
    }
}

impl<Q: Queue> Stream<Q> {
    /// Gives this connection to another endpoint of the same engine, which [takes](Endpoint::take_handed) it with `mark`. Waits at most for
    /// `timeout` until it is there: a turn of its worker. Moving within one endpoint is the same as taking.
    ///
    /// What was sent here goes out before what is sent there; what was not read here is read there, in order. Chunks in the
    /// application's hands stay good. It costs two messages to the worker and a copy of the unread bytes.
    ///
    /// # Errors
    /// The stream and why: [`StreamError::NotYet`] when the time is up, or as many wait there as
    /// [may](super::EndpointLimits::handed): call again with the same arguments, for it may be under way, and is there when a call says
    /// `Ok`. [`ApiMisuse::Stopped`] when either endpoint is gone, or else why it has ended: the stream is as it was.
    pub fn move_to(mut self, to: &EndpointHandle<Q>, mark: u64, timeout: Duration) -> Result<(), Unmoved<Q>> {
        let moved = self
            .shared
            .wait_until(timeout, |core| settled(core.move_to(self.id, to, mark)))
            .unwrap_or(Err(StreamError::NotYet));
        match moved {
            Ok(()) => {
                self.moved = true;
                Ok(())
            }
            Err(why) => Err(Unmoved { why, stream: self }),
        }
    }
}

/// Connections that were handed over and wait to be taken.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    pub(super) queue: VecDeque<(ConnId, u64)>,
    pub(super) watch: Watch,
    pub(super) tasks: Waiters,
}

impl<Q: Queue> EndpointCore<Q> {
    pub(super) fn handle(&self) -> EndpointHandle<Q> {
        EndpointHandle::new(&self.presence, &self.inbox)
    }

    /// A connection waits to be taken.
    pub(super) fn on_handed(&mut self, id: ConnId, mark: u64) {
        self.handed.queue.push_back((id, mark));
        self.tell_handed(READABLE);
    }

    pub(super) fn tell_handed(&mut self, news: News) {
        self.readiness.wake_later(self.handed.tasks.take());
        self.readiness.tell(Source::Handed, &mut self.handed.watch, news);
    }

    pub(super) fn take_handed(&mut self) -> Result<(ConnId, FourTuple, u64), StreamError> {
        while let Some((id, mark)) = self.handed.queue.pop_front() {
            self.presence.handed.fetch_sub(1, Ordering::Relaxed);
            if let Some(connection) = self.connections.get(&id) {
                return Ok((id, connection.tuple, mark));
            }
        }
        if self.ends.iter().all(|end| end.stopped) {
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        }
        Err(StreamError::NotYet)
    }

    /// Takes in what other endpoints gave; how many.
    pub(super) fn take_arrivals(&mut self) -> usize {
        let arrivals = self.inbox.take();
        let count = arrivals.len();
        arrivals.into_iter().for_each(|arrival| self.adopt(arrival));
        count
    }

    /// A connection is ours from now on, and the worker may go on with it.
    pub(super) fn adopt(&mut self, arrival: Arrival<Q>) {
        let Arrival {
            id,
            mut connection,
            mark,
        } = arrival;
        connection.listed = connection.released > 0;
        if connection.listed {
            self.to_release.push_back(id);
        }
        self.copied_bytes += connection.copied();
        self.connections.insert(id, *connection);
        self.go_on(id);
        self.on_handed(id, mark);
    }

    /// The worker may tell us of this connection.
    fn go_on(&mut self, id: ConnId) {
        if let Some(end) = self.end_of(id)
            && !end.stopped
        {
            end.urge(Command::Take(id));
        }
    }

    /// `Ok`: it is the other's.
    fn move_to(&mut self, id: ConnId, to: &EndpointHandle<Q>, mark: u64) -> Result<(), StreamError> {
        let stopped = self.has_stopped(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            // It went, or all did.
            return if self.has_left() {
                Err(StreamError::Misuse(ApiMisuse::Stopped))
            } else {
                Ok(())
            };
        };
        if stopped || connection.moving == Some(Moving::Refused) {
            connection.moving = None;
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        }
        match connection.ended {
            Some(Err(why)) => return Err(StreamError::Connection(why)),
            Some(Ok(())) => return Err(StreamError::Misuse(ApiMisuse::NoSuchConnection)),
            None => {}
        }
        if connection.moving.is_some() {
            return Err(StreamError::NotYet);
        }
        if !to.has_room() {
            return Err(StreamError::NotYet);
        }
        if to.number() == self.presence.number {
            self.presence.handed.fetch_add(1, Ordering::Relaxed);
            self.on_handed(id, mark);
            return Ok(());
        }
        let asked = Command::Move { id, to: to.number() };
        if self.end_of(id).is_none_or(|end| end.push(asked).is_err()) {
            return Err(StreamError::NotYet);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.moving = Some(Moving::Asked);
            self.departing.insert(id, (to.clone(), mark));
        }
        Err(StreamError::NotYet)
    }

    /// The worker answered: nothing more comes of this connection, or the other endpoint is not there.
    pub(super) fn on_moved(&mut self, id: ConnId, there: bool) {
        let departing = self.departing.remove(&id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.moving = None;
        match (there, departing) {
            (true, Some((to, mark))) => self.depart(id, &to, mark),
            // Nobody says any more where to: it goes on here.
            (true, None) => self.go_on(id),
            (false, Some(_)) => connection.moving = Some(Moving::Refused),
            (false, None) => {}
        }
    }

    fn depart(&mut self, id: ConnId, to: &EndpointHandle<Q>, mark: u64) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        self.readiness.forget(&mut connection.watch);
        self.copied_bytes = self.copied_bytes.saturating_sub(connection.copied());
        let worker = usize::from(id.worker());
        for piece in &mut connection.unread {
            let Piece::Lent(chunk) = piece else { continue };
            let copy = Piece::Copied {
                bytes: chunk.bytes().to_vec(),
                read: 0,
                space: chunk.space() as u32,
            };
            self.unread_lent[worker] = self.unread_lent[worker].saturating_sub(1);
            if let Piece::Lent(chunk) = std::mem::replace(piece, copy)
                && let Some(end) = self.ends.get_mut(worker)
            {
                end.give_back(Return::Lent(chunk));
            }
        }
        let out = std::mem::take(&mut connection.out);
        if out > 0 {
            self.moved_away.insert(id, out);
        }
        let arrival = Arrival {
            id,
            connection: Box::new(connection.departing()),
            mark,
        };
        if let Err(mut back) = to.give(arrival) {
            // It is gone since: the connection is ours again.
            back.connection.out = self.moved_away.remove(&id).unwrap_or(0);
            back.connection.listed = back.connection.released > 0;
            if back.connection.listed {
                self.to_release.push_back(id);
            }
            self.copied_bytes += back.connection.copied();
            back.connection.moving = Some(Moving::Refused);
            self.connections.insert(id, *back.connection);
            self.go_on(id);
        }
    }

    /// A chunk of a connection that moved away came home: its space is still that connection's window.
    pub(super) fn release_for_moved(&mut self, id: ConnId, space: u32) {
        let Some(out) = self.moved_away.get_mut(&id) else {
            return;
        };
        *out = out.saturating_sub(space);
        if *out == 0 {
            self.moved_away.remove(&id);
        }
        if let Some(end) = self.end_of(id)
            && !end.stopped
        {
            end.urge(Command::Release(id, space));
        }
    }

    /// The endpoint is dropped: what arrived is closed with the rest, and what moved away is not to wait for chunks that come
    /// home later.
    pub(super) fn settle_moves(&mut self) {
        for arrival in self.inbox.close() {
            self.adopt(arrival);
        }
        for (id, space) in std::mem::take(&mut self.moved_away) {
            if let Some(end) = self.end_of(id)
                && !end.stopped
            {
                end.urge(Command::Release(id, space));
            }
        }
        self.departing.clear();
        self.handed.queue.clear();
    }
}
