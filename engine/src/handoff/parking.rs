//! The lock between the threads of one endpoint, and waiting.
//!
//! An endpoint has one bell. Of the threads that wait at a time one *pumps*: it sleeps on the bell without the lock, steps
//! when it wakes, and tells the others, who sleep on a condition. Who leaves hands the pumping on. No worker ever takes
//! this lock.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fourtuple_nic::Queue;

use super::core::EndpointCore;
use crate::idle::Sleeper;

/// A time-out that never comes.
pub(super) const NO_LIMIT: Duration = Duration::MAX;

/// What an endpoint, its streams and all that waits on them share.
pub(super) struct Shared<Q: Queue> {
    state: Mutex<State<Q>>,
    stepped: Condvar,
    sleeper: Arc<Sleeper>,
}

struct State<Q: Queue> {
    core: EndpointCore<Q>,
    /// A thread sleeps on the bell.
    pumping: bool,
}

impl<Q: Queue> Shared<Q> {
    pub(super) fn new(core: EndpointCore<Q>, sleeper: Arc<Sleeper>) -> Self {
        Self {
            state: Mutex::new(State { core, pumping: false }),
            stepped: Condvar::new(),
            sleeper,
        }
    }

    /// Calls without waiting and without a step.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut EndpointCore<Q>) -> R) -> R {
        let core = &mut self.lock().core;
        let result = call(core);
        core.wake_workers();
        result
    }

    /// Waits until `ready` gives something, or the time is up. It is asked before the first step, too: what is there
    /// already costs no look at the rings.
    pub(super) fn wait_until<R>(
        &self,
        timeout: Duration,
        mut ready: impl FnMut(&mut EndpointCore<Q>) -> Option<R>,
    ) -> Option<R> {
        let mut state = self.lock();
        let mut result = ready(&mut state.core);
        if result.is_none() {
            state.core.step();
            result = ready(&mut state.core);
        }
        state.core.wake_workers();
        if result.is_some() || timeout.is_zero() {
            return result;
        }
        // `None`: so far away that it never comes.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            state.core.finish_steps();
            state = if state.pumping {
                self.follow(state, left)
            } else {
                self.pump(state, left)
            };
            state.core.step();
            let result = ready(&mut state.core);
            if result.is_some() {
                state.core.finish_steps();
                return result;
            }
        }
    }

    /// Wakes every thread that waits here: something changed without a worker.
    pub(super) fn rouse(&self) {
        self.stepped.notify_all();
        self.sleeper.wake_if_sleeping();
    }

    #[cfg(test)]
    pub(super) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    /// Sleeps on the bell, and tells the others when it rang.
    fn pump<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<Q>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<Q>> {
        self.sleeper.prepare();
        if state.core.has_news() {
            self.sleeper.cancel();
        } else {
            state.pumping = true;
            drop(state);
            self.sleeper.wait(left, &[]);
            state = self.lock();
            state.pumping = false;
        }
        self.stepped.notify_all();
        state
    }

    /// Sleeps until the thread that pumps has something, or leaves.
    fn follow<'a>(
        &'a self,
        state: MutexGuard<'a, State<Q>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<Q>> {
        match left {
            Some(left) => {
                self.stepped
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self.stepped.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// A thread that panicked in a call left nothing half-done that another could not go on with.
    fn lock(&self) -> MutexGuard<'_, State<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
