//! Where lent buffers go when they are dropped, on whatever thread (D4).
//!
//! One queue an endpoint, with a place for every buffer that it can hold: a drop can't fail and never waits for a worker.
//! The queue has many producers and is emptied by the endpoint's step (by its estate, once it is gone): no worker is ever at
//! one of its ends.

use std::fmt;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use fourtuple_nic::Queue;
use fourtuple_wire::{Payload, Received};

use crate::ConnId;
use crate::buffer::{RxChunk, TxChunk};
use crate::idle::Sleeper;

/// A buffer that was lent.
pub(super) enum Buffer<Q: Queue> {
    /// As it was.
    Lent(RxChunk<Q::Rx>),
    /// The application split it.
    Shared(TxChunk<Q::Shared>),
    /// It was given blank, and what was written to it is not to be sent.
    Blank(RxChunk<Q::Rx>),
}

impl<Q: Queue> Buffer<Q> {
    /// Bytes of pool memory that are charged to a receive window.
    pub(super) fn space(&self) -> usize {
        match self {
            Self::Lent(chunk) => chunk.space(),
            Self::Shared(chunk) => chunk.space(),
            // No window is charged for it.
            Self::Blank(_) => 0,
        }
    }
}

/// A buffer that nobody reads any more.
pub(super) struct Homecoming<Q: Queue> {
    /// The connection that it was received on.
    pub(super) id: ConnId,
    /// The buffer.
    pub(super) buffer: Buffer<Q>,
}

/// The place.
pub(super) struct Home<Q: Queue> {
    arrived: ArrayQueue<Homecoming<Q>>,
    endpoint: Arc<Sleeper>,
}

impl<Q: Queue> Home<Q> {
    /// With a place for each of `capacity` buffers.
    pub(super) fn new(capacity: usize, endpoint: Arc<Sleeper>) -> Self {
        Self {
            arrived: ArrayQueue::new(capacity.max(1)),
            endpoint,
        }
    }

    /// From any thread: a buffer is done with.
    pub(super) fn receive(&self, homecoming: Homecoming<Q>) {
        let refused = self.arrived.push(homecoming).is_err();
        debug_assert!(!refused, "there is a place for every buffer that can be lent");
        // An endpoint that sleeps may wait for the very window that this buffer opens.
        self.endpoint.wake_if_sleeping();
    }

    /// The next that arrived.
    pub(super) fn pop(&self) -> Option<Homecoming<Q>> {
        self.arrived.pop()
    }

    /// Nothing arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }
}

impl<Q: Queue> fmt::Debug for Home<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("arrived", &self.arrived.len())
            .finish_non_exhaustive()
    }
}
