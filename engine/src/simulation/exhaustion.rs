//! Pools run dry: established connections go on, and nothing stands still (D5).

use std::time::Duration;

use fourtuple_wire::DropReason;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::listener::Listen;

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
