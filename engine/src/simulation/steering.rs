//! Every frame on the wrong worker (D8): it is handed to its owner, and nothing else changes.

use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue, Spread};

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::shard::Connection;

#[test]
fn frames_on_the_wrong_worker_reach_their_owner() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let errands = ["10.0.0.1:7", "[fd00::1]:7"]
        .map(|remote| Errand {
            remote: remote.parse().unwrap(),
            connections: 20,
            bytes: 10_000,
        })
        .to_vec();
    for wrong in [0, 1] {
        let (client, outcome) = Client::new(errands.clone());
        let mut client = Some(client);
        let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
        world.server.listen(0, &Listen::on(7));
        world.wire.set_spread(End::A, Spread::AllTo(wrong));
        world.run_until(Duration::from_secs(60), |_| {
            outcome.lock().unwrap().finished == 40
        });
        world.run_for(Duration::from_secs(62));
        let other = usize::from(1 - wrong);
        let [ours, theirs] =
            [usize::from(wrong), other].map(|worker| world.server.shards[worker].work.counters.clone());
        assert_eq!(theirs.rx_packets, 0, "the port gave all to worker {wrong}");
        assert!(theirs.accepts > 0 && theirs.steered_in > 0);
        assert_eq!(
            ours.steered_out,
            theirs.steered_in + u64::from(wrong == 1) * (ours.steered_out - theirs.steered_in)
        );
        world.assert_as_at_start();
    }
}

#[test]
fn a_full_ring_to_the_owner_costs_a_retransmission_and_no_more() {
    let plan = Plan {
        server_workers: 2,
        pools: 4096,
        mesh_ring: 32,
        ..Plan::default()
    };
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 200,
        bytes: 3_000,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.wire.set_spread(End::A, Spread::AllTo(0));
    // Worker 1 does not turn for a while: its ring fills up, worker 0 goes on.
    let stalled = world.server.shards.pop().unwrap();
    world.run_for(Duration::from_secs(2));
    let full = world.server.shards[0]
        .work
        .counters
        .dropped
        .of(fourtuple_wire::DropReason::SteerRingFull);
    assert!(full > 0, "the ring was full");
    world.server.shards.push(stalled);
    world.run_until(Duration::from_secs(120), |_| {
        outcome.lock().unwrap().finished == 200
    });
    assert_eq!(outcome.lock().unwrap().failed, []);
}

/// Echoes at port 7, and reads nothing of what comes to port 9.
struct LazyAtNine(Echo);

impl Handler<MemQueue> for LazyAtNine {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        if connection.local().port() == 7 {
            self.0.on_readable(connection, &mut ());
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.on_readable(connection, &mut ());
    }
}

#[test]
fn what_is_kept_of_steered_frames_leaves_their_receiver_buffers_to_hear_with() {
    let plan = Plan {
        server_workers: 2,
        pools: 128,
        ..Plan::default()
    };
    let errands = ["10.0.0.1:9", "10.0.0.1:7"]
        .map(|remote| Errand {
            remote: remote.parse().unwrap(),
            connections: 4,
            bytes: 200_000,
        })
        .to_vec();
    for all_to in [0, 1] {
        let (client, outcome) = Client::new(errands.clone());
        let mut client = Some(client);
        let mut world = World::new(&plan, |_| LazyAtNine(Echo::default()), |_| client.take().unwrap());
        world.server.listen(0, &Listen::on_ports(7..=9));
        world.wire.set_spread(End::A, Spread::AllTo(all_to));
        // Those at port 9 take what they get of the buffers, and give nothing back, here nor at their peer, which may not free what they
        // don't acknowledge: the others go on with what is left.
        world.run_until(Duration::from_secs(20), |_| outcome.lock().unwrap().finished == 4);
        let free = world.server.shards[usize::from(all_to)]
            .counters()
            .rx_buffers_free;
        assert!(free > 0, "the worker that all frames come to still hears");
    }
}
