//! Peers that would hold up an endpoint's other connections.

use std::time::Duration;

use fourtuple_tcp::Profile;
use fourtuple_wire::TcpFlags;

use super::super::Plan;
use super::{Arena, accept, endpoint, endpoint_with};
use crate::handler::NoHandler;
use crate::handoff::{EndpointLimits, Listener};
use crate::listener::Listen;

#[test]
fn a_peer_that_takes_nothing_holds_up_no_other_connection_of_its_endpoint() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        profile: Some(Profile::default().with(|profile| profile.send_buffer = 4_096)),
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    let listener = Listener::new(id, 7, listen.backlog);
    let endpoint = endpoint(&mut arena.world.server);
    arena.open(1_000).unwrap();
    let greedy = accept(&mut arena, &endpoint, &listener).expect("a stream");
    arena.open(1_001).unwrap();
    let honest = accept(&mut arena, &endpoint, &listener).expect("a stream");
    // The first acknowledges nothing; its application sends for as long as it may.
    for _ in 0..20 {
        while greedy.send(&[1; 1_000], Duration::ZERO).is_ok() {
            endpoint.step();
        }
        arena.soon();
        endpoint.step();
    }
    arena.hear(1_001);
    honest.send(b"hello", Duration::ZERO).expect("room");
    for _ in 0..10 {
        endpoint.step();
        arena.soon();
    }
    assert!(!arena.hear(1_001).is_empty(), "the honest one is served");
}

#[test]
fn who_holds_all_that_may_be_lent_hears_of_room_to_send() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        profile: Some(Profile::default().with(|profile| {
            profile.send_buffer = 4_096;
            profile.nodelay = true;
        })),
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    let limits = EndpointLimits {
        lent: 4,
        ..EndpointLimits::default()
    };
    let endpoint = endpoint_with(&mut arena.world.server, &limits);
    let mut peer = arena.open(1_000).unwrap();
    let stream = accept(&mut arena, &endpoint, &Listener::new(id, 7, listen.backlog)).expect("a stream");
    let mut held = Vec::new();
    for _ in 0..5 {
        arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack, b"x");
        peer.seq += 1;
        for _ in 0..3 {
            arena.soon();
            endpoint.step();
        }
        held.extend(stream.try_recv().ok().flatten());
    }
    assert_eq!(held.len(), 4, "one stays behind");
    let mut sent = 0;
    while let Ok(count) = stream.send(&[1; 1_000], Duration::ZERO) {
        sent += count as u32;
        endpoint.step();
        arena.soon();
    }
    arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack + sent, &[]);
    for _ in 0..5 {
        arena.soon();
        endpoint.step();
    }
    assert!(stream.send(&[1; 1_000], Duration::ZERO).is_ok());
}
