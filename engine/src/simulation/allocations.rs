//! No allocation per packet once warm: the whole turn of both ends, handler and generator included, is counted.

use std::time::Duration;

use fourtuple_nic_mem::MemQueue;

use super::{Plan, World};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// Sends back what it receives.
struct Echo;

impl Handler<MemQueue> for Echo {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            connection
                .send_shared(bytes.into_payload())
                .expect("room for one request");
        }
    }
}

/// Asks again whenever it was answered.
struct Asker {
    to_open: u32,
    answers: u64,
}

impl Handler<MemQueue> for Asker {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        assert_eq!(connection.send(&[7; 64]), 64);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            self.answers += 1;
            drop(bytes);
            assert_eq!(connection.send(&[7; 64]), 64);
        }
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        while self.to_open > 0 {
            worker
                .connect("10.0.0.1:7".parse().unwrap(), &ConnectOptions::default())
                .expect("a connection");
            self.to_open -= 1;
        }
    }
}

#[test]
fn a_warm_turn_does_not_allocate() {
    let plan = Plan::default();
    let mut world = World::new(
        &plan,
        |_| Echo,
        |_| Asker {
            to_open: 32,
            answers: 0,
        },
    );
    world.server.listen(0, &Listen::on(7));
    world.run_for(Duration::from_millis(300));
    let one = allocation_counter::measure(|| drop(Vec::<u8>::with_capacity(1)));
    assert_eq!(one.count_total, 1, "allocations are counted");
    let counted = allocation_counter::measure(|| {
        for _ in 0..20_000 {
            world.step();
        }
    });
    let packets = world.server.shards[0].work.counters.rx_packets;
    assert!(packets > 10_000, "{packets} packets");
    assert_eq!(counted.count_total, 0, "allocations in 20,000 steps");
}
