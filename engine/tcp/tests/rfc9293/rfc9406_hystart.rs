//! RFC 9406: HyStart++ on a whole connection: slow start ends before the queue overflows.

use std::time::Duration;

use fourtuple_tcp::CongestionKind;

use crate::support::{Bottleneck, Link};

// proves: RFC 9406 §4.2 (slow start leaves on delay, without a loss)
#[test]
fn a_deep_queue_is_left_before_it_overflows() {
    // Room for seven times the bandwidth-delay product: nothing is ever dropped.
    let ended = [CongestionKind::NewReno, CongestionKind::Cubic].map(|kind| {
        let mut net = Bottleneck::new(Link::of(20, 60, 1_200));
        let flow = net.open(&Bottleneck::profile(kind));
        net.run(Duration::from_secs(5));
        assert_eq!(net.drops, 0, "{kind}");
        net.status(flow).ssthresh < u32::MAX
    });
    assert_eq!(ended, [false, true], "NewReno waits for loss, HyStart++ does not");
}

#[test]
fn leaving_early_does_not_leave_the_path_empty() {
    for (megabits, rtt_ms) in [(10, 20), (50, 60), (100, 100)] {
        let bdp = megabits * 125 * rtt_ms / 1_060;
        let mut net = Bottleneck::new(Link::of(megabits, rtt_ms, 2 * bdp));
        let flow = net.open(&Bottleneck::profile(CongestionKind::Cubic));
        net.run(Duration::from_secs(3));
        let reached = net.run(Duration::from_secs(3))[flow];
        let most = megabits * 125_000 * 1000 / 1060;
        assert!(
            reached * 100 >= most * 85,
            "{megabits} Mb/s, {rtt_ms} ms: {reached} of {most}"
        );
    }
}
