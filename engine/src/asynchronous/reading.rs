//! Bytes in: copied out of their buffers, or lent in place.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use fourtuple_nic::Queue;
use tokio::task::coop::poll_proceed;

use super::link::Link;
use crate::handoff::Chunk;

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

impl<Q: Queue> Reading<Q> {
    /// A read would not wait.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.current.is_some() {
            return Poll::Ready(Ok(()));
        }
        let coop = ready!(poll_proceed(cx));
        let readable = ready!(self.link.stream.poll_readable(cx));
        coop.made_progress();
        Poll::Ready(readable.map_err(io::Error::from))
    }

    /// Copies what is there without waiting.
    pub(super) fn read_now(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.current {
            Some(chunk) => {
                let count = chunk.len().min(into.len());
                into[..count].copy_from_slice(&chunk[..count]);
                self.consume(count);
                Ok(count)
            }
            None => Ok(self.link.stream.read_now(into)?),
        }
    }

    /// Copies what is there and leaves it there, once it is `least` bytes, or fills `into`, or no more can come.
    pub(super) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        least: usize,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let least = least.min(into.len());
        let lent = self.current.as_deref().unwrap_or_default();
        let held = lent.len().min(into.len());
        into[..held].copy_from_slice(&lent[..held]);
        if held == into.len() {
            return Poll::Ready(Ok(held));
        }
        let coop = ready!(poll_proceed(cx));
        let more = self
            .link
            .stream
            .poll_peek(cx, least.saturating_sub(held), &mut into[held..]);
        let count = match more {
            // What was lent before is enough, whatever became of the connection.
            Poll::Pending | Poll::Ready(Err(_)) if held >= least && held > 0 => Ok(held),
            Poll::Pending => return Poll::Pending,
            // An end with some of it is told with what there is.
            Poll::Ready(Err(_)) if held > 0 => Ok(held),
            Poll::Ready(more) => more.map(|more| held + more).map_err(io::Error::from),
        };
        coop.made_progress();
        Poll::Ready(count)
    }

    pub(super) fn urgent_ahead(&self) -> Option<u64> {
        self.link.stream.urgent_ahead_behind(self.held())
    }

    pub(super) fn poll_urgent(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        let coop = ready!(poll_proceed(cx));
        let ahead = ready!(self.link.stream.poll_urgent(cx, self.held()));
        coop.made_progress();
        Poll::Ready(ahead.map_err(io::Error::from))
    }

    /// Bytes that were lent and are not consumed.
    fn held(&self) -> usize {
        self.current.as_ref().map_or(0, |chunk| chunk.len())
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
