//! Endpoints that are dropped, and what becomes of what they had.

use super::model::{Gone, HUB, House, LIMITS, ModelWorker, web};
use crate::error::ApiMisuse;
use crate::handoff::testing::{TestQueue, as_worker};
use crate::handoff::{EndpointLimits, Estate, HubLimits, StreamError};

fn settle(house: &mut House, estate: &mut Estate<TestQueue>) -> bool {
    house.turn();
    estate.step();
    house.turn();
    house.turn();
    estate.step()
}

#[test]
fn a_dropped_endpoint_closes_its_connections_and_is_told_once() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let (unread, quiet) = (house.accepted(0, &endpoint), house.accepted(0, &endpoint));
    let elsewhere = house.accepted(1, &endpoint);
    let ids = [unread.id(), quiet.id()];
    house.workers[0].arrive(unread.id(), b"x");
    house.turn();
    endpoint.step();
    drop(endpoint);
    let mut estate = house.estates.try_recv().expect("left to the control thread");
    assert!(settle(&mut house, &mut estate), "nobody holds a chunk");
    let gone = ids.map(|id| house.workers[0].conn(id).gone);
    assert_eq!(
        gone,
        [
            Some(Gone::Closed { unread: true }),
            Some(Gone::Closed { unread: false })
        ]
    );
    assert_eq!(
        house.workers[1].conn(elsewhere.id()).gone,
        Some(Gone::Closed { unread: false })
    );
    for worker in &house.workers {
        assert_eq!(worker.detached.len(), 1);
        let status = worker.hub.status();
        assert_eq!(
            (status.endpoints, status.leaving, status.lent, status.blanks),
            (0, 0, 0, 0)
        );
        assert_eq!((worker.queue.pool.used(), worker.queue.pool.strays()), (0, 0));
    }
    // Streams that outlive it do no harm.
    assert_eq!(
        unread.try_recv().unwrap_err(),
        StreamError::Misuse(ApiMisuse::Stopped)
    );
    assert_eq!(
        unread.try_send(b"x").unwrap_err(),
        StreamError::Misuse(ApiMisuse::Stopped)
    );
    drop((unread, quiet, elsewhere));
}

#[test]
fn its_last_words_are_heard_before_it_is_gone() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits {
        commands: 2,
        ..LIMITS
    });
    let streams: Vec<_> = (0..5).map(|_| house.accepted(0, &endpoint)).collect();
    assert_eq!(streams[3].try_send(b"bye"), Ok(3));
    drop(endpoint);
    let mut estate = house.estates.try_recv().unwrap();
    // The ring takes two commands at a time; the closes that did not fit are the estate's.
    for _ in 0..2 {
        house.turn();
        assert!(house.workers[0].detached.is_empty(), "not yet");
        estate.step();
    }
    assert!(settle(&mut house, &mut estate));
    assert_eq!(house.workers[0].conn(streams[3].id()).sent, b"bye");
    for stream in &streams {
        assert_eq!(
            house.workers[0].conn(stream.id()).gone,
            Some(Gone::Closed { unread: false })
        );
    }
    assert_eq!(house.workers[0].detached.len(), 1);
}

#[test]
fn connections_that_were_never_seen_are_left_to_the_shard() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let _ = web().try_accept(&endpoint);
    house.turn();
    let ids = [house.workers[0].handshake(), house.workers[0].handshake()];
    house.workers[0].arrive(ids[0], b"in the ring");
    let last = house.workers[0].accept_queue.pop_back().unwrap();
    house.turn();
    drop(endpoint);
    // The worker has not heard of it when it hands this over.
    house.workers[0].accept_queue.push_back(last);
    as_worker(|| house.workers[0].open());
    let mut estate = house.estates.try_recv().unwrap();
    assert!(settle(&mut house, &mut estate));
    assert_eq!(
        house.workers[0].conn(ids[0]).gone,
        Some(Gone::Closed { unread: true })
    );
    assert_eq!(house.workers[0].conn(ids[1]).gone, Some(Gone::Orphaned));
    assert!(
        !house.workers[0].hub.has_credit(super::model::WEB),
        "its credits went with it"
    );
    assert_eq!(house.workers[0].queue.pool.used(), 0);
}

#[test]
fn lent_chunks_outlive_their_endpoint_and_come_home_from_any_thread() {
    let mut house = House::with(1, HubLimits { endpoints: 1, ..HUB }, 200);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    for byte in 0..7 {
        house.workers[0].arrive(stream.id(), &[byte; 3]);
    }
    house.turn();
    let mut held: Vec<_> = (0..3).map(|_| stream.try_recv().unwrap().unwrap()).collect();
    drop(stream);
    drop(endpoint);
    let mut estate = house.estates.try_recv().unwrap();
    assert!(!settle(&mut house, &mut estate), "three are still held");
    let status = house.workers[0].hub.status();
    assert_eq!((status.leaving, status.lent, status.blanks), (1, 3, 0));
    assert_eq!(&held[2][..], &[2; 3], "and readable");

    let last = held.pop().unwrap();
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert!(!settle(&mut house, &mut estate));
    assert_eq!(house.workers[0].hub.status().lent, 1);
    std::thread::spawn(move || drop(last)).join().unwrap();
    assert!(estate.step(), "settled: every buffer is on its way");
    drop(estate);
    house.turn();
    let worker: &ModelWorker = &house.workers[0];
    assert_eq!((worker.queue.pool.used(), worker.queue.pool.strays()), (0, 0));
    // The only place is free again.
    let next = house.endpoint(&LIMITS);
    let _ = house.accepted(0, &next);
}

#[test]
fn a_place_is_not_given_away_before_every_buffer_is_home() {
    let mut house = House::with(1, HubLimits { endpoints: 1, ..HUB }, 200);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"x");
    house.turn();
    let chunk = stream.try_recv().unwrap().unwrap();
    drop(endpoint);
    let mut estate = house.estates.try_recv().unwrap();
    settle(&mut house, &mut estate);
    assert_eq!(house.workers[0].hub.status().leaving, 1);
    drop(chunk);
    settle(&mut house, &mut estate);
    assert_eq!(house.workers[0].hub.status().leaving, 0);
}

#[test]
fn a_worker_that_goes_first_leaves_buffers_to_whoever_holds_them() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    for byte in 0..4 {
        house.workers[0].arrive(stream.id(), &[byte]);
    }
    house.turn();
    let chunk = stream.try_recv().unwrap().unwrap();
    let pool = std::sync::Arc::clone(&house.workers[0].queue.pool);
    drop(house);
    assert_eq!(&chunk[..], &[0]);
    drop(chunk);
    endpoint.step();
    drop(stream);
    drop(endpoint);
    assert_eq!(pool.used(), 0, "the pool outlives the worker");
}

#[test]
fn an_endpoint_that_is_detached_while_it_lives_hears_that_it_stopped() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    house.workers[0].arrive(stream.id(), b"x");
    house.turn();
    let chunk = stream.try_recv().unwrap().unwrap();
    let index = house.workers[0].conn(stream.id()).owner;
    assert_eq!(stream.try_send(b"lost"), Ok(4));
    house.workers[0].hub.detach(index);
    endpoint.step();
    assert_eq!(
        stream.try_recv().unwrap_err(),
        StreamError::Misuse(ApiMisuse::Stopped)
    );
    drop(chunk);
    house.settle(&endpoint);
    let worker = &house.workers[0];
    assert_eq!(
        (
            worker.hub.status().leaving,
            worker.queue.pool.used(),
            worker.queue.pool.strays()
        ),
        (0, 0, 0)
    );
}

#[test]
fn an_estate_returns_blanks_only_when_no_more_can_come() {
    // It returned them at once, the worker filled the ring again, and the way back was too small for both.
    let mut house = House::new(1);
    let endpoint = house.endpoint(&EndpointLimits { lent: 1, ..LIMITS });
    house.settle(&endpoint);
    drop(endpoint);
    let mut estate = house.estates.try_recv().unwrap();
    for _ in 0..3 {
        estate.step();
        let worker = &mut house.workers[0];
        as_worker(|| worker.hub.refill_blanks(&mut worker.queue));
    }
    assert_eq!(house.workers[0].hub.status().blanks, LIMITS.blanks);
    assert!(settle(&mut house, &mut estate));
    assert_eq!(house.workers[0].queue.pool.used(), 0);
}
