//! The handle by which an application takes part: it accepts, connects, and keeps messages moving.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_wire::FourTuple;

use super::core::EndpointCore;
use super::parking::Shared;
use super::protocol::Command;
use super::rings::Order;
use super::stream::{Stream, StreamError};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::error::ApiMisuse;
use crate::idle::Sleeper;

/// An application's end of the rings to and from every worker.
///
/// It is a handle and no thread: use it from one thread, or share it; calls on its streams may come from several threads and
/// take turns. Every call that waits moves messages for the whole endpoint; a program that waits for other things calls
/// [`step`](Self::step) now and then.
///
/// Dropping it closes its connections (unread data: RST, else FIN). Chunks that are still held stay readable.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn serve(endpoint: fourtuple::Endpoint, listener: fourtuple::Listener) -> Result<(), fourtuple::StreamError> {
/// loop {
///     let stream = listener.accept(&endpoint, Duration::from_secs(1))?;
///     while let Some(chunk) = stream.recv(Duration::from_secs(10))? {
///         stream.send_all(&chunk, Duration::from_secs(10))?;
///     }
/// }
/// # }
/// ```
pub struct Endpoint<Q: Queue = PortQueue> {
    pub(super) shared: Arc<Shared<Q>>,
}

impl<Q: Queue> Endpoint<Q> {
    /// Around what [`pair`](super::pair) made, with the same sleeper.
    pub(crate) fn new(core: EndpointCore<Q>, sleeper: Arc<Sleeper>) -> Self {
        Self {
            shared: Arc::new(Shared::new(core, sleeper)),
        }
    }

    /// Moves messages both ways without waiting; returns how many.
    pub fn step(&self) -> usize {
        self.shared.with(|core| {
            core.step();
            core.finish_steps();
            core.take_moved()
        })
    }

    /// Waits until a message moved, at most for `timeout`; `false` when none did.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.shared
            .wait_until(timeout, |core| {
                (core.take_moved() > 0 || core.has_left()).then_some(())
            })
            .is_some()
    }

    /// Opens a connection; waits at most for `timeout`, after which it is given up.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up, else why it could not be opened.
    pub fn connect(&self, remote: SocketAddr, timeout: Duration) -> Result<Stream<Q>, StreamError> {
        let start = std::time::Instant::now();
        let token = self
            .shared
            .wait_until(timeout, |core| settled(core.start_connect(remote)))
            .unwrap_or(Err(StreamError::NotYet))?;
        let connecting = Connecting {
            shared: Arc::clone(&self.shared),
            token,
        };
        connecting.wait(timeout.saturating_sub(start.elapsed()))
    }

    /// Begins to open a connection, without waiting.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when no more can be begun now.
    pub fn start_connect(&self, remote: SocketAddr) -> Result<Connecting<Q>, StreamError> {
        let token = self.shared.with(|core| core.start_connect(remote))?;
        Ok(Connecting {
            shared: Arc::clone(&self.shared),
            token,
        })
    }

    /// Connections that this endpoint has, those included that wait for an accept.
    pub fn connections(&self) -> usize {
        self.shared.with(|core| core.connections.len())
    }

    /// Bytes that were copied on sending because they did not lie in a buffer of the connection's worker, since start.
    pub fn tx_copied_bytes(&self) -> u64 {
        self.shared.with(|core| core.tx_copied_bytes)
    }
}

impl<Q: Queue> Drop for Endpoint<Q> {
    fn drop(&mut self) {
        self.shared.with(EndpointCore::leave);
        self.shared.rouse();
    }
}

impl<Q: Queue> fmt::Debug for Endpoint<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A connection that is being opened. Dropping it gives it up.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn open_two(endpoint: &fourtuple::Endpoint) -> Result<(), fourtuple::StreamError> {
/// let both = [80, 8080].map(|port| endpoint.start_connect(([10, 99, 0, 1], port).into()));
/// for connecting in both {
///     let stream = connecting?.wait(Duration::from_secs(1))?;
///     println!("connected to {}", stream.peer());
/// }
/// # Ok(()) }
/// ```
pub struct Connecting<Q: Queue = PortQueue> {
    shared: Arc<Shared<Q>>,
    token: u32,
}

impl<Q: Queue> Connecting<Q> {
    /// Waits for the answer, at most for `timeout`, and gives up then.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up, else why it could not be opened.
    pub fn wait(self, timeout: Duration) -> Result<Stream<Q>, StreamError> {
        let answer = self
            .shared
            .wait_until(timeout, |core| settled(core.connect_answer(self.token)));
        self.stream(answer.unwrap_or(Err(StreamError::NotYet)))
    }

    /// The answer, if it is there.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when it is not, else why it could not be opened.
    pub fn try_finish(&self) -> Result<Stream<Q>, StreamError> {
        let answer = self
            .shared
            .wait_until(Duration::ZERO, |core| settled(core.connect_answer(self.token)));
        self.stream(answer.unwrap_or(Err(StreamError::NotYet)))
    }

    fn stream(&self, answer: Result<(ConnId, FourTuple), StreamError>) -> Result<Stream<Q>, StreamError> {
        answer.map(|(id, tuple)| Stream::new(Arc::clone(&self.shared), id, tuple))
    }
}

impl<Q: Queue> Drop for Connecting<Q> {
    fn drop(&mut self) {
        self.shared.with(|core| core.forget_connect(self.token));
    }
}

impl<Q: Queue> fmt::Debug for Connecting<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// `None` while it may still come.
pub(super) fn settled<T>(result: Result<T, StreamError>) -> Option<Result<T, StreamError>> {
    match result {
        Err(StreamError::NotYet) => None,
        result => Some(result),
    }
}

/// A connect, by its token.
pub(super) enum Connect {
    /// The worker has not answered.
    Asked {
        /// The worker.
        worker: usize,
    },
    /// The worker has answered.
    Answered(Result<(ConnId, FourTuple), StreamError>),
}

impl<Q: Queue> EndpointCore<Q> {
    /// Asks the next worker that can take it.
    fn start_connect(&mut self, remote: SocketAddr) -> Result<u32, StreamError> {
        if self.ends.iter().all(|end| end.stopped) {
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        }
        let token = self.next_token;
        for _ in 0..self.ends.len() {
            let worker = self.next_worker % self.ends.len();
            self.next_worker = worker + 1;
            let command = Command::Connect { token, remote };
            if self.ends[worker].stopped
                || self.owed_opened[worker] >= self.limits.opened()
                || self.ends[worker].push(Order::Command(command)).is_err()
            {
                continue;
            }
            self.owed_opened[worker] += 1;
            self.next_token = token.wrapping_add(1);
            self.connects.insert(token, Connect::Asked { worker });
            return Ok(token);
        }
        Err(StreamError::NotYet)
    }

    fn connect_answer(&mut self, token: u32) -> Result<(ConnId, FourTuple), StreamError> {
        match self.connects.remove(&token) {
            Some(Connect::Answered(answer)) => answer,
            Some(Connect::Asked { worker }) if self.ends.get(worker).is_some_and(|end| !end.stopped) => {
                self.connects.insert(token, Connect::Asked { worker });
                Err(StreamError::NotYet)
            }
            Some(Connect::Asked { .. }) | None => Err(StreamError::Misuse(ApiMisuse::Stopped)),
        }
    }

    /// `false`: nobody waits for it.
    pub(super) fn on_connect_answered(
        &mut self,
        token: u32,
        answer: Result<(ConnId, FourTuple), StreamError>,
    ) -> bool {
        let Some(connect) = self.connects.get_mut(&token) else {
            return false;
        };
        *connect = Connect::Answered(answer);
        true
    }

    fn forget_connect(&mut self, token: u32) {
        if let Some(Connect::Answered(Ok((id, _)))) = self.connects.remove(&token) {
            self.abort(id);
        }
    }
}
