//! Hand-off through the whole shard: accept by credit, echo over the rings, dead endpoints, slow ones, full queues (D9, D10).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;

use super::handlers::{Client, Errand};
use super::{Plan, Side, World};
use crate::handler::{Handler, NoHandler};
use crate::handoff::{Endpoint, EndpointLimits, Estate, Listener, Stream, StreamError, pair};
use crate::idle::Sleeper;
use crate::listener::Listen;
use crate::shard::Control;

pub(super) type Endpoints = World<NoHandler, Client>;

/// Makes an endpoint of the server, as the engine does.
pub(super) fn endpoint(
    side: &mut Side<impl Handler<MemQueue>>,
    limits: &EndpointLimits,
) -> (Endpoint<MemQueue>, Receiver<Estate<MemQueue>>) {
    let sleeper = Arc::new(Sleeper::new().unwrap());
    let (estates, left_behind) = channel();
    let (core, ends) = pair(&side.sleepers, limits, Arc::clone(&sleeper), estates);
    for (shard, end) in side.shards.iter_mut().zip(ends) {
        shard.work.control(Control::Attach(Box::new(end)));
    }
    (Endpoint::new(core, sleeper), left_behind)
}

/// A stream that echoes, and what could not be sent yet.
pub(super) struct Echoing {
    stream: Stream<MemQueue>,
    unsent: Option<crate::Chunk<MemQueue>>,
    done: bool,
}

impl Echoing {
    pub(super) fn new(stream: Stream<MemQueue>) -> Self {
        Self {
            stream,
            unsent: None,
            done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn pump(&mut self) {
        loop {
            if let Some(chunk) = self.unsent.take()
                && let Err(unsent) = self.stream.send_chunk(chunk, Duration::ZERO)
            {
                assert!(matches!(unsent.why, StreamError::NotYet), "{:?}", unsent.why);
                self.unsent = Some(unsent.chunk);
                return;
            }
            match self.stream.try_recv() {
                Ok(Some(chunk)) => self.unsent = Some(chunk),
                Ok(None) => {
                    self.done = true;
                    return;
                }
                Err(StreamError::NotYet) => return,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

pub(super) fn world(
    plan: &Plan,
    connections: u32,
    bytes: usize,
    listen: &Listen,
) -> (
    Endpoints,
    Arc<std::sync::Mutex<super::handlers::Outcome>>,
    Listener,
) {
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections,
        bytes,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(plan, |_| NoHandler, |_| client.take().unwrap());
    let id = world.server.listen(0, listen);
    (world, outcome, Listener::new(id, 7, listen.backlog))
}

#[test]
fn endpoints_echo_what_their_connections_say() {
    for workers in [1, 2] {
        let plan = Plan {
            server_workers: workers,
            ..Plan::default()
        };
        let (mut world, outcome, listener) = world(&plan, 20, 50_000, &Listen::on(7).for_endpoints());
        let limits = EndpointLimits {
            events: 16,
            commands: 16,
            lent: 64,
            blanks: 8,
            ..EndpointLimits::default()
        };
        let mut endpoints: Vec<_> = (0..2).map(|_| endpoint(&mut world.server, &limits)).collect();
        let mut streams: Vec<Echoing> = Vec::new();
        let mut per_endpoint = [0; 2];
        world.run_until(Duration::from_secs(120), |_| {
            for (number, (endpoint, _)) in endpoints.iter().enumerate() {
                endpoint.step();
                while let Ok(stream) = listener.try_accept(endpoint) {
                    per_endpoint[number] += 1;
                    streams.push(Echoing::new(stream));
                }
            }
            streams.iter_mut().for_each(Echoing::pump);
            streams.retain(|stream| !stream.done);
            outcome.lock().unwrap().finished == 20
        });
        assert_eq!(outcome.lock().unwrap().failed, []);
        assert_eq!(per_endpoint.iter().sum::<u32>(), 20);
        assert!(
            per_endpoint.iter().all(|count| *count > 0),
            "the least loaded accepts: {per_endpoint:?}"
        );
        drop(streams);
        settle(&mut world, &mut endpoints);
    }
}

/// Drops the endpoints, lets everything end, and looks at what is left.
pub(super) fn settle(
    world: &mut Endpoints,
    endpoints: &mut Vec<(Endpoint<MemQueue>, Receiver<Estate<MemQueue>>)>,
) {
    let mut estates: Vec<_> = endpoints
        .drain(..)
        .map(|(endpoint, left_behind)| {
            drop(endpoint);
            left_behind
        })
        .filter_map(|left_behind| left_behind.try_recv().ok())
        .collect();
    for _ in 0..2_000 {
        estates.retain_mut(|estate| !estate.step());
        world.run_for(Duration::from_millis(1));
    }
    assert!(estates.is_empty(), "every buffer came home");
    world.assert_as_at_start();
}

#[test]
fn a_full_accept_queue_is_silence_and_the_retransmission_gets_in() {
    let listen = Listen {
        backlog: 2,
        ..Listen::on(7).for_endpoints()
    };
    let (mut world, outcome, listener) = world(&Plan::default(), 6, 100, &listen);
    // Nobody accepts for a while: two wait, the others' SYNs or final ACKs are ignored.
    world.run_for(Duration::from_millis(2_500));
    let counters = world.server.shards[0].counters().clone();
    assert_eq!((counters.accept_queue, counters.resets_sent), (2, 0));
    assert!(counters.listen_overflows >= 4, "{}", counters.listen_overflows);
    assert_eq!(outcome.lock().unwrap().failed, []);
    let mut endpoints = vec![endpoint(&mut world.server, &EndpointLimits::default())];
    let mut streams = Vec::new();
    world.run_until(Duration::from_secs(30), |_| {
        endpoints[0].0.step();
        while let Ok(stream) = listener.try_accept(&endpoints[0].0) {
            streams.push(Echoing {
                stream,
                unsent: None,
                done: false,
            });
        }
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.done);
        outcome.lock().unwrap().finished == 6
    });
    settle(&mut world, &mut endpoints);
}

#[test]
fn a_listener_is_served_when_one_before_it_was_removed() {
    let (mut world, outcome, first) = world(&Plan::default(), 1, 100, &Listen::on(9).for_endpoints());
    let second = Listen::on(7).for_endpoints();
    let id = world.server.listen(1, &second);
    world.server.shards[0]
        .work
        .control(Control::Unlisten(first.id(), crate::shard::Done::of(1)));
    let listener = Listener::new(id, 7, second.backlog);
    let mut endpoints = vec![endpoint(&mut world.server, &EndpointLimits::default())];
    let mut streams = Vec::new();
    world.run_until(Duration::from_secs(10), |_| {
        endpoints[0].0.step();
        while let Ok(stream) = listener.try_accept(&endpoints[0].0) {
            streams.push(Echoing {
                stream,
                unsent: None,
                done: false,
            });
        }
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.done);
        outcome.lock().unwrap().finished == 1
    });
    settle(&mut world, &mut endpoints);
}

#[test]
fn backlog_zero_lets_a_handshake_finish_only_for_a_waiting_accept() {
    let listen = Listen {
        backlog: 0,
        ..Listen::on(7).for_endpoints()
    };
    let (mut world, outcome, listener) = world(&Plan::default(), 2, 100, &listen);
    world.run_for(Duration::from_secs(2));
    assert_eq!(outcome.lock().unwrap().opened, 0);
    // One that waits: it has a credit posted.
    let listener = listener.with_credits(1);
    let mut endpoints = vec![endpoint(&mut world.server, &EndpointLimits::default())];
    let mut streams = Vec::new();
    world.run_until(Duration::from_secs(70), |_| {
        let endpoint = &endpoints[0].0;
        endpoint.step();
        if let Ok(stream) = listener.try_accept(endpoint) {
            streams.push(Echoing {
                stream,
                unsent: None,
                done: false,
            });
        }
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.done);
        outcome.lock().unwrap().finished == 2
    });
    settle(&mut world, &mut endpoints);
}

#[test]
fn a_dead_endpoint_takes_its_connections_with_it_and_nothing_else() {
    let (mut world, outcome, listener) = world(&Plan::default(), 8, 30_000, &Listen::on(7).for_endpoints());
    let mut endpoints: Vec<_> = (0..2)
        .map(|_| endpoint(&mut world.server, &EndpointLimits::default()))
        .collect();
    let mut kept = Vec::new();
    let mut doomed = Vec::new();
    world.run_until(Duration::from_secs(10), |_| {
        for (number, (endpoint, _)) in endpoints.iter().enumerate() {
            endpoint.step();
            while let Ok(stream) = listener.try_accept(endpoint) {
                if number == 0 {
                    kept.push(Echoing {
                        stream,
                        unsent: None,
                        done: false,
                    });
                } else {
                    doomed.push(stream);
                }
            }
        }
        kept.len() + doomed.len() == 8
    });
    assert!(!kept.is_empty() && !doomed.is_empty());
    let lost = doomed.len();
    // The endpoint dies with data unread; its streams outlive it for a moment.
    let (dead, left_behind) = endpoints.pop().unwrap();
    drop(dead);
    drop(doomed);
    let mut estate = left_behind.try_recv().expect("an estate");
    world.run_until(Duration::from_secs(60), |_| {
        estate.step();
        endpoints[0].0.step();
        kept.iter_mut().for_each(Echoing::pump);
        kept.retain(|stream| !stream.done);
        let outcome = outcome.lock().unwrap();
        outcome.finished as usize + outcome.failed.len() == 8
    });
    let outcome = outcome.lock().unwrap();
    assert_eq!(
        outcome.failed.len(),
        lost,
        "those of the dead endpoint were told: {:?}",
        outcome.failed
    );
    drop(outcome);
    for _ in 0..100 {
        if estate.step() {
            break;
        }
        world.run_for(Duration::from_millis(5));
    }
    settle(&mut world, &mut endpoints);
}

#[test]
fn an_endpoint_that_does_not_read_closes_the_window_of_its_peer_and_stops_nobody() {
    let plan = Plan {
        pools: 4096,
        ..Plan::default()
    };
    let (mut world, outcome, listener) = world(&plan, 2, 1_000_000, &Listen::on(7).for_endpoints());
    let limits = EndpointLimits {
        lent: 32,
        events: 64,
        ..EndpointLimits::default()
    };
    let mut endpoints = vec![
        endpoint(&mut world.server, &limits),
        endpoint(&mut world.server, &limits),
    ];
    let mut streams: Vec<(usize, Echoing)> = Vec::new();
    let mut lazy = true;
    for lasts in [Duration::from_secs(20), Duration::from_secs(60)] {
        let until = world.now() + lasts;
        world.run_until(lasts * 2, |world| {
            for (number, (endpoint, _)) in endpoints.iter().enumerate() {
                endpoint.step();
                while let Ok(stream) = listener.try_accept(endpoint) {
                    streams.push((
                        number,
                        Echoing {
                            stream,
                            unsent: None,
                            done: false,
                        },
                    ));
                }
            }
            for (number, stream) in &mut streams {
                if *number == 0 || !lazy {
                    stream.pump();
                }
            }
            streams.retain(|(_, stream)| !stream.done);
            let finished = outcome.lock().unwrap().finished;
            if lazy {
                finished == 1 && world.now() > until
            } else {
                finished == 2
            }
        });
        if lazy {
            let lent = world.server.shards[0].counters().lent_chunks;
            assert!(lent <= 32, "{lent} chunks are lent to who does not read");
        }
        lazy = false;
    }
    settle(&mut world, &mut endpoints);
}

/// A world, what its clients saw, the endpoints with what they leave behind, and their streams.
type StuckEndpoint = (
    Endpoints,
    Arc<std::sync::Mutex<super::handlers::Outcome>>,
    Vec<(Endpoint<MemQueue>, Receiver<Estate<MemQueue>>)>,
    Vec<Echoing>,
);

/// Three clients of an endpoint whose event ring holds two events, and which is not stepped any more.
fn with_a_stuck_endpoint() -> StuckEndpoint {
    let (mut world, outcome, listener) = world(&Plan::default(), 3, 2_000, &Listen::on(7).for_endpoints());
    let limits = EndpointLimits {
        events: 2,
        ..EndpointLimits::default()
    };
    let endpoints = vec![endpoint(&mut world.server, &limits)];
    let mut streams = Vec::new();
    world.run_until(Duration::from_secs(10), |_| {
        endpoints[0].0.step();
        while let Ok(stream) = listener.try_accept(&endpoints[0].0) {
            streams.push(Echoing {
                stream,
                unsent: None,
                done: false,
            });
        }
        streams.len() == 3
    });
    (world, outcome, endpoints, streams)
}

#[test]
fn an_endpoint_that_takes_nothing_lets_its_worker_sleep_and_wakes_it_when_it_does() {
    let (mut world, outcome, mut endpoints, mut streams) = with_a_stuck_endpoint();
    world.run_for(Duration::from_secs(2));
    let now = world.now();
    let shard = &mut world.server.shards[0];
    assert!(shard.counters().events_deferred > 0, "its ring is full");
    let deferred = shard.counters().events_deferred;
    let deadline = shard.turn(now);
    assert!(!shard.was_busy());
    assert!(
        deadline > now + Duration::from_millis(1),
        "nothing keeps the worker awake"
    );
    assert_eq!(
        shard.counters().events_deferred,
        deferred,
        "who is held up costs no turn anything"
    );
    world.server.sleepers[0].prepare();
    assert!(!world.server.shards[0].has_work());
    assert!(endpoints[0].0.step() > 0);
    assert!(!world.server.sleepers[0].is_sleeping(), "the worker is woken");
    assert!(world.server.shards[0].has_work(), "and finds the room");
    world.run_until(Duration::from_secs(30), |_| {
        endpoints[0].0.step();
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.done);
        outcome.lock().unwrap().finished == 3
    });
    settle(&mut world, &mut endpoints);
}

#[test]
fn an_endpoint_that_dies_with_its_ring_full_leaves_nobody_held_up() {
    let (mut world, outcome, mut endpoints, streams) = with_a_stuck_endpoint();
    world.run_for(Duration::from_secs(1));
    let (dead, left_behind) = endpoints.pop().unwrap();
    drop(dead);
    drop(streams);
    let mut estate = left_behind.try_recv().expect("an estate");
    world.run_until(Duration::from_secs(60), |_| {
        estate.step();
        outcome.lock().unwrap().failed.len() == 3
    });
    for _ in 0..100 {
        if estate.step() {
            break;
        }
        world.run_for(Duration::from_millis(5));
    }
    let work = &world.server.shards[0].work;
    assert_eq!((work.held_up.len(), work.retry), (0, 0));
    settle(&mut world, &mut endpoints);
}
