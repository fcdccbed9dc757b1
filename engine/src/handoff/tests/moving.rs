//! A connection moves from one endpoint to another: every order of steps and turns, and what becomes of it when one of them goes.

use std::time::Duration;

use super::model::{Gone, House, LIMITS};
use crate::error::ApiMisuse;
use crate::handoff::testing::TestQueue;
use crate::handoff::{Endpoint, EndpointLimits, Stream, StreamError, Token, Unmoved};

const NOW: Duration = Duration::ZERO;

fn read(stream: &Stream<TestQueue>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(chunk)) = stream.try_recv() {
        all.extend_from_slice(&chunk);
    }
    all
}

/// Moves it, with as many turns of the worker between as it takes.
fn moved(
    house: &mut House,
    mut stream: Stream<TestQueue>,
    from: &Endpoint<TestQueue>,
    to: &Endpoint<TestQueue>,
) -> Stream<TestQueue> {
    let handle = to.handle();
    for _ in 0..10 {
        match stream.move_to(&handle, 5, NOW) {
            Ok(()) => {
                let handed = to.take_handed(NOW).expect("it arrived");
                assert_eq!(handed.mark, 5);
                return handed.stream;
            }
            Err(unmoved) => {
                assert_eq!(unmoved.why, StreamError::NotYet);
                stream = unmoved.stream;
            }
        }
        // Asked for once more while the answer is on its way.
        let asked = stream.move_to(&handle, 5, NOW);
        stream = match asked {
            Ok(()) => return to.take_handed(NOW).expect("it arrived").stream,
            Err(unmoved) => unmoved.stream,
        };
        house.turn();
        let _ = from;
    }
    panic!("it never moved");
}

#[test]
fn unread_bytes_credit_and_options_go_with_it_and_buffers_go_home() {
    let mut house = House::new(2);
    let [one, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    for worker in [0, 1] {
        let stream = house.accepted(worker, &one);
        let id = stream.id();
        house.workers[worker].arrive(id, b"first ");
        house.workers[worker].arrive(id, b"second ");
        house.turn();
        // One in the application's hands, one unread, one in the worker's.
        let held = stream.recv(NOW).unwrap().unwrap();
        assert_eq!(stream.try_send(b"one ").unwrap(), 4);
        let handle = other.handle();
        let Err(Unmoved { stream, .. }) = stream.move_to(&handle, 5, NOW) else {
            panic!("the worker has not turned");
        };
        house.workers[worker].arrive(id, b"third");
        let stream = moved(&mut house, stream, &one, &other);
        assert_eq!(stream.id(), id);
        assert_eq!(stream.try_send(b"other").unwrap(), 5);
        house.settle(&other);
        assert_eq!(read(&stream), b"second third");
        assert_eq!(&held[..], b"first ", "what was taken before stays good");
        house.settle(&other);
        let charged = house.workers[worker].conn(id).charged;
        assert!(charged > 0, "a chunk is in the application's hands");
        drop(held);
        house.settle(&one);
        house.settle(&other);
        let conn = house.workers[worker].conn(id);
        assert_eq!(conn.charged, 0, "its space is the connection's, wherever that is");
        assert_eq!(conn.sent, b"one other", "in order");
        drop(stream);
        house.settle(&other);
        assert_eq!(
            house.workers[worker].conn(id).gone,
            Some(Gone::Closed { unread: false })
        );
    }
    assert_eq!((one.connections(), other.connections()), (0, 0));
    house.check_pools(0);
}

#[test]
fn moving_within_an_endpoint_is_at_once() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    endpoint.watch_handed(Token(9));
    let stream = house.accepted(0, &endpoint);
    let id = stream.id();
    stream.move_to(&endpoint.handle(), 3, NOW).unwrap();
    let mut ready = Vec::new();
    assert_eq!(endpoint.poll(&mut ready, NOW), 1);
    assert_eq!((ready[0].token, ready[0].readable), (Token(9), true));
    let handed = endpoint.take_handed(NOW).unwrap();
    assert_eq!((handed.stream.id(), handed.mark), (id, 3));
    assert_eq!(endpoint.take_handed(NOW).unwrap_err(), StreamError::NotYet);
    house.settle(&endpoint);
    assert!(house.workers[0].conn(id).gone.is_none(), "nobody closed it");
}

#[test]
fn no_more_wait_than_may() {
    let mut house = House::new(1);
    let one = house.endpoint(&LIMITS);
    let other = house.endpoint(&EndpointLimits { handed: 2, ..LIMITS });
    let mut streams: Vec<_> = (0..3).map(|_| house.accepted(0, &one)).collect();
    let last = streams.pop().unwrap();
    for stream in streams {
        let Err(unmoved) = stream.move_to(&other.handle(), 0, NOW) else {
            panic!("the worker has not turned");
        };
        house.turn();
        unmoved.stream.move_to(&other.handle(), 0, NOW).unwrap();
    }
    let Err(unmoved) = last.move_to(&other.handle(), 0, NOW) else {
        panic!("two wait already");
    };
    house.turn();
    assert_eq!(unmoved.why, StreamError::NotYet);
    house.workers[0].arrive(unmoved.stream.id(), b"here");
    house.settle(&one);
    assert_eq!(read(&unmoved.stream), b"here", "it is where it was");
    let first = [(); 2].map(|()| other.take_handed(NOW).unwrap());
    let last = moved(&mut house, unmoved.stream, &one, &other);
    drop((first, last));
}

#[test]
fn who_does_not_wait_asks_again_whether_it_went() {
    let mut house = House::new(1);
    let [one, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    let stream = house.accepted(0, &one);
    let id = stream.id();
    let Err(Unmoved { stream, .. }) = stream.move_to(&other.handle(), 2, NOW) else {
        panic!("the worker has not turned");
    };
    assert_eq!(stream.try_send(b"on its way").unwrap(), 10);
    // Somebody else's step takes the answer in.
    house.settle(&one);
    assert_eq!(one.connections(), 0);
    let away = StreamError::Misuse(ApiMisuse::LetGo);
    assert_eq!(stream.try_recv().unwrap_err(), away);
    assert_eq!(stream.try_send(b"x"), Err(away));
    assert_eq!(stream.info(NOW).unwrap_err(), away);
    stream.move_to(&other.handle(), 2, NOW).unwrap();
    let handed = other.take_handed(NOW).unwrap();
    assert_eq!((handed.stream.id(), handed.mark), (id, 2));
    house.settle(&other);
    assert_eq!(house.workers[0].conn(id).sent, b"on its way");
}

#[test]
fn a_stream_that_is_dropped_on_its_way_is_closed() {
    let mut house = House::new(1);
    let [one, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    let stream = house.accepted(0, &one);
    let id = stream.id();
    let Err(unmoved) = stream.move_to(&other.handle(), 2, NOW) else {
        panic!("the worker has not turned");
    };
    drop(unmoved);
    house.settle(&one);
    house.settle(&other);
    assert_eq!((one.connections(), other.connections()), (0, 0));
    assert_eq!(
        house.workers[0].conn(id).gone,
        Some(Gone::Closed { unread: false })
    );
}

#[test]
fn a_target_that_is_gone_leaves_the_stream_where_it_is() {
    let mut house = House::new(1);
    let one = house.endpoint(&LIMITS);
    // Gone before it is asked for.
    let other = house.endpoint(&LIMITS);
    let gone = other.handle();
    drop(other);
    house.turn();
    let mut stream = house.accepted(0, &one);
    let id = stream.id();
    for _ in 0..3 {
        let Err(unmoved) = stream.move_to(&gone, 0, NOW) else {
            panic!("there is nobody");
        };
        house.turn();
        stream = unmoved.stream;
        if unmoved.why == StreamError::Misuse(ApiMisuse::Stopped) {
            break;
        }
        assert_eq!(unmoved.why, StreamError::NotYet);
    }
    // Gone between the worker's answer and the inbox.
    let other = house.endpoint(&LIMITS);
    let going = other.handle();
    let Err(Unmoved { stream, .. }) = stream.move_to(&going, 0, NOW) else {
        panic!("the worker has not turned");
    };
    let Err(Unmoved { stream, .. }) = stream.move_to(&going, 0, NOW) else {
        panic!("the worker has not turned");
    };
    house.turn();
    drop(other);
    let Err(unmoved) = stream.move_to(&going, 0, NOW) else {
        panic!("there is nobody");
    };
    let _ = unmoved.why;
    house.workers[0].arrive(id, b"still here");
    house.settle(&one);
    house.settle(&one);
    assert_eq!(read(&unmoved.stream), b"still here");
    assert!(house.workers[0].conn(id).gone.is_none());
}

#[test]
fn an_endpoint_that_is_dropped_closes_what_arrived_and_nothing_that_left() {
    let mut house = House::new(1);
    let [one, other] = [(); 2].map(|()| house.endpoint(&LIMITS));
    let [left, arrived] = [(); 2].map(|()| house.accepted(0, &one));
    let (left_id, arrived_id) = (left.id(), arrived.id());
    house.workers[0].arrive(left_id, b"held");
    house.turn();
    let held = left.recv(NOW).unwrap().unwrap();
    let left = moved(&mut house, left, &one, &other);
    let Err(Unmoved { stream, .. }) = arrived.move_to(&other.handle(), 0, NOW) else {
        panic!("the worker has not turned");
    };
    house.turn();
    stream.move_to(&other.handle(), 0, NOW).unwrap();
    // The first endpoint goes while the application holds one of its chunks: the window of the connection that left is whole.
    drop(one);
    house.settle(&other);
    assert_eq!(house.workers[0].conn(left_id).charged, 0);
    assert!(house.workers[0].conn(left_id).gone.is_none(), "it left in time");
    assert_eq!(&held[..], b"held");
    house.workers[0].arrive(left_id, b"on");
    house.settle(&other);
    assert_eq!(read(&left), b"on");
    // The second goes with one that nobody took.
    drop(other);
    house.turn();
    assert!(
        house.workers[0].conn(arrived_id).gone.is_some(),
        "closed with the rest"
    );
    assert!(house.workers[0].conn(left_id).gone.is_some());
    drop(held);
}
