//! What the tasks of a runtime ask of an endpoint beside what threads do (feature `async`).

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;

use super::accept::Listener;
use super::chunk::Chunk;
use super::core::EndpointCore;
use super::endpoint::{Connecting, Endpoint};
use super::moving::Handed;
use super::parking::Driven;
use super::stream::{Stream, StreamError, Waits};
use crate::error::ApiMisuse;
use crate::shard::ConnectOptions;

impl<Q: Queue> Endpoint<Q> {
    /// For the task that alone moves messages: one step, and where nothing moved the bell is made ready for a sleep.
    pub(crate) fn drive(&self) -> Driven {
        self.shared.drive()
    }

    /// Leaves as dropping it does, and tells everybody who waits, the driver too.
    pub(crate) fn leave(&self) {
        self.shared.with(|core| {
            if !core.has_left() {
                core.leave();
            }
        });
        self.shared.rouse();
    }

    /// Begins to open a connection as soon as one can be begun.
    pub(crate) fn poll_start_connect(
        &self,
        remote: SocketAddr,
        options: Option<&ConnectOptions>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Connecting<Q>, StreamError>> {
        let begun = self
            .shared
            .with(|core| match core.start_connect_with(remote, options) {
                Err(StreamError::NotYet) => {
                    core.readiness.wake_after_step(cx.waker());
                    Poll::Pending
                }
                settled => Poll::Ready(settled),
            });
        begun.map_ok(|token| Connecting {
            shared: Arc::clone(&self.shared),
            token,
        })
    }

    /// The next connection that was handed over. `ticket` is this future's, to be [forgotten](Self::forget_handed) with it.
    pub(crate) fn poll_handed_as(
        &self,
        ticket: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Handed<Q>, StreamError>> {
        let (taken, _replaced) = self.shared.with(|core| match core.take_handed() {
            Err(StreamError::NotYet) => (Poll::Pending, core.handed.tasks.wait_as(ticket, cx.waker())),
            settled => (Poll::Ready(settled), None),
        });
        taken.map_ok(|taken| self.handed(taken))
    }

    /// A future that waited for what is handed over was dropped.
    pub(crate) fn forget_handed(&self, ticket: u64) {
        drop(self.shared.with(|core| core.handed.tasks.forget(ticket)));
    }
}

impl Listener {
    /// The next connection. `ticket` is this future's, to be [forgotten](Self::forget_accept) with it.
    pub(crate) fn poll_accept_as<Q: Queue>(
        &self,
        endpoint: &Endpoint<Q>,
        ticket: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream<Q>, StreamError>> {
        let (accepted, _replaced) = endpoint.shared.with(|core| {
            core.accepting(self);
            match core.accept(self.id()) {
                Err(StreamError::NotYet) => {
                    let replaced = core.accepting(self).tasks.wait_as(ticket, cx.waker());
                    core.post_credits();
                    (Poll::Pending, replaced)
                }
                settled => (Poll::Ready(settled), None),
            }
        });
        accepted.map_ok(|(id, tuple)| Stream::new(Arc::clone(&endpoint.shared), id, tuple))
    }

    /// A future that waited for a connection was dropped.
    pub(crate) fn forget_accept<Q: Queue>(&self, endpoint: &Endpoint<Q>, ticket: u64) {
        let forgotten = endpoint.shared.with(|core| {
            // It left meanwhile, and all who waited with it.
            if core.has_left() {
                return None;
            }
            let forgotten = core.accepting(self).tasks.forget(ticket);
            core.post_credits();
            forgotten
        });
        drop(forgotten);
    }
}

impl<Q: Queue> Stream<Q> {
    /// Gives `sink` what is there, at most `room` bytes; nothing is the end of file.
    pub(crate) fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        sink: impl FnMut(&[u8]),
    ) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToRead, |core| core.read_with(self.id, room, sink))
    }

    /// The same without waiting.
    pub(crate) fn read_now(&self, into: &mut [u8]) -> Result<usize, StreamError> {
        self.shared
            .with(|core| self.called(core, |core| core.read(self.id, into)))
    }

    /// Copies what is there and leaves it there, once it is `least` bytes or no more can come.
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        least: usize,
        into: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToRead, |core| core.peek(self.id, least, into))
    }

    /// A read would not wait.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll(cx, Waits::ToRead, |core| core.may_read(self.id).map(|_| ()))
    }

    /// A send would not wait.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| core.may_send_now(self.id))
    }

    /// Sends what can be sent of several parts, as if they stood behind one another.
    pub(crate) fn poll_send_parts(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| {
            core.send_parts(self.id, parts.iter().map(|part| &**part))
        })
    }

    /// The same without waiting.
    pub(crate) fn send_parts_now(&self, parts: &[IoSlice<'_>]) -> Result<usize, StreamError> {
        self.shared
            .with(|core| core.send_parts(self.id, parts.iter().map(|part| &**part)))
    }

    /// Sends what can be sent, as urgent.
    pub(crate) fn poll_send_urgent(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| core.send_urgent(self.id, bytes))
    }

    /// Bytes to the end of what is urgent, where `held` that were handed out are not read either.
    pub(crate) fn urgent_ahead_behind(&self, held: usize) -> Option<u64> {
        self.shared
            .with(|core| core.connections.get(&self.id)?.urgent_ahead(held as u64))
    }

    /// The same as soon as something is; `None` when the peer can send nothing more.
    pub(crate) fn poll_urgent(
        &self,
        cx: &mut Context<'_>,
        held: usize,
    ) -> Poll<Result<Option<u64>, StreamError>> {
        self.poll(cx, Waits::ToRead, |core| {
            let Some(connection) = core.connections.get(&self.id) else {
                return Err(core.gone());
            };
            match (connection.urgent_ahead(held as u64), connection.ended) {
                (Some(ahead), _) => Ok(Some(ahead)),
                (None, Some(Err(why))) => Err(StreamError::Connection(why)),
                (None, Some(Ok(()))) => Ok(None),
                (None, None) if connection.peer_closed => Ok(None),
                (None, None) if core.has_stopped(self.id) => Err(StreamError::Misuse(ApiMisuse::Stopped)),
                (None, None) => Err(StreamError::NotYet),
            }
        })
    }

    /// What was seen of the connection before is of no interest.
    pub(crate) fn begin_look(&self) {
        self.shared.with(|core| core.forget_seen(self.id));
    }

    /// What its worker sees of the connection.
    pub(crate) fn poll_look(&self, cx: &mut Context<'_>) -> Poll<Result<Status, StreamError>> {
        self.shared.with(|core| match core.look(self.id) {
            Err(StreamError::NotYet) => {
                // The answer comes in a step.
                core.readiness.wake_after_step(cx.waker());
                Poll::Pending
            }
            settled => Poll::Ready(settled),
        })
    }

    /// As [`abort`](Self::abort), where others hold the stream, too.
    pub(crate) fn abort_now(&self) {
        self.shared.with(|core| core.abort(self.id));
    }

    /// Bytes that were handed out go unread: closing the connection says so.
    pub(crate) fn discard(&self, chunk: Chunk<Q>) {
        self.shared.with(|core: &mut EndpointCore<Q>| {
            if let Some(connection) = core.connections.get_mut(&self.id) {
                connection.discarded |= !chunk.is_empty();
            }
        });
    }
}
