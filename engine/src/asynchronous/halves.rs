//! The two directions of a connection, each in hands of its own.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use fourtuple_tcp::Status;

use super::reading::Reading;
use super::writing::Writing;
use crate::ConnId;
use crate::attach::PortQueue;
use crate::handoff::Chunk;
use crate::options::ConnectionOption;

/// What is received on a connection: [`AsyncStream::into_split`](crate::AsyncStream::into_split), or lent by [`AsyncStream::halves`](crate::AsyncStream::halves).
///
/// Its calls are those of [`AsyncStream`](crate::AsyncStream). The connection is closed when both halves are dropped: with a RST when bytes were not
/// read, else with a FIN.
///
/// ```no_run
/// # async fn both(stream: fourtuple::AsyncStream) -> std::io::Result<()> {
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// let (mut reader, mut writer) = stream.into_split();
/// let counting = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
/// writer.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// println!("{} bytes", counting.await??);
/// # Ok(()) }
/// ```
pub struct AsyncReadHalf<Q: Queue = PortQueue>(pub(super) Reading<Q>);

/// What is sent on a connection: [`AsyncStream::into_split`](crate::AsyncStream::into_split), or lent by [`AsyncStream::halves`](crate::AsyncStream::halves).
///
/// Its calls are those of [`AsyncStream`](crate::AsyncStream). Dropping it behind `into_split` sends a FIN behind all that was written, as `shutdown` does.
///
/// ```no_run
/// # async fn answer(mut stream: fourtuple::AsyncStream, head: &[u8]) -> std::io::Result<()> {
/// use tokio::io::AsyncWriteExt;
/// let (reader, writer) = stream.halves();
/// writer.write_all(head).await?;
/// if let Some(first) = reader.recv_chunk().await? {
///     writer.send_chunk(first).await?;
/// }
/// # Ok(()) }
/// ```
pub struct AsyncWriteHalf<Q: Queue = PortQueue> {
    pub(super) writing: Writing<Q>,
    /// It is not a part of a stream: its end is the end of what is sent.
    pub(super) apart: bool,
}

impl<Q: Queue> AsyncReadHalf<Q> {
    /// As [`AsyncStream::recv_chunk`](crate::AsyncStream::recv_chunk).
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_chunk(&mut self) -> io::Result<Option<Chunk<Q>>> {
        std::future::poll_fn(|cx| self.0.poll_chunk(cx)).await
    }

    /// As [`AsyncStream::peek`](crate::AsyncStream::peek).
    ///
    /// # Errors
    /// As a read.
    pub async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.peek_until(1, into).await
    }

    /// As [`AsyncStream::peek_until`](crate::AsyncStream::peek_until).
    ///
    /// # Errors
    /// As a read.
    pub async fn peek_until(&mut self, least: usize, into: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.0.poll_peek(cx, least, into)).await
    }

    /// As [`AsyncStream::readable`](crate::AsyncStream::readable).
    ///
    /// # Errors
    /// Why nothing will ever be there.
    pub async fn readable(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.0.poll_readable(cx)).await
    }

    /// As [`AsyncStream::try_read`](crate::AsyncStream::try_read).
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; else as a read.
    pub fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(into)
    }

    /// As [`AsyncStream::urgent`](crate::AsyncStream::urgent).
    ///
    /// # Errors
    /// Why nothing will ever come.
    pub async fn urgent(&mut self) -> io::Result<Option<u64>> {
        std::future::poll_fn(|cx| self.0.poll_urgent(cx)).await
    }

    /// As [`AsyncStream::urgent_ahead`](crate::AsyncStream::urgent_ahead).
    pub fn urgent_ahead(&self) -> Option<u64> {
        self.0.urgent_ahead()
    }

    /// As [`AsyncStream::info`](crate::AsyncStream::info).
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn info(&mut self) -> io::Result<Status> {
        self.0.link.info().await
    }

    /// As [`AsyncStream::set`](crate::AsyncStream::set).
    ///
    /// # Errors
    /// The same.
    pub fn set(&self, option: ConnectionOption) -> io::Result<()> {
        self.0.link.set(option)
    }

    pub(super) fn reading(&mut self) -> &mut Reading<Q> {
        &mut self.0
    }

    /// The connection's name.
    pub fn id(&self) -> ConnId {
        self.0.link.id()
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.0.link.peer()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.0.link.local()
    }
}

impl<Q: Queue> AsyncWriteHalf<Q> {
    /// As [`AsyncStream::send_chunk`](crate::AsyncStream::send_chunk).
    ///
    /// # Errors
    /// As a write.
    pub async fn send_chunk(&mut self, chunk: Chunk<Q>) -> io::Result<()> {
        let mut unsent = Some(chunk);
        std::future::poll_fn(|cx| self.poll_send_chunk(cx, &mut unsent)).await
    }

    /// As [`AsyncStream::poll_send_chunk`](crate::AsyncStream::poll_send_chunk).
    ///
    /// # Errors
    /// As a write.
    pub fn poll_send_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<Q>>,
    ) -> Poll<io::Result<()>> {
        self.writing.poll_send_chunk(cx, chunk)
    }

    /// As [`AsyncStream::write_urgent`](crate::AsyncStream::write_urgent).
    ///
    /// # Errors
    /// As a write.
    pub async fn write_urgent(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.writing.poll_write_urgent(cx, bytes)).await
    }

    /// As [`AsyncStream::writable`](crate::AsyncStream::writable).
    ///
    /// # Errors
    /// Why there will never be room.
    pub async fn writable(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.writing.poll_writable(cx)).await
    }

    /// As [`AsyncStream::try_write`](crate::AsyncStream::try_write).
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is no room; else as a write.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// As [`AsyncStream::try_write_vectored`](crate::AsyncStream::try_write_vectored).
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writing.write_now(parts)
    }

    /// As [`AsyncStream::flushed`](crate::AsyncStream::flushed).
    ///
    /// # Errors
    /// Why it will never be.
    pub async fn flushed(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.writing.poll_flushed(cx)).await
    }

    /// As [`AsyncStream::set`](crate::AsyncStream::set).
    ///
    /// # Errors
    /// The same.
    pub fn set(&self, option: ConnectionOption) -> io::Result<()> {
        self.writing.link.set(option)
    }

    /// As [`AsyncStream::set_marks`](crate::AsyncStream::set_marks).
    pub fn set_marks(&self, low: u32, high: u32) {
        self.writing.link.stream.set_marks(low, high);
    }

    /// As [`AsyncStream::info`](crate::AsyncStream::info).
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn info(&mut self) -> io::Result<Status> {
        self.writing.link.info().await
    }

    /// The connection's name.
    pub fn id(&self) -> ConnId {
        self.writing.link.id()
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.writing.link.peer()
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.writing.link.local()
    }
}

impl<Q: Queue> AsyncWriteHalf<Q> {
    pub(super) fn writing(&self) -> &Writing<Q> {
        &self.writing
    }
}

impl<Q: Queue> Drop for AsyncWriteHalf<Q> {
    fn drop(&mut self) {
        if self.apart {
            self.writing.shutdown();
        }
    }
}

impl<Q: Queue> fmt::Debug for AsyncReadHalf<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncReadHalf").field(&self.0.link.stream).finish()
    }
}

impl<Q: Queue> fmt::Debug for AsyncWriteHalf<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncWriteHalf")
            .field(&self.writing.link.stream)
            .finish()
    }
}
