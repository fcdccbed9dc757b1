//! §3.8.6.3: delayed acknowledgments.

use crate::support::{ACK, FIN, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 SHLD-18, MUST-40
#[test]
fn a_lone_segment_is_acknowledged_after_a_while() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    expect_nothing!(end);
    assert_eq!(end.next_deadline_ms(), 41);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).ack(11));
    expect_nothing!(end);
}

// proves: RFC 9293 MUST-40
#[test]
fn the_delay_stays_below_half_a_second_whatever_is_set() {
    let long = std::time::Duration::from_secs(10);
    let mut end = Setup::default()
        .profile(|profile| profile.delayed_ack = long)
        .established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    assert!(end.next_deadline_ms() < 500);
}

#[test]
fn without_a_delay_each_segment_is_acknowledged_at_once_and_once() {
    let mut end = Setup::default()
        .profile(|profile| profile.delayed_ack = std::time::Duration::ZERO)
        .established();
    for at in [1, 11] {
        send!(end, seg(ACK).seq(at).ack(1).octets(10)).verdict.unwrap();
        expect!(end, seg(ACK).seq(1).ack(at + 10));
        expect_nothing!(end);
    }
    // An answer that is there by then carries it.
    send!(end, seg(ACK).seq(21).ack(1).octets(10)).verdict.unwrap();
    end.write(b"answer");
    expect!(end, seg(ACK).seq(1).ack(31).text(b"answer"));
    expect_nothing!(end);
}

// proves: RFC 9293 SHLD-19
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut end = Setup::default().established();
    for pair in 0..5u32 {
        send!(end, seg(ACK).seq(1 + pair * 2_000).ack(1).octets(1_000))
            .verdict
            .unwrap();
        expect_nothing!(end);
        send!(end, seg(ACK).seq(1_001 + pair * 2_000).ack(1).octets(1_000))
            .verdict
            .unwrap();
        expect!(end, seg(ACK).seq(1).ack(2_001 + pair * 2_000));
    }
}

#[test]
fn a_burst_owes_one_ack_and_one_more_for_each_eight_segments() {
    for (segments, acks) in [(2, 1), (9, 1), (10, 2), (17, 2), (18, 3)] {
        let mut end = Setup::default().established();
        for at in 0..segments {
            send!(end, seg(ACK).seq(1 + at * 1_000).ack(1).octets(1_000))
                .verdict
                .unwrap();
        }
        let sent = end.drain();
        assert_eq!(sent.len(), acks, "{segments}");
        let mut before = end.irs;
        for segment in &sent {
            assert!(segment.header.ack.after(before), "no duplicate ACKs");
            before = segment.header.ack;
        }
        assert_eq!(before, end.irs + 1 + segments * 1_000);
    }
}

// proves: RFC 9293 MUST-58
#[test]
fn data_carries_the_acknowledgment() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    end.write(b"answer");
    expect!(end, seg(ACK).seq(1).ack(11).text(b"answer"));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(11).ack(7)).verdict.unwrap();
    assert_eq!(
        end.tcb.deadline(end.now),
        fourtuple_wire::Instant::FAR_FUTURE,
        "nothing is delayed any more"
    );
}

// proves: RFC 9293 MAY-13, RFC 5681 §4.2
#[test]
fn holes_their_filling_and_fins_are_acknowledged_at_once() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(11).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).ack(1));
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    expect!(end, seg(ACK).ack(21));
    send!(end, seg(ACK | FIN).seq(21).ack(1)).verdict.unwrap();
    expect!(end, seg(ACK).ack(22));
}

// proves: RFC 5681 §4.2, §3.2 (a sender without SACK counts three)
#[test]
fn segments_out_of_order_in_a_burst_are_as_many_duplicate_acks_or_three() {
    for (segments, acks) in [(1, 1), (2, 2), (3, 3), (6, 3), (40, 3)] {
        let mut end = Setup::default().established();
        for at in 1..=segments {
            send!(end, seg(ACK).seq(1 + at * 1_000).ack(1).octets(1_000))
                .verdict
                .unwrap();
        }
        for _ in 0..acks {
            expect!(end, seg(ACK).seq(1).ack(1));
        }
        expect_nothing!(end);
        end.expect_pools_whole();
    }
}

#[test]
fn a_burst_that_fills_its_hole_has_no_duplicate_acks() {
    let mut end = Setup::default().established();
    for at in [1_001, 2_001, 3_001, 1] {
        send!(end, seg(ACK).seq(at).ack(1).octets(1_000)).verdict.unwrap();
    }
    expect!(end, seg(ACK).seq(1).ack(4_001));
    expect_nothing!(end);
    assert_eq!(end.pools.in_use().reassemblies, 0);
}

/// What carries data is no duplicate ACK (RFC 5681 §2).
#[test]
fn data_does_not_pay_for_duplicate_acks() {
    let mut end = Setup::default().established();
    for at in [1_001, 2_001, 3_001] {
        send!(end, seg(ACK).seq(at).ack(1).octets(1_000)).verdict.unwrap();
    }
    end.write(b"text");
    expect!(end, seg(ACK).seq(1).ack(1).text(b"text"));
    for _ in 0..3 {
        expect!(end, seg(ACK).seq(5).ack(1));
    }
    expect_nothing!(end);
}

#[test]
fn with_sack_one_ack_tells_of_a_burst() {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established();
    for at in [1_001, 2_001, 3_001] {
        send!(end, seg(ACK).seq(at).ack(1).octets(1_000)).verdict.unwrap();
    }
    expect!(end, seg(ACK).ack(1).sack(&[(1_001, 4_001)]));
    expect_nothing!(end);
}

// proves: RFC 9293 SHLD-19 (or 2 RMSS octets, whatever the segments)
#[test]
fn one_and_a_half_segments_are_not_two() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(1_000)).verdict.unwrap();
    send!(end, seg(ACK).seq(1_001).ack(1).octets(500))
        .verdict
        .unwrap();
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1_501).ack(1).octets(500))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(2_001));
    // Of a burst: nine and a half have one, ten have two.
    for at in 0..9 {
        send!(end, seg(ACK).seq(2_001 + at * 1_000).ack(1).octets(1_000))
            .verdict
            .unwrap();
    }
    send!(end, seg(ACK).seq(11_001).ack(1).octets(500))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(11_501));
    expect_nothing!(end);
}
