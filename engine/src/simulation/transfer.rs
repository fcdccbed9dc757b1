//! Bytes arrive exactly, both ways, over any wire; v4 and v6; one worker and several.

use std::time::Duration;

use fourtuple_nic_mem::WireConditions;

use fourtuple_nic_mem::MemQueue;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::shard::Connection;

#[track_caller]
fn exchange(plan: &Plan, remote: &str, connections: u32, bytes: usize) -> World<Echo, Client> {
    exchange_with(plan, remote, connections, bytes, |_| ())
}

/// The same, and every frame is kept.
#[track_caller]
fn exchange_captured(plan: &Plan, remote: &str, connections: u32, bytes: usize) -> World<Echo, Client> {
    exchange_with(plan, remote, connections, bytes, |world| {
        world.wire.start_capture()
    })
}

#[track_caller]
fn exchange_with(
    plan: &Plan,
    remote: &str,
    connections: u32,
    bytes: usize,
    prepare: impl FnOnce(&World<Echo, Client>),
) -> World<Echo, Client> {
    let errand = Errand {
        remote: remote.parse().unwrap(),
        connections,
        bytes,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(plan, |_| Echo::default(), |_| client.take().expect("one client"));
    world.server.listen(0, &Listen::on(7));
    prepare(&world);
    // A watchdog on progress, not on the whole: loss may take long, standing still may not.
    let mut last = (0, 0);
    loop {
        let before = world.now();
        world.run_until(Duration::from_secs(300), |world| {
            let outcome = outcome.lock().unwrap();
            let done = outcome.finished + outcome.failed.len() as u32 == connections;
            done || (outcome.received, outcome.finished) != last
                && world.now() > before + Duration::from_secs(1)
        });
        let outcome = outcome.lock().unwrap();
        if outcome.finished + outcome.failed.len() as u32 == connections {
            break;
        }
        last = (outcome.received, outcome.finished);
    }
    {
        let outcome = outcome.lock().unwrap();
        assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        assert_eq!(outcome.received, (connections as usize * bytes) as u64);
    }
    // 2 MSL and the frames that are under way.
    world.run_for(Duration::from_secs(2));
    world.assert_as_at_start();
    world
}

#[test]
fn an_exchange_over_a_perfect_wire() {
    for remote in ["10.0.0.1:7", "[fd00::1]:7"] {
        exchange(&Plan::default(), remote, 1, 64);
        exchange(&Plan::default(), remote, 1, 300_000);
        exchange(&Plan::default(), remote, 50, 5_000);
    }
}

#[test]
fn without_segments_on_sending_and_without_options() {
    exchange(
        &Plan {
            multi_seg: false,
            ..Plan::default()
        },
        "10.0.0.1:7",
        3,
        100_000,
    );
    let bare = Plan::default().profile.with(|profile| {
        profile.sack = false;
        profile.timestamps = false;
        profile.window_scaling = false;
    });
    exchange(
        &Plan {
            profile: bare,
            ..Plan::default()
        },
        "10.0.0.1:7",
        3,
        100_000,
    );
}

/// All frames of an exchange over a wire that loses some.
fn frames(plan: &Plan, remote: &str) -> Vec<Vec<u8>> {
    let world = exchange_captured(plan, remote, 3, 200_000);
    let frames = world.wire.captured();
    frames.into_iter().map(|frame| frame.bytes).collect()
}

// Fast path = slow path: what is copied and summed in one pass, under headers from a template, is octet by octet what is attached.
#[test]
fn a_port_that_copies_payload_sends_the_same_frames() {
    for remote in ["10.0.0.1:7", "[fd00::1]:7"] {
        for loss in [0, 10_000] {
            let plan = |copies, predicts| Plan {
                copies,
                conditions: WireConditions {
                    loss,
                    ..Plan::default().conditions
                },
                profile: Plan::default()
                    .profile
                    .with(|profile| profile.header_prediction = predicts),
                ..Plan::default()
            };
            let attached = frames(&plan(false, true), remote);
            assert!(attached.len() > 3 * 2 * 200_000 / 1460);
            assert!(attached == frames(&plan(true, true), remote), "{remote} {loss}");
            // Without trains nothing has a template.
            let singly = frames(&plan(false, false), remote);
            assert!(singly == frames(&plan(true, false), remote), "{remote} {loss}");
        }
    }
}

#[test]
fn loss_reordering_duplication_and_corruption_lose_nothing() {
    for seed in 1..9 {
        let conditions = WireConditions {
            loss: 30_000,
            reorder: 20_000,
            reorder_by: Duration::from_micros(300),
            duplicate: 10_000,
            corrupt: 5_000,
            delay: Duration::from_micros(100),
            jitter: Duration::from_micros(20),
            ..WireConditions::default()
        };
        let plan = Plan {
            conditions,
            seed,
            server_workers: 1 + (seed % 2) as u16,
            ..Plan::default()
        };
        exchange(
            &plan,
            if seed % 2 == 0 {
                "[fd00::1]:7"
            } else {
                "10.0.0.1:7"
            },
            4,
            120_000,
        );
    }
}

#[test]
fn small_buffers_and_slow_readers_never_stand_still() {
    let profile = Plan::default().profile.with(|profile| {
        profile.receive_buffer = 8192;
        profile.send_buffer = 4096;
    });
    exchange(
        &Plan {
            profile,
            ..Plan::default()
        },
        "10.0.0.1:7",
        2,
        60_000,
    );
}

#[test]
fn several_workers_share_connections_that_the_port_spreads_as_it_likes() {
    let world = exchange(
        &Plan {
            server_workers: 3,
            ..Plan::default()
        },
        "10.0.0.1:7",
        60,
        2_000,
    );
    let accepts: Vec<u64> = world
        .server
        .shards
        .iter()
        .map(|shard| shard.work.counters.accepts)
        .collect();
    assert_eq!(accepts.iter().sum::<u64>(), 60);
    assert!(accepts.iter().all(|count| *count > 0), "{accepts:?}");
}

/// Writes in pieces of seven bytes as soon as it hears of a byte, and closes.
struct Dribbler;

impl Handler<MemQueue> for Dribbler {
    type State = bool;

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, done: &mut bool) {
        while connection.receive().is_some() {}
        if std::mem::replace(done, true) {
            return;
        }
        for at in 0..150 {
            let piece: Vec<u8> = (at * 7..at * 7 + 7).map(super::handlers::pattern).collect();
            assert_eq!(connection.send(&piece), 7);
        }
        connection.shutdown();
    }
}

#[test]
fn a_segment_of_more_pieces_than_a_frame_may_have_is_sent_all_the_same() {
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 1,
        bytes: 1_050,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&Plan::default(), |_| Dribbler, |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(5), |_| outcome.lock().unwrap().finished == 1);
    world.run_for(Duration::from_secs(2));
    world.assert_as_at_start();
}

/// Says something long, and then nothing for ever.
struct Monologue;

impl Handler<MemQueue> for Monologue {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.send(&[7; 50_000]);
    }

    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}

    fn on_peer_closed(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

/// Opens a connection, and reads what comes.
struct Listener(Option<std::net::SocketAddr>);

impl Handler<MemQueue> for Listener {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }

    fn on_turn(&mut self, worker: &mut crate::shard::WorkerCalls<'_, MemQueue, ()>) {
        if let Some(remote) = self.0.take() {
            worker
                .connect(remote, &crate::shard::ConnectOptions::default())
                .unwrap();
        }
    }
}

#[test]
fn a_paced_connection_that_has_sent_all_lets_its_worker_sleep() {
    let profile = Plan::default()
        .profile
        .with(|profile| profile.pacing = fourtuple_tcp::Pacing::On);
    let plan = Plan {
        conditions: WireConditions {
            delay: Duration::from_millis(20),
            ..WireConditions::default()
        },
        ..Plan::default()
    };
    let remote = "10.0.0.1:7".parse().unwrap();
    let mut world = World::new(&plan, |_| Monologue, |_| Listener(Some(remote)));
    let listen = Listen {
        profile: Some(profile),
        ..Listen::on(7)
    };
    world.server.listen(0, &listen);
    // Behind the announcements of the first seconds.
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.server.shards[0].counters().tcp.bytes_out, 50_000);
    let now = world.now();
    let next = world.server.shards[0].turn(now);
    assert!(next > now + Duration::from_millis(50), "{:?}", next.since(now));
}
