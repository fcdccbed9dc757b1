//! What the tasks of a runtime ask of an endpoint beside what threads do (feature `async`).

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;

use super::chunk::Chunk;
use super::core::EndpointCore;
use super::endpoint::{Connecting, Endpoint};
use super::parking::Driven;
use super::stream::{Stream, StreamError, Waits};

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
        cx: &mut Context<'_>,
    ) -> Poll<Result<Connecting<Q>, StreamError>> {
        let begun = self.shared.with(|core| match core.start_connect(remote) {
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

    /// Bytes that were handed out go unread: closing the connection says so.
    pub(crate) fn discard(&self, chunk: Chunk<Q>) {
        self.shared.with(|core: &mut EndpointCore<Q>| {
            if let Some(connection) = core.connections.get_mut(&self.id) {
                connection.discarded |= !chunk.is_empty();
            }
        });
    }
}
