//! Accepting connections as a task.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use fourtuple_nic::Queue;

use super::held::Held;
use super::stream::AsyncStream;
use super::waiting::Waiting;
use crate::attach::PortQueue;
use crate::handoff::{Listener, Stream};

/// A listener as one endpoint accepts from it: [`AsyncEndpoint::listener`](crate::AsyncEndpoint::listener).
///
/// Several tasks may accept at a time.
///
/// ```no_run
/// # async fn greet(listener: fourtuple::AsyncListener) -> std::io::Result<()> {
/// use tokio::io::AsyncWriteExt;
/// loop {
///     let (mut stream, peer) = listener.accept().await?;
///     tokio::spawn(async move { stream.write_all(format!("hello, {peer}\n").as_bytes()).await });
/// }
/// # }
/// ```
pub struct AsyncListener<Q: Queue = PortQueue> {
    held: Arc<Held<Q>>,
    listener: Listener,
    /// Whoever polled this handle last waits by this ticket.
    polled: Mutex<Option<u64>>,
}

impl<Q: Queue> AsyncListener<Q> {
    pub(super) fn new(held: Arc<Held<Q>>, listener: Listener) -> Self {
        Self {
            held,
            listener,
            polled: Mutex::default(),
        }
    }

    /// The next connection, and its peer. Cancel-safe: a connection that a dropped call did not return is the next one's.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the engine or the endpoint's runtime has gone: nothing comes any more.
    pub async fn accept(&self) -> io::Result<(AsyncStream<Q>, SocketAddr)> {
        let (listener, endpoint) = (&self.listener, self.held.endpoint());
        let accepted = Waiting::new(
            |ticket, cx| listener.poll_accept_as(endpoint, ticket, cx),
            |ticket| listener.forget_accept(endpoint, ticket),
        )
        .await?;
        Ok(self.accepted(accepted))
    }

    /// The next connection, and its peer; the task that polled this handle last is woken when there is one. Tasks that poll beside
    /// each other have a clone each.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AsyncStream<Q>, SocketAddr)>> {
        let mut ticket = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        let accepted = self
            .listener
            .poll_accept_as(self.held.endpoint(), &mut ticket, cx);
        drop(ticket);
        accepted
            .map_ok(|stream| self.accepted(stream))
            .map_err(io::Error::from)
    }

    fn accepted(&self, stream: Stream<Q>) -> (AsyncStream<Q>, SocketAddr) {
        let stream = AsyncStream::new(stream, Arc::clone(&self.held));
        let peer = stream.peer();
        (stream, peer)
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }
}

impl<Q: Queue> Clone for AsyncListener<Q> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.held), self.listener)
    }
}

impl<Q: Queue> Drop for AsyncListener<Q> {
    fn drop(&mut self) {
        let polled = self.polled.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticket) = polled.take() {
            self.listener.forget_accept(self.held.endpoint(), ticket);
        }
    }
}

impl<Q: Queue> std::fmt::Debug for AsyncListener<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncListener")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}
