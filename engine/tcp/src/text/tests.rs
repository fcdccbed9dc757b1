//! When text may go, at the edges: idle time, and a congestion window below a segment.

use super::*;
use crate::congestion::Congestion;
use crate::testing::{Bytes, Established};
use crate::{CongestionKind, Profile};

/// An initial window of ten segments, less timestamps; it has grown to twenty since.
fn grown() -> Established {
    let mut one = Established::new(Profile::default().with(|profile| {
        profile.window_scaling = false;
        profile.nodelay = true;
        profile.congestion = CongestionKind::NewReno;
    }));
    one.tcb.congestion = Congestion::new(20_000);
    one
}

/// The first segment left so many milliseconds ago.
fn idle_for(one: &mut Established, ms: u32) {
    one.tcb.last_sent = (one.now.as_millis() as u32).wrapping_sub(ms);
}

fn write(one: &mut Established, len: usize) {
    let payload = Bytes::from(&vec![7; len][..]);
    one.with(|tcb, env| assert!(tcb.send(payload, env).is_ok(), "there is room"));
}

// proves: RFC 5681 §4.1 (an interval *exceeding* the retransmission timeout)
#[test]
fn a_window_is_that_of_the_beginning_after_more_than_a_timeout_without_sending() {
    for (beyond, window) in [(0, 20_000), (1, 10_000)] {
        let mut one = grown();
        let timeout = one.tcb.rto.timeout_ms(0, &one.profile);
        idle_for(&mut one, timeout + beyond);
        one.with(|tcb, env| tcb.restart_after_idle(env));
        assert_eq!(one.tcb.congestion.window(), window, "{beyond}");
    }
}

// proves: RFC 5681 §4.1
#[test]
fn text_that_joins_what_waits_restarts_after_idle_too_and_what_joins_the_flight_does_not() {
    for header_prediction in [true, false] {
        let mut waits = grown();
        waits.profile.header_prediction = header_prediction;
        write(&mut waits, 100);
        assert_eq!(waits.tcb.congestion.window(), 20_000);
        assert!(waits.tcb.debts.contains(Debts::TEXT));
        // It did not leave for so long, for want of a slot.
        idle_for(&mut waits, 5_000);
        write(&mut waits, 100);
        assert_eq!(waits.tcb.congestion.window(), 10_000, "{header_prediction}");

        let mut flies = grown();
        flies.profile.header_prediction = header_prediction;
        flies.send(100);
        write(&mut flies, 100);
        idle_for(&mut flies, 5_000);
        write(&mut flies, 100);
        assert_eq!(flies.tcb.congestion.window(), 20_000, "{header_prediction}");
    }
}

/// Else a window below a segment would never be left again.
#[test]
fn with_nothing_in_the_network_a_segment_may_always_go() {
    let mut one = grown();
    one.tcb.congestion = Congestion::new(500);
    one.send(2_000);
    assert_eq!(one.tcb.snd.flight(), 1_000);
}
