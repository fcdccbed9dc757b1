//! Threads that wait, and who wakes them. A wait that ends is the proof: nothing here looks at a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::model::{House, LIMITS, web};
use crate::handoff::{EndpointLimits, StreamError};

const FOREVER: Duration = Duration::MAX;

/// Turns the workers on this thread until the others are done.
fn turn_while(house: &mut House, mut running: impl FnMut() -> bool) {
    while running() {
        house.turn();
        thread::yield_now();
    }
}

#[test]
fn an_echo_over_threads_moves_every_byte() {
    let mut house = House::new(2);
    let endpoint = Arc::new(house.endpoint(&LIMITS));
    let done = Arc::new(AtomicBool::new(false));
    let server = {
        let (endpoint, done) = (Arc::clone(&endpoint), Arc::clone(&done));
        thread::spawn(move || {
            let streams = thread::scope(|scope| {
                let serve = |_| {
                    let endpoint = &endpoint;
                    scope.spawn(move || {
                        let stream = web().accept(endpoint, FOREVER).unwrap();
                        while let Some(chunk) = stream.recv(FOREVER).unwrap() {
                            if chunk[0] % 3 == 0 {
                                stream.send_all(&chunk, FOREVER).unwrap();
                            } else {
                                stream.send_chunk(chunk, FOREVER).unwrap();
                            }
                        }
                        stream.shutdown();
                        stream
                    })
                };
                [0, 1, 2].map(serve).map(|thread| thread.join().unwrap())
            });
            done.store(true, Ordering::SeqCst);
            streams
        })
    };
    let ids = [0, 0, 1].map(|worker| house.workers[worker].handshake());
    let mut fed = [0u32; 3];
    turn_while(&mut house, || !done.load(Ordering::SeqCst) && { false });
    while !done.load(Ordering::SeqCst) {
        for (at, id) in ids.iter().enumerate() {
            let worker = &mut house.workers[usize::from(id.worker())];
            if fed[at] < 500 && worker.conn(*id).inbound.len() < 4 {
                worker.arrive(
                    *id,
                    &fed[at].to_be_bytes().map(|byte| byte.wrapping_add(fed[at] as u8)),
                );
                fed[at] += 1;
            }
            worker.conn(*id).peer_closed = fed[at] == 500;
        }
        house.turn();
        thread::yield_now();
    }
    let streams = server.join().unwrap();
    house.settle(&endpoint);
    for id in ids {
        let conn = house.workers[usize::from(id.worker())].conn(id);
        assert_eq!(conn.told.len(), 2000);
        assert_eq!(conn.sent, conn.told);
        assert!(conn.shut && conn.charged == 0);
    }
    house.check_pools(0);
    drop(streams);
}

#[test]
fn who_waits_for_room_is_woken_when_the_worker_takes_commands() {
    let mut house = House::new(1);
    house.workers[0].credit = 100_000;
    let endpoint = house.endpoint(&EndpointLimits {
        commands: 2,
        blanks: 4,
        ..LIMITS
    });
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    let sender = thread::spawn(move || {
        stream.send_all(&[5; 20_000], FOREVER).unwrap();
        stream
    });
    turn_while(&mut house, || !sender.is_finished());
    let stream = sender.join().unwrap();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(id).sent, vec![5; 20_000]);
    drop(stream);
}

#[test]
fn a_chunk_dropped_by_another_thread_opens_the_window_of_one_who_sleeps() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits { lent: 1, ..LIMITS });
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"1");
    house.workers[0].arrive(stream.id(), b"2");
    house.turn();
    let first = stream.try_recv().unwrap().unwrap();
    let reader = thread::spawn(move || {
        let second = stream.recv(FOREVER).unwrap().unwrap();
        assert_eq!(&second[..], b"2");
    });
    // Whether it sleeps already or not: the second chunk can't be lent before the first is home.
    let dropper = thread::spawn(move || drop(first));
    turn_while(&mut house, || !reader.is_finished());
    reader.join().unwrap();
    dropper.join().unwrap();
}

#[test]
fn a_sleeping_endpoint_is_woken_once_and_a_worker_wakes_one_a_turn() {
    let mut house = House::new(1);
    let endpoints: Vec<_> = (0..3).map(|_| house.endpoint(&LIMITS)).collect();
    let streams: Vec<_> = endpoints
        .iter()
        .map(|endpoint| house.accepted(0, endpoint))
        .collect();
    for endpoint in &endpoints {
        house.settle(endpoint);
        endpoint.shared.sleeper().prepare();
    }
    let before = house.workers[0].hub.status().wakes;
    let asleep = || {
        endpoints
            .iter()
            .filter(|endpoint| endpoint.shared.sleeper().is_sleeping())
            .count()
    };
    for stream in &streams {
        house.workers[0].arrive(stream.id(), b"x");
    }
    for left in [2, 1, 0] {
        house.turn();
        assert_eq!(asleep(), left);
        let status = house.workers[0].hub.status();
        assert_eq!(status.wakes_waiting, left as u32);
        assert_eq!(
            house.workers[0].hub.has_work(),
            left > 0,
            "a worker that owes a wake does not sleep"
        );
    }
    house.turn();
    assert_eq!(house.workers[0].hub.status().wakes, before + 3);
    // One that is awake costs no syscall.
    house.workers[0].arrive(streams[0].id(), b"y");
    house.turn();
    assert_eq!(house.workers[0].hub.status().wakes, before + 3);
    assert_eq!(house.workers[0].hub.status().wakes_waiting, 0);
}

#[test]
fn dropping_the_endpoint_ends_the_waits_on_its_streams() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let streams = [house.accepted(0, &endpoint), house.accepted(0, &endpoint)];
    let threads = streams.map(|stream| thread::spawn(move || stream.recv(FOREVER).unwrap_err()));
    drop(endpoint);
    for thread in threads {
        let stopped = StreamError::Misuse(crate::error::ApiMisuse::Stopped);
        assert_eq!(thread.join().unwrap(), stopped);
    }
}

#[test]
fn a_step_that_finds_nothing_says_so() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    assert_eq!(endpoint.step(), 0);
    assert!(!endpoint.wait(Duration::ZERO));
    let stream = house.accepted(0, &endpoint);
    house.settle(&endpoint);
    house.workers[0].arrive(stream.id(), b"x");
    house.turn();
    assert!(endpoint.wait(FOREVER));
    assert!(!endpoint.wait(Duration::ZERO));
}
