//! Budgets that are used up: what is new is refused in silence and counted, what is there goes on, and the worker still answers
//! whoever asks it. Connections, half-open ones, accept queues, reassembly, send queues, lent chunks have their tests in
//! `conservation`, `attack` and `endpoints`; here are TIME_WAIT records and the pool of received frames.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::DropReason;

use super::{Plan, World};
use crate::ConnId;
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// Answers, and closes first.
struct ClosesFirst;

impl Handler<MemQueue> for ClosesFirst {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            connection
                .send_shared(bytes.into_payload())
                .expect("a little always fits");
        }
        connection.close();
    }
}

/// Opens one connection after the other, asks, reads the answer, and closes when the peer has.
struct OneByOne {
    left: u32,
    under_way: bool,
    outcomes: Arc<Mutex<(u32, Vec<crate::ConnectionError>)>>,
}

impl Handler<MemQueue> for OneByOne {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.send(b"a request");
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.under_way = false;
        let mut outcomes = self.outcomes.lock().unwrap();
        match closed.outcome {
            Ok(()) => outcomes.0 += 1,
            Err(error) => outcomes.1.push(error),
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if !self.under_way && self.left > 0 {
            let remote = "10.0.0.1:7".parse().unwrap();
            self.under_way = worker.connect(remote, &ConnectOptions::default()).is_ok();
            self.left -= u32::from(self.under_way);
        }
        worker.wake_at(worker.now() + Duration::from_millis(1));
    }
}

#[test]
fn a_server_that_closes_first_keeps_serving_when_its_time_wait_records_are_used_up() {
    const RECORDS: u32 = 8;
    let mut plan = Plan {
        connections: RECORDS,
        ..Plan::default()
    };
    // None ends by itself while the test lasts.
    plan.profile.msl = Duration::from_secs(60);
    let outcomes = Arc::new(Mutex::default());
    let mut client = Some(OneByOne {
        left: 100,
        under_way: false,
        outcomes: Arc::clone(&outcomes),
    });
    let mut world = World::new(&plan, |_| ClosesFirst, |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(30), |world| {
        assert!(world.server.shards[0].work.records.time_wait() <= RECORDS);
        outcomes.lock().unwrap().0 == 100
    });
    assert_eq!(outcomes.lock().unwrap().1, [], "nobody was refused");
    let counters = world.server.shards[0].counters().clone();
    assert_eq!(counters.time_wait, u64::from(RECORDS), "the bound was reached");
    assert!(
        counters.time_wait_evicted >= u64::from(100 - RECORDS) / 2,
        "{}",
        counters.time_wait_evicted
    );
    assert_eq!(counters.resets_sent, 0);
}

/// Keeps all frames that come, until it is told to let go.
#[derive(Default)]
struct Hoarder {
    open: Vec<ConnId>,
}

impl Handler<MemQueue> for Hoarder {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.open.push(connection.id());
    }

    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

/// Opens a connection whenever it may, and sends without end on each.
struct Flooder {
    may_open: Arc<Mutex<u32>>,
    refused: Arc<Mutex<u32>>,
}

impl Handler<MemQueue> for Flooder {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.on_writable(connection, &mut ());
    }

    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.send(&[7; 1000]) == 1000 {}
    }

    fn on_closed(&mut self, _: Closed, (): &mut ()) {
        *self.refused.lock().unwrap() += 1;
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        let mut may_open = self.may_open.lock().unwrap();
        while *may_open > 0 {
            let remote = "10.0.0.1:7".parse().unwrap();
            if worker.connect(remote, &ConnectOptions::default()).is_err() {
                return;
            }
            *may_open -= 1;
        }
    }
}

#[test]
fn syns_are_refused_in_silence_before_the_buffers_run_out_and_the_worker_still_answers() {
    let plan = Plan {
        pools: 256,
        ..Plan::default()
    };
    let (may_open, refused) = (Arc::new(Mutex::new(40)), Arc::default());
    let mut client = Some(Flooder {
        may_open: Arc::clone(&may_open),
        refused: Arc::clone(&refused),
    });
    let mut world = World::new(&plan, |_| Hoarder::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    // All that is sent is kept: buffers become few.
    world.run_for(Duration::from_secs(2));
    let open = world.server.shards[0].work.records.connections();
    assert_eq!(open, 40);
    *may_open.lock().unwrap() = 20;
    world.run_for(Duration::from_secs(2));
    let shard = &mut world.server.shards[0];
    let pool = shard.work.ports[PortNumber::FIRST].queue.pool();
    assert!(pool.rx_free > 0, "some are left for acknowledgments");
    let counters = shard.counters().clone();
    assert!(counters.dropped.of(DropReason::NoRoom) > 0, "payload was refused");
    assert_eq!(counters.resets_sent, 0, "nobody was refused aloud");
    assert_eq!(*refused.lock().unwrap(), 0, "and nobody has gone");
    // The control path: a listener comes and goes, and the gauges are told.
    let id = world.server.listen(1, &Listen::on(8));
    let done = crate::shard::Done::of(1);
    let unlisten = crate::shard::Control::Unlisten(id, done.clone());
    world.server.shards[0].work.control(unlisten);
    world.run_for(Duration::from_millis(10));
    assert!(done.is_complete());
    let counters = world.server.shards[0].counters().clone();
    assert_eq!(
        counters.rx_buffers_free,
        u64::from(
            world.server.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .pool()
                .rx_free
        )
    );
}
