//! A future that is one of several that wait for the same thing: dropped, it leaves nothing behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls until there is something; `forget` is told the ticket by which it waited.
pub(super) struct Waiting<P, F: FnMut(u64)> {
    poll: P,
    forget: F,
    ticket: Option<u64>,
}

impl<T, P, F> Waiting<P, F>
where
    P: FnMut(&mut Option<u64>, &mut Context<'_>) -> Poll<T> + Unpin,
    F: FnMut(u64) + Unpin,
{
    pub(super) fn new(poll: P, forget: F) -> Self {
        Self {
            poll,
            forget,
            ticket: None,
        }
    }
}

impl<T, P, F> Future for Waiting<P, F>
where
    P: FnMut(&mut Option<u64>, &mut Context<'_>) -> Poll<T> + Unpin,
    F: FnMut(u64) + Unpin,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        (this.poll)(&mut this.ticket, cx)
    }
}

impl<P, F: FnMut(u64)> Drop for Waiting<P, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            (self.forget)(ticket);
        }
    }
}
