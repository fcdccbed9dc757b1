//! Received bytes in the application's hands.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fourtuple_nic::Queue;
use fourtuple_wire::{Payload, Received};

use super::home::{Buffer, Home, Homecoming};
use crate::ConnId;
use crate::attach::PortQueue;
use crate::buffer::{RxChunk, TxChunk};

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
    /// Registered memory that the application filled; `None` only once it was taken out.
    Filled {
        id: ConnId,
        buffer: Option<RxChunk<Q::Rx>>,
        home: Arc<Home<Q>>,
    },
    /// A part of one that was split.
    Part {
        bytes: TxChunk<Q::Shared>,
        whole: Arc<Whole<Q>>,
    },
    /// The application's own, because the endpoint had to make room.
    Copied { bytes: Vec<u8>, read: usize },
}

/// A buffer whose parts are held one by one: it goes home behind the last of them, which is dropped before this.
struct Whole<Q: Queue> {
    id: ConnId,
    /// Only ever taken out; the lock lets parts lie with several threads.
    shared: Mutex<Option<TxChunk<Q::Shared>>>,
    home: Arc<Home<Q>>,
}

impl<Q: Queue> Drop for Whole<Q> {
    fn drop(&mut self) {
        let shared = self.shared.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = shared.take() {
            self.home.receive(Homecoming {
                id: self.id,
                buffer: Buffer::Shared(shared),
            });
        }
    }
}

/// What is taken out of a chunk to be sent.
pub(super) enum Taken<Q: Queue> {
    /// The buffer, and the connection it came from; it does not go home by the chunk any more.
    Buffer(ConnId, RxChunk<Q::Rx>),
    /// A part of one, which goes home by itself.
    Part(TxChunk<Q::Shared>),
    /// One that was blank.
    Filled(RxChunk<Q::Rx>),
}

impl<Q: Queue> Chunk<Q> {
    pub(super) fn lent(id: ConnId, buffer: RxChunk<Q::Rx>, home: Arc<Home<Q>>) -> Self {
        Self(Held::Lent {
            id,
            buffer: Some(buffer),
            home,
        })
    }

    /// A blank buffer, for this connection or another of its worker.
    pub(super) fn blank(id: ConnId, buffer: RxChunk<Q::Rx>, home: Arc<Home<Q>>) -> Self {
        Self(Held::Filled {
            id,
            buffer: Some(buffer),
            home,
        })
    }

    /// The buffer, where it was blank and may be written to.
    pub(super) fn blank_mut(&mut self) -> Option<&mut Q::Rx> {
        match &mut self.0 {
            Held::Filled { buffer, .. } => buffer.as_mut().map(|buffer| &mut buffer.0),
            Held::Lent { .. } | Held::Part { .. } | Held::Copied { .. } => None,
        }
    }

    pub(super) fn copied(bytes: Vec<u8>, read: usize) -> Self {
        Self(Held::Copied { bytes, read })
    }

    /// Takes `count` bytes off the front; all of them when there are fewer.
    pub fn advance(&mut self, count: usize) {
        match &mut self.0 {
            Held::Lent { buffer, .. } | Held::Filled { buffer, .. } => {
                if let Some(buffer) = buffer {
                    buffer.trim_front(count);
                }
            }
            Held::Part { bytes, .. } => *bytes = bytes.slice(count..bytes.len()),
            Held::Copied { bytes, read } => *read = read.saturating_add(count).min(bytes.len()),
        }
    }

    /// Keeps the first `len` bytes; all of them when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Held::Lent { buffer, .. } | Held::Filled { buffer, .. } => {
                if let Some(buffer) = buffer {
                    buffer.truncate(len);
                }
            }
            Held::Part { bytes, .. } => *bytes = bytes.slice(0..len),
            Held::Copied { bytes, read } => bytes.truncate(read.saturating_add(len)),
        }
    }

    /// Takes the first `at` bytes off into a chunk of their own (all of them when there are fewer), without a copy: the parts share
    /// the buffer, each may be sent on or dropped on any thread, and it goes home behind the last.
    ///
    /// ```no_run
    /// # fn route(from: &fourtuple::Stream, head_to: &fourtuple::Stream, body_to: &fourtuple::Stream) -> Result<(), Box<dyn std::error::Error>> {
    /// # let second = std::time::Duration::from_secs(1);
    /// if let Some(mut chunk) = from.recv(second)? {
    ///     let head = chunk.split_to(16);
    ///     head_to.send_chunk(head, second)?;
    ///     body_to.send_chunk(chunk, second)?;
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use = "what is not used is lost"]
    pub fn split_to(&mut self, at: usize) -> Self {
        let rest = self.split_off(at);
        std::mem::replace(self, rest)
    }

    /// Takes what is behind the first `at` bytes off into a chunk of its own; else as [`split_to`](Self::split_to).
    #[must_use = "what is not used is lost"]
    pub fn split_off(&mut self, at: usize) -> Self {
        self.share();
        match &mut self.0 {
            // Its buffer was taken out: there are no bytes.
            Held::Lent { .. } => Self::copied(Vec::new(), 0),
            // What was filled here is small, and its buffer's way home is another.
            Held::Filled { buffer, .. } => {
                let rest = buffer.as_mut().and_then(|buffer| {
                    let rest = buffer.bytes().get(at..)?.to_vec();
                    buffer.truncate(at);
                    Some(rest)
                });
                Self::copied(rest.unwrap_or_default(), 0)
            }
            Held::Part { bytes, whole } => {
                let rest = bytes.slice(at..bytes.len());
                *bytes = bytes.slice(0..at);
                Self(Held::Part {
                    bytes: rest,
                    whole: Arc::clone(whole),
                })
            }
            Held::Copied { bytes, read } => {
                let at = read.saturating_add(at).min(bytes.len());
                Self::copied(bytes.split_off(at), 0)
            }
        }
    }

    /// Makes a buffer that is lent whole one of parts.
    fn share(&mut self) {
        let Held::Lent { id, buffer, home } = &mut self.0 else {
            return;
        };
        let Some(buffer) = buffer.take() else { return };
        let shared = buffer.into_payload();
        let bytes = shared.clone();
        let whole = Whole {
            id: *id,
            shared: Mutex::new(Some(shared)),
            home: Arc::clone(home),
        };
        self.0 = Held::Part {
            bytes,
            whole: Arc::new(whole),
        };
    }

    /// It is lent by this worker through this home.
    pub(super) fn is_from(&self, home: &Arc<Home<Q>>, worker: u16) -> bool {
        match &self.0 {
            Held::Lent { id, home: own, .. } | Held::Filled { id, home: own, .. } => {
                Arc::ptr_eq(own, home) && id.worker() == worker
            }
            Held::Part { whole, .. } => Arc::ptr_eq(&whole.home, home) && whole.id.worker() == worker,
            Held::Copied { .. } => false,
        }
    }

    /// What is to be sent of it.
    pub(super) fn take(&mut self) -> Option<Taken<Q>> {
        match &mut self.0 {
            Held::Lent { id, buffer, .. } => buffer.take().map(|buffer| Taken::Buffer(*id, buffer)),
            Held::Filled { buffer, .. } => buffer.take().map(Taken::Filled),
            Held::Part { bytes, .. } => Some(Taken::Part(bytes.clone())),
            Held::Copied { .. } => None,
        }
    }
}

/// Nothing in it is ever pinned.
impl<Q: Queue> Unpin for Chunk<Q> {}

impl<Q: Queue> Drop for Chunk<Q> {
    fn drop(&mut self) {
        let (id, buffer, home) = match &mut self.0 {
            Held::Lent { id, buffer, home } => (id, buffer.take().map(Buffer::Lent), home),
            Held::Filled { id, buffer, home } => (id, buffer.take().map(Buffer::Blank), home),
            // The whole goes home by itself.
            Held::Part { .. } | Held::Copied { .. } => return,
        };
        if let Some(buffer) = buffer {
            home.receive(Homecoming { id: *id, buffer });
        }
    }
}

impl<Q: Queue> Deref for Chunk<Q> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Lent { buffer, .. } | Held::Filled { buffer, .. } => {
                buffer.as_ref().map(Received::bytes).unwrap_or_default()
            }
            Held::Part { bytes, .. } => bytes.bytes(),
            Held::Copied { bytes, read } => bytes.get(*read..).unwrap_or_default(),
        }
    }
}

impl<Q: Queue> AsRef<[u8]> for Chunk<Q> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Without a copy: the buffer goes home when the last part of the `Bytes` is dropped, on whatever thread. Until then it is charged as
/// the chunk was: what is kept for long is better copied (`Bytes::copy_from_slice`).
///
/// ```no_run
/// # fn body(stream: &fourtuple::Stream) -> Result<bytes::Bytes, fourtuple::StreamError> {
/// let chunk = stream.recv(std::time::Duration::from_secs(1))?;
/// Ok(chunk.map_or_else(bytes::Bytes::new, bytes::Bytes::from))
/// # }
/// ```
impl<Q: Queue> From<Chunk<Q>> for Bytes {
    fn from(chunk: Chunk<Q>) -> Self {
        Self::from_owner(chunk)
    }
}

impl<Q: Queue> fmt::Debug for Chunk<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
