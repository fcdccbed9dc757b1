//! Connections that change hands (D9): from a handler that saw their first bytes to an endpoint, and from endpoint to endpoint. Every
//! byte comes back to the client as it was sent, whoever had the connection when it came.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fourtuple_nic_mem::{MemQueue, WireConditions};

use super::endpoints::{Echoing, endpoint};
use super::handlers::{Client, Errand, pattern};
use super::{Plan, World};
use crate::error::ApiMisuse;
use crate::handler::{Closed, Handler};
use crate::handoff::{EndpointHandle, EndpointLimits, StreamError};
use crate::listener::Listen;
use crate::shard::Connection;

/// Looks at the first bytes of a connection and gives it away; counts what it hears of it afterwards.
struct Front {
    to: Arc<OnceLock<EndpointHandle<MemQueue>>>,
    /// Bytes that it wants to see.
    looks_at: usize,
    /// Takes so many of them, which it sends back itself.
    takes: usize,
    heard_after: Arc<std::sync::atomic::AtomicU32>,
}

#[derive(Default)]
struct Seen {
    gone: bool,
    /// Bytes that the handler sent back itself.
    taken: usize,
    /// Memory that has to go with the connection.
    _held: Vec<u8>,
}

impl Front {
    fn heard(&self, seen: &Seen) {
        if seen.gone {
            self.heard_after
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Handler<MemQueue> for Front {
    type State = Seen;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, _: &mut Seen) {
        connection.set_timer(Some(Duration::from_millis(5)));
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, seen: &mut Seen) {
        self.heard(seen);
        let mut bytes = 0;
        for (place, byte) in connection.peek().flatten().enumerate() {
            assert_eq!(*byte, pattern(seen.taken + place), "byte {place} in place");
            bytes += 1;
        }
        if seen.taken == 0 && bytes < self.looks_at {
            return;
        }
        while seen.taken < self.takes
            && let Some(part) = connection.receive()
        {
            seen.taken += part.bytes().len();
            connection
                .send_shared(part.into_payload())
                .expect("room for the first bytes");
        }
        let to = self.to.get().expect("an endpoint");
        match connection.hand_off(to, 7) {
            Ok(()) => {
                seen.gone = true;
                seen._held = vec![1; 100];
                assert_eq!(
                    connection.hand_off(to, 8),
                    Err(StreamError::Misuse(ApiMisuse::NoSuchConnection)),
                    "once"
                );
            }
            // As many wait there as may: the timer looks again.
            Err(why) => assert_eq!(why, StreamError::NotYet),
        }
    }

    fn on_timer(&mut self, connection: &mut Connection<'_, MemQueue>, seen: &mut Seen) {
        self.on_readable(connection, seen);
        connection.set_timer(Some(Duration::from_millis(5)));
    }

    fn on_peer_closed(&mut self, _: &mut Connection<'_, MemQueue>, seen: &mut Seen) {
        self.heard(seen);
    }

    fn on_closed(&mut self, _: Closed, seen: &mut Seen) {
        self.heard(seen);
    }
}

/// Connections of a client to a front that gives them to endpoints; those move each to the next endpoint so many times.
fn handed_off(workers: u16, conditions: WireConditions, takes: usize, moves: usize) {
    const CONNECTIONS: u32 = 12;
    const BYTES: usize = 40_000;
    let plan = Plan {
        conditions,
        server_workers: workers,
        ..Plan::default()
    };
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: CONNECTIONS,
        bytes: BYTES,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let to = Arc::new(OnceLock::new());
    let heard_after = Arc::default();
    let front = |_| Front {
        to: Arc::clone(&to),
        looks_at: 100,
        takes,
        heard_after: Arc::clone(&heard_after),
    };
    let mut world = World::new(&plan, front, |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    // Few may wait at a time, so that the handler is refused now and then.
    let limits = EndpointLimits {
        handed: 3,
        lent: 64,
        ..EndpointLimits::default()
    };
    let endpoints: Vec<_> = (0..2).map(|_| endpoint(&mut world.server, &limits)).collect();
    to.set(endpoints[0].0.handle()).expect("set once");
    let mut streams: Vec<Echoing> = Vec::new();
    let mut on_the_move = Vec::new();
    let mut moved = 0;
    world.run_until(Duration::from_secs(600), |_| {
        for (number, (endpoint, _)) in endpoints.iter().enumerate() {
            endpoint.step();
            while let Ok(handed) = endpoint.take_handed(Duration::ZERO) {
                let times = if handed.mark == 7 { 0 } else { handed.mark as usize };
                if times < moves {
                    let to = endpoints[1 - number].0.handle();
                    on_the_move.push((handed.stream, to, times));
                } else {
                    streams.push(Echoing::new(handed.stream));
                }
            }
        }
        for (stream, to, times) in std::mem::take(&mut on_the_move) {
            // Without waiting: it is asked for here, and told by a later call.
            match stream.move_to(&to, times as u64 + 1, Duration::ZERO) {
                Ok(()) => moved += 1,
                Err(unmoved) => {
                    assert_eq!(unmoved.why, StreamError::NotYet);
                    on_the_move.push((unmoved.stream, to, times));
                }
            }
        }
        streams.iter_mut().for_each(Echoing::pump);
        streams.retain(|stream| !stream.is_done());
        outcome.lock().unwrap().finished == CONNECTIONS
    });
    assert_eq!(outcome.lock().unwrap().failed, []);
    assert_eq!(
        outcome.lock().unwrap().received,
        u64::from(CONNECTIONS) * BYTES as u64
    );
    let counters = |name: fn(&crate::stats::Counters) -> u64| -> u64 {
        let shards = &world.server.shards;
        shards.iter().map(|shard| name(&shard.work.counters)).sum()
    };
    assert_eq!(counters(|counters| counters.handed_off), u64::from(CONNECTIONS));
    assert_eq!(counters(|counters| counters.moved), moved);
    assert_eq!(moved, moves as u64 * u64::from(CONNECTIONS));
    assert_eq!(
        heard_after.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "the handler hears nothing of what it gave away"
    );
    for shard in &world.server.shards {
        shard.work.alarms.audit(&shard.work.records).unwrap();
        assert!(shard.work.alarms.next().is_none(), "their timers went with them");
    }
    drop(streams);
    let mut estates: Vec<_> = endpoints
        .into_iter()
        .filter_map(|(endpoint, left_behind)| {
            drop(endpoint);
            left_behind.try_recv().ok()
        })
        .collect();
    for _ in 0..2_000 {
        estates.retain_mut(|estate| !estate.step());
        world.run_for(Duration::from_millis(1));
    }
    assert!(estates.is_empty(), "every buffer came home");
    world.assert_as_at_start();
}

#[test]
fn what_a_handler_peeked_at_is_read_by_the_endpoint_that_it_goes_to() {
    for workers in [1, 2] {
        handed_off(workers, Plan::default().conditions, 0, 0);
    }
}

#[test]
fn what_a_handler_answered_itself_goes_out_before_what_the_endpoint_sends() {
    handed_off(1, Plan::default().conditions, 1, 0);
}

#[test]
fn connections_that_move_from_endpoint_to_endpoint_lose_and_double_nothing() {
    for workers in [1, 2] {
        handed_off(workers, Plan::default().conditions, 0, 3);
    }
}

#[test]
fn nothing_is_lost_on_a_bad_wire_while_connections_change_hands() {
    let conditions = WireConditions {
        loss: 20_000,
        duplicate: 20_000,
        reorder: 50_000,
        reorder_by: Duration::from_millis(1),
        ..Plan::default().conditions
    };
    handed_off(2, conditions, 1, 2);
}
