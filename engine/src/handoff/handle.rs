//! An endpoint as others name it, to give it connections; and where those wait that other endpoints give (D9).
//!
//! No worker is at an inbox: its lock is between application threads, and held for a push or a swap.

use std::fmt;
#[cfg(not(loom))]
use std::sync::Mutex;
#[cfg(not(loom))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};

use fourtuple_nic::Queue;
#[cfg(loom)]
use loom::sync::{Mutex, atomic::AtomicBool};

use super::connection::Connection;
use super::protocol::EndpointNumber;
use super::rings::Presence;
use crate::ConnId;
use crate::attach::PortQueue;

/// The name of an endpoint, by which a [handler](crate::Connection::hand_off) and [other endpoints](super::Stream::move_to) give it
/// connections. It may be copied, sent and kept; it keeps nothing alive.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn split(acceptor: fourtuple::Endpoint, worker: fourtuple::Endpoint, listener: fourtuple::Listener) {
/// let to = worker.handle();
/// std::thread::spawn(move || {
///     while let Ok(stream) = listener.accept(&acceptor, Duration::MAX) {
///         let _ = stream.move_to(&to, 0, Duration::from_secs(1));
///     }
/// });
/// while let Ok(handed) = worker.take_handed(Duration::MAX) {
///     println!("{} is ours now", handed.stream.peer());
/// }
/// # }
/// ```
pub struct EndpointHandle<Q: Queue = PortQueue> {
    presence: Arc<Presence>,
    inbox: Arc<Inbox<Arrival<Q>>>,
}

impl<Q: Queue> Clone for EndpointHandle<Q> {
    fn clone(&self) -> Self {
        Self {
            presence: Arc::clone(&self.presence),
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl<Q: Queue> EndpointHandle<Q> {
    pub(super) fn new(presence: &Arc<Presence>, inbox: &Arc<Inbox<Arrival<Q>>>) -> Self {
        Self {
            presence: Arc::clone(presence),
            inbox: Arc::clone(inbox),
        }
    }

    pub(crate) fn number(&self) -> EndpointNumber {
        self.presence.number
    }

    /// One more connection may be handed over now.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting().load(Ordering::Relaxed) < self.presence.handed_limit
    }

    /// Those that wait there.
    pub(crate) fn waiting(&self) -> &AtomicU32 {
        &self.presence.handed
    }

    /// Puts a connection into its inbox, or gives it back when the endpoint is gone.
    pub(super) fn give(&self, arrival: Arrival<Q>) -> Result<(), Arrival<Q>> {
        self.waiting().fetch_add(1, Ordering::Relaxed);
        let put = self.inbox.put(arrival);
        if put.is_err() {
            self.waiting().fetch_sub(1, Ordering::Relaxed);
        }
        self.presence.sleeper.wake_if_sleeping();
        put
    }
}

impl<Q: Queue> fmt::Debug for EndpointHandle<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EndpointHandle").field(&self.number().0).finish()
    }
}

/// A connection that another endpoint gave.
pub(super) struct Arrival<Q: Queue> {
    pub(super) id: ConnId,
    pub(super) connection: Box<Connection<Q>>,
    pub(super) mark: u64,
}

/// What other endpoints gave and the endpoint has not looked at.
pub(super) struct Inbox<T> {
    /// Something may be in it.
    arrived: AtomicBool,
    /// `None`: the endpoint is gone.
    waiting: Mutex<Option<Vec<T>>>,
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Self {
            arrived: AtomicBool::new(false),
            waiting: Mutex::new(Some(Vec::new())),
        }
    }

    fn put(&self, arrival: T) -> Result<(), T> {
        match &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiting) => waiting.push(arrival),
            None => return Err(arrival),
        }
        // Before the fence of `wake_if_sleeping`; the endpoint looks behind that of `Sleeper::prepare`.
        self.arrived.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.arrived.load(Ordering::Acquire)
    }

    /// All that arrived.
    pub(super) fn take(&self) -> Vec<T> {
        if !self.has_arrived() || !self.arrived.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that arrived; nothing will any more.
    pub(super) fn close(&self) -> Vec<T> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take().unwrap_or_default()
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p fourtuple --no-default-features --release loom`
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::idle::Sleeper;

    /// As `EndpointHandle::give`.
    fn give(inbox: &Inbox<u32>, endpoint: &Sleeper, arrival: u32) -> Result<(), u32> {
        let put = inbox.put(arrival);
        endpoint.wake_if_sleeping();
        put
    }

    #[test]
    fn loom_an_endpoint_that_sleeps_is_woken_for_what_is_given_to_it() {
        let mut model = loom::model::Builder::new();
        // Three threads: every order with at most two preemptions.
        model.preemption_bound = Some(2);
        model.check(|| {
            let (inbox, endpoint) = (Arc::new(Inbox::new()), Arc::new(Sleeper::new().unwrap()));
            let givers = [1, 2].map(|arrival| {
                let (inbox, endpoint) = (Arc::clone(&inbox), Arc::clone(&endpoint));
                thread::spawn(move || give(&inbox, &endpoint, arrival).unwrap())
            });
            let mut came = Vec::new();
            while came.len() < 2 {
                came.extend(inbox.take());
                if came.len() < 2 {
                    endpoint.prepare();
                    if inbox.has_arrived() {
                        endpoint.cancel();
                    } else {
                        endpoint.wait(None, &[]);
                    }
                }
            }
            came.sort_unstable();
            assert_eq!(came, [1, 2]);
            givers.map(|giver| giver.join().unwrap());
        });
    }

    #[test]
    fn loom_what_is_given_to_an_endpoint_that_goes_is_closed_there_or_comes_back() {
        loom::model(|| {
            let (inbox, endpoint) = (Arc::new(Inbox::new()), Arc::new(Sleeper::new().unwrap()));
            let giver = {
                let (inbox, endpoint) = (Arc::clone(&inbox), Arc::clone(&endpoint));
                thread::spawn(move || give(&inbox, &endpoint, 1))
            };
            let mut came = inbox.take();
            came.extend(inbox.close());
            match giver.join().unwrap() {
                Ok(()) => assert_eq!(came, [1]),
                Err(back) => assert_eq!((back, came.len()), (1, 0)),
            }
        });
    }
}
