//! Connections by credit, and connections opened from here.

use std::net::SocketAddr;
use std::time::Duration;

use super::model::{Gone, House, LIMITS, WEB, tuple, web};
use crate::ConnId;
use crate::error::{ApiMisuse, ConnectError, ConnectionError};
use crate::handoff::{Opened, StreamError};
use crate::listener::ListenerId;

#[test]
fn connections_go_to_the_endpoint_with_the_fewest() {
    let mut house = House::new(1);
    let endpoints = [house.endpoint(&LIMITS), house.endpoint(&LIMITS)];
    let _busy: Vec<_> = (0..3).map(|_| house.accepted(0, &endpoints[0])).collect();
    assert_eq!(web().try_accept(&endpoints[1]).unwrap_err(), StreamError::NotYet);
    house.turn();
    for _ in 0..5 {
        house.workers[0].handshake();
    }
    house.turn();
    endpoints.iter().for_each(|endpoint| {
        endpoint.step();
    });
    assert_eq!(
        endpoints.each_ref().map(|endpoint| endpoint.connections()),
        [4, 4]
    );
}

#[test]
fn without_credit_a_connection_stays_with_its_worker() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    house.workers[0].handshake();
    house.turn();
    assert!(!house.workers[0].hub.has_credit(WEB));
    assert_eq!(house.workers[0].accept_queue.len(), 1);
    let few = web().with_credits(2);
    assert_eq!(few.try_accept(&endpoint).unwrap_err(), StreamError::NotYet);
    for _ in 0..4 {
        house.workers[0].handshake();
    }
    house.settle(&endpoint);
    assert_eq!(
        house.workers[0].accept_queue.len(),
        3,
        "who does not accept gets no more"
    );
    let accepted: Vec<_> = std::iter::from_fn(|| {
        house.settle(&endpoint);
        few.try_accept(&endpoint).ok()
    })
    .collect();
    assert_eq!(accepted.len(), 5);
    assert_eq!(accepted[0].peer(), tuple(accepted[0].id()).remote());
    assert_eq!(accepted[0].local(), tuple(accepted[0].id()).local());
}

#[test]
fn every_listener_of_an_endpoint_gets_credit_however_many_there_are() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    let listeners: Vec<_> = (0..2)
        .map(|number| crate::handoff::Listener::new(ListenerId(number), 80 + number, 5))
        .collect();
    for listener in &listeners {
        assert_eq!(listener.try_accept(&endpoint).unwrap_err(), StreamError::NotYet);
        house.settle(&endpoint);
    }
    house.settle(&endpoint);
    for listener in &listeners {
        assert!(
            house.workers[0].hub.has_credit(listener.id()),
            "{}",
            listener.port()
        );
    }
}

#[test]
fn with_backlog_0_only_a_waiting_accept_posts_a_credit() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let web = crate::handoff::Listener::new(WEB, 80, 0);
    assert_eq!(web.try_accept(&endpoint).unwrap_err(), StreamError::NotYet);
    house.settle(&endpoint);
    assert!(!house.workers.iter().any(|worker| worker.hub.has_credit(WEB)));

    // An accept whose time is up takes its credits back.
    assert_eq!(
        web.accept(&endpoint, Duration::from_nanos(1)).unwrap_err(),
        StreamError::NotYet
    );
    let commands = house.workers[0].hub.status().commands_waiting;
    assert_eq!(commands, 2, "posted and withdrawn");
    house.settle(&endpoint);
    assert!(!house.workers.iter().any(|worker| worker.hub.has_credit(WEB)));

    // Where both crossed, the connection is there for the next accept, and nothing is posted too much.
    assert_eq!(
        web.accept(&endpoint, Duration::from_nanos(1)).unwrap_err(),
        StreamError::NotYet
    );
    crate::handoff::testing::as_worker(|| {
        house.workers[0].handshake();
        house.workers[0].take_commands(1);
        house.workers[0].open();
    });
    house.settle(&endpoint);
    assert!(web.try_accept(&endpoint).is_ok());
    house.settle(&endpoint);
    assert!(!house.workers.iter().any(|worker| worker.hub.has_credit(WEB)));
}

#[test]
fn credits_and_connects_never_outnumber_the_room_for_answers() {
    let mut house = House::new(1);
    let endpoint = house.endpoint(&LIMITS);
    assert!(web().with_credits(1000).try_accept(&endpoint).is_err());
    let remote = SocketAddr::from(([10, 0, 0, 9], 80));
    let connects: Vec<_> = std::iter::from_fn(|| endpoint.start_connect(remote).ok()).collect();
    assert_eq!(connects.len(), 2, "a quarter of the ring is kept for connects");
    for _ in 0..20 {
        house.workers[0].handshake();
    }
    house.turn();
    let worker = &mut house.workers[0];
    for (endpoint, token, _) in std::mem::take(&mut worker.connects) {
        let refused = Opened::ConnectRefused {
            token,
            why: ConnectError::Limit,
        };
        worker
            .hub
            .try_opened(endpoint, refused)
            .expect("there is room for every answer");
    }
    assert!(worker.unopened.is_empty());
    assert_eq!(worker.accept_queue.len(), 14);
}

#[test]
fn a_connect_is_answered_by_its_token() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let remote = SocketAddr::from(([10, 0, 0, 9], 80));
    let connecting = [(); 4].map(|()| endpoint.start_connect(remote).unwrap());
    house.turn();
    assert_eq!(connecting[0].try_finish().unwrap_err(), StreamError::NotYet);
    let mut ids: Vec<ConnId> = Vec::new();
    for worker in &mut house.workers {
        let asked = std::mem::take(&mut worker.connects);
        assert_eq!(asked.len(), 2, "dealt to the workers");
        for (endpoint, token, to) in asked {
            assert_eq!(to, remote);
            let answer = match token {
                0 | 3 => {
                    let id = worker.handshake();
                    worker.accept_queue.clear();
                    worker.conn(id).owner = endpoint;
                    ids.push(id);
                    Opened::Connected {
                        id,
                        tuple: tuple(id),
                        token,
                        credit: 10,
                    }
                }
                1 => Opened::ConnectRefused {
                    token,
                    why: ConnectError::Limit,
                },
                _ => Opened::ConnectFailed {
                    token,
                    why: ConnectionError::Refused,
                },
            };
            worker.hub.try_opened(endpoint, answer).unwrap();
        }
    }
    let [first, second, third, fourth] = connecting;
    assert_eq!(first.try_finish().unwrap().id(), ids[0]);
    assert_eq!(
        second.try_finish().unwrap_err(),
        StreamError::Connect(ConnectError::Limit)
    );
    assert_eq!(
        third.wait(Duration::ZERO).unwrap_err(),
        StreamError::Connection(ConnectionError::Refused)
    );
    // Given up when the answer was there already: nobody else would close it.
    drop(fourth);
    house.settle(&endpoint);
    let gone = |house: &mut House, id: ConnId| house.workers[usize::from(id.worker())].conn(id).gone;
    assert_eq!(gone(&mut house, ids[0]), Some(Gone::Closed { unread: false }));
    assert_eq!(gone(&mut house, ids[1]), Some(Gone::Aborted));

    // Given up before.
    let late = endpoint.start_connect(remote).unwrap();
    drop(late);
    house.turn();
    let worker = house
        .workers
        .iter_mut()
        .find(|worker| !worker.connects.is_empty())
        .unwrap();
    let (index, token, _) = worker.connects.remove(0);
    let id = worker.handshake();
    worker.accept_queue.clear();
    worker.conn(id).owner = index;
    worker
        .hub
        .try_opened(
            index,
            Opened::Connected {
                id,
                tuple: tuple(id),
                token,
                credit: 10,
            },
        )
        .unwrap();
    house.settle(&endpoint);
    assert_eq!(gone(&mut house, id), Some(Gone::Aborted));
}

#[test]
fn an_engine_that_stops_is_told_to_all_who_wait() {
    let mut house = House::new(2);
    let endpoint = house.endpoint(&LIMITS);
    let stream = house.accepted(0, &endpoint);
    let remote = SocketAddr::from(([10, 0, 0, 9], 80));
    let connecting = endpoint.start_connect(remote).unwrap();
    house.workers[0].arrive(stream.id(), b"last");
    house.turn();
    drop(house);
    let stopped = StreamError::Misuse(ApiMisuse::Stopped);
    assert_eq!(&stream.recv(Duration::MAX).unwrap().unwrap()[..], b"last");
    assert_eq!(stream.recv(Duration::MAX).unwrap_err(), stopped);
    assert_eq!(stream.send(b"x", Duration::MAX).unwrap_err(), stopped);
    assert_eq!(web().accept(&endpoint, Duration::MAX).unwrap_err(), stopped);
    assert_eq!(connecting.wait(Duration::MAX).unwrap_err(), stopped);
    assert_eq!(endpoint.connect(remote, Duration::MAX).unwrap_err(), stopped);
    stream.shutdown();
    stream.abort();
}
