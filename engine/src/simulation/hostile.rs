//! Any bytes, at any time: no panic, and when all is over everything is as at the start.

use std::time::Duration;

use fourtuple_nic_mem::Random;
use proptest::prelude::*;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::listener::Listen;

/// Frames of a real exchange, to be mangled.
fn sample(seed: u64) -> Vec<Vec<u8>> {
    let errands = ["10.0.0.1:7", "[fd00::1]:7"]
        .map(|remote| Errand {
            remote: remote.parse().unwrap(),
            connections: 2,
            bytes: 3_000,
        })
        .to_vec();
    let (client, outcome) = Client::new(errands);
    let mut client = Some(client);
    let plan = Plan {
        seed,
        ..Plan::default()
    };
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.wire.start_capture();
    world.run_until(Duration::from_secs(10), |_| outcome.lock().unwrap().finished == 4);
    world
        .wire
        .captured()
        .into_iter()
        .map(|frame| frame.bytes)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn mangled_frames_leave_no_trace(seed: u64, junk in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40)) {
        let frames = sample(seed % 4);
        let mut random = Random::new(seed);
        let plan = Plan { seed: seed % 4, ..Plan::default() };
        let mut world = World::new(&plan, |_| Echo::default(), |_| Echo::default());
        world.server.listen(0, &Listen::on(7));
        for round in 0..200 {
            let mut frame = frames[random.below(frames.len() as u64) as usize].clone();
            for _ in 0..random.below(4) {
                let place = random.below(frame.len() as u64) as usize;
                frame[place] ^= 1 << random.below(8);
            }
            if random.below(8) == 0 {
                frame.truncate(random.below(frame.len() as u64) as usize);
            }
            fix_checksums(&mut frame);
            world.client.shards[0].work.queue.send_bytes(&frame);
            if let Some(bytes) = junk.get(round) {
                world.client.shards[0].work.queue.send_bytes(bytes);
            }
            let span = match random.below(20) {
                0 => Duration::from_millis(300),
                1 => Duration::from_secs(3),
                _ => Duration::from_micros(random.below(500)),
            };
            world.clock.advance(span);
            let now = world.now();
            world.server.turn(now);
            // What is said to the other end falls on the floor: nobody answers.
            let _ = world.client.shards[0].work.queue.receive_bytes();
        }
        // Every timer of every connection: SYN records give up, connections time out, TIME_WAIT ends.
        world.run_for(Duration::from_secs(3 * 3600));
        for shard in &mut world.server.shards {
            let counters = shard.counters().clone();
            prop_assert_eq!(counters.rx_packets, counters.consumed + counters.dropped.sum());
            prop_assert_eq!(shard.work.records.half_open(), 0);
            prop_assert_eq!(shard.work.records.time_wait(), 0);
            // Connections that are established and idle have no reason to end: they are let go.
            shard.work.control(crate::shard::Control::AbortAll(crate::shard::Done::of(1)));
        }
        world.run_for(Duration::from_secs(600));
        world.server.assert_as_at_start();
    }
}

/// Makes checksums right again where the frame is IPv4 and TCP, so that the change is seen.
pub(super) fn fix_checksums(frame: &mut [u8]) {
    if frame.len() < 54 || frame[12..14] != [8, 0] || frame[14] != 0x45 || frame[23] != 6 {
        return;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]])).min(frame.len() - 14);
    if total < 40 {
        return;
    }
    frame[24..26].fill(0);
    let sum = fourtuple_wire::Sum::of(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let address = |at: usize| std::net::Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let pseudo = fourtuple_wire::Sum::pseudo_v4(address(26), address(30), 6, (total - 20) as u16);
    frame[50..52].fill(0);
    let sum = pseudo.with(&frame[34..14 + total]).checksum();
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
}
