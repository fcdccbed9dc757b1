//! RFC 5681: slow start, congestion avoidance, fast retransmit, restart after idle; RFC 3042: limited transmit.

use crate::support::{ACK, Setup, seg};
use crate::{expect, expect_nothing, send};

fn setup() -> Setup {
    Setup::default().profile(|profile| profile.initial_window_segments = 4)
}

// proves: RFC 9293 MUST-19, RFC 6928 §2
#[test]
fn the_initial_window_bounds_the_first_flight() {
    for (segments, expected) in [(4, 4), (10, 10)] {
        let mut end = Setup::default()
            .profile(|profile| profile.initial_window_segments = segments)
            .established();
        end.write_octets(1, 20_000);
        assert_eq!(end.drain().len(), expected);
    }
}

// proves: RFC 5681 §3.1
#[test]
fn slow_start_sends_two_for_each_one_acknowledged() {
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    assert_eq!(end.drain().len(), 4);
    for at in 1..=4u32 {
        send!(end, seg(ACK).seq(1).ack(1 + at * 1_000)).verdict.unwrap();
        assert_eq!(end.drain().len(), 2);
    }
    assert_eq!(end.tcb.status(&end.profile, end.now).cwnd, 8_000);
}

// proves: RFC 5681 §3.1
#[test]
fn a_timeout_leaves_one_segment_and_half_of_the_flight_as_threshold() {
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    end.drain();
    let _ = end.fire();
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.cwnd, status.ssthresh), (1_000, 2_000));
}

// proves: RFC 3042
#[test]
fn the_first_two_duplicate_acks_let_a_new_segment_go_each() {
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    end.drain();
    for at in 0..2 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
        expect!(end, seg(ACK).seq(4_001 + at * 1_000).octets(1_000));
        expect_nothing!(end);
    }
    assert_eq!(end.counters.limited_transmits, 2);
}

#[test]
fn what_is_no_duplicate_ack_does_not_count() {
    let mut end = setup().established();
    end.write_octets(1, 4_000);
    end.drain();
    for at in 0..5u16 {
        let bare = seg(ACK).seq(1 + u32::from(at)).ack(1).window(50_000 + at);
        send!(end, bare.clone()).verdict.unwrap();
        send!(end, bare.octets(1)).verdict.unwrap();
    }
    assert_eq!(
        (end.counters.duplicate_acks_in, end.counters.fast_recoveries),
        (0, 0)
    );
}

// proves: RFC 5681 §4.1
#[test]
fn after_an_idle_rto_the_window_is_the_initial_one() {
    let mut end = setup().established();
    end.write_octets(1, 8_000);
    let mut acked = 1;
    while acked < 8_001 {
        acked += end
            .drain()
            .iter()
            .map(|sent| sent.payload.len() as u32)
            .sum::<u32>();
        send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
    }
    assert!(end.tcb.status(&end.profile, end.now).cwnd > 4_000);
    let _ = end.pass(5_000);
    end.write_octets(8_001, 20_000);
    assert_eq!(end.drain().len(), 4);
}

// proves: RFC 5681 §2
#[test]
fn segments_whose_text_found_no_room_are_no_duplicate_acks() {
    let mut end = setup().established();
    end.write_octets(1, 30_000);
    end.drain();
    for at in 0..5 {
        let header = seg(ACK)
            .seq(1 + at * 10)
            .ack(1)
            .header(end.irs, end.iss, end.peer_window);
        let arrival = end.with(|tcb, env| tcb.segment_arrives_without_text(&header, env));
        assert_eq!(arrival.verdict, Ok(()));
        // The peer learns at once that it was not taken.
        expect!(end, seg(ACK).seq(4_001).ack(1));
        expect_nothing!(end);
    }
    assert_eq!(end.counters.duplicate_acks_in, 0);
}

// RFC 7661 §4.2: a window of which not half was used says nothing about the path.
#[test]
fn a_window_grows_when_half_of_it_was_used() {
    for (octets, cwnd) in [(999, 2_000), (1_000, 3_000)] {
        let mut end = Setup::default()
            .profile(|profile| profile.initial_window_segments = 2)
            .established();
        end.write_octets(1, octets);
        end.drain();
        send!(end, seg(ACK).seq(1).ack(1 + octets as u32))
            .verdict
            .unwrap();
        assert_eq!(end.tcb.status(&end.profile, end.now).cwnd, cwnd, "{octets}");
    }
}
