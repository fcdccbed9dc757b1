//! Waiting for many connections at once: what a thread asked to be told of, and the list of what it has not heard yet.
//!
//! Told are changes (edges): a stream is listed once when bytes come, when room comes after a send found none, when it ends;
//! and again only when more of it happens. Who was told and left something is not told of that again, unless it
//! [watches](crate::Stream::watch) anew, which lists what is so at that moment. Each source stands on the list once at most,
//! so the list is never longer than what there is to watch.
//!
//! Tasks wait in the same places by their wakers, one for each direction of a stream; they are woken when the endpoint's lock
//! is released.

use std::collections::VecDeque;
use std::ops::BitOr;
use std::task::Waker;

use arrayvec::ArrayVec;
use fourtuple_nic::Queue;

use super::core::EndpointCore;
use crate::ConnId;
use crate::listener::ListenerId;

/// A name that the application gives to what it watches, and gets back with what is told of it.
///
/// ```
/// let first = fourtuple::Token(0);
/// assert_ne!(first, fourtuple::Token(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What to be told of. The end of a connection is told in any case.
///
/// ```
/// use fourtuple::Interest;
/// assert_eq!(Interest::READABLE | Interest::WRITABLE, Interest::BOTH);
/// assert!(Interest::BOTH.is_writable() && !Interest::READABLE.is_writable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Bytes, or the end of file.
    pub const READABLE: Self = Self(READABLE.0);
    /// Room to send, after a send found too little.
    pub const WRITABLE: Self = Self(WRITABLE.0);
    /// Both.
    pub const BOTH: Self = Self(READABLE.0 | WRITABLE.0);

    /// Bytes are asked for.
    pub fn is_readable(self) -> bool {
        self.0 & READABLE.0 != 0
    }

    /// Room is asked for.
    pub fn is_writable(self) -> bool {
        self.0 & WRITABLE.0 != 0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What became of one thing that is watched, since it was told last.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn serve(endpoint: &fourtuple::Endpoint, streams: &[fourtuple::Stream]) -> Result<(), fourtuple::StreamError> {
/// let mut ready = Vec::with_capacity(64);
/// endpoint.poll(&mut ready, Duration::from_secs(1));
/// for told in &ready {
///     let stream = &streams[told.token.0 as usize];
///     // To the last of it: what is left is not told again.
///     while let Ok(Some(chunk)) = stream.try_recv() {
///         println!("{} bytes from {}", chunk.len(), stream.peer());
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The name that it was given.
    pub token: Token,
    /// A stream: bytes or the end of file came. A listener: a connection waits for an accept.
    pub readable: bool,
    /// A stream: there is room to send. A connection that is being opened: the answer is there.
    pub writable: bool,
    /// It has ended in both directions, or could not be opened: the next call says why. It is told as readable and writable, too.
    pub closed: bool,
}

/// A set of things that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct News(u8);

pub(super) const READABLE: News = News(1);
pub(super) const WRITABLE: News = News(2);
/// The end is all of it.
pub(super) const CLOSED: News = News(7);

impl News {
    pub(super) fn of(readable: bool, writable: bool, closed: bool) -> Self {
        let one = |is: bool, news: Self| if is { news.0 } else { 0 };
        Self(one(readable, READABLE) | one(writable, WRITABLE) | one(closed, CLOSED))
    }

    fn is_closed(self) -> bool {
        self.0 & !(READABLE.0 | WRITABLE.0) != 0
    }

    /// What of it somebody with this interest hears.
    fn heard_by(self, interest: Interest) -> Self {
        let interest = if self.is_closed() { CLOSED.0 } else { interest.0 };
        Self(self.0 & interest)
    }
}

impl BitOr for News {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Something that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stream(ConnId),
    Listener(ListenerId),
    /// By its token.
    Connect(u32),
    /// Connections that others hand over.
    Handed,
}

/// Who waits for one source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    asked: Option<(Token, Interest)>,
    /// Not told yet.
    news: News,
    listed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Watch {
    /// A task waits for bytes; the last one counts. Gives the waker of the one before, to be dropped without the lock.
    #[must_use]
    pub(super) fn wait_to_read(&mut self, waker: &Waker) -> Option<Waker> {
        keep(&mut self.reader, waker)
    }

    /// A task waits for room; else as [`wait_to_read`](Self::wait_to_read).
    #[must_use]
    pub(super) fn wait_to_write(&mut self, waker: &Waker) -> Option<Waker> {
        keep(&mut self.writer, waker)
    }

    /// Nobody is told any more. Tasks that wait are woken to find out.
    fn end(&mut self, woken: &mut Vec<Waker>) {
        self.asked = None;
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }
}

fn keep(place: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match place {
        Some(kept) if kept.will_wake(waker) => None,
        Some(_) | None => place.replace(waker.clone()),
    }
}

/// Tasks that wait for one thing that any of them may get.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Vec<(u64, Waker)>,
    /// The ticket that was given last.
    #[cfg(feature = "async")]
    last: u64,
}

/// Waiters that nobody forgets share this one.
const NAMELESS: u64 = 0;

impl Waiters {
    /// A task waits until it is woken; the same task waits once.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.list.iter().any(|(_, task)| task.will_wake(waker)) {
            self.list.push((NAMELESS, waker.clone()));
        }
    }

    /// A future waits until it is woken, or [forgotten](Self::forget) by its ticket. Gives the waker that it waited with before, to
    /// be dropped without the lock: it may be the last of a task that owns streams.
    #[cfg(feature = "async")]
    #[must_use]
    pub(super) fn wait_as(&mut self, ticket: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let ticket = *ticket.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.list.iter_mut().find(|(waits, _)| *waits == ticket) {
            Some((_, task)) if task.will_wake(waker) => None,
            Some((_, task)) => Some(std::mem::replace(task, waker.clone())),
            None => {
                self.list.push((ticket, waker.clone()));
                None
            }
        }
    }

    /// A future was dropped: nothing of it stays here. Gives its waker, to be dropped without the lock.
    #[cfg(feature = "async")]
    #[must_use]
    pub(super) fn forget(&mut self, ticket: u64) -> Option<Waker> {
        let at = self.list.iter().position(|(waits, _)| *waits == ticket)?;
        Some(self.list.swap_remove(at).1)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them are to be woken.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waker> {
        self.list.drain(..).map(|(_, waker)| waker)
    }
}

/// Tasks that are woken before the lock is taken again for the others.
pub(super) const WAKERS: usize = 16;

/// What an endpoint has to tell.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    list: VecDeque<Source>,
    /// Entries of what is gone, at most.
    stale: usize,
    /// To be woken when the lock is released.
    wakers: Vec<Waker>,
    /// Tasks that try again after the next step: what they wait for has no name.
    after_step: Vec<Waker>,
}

impl Readiness {
    /// Something happened to a source.
    #[inline]
    pub(super) fn tell(&mut self, source: Source, watch: &mut Watch, news: News) {
        if watch.asked.is_some() || watch.reader.is_some() || watch.writer.is_some() {
            self.tell_who_waits(source, watch, news);
        }
    }

    fn tell_who_waits(&mut self, source: Source, watch: &mut Watch, news: News) {
        if news.0 & READABLE.0 != 0 {
            self.wakers.extend(watch.reader.take());
        }
        if news.0 & WRITABLE.0 != 0 {
            self.wakers.extend(watch.writer.take());
        }
        let Some((_, interest)) = watch.asked else { return };
        let heard = news.heard_by(interest);
        if heard == News::default() {
            return;
        }
        watch.news = watch.news | heard;
        if !std::mem::replace(&mut watch.listed, true) {
            self.list.push_back(source);
        }
    }

    /// Tells from now on, and at once what is so already.
    pub(super) fn watch(
        &mut self,
        source: Source,
        watch: &mut Watch,
        token: Token,
        interest: Interest,
        now: News,
    ) {
        watch.asked = Some((token, interest));
        watch.news = News::default();
        self.tell(source, watch, now);
    }

    /// Tells no thread of it any more; tasks wait on.
    pub(super) fn unwatch(&mut self, watch: &mut Watch) {
        watch.asked = None;
        watch.news = News::default();
        // It may still be listed: whoever comes to it finds nothing to tell.
        self.stale += usize::from(watch.listed);
    }

    /// The source is gone.
    pub(super) fn forget(&mut self, watch: &mut Watch) {
        self.stale += usize::from(watch.listed);
        watch.end(&mut self.wakers);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn has_wakers(&self) -> bool {
        !self.wakers.is_empty()
    }

    /// Tasks to be woken, now that the lock is about to be released: some of them, so that their list keeps its memory.
    pub(super) fn take_wakers(&mut self) -> ArrayVec<Waker, WAKERS> {
        let count = self.wakers.len().min(WAKERS);
        self.wakers.drain(..count).collect()
    }

    /// A task could not begin to connect: something has to move first.
    #[cfg(feature = "async")]
    pub(super) fn wake_after_step(&mut self, waker: &Waker) {
        if !self.after_step.iter().any(|task| task.will_wake(waker)) {
            self.after_step.push(waker.clone());
        }
    }

    pub(super) fn tell_stepped(&mut self) {
        self.wakers.append(&mut self.after_step);
    }

    /// A task that waits to read is to look again, though nothing came that it could read.
    pub(super) fn wake_reader(&mut self, watch: &mut Watch) {
        self.wakers.extend(watch.reader.take());
    }

    pub(super) fn wake_later(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.wakers.extend(wakers);
    }
}

impl<Q: Queue> EndpointCore<Q> {
    /// Moves what is to be told into `ready`, as much as it has capacity for. `None`: nothing.
    pub(super) fn tell_ready(&mut self, ready: &mut Vec<Ready>) -> Option<usize> {
        while ready.len() < ready.capacity()
            && let Some(source) = self.readiness.list.pop_front()
        {
            let Some(watch) = self.watch_of(source) else {
                self.readiness.stale = self.readiness.stale.saturating_sub(1);
                continue;
            };
            watch.listed = false;
            let news = std::mem::take(&mut watch.news);
            let Some((token, _)) = watch.asked.filter(|_| news != News::default()) else {
                self.readiness.stale = self.readiness.stale.saturating_sub(1);
                continue;
            };
            ready.push(Ready {
                token,
                readable: news.0 & READABLE.0 != 0,
                writable: news.0 & WRITABLE.0 != 0,
                closed: news.is_closed(),
            });
        }
        (!ready.is_empty()).then_some(ready.len())
    }

    pub(super) fn watch(&mut self, id: ConnId, token: Token, interest: Interest) {
        let stopped = self.has_stopped(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            // Who asks for room waits for it from the first send on that finds none.
            connection.blocked |= connection.credit <= 0;
            let now = connection.news(stopped);
            let source = Source::Stream(id);
            self.readiness
                .watch(source, &mut connection.watch, token, interest, now);
        }
    }

    pub(super) fn unwatch(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            self.readiness.unwatch(&mut connection.watch);
        }
    }

    /// Takes entries of what is gone off the list, when they are most of it: a program that watches, closes and never polls.
    pub(super) fn sweep_ready(&mut self) {
        if self.readiness.stale < 64 || self.readiness.stale * 2 < self.readiness.list.len() {
            return;
        }
        for _ in 0..self.readiness.list.len() {
            let Some(source) = self.readiness.list.pop_front() else {
                break;
            };
            let keep = self.watch_of(source).is_some_and(|watch| {
                watch.listed = watch.news != News::default();
                watch.listed
            });
            if keep {
                self.readiness.list.push_back(source);
            }
        }
        self.readiness.stale = 0;
    }

    fn watch_of(&mut self, source: Source) -> Option<&mut Watch> {
        match source {
            Source::Stream(id) => self
                .connections
                .get_mut(&id)
                .map(|connection| &mut connection.watch),
            Source::Listener(id) => self.accepting_mut(id).map(|accepting| &mut accepting.watch),
            Source::Connect(token) => self.connects.get_mut(&token).map(|opening| &mut opening.watch),
            Source::Handed => Some(&mut self.handed.watch),
        }
    }

    /// The worker is gone, and whoever waits for its connections is to find out.
    pub(super) fn tell_stopped(&mut self, worker: usize) {
        let all = self.ends.iter().all(|end| end.stopped);
        let Self {
            connections,
            connects,
            accepting,
            readiness,
            ..
        } = self;
        for (id, connection) in connections {
            if usize::from(id.worker()) == worker {
                readiness.tell(Source::Stream(*id), &mut connection.watch, CLOSED);
            }
        }
        for (token, opening) in connects {
            if opening.waits_for(worker) {
                readiness.tell(Source::Connect(*token), &mut opening.watch, CLOSED);
            }
        }
        if all {
            for accepting in accepting {
                accepting.tell(readiness, CLOSED);
            }
            self.tell_handed(CLOSED);
        }
    }
}
