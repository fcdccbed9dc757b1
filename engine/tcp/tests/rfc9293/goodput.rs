//! How much of a link a connection fills in its first seconds, when the link is long: what it may queue follows its window, and what
//! the first slow start puts beyond the queue is repaired at once, each hole one time.

#![allow(clippy::print_stdout, reason = "the table is for who reads the log")]

use std::time::Duration;

use fourtuple_tcp::CongestionKind::Cubic;
use fourtuple_tcp::{PoolSizes, Profile};

use crate::support::{ACK, Bottleneck, End, Link, POOLS, Setup, seg};
use crate::{expect, send};

const SECONDS: u64 = 5;

/// 20 Mb/s behind a queue of 100 frames; loss in hundredths of a percent.
fn link(rtt_ms: u64, loss: u64, seed: u64) -> Link {
    Link {
        queue: 100 * 1508,
        loss,
        seed,
        mss: 1448,
        ..Link::of(20, rtt_ms, 100)
    }
}

/// As connections are unless somebody says otherwise, to a peer whose window is never in the way.
fn profile() -> Profile {
    let usual = Profile::default();
    Bottleneck::profile(Cubic).with(|profile| {
        profile.send_buffer = usual.send_buffer;
        profile.send_buffer_most = usual.send_buffer_most;
    })
}

/// Runs a connection from its first octet on; kilobits a second.
fn begin(net: &mut Bottleneck, profile: &Profile) -> (usize, u64) {
    let flow = net.open(profile);
    net.run((net.link.rtt / 2).max(Duration::from_millis(1)));
    net.run(Duration::from_secs(SECONDS));
    (flow, net.delivered(flow) * 8 / (1000 * SECONDS))
}

#[test]
fn a_long_path_is_filled_from_the_first_seconds_on() {
    for (rtt_ms, least) in [(1, 18_500), (20, 18_500), (100, 17_000), (200, 14_000)] {
        let mut net = Bottleneck::new(link(rtt_ms, 0, 1));
        let (flow, reached) = begin(&mut net, &profile());
        println!(
            "{rtt_ms} ms: {reached} kb/s, {} of {} dropped",
            net.drops, net.packets
        );
        assert!(reached >= least, "{rtt_ms} ms: {reached} kb/s");
        let counters = net.counters(flow);
        assert_eq!(counters.rto_expiries, 0, "{rtt_ms} ms");
        assert_eq!(counters.dsacks_in, 0, "{rtt_ms} ms: sent again and again");
    }
}

#[test]
fn a_fixed_send_buffer_bounds_what_a_long_path_gets() {
    let mut net = Bottleneck::new(link(200, 0, 1));
    let fixed = profile().with(|profile| profile.send_buffer_most = 0);
    let (_, reached) = begin(&mut net, &fixed);
    // 256 KiB each 200 ms are 10.5 Mb/s.
    assert!((8_000..10_500).contains(&reached), "{reached} kb/s");
}

#[test]
fn loss_at_random_is_repaired_without_a_timeout_that_was_none() {
    for rtt_ms in [100, 200] {
        for loss in [10, 100] {
            let (mut timeouts, mut twice) = (0, 0);
            for seed in 1..=10 {
                let mut net = Bottleneck::new(link(rtt_ms, loss, seed));
                let (flow, _) = begin(&mut net, &profile());
                let counters = net.counters(flow);
                timeouts += counters.rto_expiries;
                twice += counters.dsacks_in;
            }
            println!("{rtt_ms} ms, {loss}: {timeouts} timeouts, {twice} duplicates");
            assert!(
                timeouts <= 1 && twice <= 2,
                "{timeouts} timeouts, {twice} duplicates"
            );
        }
    }
}

fn room(end: &End) -> usize {
    end.tcb.send_room(&end.profile, &end.pools)
}

/// Twenty segments are sent and acknowledged, and the window was used meanwhile: it is twenty-two.
fn grown(send_chunks: u32) -> End {
    let usual = Setup::default();
    let mut end = Setup {
        profile: usual.profile.with(|profile| {
            profile.send_buffer = 20_000;
            profile.send_buffer_most = 35_000;
        }),
        pools: PoolSizes { send_chunks, ..POOLS },
        ..Setup::default()
    }
    .established();
    assert_eq!(room(&end), 20_000, "no path is known yet");
    end.write_octets(1, 20_000);
    end.drain();
    for at in (1..=10).chain([20]) {
        send!(end, seg(ACK).seq(1).ack(1 + at * 1_000)).verdict.unwrap();
        end.drain();
    }
    assert_eq!(end.tcb.status(&end.profile, end.now).cwnd, 22_000);
    end
}

#[test]
fn the_send_buffer_grows_with_the_window_up_to_its_bound() {
    let mut end = grown(8);
    assert_eq!(room(&end), 35_000, "two windows would be 44,000");
    end.write_octets(20_001, 20_000);
    assert_eq!((room(&end), end.try_write(&[0; 15_000])), (15_000, Ok(())));
    assert_eq!(room(&end), 0);
    expect!(end, seg(ACK).seq(20_001).octets(1_000));
}

#[test]
fn it_does_not_grow_when_half_of_the_pool_is_taken() {
    let mut end = grown(4);
    for _ in 0..3 {
        // The first lies in the connection, the others in the pool.
        end.write_octets(1, 5_000);
    }
    assert_eq!(room(&end), 5_000, "20,000 less what is queued");
    end.write_octets(1, 5_000);
    assert!(end.try_write(b"x").is_err());
}

/// Of a fast link with loss of 1 %, 20 runs; kilobits a second of one on average.
fn with_bursts_of(grain: Duration) -> u64 {
    let reached = (1..=20).map(|seed| {
        let mut net = Bottleneck::new(Link {
            loss: 100,
            seed,
            mss: 1448,
            grain,
            ..Link::of(1_000, 20, 100)
        });
        begin(&mut net, &profile()).1
    });
    reached.sum::<u64>() / 20
}

#[test]
fn a_receiver_that_acknowledges_bursts_at_once_costs_little() {
    let one_by_one = with_bursts_of(Duration::ZERO);
    let at_once = with_bursts_of(Duration::from_micros(200));
    println!("one by one {one_by_one} kb/s, in bursts {at_once} kb/s");
    assert!(
        at_once * 100 >= one_by_one * 88,
        "one by one {one_by_one} kb/s, in bursts {at_once} kb/s"
    );
}
