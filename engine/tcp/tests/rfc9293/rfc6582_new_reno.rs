//! RFC 6582: fast recovery without SACK.

use crate::support::{ACK, End, Setup, seg};
use crate::{expect, expect_nothing, send};

/// Ten segments are outstanding, and three duplicate ACKs came: the first was lost.
fn in_recovery() -> End {
    let mut end = Setup::default().established();
    end.write_octets(1, 10_000);
    assert_eq!(end.drain().len(), 10);
    for _ in 0..3 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    }
    end
}

// proves: RFC 5681 §3.2
#[test]
fn the_third_duplicate_ack_sends_the_first_segment_again() {
    let mut end = in_recovery();
    let again = expect!(end, seg(ACK).seq(1).octets(1_000));
    assert!(again.retransmission);
    expect_nothing!(end);
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.ssthresh, status.cwnd), (5_000, 8_000));
    assert_eq!(end.counters.retransmits_fast, 1);
}

#[test]
fn further_duplicate_acks_let_new_data_go_once_the_window_has_inflated() {
    let mut end = in_recovery();
    end.drain();
    end.write_octets(10_001, 5_000);
    for _ in 0..2 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
        expect_nothing!(end);
    }
    send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    expect!(end, seg(ACK).seq(10_001).octets(1_000));
}

// proves: RFC 6582 §3.2, RFC 5681 §4.3
#[test]
fn a_partial_ack_sends_the_next_hole_again_and_a_full_one_ends_recovery() {
    let mut end = in_recovery();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(3_001)).verdict.unwrap();
    expect!(end, seg(ACK).seq(3_001).octets(1_000));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(5_001)).verdict.unwrap();
    expect!(end, seg(ACK).seq(5_001).octets(1_000));
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    expect_nothing!(end);
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.cwnd, 2_000, "no burst: the flight, and a segment");
}

// proves: RFC 9293 MUST-18
#[test]
fn karn_a_segment_sent_again_by_fast_retransmit_is_no_sample() {
    let mut end = in_recovery();
    let before = end.tcb.status(&end.profile, end.now).srtt;
    let _ = end.pass(100);
    expect!(end, seg(ACK).seq(1).octets(1_000));
    let _ = end.pass(50);
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    assert_eq!(end.tcb.status(&end.profile, end.now).srtt, before);
}

// proves: RFC 6582 §3.2
#[test]
fn duplicate_acks_of_an_old_recovery_begin_no_new_one() {
    let mut end = in_recovery();
    end.drain();
    // The timer runs out in recovery; everything goes again, and its duplicates are answered.
    let _ = end.fire();
    end.drain();
    for _ in 0..5 {
        send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    }
    assert_eq!(end.counters.fast_recoveries, 1);
}

#[test]
fn three_gigabytes_without_loss_do_not_make_recovery_blind() {
    let mut end = Setup::default()
        .profile(|profile| {
            profile.window_scaling = true;
            profile.send_buffer = 1 << 30;
        })
        .window(60_000);
    end.peer_syn = end.peer_syn.window_scale(14);
    let mut end = end.established();
    // One chunk is sent over and over, 16 MB at a time.
    let chunk = vec![0; 1 << 24];
    let mut acked = 1u32;
    while end.counters.bytes_out < 3 << 30 {
        end.write(&chunk);
        while end.tcb.status(&end.profile, end.now).send_queue > 0 {
            while let Some(outgoing) = end.with(|tcb, env| tcb.poll_transmit(env)) {
                acked = acked.wrapping_add(u32::from(outgoing.payload_len));
            }
            send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
        }
    }
    end.write(&chunk);
    end.drain();
    for _ in 0..3 {
        send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
    }
    assert_eq!(end.counters.fast_recoveries, 1);
}
