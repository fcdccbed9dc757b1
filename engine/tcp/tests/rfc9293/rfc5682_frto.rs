//! RFC 5682: F-RTO. Whether a timeout was spurious, told by what is acknowledged after it.

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

/// Six segments are outstanding, four more wait, and the timer ran out.
fn timed_out(sack: bool) -> End {
    let mut setup = Setup::default().profile(|profile| {
        profile.sack = sack;
        profile.initial_window_segments = 6;
    });
    setup.peer_syn = seg(SYN).mss(1000);
    if sack {
        setup.peer_syn = setup.peer_syn.sack_permitted();
    }
    let mut end = setup.established_after(40);
    end.write_octets(1, 20_000);
    assert_eq!(end.drain().len(), 6);
    while end.counters.rto_expiries == 0 {
        let _ = end.fire();
        if end.counters.rto_expiries == 0 {
            end.drain();
        }
    }
    expect!(end, seg(ACK).seq(1).octets(1_000));
    expect_nothing!(end);
    end
}

// proves: RFC 5682 §2.1 steps 2b and 3b
#[test]
fn two_acks_that_advance_show_that_the_timeout_was_spurious() {
    let mut end = timed_out(false);
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    // New segments, none again.
    expect!(end, seg(ACK).seq(6_001).octets(1_000));
    expect!(end, seg(ACK).seq(7_001).octets(1_000));
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(2_001)).verdict.unwrap();
    assert_eq!((end.counters.spurious_rtos, end.counters.undos), (1, 1));
    assert!(end.drain().iter().all(|sent| !sent.retransmission));
    let status = end.tcb.status(&end.profile, end.now);
    assert!(status.cwnd >= 6_000, "{}", status.cwnd);
}

// proves: RFC 5682 §2.1 step 3a
#[test]
fn a_duplicate_ack_after_the_new_segments_shows_that_it_was_real() {
    let mut end = timed_out(false);
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    assert_eq!(end.drain().len(), 2);
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    assert_eq!(end.counters.spurious_rtos, 0);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    end.drain();
    // What is lost is sent again as after any timeout.
    let mut again = end.counters.retransmits_rto;
    for _ in 0..3 {
        let _ = end.fire();
        end.drain();
        again = again.max(end.counters.retransmits_rto);
    }
    assert!(again >= 2);
}

// proves: RFC 5682 §2.1 step 2a
#[test]
fn a_duplicate_ack_at_once_goes_the_usual_way() {
    let mut end = timed_out(false);
    send!(end, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    assert!(expect!(end, seg(ACK).seq(1_001).octets(1_000)).retransmission);
}

// proves: RFC 5682 §3.1 step 3b
#[test]
fn a_sack_of_what_was_never_sent_again_shows_it_at_once() {
    let mut end = timed_out(true);
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 2_001)]))
        .verdict
        .unwrap();
    assert_eq!((end.counters.spurious_rtos, end.counters.undos), (1, 1));
}

#[test]
fn a_timeout_within_recovery_is_not_doubted() {
    let mut end = timed_out(false);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(1_000));
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    assert!(expect!(end, seg(ACK).seq(1_001).octets(1_000)).retransmission);
}
