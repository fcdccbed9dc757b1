//! Chunks out and home again; what happens when somebody is slow.

use fourtuple_nic::Queue;

use super::model::{HUB, House, LIMITS};
use crate::handoff::testing::{SPACE, TestQueue};
use crate::handoff::{Chunk, EndpointLimits, HubLimits, StreamError};

fn received(chunk: Result<Option<Chunk<TestQueue>>, StreamError>) -> Chunk<TestQueue> {
    chunk.expect("something is there").expect("and not the end")
}

#[test]
fn a_full_event_ring_loses_nothing() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        events: 2,
        lent: 100,
        ..LIMITS
    });
    let stream = house.accepted(0, &endpoint);
    for byte in 0..7 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.workers[0].conn(stream.id()).peer_closed = true;
    house.turn();
    assert_eq!(
        house.workers[0].conn(stream.id()).inbound.len(),
        5,
        "owed while the ring is full"
    );
    assert!(house.workers[0].hub.status().ring_full > 0);

    let mut bytes = Vec::new();
    loop {
        match stream.try_recv() {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error, StreamError::NotYet);
                house.turn();
            }
        }
    }
    assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6]);
    house.settle(&endpoint);
    assert_eq!(
        house.workers[0].conn(stream.id()).charged,
        0,
        "all space was released"
    );
    house.check_pools(0);
}

#[test]
fn a_slow_consumer_is_lent_no_more_than_its_bound() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    for byte in 0..20 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.settle(&endpoint);
    assert_eq!(house.workers[0].hub.status().lent, LIMITS.lent);
    assert_eq!(
        house.workers[0].conn(stream.id()).inbound.len(),
        12,
        "the rest fills the window"
    );

    // Held chunks count until they are dropped, not until they are read.
    let held: Vec<_> = (0..8).map(|_| received(stream.try_recv())).collect();
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).inbound.len(), 12);
    assert_eq!(house.workers[0].conn(stream.id()).charged, 8 * SPACE);
    drop(held);
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(stream.id()).inbound.len(), 4);
}

#[test]
fn the_bound_of_all_endpoints_holds_and_a_chunk_beyond_it_comes_back() {
    let mut house = House::with(1, HubLimits { lent: 10, ..HUB }, 200);
    let (one, other) = (house.endpoint(&LIMITS), house.endpoint(&LIMITS));
    let streams = [house.accepted(0, &one), house.accepted(0, &other)];
    for stream in &streams {
        for byte in 0..8 {
            house.workers[0].arrive(stream.id(), &[byte]);
        }
    }
    house.turn();
    let status = house.workers[0].hub.status();
    assert_eq!((status.lent, status.lent_bound), (10, 10));
    // The shard need not ask first.
    let endpoint = house.workers[0].conn(streams[1].id()).owner;
    let worker = &mut house.workers[0];
    let chunk = worker
        .queue
        .blank()
        .map(crate::buffer::RxChunk)
        .expect("the pool is not empty");
    let event = crate::handoff::Event::Chunk(streams[1].id(), chunk);
    crate::handoff::testing::as_worker(|| assert!(worker.hub.try_event(endpoint, event).is_err()));
    assert_eq!(worker.hub.status().lend_refused, 1);
}

#[test]
fn a_chunk_comes_home_from_any_thread() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let streams = [house.accepted(0, &endpoint), house.accepted(1, &endpoint)];
    for (worker, stream) in streams.iter().enumerate() {
        for byte in 0..4 {
            house.workers[worker].arrive(stream.id(), &[byte]);
        }
    }
    house.turn();
    let threads: Vec<_> = streams
        .iter()
        .flat_map(|stream| (0..4).map(|_| received(stream.try_recv())).collect::<Vec<_>>())
        .map(|chunk| std::thread::spawn(move || drop(chunk)))
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    house.check_pools(8);
    house.settle(&endpoint);
    house.check_pools(0);
    for (worker, stream) in streams.iter().enumerate() {
        assert_eq!(house.workers[worker].conn(stream.id()).charged, 0);
    }
}

#[test]
fn connections_that_nobody_reads_are_copied_and_do_not_starve_the_others() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        copied_bytes: 1000,
        events: 64,
        ..LIMITS
    });
    let (silent, busy) = (house.accepted(0, &endpoint), house.accepted(0, &endpoint));
    for byte in 0..20 {
        house.workers[0].arrive(silent.id(), &[byte, byte]);
    }
    house.settle(&endpoint);
    assert!(
        house.workers[0].hub.status().lent < LIMITS.lent,
        "there is room for others"
    );
    assert_eq!(
        house.workers[0].conn(silent.id()).charged,
        20 * SPACE,
        "its window stays charged"
    );
    house.workers[0].arrive(busy.id(), b"now");
    house.settle(&endpoint);
    assert_eq!(&received(busy.try_recv())[..], b"now");

    let mut bytes = Vec::new();
    let mut into = [0; 3];
    while let Ok(count) = silent.recv_into(&mut into, std::time::Duration::ZERO) {
        bytes.extend_from_slice(&into[..count]);
    }
    assert_eq!(bytes, (0..20).flat_map(|byte| [byte, byte]).collect::<Vec<_>>());
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(silent.id()).charged, 0);
    house.check_pools(0);
}

#[test]
fn copies_stop_at_their_budget() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        copied_bytes: 10,
        events: 64,
        ..LIMITS
    });
    let silent = house.accepted(0, &endpoint);
    for byte in 0..40 {
        house.workers[0].arrive(silent.id(), &[byte, byte]);
    }
    house.settle(&endpoint);
    assert_eq!(endpoint.shared.with(|core| core.unread()), (10, LIMITS.lent));
    assert_eq!(house.workers[0].conn(silent.id()).inbound.len(), 40 - 8 - 5);
}

#[test]
fn a_chunk_is_read_in_parts() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"abcdef");
    house.turn();
    let mut into = [0; 2];
    assert_eq!(stream.recv_into(&mut into, std::time::Duration::ZERO), Ok(2));
    let mut chunk = received(stream.try_recv());
    assert_eq!(&chunk[..], b"cdef");
    chunk.advance(1);
    chunk.truncate(2);
    assert_eq!(&chunk[..], b"de");
    chunk.advance(99);
    assert!(chunk.is_empty());
}
