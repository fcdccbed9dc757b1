//! What goes in comes out: packets, buffers, records, queue places; also when a handler panics or everything is full.

use std::time::Duration;

use fourtuple_wire::DropReason;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::error::ConnectionError;
use crate::listener::Listen;

#[test]
fn ten_thousand_connections_leave_everything_as_it_was() {
    let plan = Plan {
        connections: 600,
        ..Plan::default()
    };
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 10_000,
        bytes: 200,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(
        0,
        &Listen {
            syn_queue: 4096,
            ..Listen::on(7)
        },
    );
    world.run_until(Duration::from_secs(600), |_| {
        outcome.lock().unwrap().finished == 10_000
    });
    assert_eq!(outcome.lock().unwrap().failed, []);
    world.run_for(Duration::from_secs(1));
    world.assert_as_at_start();
}

#[test]
fn a_panic_of_the_handler_costs_its_connection_alone() {
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 5,
        bytes: 1_000,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let server = |_| Echo {
        panics_at: Some(3),
        ..Echo::default()
    };
    let mut world = World::new(&Plan::default(), server, |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(10), |_| {
        let outcome = outcome.lock().unwrap();
        outcome.finished as usize + outcome.failed.len() == 5
    });
    assert_eq!(outcome.lock().unwrap().failed, [ConnectionError::Reset]);
    assert_eq!(world.server.shards[0].work.counters.handler_panics, 1);
    world.run_for(Duration::from_secs(1));
    world.assert_as_at_start();
}

#[test]
fn a_syn_beyond_the_connection_limit_is_ignored_and_its_retransmission_gets_in() {
    let plan = Plan {
        connections: 4,
        ..Plan::default()
    };
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 12,
        bytes: 500,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let roomy = Plan {
        connections: 100,
        ..plan.clone()
    };
    let mut world = World::new(&roomy, |_| Echo::default(), |_| client.take().unwrap());
    world.server = super::Side::new(
        &plan,
        std::mem::take(&mut world.server.shards)
            .into_iter()
            .flat_map(|shard| shard.work.ports.into_queues())
            .collect(),
        ["10.0.0.1/24", "fd00::1/64"],
        9,
        |_| Echo::default(),
    );
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(300), |_| {
        outcome.lock().unwrap().finished == 12
    });
    let counters = world.server.shards[0].counters().clone();
    let refused =
        counters.dropped.of(DropReason::ConnectionLimit) + counters.dropped.of(DropReason::SynQueueFull);
    assert!(refused > 0, "{refused}");
    assert_eq!(counters.resets_sent, 0, "silence, no RST");
}

#[test]
fn a_closed_port_refuses_at_once() {
    let errand = Errand {
        remote: "10.0.0.1:8".parse().unwrap(),
        connections: 3,
        bytes: 1,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| client.take().unwrap());
    world.run_until(Duration::from_millis(100), |_| {
        outcome.lock().unwrap().failed.len() == 3
    });
    assert!(
        outcome
            .lock()
            .unwrap()
            .failed
            .iter()
            .all(|error| *error == ConnectionError::Refused)
    );
    assert_eq!(world.server.shards[0].work.counters.resets_sent, 3);
    world.run_for(Duration::from_secs(1));
    world.assert_as_at_start();
}
