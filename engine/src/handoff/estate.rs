//! What an endpoint leaves behind: rings, closes that are not told yet, and buffers still in the application's hands.
//!
//! The control thread steps an estate until it is settled; the endpoint's number and its share of the pool are free again
//! on each worker after that. It holds no connection: those were closed when the endpoint was dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fourtuple_nic::Queue;

use super::home::Home;
use super::protocol::Event;
use super::rings::{EndpointEnd, Return};

/// The remains of an endpoint that was dropped.
pub(crate) struct Estate<Q: Queue> {
    ends: Vec<EndpointEnd<Q>>,
    home: Arc<Home<Q>>,
}

impl<Q: Queue> Estate<Q> {
    pub(super) fn new(ends: Vec<EndpointEnd<Q>>, home: Arc<Home<Q>>) -> Self {
        Self { ends, home }
    }

    /// Sends home what arrived and tells what could not be told before; never blocks. `true`: all is settled, drop it.
    ///
    /// Until then it is to be stepped again: soon after it was made, later every few milliseconds. How long it takes is up
    /// to the application, which may keep a chunk for ever.
    pub(crate) fn step(&mut self) -> bool {
        while let Some(homecoming) = self.home.pop() {
            if let Some(end) = self.ends.get_mut(usize::from(homecoming.id.worker())) {
                end.give_back(Return::of(homecoming.buffer));
            }
        }
        let mut settled = true;
        for end in &mut self.ends {
            settled &= wind_up(end);
            end.wake_worker();
        }
        // Unique means that no chunk is left that could still arrive; asked before looking for what arrived last.
        settled && Arc::get_mut(&mut self.home).is_some() && self.home.is_empty()
    }
}

/// One worker's part: `true` when nothing can come from it any more and everything that came is on its way home.
fn wind_up<Q: Queue>(end: &mut EndpointEnd<Q>) -> bool {
    // Looked at first: what the worker sent before it left is then in the rings.
    let worker_has_left = end.worker_has_left();
    let mut popped = false;
    while end.opened.pop().is_ok() {
        popped = true;
    }
    while let Ok(event) = end.events.pop() {
        popped = true;
        match event.into_inner() {
            Event::Chunk(id, chunk, _) => {
                end.give_back(Return::Lent(chunk));
                end.lost(id);
            }
            // A connection that was about to move was closed when its endpoint was dropped.
            Event::Writable(..)
            | Event::Urgent(..)
            | Event::Trouble(..)
            | Event::PeerClosed(_)
            | Event::Ended(..)
            | Event::Moved(..)
            | Event::Seen(..) => {}
        }
    }
    if popped {
        end.popped();
    }
    if end.settle() {
        // Pairs with the Acquire in `Slot::has_gone`: the worker sees every command before it sees this.
        end.ties.endpoint_left.store(true, Ordering::Release);
    }
    // Not before: the worker would fill the ring again, and there is room for one filling on the way back.
    while worker_has_left && let Ok(blank) = end.blanks.pop() {
        end.give_back(Return::Blank(blank));
    }
    worker_has_left
}

impl<Q: Queue> fmt::Debug for Estate<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Estate")
            .field("workers", &self.ends.len())
            .field("home", &self.home)
            .finish()
    }
}
