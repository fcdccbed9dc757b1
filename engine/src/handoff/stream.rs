//! A connection in the application's hands.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use fourtuple_nic::Queue;
use fourtuple_tcp::Status;
use fourtuple_wire::FourTuple;

use super::chunk::Chunk;
use super::core::EndpointCore;
use super::endpoint::settled;
use super::parking::{NO_LIMIT, Shared};
use super::readiness::{Interest, Token};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::error::{ApiMisuse, ConnectError, ConnectionError};
use crate::handler::Trouble;
use crate::options::ConnectionOption;

/// A connection: bytes in, as chunks that are lent without a copy, and bytes out.
///
/// Calls may come from several threads. Those with a time-out wait at most that long and then return
/// [`StreamError::NotYet`]; [`io::Read`] and [`io::Write`] wait without limit. Dropping a stream closes the connection: with
/// a RST when received bytes were not read, else with a FIN behind all that was sent.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn ask(endpoint: &fourtuple::Endpoint) -> Result<(), fourtuple::StreamError> {
/// let within = Duration::from_secs(1);
/// let stream = endpoint.connect(([10, 99, 0, 1], 80).into(), within)?;
/// stream.send_all(b"GET / HTTP/1.0\r\n\r\n", within)?;
/// stream.shutdown();
/// while let Some(chunk) = stream.recv(within)? {
///     println!("{}", String::from_utf8_lossy(&chunk));
/// }
/// # Ok(()) }
/// ```
pub struct Stream<Q: Queue = PortQueue> {
    pub(super) shared: Arc<Shared<Q>>,
    pub(super) id: ConnId,
    tuple: FourTuple,
    /// It is another endpoint's, or another stream's of this one.
    pub(super) moved: bool,
}

/// Why a call on a stream, a listener or an endpoint gave nothing.
///
/// ```no_run
/// use fourtuple::{ConnectionError, StreamError};
/// # fn read(stream: &fourtuple::Stream) {
/// match stream.try_recv() {
///     Ok(Some(chunk)) => println!("{} bytes", chunk.len()),
///     Ok(None) => println!("the end of file"),
///     Err(StreamError::NotYet) => println!("later"),
///     Err(StreamError::Connection(ConnectionError::Reset)) => println!("reset"),
///     Err(why) => println!("{why}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Nothing within the time given; try again.
    #[error("nothing happened within the time given")]
    NotYet,
    /// The connection could not be opened from here.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended; the peer's fault, or the path's.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The caller's fault, or too late.
    #[error(transparent)]
    Misuse(#[from] ApiMisuse),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::NotYet => io::ErrorKind::WouldBlock,
            StreamError::Connect(ConnectError::AddressInUse) => io::ErrorKind::AddrInUse,
            StreamError::Connect(
                ConnectError::BadAddress(_)
                | ConnectError::NoPortLeft(_)
                | ConnectError::Limit
                | ConnectError::Quiet
                | ConnectError::Stopping,
            ) => io::ErrorKind::AddrNotAvailable,
            StreamError::Connection(ConnectionError::Reset) => io::ErrorKind::ConnectionReset,
            StreamError::Connection(ConnectionError::Refused) => io::ErrorKind::ConnectionRefused,
            StreamError::Connection(ConnectionError::TimedOut) => io::ErrorKind::TimedOut,
            StreamError::Connection(ConnectionError::Aborted) => io::ErrorKind::ConnectionAborted,
            StreamError::Misuse(ApiMisuse::NoSuchConnection | ApiMisuse::Stopped | ApiMisuse::LetGo) => {
                io::ErrorKind::NotConnected
            }
            StreamError::Misuse(ApiMisuse::SendClosed) => io::ErrorKind::BrokenPipe,
            StreamError::Misuse(ApiMisuse::TooManyOptions) => io::ErrorKind::QuotaExceeded,
        };
        Self::new(kind, error)
    }
}

/// A chunk that was not sent, or not to its end.
///
/// ```no_run
/// # fn onward(stream: &fourtuple::Stream, chunk: fourtuple::Chunk) -> Option<fourtuple::Chunk> {
/// match stream.send_chunk(chunk, std::time::Duration::ZERO) {
///     Ok(()) => None,
///     Err(unsent) => Some(unsent.chunk), // When there is room again.
/// }
/// # }
/// ```
#[non_exhaustive]
pub struct Unsent<Q: Queue = PortQueue> {
    /// Why not.
    pub why: StreamError,
    /// What is left to be sent.
    pub chunk: Chunk<Q>,
}

impl<Q: Queue> fmt::Debug for Unsent<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent")
            .field("why", &self.why)
            .field("chunk", &self.chunk)
            .finish()
    }
}

impl<Q: Queue> fmt::Display for Unsent<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes were not sent: {}", self.chunk.len(), self.why)
    }
}

impl<Q: Queue> std::error::Error for Unsent<Q> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    ToRead,
    ToWrite,
}

impl<Q: Queue> Stream<Q> {
    pub(super) fn new(shared: Arc<Shared<Q>>, id: ConnId, tuple: FourTuple) -> Self {
        Self {
            shared,
            id,
            tuple,
            moved: false,
        }
    }

    /// The next received bytes; waits at most for `timeout`. `None` is the end of file: the peer closed, and everything
    /// before was received.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up; a reset is an error and never the end of file.
    pub fn recv(&self, timeout: Duration) -> Result<Option<Chunk<Q>>, StreamError> {
        self.wait(timeout, |core| core.receive(self.id))
    }

    /// The next received bytes if they are there.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Chunk<Q>>, StreamError> {
        self.recv(Duration::ZERO)
    }

    /// Copies received bytes, as many as are there and fit; 0 is the end of file. Waits at most for `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_into(&self, into: &mut [u8], timeout: Duration) -> Result<usize, StreamError> {
        self.wait(timeout, |core| core.read(self.id, into))
    }

    /// Sends bytes, copying them once; returns how many were taken, which may be fewer than all. Waits at most for `timeout`
    /// for the first to be taken.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up: the send queue is full, or the worker is out of buffers.
    pub fn send(&self, bytes: &[u8], timeout: Duration) -> Result<usize, StreamError> {
        self.wait(timeout, |core| core.send(self.id, bytes))
    }

    /// Sends several parts as if they stood behind one another, small ones in one segment; else as [`send`](Self::send).
    ///
    /// ```no_run
    /// # fn answer(stream: &fourtuple::Stream, head: &[u8], body: &[u8]) -> Result<usize, fourtuple::StreamError> {
    /// use std::io::IoSlice;
    /// stream.send_vectored(&[IoSlice::new(head), IoSlice::new(body)], std::time::Duration::from_secs(1))
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_vectored(&self, parts: &[io::IoSlice<'_>], timeout: Duration) -> Result<usize, StreamError> {
        self.wait(timeout, |core| {
            core.send_parts(self.id, parts.iter().map(|part| &**part))
        })
    }

    /// Sends bytes and takes those that were taken off their front; else as [`send`](Self::send): of the heap's memory a NIC knows
    /// nothing, so they are copied once, into a buffer that it knows, and counted in `tx_copied_bytes`.
    ///
    /// ```no_run
    /// # fn answer(stream: &fourtuple::Stream, mut page: bytes::Bytes) -> Result<(), fourtuple::StreamError> {
    /// while !page.is_empty() {
    ///     stream.send_bytes(&mut page, std::time::Duration::from_secs(1))?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&self, bytes: &mut Bytes, timeout: Duration) -> Result<usize, StreamError> {
        let sent = self.send(bytes, timeout)?;
        bytes.advance(sent);
        Ok(sent)
    }

    /// Sends what can be sent now.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize, StreamError> {
        self.send(bytes, Duration::ZERO)
    }

    /// Sends all bytes, waiting at most for `timeout` in all.
    ///
    /// # Errors
    /// As [`send`](Self::send); a part may have been sent.
    pub fn send_all(&self, mut bytes: &[u8], timeout: Duration) -> Result<(), StreamError> {
        let start = Instant::now();
        let mut left = timeout;
        while !bytes.is_empty() {
            let sent = self.send(bytes, left)?;
            bytes = &bytes[sent..];
            left = if timeout == NO_LIMIT {
                NO_LIMIT
            } else {
                timeout.saturating_sub(start.elapsed())
            };
        }
        Ok(())
    }

    /// Has [`Endpoint::poll`](super::Endpoint::poll) tell what becomes of this stream, under this name, from now on. What is so
    /// already is told at once: who left something unread watches anew to hear of it again.
    ///
    /// Told are changes: [`readable`](super::Ready::readable) when bytes or the end of file came, also when others wait unread;
    /// [`writable`](super::Ready::writable) when there is room after a send found too little;
    /// [`closed`](super::Ready::closed) when the connection ended. So go on until the call says [`StreamError::NotYet`].
    ///
    /// ```no_run
    /// # fn both(one: &fourtuple::Stream, other: &fourtuple::Stream) {
    /// use fourtuple::{Interest, Token};
    /// one.watch(Token(0), Interest::READABLE);
    /// other.watch(Token(1), Interest::BOTH);
    /// # }
    /// ```
    pub fn watch(&self, token: Token, interest: Interest) {
        self.shared.with(|core| core.watch(self.id, token, interest));
    }

    /// Ends what [`watch`](Self::watch) began.
    pub fn unwatch(&self) {
        self.shared.with(|core| core.unwatch(self.id));
    }

    /// The next received bytes, for a task: its waker is called when there are some. Of several tasks that wait for one stream
    /// the last one counts. It moves no messages: somebody has to [step](super::Endpoint::step).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk<Q>>, StreamError>> {
        self.poll(cx, Waits::ToRead, |core| core.receive(self.id))
    }

    /// Copies received bytes, for a task; else as [`recv_into`](Self::recv_into) and [`poll_recv`](Self::poll_recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_into(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToRead, |core| core.read(self.id, into))
    }

    /// Sends what can be sent, for a task: its waker is called when there is room again after none was found. Of several tasks
    /// that wait to send on one stream the last one counts.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| core.send(self.id, bytes))
    }

    /// Sends a chunk as [`send_chunk`](Self::send_chunk) does, for a task: takes it out of `chunk` when all of it was taken, and
    /// leaves what is left there until then.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_send_chunk(
        &self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<Q>>,
    ) -> Poll<Result<(), StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| {
            let Some(taken) = chunk.take() else { return Ok(()) };
            core.forward(self.id, taken).map_err(|(why, left)| {
                *chunk = Some(left);
                why
            })
        })
    }

    /// Everything that was sent has been acknowledged, for a task: its waker is called when it has.
    ///
    /// # Errors
    /// Why it will never be.
    pub fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll(cx, Waits::ToWrite, |core| core.is_flushed(self.id))
    }

    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        waits: Waits,
        call: impl FnOnce(&mut EndpointCore<Q>) -> Result<R, StreamError>,
    ) -> Poll<Result<R, StreamError>> {
        // A waker that is replaced may be the last of its task, and the task may own streams: it is dropped without the lock.
        let (polled, _replaced) = self.shared.with(|core| match self.called(core, call) {
            Err(StreamError::NotYet) => {
                // It is there, or the call would have said so.
                let replaced = core
                    .connections
                    .get_mut(&self.id)
                    .and_then(|connection| match waits {
                        Waits::ToRead => connection.watch.wait_to_read(cx.waker()),
                        Waits::ToWrite => connection.watch.wait_to_write(cx.waker()),
                    });
                (Poll::Pending, replaced)
            }
            settled => (Poll::Ready(settled), None),
        });
        polled
    }

    /// A call of who does not step.
    pub(super) fn called<R>(
        &self,
        core: &mut EndpointCore<Q>,
        call: impl FnOnce(&mut EndpointCore<Q>) -> R,
    ) -> R {
        let result = call(core);
        // Who steps would tell what was read; while that one sleeps, nobody else does, and the window would stay closed.
        if self.shared.sleeper().is_sleeping() {
            core.tell_released();
        }
        result
    }

    /// Sends bytes as [`send`](Self::send) does and announces those that were taken, with all before them, as urgent (RFC 9293
    /// §3.8.5; `MSG_OOB` of the socket interface). They go in line.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_urgent(&self, bytes: &[u8], timeout: Duration) -> Result<usize, StreamError> {
        self.wait(timeout, |core| core.send_urgent(self.id, bytes))
    }

    /// Bytes from here to the end of what the peer announced as urgent, read in line as all are; `None` when none are ahead.
    pub fn urgent_ahead(&self) -> Option<u64> {
        self.shared.with(|core| core.urgent_ahead(self.id))
    }

    /// What may be wrong and ends nothing, since this was last asked (RFC 9293 §3.9.1.8): told once until the peer acknowledges
    /// something.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.with(|core| core.take_trouble(self.id))
    }

    /// Sends received bytes without a copy when their connection lives on the same worker and endpoint, as in a proxy or an
    /// echo; else they are copied. Waits at most for `timeout`.
    ///
    /// # Errors
    /// The chunk or what is left of it, and why: as [`send`](Self::send).
    pub fn send_chunk(&self, chunk: Chunk<Q>, timeout: Duration) -> Result<(), Unsent<Q>> {
        let mut unsent = Some((StreamError::NotYet, chunk));
        let done = self.shared.wait_until(timeout, |core| {
            let (_, chunk) = unsent.take()?;
            match core.forward(self.id, chunk) {
                Ok(()) => Some(()),
                Err((StreamError::NotYet, chunk)) => {
                    unsent = Some((StreamError::NotYet, chunk));
                    None
                }
                Err(refused) => {
                    unsent = Some(refused);
                    Some(())
                }
            }
        });
        match (unsent, done) {
            (Some((why, chunk)), _) => Err(Unsent { why, chunk }),
            (None, _) => Ok(()),
        }
    }

    /// Says that nothing more will be sent: a FIN behind all that was. Receiving goes on.
    pub fn shutdown(&self) {
        self.shared.with(|core| core.shutdown(self.id));
        // Another thread may wait for room to send.
        self.shared.rouse();
    }

    /// Changes an option of this connection, behind all that was sent; waits at most for `timeout` until it can be said.
    ///
    /// # Errors
    /// [`StreamError::Misuse`] when it has ended, [`StreamError::NotYet`] when the time is up. What its worker can't do, because connections there have too many different
    /// sets of options, is counted as `options_refused`.
    pub fn set(&self, option: ConnectionOption, timeout: Duration) -> Result<(), StreamError> {
        self.wait(timeout, |core| core.set(self.id, option.into()))
    }

    /// Bounds what may be queued for sending, acknowledged or not: beyond `high` bytes of buffer space (at least 1, at most the
    /// connection's [`send_buffer`](fourtuple_tcp::Profile::send_buffer)) sends find no room, and who waits for room, by
    /// [`watch`](Self::watch) or in a task, is told when no more than `low` are queued. Without marks that is the send buffer, and any
    /// room. Calls that wait take room as soon as there is some.
    ///
    /// ```no_run
    /// # fn modest(stream: &fourtuple::Stream) {
    /// stream.set_marks(16 * 1024, 64 * 1024);
    /// # }
    /// ```
    pub fn set_marks(&self, low: u32, high: u32) {
        self.shared.with(|core| {
            if let Some(connection) = core.connections.get_mut(&self.id) {
                connection.set_marks(low, high);
            }
        });
        // Another thread may wait for the room that there is now.
        self.shared.rouse();
    }

    /// What TCP knows of this connection, as its worker sees it now: state, round-trip times, windows, queues, what was negotiated
    /// ([`Status`] says in which units). Waits at most for `timeout`; it costs the worker a message.
    ///
    /// ```no_run
    /// # fn show(stream: &fourtuple::Stream) -> Result<(), fourtuple::StreamError> {
    /// let info = stream.info(std::time::Duration::from_secs(1))?;
    /// println!("{} {:?} cwnd {} mss {}", info.congestion, info.srtt, info.cwnd, info.mss);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up, or why the connection has ended.
    pub fn info(&self, timeout: Duration) -> Result<Status, StreamError> {
        self.shared.with(|core| core.forget_seen(self.id));
        self.wait(timeout, |core| core.look(self.id))
    }

    /// Closes the connection, as dropping the stream does.
    pub fn close(self) {}

    /// Closes the connection and waits until all that was sent has been acknowledged, at most for `timeout`; then it is reset
    /// (`SO_LINGER` of the socket interface).
    ///
    /// ```no_run
    /// # fn say(stream: fourtuple::Stream, last: &[u8]) -> Result<(), fourtuple::StreamError> {
    /// let second = std::time::Duration::from_secs(1);
    /// stream.send_all(last, second)?;
    /// stream.close_within(second)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time was up and it was reset, or how it ended before.
    pub fn close_within(self, timeout: Duration) -> Result<(), StreamError> {
        self.shutdown();
        let told = self.wait(timeout, |core| core.is_flushed(self.id));
        if told == Err(StreamError::NotYet) {
            self.abort();
        }
        told
    }

    /// Closes the connection with a RST; what was sent and not acknowledged may be lost.
    pub fn abort(self) {
        self.shared.with(|core| core.abort(self.id));
    }

    /// The connection's name.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The end of file came by itself, not with the end of the connection alone. For simulations.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn was_told_of_end(&self) -> bool {
        self.shared.with(|core| core.was_told_of_end(self.id))
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.tuple.remote()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.tuple.local()
    }

    pub(super) fn wait<R>(
        &self,
        timeout: Duration,
        mut call: impl FnMut(&mut EndpointCore<Q>) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        self.shared
            .wait_until(timeout, |core| settled(call(core)))
            .unwrap_or(Err(StreamError::NotYet))
    }
}

impl<Q: Queue> Drop for Stream<Q> {
    fn drop(&mut self) {
        // Nothing is left to close after an abort, or when the endpoint is gone.
        if !self.moved {
            self.shared.with(|core| core.close(self.id));
        }
    }
}

impl<Q: Queue> io::Read for Stream<Q> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_into(into, NO_LIMIT)?)
    }
}

impl<Q: Queue> io::Read for &Stream<Q> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_into(into, NO_LIMIT)?)
    }
}

impl<Q: Queue> io::Write for Stream<Q> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send(bytes, NO_LIMIT)?)
    }

    /// What was written is on its way already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<Q: Queue> io::Write for &Stream<Q> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send(bytes, NO_LIMIT)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<Q: Queue> fmt::Debug for Stream<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
