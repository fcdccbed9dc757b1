//! The traits of `futures-io` and `futures-core` (feature `async-futures-io`), for crates that know no runtime.
//!
//! The endpoint's driver needs tokio all the same; tasks that read and write may run anywhere.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::halves::{AsyncReadHalf, AsyncWriteHalf};
use super::listener::AsyncListener;
use super::stream::AsyncStream;

impl<Q: Queue> AsyncRead for AsyncReadHalf<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut count = 0;
        let read = self.get_mut().0.poll_read(cx, into.len(), |bytes| {
            into[count..count + bytes.len()].copy_from_slice(bytes);
            count += bytes.len();
        });
        read.map_ok(|()| count)
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
        self.writing.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing.poll_write_vectored(cx, parts)
    }

    /// What was written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A FIN behind all that was written. Receiving goes on.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.shutdown();
        Poll::Ready(Ok(()))
    }
}

impl<Q: Queue> AsyncRead for AsyncStream<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.get_mut().reader), cx, into)
    }
}

impl<Q: Queue> AsyncBufRead for AsyncStream<Q> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reader.0.poll_fill(cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().reader.0.consume(count);
    }
}

impl<Q: Queue> AsyncWrite for AsyncStream<Q> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.get_mut().writer), cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.get_mut().writer), cx, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().writer), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.get_mut().writer), cx)
    }
}

/// The connections of a listener, one behind the other, without end; an error says that none come any more.
impl<Q: Queue> futures_core::Stream for AsyncListener<Q> {
    type Item = io::Result<(AsyncStream<Q>, SocketAddr)>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(Some)
    }
}
