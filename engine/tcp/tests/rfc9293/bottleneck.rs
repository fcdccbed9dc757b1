//! Every algorithm over every kind of bottleneck: none starves, none floods, two share.

#![allow(clippy::print_stdout, reason = "the table is for who reads the log")]

use std::time::Duration;

use fourtuple_tcp::CongestionKind::{self, Bbr, Cubic, Dctcp, NewReno};
use fourtuple_tcp::Ecn;

use crate::support::{Bottleneck, Link};

/// Goodput that the link has room for, in octets a second.
fn most(link: &Link) -> u64 {
    link.rate * 1000 / 1060
}

#[test]
fn a_clean_path_with_a_fair_queue_is_filled_by_each() {
    for kind in CongestionKind::ALL {
        for (megabits, rtt_ms) in [(2, 30), (20, 20), (100, 10)] {
            let bdp = (megabits * 125 * rtt_ms / 1_060).max(10);
            let link = Link::of(megabits, rtt_ms, 2 * bdp);
            let mut net = Bottleneck::new(link);
            let flow = net.open(&Bottleneck::profile(kind));
            net.run(Duration::from_secs(4));
            let reached = net.run(Duration::from_secs(6))[flow];
            let percent = reached * 100 / most(&link);
            println!("{kind:8} {megabits:4} Mb/s {rtt_ms:3} ms: {percent} %");
            assert!(percent >= 85, "{kind}, {megabits} Mb/s, {rtt_ms} ms: {percent} %");
        }
    }
}

#[test]
fn a_shallow_queue_is_shared_with_few_drops() {
    for kind in CongestionKind::ALL {
        // A fifth of the bandwidth-delay product.
        let link = Link::of(20, 50, 24);
        let mut net = Bottleneck::new(link);
        let flow = net.open(&Bottleneck::profile(kind));
        net.run(Duration::from_secs(4));
        let (drops, packets) = (net.drops, net.packets);
        let reached = net.run(Duration::from_secs(10))[flow];
        let percent = reached * 100 / most(&link);
        let dropped = (net.drops - drops) * 1000 / (net.packets - packets);
        println!("{kind:8} shallow: {percent} %, {dropped} of 1,000 dropped");
        assert!(percent >= 55, "{kind}: {percent} %");
        assert!(dropped <= 30, "{kind}: {dropped} of 1,000 dropped");
    }
}

#[test]
fn loss_slows_each_down_and_stops_none() {
    for kind in CongestionKind::ALL {
        for (loss, least) in [(10, 40), (100, 12), (500, 2)] {
            let mut link = Link::of(10, 30, 200);
            link.loss = loss;
            let mut net = Bottleneck::new(link);
            let flow = net.open(&Bottleneck::profile(kind));
            let reached = net.run(Duration::from_secs(15))[flow];
            let percent = reached * 100 / most(&link);
            println!("{kind:8} loss {:5.2} %: {percent} %", loss as f64 / 100.0);
            assert!(percent >= least, "{kind}, loss {loss}: {percent} %");
        }
    }
}

// proves: RFC 3168 §5 (marks in place of drops), RFC 8257 (a short queue)
#[test]
fn marks_take_the_place_of_drops() {
    for kind in CongestionKind::ALL {
        let mut link = Link::of(50, 20, 500);
        link.mark_above = 30_000;
        let mut net = Bottleneck::new(link);
        let mut profile = Bottleneck::profile(kind);
        profile.ecn = Ecn::On;
        let flow = net.open(&profile);
        net.run(Duration::from_secs(4));
        let drops = net.drops;
        net.most_queued = 0;
        let reached = net.run(Duration::from_secs(6))[flow];
        let percent = reached * 100 / most(&link);
        println!(
            "{kind:8} marked: {percent} %, {} octets waited at most",
            net.most_queued
        );
        assert!(net.marks > 0 || kind == Bbr, "{kind}");
        assert_eq!(net.drops, drops, "{kind}");
        assert!(percent >= 75, "{kind}: {percent} %");
        if kind == Dctcp {
            assert!(net.most_queued <= 75_000, "{} octets waited", net.most_queued);
        }
    }
}

#[test]
fn two_connections_share_a_link() {
    for (first, second, least) in [
        (Cubic, Cubic, 30),
        (NewReno, NewReno, 30),
        (Dctcp, Dctcp, 25),
        (Bbr, Bbr, 25),
        (Cubic, NewReno, 20),
        (Cubic, Bbr, 10),
    ] {
        let mut link = Link::of(20, 30, 100);
        if first == Dctcp {
            link.mark_above = 20_000;
        }
        let mut net = Bottleneck::new(link);
        let one = net.open(&Bottleneck::profile(first));
        // The second comes later, and has to make room for itself.
        net.run(Duration::from_secs(3));
        let two = net.open(&Bottleneck::profile(second));
        net.run(Duration::from_secs(12));
        let reached = net.run(Duration::from_secs(30));
        let sum = reached[one] + reached[two];
        let share = reached[two] * 100 / sum;
        println!(
            "{first:8} and {second:8}: the second has {share} % of {} %",
            sum * 100 / most(&link)
        );
        assert!(
            (least..=100 - least).contains(&share),
            "{first} and {second}: {share} %"
        );
        assert!(sum * 100 >= most(&link) * 80, "{first} and {second}: {reached:?}");
    }
}

#[test]
fn another_algorithm_may_take_over_at_any_time() {
    let link = Link::of(20, 30, 100);
    let mut net = Bottleneck::new(link);
    let flow = net.open(&Bottleneck::profile(Cubic));
    net.run(Duration::from_secs(3));
    for kind in [Bbr, NewReno, Dctcp, Cubic, Bbr, Cubic] {
        let mut profile = Bottleneck::profile(kind);
        profile.ecn = Ecn::Passive;
        net.set_profile(flow, profile);
        net.run(Duration::from_secs(2));
        let reached = net.run(Duration::from_secs(4))[flow];
        assert_eq!(net.status(flow).congestion, kind);
        let counters = net.counters(flow);
        println!(
            "{kind:8} takes over: {} of 1,000, {} duplicates, {} timeouts so far",
            reached * 1000 / most(&link),
            counters.dsacks_in,
            counters.rto_expiries
        );
        assert!(reached * 100 >= most(&link) * 70, "{kind}: {reached}");
    }
}
