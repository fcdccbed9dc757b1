//! The end of an engine, a listener, an endpoint: who hears of it, in which state ever, and what it costs a turn.

use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_tcp::State;
use fourtuple_wire::{SeqNum, TcpFlags};

use super::attack::{Arena, Peer};
use super::{Plan, World};
use crate::config::Idle;
use crate::handler::{Handler, NoHandler};
use crate::listener::Listen;
use crate::shard::limits::SCAN_BUDGET;
use crate::shard::{Connection, Control, Done};
use crate::worker::Worker;

const RST: u8 = 0x04;
const FIN: u8 = 0x01;

/// Does what the peer says: `c` closes, `s` sends more than a window, `l` closes once the peer has.
struct Obedient;

impl Handler<MemQueue> for Obedient {
    type State = bool;

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, closes_last: &mut bool) {
        while let Some(bytes) = connection.receive() {
            match bytes.bytes().first() {
                Some(b'c') => connection.close(),
                Some(b's') => {
                    connection.send(&[7; 100_000]);
                }
                Some(b'l') => *closes_last = true,
                _ => {}
            }
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, closes_last: &mut bool) {
        if *closes_last {
            connection.close();
        }
    }
}

type Stopping = Arena<Obedient>;

impl Stopping {
    fn tell(&mut self, peer: &mut Peer, flags: TcpFlags, payload: &[u8]) {
        self.say(peer.port, flags | TcpFlags::ACK, peer.seq, peer.ack, payload);
        peer.seq = peer.seq + payload.len() as u32 + u32::from(flags.contains(TcpFlags::FIN));
        self.soon();
        self.soon();
    }

    fn in_state(&mut self, state: State) -> u64 {
        self.world.server.shards[0].counters().by_state.of(state)
    }
}

#[test]
fn who_is_left_at_the_end_of_a_drain_hears_of_it_in_every_state() {
    let mut arena = Arena::new(&Plan::default(), |_| Obedient);
    arena.world.server.listen(0, &Listen::on(7));
    // Each state has a port of its own.
    arena.say(1_000, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
    arena.soon();
    arena.open(1_001).expect("ESTABLISHED, idle");
    let mut unsent = arena.open(1_002).unwrap();
    arena.tell(&mut unsent, TcpFlags::default(), b"s");
    let mut fin_wait_1 = arena.open(1_003).unwrap();
    arena.tell(&mut fin_wait_1, TcpFlags::default(), b"c");
    let mut fin_wait_2 = arena.open(1_004).unwrap();
    arena.tell(&mut fin_wait_2, TcpFlags::default(), b"c");
    fin_wait_2.ack += 1;
    arena.tell(&mut fin_wait_2, TcpFlags::default(), b"");
    let mut closing = arena.open(1_005).unwrap();
    arena.tell(&mut closing, TcpFlags::default(), b"c");
    arena.tell(&mut closing, TcpFlags::FIN, b"");
    let mut time_wait = arena.open(1_006).unwrap();
    arena.tell(&mut time_wait, TcpFlags::default(), b"c");
    time_wait.ack += 1;
    arena.tell(&mut time_wait, TcpFlags::FIN, b"");
    let mut close_wait = arena.open(1_007).unwrap();
    arena.tell(&mut close_wait, TcpFlags::FIN, b"");
    let mut last_ack = arena.open(1_008).unwrap();
    arena.tell(&mut last_ack, TcpFlags::default(), b"l");
    arena.tell(&mut last_ack, TcpFlags::FIN, b"");
    for (state, count) in [
        (State::Established, 2),
        (State::FinWait1, 1),
        (State::FinWait2, 1),
        (State::Closing, 1),
        (State::CloseWait, 1),
        (State::LastAck, 1),
    ] {
        assert_eq!(arena.in_state(state), count, "{state:?}");
    }
    let counters = arena.world.server.shards[0].counters();
    assert_eq!((counters.syn_queue, counters.time_wait), (1, 1));

    let heard_before: Vec<_> = (1_000..1_009).map(|port| arena.hear(port)).collect();
    let server = &mut arena.world.server.shards[0];
    server.work.control(Control::Drain(Done::of(1)));
    arena.soon();
    let aborted = Done::of(1);
    let server = &mut arena.world.server.shards[0];
    server.work.control(Control::AbortAll(aborted.clone()));
    for _ in 0..4 {
        arena.soon();
    }
    assert!(aborted.is_complete());
    for (port, before) in (1_000..).zip(heard_before) {
        let told = |flag| before.iter().any(|heard| heard.flags & flag != 0);
        let reset = arena.hear(port).iter().any(|heard| heard.flags & RST != 0);
        assert!(reset || told(FIN), "{port} heard neither FIN nor RST");
        // RFC 9293 §3.10.5: those that wait for nothing but an acknowledgment of their FIN go without a word.
        let silent = matches!(port, 1_005 | 1_006 | 1_008);
        assert_eq!(reset, !silent, "{port}");
    }
    let counters = arena.world.server.shards[0].counters();
    assert_eq!((counters.connections, counters.syn_queue), (0, 0));
    assert!(!arena.world.server.shards[0].has_unsent());
}

#[test]
fn a_half_open_connection_is_reset_where_its_peer_believes_it() {
    let mut arena = Arena::new(&Plan::default(), |_| Obedient);
    arena.world.server.listen(0, &Listen::on(7));
    arena.say(1_000, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
    arena.soon();
    arena.soon();
    let syn_ack = arena.hear(1_000)[0];
    let server = &mut arena.world.server.shards[0];
    server.work.control(Control::AbortAll(Done::of(1)));
    arena.soon();
    arena.soon();
    let reset = arena.hear(1_000)[0];
    assert_eq!(reset.flags, RST | 0x10);
    assert_eq!(
        reset.seq,
        syn_ack.seq + 1,
        "exactly RCV.NXT of who has the SYN+ACK"
    );
}

#[test]
fn a_worker_that_is_stopped_sends_what_it_owes_first() {
    let mut arena = Arena::new(&Plan::default(), |_| Obedient);
    arena.world.server.listen(0, &Listen::on(7));
    arena.open(1_000).unwrap();
    let mut shard = arena.world.server.shards.pop().unwrap();
    shard.work.control(Control::AbortAll(Done::of(1)));
    let (_engine, control) = rtrb::RingBuffer::new(1);
    let (publisher, _reader) = crate::stats::published(1);
    let worker = Worker {
        shard,
        clock: arena.world.clock.clone(),
        control,
        publisher,
        sleeper: Arc::clone(&arena.world.server.sleepers[0]),
        idle: Idle::Adaptive,
        open: Arc::new(true.into()),
        stop: Arc::new(true.into()),
    };
    worker.run();
    arena.soon();
    assert!(arena.hear(1_000).iter().any(|heard| heard.flags & RST != 0));
}

#[test]
fn who_waits_for_an_accept_is_reset_when_the_listener_goes() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let id = arena.world.server.listen(0, &Listen::on(7).for_endpoints());
    arena.open(1_000).unwrap();
    let done = Done::of(1);
    let server = &mut arena.world.server.shards[0];
    server.work.control(Control::Unlisten(id, done.clone()));
    arena.soon();
    arena.soon();
    assert!(done.is_complete());
    assert!(arena.hear(1_000).iter().any(|heard| heard.flags & RST != 0));
}

#[test]
fn no_turn_looks_at_more_places_than_its_budget() {
    let plan = Plan {
        connections: 30_000,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| NoHandler);
    let listen = Listen {
        backlog: 1_000,
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    for port in 1_000..1_600 {
        arena.open(port).unwrap();
    }
    let done = Done::of(1);
    let work = &mut arena.world.server.shards[0].work;
    work.control(Control::Unlisten(id, done.clone()));
    let (mut turns, mut most) = (0, 0);
    while !done.is_complete() {
        turns += 1;
        assert!(turns < 100, "it ends");
        let work = &mut arena.world.server.shards[0].work;
        let allocated = allocation_counter::measure(|| work.scan());
        assert_eq!(allocated.count_total, 0, "turn {turns}");
        most = most.max(work.scans.spent);
        assert!(work.next_deadline() <= work.now, "the next part is due at once");
        arena.soon();
        most = most.max(arena.world.server.shards[0].work.scans.spent);
    }
    // 600 that are reset, at 16 each, two parts a round; behind the last of them the arena is empty and passed over.
    assert!(turns >= 2, "{turns} rounds");
    assert!(
        (SCAN_BUDGET..SCAN_BUDGET + 16).contains(&most),
        "{most} in one turn"
    );
    arena.world.run_for(Duration::from_secs(5));
    let counters = arena.world.server.shards[0].counters();
    assert_eq!((counters.connections, counters.accept_queue), (0, 0));
}

#[test]
fn an_active_open_counts_as_established_however_it_gets_there() {
    // Both sides open towards each other's port at once: SYN_SENT, SYN_RECEIVED, ESTABLISHED.
    let mut world = World::new(&Plan::default(), |_| NoHandler, |_| NoHandler);
    let both = [("10.0.0.2:5000", 4_000), ("10.0.0.1:4000", 5_000)];
    let sides = [&mut world.server.shards[0].work, &mut world.client.shards[0].work];
    for (work, (remote, port)) in sides.into_iter().zip(both) {
        let options = crate::ConnectOptions {
            local_port: Some(port),
            ..crate::ConnectOptions::default()
        };
        work.connect(
            remote.parse().unwrap(),
            &options,
            crate::records::Owner::Handler,
            0,
        )
        .unwrap();
    }
    world.run_for(Duration::from_secs(3));
    for shard in [&mut world.server.shards[0], &mut world.client.shards[0]] {
        let counters = shard.counters();
        assert_eq!(counters.by_state.of(State::Established), 1);
        assert_eq!((counters.active_opens, counters.active_established), (1, 1));
    }
}
