//! A connection as tasks read and write it: both halves in one.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;

use super::halves::{AsyncReadHalf, AsyncWriteHalf};
use super::held::Held;
use super::link::Link;
use super::reading::Reading;
use super::writing::Writing;
use crate::ConnId;
use crate::attach::PortQueue;
use crate::handler::Trouble;
use crate::handoff::{Chunk, Stream};
use crate::options::ConnectionOption;

/// A connection: tokio's `AsyncRead`, `AsyncBufRead` and `AsyncWrite`, as its `TcpStream` has them.
///
/// Reads and writes are cancel-safe: what a dropped future had not returned is still there, and nothing was written. Dropping
/// the stream closes the connection: with a RST when received bytes were not read, else with a FIN behind all that was written.
///
/// ```no_run
/// # async fn greet(endpoint: fourtuple::AsyncEndpoint) -> std::io::Result<()> {
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// let mut stream = endpoint.connect(([10, 99, 0, 1], 80).into()).await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut page = String::new();
/// stream.read_to_string(&mut page).await?;
/// # Ok(()) }
/// ```
pub struct AsyncStream<Q: Queue = PortQueue> {
    /// Dropped first: bytes that it was lent and did not read are told of before the connection is closed.
    pub(super) reader: AsyncReadHalf<Q>,
    pub(super) writer: AsyncWriteHalf<Q>,
}

impl<Q: Queue> AsyncStream<Q> {
    pub(super) fn new(stream: Stream<Q>, held: Arc<Held<Q>>) -> Self {
        let link = Arc::new(Link { stream, _held: held });
        Self {
            reader: AsyncReadHalf(Reading::new(Arc::clone(&link))),
            writer: AsyncWriteHalf {
                writing: Writing { link },
                apart: false,
            },
        }
    }

    pub(super) fn reading(&mut self) -> &mut Reading<Q> {
        &mut self.reader.0
    }

    pub(super) fn writing(&self) -> &Writing<Q> {
        &self.writer.writing
    }

    /// Gives each direction into hands of its own, for two tasks; [`AsyncReadHalf::reunite`] takes it back.
    pub fn into_split(self) -> (AsyncReadHalf<Q>, AsyncWriteHalf<Q>) {
        let Self { reader, mut writer } = self;
        writer.apart = true;
        (reader, writer)
    }

    /// Lends each direction by itself, for one task that does both at a time. Nothing is allocated, and nothing happens at their end.
    ///
    /// ```no_run
    /// # async fn ask(mut stream: fourtuple::AsyncStream, question: &[u8]) -> std::io::Result<Vec<u8>> {
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// let (reader, writer) = stream.halves();
    /// let mut answer = Vec::new();
    /// tokio::try_join!(reader.read_to_end(&mut answer), async {
    ///     writer.write_all(question).await?;
    ///     writer.shutdown().await
    /// })?;
    /// # Ok(answer) }
    /// ```
    pub fn halves(&mut self) -> (&mut AsyncReadHalf<Q>, &mut AsyncWriteHalf<Q>) {
        (&mut self.reader, &mut self.writer)
    }

    /// The next received bytes, lent without a copy; `None` is the end of file. Cancel-safe.
    ///
    /// ```no_run
    /// # async fn count(mut stream: fourtuple::AsyncStream) -> std::io::Result<usize> {
    /// let mut count = 0;
    /// while let Some(chunk) = stream.recv_chunk().await? {
    ///     count += chunk.len();
    /// } // each goes home here
    /// # Ok(count) }
    /// ```
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_chunk(&mut self) -> io::Result<Option<Chunk<Q>>> {
        self.reader.recv_chunk().await
    }

    /// Sends received bytes without a copy when their connection lives on the same worker and endpoint, as in a proxy or an
    /// echo; else they are copied. Not cancel-safe: what a dropped call had not sent is lost
    /// ([`poll_send_chunk`](Self::poll_send_chunk) keeps it).
    ///
    /// ```no_run
    /// # async fn echo(mut stream: fourtuple::AsyncStream) -> std::io::Result<()> {
    /// while let Some(chunk) = stream.recv_chunk().await? {
    ///     stream.send_chunk(chunk).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub async fn send_chunk(&mut self, chunk: Chunk<Q>) -> io::Result<()> {
        self.writer.send_chunk(chunk).await
    }

    /// Sends a chunk as [`send_chunk`](Self::send_chunk) does: takes it out of `chunk` when all of it was taken, and leaves what is left
    /// there until then, also when the future around it is dropped.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn patient(stream: &mut fourtuple::AsyncStream, chunk: fourtuple::Chunk) -> std::io::Result<()> {
    /// let mut unsent = Some(chunk);
    /// let sending = std::future::poll_fn(|cx| stream.poll_send_chunk(cx, &mut unsent));
    /// if tokio::time::timeout(Duration::from_secs(1), sending).await.is_err() {
    ///     println!("{} bytes are left", unsent.map_or(0, |chunk| chunk.len()));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub fn poll_send_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<Q>>,
    ) -> Poll<io::Result<()>> {
        self.writer.poll_send_chunk(cx, chunk)
    }

    /// Copies received bytes and leaves them to be read; waits for the first. 0 is the end of file. Cancel-safe.
    ///
    /// # Errors
    /// As a read.
    pub async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.peek(into).await
    }

    /// Copies received bytes and leaves them to be read; waits until there are `least` of them, or `into` is full, or no more will
    /// come. Cancel-safe.
    ///
    /// A peer that sends crumbs may fill its window before they are `least`: each segment pins a buffer of the receive window. Give it
    /// a limit with `tokio::time::timeout`.
    ///
    /// ```no_run
    /// # async fn is_http2(stream: &mut fourtuple::AsyncStream) -> std::io::Result<bool> {
    /// const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// let mut start = [0; PREFACE.len()];
    /// let count = stream.peek_until(PREFACE.len(), &mut start).await?;
    /// Ok(&start[..count] == PREFACE)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As a read, when nothing is there.
    pub async fn peek_until(&mut self, least: usize, into: &mut [u8]) -> io::Result<usize> {
        self.reader.peek_until(least, into).await
    }

    /// A read would not wait: bytes are there, or the end of file. Cancel-safe.
    ///
    /// # Errors
    /// Why nothing will ever be there: the connection's end, when all that came before was read.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.reader.readable().await
    }

    /// A write would take something at once. Cancel-safe. Other connections share the worker's buffers: a [`try_write`](Self::try_write)
    /// may still find none.
    ///
    /// ```no_run
    /// # async fn nudge(stream: &mut fourtuple::AsyncStream, bytes: &[u8]) -> std::io::Result<usize> {
    /// loop {
    ///     stream.writable().await?;
    ///     match stream.try_write(bytes) {
    ///         Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
    ///         done => return done,
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there will never be room: the connection's end, or our own `shutdown`.
    pub async fn writable(&mut self) -> io::Result<()> {
        self.writer.writable().await
    }

    /// Copies received bytes that are there already; 0 is the end of file.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; else as a read.
    pub fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.try_read(into)
    }

    /// Sends what can be sent at once; how many bytes that were.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is no room; else as a write.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.try_write(bytes)
    }

    /// The same of several parts, as if they stood behind one another.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.try_write_vectored(parts)
    }

    /// Everything that was written has been acknowledged by the peer's TCP. Cancel-safe.
    ///
    /// # Errors
    /// Why it will never be.
    pub async fn flushed(&mut self) -> io::Result<()> {
        self.writer.flushed().await
    }

    /// Writes bytes as a write does and announces those that were taken, with all before them, as urgent (RFC 9293 §3.8.5; `MSG_OOB`
    /// of the socket interface). They go in line. Cancel-safe: a dropped call has written nothing.
    ///
    /// ```no_run
    /// # async fn interrupt(telnet: &mut fourtuple::AsyncStream) -> std::io::Result<()> {
    /// telnet.write_urgent(&[255, 242]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As a write.
    pub async fn write_urgent(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_urgent(bytes).await
    }

    /// Waits until the peer announces something as urgent that is not read yet, which may be before it comes; how many bytes it is to
    /// its end. `None`: the peer closed, and announces nothing more. Cancel-safe.
    ///
    /// ```no_run
    /// # async fn skip(stream: &mut fourtuple::AsyncStream) -> std::io::Result<()> {
    /// use tokio::io::AsyncReadExt;
    /// while let Some(ahead) = stream.urgent().await? {
    ///     tokio::io::copy(&mut (&mut *stream).take(ahead), &mut tokio::io::sink()).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Why nothing will ever come.
    pub async fn urgent(&mut self) -> io::Result<Option<u64>> {
        self.reader.urgent().await
    }

    /// Bytes from here to the end of what the peer announced as urgent, read in line as all are; `None` when none are ahead.
    pub fn urgent_ahead(&self) -> Option<u64> {
        self.reader.urgent_ahead()
    }

    /// What may be wrong and ends nothing, since this was last asked (RFC 9293 §3.9.1.8): told once until the peer acknowledges
    /// something.
    pub fn trouble(&self) -> Option<Trouble> {
        self.writing().link.stream.trouble()
    }

    /// What TCP knows of this connection, as its worker sees it now: state, round-trip times, windows, queues, what was negotiated
    /// ([`Status`] says in which units). It costs the worker a message. Cancel-safe.
    ///
    /// ```no_run
    /// # async fn show(stream: &mut fourtuple::AsyncStream) -> std::io::Result<()> {
    /// let info = stream.info().await?;
    /// println!("{} {:?} cwnd {} mss {}", info.congestion, info.srtt, info.cwnd, info.mss);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn info(&mut self) -> io::Result<Status> {
        self.writer.info().await
    }

    /// Changes an option of this connection, behind all that was written.
    ///
    /// ```no_run
    /// # fn quick(stream: &fourtuple::AsyncStream) -> std::io::Result<()> {
    /// stream.set(fourtuple::ConnectionOption::NoDelay(true))
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the worker has as many commands to take as there may be: try again later.
    /// [`io::ErrorKind::NotConnected`] when the connection has ended.
    pub fn set(&self, option: ConnectionOption) -> io::Result<()> {
        self.writer.set(option)
    }

    /// Bounds what may be queued for sending, acknowledged or not: writes find no room beyond `high` bytes of buffer space, and who
    /// waits for room is told when no more than `low` are queued. See [`Stream::set_marks`].
    pub fn set_marks(&self, low: u32, high: u32) {
        self.writer.set_marks(low, high);
    }

    /// Closes the connection with a RST; what was written and not acknowledged may be lost.
    pub fn abort(self) {
        self.writing().link.stream.abort_now();
    }

    /// The connection's name.
    pub fn id(&self) -> ConnId {
        self.writer.id()
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.writer.peer()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.writer.local()
    }
}

impl<Q: Queue> AsyncReadHalf<Q> {
    /// The stream again, of both its halves.
    ///
    /// ```no_run
    /// # fn whole(stream: fourtuple::AsyncStream) -> fourtuple::AsyncStream {
    /// let (reader, writer) = stream.into_split();
    /// reader.reunite(writer).expect("they are of one stream")
    /// # }
    /// ```
    ///
    /// # Errors
    /// Both halves, when they are of different connections.
    pub fn reunite(self, mut writer: AsyncWriteHalf<Q>) -> Result<AsyncStream<Q>, (Self, AsyncWriteHalf<Q>)> {
        if !Arc::ptr_eq(&self.0.link, &writer.writing.link) {
            return Err((self, writer));
        }
        writer.apart = false;
        Ok(AsyncStream { reader: self, writer })
    }
}

impl<Q: Queue> fmt::Debug for AsyncStream<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncStream")
            .field(&self.writing().link.stream)
            .finish()
    }
}
