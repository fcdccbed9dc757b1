//! Bytes out: copied once into a buffer of the worker's, or a received chunk as it is.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use fourtuple_nic::Queue;
use tokio::task::coop::poll_proceed;

use super::link::Link;
use crate::handoff::{Chunk, Stream, StreamError, TxBuffer};

/// The sending side of a connection.
pub(super) struct Writing<Q: Queue> {
    pub(super) link: Arc<Link<Q>>,
}

impl<Q: Queue> Writing<Q> {
    /// A call that takes its share of what the task may do before others have their turn.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnOnce(&Stream<Q>, &mut Context<'_>) -> Poll<Result<R, StreamError>>,
    ) -> Poll<io::Result<R>> {
        let coop = ready!(poll_proceed(cx));
        let done = ready!(call(&self.link.stream, cx));
        coop.made_progress();
        Poll::Ready(done.map_err(io::Error::from))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_send(cx, bytes))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_send_parts(cx, parts))
    }

    pub(super) fn poll_write_urgent(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_send_urgent(cx, bytes))
    }

    pub(super) fn poll_send_chunk(
        &self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<Q>>,
    ) -> Poll<io::Result<()>> {
        self.poll(cx, |stream, cx| stream.poll_send_chunk(cx, chunk))
    }

    /// Takes what was sent off the front; done when nothing is left.
    pub(super) fn poll_send_bytes(&self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let sent = ready!(self.poll_write(cx, bytes))?;
            bytes.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_tx_buffer(&self, cx: &mut Context<'_>) -> Poll<io::Result<TxBuffer<Q>>> {
        self.poll(cx, Stream::poll_tx_buffer)
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Stream::poll_writable)
    }

    pub(super) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Stream::poll_flushed)
    }

    pub(super) fn write_now(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.link.stream.send_parts_now(parts)?)
    }

    pub(super) fn shutdown(&self) {
        self.link.stream.shutdown();
    }
}
