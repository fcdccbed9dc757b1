//! Who watches many connections is told of each change once, by whatever way it waits.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::model::{House, LIMITS, web};
use crate::error::{ApiMisuse, ConnectionError};
use crate::handoff::testing::TestQueue;
use crate::handoff::{Endpoint, EndpointLimits, Interest, Opened, Ready, Stream, StreamError, Token};

const FOREVER: Duration = Duration::MAX;

/// What is told now: token, readable, writable, closed.
fn told(endpoint: &Endpoint<TestQueue>) -> Vec<(u64, bool, bool, bool)> {
    let mut ready = Vec::with_capacity(8);
    endpoint.poll(&mut ready, Duration::ZERO);
    ready
        .iter()
        .map(|ready: &Ready| (ready.token.0, ready.readable, ready.writable, ready.closed))
        .collect()
}

/// Sends until no more is taken; how much.
fn fill(stream: &Stream<TestQueue>) -> usize {
    let mut sent = 0;
    while let Ok(count) = stream.try_send(&[7; 32]) {
        sent += count;
    }
    sent
}

/// Sends what a task can until it has to wait; how much.
fn fill_as(task: &Task, stream: &Stream<TestQueue>) -> usize {
    let mut sent = 0;
    while let Poll::Ready(Ok(count)) = stream.poll_send(&mut task.context(), &[7; 32]) {
        sent += count;
    }
    sent
}

#[test]
fn each_change_of_a_watched_stream_is_told_once() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let [one, other, unwatched] = [(); 3].map(|()| house.accepted(0, &endpoint));
    one.watch(Token(1), Interest::READABLE);
    other.watch(Token(2), Interest::READABLE);
    assert_eq!(told(&endpoint), []);

    for stream in [&other, &one, &unwatched] {
        house.workers[0].arrive(stream.id(), b"bytes");
        house.turn();
    }
    assert_eq!(told(&endpoint).len(), 2, "the two that are watched");
    assert_eq!(told(&endpoint), [], "once");
    house.workers[0].arrive(one.id(), b"more");
    house.turn();
    assert_eq!(
        told(&endpoint),
        [(1, true, false, false)],
        "again when more comes, also unread"
    );
    one.watch(Token(11), Interest::READABLE);
    assert_eq!(
        told(&endpoint),
        [(11, true, false, false)],
        "who watches anew hears of what is there"
    );
    while one.try_recv().is_ok() {}
    house.workers[0].conn(one.id()).peer_closed = true;
    house.turn();
    assert_eq!(told(&endpoint), [(11, true, false, false)], "the end of file");
    house.workers[0].conn(one.id()).ended = Some(Ok(()));
    house.turn();
    assert_eq!(told(&endpoint), [(11, true, true, true)], "the end is all of it");
    other.unwatch();
    house.workers[0].conn(other.id()).ended = Some(Err(ConnectionError::Reset));
    house.turn();
    assert_eq!(told(&endpoint), [], "nobody asks any more");
    other.watch(Token(3), Interest::WRITABLE);
    assert_eq!(
        told(&endpoint),
        [(3, true, true, true)],
        "an end is told whatever is asked for"
    );
}

#[test]
fn room_is_told_after_a_send_found_none_and_not_before() {
    let mut house = House::new(1);
    house.workers[0].credit = 128;
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    stream.watch(Token(1), Interest::WRITABLE);
    assert_eq!(told(&endpoint), [(1, false, true, false)], "there is room now");
    assert!(stream.try_send(b"little").is_ok());
    house.settle(&endpoint);
    assert_eq!(told(&endpoint), [], "nobody lacked room");
    assert!(fill(&stream) > 0);
    assert_eq!(told(&endpoint), []);
    house.settle(&endpoint);
    assert_eq!(told(&endpoint), [(1, false, true, false)]);
    assert!(fill(&stream) > 0, "and there is");
}

#[test]
fn who_lacks_what_all_share_is_told_one_after_the_other() {
    for limits in [
        EndpointLimits { blanks: 1, ..LIMITS },
        EndpointLimits {
            commands: 2,
            ..LIMITS
        },
    ] {
        let mut house = House::new(1);
        house.workers[0].credit = 100_000;
        let endpoint = house.endpoint(&limits);
        let streams: Vec<_> = (0..4).map(|_| house.accepted(0, &endpoint)).collect();
        house.settle(&endpoint);
        for (number, stream) in (0..).zip(&streams) {
            stream.watch(Token(number), Interest::WRITABLE);
        }
        assert_eq!(told(&endpoint).len(), 4, "at first there is room");
        for stream in &streams {
            fill(stream);
        }
        let mut heard = BTreeMap::new();
        // Each turn has some for a few: those that take it make the others wait no longer than that.
        for _ in 0..40 {
            house.turn();
            for (token, _, writable, _) in told(&endpoint) {
                assert!(writable);
                *heard.entry(token).or_insert(0) += fill(&streams[token as usize]);
            }
        }
        assert_eq!(heard.len(), 4, "{limits:?}: {heard:?}");
        assert!(heard.values().all(|sent| *sent >= 64), "{heard:?}");
    }
}

#[test]
fn listeners_and_connects_are_told_with_the_streams() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    web().watch(&endpoint, Token(80));
    house.turn();
    let connecting = [1u16, 2].map(|port| {
        let connecting = endpoint.start_connect(([10, 0, 0, 9], port).into()).unwrap();
        connecting.watch(Token(u64::from(port)));
        connecting
    });
    let id = house.workers[0].handshake();
    house.turn();
    assert_eq!(told(&endpoint), [(80, true, false, false)]);
    assert_eq!(web().try_accept(&endpoint).unwrap().id(), id);
    assert_eq!(web().try_accept(&endpoint).unwrap_err(), StreamError::NotYet);

    let asked = std::mem::take(&mut house.workers[0].connects);
    let (index, first) = (asked[0].0, asked[0].1);
    let worker = &mut house.workers[0];
    let id = worker.handshake();
    worker.accept_queue.clear();
    worker.conn(id).owner = index;
    let opened = Opened::Connected {
        id,
        tuple: super::model::tuple(id),
        token: first,
        credit: 10,
    };
    let failed = Opened::ConnectFailed {
        token: asked[1].1,
        why: ConnectionError::Refused,
    };
    assert!(worker.hub.try_opened(index, opened).is_ok());
    assert!(worker.hub.try_opened(index, failed).is_ok());
    assert_eq!(
        told(&endpoint),
        [(1, false, true, false), (2, true, true, true)],
        "each when it is answered, and whether it failed"
    );
    assert_eq!(connecting[0].try_finish().unwrap().id(), id);
    assert_eq!(
        connecting[1].try_finish().unwrap_err(),
        StreamError::Connection(ConnectionError::Refused)
    );
    web().unwatch(&endpoint);
    house.workers[0].handshake();
    house.turn();
    assert_eq!(told(&endpoint), []);
}

#[test]
fn what_does_not_fit_comes_next_time() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let streams: Vec<_> = (0..5).map(|_| house.accepted(0, &endpoint)).collect();
    for (number, stream) in (0..).zip(&streams) {
        stream.watch(Token(number), Interest::READABLE);
        house.workers[0].arrive(stream.id(), b"1");
    }
    house.turn();
    let mut ready = Vec::with_capacity(2);
    let mut all = Vec::new();
    while endpoint.poll(&mut ready, Duration::ZERO) > 0 {
        assert!(ready.len() <= 2);
        all.extend(ready.iter().map(|ready| ready.token.0));
    }
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4]);
}

#[test]
fn who_never_polls_fills_no_memory() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let kept = house.accepted(0, &endpoint);
    kept.watch(Token(0), Interest::BOTH);
    for number in 1..500 {
        let stream = house.accepted(0, &endpoint);
        stream.watch(Token(number), Interest::BOTH);
        drop(stream);
        house.settle(&endpoint);
    }
    let listed = endpoint.shared.with(|core| core.readiness.len());
    assert!(listed < 200, "{listed} entries for one stream");
    assert_eq!(told(&endpoint), [(0, false, true, false)]);
}

#[test]
fn a_stopped_worker_closes_what_is_watched() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    stream.watch(Token(1), Interest::READABLE);
    web().watch(&endpoint, Token(80));
    let connecting = endpoint.start_connect(([10, 0, 0, 9], 1).into()).unwrap();
    connecting.watch(Token(2));
    assert_eq!(told(&endpoint), []);
    house.workers.clear();
    let mut heard = told(&endpoint);
    heard.sort_unstable();
    assert_eq!(
        heard,
        [
            (1, true, true, true),
            (2, true, true, true),
            (80, true, true, true)
        ]
    );
    assert_eq!(
        stream.try_recv().unwrap_err(),
        StreamError::Misuse(ApiMisuse::Stopped)
    );
    assert_eq!(
        connecting.try_finish().unwrap_err(),
        StreamError::Misuse(ApiMisuse::Stopped)
    );
}

#[test]
fn a_thread_serves_many_streams_by_one_wait() {
    const STREAMS: usize = 3;
    const MESSAGES: u32 = 200;
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let streams = [0, 1, 1].map(|worker| house.accepted(worker, &endpoint));
    let ids = [0, 1, 2].map(|at: usize| streams[at].id());
    let read = Arc::new(AtomicUsize::new(0));
    let reader = {
        let read = Arc::clone(&read);
        thread::spawn(move || {
            for (number, stream) in (0..).zip(&streams) {
                stream.watch(Token(number), Interest::READABLE);
            }
            let (mut open, mut ready) = (STREAMS, Vec::with_capacity(2));
            while open > 0 {
                assert!(
                    endpoint.poll(&mut ready, FOREVER) > 0,
                    "it waits until there is something"
                );
                for told in &ready {
                    loop {
                        match streams[told.token.0 as usize].try_recv() {
                            Ok(Some(chunk)) => {
                                read.fetch_add(chunk.len(), Ordering::SeqCst);
                            }
                            Ok(None) => {
                                open -= 1;
                                streams[told.token.0 as usize].unwatch();
                                break;
                            }
                            Err(why) => {
                                assert_eq!(why, StreamError::NotYet);
                                break;
                            }
                        }
                    }
                }
            }
            (endpoint, streams)
        })
    };
    let mut fed = [0; STREAMS];
    while !reader.is_finished() {
        for (at, id) in ids.iter().enumerate() {
            let worker = &mut house.workers[usize::from(id.worker())];
            if fed[at] < MESSAGES && worker.conn(*id).inbound.is_empty() {
                worker.arrive(*id, b"12345678");
                fed[at] += 1;
            }
            worker.conn(*id).peer_closed = fed[at] == MESSAGES;
        }
        house.turn();
        thread::yield_now();
    }
    reader.join().unwrap();
    assert_eq!(read.load(Ordering::SeqCst), STREAMS * MESSAGES as usize * 8);
}

/// The descriptor can be read now.
fn rings(endpoint: &Endpoint<TestQueue>) -> bool {
    let mut waited = [PollFd::from_borrowed_fd(endpoint.as_fd(), PollFlags::IN)];
    poll(&mut waited, Some(&Timespec::default())).unwrap() == 1
}

#[test]
fn an_event_loop_waits_for_the_descriptor() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    stream.watch(Token(1), Interest::READABLE);
    house.settle(&endpoint);
    house.workers[0].arrive(stream.id(), b"1");
    house.turn();
    assert!(!endpoint.arm(), "something is there: step first");
    endpoint.step();
    assert!(!endpoint.arm(), "what is ready is not told: poll first");
    assert_eq!(told(&endpoint).len(), 1);
    assert!(endpoint.arm());
    assert!(!rings(&endpoint));
    house.workers[0].arrive(stream.id(), b"2");
    house.turn();
    assert!(rings(&endpoint));
    endpoint.disarm();
    assert!(!rings(&endpoint), "the signal is taken off");
    assert_eq!(told(&endpoint).len(), 1);
    house.workers[0].arrive(stream.id(), b"3");
    house.turn();
    assert!(!rings(&endpoint), "who is not armed is not rung for");
    assert_eq!(told(&endpoint).len(), 1);
    while let Ok(Some(chunk)) = stream.try_recv() {
        // Its buffer comes home by the endpoint's step: that rings, too.
        assert!(endpoint.arm());
        drop(chunk);
        assert!(rings(&endpoint));
        endpoint.disarm();
        endpoint.step();
    }
}

#[test]
fn threads_that_wait_leave_the_bell_to_an_event_loop_and_take_it_back() {
    let mut house = House::new(1);
    let endpoint = Arc::new(house.endpoint(&LIMITS));
    let [watched, read] = [(); 2].map(|()| house.accepted(0, &endpoint));
    watched.watch(Token(1), Interest::READABLE);
    let (watched_id, read_id) = (watched.id(), read.id());
    let reader = thread::spawn(move || {
        for _ in 0..50 {
            let chunk = read.recv(FOREVER).unwrap().unwrap();
            assert_eq!(&chunk[..], b"read");
        }
        read
    });
    let looper = {
        let endpoint = Arc::clone(&endpoint);
        thread::spawn(move || {
            let mut count = 0;
            let mut ready = Vec::with_capacity(4);
            while count < 50 {
                endpoint.poll(&mut ready, Duration::ZERO);
                while let Ok(Some(chunk)) = watched.try_recv() {
                    assert_eq!(&chunk[..], b"watched");
                    count += 1;
                }
                if count < 50 && endpoint.arm() {
                    let mut waited = [PollFd::from_borrowed_fd(endpoint.as_fd(), PollFlags::IN)];
                    let _ = poll(&mut waited, None);
                    endpoint.disarm();
                }
            }
            watched
        })
    };
    let mut fed = [0; 2];
    while !(reader.is_finished() && looper.is_finished()) {
        for (at, (id, bytes)) in [(watched_id, &b"watched"[..]), (read_id, b"read")]
            .into_iter()
            .enumerate()
        {
            if fed[at] < 50 && house.workers[0].conn(id).inbound.is_empty() {
                house.workers[0].arrive(id, bytes);
                fed[at] += 1;
            }
        }
        house.turn();
        thread::yield_now();
    }
    drop((reader.join().unwrap(), looper.join().unwrap()));
    house.settle(&endpoint);
    house.check_pools(0);
}

/// A task that counts how often it was woken, and calls into the endpoint when it is.
struct Task {
    woken: Arc<Count>,
    waker: Waker,
}

#[derive(Default)]
struct Count {
    times: AtomicU32,
    endpoint: std::sync::Mutex<Option<Arc<Endpoint<TestQueue>>>>,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::SeqCst);
        if let Some(endpoint) = &*self.endpoint.lock().unwrap() {
            // As an executor that polls at once: the lock is free.
            endpoint.connections();
        }
    }
}

impl Task {
    fn new(endpoint: Option<Arc<Endpoint<TestQueue>>>) -> Self {
        let woken = Arc::new(Count {
            endpoint: std::sync::Mutex::new(endpoint),
            ..Count::default()
        });
        let waker = Waker::from(Arc::clone(&woken));
        Self { woken, waker }
    }

    fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn times(&self) -> u32 {
        self.woken.times.load(Ordering::SeqCst)
    }
}

#[test]
fn tasks_are_woken_for_what_they_wait_for() {
    let mut house = House::new(1);
    house.workers[0].credit = 128;
    let endpoint = Arc::new(house.endpoint(&LIMITS));
    let task = |_: &str| Task::new(Some(Arc::clone(&endpoint)));
    let (accepts, reads, writes, flushes) = (task("a"), task("r"), task("w"), task("f"));

    assert!(web().poll_accept(&endpoint, &mut accepts.context()).is_pending());
    house.turn();
    house.workers[0].handshake();
    house.turn();
    endpoint.step();
    assert_eq!(accepts.times(), 1);
    let Poll::Ready(Ok(stream)) = web().poll_accept(&endpoint, &mut accepts.context()) else {
        panic!("it was woken for a connection");
    };

    assert!(stream.poll_recv(&mut reads.context()).is_pending());
    assert!(
        stream
            .poll_recv_into(&mut reads.context(), &mut [0; 8])
            .is_pending()
    );
    assert!(
        stream.poll_flushed(&mut flushes.context()).is_ready(),
        "nothing was sent"
    );
    house.workers[0].arrive(stream.id(), b"bytes");
    house.turn();
    endpoint.step();
    assert_eq!((reads.times(), writes.times()), (1, 0));
    let mut into = [0; 8];
    let read = stream.poll_recv_into(&mut reads.context(), &mut into);
    assert_eq!((read, &into[..5]), (Poll::Ready(Ok(5)), &b"bytes"[..]));

    assert!(fill_as(&writes, &stream) > 0);
    assert_eq!(writes.times(), 0);
    house.settle(&endpoint);
    assert_eq!((reads.times(), writes.times()), (1, 1));
    assert!(stream.try_send(b"last").is_ok());
    assert!(stream.poll_flushed(&mut flushes.context()).is_pending());
    house.settle(&endpoint);
    assert_eq!(flushes.times(), 1);
    assert!(stream.poll_flushed(&mut flushes.context()).is_ready());

    house.workers[0].arrive(stream.id(), b"chunk");
    house.settle(&endpoint);
    let mut chunk = stream.try_recv().unwrap();
    assert!(
        stream
            .poll_send_chunk(&mut writes.context(), &mut chunk)
            .is_ready()
    );
    assert!(chunk.is_none());

    assert!(stream.poll_recv(&mut reads.context()).is_pending());
    house.workers[0].conn(stream.id()).ended = Some(Err(ConnectionError::Reset));
    house.turn();
    endpoint.step();
    assert_eq!(reads.times(), 2, "the end wakes");
    let why = StreamError::Connection(ConnectionError::Reset);
    assert!(matches!(stream.poll_recv(&mut reads.context()), Poll::Ready(Err(error)) if error == why));
}

/// A task that nobody but its waker holds, and that owns a stream.
struct Owning(std::sync::Mutex<Option<Stream<TestQueue>>>);

impl Wake for Owning {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_task_that_goes_with_its_replaced_waker_may_own_streams() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let [watched, owned] = [0, 0].map(|worker| house.accepted(worker, &endpoint));
    let connecting = endpoint.start_connect(([10, 0, 0, 9], 1).into()).unwrap();
    let also_owned = house.accepted(0, &endpoint);
    let ids = [owned.id(), also_owned.id()];
    let [first, second] = [owned, also_owned].map(|stream| {
        let task = Arc::new(Owning(std::sync::Mutex::new(Some(stream))));
        Waker::from(task)
    });
    let later = Task::new(None);
    assert!(watched.poll_recv(&mut Context::from_waker(&first)).is_pending());
    assert!(
        connecting
            .poll_finish(&mut Context::from_waker(&second))
            .is_pending()
    );
    drop((first, second));
    // The last of each goes here, and closes a stream of the very endpoint.
    assert!(watched.poll_recv(&mut later.context()).is_pending());
    assert!(connecting.poll_finish(&mut later.context()).is_pending());
    house.settle(&endpoint);
    for id in ids {
        assert!(house.workers[0].conn(id).gone.is_some());
    }
}

#[test]
fn a_dropped_endpoint_wakes_all_its_tasks() {
    let mut house = House::new(1);
    house.workers[0].credit = 64;
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let connecting = endpoint.start_connect(([10, 0, 0, 9], 1).into()).unwrap();
    let tasks = [(); 4].map(|()| Task::new(None));
    assert!(stream.poll_recv(&mut tasks[0].context()).is_pending());
    fill_as(&tasks[1], &stream);
    assert!(connecting.poll_finish(&mut tasks[2].context()).is_pending());
    assert!(web().poll_accept(&endpoint, &mut tasks[3].context()).is_pending());
    drop(endpoint);
    assert_eq!(tasks.each_ref().map(Task::times), [1, 1, 1, 1]);
    let stopped = StreamError::Misuse(ApiMisuse::Stopped);
    assert!(matches!(stream.poll_recv(&mut tasks[0].context()), Poll::Ready(Err(why)) if why == stopped));
    assert!(
        matches!(stream.poll_send(&mut tasks[1].context(), b"1"), Poll::Ready(Err(why)) if why == stopped)
    );
    assert!(
        matches!(connecting.poll_finish(&mut tasks[2].context()), Poll::Ready(Err(why)) if why == stopped)
    );
}
