//! Sleeping without missing a wake-up: the hand-shake between a thread that polls rings and those that push into them.
//!
//! ```text
//!   the side that sleeps                     the side that wakes
//!     prepare():  asleep = true                push into the ring
//!                 fence(SeqCst)      ◄──►      fence(SeqCst)
//!     look into every ring once more           asleep? ─► asleep = false, ring the bell
//!     nothing ─► wait()   else cancel()
//! ```
//!
//! One of the two fences comes first. If the sleeper's does, the pusher sees `asleep` and rings; if the pusher's does, the
//! sleeper's second look sees the message. While nobody sleeps, a push costs one fence and one load, and no syscall.
//!
//! A bell that rings late (the sleeper had cancelled, or its time was up) makes the next wait end at once: every wake-up
//! may be spurious, none is lost. The bell is an eventfd, so that a worker can wait for it and for its ports together.
//!
//! Who rings notes the time, so that the sleeper can tell how late it woke; that is a reading of the system's clock beside a
//! system call, and none where nobody sleeps.
//!
//! What is not here: when to sleep, and for how long.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};

pub(crate) use bell::SystemError;

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The bell rang, so long ago; `None` when it had rung before this sleep began.
    Rung(Option<std::time::Duration>),
    /// One of the other descriptors can be read, nobody knows since when.
    Readable,
    /// The time was up.
    TimeUp,
    /// A signal, or an error: look and decide again.
    Interrupted,
}

/// One thread that may sleep, as those see it that wake it.
#[derive(Debug)]
pub(crate) struct Sleeper {
    asleep: AtomicBool,
    bell: bell::Bell,
}

impl Sleeper {
    /// A thread that is awake.
    ///
    /// # Errors
    /// The process may open no more descriptors.
    pub(crate) fn new() -> Result<Self, SystemError> {
        Ok(Self {
            asleep: AtomicBool::new(false),
            bell: bell::Bell::new()?,
        })
    }

    /// About to sleep: look into every ring once more after this, then [`wait`](Self::wait) or [`cancel`](Self::cancel).
    pub(crate) fn prepare(&self) {
        self.bell.forget();
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence of `wake_if_sleeping` and with the one before `wake`.
        fence(Ordering::SeqCst);
    }

    /// The second look found something.
    pub(crate) fn cancel(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// After a push: wakes the thread if it sleeps, or is about to. `true` when that took a syscall.
    pub(crate) fn wake_if_sleeping(&self) -> bool {
        // Pairs with the fence of `prepare`.
        fence(Ordering::SeqCst);
        self.wake()
    }

    /// The same for a caller that has put a `SeqCst` fence between its pushes and this.
    pub(crate) fn wake(&self) -> bool {
        // The load keeps the line shared while nobody sleeps; the swap lets one of several wakers ring.
        let wakes = self.is_sleeping() && self.asleep.swap(false, Ordering::Relaxed);
        if wakes {
            self.bell.ring();
        }
        wakes
    }

    /// Sleeps, or is about to.
    pub(crate) fn is_sleeping(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }
}

#[cfg(not(loom))]
mod bell {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use arrayvec::ArrayVec;
    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

    use super::Woken;

    /// Why a bell could not be made.
    pub(crate) type SystemError = rustix::io::Errno;

    /// Descriptors that a thread can wait for beside its bell; more are not looked at.
    const MAX_OTHERS: usize = 15;

    #[derive(Debug)]
    pub(super) struct Bell {
        event: OwnedFd,
        made: Instant,
        /// When it rang last, in nanoseconds since `made`; 0: not since the sleeper last prepared to sleep. Only a measurement:
        /// no ordering hangs on it.
        rung_ns: AtomicU64,
    }

    impl Bell {
        pub(super) fn new() -> Result<Self, SystemError> {
            Ok(Self {
                event: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
                made: Instant::now(),
                rung_ns: AtomicU64::new(0),
            })
        }

        /// What rings from now on is new.
        pub(super) fn forget(&self) {
            self.rung_ns.store(0, Ordering::Relaxed);
        }

        pub(super) fn ring(&self) {
            self.rung_ns.store(self.age_ns().max(1), Ordering::Relaxed);
            // It fails only when the count is at its maximum; then the descriptor is readable anyway.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }

        fn age_ns(&self) -> u64 {
            self.made.elapsed().as_nanos() as u64
        }

        /// How long ago it rang.
        fn since_rung(&self) -> Option<Duration> {
            let rung = self.rung_ns.load(Ordering::Relaxed);
            (rung > 0).then(|| Duration::from_nanos(self.age_ns().saturating_sub(rung)))
        }
    }

    impl AsFd for super::Sleeper {
        /// Readable when it rang, until it is [silenced](super::Sleeper::silence).
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.bell.event.as_fd()
        }
    }

    impl super::Sleeper {
        /// Takes back what rang: for who waited for the descriptor elsewhere.
        pub(crate) fn silence(&self) {
            let mut count = [0; 8];
            // Nothing rang: then there is nothing to take.
            let _ = rustix::io::read(&self.bell.event, &mut count);
        }

        /// Sleeps until woken, until one of `others` is readable, or until the time is up (`None`: no limit).
        ///
        /// A signal ends it too, as does an error of `poll`: callers look and decide again.
        pub(crate) fn wait(&self, timeout: Option<Duration>, others: &[BorrowedFd<'_>]) -> Woken {
            let mut waited: ArrayVec<PollFd<'_>, { MAX_OTHERS + 1 }> = ArrayVec::new();
            waited.push(PollFd::new(&self.bell.event, PollFlags::IN));
            waited.extend(
                others
                    .iter()
                    .take(MAX_OTHERS)
                    .map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)),
            );
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let ready = poll(&mut waited, timeout.as_ref());
            self.cancel();
            let rung = waited.first().is_some_and(|bell| !bell.revents().is_empty());
            match ready {
                Err(_) => Woken::Interrupted,
                Ok(0) => Woken::TimeUp,
                Ok(_) if rung => {
                    let late = self.bell.since_rung();
                    self.silence();
                    Woken::Rung(late)
                }
                Ok(_) => Woken::Readable,
            }
        }
    }
}

/// Under loom the bell is a flag with a condition: a wake-up that is lost shows as a deadlock.
#[cfg(loom)]
mod bell {
    use std::os::fd::BorrowedFd;
    use std::time::Duration;

    use loom::sync::{Condvar, Mutex};

    use super::Woken;

    pub(crate) type SystemError = rustix::io::Errno;

    #[derive(Debug)]
    pub(super) struct Bell {
        rung: Mutex<bool>,
        ringing: Condvar,
    }

    impl Bell {
        pub(super) fn new() -> Result<Self, SystemError> {
            Ok(Self {
                rung: Mutex::new(false),
                ringing: Condvar::new(),
            })
        }

        pub(super) fn forget(&self) {}

        pub(super) fn ring(&self) {
            *self.rung.lock().unwrap() = true;
            self.ringing.notify_one();
        }
    }

    impl std::os::fd::AsFd for super::Sleeper {
        fn as_fd(&self) -> BorrowedFd<'_> {
            unreachable!("models wait without descriptors")
        }
    }

    impl super::Sleeper {
        pub(crate) fn silence(&self) {
            *self.bell.rung.lock().unwrap() = false;
        }

        pub(crate) fn wait(&self, _: Option<Duration>, _: &[BorrowedFd<'_>]) -> Woken {
            let mut rung = self.bell.rung.lock().unwrap();
            while !*rung {
                rung = self.bell.ringing.wait(rung).unwrap();
            }
            *rung = false;
            drop(rung);
            self.cancel();
            Woken::Rung(None)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(600));

    #[test]
    fn who_is_awake_is_not_rung_for() {
        let sleeper = Sleeper::new().unwrap();
        assert!(!sleeper.wake_if_sleeping());
        sleeper.prepare();
        sleeper.cancel();
        assert!(!sleeper.wake_if_sleeping());
    }

    #[test]
    fn a_wake_between_prepare_and_wait_ends_the_wait_at_once() {
        let sleeper = Sleeper::new().unwrap();
        sleeper.prepare();
        assert!(sleeper.wake_if_sleeping());
        assert!(!sleeper.wake_if_sleeping(), "one ring is enough");
        let before = Instant::now();
        let Woken::Rung(Some(late)) = sleeper.wait(LONG, &[]) else {
            panic!("it was woken, its time was not up");
        };
        assert!(late < Duration::from_secs(500), "{late:?} since it rang");
        assert!(before.elapsed() < Duration::from_secs(500));
        assert!(!sleeper.is_sleeping());
    }

    #[test]
    fn a_late_bell_makes_the_next_wait_spurious_and_only_that() {
        let sleeper = Sleeper::new().unwrap();
        sleeper.prepare();
        assert!(sleeper.wake_if_sleeping());
        sleeper.cancel();
        sleeper.prepare();
        assert_eq!(
            sleeper.wait(LONG, &[]),
            Woken::Rung(None),
            "it was awake when it rang: no delay to tell"
        );
        sleeper.prepare();
        assert_eq!(sleeper.wait(Some(Duration::ZERO), &[]), Woken::TimeUp);
        assert!(!sleeper.is_sleeping());
    }

    #[test]
    fn other_descriptors_end_the_wait() {
        use std::io::Write;
        use std::os::fd::AsFd;
        let sleeper = Sleeper::new().unwrap();
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
        writer.write_all(b"x").unwrap();
        sleeper.prepare();
        assert_eq!(sleeper.wait(None, &[reader.as_fd()]), Woken::Readable);
        assert!(!sleeper.is_sleeping());
    }
}

/// `RUSTFLAGS="--cfg loom" cargo test -p fourtuple --no-default-features --release loom`
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// Sleeps until `count` messages are in the ring, whose positions a real ring publishes with Release and reads with
    /// Acquire, as here.
    fn sleep_until(count: usize, ring: &AtomicUsize, sleeper: &Sleeper) {
        while ring.load(Ordering::Acquire) < count {
            sleeper.prepare();
            if ring.load(Ordering::Acquire) >= count {
                sleeper.cancel();
            } else {
                sleeper.wait(None, &[]);
            }
        }
    }

    fn bounded(preemptions: usize) -> loom::model::Builder {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model
    }

    #[test]
    fn loom_an_endpoint_that_pushes_wakes_the_worker() {
        loom::model(|| {
            let (ring, worker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Sleeper::new().unwrap()));
            let endpoint = {
                let (ring, worker) = (Arc::clone(&ring), Arc::clone(&worker));
                thread::spawn(move || {
                    ring.store(1, Ordering::Release);
                    worker.wake_if_sleeping();
                })
            };
            sleep_until(1, &ring, &worker);
            endpoint.join().unwrap();
        });
    }

    #[test]
    fn loom_an_endpoint_that_pops_wakes_a_worker_that_waits_for_room() {
        loom::model(|| {
            let room = Arc::new(AtomicUsize::new(0));
            let asks = Arc::new(AtomicBool::new(false));
            let worker = Arc::new(Sleeper::new().unwrap());
            let endpoint = {
                let (room, asks, worker) = (Arc::clone(&room), Arc::clone(&asks), Arc::clone(&worker));
                thread::spawn(move || {
                    // As `EndpointEnd::popped`.
                    room.store(1, Ordering::Release);
                    fence(Ordering::SeqCst);
                    if asks.load(Ordering::Relaxed) {
                        worker.wake_if_sleeping();
                    }
                })
            };
            // As `Slot::wait_for_room`, which asks before the worker prepares to sleep.
            asks.store(true, Ordering::Relaxed);
            sleep_until(1, &room, &worker);
            endpoint.join().unwrap();
        });
    }

    #[test]
    fn loom_two_endpoints_wake_one_worker() {
        // Three threads and four places: every order with at most two preemptions.
        bounded(2).check(|| {
            let rings = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let worker = Arc::new(Sleeper::new().unwrap());
            let endpoints = [0, 1].map(|at| {
                let (rings, worker) = (Arc::clone(&rings), Arc::clone(&worker));
                thread::spawn(move || {
                    rings[at].store(1, Ordering::Release);
                    worker.wake_if_sleeping();
                })
            });
            for ring in rings.iter() {
                sleep_until(1, ring, &worker);
            }
            endpoints.map(|endpoint| endpoint.join().unwrap());
        });
    }

    #[test]
    fn loom_a_worker_at_the_end_of_its_turn_wakes_endpoints_after_one_fence() {
        bounded(2).check(|| {
            let rings = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let endpoints = Arc::new([Sleeper::new().unwrap(), Sleeper::new().unwrap()]);
            let threads = [0, 1].map(|at| {
                let (rings, endpoints) = (Arc::clone(&rings), Arc::clone(&endpoints));
                thread::spawn(move || sleep_until(1, &rings[at], &endpoints[at]))
            });
            for ring in rings.iter() {
                ring.store(1, Ordering::Release);
            }
            fence(Ordering::SeqCst);
            for endpoint in endpoints.iter() {
                endpoint.wake();
            }
            threads.map(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn loom_both_sides_sleep_and_wake_each_other() {
        bounded(3).check(|| {
            let rings = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let sleepers = Arc::new([Sleeper::new().unwrap(), Sleeper::new().unwrap()]);
            let endpoint = {
                let (rings, sleepers) = (Arc::clone(&rings), Arc::clone(&sleepers));
                thread::spawn(move || {
                    rings[0].store(1, Ordering::Release);
                    sleepers[0].wake_if_sleeping();
                    sleep_until(1, &rings[1], &sleepers[1]);
                })
            };
            sleep_until(1, &rings[0], &sleepers[0]);
            rings[1].store(1, Ordering::Release);
            sleepers[1].wake_if_sleeping();
            endpoint.join().unwrap();
        });
    }

    #[test]
    fn loom_who_sees_that_the_other_side_left_sees_all_that_it_said_before() {
        // `WorkerEnd::leave` behind its last event; the endpoint looks at the flag first, and then into the ring. The same the other
        // way round: `Ties::endpoint_left` behind the last command.
        loom::model(|| {
            let ring = Arc::new(AtomicUsize::new(0));
            let left = Arc::new(AtomicBool::new(false));
            let endpoint = Arc::new(Sleeper::new().unwrap());
            let worker = {
                let (ring, left, endpoint) = (Arc::clone(&ring), Arc::clone(&left), Arc::clone(&endpoint));
                thread::spawn(move || {
                    ring.store(1, Ordering::Release);
                    left.store(true, Ordering::Release);
                    endpoint.wake_if_sleeping();
                })
            };
            loop {
                if left.load(Ordering::Acquire) {
                    assert_eq!(ring.load(Ordering::Acquire), 1);
                    break;
                }
                endpoint.prepare();
                if left.load(Ordering::Acquire) {
                    endpoint.cancel();
                } else {
                    endpoint.wait(None, &[]);
                }
            }
            worker.join().unwrap();
        });
    }

    #[test]
    fn loom_an_endpoint_that_waits_for_room_is_woken_when_the_worker_makes_some() {
        // The command ring is full. The endpoint says so (`wants_room`) before it sleeps, the worker looks after it popped:
        // one of the two sees the other.
        loom::model(|| {
            let room = Arc::new(AtomicUsize::new(0));
            let wants_room = Arc::new(AtomicBool::new(false));
            let endpoint = Arc::new(Sleeper::new().unwrap());
            let thread = {
                let (room, wants_room, endpoint) =
                    (Arc::clone(&room), Arc::clone(&wants_room), Arc::clone(&endpoint));
                thread::spawn(move || {
                    wants_room.store(true, Ordering::Relaxed);
                    sleep_until(1, &room, &endpoint);
                })
            };
            room.store(1, Ordering::Release);
            fence(Ordering::SeqCst);
            if wants_room.load(Ordering::Relaxed) {
                wants_room.store(false, Ordering::Relaxed);
                endpoint.wake();
            }
            thread.join().unwrap();
        });
    }
}
