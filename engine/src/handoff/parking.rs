//! The lock between the threads of one endpoint, and waiting.
//!
//! An endpoint has one bell. Of the threads that wait at a time one *pumps*: it sleeps on the bell without the lock, steps
//! when it wakes, and tells the others, who sleep on a condition. Who leaves hands the pumping on. No worker ever takes
//! this lock. An event loop of the application that waits for the bell's descriptor pumps in their place while it is
//! [armed](Parking::arm). Tasks are woken when the lock is released, for they may call at once.

use std::sync::{Arc, PoisonError};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use fourtuple_nic::Queue;
#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};

use super::core::EndpointCore;
use super::readiness::WAKERS;
use crate::idle::Sleeper;

/// A time-out that never comes.
pub(super) const NO_LIMIT: Duration = Duration::MAX;

/// What an endpoint, its streams and all that waits on them share.
pub(super) type Shared<Q> = Parking<EndpointCore<Q>>;

/// What parking asks of what it keeps: an endpoint, and in models as little as shows whether somebody sleeps too long.
pub(super) trait Stepped {
    /// Moves messages both ways; returns how many.
    fn step(&mut self) -> usize;
    /// Tells what a step may leave untold.
    fn finish_steps(&mut self);
    /// Wakes the workers that were told something.
    fn wake_workers(&mut self);
    /// A step would find something to do.
    fn has_news(&self) -> bool;
    /// Somebody is to be told of what a step found.
    fn has_ready(&self) -> bool;
    /// There are tasks to be woken.
    fn has_tasks(&self) -> bool;
    /// Those.
    fn take_wakers(&mut self) -> ArrayVec<Waker, WAKERS>;
    /// The endpoint was dropped.
    #[cfg(feature = "async")]
    fn has_left(&self) -> bool;
}

/// The lock, and those who sleep.
pub(super) struct Parking<C> {
    state: Mutex<State<C>>,
    stepped: Condvar,
    sleeper: Arc<Sleeper>,
}

/// What became of one [drive](Parking::drive).
#[cfg(feature = "async")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driven {
    /// Messages moved, or there are more: once more, when others had their turn.
    Moved,
    /// Nothing to do until the bell rings.
    Asleep,
    /// The endpoint has left.
    Over,
}

struct State<C> {
    core: C,
    /// A thread sleeps on the bell.
    pumping: bool,
    /// An event loop waits for the bell, or is about to: threads leave the pumping to it.
    armed: bool,
}

impl<C: Stepped> Parking<C> {
    pub(super) fn new(core: C, sleeper: Arc<Sleeper>) -> Self {
        Self {
            state: Mutex::new(State {
                core,
                pumping: false,
                armed: false,
            }),
            stepped: Condvar::new(),
            sleeper,
        }
    }

    /// Calls without waiting and without a step.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut C) -> R) -> R {
        let mut state = self.lock();
        let result = call(&mut state.core);
        state.core.wake_workers();
        self.release(state);
        result
    }

    /// Waits until `ready` gives something, or the time is up. It is asked before the first step, too: what is there
    /// already costs no look at the rings.
    pub(super) fn wait_until<R>(
        &self,
        timeout: Duration,
        mut ready: impl FnMut(&mut C) -> Option<R>,
    ) -> Option<R> {
        let mut state = self.lock();
        let mut result = ready(&mut state.core);
        if result.is_none() {
            state.core.step();
            result = ready(&mut state.core);
        }
        state.core.wake_workers();
        if result.is_some() || timeout.is_zero() {
            self.release(state);
            return result;
        }
        // `None`: so far away that it never comes.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                self.release(state);
                return None;
            }
            state.core.finish_steps();
            if state.core.has_tasks() {
                self.release(state);
                state = self.lock();
                // Others may have stepped meanwhile, and nobody rings for what they took in.
                let result = ready(&mut state.core);
                if result.is_some() {
                    self.release(state);
                    return result;
                }
            }
            state = if state.pumping || state.armed {
                self.follow(state, left)
            } else {
                self.pump(state, left)
            };
            state.core.step();
            let result = ready(&mut state.core);
            if result.is_some() {
                state.core.finish_steps();
                self.release(state);
                return result;
            }
        }
    }

    /// An event loop is about to wait for the bell's descriptor. `false`: there is something to do first.
    pub(super) fn arm(&self) -> bool {
        let mut state = self.lock();
        state.armed = true;
        while state.pumping {
            // It sleeps on the bell: it is to leave that to the loop.
            self.sleeper.wake_if_sleeping();
            state = self.stepped.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.core.finish_steps();
        self.sleeper.prepare();
        let waits = !state.core.has_news() && !state.core.has_ready();
        if !waits {
            self.sleeper.cancel();
            state.armed = false;
            self.stepped.notify_all();
        }
        self.release(state);
        waits
    }

    /// The event loop has waited.
    pub(super) fn disarm(&self) {
        let mut state = self.lock();
        state.armed = false;
        self.sleeper.cancel();
        self.sleeper.silence();
        // Whoever waits looks for itself, and one of them pumps if the loop does not come back soon.
        self.stepped.notify_all();
        self.release(state);
    }

    /// Wakes every thread that waits here: something changed without a worker.
    pub(super) fn rouse(&self) {
        self.stepped.notify_all();
        self.sleeper.wake_if_sleeping();
    }

    pub(super) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    /// Sleeps on the bell, and tells the others when it rang.
    fn pump<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<C>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<C>> {
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
        state: MutexGuard<'a, State<C>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<C>> {
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

    /// Releases the lock, then wakes the tasks that something happened for.
    fn release<'a>(&'a self, mut state: MutexGuard<'a, State<C>>) {
        while state.core.has_tasks() {
            let wakers = state.core.take_wakers();
            let others = state.core.has_tasks();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
            if !others {
                return;
            }
            state = self.lock();
        }
    }

    /// For an event loop that alone moves this endpoint's messages: one step, and where nothing moved the bell is made ready
    /// for a sleep.
    #[cfg(feature = "async")]
    pub(super) fn drive(&self) -> Driven {
        let mut state = self.lock();
        self.sleeper.cancel();
        let core = &mut state.core;
        let driven = if core.has_left() {
            Driven::Over
        } else if core.step() > 0 {
            Driven::Moved
        } else {
            core.finish_steps();
            self.sleeper.prepare();
            if core.has_news() {
                self.sleeper.cancel();
                Driven::Moved
            } else {
                Driven::Asleep
            }
        };
        self.release(state);
        driven
    }

    /// A thread that panicked in a call left nothing half-done that another could not go on with.
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Queue> Stepped for EndpointCore<Q> {
    fn step(&mut self) -> usize {
        Self::step(self)
    }

    fn finish_steps(&mut self) {
        Self::finish_steps(self);
    }

    fn wake_workers(&mut self) {
        Self::wake_workers(self);
    }

    fn has_news(&self) -> bool {
        Self::has_news(self)
    }

    fn has_ready(&self) -> bool {
        !self.readiness.is_empty()
    }

    fn has_tasks(&self) -> bool {
        Self::has_tasks(self)
    }

    fn take_wakers(&mut self) -> ArrayVec<Waker, WAKERS> {
        self.readiness.take_wakers()
    }

    #[cfg(feature = "async")]
    fn has_left(&self) -> bool {
        Self::has_left(self)
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p fourtuple --no-default-features --release loom`
#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::atomic::Ordering;

    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// Two rings, whose positions a real ring publishes with Release and reads with Acquire, as here; and how far each was taken in. The
    /// first is watched by an event loop, where there is one.
    struct Model {
        rings: Arc<[AtomicUsize; 2]>,
        taken: [usize; 2],
    }

    impl Model {
        fn waiting(&self, at: usize) -> usize {
            self.rings[at].load(Ordering::Acquire) - self.taken[at]
        }
    }

    impl Stepped for Model {
        fn step(&mut self) -> usize {
            let waiting = [0, 1].map(|at| self.waiting(at));
            for (taken, more) in self.taken.iter_mut().zip(waiting) {
                *taken += more;
            }
            waiting.iter().sum()
        }

        fn finish_steps(&mut self) {}

        fn wake_workers(&mut self) {}

        fn has_news(&self) -> bool {
            self.waiting(0) + self.waiting(1) > 0
        }

        fn has_ready(&self) -> bool {
            self.taken[0] > 0
        }

        fn has_tasks(&self) -> bool {
            false
        }

        fn take_wakers(&mut self) -> ArrayVec<Waker, WAKERS> {
            ArrayVec::new()
        }

        #[cfg(feature = "async")]
        fn has_left(&self) -> bool {
            false
        }
    }

    /// An endpoint, and a worker that tells its two connections one thing each, in two turns.
    fn told_twice() -> (Arc<Parking<Model>>, thread::JoinHandle<()>) {
        let rings = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let sleeper = Arc::new(Sleeper::new().unwrap());
        let model = Model {
            rings: Arc::clone(&rings),
            taken: [0; 2],
        };
        let parking = Arc::new(Parking::new(model, Arc::clone(&sleeper)));
        let worker = thread::spawn(move || {
            for ring in rings.iter() {
                ring.store(1, Ordering::Release);
                sleeper.wake_if_sleeping();
            }
        });
        (parking, worker)
    }

    /// A thread that waits for what one connection is told.
    fn wait_for(parking: &Parking<Model>, at: usize) {
        let told = parking.wait_until(NO_LIMIT, |model| (model.taken[at] > 0).then_some(()));
        assert_eq!(told, Some(()));
    }

    /// Three threads: every order with so many preemptions at most.
    fn bounded(preemptions: usize) -> loom::model::Builder {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model
    }

    #[test]
    fn loom_a_thread_that_waits_hears_what_its_connection_is_told() {
        bounded(3).check(|| {
            let (parking, worker) = told_twice();
            wait_for(&parking, 1);
            wait_for(&parking, 0);
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_of_two_threads_that_wait_each_hears_its_own_whoever_pumps() {
        bounded(2).check(|| {
            let (parking, worker) = told_twice();
            let other = {
                let parking = Arc::clone(&parking);
                thread::spawn(move || wait_for(&parking, 1))
            };
            wait_for(&parking, 0);
            other.join().unwrap();
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_an_event_loop_that_arms_takes_the_pumping_over_and_gives_it_back() {
        bounded(2).check(|| {
            let (parking, worker) = told_twice();
            let other = {
                let parking = Arc::clone(&parking);
                thread::spawn(move || wait_for(&parking, 1))
            };
            // As an event loop with the endpoint's descriptor: it looks, arms, waits, disarms.
            while !parking.with(|model| {
                model.step();
                model.taken[0] > 0
            }) {
                if parking.arm() {
                    parking.sleeper().wait(None, &[]);
                    parking.disarm();
                }
            }
            other.join().unwrap();
            worker.join().unwrap();
        });
    }
}
