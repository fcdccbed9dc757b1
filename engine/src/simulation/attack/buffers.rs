//! Peers that would have all buffers for themselves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::TcpFlags;

use super::super::Plan;
use super::super::handlers::Echo;
use super::{Arena, Peer};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::Connection;

#[test]
fn segments_behind_holes_leave_buffers_for_others() {
    let plan = Plan {
        pools: 256,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    let peers: Vec<Peer> = (1_000..1_010).filter_map(|port| arena.open(port)).collect();
    for n in 0..100 {
        for peer in &peers {
            let seq = peer.seq + 10 + 2 * n;
            arena.say(peer.port, TcpFlags::ACK, seq, peer.ack, b"x");
        }
        arena.soon();
    }
    let free = arena.world.server.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .pool()
        .rx_free;
    assert!(free >= 32, "{free} buffers are free");
    arena.heard.clear();
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    arena.soon();
    arena.soon();
    assert!(!arena.hear(honest.port).is_empty(), "the honest one is heard");
}

/// Sends a greeting when it can.
#[derive(Default)]
struct Greeter {
    greeted: Arc<Mutex<u32>>,
}

impl Greeter {
    fn greet(&mut self, connection: &mut Connection<'_, MemQueue>) {
        if connection.send(b"hello") == 5 {
            *self.greeted.lock().unwrap() += 1;
        }
    }
}

impl Handler<MemQueue> for Greeter {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.greet(connection);
    }
    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.greet(connection);
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn who_found_no_buffer_to_send_hears_when_there_are_some() {
    let greeted = Arc::new(Mutex::new(0));
    let mut arena = Arena::new(&Plan::default(), |_| Greeter {
        greeted: Arc::clone(&greeted),
    });
    arena.world.server.listen(0, &Listen::on(7));
    let queue = &mut arena.world.server.shards[0].work.ports[PortNumber::FIRST].queue;
    let mut all = Vec::new();
    while let Some(blank) = queue.blank() {
        all.push(blank);
    }
    arena.open(1_000).unwrap();
    assert_eq!(*greeted.lock().unwrap(), 0);
    drop(all);
    for _ in 0..10 {
        arena.turn(Duration::from_millis(10));
    }
    assert_eq!(*greeted.lock().unwrap(), 1);
}

/// Asks for room with nothing in flight.
struct Asker(Arc<Mutex<u32>>);

impl Handler<MemQueue> for Asker {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.ask_for_room();
    }
    fn on_writable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        *self.0.lock().unwrap() += 1;
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn who_waits_for_a_buffer_is_not_put_off_by_others_that_begin_to() {
    let told = Arc::new(Mutex::new(0));
    let mut arena = Arena::new(&Plan::default(), |_| Asker(Arc::clone(&told)));
    arena.world.server.listen(0, &Listen::on(7));
    let before = arena.world.now();
    for port in 1_000..1_100 {
        arena.open(port).unwrap();
    }
    assert!(arena.world.now() > before + Duration::from_millis(5));
    assert!(*told.lock().unwrap() > 50);
}

/// `hostile` peers send single bytes to an echo and acknowledge nothing; how many echoes of ten an honest one gets.
fn echoes_beside(hostile: u16) -> usize {
    let mut arena = Arena::new(&Plan::default(), |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let mut honest = arena.open(900).unwrap();
    let mut peers: Vec<Peer> = (1_000..1_000 + hostile)
        .filter_map(|port| arena.open(port))
        .collect();
    assert_eq!(peers.len(), usize::from(hostile));
    for _ in 0..4_000 / usize::from(hostile) {
        for peer in &mut peers {
            arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack, b"x");
            peer.seq += 1;
        }
        arena.soon();
        arena.soon();
    }
    arena.heard.clear();
    let mut echoes = 0;
    for _ in 0..10 {
        arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
        for _ in 0..4 {
            arena.soon();
        }
        let heard = arena.hear(honest.port);
        if heard
            .iter()
            .any(|heard| heard.seq == honest.ack && heard.len == 5)
        {
            echoes += 1;
            honest.seq += 5;
            honest.ack += 5;
        }
    }
    echoes
}

#[test]
fn single_bytes_whose_echoes_one_peer_does_not_take_leave_buffers_for_others() {
    assert_eq!(echoes_beside(1), 10);
}

#[test]
fn single_bytes_whose_echoes_many_peers_do_not_take_leave_buffers_for_others() {
    assert_eq!(echoes_beside(64), 10);
}
