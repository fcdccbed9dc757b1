//! The driver: the task that moves an endpoint's messages.
//!
//! ```text
//!   polled ─► step ─┬─ something moved ─► behind the tasks that were woken ─► polled
//!                   └─ nothing moved ─► prepare ─┬─ news meanwhile ─► polled
//!                                                └─ sleep until the bell's descriptor can be read ─► polled
//! ```
//!
//! It sleeps in the runtime's own poll, among its sockets and timers. While it is awake workers find nobody to wake, so a busy
//! runtime makes no system call for its connections. It ends when nothing is left that it could serve, or with its runtime:
//! the endpoint leaves then, and all that waits is told.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fourtuple_nic::Queue;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::handoff::{Driven, Endpoint};

/// The future that a runtime polls.
pub(super) struct Driver<Q: Queue> {
    bell: AsyncFd<Bell<Q>>,
}

impl<Q: Queue> Driver<Q> {
    /// Registers the endpoint's bell with the runtime that this is called in.
    ///
    /// # Errors
    /// What the system says when the runtime can't wait for one more descriptor.
    pub(super) fn new(endpoint: Arc<Endpoint<Q>>) -> std::io::Result<Self> {
        #[allow(
            deprecated,
            reason = "what takes its place asks the caller to vouch that the descriptor stays open; this one is the endpoint's own"
        )]
        let bell = AsyncFd::with_interest(Bell(endpoint), Interest::READABLE)?;
        Ok(Self { bell })
    }

    /// It rang: looks, and waits for the next time. The descriptor stays readable, as every ring is told by an edge.
    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.bell
            .poll_read_ready(cx)
            .map_ok(|mut ready| ready.clear_ready())
    }
}

impl<Q: Queue> Future for Driver<Q> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // What woke this poll; what rings from now on wakes the next.
        let mut rung = this.poll_rung(cx);
        loop {
            // An error: the runtime is about to go.
            if let Poll::Ready(Err(_)) = rung {
                return Poll::Ready(());
            }
            match this.bell.get_ref().0.drive() {
                Driven::Over => return Poll::Ready(()),
                Driven::Moved => {
                    // Those that were woken come first, then it is this task's turn again.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Driven::Asleep => {
                    rung = this.poll_rung(cx);
                    if rung.is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<Q: Queue> Drop for Driver<Q> {
    fn drop(&mut self) {
        // With its runtime, or because nobody is left: what still waits is told.
        self.bell.get_ref().0.leave();
    }
}

/// The endpoint as something that has a descriptor.
struct Bell<Q: Queue>(Arc<Endpoint<Q>>);

impl<Q: Queue> AsRawFd for Bell<Q> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
