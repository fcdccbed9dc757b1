//! The traits of hyper 1 (feature `async-hyper`): a stream goes into its connections as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::stream::AsyncStream;
use super::traits::async_write;

impl<Q: Queue> Read for AsyncStream<Q> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let reading = self.get_mut().reading();
        reading.poll_read(cx, room, |bytes| buf.put_slice(bytes))
    }
}

async_write!(
    Write,
    AsyncStream,
    poll_shutdown,
    fn is_write_vectored(&self) -> bool {
        true
    }
);
