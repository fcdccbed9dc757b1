//! Hand-offs by the million with both sides on threads of their own: no event, no command and no wake-up is lost.
//!
//! Few of them here; `scripts/soak handoff` asks for 10⁸ under load and for 10⁶ rounds in which both sides sleep. Nothing looks at a
//! clock but to tell a wake-up that was lost from one that takes long.

use std::thread;
use std::time::{Duration, Instant};

use super::model::{House, LIMITS};
use crate::ConnId;
use crate::handoff::testing::TestQueue;
use crate::handoff::{Chunk, Endpoint, EndpointLimits, Interest, Stream, StreamError, Token};
use crate::idle::Woken;

/// Longer than anything takes on any machine: who waits for so long was not woken.
const LOST: Duration = Duration::from_secs(120);

/// What the environment asks for, or few.
fn asked(variable: &str, few: u64) -> u64 {
    let asked = std::env::var(variable).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// Tells how far a long run has come.
fn progress(done: u64, total: u64, of: &str) {
    if total >= 1_000_000 && done.is_multiple_of(total / 20) {
        eprintln!("{done} of {total} {of}");
    }
}

/// Sends back what comes on its connections, by one wait for all of them, until the last has ended.
fn echo(endpoint: &Endpoint<TestQueue>, streams: &[Stream<TestQueue>]) {
    let mut held: Vec<Option<Chunk<TestQueue>>> = streams.iter().map(|_| None).collect();
    let mut open = vec![true; streams.len()];
    for (at, stream) in streams.iter().enumerate() {
        stream.watch(Token(at as u64), Interest::BOTH);
    }
    let mut ready = Vec::with_capacity(2);
    while open.contains(&true) {
        assert!(endpoint.poll(&mut ready, LOST) > 0, "a wake-up was lost");
        for told in &ready {
            let at = told.token.0 as usize;
            open[at] = open[at] && !is_over(&streams[at], &mut held[at]);
        }
    }
}

/// Sends on what came, as far as there is room for it.
fn is_over(stream: &Stream<TestQueue>, held: &mut Option<Chunk<TestQueue>>) -> bool {
    loop {
        let chunk = match held
            .take()
            .map_or_else(|| stream.try_recv(), |chunk| Ok(Some(chunk)))
        {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return true,
            Err(why) => {
                assert_eq!(why, StreamError::NotYet);
                return false;
            }
        };
        if let Err(unsent) = stream.send_chunk(chunk, Duration::ZERO) {
            assert_eq!(unsent.why, StreamError::NotYet);
            *held = Some(unsent.chunk);
            return false;
        }
    }
}

/// One connection: events told, and those that came back.
struct Told {
    id: ConnId,
    fed: u64,
    back: u64,
}

impl Told {
    /// A few more, so that rings are full now and then.
    fn feed(&mut self, house: &mut House) {
        let worker = &mut house.workers[usize::from(self.id.worker())];
        while self.fed - self.back < 24
            && worker.conn(self.id).inbound.len() < 4
            && worker.arrive(self.id, &self.fed.to_be_bytes())
        {
            self.fed += 1;
        }
    }

    /// What came back, in order.
    fn check(&mut self, house: &mut House, mut each: impl FnMut()) {
        let worker = &mut house.workers[usize::from(self.id.worker())];
        worker.order.clear();
        let conn = worker.conn(self.id);
        conn.told.clear();
        assert_eq!(conn.sent.len() % 8, 0);
        for number in conn.sent.chunks_exact(8) {
            assert_eq!(number, self.back.to_be_bytes());
            self.back += 1;
            each();
        }
        conn.sent.clear();
    }
}

#[test]
fn no_hand_off_is_lost_under_load() {
    let total = asked("SOAK_HANDOFFS", 100_000);
    let mut house = House::new(2);
    let roomy = EndpointLimits {
        events: 256,
        commands: 256,
        lent: 64,
        ..LIMITS
    };
    let mut connections = Vec::new();
    let threads = [LIMITS, roomy].map(|limits| {
        let endpoint = house.endpoint(&limits);
        let streams: Vec<_> = [0, 1, 1].map(|worker| house.accepted(worker, &endpoint)).into();
        connections.extend(streams.iter().map(|stream| Told {
            id: stream.id(),
            fed: 0,
            back: 0,
        }));
        thread::spawn(move || {
            echo(&endpoint, &streams);
            (endpoint, streams)
        })
    });
    let (mut done, mut moved_at) = (0, Instant::now());
    while done < total {
        let before = done;
        for connection in &mut connections {
            connection.feed(&mut house);
        }
        house.turn();
        for connection in &mut connections {
            connection.check(&mut house, || {
                done += 1;
                progress(done, total, "hand-offs");
            });
        }
        if done > before {
            moved_at = Instant::now();
        } else {
            assert!(moved_at.elapsed() < LOST, "a wake-up was lost");
            thread::yield_now();
        }
    }
    for connection in &connections {
        house.workers[usize::from(connection.id.worker())]
            .conn(connection.id)
            .peer_closed = true;
    }
    while !threads.iter().all(thread::JoinHandle::is_finished) {
        house.turn();
        thread::yield_now();
    }
    for thread in threads {
        let (endpoint, streams) = thread.join().unwrap();
        house.settle(&endpoint);
        drop(streams);
        house.settle(&endpoint);
    }
    for connection in &mut connections {
        connection.check(&mut house, || {});
        assert_eq!(connection.fed, connection.back, "all came back");
    }
    house.check_pools(0);
}

#[test]
fn no_wake_up_is_lost_when_both_sides_sleep() {
    let rounds = asked("SOAK_PARKS", 2_000);
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    let echo = thread::spawn(move || {
        for round in 0..rounds {
            let chunk = stream.recv(LOST).expect("a wake-up was lost").unwrap();
            assert_eq!(chunk[..], round.to_be_bytes());
            stream.send_chunk(chunk, LOST).expect("a wake-up was lost");
        }
        (endpoint, stream)
    });
    for round in 0..rounds {
        assert!(house.workers[0].arrive(id, &round.to_be_bytes()));
        let worker = &mut house.workers[0];
        loop {
            worker.turn();
            if !worker.conn(id).sent.is_empty() {
                break;
            }
            // As `Worker::rest`, but at once.
            worker.sleeper.prepare();
            if worker.hub.has_work() {
                worker.sleeper.cancel();
            } else {
                let woken = worker.sleeper.wait(Some(LOST), &[]);
                assert_ne!(woken, Woken::TimeUp, "a wake-up was lost");
            }
        }
        assert_eq!(worker.conn(id).sent, round.to_be_bytes());
        worker.order.clear();
        let conn = worker.conn(id);
        conn.sent.clear();
        conn.told.clear();
        progress(round + 1, rounds, "rounds of sleeping and waking");
    }
    let (endpoint, stream) = echo.join().unwrap();
    house.settle(&endpoint);
    drop(stream);
    house.settle(&endpoint);
    house.check_pools(0);
}
