//! The application's side of a listener: credits out, connections in (D9).
//!
//! An endpoint posts credits to every worker; a worker delivers a connection only against one. Connections that came and
//! wait for an accept here count against the credits that may be posted, so an endpoint that does not accept gets no more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_wire::FourTuple;

use super::core::EndpointCore;
use super::endpoint::{Endpoint, settled};
use super::protocol::Command;
use super::readiness::{Interest, News, READABLE, Readiness, Source, Token, Waiters, Watch};
use super::stream::{Stream, StreamError};
use crate::ConnId;
use crate::error::ApiMisuse;
use crate::listener::ListenerId;

/// Credits that an endpoint keeps posted unless told otherwise, all workers together.
const CREDITS: u32 = 64;

/// A listening port whose connections go to endpoints. Copies are the same listener; any number of endpoints may accept from
/// it, and each connection goes to the one with the fewest.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn greet(endpoint: &fourtuple::Endpoint, listener: fourtuple::Listener) -> Result<(), fourtuple::StreamError> {
/// let stream = listener.with_credits(8).accept(endpoint, Duration::from_secs(60))?;
/// stream.send_all(b"hello\n", Duration::from_secs(1))?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    id: ListenerId,
    port: u16,
    credits: u32,
}

impl Listener {
    /// With backlog 0, only a waiting accept posts a credit.
    pub(crate) fn new(id: ListenerId, port: u16, backlog: u32) -> Self {
        Self {
            id,
            port,
            credits: if backlog == 0 { 0 } else { CREDITS },
        }
    }

    /// Keeps up to `credits` posted in each endpoint that accepts from this value, all workers together (default 64); with 0,
    /// as with a backlog of 0, a connection is asked for only while [`accept`](Self::accept) waits.
    pub fn with_credits(mut self, credits: u32) -> Self {
        self.credits = credits;
        self
    }

    /// Its number.
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection, for this endpoint; waits at most for `timeout`.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when the time is up; [`ApiMisuse::Stopped`] when the engine has stopped.
    pub fn accept<Q: Queue>(
        &self,
        endpoint: &Endpoint<Q>,
        timeout: Duration,
    ) -> Result<Stream<Q>, StreamError> {
        let shared = &endpoint.shared;
        shared.with(|core| core.accepting(self).waiting += 1);
        let accepted = shared.wait_until(timeout, |core| settled(core.accept(self.id)));
        shared.with(|core| {
            core.accepting(self).waiting -= 1;
            core.post_credits();
        });
        let (id, tuple) = accepted.unwrap_or(Err(StreamError::NotYet))?;
        Ok(Stream::new(Arc::clone(shared), id, tuple))
    }

    /// A connection that is there already. With no credits posted beforehand (see [`with_credits`](Self::with_credits)) there
    /// is none unless an accept waited in vain.
    ///
    /// # Errors
    /// [`StreamError::NotYet`] when there is none; [`ApiMisuse::Stopped`] when the engine has stopped.
    pub fn try_accept<Q: Queue>(&self, endpoint: &Endpoint<Q>) -> Result<Stream<Q>, StreamError> {
        let shared = &endpoint.shared;
        shared.with(|core| {
            core.accepting(self);
        });
        let accepted = shared.wait_until(Duration::ZERO, |core| settled(core.accept(self.id)));
        let (id, tuple) = accepted.unwrap_or(Err(StreamError::NotYet))?;
        Ok(Stream::new(Arc::clone(shared), id, tuple))
    }

    /// Has [`Endpoint::poll`] tell as [`readable`](super::Ready::readable) when connections came for this endpoint: accept
    /// until there is none.
    ///
    /// It asks for connections by itself only with credits posted beforehand (see [`with_credits`](Self::with_credits)).
    pub fn watch<Q: Queue>(&self, endpoint: &Endpoint<Q>, token: Token) {
        endpoint.shared.with(|core| {
            core.accepting(self);
            core.watch_listener(self.id, token);
            core.post_credits();
        });
    }

    /// Ends what [`watch`](Self::watch) began.
    pub fn unwatch<Q: Queue>(&self, endpoint: &Endpoint<Q>) {
        endpoint.shared.with(|core| core.unwatch_listener(self.id));
    }

    /// The next connection for this endpoint, for a task: its waker is called when one came. It moves no messages: somebody
    /// has to [step](Endpoint::step).
    ///
    /// # Errors
    /// [`ApiMisuse::Stopped`] when the engine has stopped or the endpoint was dropped.
    pub fn poll_accept<Q: Queue>(
        &self,
        endpoint: &Endpoint<Q>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream<Q>, StreamError>> {
        let shared = &endpoint.shared;
        let accepted = shared.with(|core| {
            core.accepting(self);
            match core.accept(self.id) {
                Err(StreamError::NotYet) => {
                    core.accepting(self).tasks.wait(cx.waker());
                    core.post_credits();
                    Poll::Pending
                }
                settled => Poll::Ready(settled),
            }
        });
        accepted.map_ok(|(id, tuple)| Stream::new(Arc::clone(shared), id, tuple))
    }
}

/// What an endpoint has posted for a listener and got.
pub(super) struct Accepting {
    listener: ListenerId,
    /// To be kept posted, all workers together.
    credits: u32,
    /// Accepts that wait now.
    waiting: u32,
    ready: VecDeque<ConnId>,
    /// By worker: credits that are out.
    posted: Vec<u32>,
    /// By worker: connections in `ready`.
    came: Vec<u32>,
    pub(super) watch: Watch,
    pub(super) tasks: Waiters,
}

impl Accepting {
    fn new(listener: &Listener, workers: usize) -> Self {
        Self {
            listener: listener.id,
            credits: listener.credits,
            waiting: 0,
            ready: VecDeque::new(),
            posted: vec![0; workers],
            came: vec![0; workers],
            watch: Watch::default(),
            tasks: Waiters::default(),
        }
    }

    /// Something happened that who waits is to know. All tasks are woken: one that gave up would keep it from the others.
    pub(super) fn tell(&mut self, readiness: &mut Readiness, news: News) {
        readiness.wake_later(self.tasks.take());
        readiness.tell(Source::Listener(self.listener), &mut self.watch, news);
    }

    /// Credits that a worker is to be given more (or, when negative, to give back), of `fair` that one listener may have there.
    fn lack(&self, worker: usize, fair: u32) -> i64 {
        let (posted, came) = (i64::from(self.posted[worker]), i64::from(self.came[worker]));
        if self.credits == 0 {
            return i64::from(self.waiting) + self.tasks.len() as i64 - posted;
        }
        let share = i64::from(self.credits.div_ceil(self.posted.len() as u32).min(fair));
        if posted > share {
            return share - posted;
        }
        let lack = (share - posted - came).max(0);
        // In batches: a command for each connection would double an endpoint's commands.
        if lack * 4 < share { 0 } else { lack }
    }
}

impl<Q: Queue> EndpointCore<Q> {
    pub(super) fn accepting(&mut self, listener: &Listener) -> &mut Accepting {
        let at = self
            .accepting
            .iter()
            .position(|accepting| accepting.listener == listener.id);
        let at = at.unwrap_or_else(|| {
            self.accepting.push(Accepting::new(listener, self.ends.len()));
            self.accepting.len() - 1
        });
        let accepting = &mut self.accepting[at];
        accepting.credits = listener.credits;
        accepting
    }

    pub(super) fn accepting_mut(&mut self, listener: ListenerId) -> Option<&mut Accepting> {
        self.accepting
            .iter_mut()
            .find(|accepting| accepting.listener == listener)
    }

    fn watch_listener(&mut self, listener: ListenerId, token: Token) {
        let stopped = self.ends.iter().all(|end| end.stopped);
        let Self {
            accepting, readiness, ..
        } = self;
        let found = accepting
            .iter_mut()
            .find(|accepting| accepting.listener == listener);
        if let Some(accepting) = found {
            let now = News::of(!accepting.ready.is_empty(), false, stopped);
            let source = Source::Listener(listener);
            readiness.watch(source, &mut accepting.watch, token, Interest::READABLE, now);
        }
    }

    fn unwatch_listener(&mut self, listener: ListenerId) {
        let Self {
            accepting, readiness, ..
        } = self;
        let found = accepting
            .iter_mut()
            .find(|accepting| accepting.listener == listener);
        if let Some(accepting) = found {
            readiness.unwatch(&mut accepting.watch);
        }
    }

    pub(super) fn accept(&mut self, listener: ListenerId) -> Result<(ConnId, FourTuple), StreamError> {
        let at = self
            .accepting
            .iter()
            .position(|accepting| accepting.listener == listener);
        if let Some(accepting) = at.and_then(|at| self.accepting.get_mut(at)) {
            while let Some(id) = accepting.ready.pop_front() {
                if let Some(came) = accepting.came.get_mut(usize::from(id.worker())) {
                    *came = came.saturating_sub(1);
                }
                if let Some(connection) = self.connections.get(&id) {
                    return Ok((id, connection.tuple));
                }
            }
        }
        if self.ends.iter().all(|end| end.stopped) {
            return Err(StreamError::Misuse(ApiMisuse::Stopped));
        }
        Err(StreamError::NotYet)
    }

    pub(super) fn on_accepted(&mut self, worker: usize, id: ConnId, listener: ListenerId) {
        let at = self
            .accepting
            .iter()
            .position(|accepting| accepting.listener == listener);
        let Some(accepting) = at.and_then(|at| self.accepting.get_mut(at)) else {
            // A worker delivers only what was asked for.
            self.close(id);
            return;
        };
        accepting.posted[worker] = accepting.posted[worker].saturating_sub(1);
        accepting.came[worker] += 1;
        accepting.ready.push_back(id);
        accepting.tell(&mut self.readiness, READABLE);
    }

    /// Brings the credits at every worker to what they are to be, as far as rings have room.
    pub(super) fn post_credits(&mut self) {
        // A part of the ring is for connects.
        let most = self.limits.opened() - self.limits.opened() / 4;
        let Self {
            ends,
            accepting,
            owed_opened,
            ..
        } = self;
        // Those that were there first would have all, and the others' connections would never be accepted.
        let fair = (most / accepting.len().max(1) as u32).max(1);
        for accepting in accepting {
            for (worker, end) in ends.iter_mut().enumerate() {
                let lack = accepting.lack(worker, fair);
                if lack == 0 || end.stopped {
                    continue;
                }
                if lack > 0 {
                    let count = (lack as u32).min(most.saturating_sub(owed_opened[worker]));
                    let credit = Command::Credit(accepting.listener, count);
                    if count > 0 && end.push(credit).is_ok() {
                        accepting.posted[worker] += count;
                        owed_opened[worker] += count;
                    }
                } else {
                    let count = lack.unsigned_abs() as u32;
                    if end.push(Command::Withdraw(accepting.listener, count)).is_ok() {
                        accepting.posted[worker] -= count;
                        owed_opened[worker] = owed_opened[worker].saturating_sub(count);
                    }
                }
            }
        }
    }
}
