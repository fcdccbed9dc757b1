//! Pools run dry: established connections go on, and nothing stands still (D5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{End, MemQueue, WireConditions};
use fourtuple_wire::DropReason;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::ConnId;
use crate::handler::Handler;
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

#[test]
fn buffers_pinned_by_unacknowledged_echoes_come_free_again() {
    // More connections than buffers, each of which has an echo in flight that pins a received buffer.
    let plan = Plan {
        connections: 400,
        pools: 256,
        ..Plan::default()
    };
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 400,
        bytes: 2_000,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(
        0,
        &Listen {
            syn_queue: 1024,
            ..Listen::on(7)
        },
    );
    world.run_until(Duration::from_secs(900), |_| {
        let outcome = outcome.lock().unwrap();
        outcome.finished as usize + outcome.failed.len() == 400
    });
    let finished = outcome.lock().unwrap().finished;
    assert!(
        finished >= 380,
        "{finished} finished: {:?}",
        outcome.lock().unwrap().failed
    );
    let counters = world.server.shards[0].counters().clone();
    assert!(
        counters.dropped.of(DropReason::NoRoom) > 0,
        "the mark was reached"
    );
    world.run_for(Duration::from_secs(2));
    world.assert_as_at_start();
}

/// Asks on each of four connections, again when it is answered, and counts the answers of each.
struct Asking {
    to_open: u32,
    answers: Arc<Mutex<HashMap<ConnId, u64>>>,
}

const REQUEST: [u8; 64] = [b'x'; 64];

impl Handler<MemQueue> for Asking {
    type State = usize;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut usize) {
        connection.send(&REQUEST);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, came: &mut usize) {
        while let Some(bytes) = connection.receive() {
            *came += bytes.bytes().len();
        }
        if *came == REQUEST.len() {
            *came = 0;
            *self.answers.lock().unwrap().entry(connection.id()).or_default() += 1;
            connection.send(&REQUEST);
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, usize>) {
        let remote = ([10, 0, 0, 1], 7).into();
        while self.to_open > 0 && worker.connect(remote, &ConnectOptions::default()).is_ok() {
            self.to_open -= 1;
        }
    }
}

#[test]
fn who_finds_no_frame_is_not_overtaken_by_answers_that_leave_at_once() {
    let plan = Plan {
        pools: 256,
        ..Plan::default()
    };
    let answers = Arc::<Mutex<HashMap<ConnId, u64>>>::default();
    let asking = Asking {
        to_open: 4,
        answers: Arc::clone(&answers),
    };
    let mut asking = Some(asking);
    let mut world = World::new(&plan, |_| Echo::default(), |_| asking.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    let all_went_on = || {
        answers
            .lock()
            .unwrap()
            .values()
            .filter(|count| **count > 10)
            .count()
            == 4
    };
    world.run_until(Duration::from_secs(900), |_| all_went_on());

    // From now on what was sent has come, and its frame is home, when it is the other side's turn; and there are frames for half of
    // the answers at a time.
    for end in [End::A, End::B] {
        world.wire.set_conditions(end, WireConditions::default());
    }
    let queue = &mut world.server.shards[0].work.ports[PortNumber::FIRST].queue;
    let held: Vec<_> = (2..queue.pool().tx_free)
        .map(|_| queue.tx_frame().unwrap())
        .collect();
    answers.lock().unwrap().clear();
    for _ in 0..200 {
        world.step();
    }
    let counts: Vec<u64> = answers.lock().unwrap().values().copied().collect();
    drop(held);
    assert_eq!(counts.len(), 4, "{counts:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 10 && *most < least * 2, "{counts:?}");
}
