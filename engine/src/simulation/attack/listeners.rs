//! Peers that leave before they are accepted, floods of SYNs, listeners that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourtuple_wire::{FourTuple, SeqNum, TcpFlags};

use super::super::Plan;
use super::super::handlers::Echo;
use super::{Arena, accept, done, endpoint};
use crate::handler::NoHandler;
use crate::handoff::Listener;
use crate::listener::{Listen, ListenerId};
use crate::shard::Control;
use crate::shard::listeners::{NewListener, deal};

#[test]
fn peers_that_leave_before_they_are_accepted_leave_nothing_in_the_accept_queue() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        backlog: 4,
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    arena.open(999).expect("one that stays");
    for port in 1_000..3_000 {
        let peer = arena.open(port).expect("there is room");
        arena.reset(peer);
    }
    let listener = arena.world.server.shards[0].work.listeners.at(id).unwrap();
    assert_eq!(listener.waiting, 1);
    assert!(
        listener.accept_queue.len() <= 16,
        "{}",
        listener.accept_queue.len()
    );
}

#[test]
fn a_syn_right_behind_a_reset_of_its_own_tuple_opens_anew() {
    let mut arena = Arena::new(&Plan::default(), |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    // One burst.
    arena.say(peer.port, TcpFlags::RST, peer.seq, peer.ack, &[]);
    arena.say(peer.port, TcpFlags::SYN, SeqNum(5_000_000), SeqNum(0), &[]);
    arena.soon();
    arena.soon();
    let heard = arena.hear(peer.port);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].flags, (TcpFlags::SYN | TcpFlags::ACK).0);
}

#[test]
fn peers_that_leave_half_way_keep_nobody_out() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    // More in a second than the wheel has entries.
    for round in 0..20_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        arena.say(port, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
        arena.say(port, TcpFlags::RST, SeqNum(2), SeqNum(0), &[]);
        arena.turn(Duration::from_micros(5));
    }
    arena.heard.clear();
    arena.open(1_000).expect("an honest client gets in");
}

// proves: RFC 4987 §3.2
#[test]
fn a_flood_of_syns_from_nowhere_ends_and_breaks_nothing() {
    let plan = Plan {
        connections: 64,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    for round in 0..5_000u32 {
        arena.say(
            1_024 + (round % 60_000) as u16,
            TcpFlags::SYN,
            SeqNum(1),
            SeqNum(0),
            &[],
        );
        arena.turn(Duration::from_micros(5));
    }
    arena.heard.clear();
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    arena.soon();
    arena.soon();
    assert!(!arena.hear(honest.port).is_empty(), "who is in is served");
    for _ in 0..1_600 {
        arena.turn(Duration::from_millis(50));
    }
    assert_eq!(arena.world.server.shards[0].work.records.half_open(), 0);
    arena.open(901).expect("afterwards all is as before");
}

#[test]
fn a_listener_that_goes_takes_no_other_with_it() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let other = Listen::on(8).for_endpoints();
    let gone = arena.world.server.listen(0, &other);
    let listen = Listen::on(7).for_endpoints();
    let id = arena.world.server.listen(1, &listen);
    arena.world.server.shards[0]
        .work
        .control(Control::Unlisten(gone, done()));
    let endpoint = endpoint(&mut arena.world.server);
    arena.open(1_000).unwrap();
    let stream = accept(&mut arena, &endpoint, &Listener::new(id, 7, listen.backlog));
    assert!(stream.is_some(), "what waits at the other is accepted");
}

#[test]
fn a_request_for_backlog_that_is_lost_is_made_again() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| NoHandler);
    let listen = Listen {
        backlog: 1,
        ..Listen::on(7).for_endpoints()
    };
    let tell = |arena: &mut Arena<NoHandler>, worker: usize| {
        let new = NewListener {
            id: ListenerId(0),
            share: deal(1, 2, worker as u16),
            syn_share: 16,
            fast_open_share: 0,
            listen: listen.clone(),
        };
        arena.world.server.shards[worker]
            .work
            .control(Control::Listen(Box::new(new), done()));
    };
    // The worker without a share listens first, and asks one that does not know the listener yet.
    tell(&mut arena, 1);
    let steering = Arc::clone(&arena.world.server.shards[0].work.steering);
    let port = (1_000..)
        .find(|port| {
            let local = SocketAddr::new("10.0.0.1".parse().unwrap(), 7);
            let remote = SocketAddr::new("10.0.0.2".parse().unwrap(), *port);
            steering.owner(&FourTuple::new(local, remote).unwrap()) == 1
        })
        .unwrap();
    assert!(arena.open(port).is_none());
    tell(&mut arena, 0);
    arena.turn(Duration::from_secs(1));
    arena.open(port);
    arena.turn(Duration::from_secs(1));
    arena.open(port).expect("the backlog moved to where it is wanted");
}

#[test]
fn nothing_of_a_listener_that_went_is_left_for_the_next_with_its_number() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen::on(7).for_endpoints();
    let id = arena.world.server.listen(0, &listen);
    arena.say(1_000, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
    arena.soon();
    let work = &mut arena.world.server.shards[0].work;
    assert_eq!(work.records.half_open(), 1);
    let gone = done();
    work.control(Control::Unlisten(id, gone.clone()));
    assert!(!gone.is_complete(), "not before all places were looked at");
    arena.soon();
    assert!(gone.is_complete());
    assert_eq!(arena.world.server.shards[0].work.records.half_open(), 0);
    arena.world.server.assert_as_at_start();
}
