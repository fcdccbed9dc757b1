//! The shard with its clock, and calls that block.
//!
//! packetdrill has two threads: one plays the script, and one makes those calls that the script expects to block. The script's
//! thread is the one that lets time pass. A blocked call sleeps really; whenever something has happened the script's thread lets
//! the sleepers look, and waits until they have, so that a call returns at its very microsecond of virtual time.
//!
//! Between calls the shard is settled: nothing is left that it would do at this instant.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::c_int;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fourtuple::stepped::{Stepped, SteppedOptions};
use fourtuple::{ConnId, Connection, Instant};
use fourtuple_nic_mem::MemQueue;

use crate::app::App;
use crate::sockets::Socket;
use crate::streams::End;

/// What a system call gives: a value, or errno.
pub(crate) type Answer<T> = Result<T, c_int>;

/// A TCP as packetdrill sees it.
#[derive(Debug)]
pub(crate) struct Stack {
    state: Mutex<State>,
    changed: Condvar,
}

/// Everything, under one lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) stepped: Stepped<App>,
    pub(crate) options: SteppedOptions,
    pub(crate) now: Instant,
    /// By their descriptors.
    pub(crate) sockets: BTreeMap<c_int, Socket>,
    pub(crate) ends: HashMap<ConnId, End>,
    pub(crate) listeners: u16,
    /// When the shard wants its next turn.
    next: Instant,
    sent: VecDeque<(Instant, Vec<u8>)>,
    sleepers: Sleepers,
}

/// Calls that sleep, and how they are told to look.
#[derive(Debug, Default)]
struct Sleepers {
    asleep: usize,
    /// Changes when all are to look.
    round: u64,
    /// Those that have not looked yet in this round.
    to_look: usize,
    /// The earliest time at which one gives up.
    until: Option<Instant>,
    /// Calls so far: who sleeps sees by it whether anybody is there to let time pass.
    calls: u64,
}

thread_local! {
    /// When this thread's last blocked call returned: what it asks next is what time that was.
    static RETURNED: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Stack {
    pub(crate) fn new(options: SteppedOptions) -> std::io::Result<Self> {
        let mut state = State {
            stepped: Stepped::new(&options, App::default())?,
            now: options.started,
            options,
            sockets: BTreeMap::new(),
            ends: HashMap::new(),
            listeners: 0,
            next: Instant::ZERO,
            sent: VecDeque::new(),
            sleepers: Sleepers::default(),
        };
        state.settle();
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// A call that never waits.
    pub(crate) fn now<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = act(&mut state);
        state.settle();
        drop(self.all_look(state));
        answer
    }

    /// A call that tries until it has an answer. When it may not wait, or no longer: `late`.
    pub(crate) fn wait<T>(
        &self,
        limit: Limit,
        late: Answer<T>,
        mut attempt: impl FnMut(&mut State) -> Option<Answer<T>>,
    ) -> Answer<T> {
        let mut state = self.lock();
        let until = match limit {
            Limit::None => None,
            Limit::Now => Some(state.now),
            Limit::For(span) => Some(state.now + span),
        };
        let (mut asked, mut slept) = (false, false);
        let answer = loop {
            let answer = attempt(&mut state);
            state.settle();
            let over = until.is_some_and(|until| state.now >= until);
            if answer.is_some() || over {
                break answer.unwrap_or(late);
            }
            if std::mem::take(&mut asked) {
                self.has_looked(&mut state);
            }
            (state, asked) = self.sleep(state, until);
            slept = true;
        };
        if asked {
            self.has_looked(&mut state);
        } else {
            state = self.all_look(state);
        }
        if slept {
            RETURNED.set(Some(state.now));
        }
        answer
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, span: Duration) {
        let state = self.lock();
        let target = state.now + span;
        drop(self.advance(state, target));
    }

    /// What time it is. It passes a little by being asked for, because packetdrill spins on it.
    pub(crate) fn time(&self) -> Instant {
        RETURNED.take().unwrap_or_else(|| {
            let state = self.lock();
            let target = state.now + A_LOOK_AT_THE_CLOCK;
            self.advance(state, target).now
        })
    }

    /// An IP packet for the shard.
    pub(crate) fn inject(&self, packet: &[u8]) -> Answer<()> {
        let taken = self.now(|state| state.stepped.inject(packet));
        if taken { Ok(()) } else { Err(libc::ENOBUFS) }
    }

    /// The next IP packet of the shard, for which time passes if it has to; `None` when none will come.
    pub(crate) fn sent(&self) -> Option<(Instant, Vec<u8>)> {
        let mut state = self.lock();
        let last = state.now + PATIENCE;
        while state.sent.is_empty() && state.next <= last {
            let next = state.next.max(state.now + A_LOOK_AT_THE_CLOCK);
            state = self.advance(state, next);
        }
        state.sent.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sleepers.calls += 1;
        state
    }

    /// Moves time to `target`, through everything that is due until then.
    fn advance<'a>(&'a self, mut state: MutexGuard<'a, State>, target: Instant) -> MutexGuard<'a, State> {
        loop {
            let given_up = state.sleepers.until.filter(|until| *until > state.now);
            let next = state.next.min(given_up.unwrap_or(Instant::FAR_FUTURE));
            if next > target {
                break;
            }
            state.now = next.max(state.now);
            state.settle();
            state = self.all_look(state);
        }
        state.now = target.max(state.now);
        state
    }

    /// Everybody who sleeps looks whether there is an answer now.
    fn all_look<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.sleepers.asleep == 0 {
            return state;
        }
        state.sleepers.round += 1;
        state.sleepers.to_look = state.sleepers.asleep;
        self.changed.notify_all();
        while state.sleepers.to_look > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn has_looked(&self, state: &mut State) {
        state.sleepers.to_look = state.sleepers.to_look.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Sleeps until asked to look; `false`: nobody asked. When for a while nobody calls at all, there is nobody who lets time
    /// pass: then it passes here.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> (MutexGuard<'a, State>, bool) {
        let round = state.sleepers.round;
        state.sleepers.asleep += 1;
        state.sleepers.until = until;
        let asked = loop {
            let calls = state.sleepers.calls;
            let (woken, waited) = self
                .changed
                .wait_timeout(state, NOBODY_CALLS)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if state.sleepers.round != round {
                break true;
            }
            let next = state.next.min(until.unwrap_or(Instant::FAR_FUTURE));
            if waited.timed_out() && state.sleepers.calls == calls && next < Instant::FAR_FUTURE {
                state.now = next.max(state.now);
                state.settle();
                break false;
            }
        };
        state.sleepers.asleep -= 1;
        state.sleepers.until = None;
        (state, asked)
    }
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As long as it takes.
    None,
    /// Not at all.
    Now,
    /// So much virtual time.
    For(Duration),
}

impl State {
    /// Turns until there is nothing left to do at this instant.
    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS {
            self.next = self.stepped.turn(self.now);
            let busy = self.stepped.was_busy();
            let events = self
                .stepped
                .call(self.now, |app, _| std::mem::take(&mut app.events));
            let quiet = events.is_empty();
            for event in events {
                self.note(event);
            }
            let now = self.now;
            self.sent
                .extend(self.stepped.take(now).into_iter().map(|packet| (now, packet)));
            if !busy && quiet && self.next > self.now {
                return;
            }
        }
        self.next = self.next.max(self.now + A_TICK);
    }

    /// Does something to a connection; `None` when it is gone.
    pub(crate) fn with<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Connection<'_, MemQueue>) -> R,
    ) -> Option<R> {
        self.stepped.call(self.now, |_, worker| {
            worker.with(id, |connection, ()| act(connection)).ok()
        })
    }
}

/// How far time goes by being looked at.
const A_LOOK_AT_THE_CLOCK: Duration = Duration::from_micros(1);

/// How long a packet is waited for: longer than any timer of TCP that sends one (keep-alive, two hours).
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// Real time without any call after which a blocked one lets time pass itself. packetdrill waits a second for its end.
const NOBODY_CALLS: Duration = Duration::from_millis(400);

/// Turns at one instant: many more than any call or packet needs.
const TURNS: usize = 10_000;

/// The shard's timers have this resolution.
const A_TICK: Duration = Duration::from_millis(1);
