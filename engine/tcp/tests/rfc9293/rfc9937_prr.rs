//! RFC 9937 (which takes the place of RFC 6937): proportional rate reduction.

use crate::send;
use crate::support::{ACK, End, SYN, Setup, seg};

/// Twenty segments outstanding for a round trip of 40 ms.
fn outstanding() -> End {
    let mut setup = Setup::default().profile(|profile| {
        profile.sack = true;
        profile.initial_window_segments = 20;
    });
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established_after(40);
    end.write_octets(1, 60_000);
    assert_eq!(end.drain().len(), 20);
    let _ = end.pass(40);
    end
}

fn sack_up_to(end: &mut End, left: u32, right: u32) -> usize {
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(left, right)]))
        .verdict
        .unwrap();
    end.drain().len()
}

// proves: RFC 9937 §6.2
#[test]
fn one_segment_goes_out_for_two_that_arrive_and_the_threshold_is_what_is_left() {
    let mut end = outstanding();
    let mut sent = Vec::new();
    for right in 2..=20u32 {
        sent.push(sack_up_to(&mut end, 1_001, right * 1_000 + 1));
    }
    // The first two are limited transmit; at the third recovery begins; none is a burst.
    assert_eq!(sent[..3], [1, 1, 1]);
    assert!(sent.iter().all(|count| *count <= 1), "{sent:?}");
    let in_recovery: usize = sent[2..].iter().sum();
    assert!((8..=10).contains(&in_recovery), "{sent:?}");
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.ssthresh, 10_000);
    assert!((9_000..=11_000).contains(&status.cwnd), "{}", status.cwnd);
}

// proves: RFC 9937 §6.1 (RecoverFS)
#[test]
fn what_the_burst_of_a_loss_let_go_goes_in_recovery_up_to_the_threshold() {
    let mut end = outstanding();
    // Nothing is sent between the ACKs of a burst: ten segments, and one by one three behind the one that is lost.
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    for right in [12_001, 13_001, 14_001] {
        send!(end, seg(ACK).seq(1).ack(10_001).sack(&[(11_001, right)]))
            .verdict
            .unwrap();
    }
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.ssthresh, status.cwnd), (10_000, 10_000));
    // Six are on the way; the lost one and three new ones make up ten.
    assert_eq!(end.drain().len(), 4);
}

// proves: RFC 9937 §6.1 (RecoverFS)
#[test]
fn what_was_sacked_before_recovery_lets_nothing_go_in_it() {
    let mut setup = Setup::default().profile(|profile| {
        profile.sack = true;
        profile.initial_window_segments = 10;
    });
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established_after(100);
    end.write_octets(1, 10_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.pass(100);
    // All was sent: the first two duplicates have nothing to let go. Six are lost by RACK's count at the third.
    let blocks = [(8_001, 9_001), (6_001, 7_001), (2_001, 3_001)];
    let mut sent = Vec::new();
    for known in [&blocks[2..], &blocks[1..], &blocks] {
        send!(end, seg(ACK).seq(1).ack(1).sack(known)).verdict.unwrap();
        sent.push(end.drain().len());
        let _ = end.pass(1);
    }
    assert_eq!(sent, [0, 0, 1], "one arrives, one goes");
    send!(
        end,
        seg(ACK)
            .seq(1)
            .ack(1)
            .sack(&[(2_001, 4_001), (8_001, 9_001), (6_001, 7_001)])
    )
    .verdict
    .unwrap();
    assert_eq!(end.drain().len(), 1, "one arrives, one goes");
}

// proves: RFC 9937 §6.2 (conservative reduction bound)
#[test]
fn after_a_heavy_loss_no_more_goes_out_than_arrived() {
    let mut end = outstanding();
    // All but the last three are lost: seventeen holes, and three segments arrive one by one.
    let mut sent = 0;
    for right in [18_001, 19_001, 20_001] {
        let now = sack_up_to(&mut end, 17_001, right);
        assert!(now <= 2, "{now} at once");
        sent += now;
    }
    assert!(sent <= 4, "{sent}");
    assert_eq!(end.counters.rto_expiries, 0);
}

#[test]
fn the_end_of_recovery_makes_no_burst() {
    let mut end = outstanding();
    for right in 2..=20u32 {
        sack_up_to(&mut end, 1_001, right * 1_000 + 1);
    }
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(20_001)).verdict.unwrap();
    assert!(end.drain().len() <= 2);
    let status = end.tcb.status(&end.profile, end.now);
    assert!(status.cwnd <= status.ssthresh);
}

#[test]
fn what_was_lost_after_recovery_began_begins_the_next_one() {
    let mut end = outstanding();
    let mut highest = 20_001;
    for right in 2..=20u32 {
        send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, right * 1_000 + 1)]))
            .verdict
            .unwrap();
        for sent in end.drain() {
            highest = highest.max(sent.header.seq.distance_from(end.iss) + sent.payload.len() as u32);
        }
    }
    let _ = end.pass(40);
    // Two went out before it, by limited transmit. The first new one sent in recovery is lost, what came after it arrives with the end of recovery.
    send!(end, seg(ACK).seq(1).ack(22_001).sack(&[(23_001, highest)]))
        .verdict
        .unwrap();
    assert_eq!(end.counters.fast_recoveries, 2);
    let sent = end.drain();
    assert_eq!(sent[0].header.seq.distance_from(end.iss), 22_001);
}
