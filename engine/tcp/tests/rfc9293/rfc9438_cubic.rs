//! RFC 9438: CUBIC on whole connections over a bottleneck.

use std::time::Duration;

use fourtuple_tcp::CongestionKind::{Cubic, NewReno};

use crate::support::{ACK, Bottleneck, Link, Setup, seg};
use crate::{expect, send};

// proves: RFC 9293 MAY-18, RFC 9438 §4.6 (β)
#[test]
fn a_loss_leaves_seven_tenths_and_a_timeout_the_same_threshold() {
    let setup = || Setup::default().profile(|profile| profile.congestion = Cubic);
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    end.drain();
    for _ in 0..3 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    }
    assert_eq!(end.tcb.status(&end.profile, end.now).ssthresh, 7_001);
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    end.drain();
    let _ = end.fire();
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.cwnd, status.ssthresh), (1_000, 7_001));
    expect!(end, seg(ACK).seq(1).octets(1_000));
}

// proves: RFC 9438 §4.1 (use of a path with a large bandwidth-delay product)
#[test]
fn on_a_long_fast_path_it_comes_back_sooner_than_newreno() {
    let reached = [NewReno, Cubic].map(|kind| {
        let mut link = Link::of(200, 100, 600);
        link.loss = 1;
        let mut net = Bottleneck::new(link);
        let flow = net.open(&Bottleneck::profile(kind));
        net.run(Duration::from_secs(20))[flow]
    });
    assert!(
        reached[1] * 100 >= reached[0] * 110,
        "NewReno {}, CUBIC {}",
        reached[0],
        reached[1]
    );
}

// proves: RFC 9438 §4.3, §5.1 (fair to NewReno on short paths)
#[test]
fn on_a_short_slow_path_newreno_keeps_a_fair_share() {
    let mut net = Bottleneck::new(Link::of(10, 20, 40));
    let flows = [NewReno, Cubic].map(|kind| net.open(&Bottleneck::profile(kind)));
    net.run(Duration::from_secs(5));
    let reached = net.run(Duration::from_secs(60));
    let share = reached[flows[0]] * 100 / (reached[flows[0]] + reached[flows[1]]);
    assert!((25..=75).contains(&share), "NewReno has {share} %: {reached:?}");
}
