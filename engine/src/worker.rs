//! The thread round a shard: reads the clock, turns, publishes, and sleeps when there is nothing to do.
//!
//! ```text
//!   held:  control, until listeners and what else the engine begins with are in place
//!   loop:  control ─► turn(now) ─► clock ─► publish news (≤ 1/ms) ─► nothing to do for long: sleep
//!   stop:  turns on while frames are not sent (≤ 100 ms)
//! ```
//!
//! One clock read a turn: the end of a turn is the start of the next. A turn's whole span is busy time when the turn did
//! something, and nobody's when it did not.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use fourtuple_nic::{Clock, PortStats, Queue};
use fourtuple_wire::Instant;

use crate::config::Idle;
use crate::handler::Handler;
use crate::idle::{Sleeper, Woken};
use crate::port_number::MAX_PORTS;
use crate::shard::{Control, Shard};
use crate::stats::Publisher;

/// Empty turns for so long, and an adaptive worker gives way to others.
const SPIN: Duration = Duration::from_micros(50);

/// Giving way for so long, and it sleeps.
const YIELD: Duration = Duration::from_micros(200);

/// Longest sleep with a port that can't wake anybody, and while something is owed that does not move.
const NAP: Duration = Duration::from_millis(1);

/// Longest sleep at all: who asks whether workers live sees them turn.
const SLEEP: Duration = Duration::from_millis(250);

/// Numbers are published at most so often.
const PUBLISH: Duration = Duration::from_millis(1);

/// Numbers of a worker that does nothing are published so often: a nap of a millisecond is not to cost a block each.
const PULSE: Duration = Duration::from_millis(100);

/// How long a worker that is told to stop goes on while frames of its own are not sent: the last RSTs of a drain, which nobody
/// would send again.
const LINGER: Duration = Duration::from_millis(100);

/// How often a worker that is not to take frames yet looks whether it is told something.
const HELD: Duration = Duration::from_micros(200);

/// A worker before and while it runs.
pub(crate) struct Worker<Q: Queue, H: Handler<Q>, C: Clock> {
    pub(crate) shard: Shard<Q, H>,
    pub(crate) clock: C,
    pub(crate) control: rtrb::Consumer<Control<Q>>,
    pub(crate) publisher: Publisher,
    pub(crate) sleeper: Arc<Sleeper>,
    pub(crate) idle: Idle,
    /// Frames may be taken: all that was to be in place before the first one is.
    pub(crate) open: Arc<AtomicBool>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What a worker knows of its last turns.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// The end of the last turn, which is the start of the next.
    now: Instant,
    /// The last time that it did something.
    busy_at: Instant,
    published_at: Instant,
    /// Something happened since then.
    news: bool,
}

impl<Q: Queue, H: Handler<Q>, C: Clock> Worker<Q, H, C> {
    /// Turns until told to stop, and a little longer while frames wait to be sent.
    pub(crate) fn run(mut self) {
        while !self.open.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
            self.obey();
            std::thread::sleep(HELD);
        }
        let now = self.now();
        let mut course = Course {
            now,
            busy_at: now,
            published_at: now,
            news: false,
        };
        self.publish(&mut course);
        while !self.stop.load(Ordering::Acquire) {
            course.news |= self.obey();
            let deadline = self.turn(&mut course);
            if course.is_to_publish(PUBLISH) {
                self.publish(&mut course);
            }
            if self.idle == Idle::Adaptive && !self.shard.was_busy() {
                self.rest(&mut course, deadline);
            }
        }
        self.linger(&mut course);
        self.publish(&mut course);
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.now_ns())
    }

    /// Does what the engine says; `true` when it said something.
    fn obey(&mut self) -> bool {
        let mut told = false;
        while let Ok(message) = self.control.pop() {
            self.shard.work.control(message);
            told = true;
        }
        told
    }

    /// One turn; returns when the next is due.
    fn turn(&mut self, course: &mut Course) -> Instant {
        let deadline = self.shard.turn(course.now);
        let end = self.now();
        let span = end.since(course.now).as_nanos() as u64;
        let busy = self.shard.was_busy();
        let counters = &mut self.shard.work.counters;
        counters.turns += 1;
        if busy {
            counters.busy_turns += 1;
            counters.busy_ns += span;
            counters.longest_turn_ns = counters.longest_turn_ns.max(span);
            course.busy_at = end;
            course.news = true;
        }
        course.now = end;
        deadline
    }

    fn publish(&mut self, course: &mut Course) {
        let ports = self.shard.work.ports.iter().map(|port| port.queue.stats());
        let ports: ArrayVec<PortStats, MAX_PORTS> = ports.collect();
        let counters = self.shard.counters();
        self.publisher.publish(counters, &ports, course.now);
        course.published_at = course.now;
        course.news = false;
    }

    /// Spins, then gives way, then sleeps: until the deadline, a message, or a frame where the port can tell.
    fn rest(&mut self, course: &mut Course, deadline: Instant) {
        let idle = course.now.since(course.busy_at);
        if idle < SPIN {
            std::hint::spin_loop();
            return;
        }
        if idle < YIELD {
            std::thread::yield_now();
            course.now = self.now();
            return;
        }
        self.sleeper.prepare();
        if self.shard.has_work() || !self.control.is_empty() || self.stop.load(Ordering::Acquire) {
            self.sleeper.cancel();
            return;
        }
        // What is published now stands while the worker sleeps.
        if course.is_to_publish(Duration::ZERO) {
            self.publish(course);
        }
        let now = course.now;
        // Due already, and for so long nothing came of it: a port takes no frames, or a pool is empty. Nobody rings for that.
        let stuck = deadline <= now || self.shard.has_held_commands();
        let ports = &self.shard.work.ports;
        let fds: ArrayVec<BorrowedFd<'_>, MAX_PORTS> =
            ports.iter().filter_map(|port| port.queue.wait_fd()).collect();
        let most = if fds.len() == ports.len() && !stuck {
            SLEEP
        } else {
            NAP
        };
        let span = if stuck { NAP } else { deadline.since(now).min(most) };
        let woken = self.sleeper.wait(Some(span), &fds);
        course.now = self.now();
        let counters = &mut self.shard.work.counters;
        counters.sleeps += 1;
        counters.idle_ns += course.now.since(now).as_nanos() as u64;
        let late = match woken {
            Woken::TimeUp => Some(course.now.since(now + span)),
            Woken::Rung(late) => late,
            Woken::Readable | Woken::Interrupted => None,
        };
        if let Some(late) = late {
            counters.wakeup_delay.count(late.as_nanos() as u64);
        }
    }

    /// Turns on while frames wait for the port, or for a turn in which they are built; not for ever.
    fn linger(&mut self, course: &mut Course) {
        let until = course.now + LINGER;
        while self.shard.has_unsent() && course.now < until {
            self.turn(course);
            if !self.shard.was_busy() {
                std::thread::yield_now();
            }
        }
    }
}

impl Course {
    /// News of at least this age, or the pulse.
    fn is_to_publish(&self, age: Duration) -> bool {
        let since = self.now.since(self.published_at);
        since >= PULSE || (self.news && since >= age)
    }
}
