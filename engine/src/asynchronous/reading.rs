//! Bytes in: copied out of their buffers, or lent in place.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fourtuple_nic::Queue;
use tokio::task::coop::poll_proceed;

use super::endpoint::Held;
use crate::handoff::{Chunk, Stream};

/// A connection, and what has to live as long; both halves hold it.
pub(super) struct Link<Q: Queue> {
    /// Dropped first: it closes the connection, and the endpoint has to be there.
    pub(super) stream: Stream<Q>,
    pub(super) _held: Arc<Held<Q>>,
}

/// The receiving side of a connection.
pub(super) struct Reading<Q: Queue> {
    pub(super) link: Arc<Link<Q>>,
    /// Lent by the last look, and not consumed to its end.
    current: Option<Chunk<Q>>,
}

impl<Q: Queue> Reading<Q> {
    pub(super) fn new(link: Arc<Link<Q>>) -> Self {
        Self { link, current: None }
    }

    /// Gives `sink` what is there, at most `room` bytes; nothing is the end of file.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut sink: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(chunk) = &self.current {
            let count = chunk.len().min(room);
            sink(&chunk[..count]);
            self.consume(count);
            return Poll::Ready(Ok(()));
        }
        let coop = ready!(poll_proceed(cx));
        let read = ready!(self.link.stream.poll_read_with(cx, room, sink));
        coop.made_progress();
        Poll::Ready(read.map(|_| ()).map_err(io::Error::from))
    }

    /// Lends what is there; nothing is the end of file.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        while self.current.is_none() {
            match ready!(self.poll_chunk(cx))? {
                // A chunk without bytes would read as the end of file.
                Some(chunk) => self.current = Some(chunk).filter(|chunk| !chunk.is_empty()),
                None => break,
            }
        }
        Poll::Ready(Ok(self.current.as_deref().unwrap_or_default()))
    }

    /// So many of the lent bytes are done with.
    pub(super) fn consume(&mut self, count: usize) {
        if let Some(chunk) = &mut self.current {
            chunk.advance(count);
            if chunk.is_empty() {
                self.current = None;
            }
        }
    }

    /// Hands out the next bytes.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Chunk<Q>>>> {
        if let Some(chunk) = self.current.take() {
            return Poll::Ready(Ok(Some(chunk)));
        }
        let coop = ready!(poll_proceed(cx));
        let chunk = ready!(self.link.stream.poll_recv(cx));
        coop.made_progress();
        Poll::Ready(chunk.map_err(io::Error::from))
    }
}

impl<Q: Queue> Drop for Reading<Q> {
    fn drop(&mut self) {
        if let Some(chunk) = self.current.take() {
            // RFC 9293 §3.6.1: bytes that nobody read are lost, and the peer is to learn it.
            self.link.stream.discard(chunk);
        }
    }
}
