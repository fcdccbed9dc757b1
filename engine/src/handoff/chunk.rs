//! Received bytes in the application's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use fourtuple_nic::Queue;
use fourtuple_wire::Received;

use super::home::{Home, Homecoming};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::buffer::RxChunk;

/// Bytes that were received, in order and read-only: a buffer of the NIC, lent without a copy.
///
/// Drop it where you like, on any thread; the buffer finds its way back to its worker by itself. Until then it is charged to
/// the connection's receive window and to the bound of its endpoint: keep what you need for long by copying it.
///
/// ```no_run
/// # fn answer(stream: &fourtuple::Stream) -> Result<(), fourtuple::StreamError> {
/// if let Some(chunk) = stream.recv(std::time::Duration::from_secs(1))? {
///     println!("{} bytes, the first is {}", chunk.len(), chunk[0]);
/// } // goes home here
/// # Ok(()) }
/// ```
pub struct Chunk<Q: Queue = PortQueue>(Held<Q>);

enum Held<Q: Queue> {
    /// The NIC's; `None` only once it was taken out.
    Lent {
        id: ConnId,
        buffer: Option<RxChunk<Q::Rx>>,
        home: Arc<Home<Q>>,
    },
    /// The application's own, because the endpoint had to make room.
    Copied { bytes: Vec<u8>, read: usize },
}

impl<Q: Queue> Chunk<Q> {
    pub(super) fn lent(id: ConnId, buffer: RxChunk<Q::Rx>, home: Arc<Home<Q>>) -> Self {
        Self(Held::Lent {
            id,
            buffer: Some(buffer),
            home,
        })
    }

    pub(super) fn copied(bytes: Vec<u8>, read: usize) -> Self {
        Self(Held::Copied { bytes, read })
    }

    /// Takes `count` bytes off the front; all of them when there are fewer.
    pub fn advance(&mut self, count: usize) {
        match &mut self.0 {
            Held::Lent { buffer, .. } => {
                if let Some(buffer) = buffer {
                    buffer.trim_front(count);
                }
            }
            Held::Copied { bytes, read } => *read = read.saturating_add(count).min(bytes.len()),
        }
    }

    /// Keeps the first `len` bytes; all of them when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Held::Lent { buffer, .. } => {
                if let Some(buffer) = buffer {
                    buffer.truncate(len);
                }
            }
            Held::Copied { bytes, read } => bytes.truncate(read.saturating_add(len)),
        }
    }

    /// It is lent by this worker through this home.
    pub(super) fn is_from(&self, home: &Arc<Home<Q>>, worker: u16) -> bool {
        match &self.0 {
            Held::Lent { id, home: own, .. } => Arc::ptr_eq(own, home) && id.worker() == worker,
            Held::Copied { .. } => false,
        }
    }

    /// The buffer and the connection it came from; it does not go home by this chunk any more.
    pub(super) fn take(&mut self) -> Option<(ConnId, RxChunk<Q::Rx>)> {
        match &mut self.0 {
            Held::Lent { id, buffer, .. } => buffer.take().map(|buffer| (*id, buffer)),
            Held::Copied { .. } => None,
        }
    }
}

/// Nothing in it is ever pinned.
impl<Q: Queue> Unpin for Chunk<Q> {}

impl<Q: Queue> Drop for Chunk<Q> {
    fn drop(&mut self) {
        if let Held::Lent { id, buffer, home } = &mut self.0
            && let Some(chunk) = buffer.take()
        {
            home.receive(Homecoming { id: *id, chunk });
        }
    }
}

impl<Q: Queue> Deref for Chunk<Q> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Lent { buffer, .. } => buffer.as_ref().map(Received::bytes).unwrap_or_default(),
            Held::Copied { bytes, read } => bytes.get(*read..).unwrap_or_default(),
        }
    }
}

impl<Q: Queue> AsRef<[u8]> for Chunk<Q> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<Q: Queue> fmt::Debug for Chunk<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
