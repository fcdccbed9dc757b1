//! The handle by which an application takes part: it accepts, connects, and keeps messages moving.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_wire::FourTuple;

use super::core::EndpointCore;
use super::parking::Shared;
use super::protocol::Command;
use super::readiness::{Interest, News, Ready, Source, Token, Watch};
use super::stream::{Stream, StreamError};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::error::{ApiMisuse, ConnectError};
use crate::idle::Sleeper;
use crate::shard::ConnectOptions;

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

    /// What became ready of what is watched: [streams](Stream::watch), [listeners](super::Listener::watch) and connections
    /// [being opened](Connecting::watch). Waits at most for `timeout` until there is something; returns how many there are.
    ///
    /// `ready` is emptied and filled up to its capacity (64 when it has none), oldest news first; what does not fit comes next
    /// time. Each is told once: read, send or accept until the call says [`StreamError::NotYet`], or watch anew.
    ///
    /// ```no_run
    /// # use std::{collections::HashMap, time::Duration};
    /// # use fourtuple::{Interest, Token};
    /// # fn echo(endpoint: fourtuple::Endpoint, listener: fourtuple::Listener) -> Result<(), fourtuple::StreamError> {
    /// const NEW: Token = Token(u64::MAX);
    /// listener.watch(&endpoint, NEW);
    /// let (mut streams, mut ready) = (HashMap::new(), Vec::with_capacity(256));
    /// loop {
    ///     endpoint.poll(&mut ready, Duration::from_secs(1));
    ///     for told in &ready {
    ///         if told.token == NEW {
    ///             while let Ok(stream) = listener.try_accept(&endpoint) {
    ///                 let token = Token(stream.id().as_u64());
    ///                 stream.watch(token, Interest::READABLE);
    ///                 streams.insert(token, stream);
    ///             }
    ///         } else if let Some(stream) = streams.get(&told.token) {
    ///             while let Ok(Some(chunk)) = stream.try_recv() {
    ///                 stream.send_all(&chunk, Duration::from_secs(1))?;
    ///             }
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    pub fn poll(&self, ready: &mut Vec<Ready>, timeout: Duration) -> usize {
        ready.clear();
        if ready.capacity() == 0 {
            ready.reserve(READY);
        }
        let mut stepped = false;
        let told = self.shared.wait_until(timeout, |core| {
            // What came meanwhile is told with the rest, and a program that always finds something moves messages, too.
            if !std::mem::replace(&mut stepped, true) {
                core.step();
            }
            core.tell_ready(ready)
        });
        told.unwrap_or(0)
    }

    /// Says that the caller is about to wait for this endpoint's [descriptor](Self::as_fd) in an event loop of its own.
    /// `false`: there is something to do already: [`step`](Self::step) or [`poll`](Self::poll), and don't wait.
    ///
    /// From then until [`disarm`](Self::disarm) the event loop is the one that moves messages: threads that wait in calls on this endpoint
    /// or its streams leave it to the loop, and go on when it disarms. One loop an endpoint.
    ///
    /// ```no_run
    /// # use std::{os::fd::AsFd, time::Duration};
    /// # fn turn(endpoint: &fourtuple::Endpoint, wait: impl Fn(std::os::fd::BorrowedFd<'_>)) {
    /// let mut ready = Vec::with_capacity(64);
    /// loop {
    ///     endpoint.poll(&mut ready, Duration::ZERO);
    ///     // … serve what is ready …
    ///     if endpoint.arm() {
    ///         // With epoll, io_uring, or the reactor of a runtime, among other descriptors; level or edge.
    ///         wait(endpoint.as_fd());
    ///         endpoint.disarm();
    ///     }
    /// }
    /// # }
    /// ```
    pub fn arm(&self) -> bool {
        self.shared.arm()
    }

    /// Ends what [`arm`](Self::arm) began, and takes the signal off the descriptor.
    pub fn disarm(&self) {
        self.shared.disarm();
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

    /// Opens a connection as `options` say; else as [`connect`](Self::connect).
    ///
    /// A port of our own belongs to one worker, by the four-tuple: each is asked until one can have it.
    ///
    /// ```no_run
    /// # fn from_port_20(endpoint: &fourtuple::Endpoint) -> Result<fourtuple::Stream, fourtuple::StreamError> {
    /// let options = fourtuple::ConnectOptions::new().with_local_port(20);
    /// endpoint.connect_with(([10, 99, 0, 1], 80).into(), &options, std::time::Duration::from_secs(5))
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ConnectError::AddressInUse`] when no worker can have the port.
    pub fn connect_with(
        &self,
        remote: SocketAddr,
        options: &ConnectOptions,
        timeout: Duration,
    ) -> Result<Stream<Q>, StreamError> {
        let start = std::time::Instant::now();
        let token = self
            .shared
            .wait_until(timeout, |core| {
                settled(core.start_connect_with(remote, Some(options)))
            })
            .unwrap_or(Err(StreamError::NotYet))?;
        let connecting = Connecting {
            shared: Arc::clone(&self.shared),
            token,
        };
        connecting.wait(timeout.saturating_sub(start.elapsed()))
    }

    /// Begins to open a connection as `options` say, without waiting.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when no more can be begun now.
    pub fn start_connect_with(
        &self,
        remote: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<Connecting<Q>, StreamError> {
        let token = self
            .shared
            .with(|core| core.start_connect_with(remote, Some(options)))?;
        Ok(Connecting {
            shared: Arc::clone(&self.shared),
            token,
        })
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

impl<Q: Queue> AsFd for Endpoint<Q> {
    /// An eventfd, readable when there is something to step for and the endpoint is [armed](Endpoint::arm); else it is silent.
    /// It is not to be read or written.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.sleeper().as_fd()
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
    pub(super) shared: Arc<Shared<Q>>,
    pub(super) token: u32,
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

    /// Has [`Endpoint::poll`] tell as [`writable`](Ready::writable) when the answer is there, or as
    /// [`closed`](Ready::closed) when none will come; [`try_finish`](Self::try_finish) says which.
    pub fn watch(&self, token: Token) {
        self.shared.with(|core| core.watch_connect(self.token, token));
    }

    /// The answer, for a task: its waker is called when it is there. It moves no messages: somebody has to
    /// [step](Endpoint::step).
    ///
    /// # Errors
    /// Why it could not be opened.
    pub fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<Result<Stream<Q>, StreamError>> {
        // What is replaced is dropped without the lock.
        let (answer, _replaced) = self.shared.with(|core| match core.connect_answer(self.token) {
            Err(StreamError::NotYet) => {
                let opening = core.connects.get_mut(&self.token);
                let replaced = opening.and_then(|opening| opening.watch.wait_to_write(cx.waker()));
                (Poll::Pending, replaced)
            }
            settled => (Poll::Ready(settled), None),
        });
        answer.map(|answer| self.stream(answer))
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

/// Told by one call of [`Endpoint::poll`] when its list has no capacity.
const READY: usize = 64;

/// A connect, by its token, and who waits for its answer.
pub(super) struct Opening {
    connect: Connect,
    pub(super) watch: Watch,
    /// Who else may be asked, when this worker can't have the port.
    elsewhere: Option<Elsewhere>,
}

/// A connect with a port of its own, which one worker can have.
struct Elsewhere {
    remote: SocketAddr,
    options: ConnectOptions,
    /// Workers that were not asked.
    left: usize,
}

impl Opening {
    /// This worker owes the answer.
    pub(super) fn waits_for(&self, of: usize) -> bool {
        match self.connect {
            Connect::Asked { worker } => worker == of,
            Connect::Answered(_) => false,
        }
    }
}

/// How far it has come.
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
    pub(super) fn start_connect(&mut self, remote: SocketAddr) -> Result<u32, StreamError> {
        self.start_connect_with(remote, None)
    }

    pub(super) fn start_connect_with(
        &mut self,
        remote: SocketAddr,
        options: Option<&ConnectOptions>,
    ) -> Result<u32, StreamError> {
        if self.ends.iter().all(|end| end.stopped) {
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        }
        let token = self.next_token;
        let beside = options
            .and_then(|options| options.beside)
            .map(|id| usize::from(id.worker()));
        for _ in 0..if beside.is_some() { 1 } else { self.ends.len() } {
            let worker = beside.unwrap_or(self.next_worker) % self.ends.len();
            if beside.is_none() {
                self.next_worker = worker + 1;
            }
            let command = Command::Connect {
                token,
                remote: remote.into(),
                options: options.cloned().map(Box::new),
            };
            if self.ends[worker].stopped
                || self.owed_opened[worker] >= self.limits.opened()
                || self.ends[worker].push(command).is_err()
            {
                continue;
            }
            self.owed_opened[worker] += 1;
            self.next_token = token.wrapping_add(1);
            let opening = Opening {
                connect: Connect::Asked { worker },
                watch: Watch::default(),
                elsewhere: options
                    .filter(|options| options.local_port.is_some() && beside.is_none())
                    .map(|options| Elsewhere {
                        remote,
                        options: options.clone(),
                        left: self.ends.len() - 1,
                    }),
            };
            self.connects.insert(token, opening);
            return Ok(token);
        }
        Err(StreamError::NotYet)
    }

    /// This worker can't have the port that was asked for: `true` when another was asked.
    pub(super) fn ask_next_worker(&mut self, token: u32, why: ConnectError) -> bool {
        let Some(opening) = self.connects.get_mut(&token) else {
            return false;
        };
        let (Connect::Asked { worker }, Some(elsewhere)) = (&mut opening.connect, &mut opening.elsewhere)
        else {
            return false;
        };
        if why != ConnectError::AddressInUse || elsewhere.left == 0 {
            return false;
        }
        elsewhere.left -= 1;
        *worker = (*worker + 1) % self.ends.len();
        let command = Command::Connect {
            token,
            remote: elsewhere.remote.into(),
            options: Some(Box::new(elsewhere.options.clone())),
        };
        self.owed_opened[*worker] += 1;
        self.ends[*worker].urge(command);
        true
    }

    fn connect_answer(&mut self, token: u32) -> Result<(ConnId, FourTuple), StreamError> {
        let worker = match self.connects.get(&token).map(|opening| &opening.connect) {
            Some(Connect::Asked { worker }) => *worker,
            Some(Connect::Answered(_)) => usize::MAX,
            None => return Err(StreamError::Misuse(ApiMisuse::Stopped)),
        };
        if self.ends.get(worker).is_some_and(|end| !end.stopped) {
            return Err(StreamError::NotYet);
        }
        let opening = self.connects.remove(&token);
        if let Some(mut opening) = opening {
            self.readiness.forget(&mut opening.watch);
            if let Connect::Answered(answer) = opening.connect {
                return answer;
            }
        }
        Err(StreamError::Misuse(ApiMisuse::Stopped))
    }

    /// `false`: nobody waits for it.
    pub(super) fn on_connect_answered(
        &mut self,
        token: u32,
        answer: Result<(ConnId, FourTuple), StreamError>,
    ) -> bool {
        let Some(opening) = self.connects.get_mut(&token) else {
            return false;
        };
        let news = News::of(false, true, answer.is_err());
        opening.connect = Connect::Answered(answer);
        self.readiness
            .tell(Source::Connect(token), &mut opening.watch, news);
        true
    }

    fn forget_connect(&mut self, token: u32) {
        let Some(mut opening) = self.connects.remove(&token) else {
            return;
        };
        self.readiness.forget(&mut opening.watch);
        if let Connect::Answered(Ok((id, _))) = opening.connect {
            self.abort(id);
        }
    }

    fn watch_connect(&mut self, connect: u32, token: Token) {
        let Some(opening) = self.connects.get_mut(&connect) else {
            return;
        };
        let now = match &opening.connect {
            Connect::Asked { worker } if self.ends.get(*worker).is_some_and(|end| !end.stopped) => {
                News::default()
            }
            Connect::Answered(answer) => News::of(false, true, answer.is_err()),
            Connect::Asked { .. } => News::of(false, true, true),
        };
        let source = Source::Connect(connect);
        self.readiness
            .watch(source, &mut opening.watch, token, Interest::WRITABLE, now);
    }
}
