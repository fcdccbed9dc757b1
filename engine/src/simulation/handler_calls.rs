//! What a handler is called for, and what becomes of its panics: timers come once and on time, and a panic in any call costs its
//! connection alone (D12).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::Instant;

use super::handlers::{Client, Errand};
use super::{Plan, World};
use crate::error::ConnectionError;
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// Sets its timer anew each time, now earlier, now later, and notes when it is called.
struct Timed {
    /// Draws.
    state: u64,
    /// When it was to be called, and when it was.
    called: Arc<Mutex<Vec<(Instant, Instant)>>>,
}

#[derive(Default)]
struct Due {
    at: Option<Instant>,
    /// It was taken back, and is not set again.
    taken_back: bool,
    calls: u32,
    peer_closed: bool,
}

/// Calls after which a connection whose peer has closed is closed, too.
const CALLS: u32 = 5;

impl Timed {
    fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % below
    }

    fn set(&mut self, connection: &mut Connection<'_, MemQueue>, due: &mut Due) {
        // Several times in a row: the last one counts.
        for _ in 0..=self.draw(3) {
            if self.draw(3) == 0 {
                connection.set_timer(None);
            }
            let after = Duration::from_micros(500 + self.draw(40_000));
            connection.set_timer(Some(after));
            due.at = Some(connection.now() + after);
        }
    }
}

impl Handler<MemQueue> for Timed {
    type State = Due;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, due: &mut Due) {
        self.set(connection, due);
        if self.draw(4) == 0 {
            connection.set_timer(None);
            (due.at, due.taken_back) = (None, true);
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, due: &mut Due) {
        while let Some(bytes) = connection.receive() {
            let _ = connection.send_shared(bytes.into_payload());
        }
        if !due.taken_back {
            self.set(connection, due);
        }
    }

    fn on_timer(&mut self, connection: &mut Connection<'_, MemQueue>, due: &mut Due) {
        let was = due.at.take().expect("it was set, and not taken back");
        self.called.lock().unwrap().push((was, connection.now()));
        due.calls += 1;
        if due.peer_closed && due.calls >= CALLS {
            connection.close();
        } else {
            self.set(connection, due);
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, due: &mut Due) {
        due.peer_closed = true;
        if due.taken_back {
            connection.close();
        }
    }
}

#[test]
fn timers_come_once_and_on_time_however_they_are_set() {
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 60,
        bytes: 3_000,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let called = Arc::new(Mutex::new(Vec::new()));
    let server = |_| Timed {
        state: 1,
        called: Arc::clone(&called),
    };
    let mut world = World::new(&Plan::default(), server, |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(10), |world| {
        let work = &world.server.shards[0].work;
        work.alarms.audit(&work.records).unwrap();
        outcome.lock().unwrap().finished == 60
    });
    let called = std::mem::take(&mut *called.lock().unwrap());
    assert!(called.len() >= 30 * CALLS as usize, "{} calls", called.len());
    assert_eq!(world.server.shards[0].work.counters.handler_panics, 0);
    for (due, at) in called {
        assert!(at >= due, "{at:?} is before {due:?}");
        let late = at.since(due);
        assert!(late <= Duration::from_millis(2), "{late:?} late");
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(
        world.server.shards[0].work.alarms.next(),
        None,
        "timers go with their connections"
    );
    world.assert_as_at_start();
}

/// A call of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    Readable,
    Writable,
    Urgent,
    Timer,
    PeerClosed,
    Closed,
    Turn,
    DropState,
}

/// Echoes, and panics the third time that it is called for one thing.
struct Panics {
    at: Call,
    calls: Arc<Mutex<u32>>,
}

/// Its drop is the application's code, too.
#[derive(Default)]
struct Fragile {
    counts: Option<Arc<Mutex<u32>>>,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if let Some(calls) = self.counts.take() {
            count(&calls);
        }
    }
}

fn count(calls: &Mutex<u32>) {
    let third = {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        *calls == 3
    };
    assert!(!third, "a handler that panics");
}

impl Panics {
    fn called(&self, for_: Call) {
        if self.at == for_ {
            count(&self.calls);
        }
    }
}

impl Handler<MemQueue> for Panics {
    type State = Fragile;

    fn on_open(&mut self, _: &mut Connection<'_, MemQueue>, state: &mut Fragile) {
        if self.at == Call::DropState {
            state.counts = Some(Arc::clone(&self.calls));
        }
        self.called(Call::Open);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut Fragile) {
        self.called(Call::Readable);
        while let Some(bytes) = connection.receive() {
            let _ = connection.send_shared(bytes.into_payload());
        }
        connection.ask_for_room();
    }

    fn on_writable(&mut self, _: &mut Connection<'_, MemQueue>, _: &mut Fragile) {
        self.called(Call::Writable);
    }

    fn on_urgent(&mut self, _: &mut Connection<'_, MemQueue>, _: &mut Fragile) {
        self.called(Call::Urgent);
    }

    fn on_timer(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut Fragile) {
        self.called(Call::Timer);
        connection.close();
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut Fragile) {
        self.called(Call::PeerClosed);
        // A little later, while the client waits for the end; not before it has acknowledged the echo, if that is looked for.
        let later = if self.at == Call::Writable { 300_000 } else { 1 };
        connection.set_timer(Some(Duration::from_micros(later)));
    }

    fn on_closed(&mut self, _: Closed, _: &mut Fragile) {
        self.called(Call::Closed);
    }

    fn on_turn(&mut self, _: &mut WorkerCalls<'_, MemQueue, Fragile>) {
        self.called(Call::Turn);
    }
}

/// Opens connections and says something urgent on each; reads the answer and closes.
struct Urges {
    to_open: u32,
    ended: Arc<Mutex<Vec<Result<(), ConnectionError>>>>,
}

impl Handler<MemQueue> for Urges {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        assert_eq!(connection.send_urgent(b"!"), 1);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
        connection.close();
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.ended.lock().unwrap().push(closed.outcome);
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        for _ in 0..std::mem::take(&mut self.to_open) {
            let remote = "10.0.0.1:7".parse().unwrap();
            worker.connect(remote, &ConnectOptions::default()).unwrap();
        }
    }
}

#[test]
fn a_panic_over_urgent_data_costs_its_connection_alone() {
    let (calls, ended) = (Arc::new(Mutex::new(0)), Arc::default());
    let server = |_| Panics {
        at: Call::Urgent,
        calls: Arc::clone(&calls),
    };
    let client = |_| Urges {
        to_open: 6,
        ended: Arc::clone(&ended),
    };
    let mut world = World::new(&Plan::default(), server, client);
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(10), |_| ended.lock().unwrap().len() == 6);
    world.run_for(Duration::from_secs(2));
    let reset = |outcome: &&Result<(), ConnectionError>| **outcome == Err(ConnectionError::Reset);
    assert_eq!(ended.lock().unwrap().iter().filter(reset).count(), 1);
    assert_eq!(ended.lock().unwrap().iter().filter(|end| end.is_ok()).count(), 5);
    assert_eq!(world.server.shards[0].work.counters.handler_panics, 1);
    assert!(*calls.lock().unwrap() >= 6, "the others were called");
    world.assert_as_at_start();
}

#[test]
fn a_panic_in_any_call_costs_its_connection_alone() {
    for (at, resets) in [
        (Call::Open, 1..=1),
        (Call::Readable, 1..=1),
        (Call::Writable, 1..=1),
        (Call::Timer, 1..=1),
        (Call::PeerClosed, 1..=1),
        // TCP is done with it by then.
        (Call::Closed, 0..=0),
        // It is about no connection.
        (Call::Turn, 0..=0),
        (Call::DropState, 0..=0),
    ] {
        let errand = Errand {
            remote: "10.0.0.1:7".parse().unwrap(),
            connections: 6,
            bytes: 400,
        };
        let (client, outcome) = Client::new(vec![errand]);
        let mut client = Some(client);
        let calls = Arc::new(Mutex::new(0));
        let server = |_| Panics {
            at,
            calls: Arc::clone(&calls),
        };
        let mut world = World::new(&Plan::default(), server, |_| client.take().unwrap());
        world.server.listen(0, &Listen::on(7));
        world.run_until(Duration::from_secs(10), |_| {
            let outcome = outcome.lock().unwrap();
            outcome.finished as usize + outcome.failed.len() == 6
        });
        world.run_for(Duration::from_secs(2));
        let failed = outcome.lock().unwrap().failed.clone();
        assert!(resets.contains(&failed.len()), "{at:?}: {failed:?}");
        assert!(
            failed.iter().all(|why| *why == ConnectionError::Reset),
            "{at:?}: {failed:?}"
        );
        assert_eq!(
            world.server.shards[0].work.counters.handler_panics, 1,
            "{at:?} is counted"
        );
        assert!(*calls.lock().unwrap() >= 6, "{at:?}: the others were called");
        world.assert_as_at_start();
    }
}
