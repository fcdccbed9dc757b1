//! A connection as tasks read and write it.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::endpoint::Held;
use super::halves::{AsyncReadHalf, AsyncWriteHalf, Writing};
use super::reading::{Link, Reading};
use crate::ConnId;
use crate::attach::PortQueue;
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
    reading: Reading<Q>,
    writing: Writing<Q>,
}

impl<Q: Queue> AsyncStream<Q> {
    pub(super) fn new(stream: Stream<Q>, held: Arc<Held<Q>>) -> Self {
        let link = Arc::new(Link { stream, _held: held });
        Self {
            reading: Reading::new(Arc::clone(&link)),
            writing: Writing { link },
        }
    }

    /// Gives each direction into hands of its own.
    pub fn into_split(self) -> (AsyncReadHalf<Q>, AsyncWriteHalf<Q>) {
        (AsyncReadHalf(self.reading), AsyncWriteHalf(self.writing))
    }

    /// The next received bytes, lent without a copy; `None` is the end of file. Cancel-safe.
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_chunk(&mut self) -> io::Result<Option<Chunk<Q>>> {
        std::future::poll_fn(|cx| self.reading.poll_chunk(cx)).await
    }

    /// Sends received bytes without a copy when their connection lives on the same worker and endpoint, as in a proxy or an
    /// echo; else they are copied. Not cancel-safe: what a dropped call had not sent is lost.
    ///
    /// # Errors
    /// As a write.
    pub async fn send_chunk(&mut self, chunk: Chunk<Q>) -> io::Result<()> {
        let mut unsent = Some(chunk);
        std::future::poll_fn(|cx| self.writing.poll_send_chunk(cx, &mut unsent)).await
    }

    /// Changes an option of this connection, behind all that was written.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the worker has as many commands to take as there may be: try again later.
    /// [`io::ErrorKind::NotConnected`] when the connection has ended.
    pub fn set(&self, option: ConnectionOption) -> io::Result<()> {
        let stream = &self.writing.link.stream;
        Ok(stream.set(option, std::time::Duration::ZERO)?)
    }

    /// The connection's name.
    pub fn id(&self) -> ConnId {
        self.writing.link.stream.id()
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.writing.link.stream.peer()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.writing.link.stream.local()
    }

    #[cfg(any(feature = "async-hyper", feature = "async-futures-io"))]
    pub(super) fn reading(&mut self) -> &mut Reading<Q> {
        &mut self.reading
    }
}

impl<Q: Queue> AsyncRead for AsyncStream<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        self.get_mut()
            .reading
            .poll_read(cx, room, |bytes| buf.put_slice(bytes))
    }
}

impl<Q: Queue> AsyncBufRead for AsyncStream<Q> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading.poll_fill(cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().reading.consume(count);
    }
}

impl<Q: Queue> AsyncWrite for AsyncStream<Q> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A FIN behind all that was written. Receiving goes on.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.shutdown();
        Poll::Ready(Ok(()))
    }
}

impl<Q: Queue> fmt::Debug for AsyncStream<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncStream")
            .field(&self.writing.link.stream)
            .finish()
    }
}
