//! The traits of `futures-io` and `futures-core` (feature `async-futures-io`), for crates that know no runtime.
//!
//! The endpoint's driver needs tokio all the same; tasks that read and write may run anywhere.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::halves::{AsyncReadHalf, AsyncWriteHalf};
use super::listener::AsyncListener;
use super::stream::AsyncStream;
use super::traits::{async_buf_read, async_write};

impl<Q: Queue> AsyncRead for AsyncReadHalf<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut count = 0;
        let read = self.get_mut().reading().poll_read(cx, into.len(), |bytes| {
            into[count..count + bytes.len()].copy_from_slice(bytes);
            count += bytes.len();
        });
        read.map_ok(|()| count)
    }
}

impl<Q: Queue> AsyncRead for AsyncStream<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, into)
    }
}

async_buf_read!(AsyncBufRead, AsyncReadHalf);
async_buf_read!(AsyncBufRead, AsyncStream);
async_write!(AsyncWrite, AsyncWriteHalf, poll_close);
async_write!(AsyncWrite, AsyncStream, poll_close);

/// The connections of a listener, one behind the other, without end; an error says that none come any more.
impl<Q: Queue> futures_core::Stream for AsyncListener<Q> {
    type Item = io::Result<(AsyncStream<Q>, SocketAddr)>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(Some)
    }
}
