//! BBR on whole connections over a bottleneck (draft-ietf-ccwg-bbr).

use std::time::Duration;

use fourtuple_tcp::CongestionKind::{Bbr, Cubic};

use crate::send;
use crate::support::{ACK, Bottleneck, Link, Setup, seg};

#[test]
fn random_loss_costs_it_little_where_cubic_starves() {
    for loss in [100, 200] {
        let reached = [Cubic, Bbr].map(|kind| {
            let mut link = Link::of(20, 60, 300);
            link.loss = loss;
            let mut net = Bottleneck::new(link);
            let flow = net.open(&Bottleneck::profile(kind));
            net.run(Duration::from_secs(3));
            net.run(Duration::from_secs(12))[flow]
        });
        assert!(
            reached[1] > reached[0] * 2,
            "loss {loss}: CUBIC {}, BBR {}",
            reached[0],
            reached[1]
        );
        assert!(reached[1] > 1_200_000, "loss {loss}: {}", reached[1]);
    }
}

#[test]
fn a_deep_queue_stays_short() {
    // Ten times the bandwidth-delay product: a sender that waits for loss fills it.
    let mut net = Bottleneck::new(Link::of(20, 40, 1_000));
    let flow = net.open(&Bottleneck::profile(Bbr));
    net.run(Duration::from_secs(3));
    net.most_queued = 0;
    let reached = net.run(Duration::from_secs(5))[flow];
    assert!(reached >= 2_000_000, "{reached}");
    assert!(net.most_queued <= 160_000, "{} octets waited", net.most_queued);
    assert_eq!(net.drops, 0);
}

#[test]
fn a_path_that_slows_down_is_followed_within_seconds() {
    let mut net = Bottleneck::new(Link::of(20, 40, 300));
    let flow = net.open(&Bottleneck::profile(Bbr));
    net.run(Duration::from_secs(4));
    net.link.rate = 500_000;
    // Two cycles of probing, after which the old bandwidth is forgotten.
    net.run(Duration::from_secs(16));
    let (drops, packets) = (net.drops, net.packets);
    let slow = net.run(Duration::from_secs(4))[flow];
    assert!(slow >= 400_000, "{slow}");
    let lost = (net.drops - drops) * 100 / (net.packets - packets).max(1);
    assert!(lost <= 5, "{lost} % dropped");
    net.link.rate = 2_500_000;
    net.run(Duration::from_secs(12));
    let fast = net.run(Duration::from_secs(3))[flow];
    assert!(fast >= 2_000_000, "{fast}");
}

#[test]
fn after_a_pause_it_goes_on_at_its_rate_without_a_burst() {
    let mut net = Bottleneck::new(Link::of(20, 40, 1_000));
    let flow = net.open(&Bottleneck::profile(Bbr));
    net.run(Duration::from_secs(4));
    net.limit_application(flow, Some(0));
    net.run(Duration::from_secs(3));
    net.limit_application(flow, None);
    net.largest_burst = 0;
    let reached = net.run(Duration::from_millis(500))[flow];
    assert!(
        net.largest_burst <= 4 * 2_500 + 3_000,
        "{} octets at once",
        net.largest_burst
    );
    assert!(reached >= 1_600_000, "{reached}");
}

// proves: draft-ietf-ccwg-bbr §5.6.4.4 (RestoreCwnd when the recovery of a timeout ends)
#[test]
fn a_timeout_leaves_one_segment_and_its_repair_gives_the_window_back() {
    let mut end = Setup::default()
        .profile(|profile| profile.congestion = Bbr)
        .established_after(40);
    let before = end.tcb.status(&end.profile, end.now).cwnd;
    end.write_octets(1, 3_000);
    end.drain();
    while end.counters.rto_expiries == 0 {
        let _ = end.fire();
        end.drain();
    }
    assert_eq!(end.tcb.status(&end.profile, end.now).cwnd, 1_000);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(3_001)).verdict.unwrap();
    let after = end.tcb.status(&end.profile, end.now).cwnd;
    assert!(after >= before, "{before}, then {after}");
}
