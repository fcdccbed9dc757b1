//! The two directions of a connection, each in hands of its own.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fourtuple_nic::Queue;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::reading::{Link, Reading};
use crate::attach::PortQueue;
use crate::handoff::{Chunk, StreamError};

/// What is received on a connection: [`AsyncStream::into_split`](crate::AsyncStream::into_split).
///
/// The connection is closed when both halves are dropped: with a RST when bytes were not read, else with a FIN.
pub struct AsyncReadHalf<Q: Queue = PortQueue>(pub(super) Reading<Q>);

/// What is sent on a connection: [`AsyncStream::into_split`](crate::AsyncStream::into_split).
///
/// Dropping it sends a FIN behind all that was written, as `poll_shutdown` does.
pub struct AsyncWriteHalf<Q: Queue = PortQueue>(pub(super) Writing<Q>);

/// The sending side of a connection.
pub(super) struct Writing<Q: Queue> {
    pub(super) link: Arc<Link<Q>>,
}

impl<Q: Queue> Writing<Q> {
    fn poll(
        &self,
        cx: &mut Context<'_>,
        call: impl FnOnce(&Link<Q>, &mut Context<'_>) -> Poll<Result<usize, StreamError>>,
    ) -> Poll<io::Result<usize>> {
        let coop = ready!(poll_proceed(cx));
        let sent = ready!(call(&self.link, cx));
        coop.made_progress();
        Poll::Ready(sent.map_err(io::Error::from))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |link, cx| link.stream.poll_send(cx, bytes))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |link, cx| link.stream.poll_send_parts(cx, parts))
    }

    pub(super) fn shutdown(&self) {
        self.link.stream.shutdown();
    }

    pub(super) fn poll_send_chunk(
        &self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<Q>>,
    ) -> Poll<io::Result<()>> {
        let coop = ready!(poll_proceed(cx));
        let sent = ready!(self.link.stream.poll_send_chunk(cx, chunk));
        coop.made_progress();
        Poll::Ready(sent.map_err(io::Error::from))
    }
}

impl<Q: Queue> AsyncReadHalf<Q> {
    /// The next received bytes, lent without a copy; `None` is the end of file. Cancel-safe.
    ///
    /// # Errors
    /// A reset is an error and never the end of file.
    pub async fn recv_chunk(&mut self) -> io::Result<Option<Chunk<Q>>> {
        std::future::poll_fn(|cx| self.0.poll_chunk(cx)).await
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.0.link.stream.peer()
    }
}

impl<Q: Queue> AsyncWriteHalf<Q> {
    /// Sends received bytes without a copy when their connection lives on the same worker and endpoint, as in a proxy or an
    /// echo; else they are copied. Not cancel-safe: what a dropped call had not sent is lost.
    ///
    /// # Errors
    /// As a write.
    pub async fn send_chunk(&mut self, chunk: Chunk<Q>) -> io::Result<()> {
        let mut unsent = Some(chunk);
        std::future::poll_fn(|cx| self.0.poll_send_chunk(cx, &mut unsent)).await
    }

    /// The peer's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.0.link.stream.peer()
    }
}

impl<Q: Queue> Drop for AsyncWriteHalf<Q> {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl<Q: Queue> AsyncRead for AsyncReadHalf<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        self.get_mut().0.poll_read(cx, room, |bytes| buf.put_slice(bytes))
    }
}

impl<Q: Queue> AsyncBufRead for AsyncReadHalf<Q> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().0.poll_fill(cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().0.consume(count);
    }
}

impl<Q: Queue> AsyncWrite for AsyncWriteHalf<Q> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, parts)
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
        self.0.shutdown();
        Poll::Ready(Ok(()))
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
            .field(&self.0.link.stream)
            .finish()
    }
}
