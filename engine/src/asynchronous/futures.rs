//! The traits of `futures-io` (feature `async-futures-io`), for crates that know no runtime.
//!
//! The endpoint's driver needs tokio all the same; tasks that read and write may run anywhere.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::stream::AsyncStream;

impl<Q: Queue> AsyncRead for AsyncStream<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut count = 0;
        let read = self.get_mut().reading().poll_read(cx, into.len(), |bytes| {
            into[count..count + bytes.len()].copy_from_slice(bytes);
            count += bytes.len();
        });
        read.map_ok(|()| count)
    }
}

impl<Q: Queue> AsyncBufRead for AsyncStream<Q> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading().poll_fill(cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().reading().consume(count);
    }
}

impl<Q: Queue> AsyncWrite for AsyncStream<Q> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(self, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(self, cx, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(self, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(self, cx)
    }
}
