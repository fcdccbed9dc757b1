//! tokio's traits: `AsyncRead`, `AsyncBufRead` and `AsyncWrite`, as its `TcpStream` has them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::halves::{AsyncReadHalf, AsyncWriteHalf};
use super::stream::AsyncStream;
use super::traits::{async_buf_read, async_write};

impl<Q: Queue> AsyncRead for AsyncReadHalf<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let reading = self.get_mut().reading();
        reading.poll_read(cx, room, |bytes| buf.put_slice(bytes))
    }
}

impl<Q: Queue> AsyncRead for AsyncStream<Q> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buf)
    }
}

async_buf_read!(AsyncBufRead, AsyncReadHalf);
async_buf_read!(AsyncBufRead, AsyncStream);

async_write!(
    AsyncWrite,
    AsyncWriteHalf,
    poll_shutdown,
    fn is_write_vectored(&self) -> bool {
        true
    }
);
async_write!(
    AsyncWrite,
    AsyncStream,
    poll_shutdown,
    fn is_write_vectored(&self) -> bool {
        true
    }
);
