//! RFC 9438: CUBIC on whole connections over a bottleneck.

use std::time::Duration;

use fourtuple_tcp::CongestionKind::{Cubic, NewReno};

use crate::support::{ACK, Bottleneck, End, Link, SYN, Setup, seg};
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

/// With SACK, ten segments outstanding for a round trip of 40 ms, and more queued.
fn ten_outstanding() -> End {
    let mut setup = Setup::default().profile(|profile| {
        profile.congestion = Cubic;
        profile.sack = true;
    });
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established_after(40);
    end.write_octets(1, 60_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.pass(40);
    end
}

fn window_and_threshold(end: &End) -> (u32, u32) {
    let status = end.tcb.status(&end.profile, end.now);
    (status.cwnd, status.ssthresh)
}

// proves: RFC 9438 §4.6 (ssthresh from what was outstanding, cwnd at most)
#[test]
fn what_the_burst_of_a_loss_acknowledges_was_outstanding_too() {
    // Nothing is sent between the ACKs of a burst; the loss shows in the last of them.
    for before in [&[][..], &[3_001], &[2_001, 4_001, 6_001]] {
        let mut end = ten_outstanding();
        for ack in before {
            send!(end, seg(ACK).seq(1).ack(*ack)).verdict.unwrap();
        }
        send!(end, seg(ACK).seq(1).ack(6_001).sack(&[(7_001, 10_001)]))
            .verdict
            .unwrap();
        assert_eq!(window_and_threshold(&end).1, 7_001, "after {before:?}");
        expect!(end, seg(ACK).seq(6_001).octets(1_000));
    }
}

// proves: RFC 5681 §3.1 (every ACK of new data, when the window was used)
#[test]
fn each_ack_of_a_burst_grows_the_window_that_was_full_before_it() {
    let mut end = ten_outstanding();
    for at in 1..=5 {
        send!(end, seg(ACK).seq(1).ack(at * 2_000 + 1)).verdict.unwrap();
    }
    assert_eq!(window_and_threshold(&end).0, 20_000);
}

// proves: RFC 9438 §4.3 (W_est follows what is acknowledged)
#[test]
fn what_left_in_recovery_counts_whether_one_ack_or_two_bring_its_end() {
    for acks in [&[16_001][..], &[10_001, 16_001]] {
        let mut end = ten_outstanding();
        send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 10_001)]))
            .verdict
            .unwrap();
        assert_eq!(window_and_threshold(&end), (7_001, 7_001));
        // The first segment again, and six new ones.
        assert_eq!(end.drain().len(), 7);
        let _ = end.pass(40);
        for ack in acks {
            send!(end, seg(ACK).seq(1).ack(*ack)).verdict.unwrap();
        }
        // α = 9/17 of a segment for a whole window.
        assert_eq!(window_and_threshold(&end).0, 7_454, "{acks:?}");
    }
}
