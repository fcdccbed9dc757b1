//! What applications do wrong: threads that die, things that are forgotten, any order of dropping. It costs what it is about, and
//! never a worker or another endpoint.

use std::time::Duration;

use super::model::{Gone, House, LIMITS, web};
use crate::ConnId;
use crate::handoff::testing::TestQueue;
use crate::handoff::{Chunk, Connecting, Endpoint, EndpointLimits, Estate, Stream};

const NOW: Duration = Duration::ZERO;

fn received(house: &mut House, stream: &Stream<TestQueue>, bytes: &[u8]) -> Chunk<TestQueue> {
    let worker = usize::from(stream.id().worker());
    assert!(house.workers[worker].arrive(stream.id(), bytes));
    house.turn();
    stream.try_recv().unwrap().expect("it arrived")
}

/// A connection of this endpoint is served from its first byte to its last.
fn is_served(house: &mut House, endpoint: &Endpoint<TestQueue>) {
    let stream = house.accepted(0, endpoint);
    let id = stream.id();
    let chunk = received(house, &stream, b"ask");
    stream.send_chunk(chunk, NOW).unwrap();
    house.settle(endpoint);
    assert_eq!(house.workers[0].conn(id).sent, b"ask");
    drop(stream);
    house.settle(endpoint);
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: false })
    );
}

fn settle_estates(house: &mut House, estates: &mut Vec<Estate<TestQueue>>) {
    for _ in 0..5 {
        house.turn();
        estates.extend(house.estates.try_iter());
        estates.retain_mut(|estate| !estate.step());
    }
}

#[test]
fn a_thread_that_panics_with_all_it_has_leaves_what_one_leaves_that_drops_it() {
    let mut house = House::new(1);
    let [dying, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    let streams = [0, 0].map(|worker| house.accepted(worker, &dying));
    let ids = [streams[0].id(), streams[1].id()];
    let chunk = received(&mut house, &streams[0], b"in its hands");
    house.workers[0].arrive(ids[1], b"unread");
    house.turn();
    let died = std::thread::spawn(move || {
        let connecting = dying.start_connect(([10, 0, 0, 9], 1).into()).unwrap();
        assert_eq!(streams[0].try_send(b"its last words"), Ok(14));
        let buffer = streams[1].tx_buffer(NOW).unwrap();
        let _all = (connecting, chunk, buffer, streams, dying);
        panic!("a thread that dies");
    });
    assert!(died.join().is_err());
    settle_estates(&mut house, &mut Vec::new());
    assert_eq!(house.workers[0].conn(ids[0]).sent, b"its last words");
    assert_eq!(
        ids.map(|id| house.workers[0].conn(id).gone),
        [
            Some(Gone::Closed { unread: false }),
            Some(Gone::Closed { unread: true })
        ]
    );
    assert_eq!(house.workers[0].hub.status().leaving, 0);
    house.check_pools(0);
    is_served(&mut house, &other);
}

#[test]
fn chunks_that_are_forgotten_close_their_own_window_and_cost_their_endpoint_its_place() {
    let mut house = House::new(1);
    let [careless, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    let stream = house.accepted(0, &careless);
    let id = stream.id();
    for _ in 0..3 {
        std::mem::forget(received(&mut house, &stream, b"never given back"));
    }
    house.settle(&careless);
    let charged = house.workers[0].conn(id).charged;
    assert!(charged > 0, "its window stays charged for them");
    is_served(&mut house, &careless);
    is_served(&mut house, &other);
    assert_eq!(house.workers[0].conn(id).charged, charged);
    // What else may be lent to it is what is left, and no connection of others has less for that.
    for _ in 3..LIMITS.lent {
        std::mem::forget(received(&mut house, &stream, b"never given back"));
    }
    house.workers[0].arrive(id, b"more");
    house.settle(&careless);
    assert!(stream.try_recv().is_err(), "no more is lent");
    is_served(&mut house, &other);
    drop((stream, careless));
    let mut estates = Vec::new();
    settle_estates(&mut house, &mut estates);
    let gone = house.workers[0].conn(id).gone;
    assert!(
        matches!(gone, Some(Gone::Closed { .. })),
        "the connection does not wait for them"
    );
    assert_eq!(house.workers[0].hub.status().leaving, 1, "its place does");
    is_served(&mut house, &other);
}

#[test]
fn a_stream_that_is_forgotten_lives_until_its_endpoint_goes() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    std::mem::forget(stream);
    for _ in 0..4 * LIMITS.lent {
        house.workers[0].arrive(id, b"unread");
    }
    house.settle(&endpoint);
    assert_eq!(house.workers[0].conn(id).gone, None);
    assert!(house.workers[0].conn(id).inbound.len() as u32 >= 3 * LIMITS.lent);
    drop(endpoint);
    settle_estates(&mut house, &mut Vec::new());
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: true })
    );
    house.check_pools(0);
}

#[test]
fn an_endpoint_that_is_forgotten_gets_what_it_asked_for_and_holds_up_nobody() {
    const CONNECTIONS: usize = 40;
    let mut house = House::new(1);
    let forgotten = house.endpoint(&LIMITS);
    assert!(web().try_accept(&forgotten).is_err());
    house.turn();
    std::mem::forget(forgotten);
    let other = house.endpoint(&LIMITS);
    let ids: Vec<ConnId> = (0..CONNECTIONS).map(|_| house.workers[0].handshake()).collect();
    let mut served = Vec::new();
    for _ in 0..4 * CONNECTIONS {
        house.turn();
        served.extend(web().try_accept(&other).ok());
    }
    let credits = LIMITS.opened as usize;
    assert!(served.len() >= CONNECTIONS - credits, "{}", served.len());
    let lost: Vec<_> = ids
        .iter()
        .filter(|id| !served.iter().any(|stream| stream.id() == **id))
        .collect();
    assert!(!lost.is_empty(), "its credits stood");
    // More than its rings take, and all that may be lent to it.
    for _ in 0..10 {
        for id in &lost {
            house.workers[0].arrive(**id, b"for nobody");
        }
        house.turn();
    }
    let status = house.workers[0].hub.status();
    assert!(status.lent <= LIMITS.lent, "{status:?}");
    drop(served);
    house.settle(&other);
    is_served(&mut house, &other);
}

/// What is dropped.
enum Thing {
    Workers,
    Endpoint(Endpoint<TestQueue>),
    Stream(Stream<TestQueue>),
    Chunk(Chunk<TestQueue>),
    Connecting(Connecting<TestQueue>),
}

/// All orders of so many.
fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let fewer = orders(of - 1);
    let inserted = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, of - 1);
        order
    };
    fewer
        .iter()
        .flat_map(|order| (0..of).map(move |at| inserted(order, at)))
        .collect()
}

#[test]
fn things_are_dropped_in_every_order() {
    let limits = EndpointLimits {
        copied_bytes: 1000,
        ..LIMITS
    };
    let orders = orders(5);
    assert_eq!(orders.len(), 120);
    for (order, turns) in orders.iter().flat_map(|order| [(order, 0), (order, 2)]) {
        let mut house = House::new(1);
        let endpoint = house.endpoint(&limits);
        let stream = house.accepted(0, &endpoint);
        let id = stream.id();
        let chunk = received(&mut house, &stream, b"held");
        house.workers[0].arrive(id, b"unread");
        house.turn();
        assert_eq!(stream.try_send(b"sent"), Ok(4));
        let connecting = endpoint.start_connect(([10, 0, 0, 9], 1).into()).unwrap();
        let mut things = [
            Thing::Workers,
            Thing::Endpoint(endpoint),
            Thing::Stream(stream),
            Thing::Chunk(chunk),
            Thing::Connecting(connecting),
        ]
        .map(Some);
        let mut estates = Vec::new();
        for at in order {
            match things[*at].take() {
                Some(Thing::Workers) => {
                    for worker in &mut house.workers {
                        worker.queue.pool.close();
                    }
                    house.workers.clear();
                }
                Some(Thing::Chunk(chunk)) => assert_eq!(&chunk[..], b"held", "{order:?}"),
                Some(Thing::Endpoint(endpoint)) => drop(endpoint),
                Some(Thing::Stream(stream)) => drop(stream),
                Some(Thing::Connecting(connecting)) => drop(connecting),
                None => unreachable!("each once"),
            }
            for _ in 0..turns {
                house.turn();
            }
            estates.extend(house.estates.try_iter());
            estates.retain_mut(|estate| !estate.step());
        }
        settle_estates(&mut house, &mut estates);
        assert!(estates.is_empty(), "{order:?}: all is settled");
    }
}
