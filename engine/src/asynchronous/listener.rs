//! Accepting connections as a task.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fourtuple_nic::Queue;

use super::endpoint::Held;
use super::stream::AsyncStream;
use crate::attach::PortQueue;
use crate::handoff::Listener;

/// A listener as one endpoint accepts from it: [`AsyncEndpoint::listener`](crate::AsyncEndpoint::listener).
///
/// Several tasks may accept at a time.
pub struct AsyncListener<Q: Queue = PortQueue> {
    held: Arc<Held<Q>>,
    listener: Listener,
}

impl<Q: Queue> AsyncListener<Q> {
    pub(super) fn new(held: Arc<Held<Q>>, listener: Listener) -> Self {
        Self { held, listener }
    }

    /// The next connection, and its peer. Cancel-safe: a connection that a dropped call did not return is the next one's.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the engine or the endpoint's runtime has gone: nothing comes any more.
    pub async fn accept(&self) -> io::Result<(AsyncStream<Q>, SocketAddr)> {
        let accepted = poll_fn(|cx| self.listener.poll_accept(self.held.endpoint(), cx)).await;
        let stream = AsyncStream::new(accepted?, Arc::clone(&self.held));
        let peer = stream.peer();
        Ok((stream, peer))
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

impl<Q: Queue> std::fmt::Debug for AsyncListener<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncListener")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}
