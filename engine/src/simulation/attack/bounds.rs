//! Tables, lists and timers stay as they were, whatever comes and goes.

use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{MemQueue, Random};
use fourtuple_tcp::{KeepAlive, Profile};
use fourtuple_wire::{SeqNum, TcpFlags};

use super::super::Plan;
use super::super::handlers::Echo;
use super::{Arena, Log};
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::records::Owner;
use crate::shard::slot_list::SlotList;
use crate::shard::{ConnectOptions, Connection};

#[test]
fn idle_deadlines_of_connections_that_are_gone_keep_nobody_out() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    let profile = plan
        .profile
        .clone()
        .with(|profile| profile.keepalive = Some(KeepAlive::default()));
    arena.world.server.listen(
        0,
        &Listen {
            profile: Some(profile),
            ..Listen::on(7)
        },
    );
    for round in 0..40_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        let peer = arena.open(port);
        let peer = peer.unwrap_or_else(|| panic!("round {round} is let in"));
        arena.reset(peer);
    }
    let entries = arena.world.server.shards[0].work.wheel.len();
    assert!(entries < 200, "{entries} entries");
}

/// Closes first.
struct Curt;

impl Handler<MemQueue> for Curt {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.close();
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn four_tuples_that_are_reopened_again_and_again_cost_no_memory() {
    let plan = Plan {
        connections: 8,
        profile: Profile::default().with(|profile| profile.msl = Duration::from_secs(30)),
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Curt);
    arena.world.server.listen(0, &Listen::on(7));
    let room = arena.world.server.shards[0].work.records.time_waits_queued().1;
    let mut seq = SeqNum(1_000);
    for round in 0..400 {
        arena.say(1_000, TcpFlags::SYN, seq, SeqNum(0), &[]);
        arena.soon();
        let syn_ack = arena.hear(1_000).into_iter().find(|heard| heard.flags == 0x12);
        let ack = syn_ack.unwrap_or_else(|| panic!("round {round} is let in")).seq + 1;
        arena.say(1_000, TcpFlags::ACK, seq + 1, ack, &[]);
        arena.soon();
        arena.say(1_000, TcpFlags::ACK | TcpFlags::FIN, seq + 1, ack + 1, &[]);
        arena.soon();
        arena.soon();
        arena.hear(1_000);
        let records = &arena.world.server.shards[0].work.records;
        assert_eq!(records.time_wait(), 1, "round {round}");
        let (queued, now) = records.time_waits_queued();
        assert!(queued <= room && now == room, "{queued} of {now}");
        seq += 10_000;
    }
    arena.turn(Duration::from_secs(61));
    arena.soon();
    arena.world.server.assert_as_at_start();
}

#[test]
fn debts_of_records_that_come_and_go_while_nothing_can_be_sent_cost_no_memory() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    let lists = |arena: &Arena<Echo>| {
        let work = &arena.world.server.shards[0].work;
        [
            &work.ports[PortNumber::FIRST].transmit,
            &work.deliver,
            &work.retire,
            &work.starved,
        ]
        .map(SlotList::reserved_bytes)
    };
    let before = lists(&arena);
    let mut frames = Vec::new();
    while let Some(frame) = arena.world.server.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .tx_frame()
    {
        frames.push(frame);
    }
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    for round in 0..2_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        arena.say(port, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
        arena.say(port, TcpFlags::RST, SeqNum(2), SeqNum(0), &[]);
        arena.turn(Duration::from_micros(5));
    }
    assert_eq!(lists(&arena), before);
    assert!(
        arena.world.server.shards[0].work.ports[PortNumber::FIRST]
            .transmit
            .len()
            <= 48
    );
    drop(frames);
    arena.soon();
    arena.soon();
    let heard = arena.hear(honest.port);
    assert!(
        heard.iter().any(|heard| heard.len == 5),
        "the debts of others are paid"
    );
    arena.open(1_000).expect("an honest client gets in");
}

#[test]
fn an_open_that_finds_no_port_costs_little_and_the_last_ports_are_found() {
    let plan = Plan {
        connections: 17_000,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    let work = &mut arena.world.server.shards[0].work;
    let remote = "10.0.0.2:9".parse().unwrap();
    let options = ConnectOptions::default();
    let mut slots = Vec::new();
    while let Ok(slot) = work.connect(remote, &options, Owner::Handler, 0) {
        slots.push(slot);
    }
    assert_eq!(slots.len(), 16_384, "every port was found");
    let before = work.port_cursor;
    assert!(work.connect(remote, &options, Owner::Handler, 0).is_err());
    assert!(work.port_cursor - before <= 256, "and none takes long");
    // One in a hundred comes free, here and there.
    let mut random = Random::new(7);
    for _ in 0..164 {
        let slot = slots.swap_remove(random.below(slots.len() as u64) as usize);
        work.discard(slot);
    }
    let mut found = 0;
    for _ in 0..1_000 {
        if let Ok(slot) = work.connect(remote, &options, Owner::Handler, 0) {
            found += 1;
            work.discard(slot);
        }
    }
    assert!(found > 850, "{found} of 1000 find a port at the first try");
    assert_eq!(work.counters.no_port_left, 2 + 1_000 - found);
}

/// Closes first, and notes how it ends.
struct Closer(Log);

impl Handler<MemQueue> for Closer {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.close();
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn connections_that_a_handler_closed_and_peers_do_not_are_bounded_in_number_and_time() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Closer(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    arena.world.server.shards[0].work.limits.orphans = 4;
    for port in 1_000..1_010 {
        arena.open(port).unwrap();
    }
    arena.soon();
    let count = |arena: &Arena<Closer>| {
        let work = &arena.world.server.shards[0].work;
        (work.orphans, work.records.connections())
    };
    assert_eq!(count(&arena), (4, 4));
    assert_eq!(*log.lock().unwrap(), ["Err(Aborted)"; 6]);
    for _ in 0..1_300 {
        arena.turn(Duration::from_millis(50));
    }
    assert_eq!(count(&arena), (0, 0));
    assert_eq!(log.lock().unwrap()[6..], ["Err(TimedOut)"; 4]);
    let counters = arena.world.server.shards[0].counters();
    assert_eq!(counters.orphans_reset, 10);
    arena.world.server.assert_as_at_start();
}
