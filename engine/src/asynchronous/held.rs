//! Who still holds an endpoint: applications, not the task that drives it.

use std::sync::Arc;

use fourtuple_nic::Queue;

use crate::handoff::Endpoint;

/// The endpoint as applications hold it. The driver holds it, too: this tells it that nobody else does any more.
pub(super) struct Held<Q: Queue>(Arc<Endpoint<Q>>);

impl<Q: Queue> Held<Q> {
    pub(super) fn new(endpoint: Arc<Endpoint<Q>>) -> Self {
        Self(endpoint)
    }

    pub(super) fn endpoint(&self) -> &Endpoint<Q> {
        &self.0
    }
}

impl<Q: Queue> Drop for Held<Q> {
    fn drop(&mut self) {
        // Rings the driver's bell.
        self.0.leave();
    }
}
