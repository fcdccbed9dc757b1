//! The thread round a shard: reads the clock, turns, publishes, and sleeps when there is nothing to do.
//!
//! ```text
//!   loop:  turn(now) ─► clock ─► busy? ─► control ─► publish (≤ 1/ms) ─► nothing to do for long: sleep
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
use crate::idle::Sleeper;
use crate::shard::{Control, MAX_PORTS, Shard};
use crate::stats::Publisher;

/// Empty turns for so long, and an adaptive worker gives way to others.
const SPIN: Duration = Duration::from_micros(50);

/// Giving way for so long, and it sleeps.
const YIELD: Duration = Duration::from_micros(200);

/// Longest sleep with a port that can't wake anybody.
const NAP: Duration = Duration::from_millis(1);

/// Longest sleep at all: who asks whether workers live sees them turn.
const SLEEP: Duration = Duration::from_millis(250);

/// Numbers are published at most so often.
const PUBLISH: Duration = Duration::from_millis(1);

/// A worker before and while it runs.
pub(crate) struct Worker<Q: Queue, H: Handler<Q>, C: Clock> {
    pub(crate) shard: Shard<Q, H>,
    pub(crate) clock: C,
    pub(crate) control: rtrb::Consumer<Control<Q>>,
    pub(crate) publisher: Publisher,
    pub(crate) sleeper: Arc<Sleeper>,
    pub(crate) idle: Idle,
    pub(crate) stop: Arc<AtomicBool>,
}

impl<Q: Queue, H: Handler<Q>, C: Clock> Worker<Q, H, C> {
    /// Turns until told to stop, and a little longer if frames wait to be sent.
    pub(crate) fn run(mut self) {
        let mut now = self.now();
        let mut published = now;
        let mut idle_since = now;
        self.publish(now);
        while !self.stop.load(Ordering::Acquire) {
            while let Ok(message) = self.control.pop() {
                self.shard.work.control(message);
            }
            let deadline = self.shard.turn(now);
            let end = self.now();
            self.account(now, end);
            if self.shard.was_busy() {
                idle_since = end;
            }
            if end.since(published) >= PUBLISH {
                published = end;
                self.publish(end);
            }
            now = end;
            if self.idle == Idle::Adaptive && deadline > now {
                now = self.rest(now, idle_since, deadline);
            }
        }
        self.publish(now);
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.now_ns())
    }

    fn account(&mut self, start: Instant, end: Instant) {
        let span = end.since(start).as_nanos() as u64;
        let busy = self.shard.was_busy();
        let counters = &mut self.shard.work.counters;
        counters.turns += 1;
        if busy {
            counters.busy_turns += 1;
            counters.busy_ns += span;
            counters.longest_turn_ns = counters.longest_turn_ns.max(span);
        }
    }

    fn publish(&mut self, now: Instant) {
        let ports = self.shard.work.ports.iter().map(|port| port.queue.stats());
        let ports: ArrayVec<PortStats, MAX_PORTS> = ports.collect();
        let counters = self.shard.counters();
        self.publisher.publish(counters, &ports, now);
    }

    /// Spins, then gives way, then sleeps: until the deadline, a message, or a frame where the port can tell.
    fn rest(&mut self, now: Instant, idle_since: Instant, deadline: Instant) -> Instant {
        let idle = now.since(idle_since);
        if idle < SPIN {
            std::hint::spin_loop();
            return now;
        }
        if idle < YIELD {
            std::thread::yield_now();
            return self.now();
        }
        self.sleeper.prepare();
        if self.shard.has_work() || !self.control.is_empty() || self.stop.load(Ordering::Acquire) {
            self.sleeper.cancel();
            return now;
        }
        // What is published now stands while the worker sleeps.
        self.publish(now);
        let ports = &self.shard.work.ports;
        let fds: ArrayVec<BorrowedFd<'_>, MAX_PORTS> =
            ports.iter().filter_map(|port| port.queue.wait_fd()).collect();
        let most = if fds.len() == ports.len() { SLEEP } else { NAP };
        let span = deadline.since(now).min(most);
        self.sleeper.wait(Some(span), &fds);
        let woken = self.now();
        let counters = &mut self.shard.work.counters;
        counters.sleeps += 1;
        counters.idle_ns += woken.since(now).as_nanos() as u64;
        woken
    }
}
