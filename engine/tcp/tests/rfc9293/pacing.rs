//! Pacing: at the rate that is set, in bursts of a millisecond, and without cost to a path that is fast.

use std::time::Duration;

use fourtuple_tcp::{CongestionKind, Pacing};
use fourtuple_wire::Instant;

use crate::send;
use crate::support::{ACK, Bottleneck, End, Link, MSS, Setup, seg};

const KIND: CongestionKind = CongestionKind::Cubic;

#[test]
fn a_rate_that_is_set_is_kept_and_used_up() {
    for rate in [50_000u64, 500_000, 5_000_000] {
        let mut net = Bottleneck::new(Link::of(1_000, 10, 10_000));
        let mut profile = Bottleneck::profile(KIND);
        profile.max_pacing_rate = Some(rate);
        let flow = net.open(&profile);
        net.run(Duration::from_secs(1));
        let reached = net.run(Duration::from_secs(4))[flow];
        assert!(reached <= rate * 101 / 100, "{rate}: {reached}");
        assert!(reached >= rate * 97 / 100, "{rate}: {reached}");
        assert_eq!(net.counters(flow).rto_expiries, 0, "{rate}");
    }
}

#[test]
fn what_waited_leaves_at_the_rate_and_not_at_once() {
    let bursts = [Pacing::Off, Pacing::On].map(|pacing| {
        let mut net = Bottleneck::new(Link::of(80, 40, 10_000));
        let mut profile = Bottleneck::profile(KIND);
        profile.pacing = pacing;
        let flow = net.open(&profile);
        net.run(Duration::from_millis(600));
        // The pipe runs empty, for less than an RTO; then a window's worth is there at once.
        net.limit_application(flow, Some(0));
        net.run(Duration::from_millis(160));
        net.limit_application(flow, None);
        net.largest_burst = 0;
        net.run(Duration::from_millis(30));
        net.largest_burst
    });
    assert!(bursts[1] * 4 <= bursts[0], "without and with pacing: {bursts:?}");
}

#[test]
fn pacing_costs_no_goodput_on_short_and_long_paths() {
    for (megabits, rtt_ms) in [(1_000, 1), (100, 5), (10, 80)] {
        let link = Link::of(megabits, rtt_ms, 2_000);
        let reached = [Pacing::Off, Pacing::On].map(|pacing| {
            let mut net = Bottleneck::new(link);
            let mut profile = Bottleneck::profile(KIND);
            profile.pacing = pacing;
            let flow = net.open(&profile);
            net.run(Duration::from_secs(1));
            net.run(Duration::from_secs(2))[flow]
        });
        assert!(
            reached[1] * 100 >= reached[0] * 97,
            "{megabits} Mb/s, {rtt_ms} ms: {reached:?}"
        );
    }
}

#[test]
fn a_rate_may_change_while_the_connection_lives() {
    let mut net = Bottleneck::new(Link::of(100, 10, 1_000));
    let mut profile = Bottleneck::profile(KIND);
    profile.max_pacing_rate = Some(100_000);
    let flow = net.open(&profile);
    net.run(Duration::from_secs(2));
    profile.max_pacing_rate = Some(1_000_000);
    net.set_profile(flow, profile.clone());
    net.run(Duration::from_secs(1));
    let faster = net.run(Duration::from_secs(2))[flow];
    assert!((970_000..=1_010_000).contains(&faster), "{faster}");
    profile.max_pacing_rate = None;
    net.set_profile(flow, profile);
    net.run(Duration::from_secs(2));
    assert!(net.run(Duration::from_secs(2))[flow] > 9_000_000 * MSS / 1060);
}

/// Who keeps deadlines counts in ticks on a circle of 32 bits: the same moment.
#[test]
fn the_tick_of_a_deadline_is_its_instant_on_the_circle() {
    let left = |end: &End| {
        let (at, now) = (end.tcb.deadline(end.now), end.now.as_millis() as u32);
        let tick = end.tcb.deadline_tick(now);
        let expected = (at != Instant::FAR_FUTURE).then_some(at.as_millis() as u32);
        assert_eq!(tick, expected);
        tick.map(|tick| tick.wrapping_sub(now))
    };
    let mut end = Setup::default()
        .profile(|profile| profile.max_pacing_rate = Some(100_000))
        .established();
    assert_eq!(left(&end), None);
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    assert_eq!(left(&end), Some(41), "a delayed ACK");
    // The circle turns.
    let _ = end.pass(2_100);
    end.drain();
    assert_eq!(left(&end), None);
    // A thousand octets take ten milliseconds.
    end.write_octets(1, 5_000);
    let sent = end.drain().len();
    assert!((1..4).contains(&sent), "{sent}");
    let wait = left(&end).expect("the pacer's moment");
    assert!((1..=10 * sent as u32).contains(&wait), "{wait}");
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    assert_eq!(left(&end), Some(wait.min(41)), "whichever comes first");
}
