//! RFC 8985 §6: RACK. What was sent before something that has arrived since is lost, when it is late enough.

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

/// A round trip of 40 ms, ten segments outstanding for as long.
fn outstanding() -> End {
    let mut end = connected();
    end.write_octets(1, 30_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.pass(40);
    end
}

fn connected() -> End {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    setup.established_after(40)
}

fn sack(end: &mut End, ack: u32, blocks: &[(u32, u32)]) {
    send!(end, seg(ACK).seq(1).ack(ack).sack(blocks)).verdict.unwrap();
}

// proves: RFC 8985 §6.2 step 4 (no reordering seen: DupThresh)
#[test]
fn three_segments_sacked_above_a_hole_are_enough_at_once() {
    let mut end = outstanding();
    sack(&mut end, 1, &[(1_001, 4_001)]);
    assert_eq!((end.counters.fast_recoveries, end.counters.rack_losses), (1, 1));
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).retransmission);
}

// proves: RFC 8985 §6.2 step 5 (reordering timer), RFC 8985 §8
#[test]
fn fewer_are_given_a_quarter_of_a_round_trip() {
    let mut end = outstanding();
    sack(&mut end, 1, &[(1_001, 2_001)]);
    assert_eq!(end.counters.fast_recoveries, 0);
    assert_eq!(end.next_deadline_ms(), 11, "10 ms, and never early");
    end.drain();
    let _ = end.fire();
    assert_eq!(
        (
            end.counters.fast_recoveries,
            end.counters.rack_timeouts,
            end.counters.rto_expiries
        ),
        (1, 1, 0)
    );
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).retransmission);
    assert!(end.next_deadline_ms() > 50, "the timeout runs again");
}

// proves: RFC 8985 §6.2 step 3
#[test]
fn once_reordering_was_seen_three_segments_are_not_enough() {
    let mut end = outstanding();
    // The first comes late, but it comes.
    sack(&mut end, 1, &[(1_001, 2_001)]);
    sack(&mut end, 2_001, &[]);
    let _ = end.drain();
    let _ = end.pass(40);
    sack(&mut end, 2_001, &[(3_001, 6_001)]);
    assert_eq!(end.counters.fast_recoveries, 0);
    assert!(end.drain().iter().all(|sent| !sent.retransmission));
    let _ = end.pass(12);
    assert_eq!(end.counters.fast_recoveries, 1);
}

// proves: RFC 8985 §6.2 step 2 (an ACK of a retransmission that answers the first sending tells no round trip)
#[test]
fn an_ack_that_came_too_soon_after_a_retransmission_proves_nothing_lost() {
    let mut end = outstanding();
    sack(&mut end, 1, &[(1_001, 4_001)]);
    expect!(end, seg(ACK).seq(1).octets(1_000));
    // The first sending arrives after all, a millisecond after the second left. Were it taken for the second, all that was
    // sent before that would be lost.
    let _ = end.pass(1);
    sack(&mut end, 4_001, &[]);
    assert_eq!(end.counters.rack_losses, 1);
}

// proves: RFC 5681 §4.3
#[test]
fn a_lost_retransmission_is_found_without_a_timeout_and_reduces_again() {
    let mut end = outstanding();
    sack(&mut end, 1, &[(1_001, 4_001)]);
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).retransmission);
    let first = end.tcb.status(&end.profile, end.now).ssthresh;
    // What is sent after it arrives, it does not.
    sack(&mut end, 1, &[(1_001, 9_001)]);
    let new: Vec<_> = end.drain();
    assert!(!new.is_empty() && new.iter().all(|sent| !sent.retransmission));
    let _ = end.pass(41);
    sack(&mut end, 1, &[(1_001, 10_001 + 1_000 * new.len() as u32)]);
    assert_eq!((end.counters.lost_retransmits, end.counters.rto_expiries), (1, 0));
    assert!(expect!(end, seg(ACK).seq(1).octets(1_000)).retransmission);
    assert!(end.tcb.status(&end.profile, end.now).ssthresh < first);
}

// proves: RFC 8985 §6.2 step 4 (D-SACK widens the window)
#[test]
fn a_round_with_a_dsack_widens_the_window() {
    let mut end = outstanding();
    sack(&mut end, 1, &[(1_001, 4_001)]);
    end.drain();
    // The hole is filled by the first sending, and the second is reported as a duplicate.
    let _ = end.pass(10);
    sack(&mut end, 4_001, &[(1, 1_001)]);
    assert_eq!((end.counters.dsacks_in, end.counters.undos), (1, 1));
    end.drain();
    let _ = end.pass(40);
    sack(&mut end, 4_001, &[(5_001, 6_001)]);
    let waits = end.next_deadline_ms();
    assert!((20..=22).contains(&waits), "half of the round trip now: {waits}");
}

// proves: RFC 8985 §6.3
#[test]
fn a_timeout_spares_what_was_sent_just_before() {
    let mut end = connected();
    end.write_octets(1, 2_000);
    end.drain();
    let _ = end.pass(150);
    end.drain();
    end.write_octets(2_001, 6_000);
    let _ = end.drain();
    while end.counters.rto_expiries == 0 {
        let _ = end.fire();
        if end.counters.rto_expiries == 0 {
            let _ = end.drain();
        }
    }
    let again = expect!(end, seg(ACK).seq(1).octets(1_000));
    assert!(again.retransmission);
    expect_nothing!(end);
}

#[test]
fn losses_round_the_end_of_the_sequence_space_are_found() {
    for iss in [u32::MAX - 500, u32::MAX - 4_500, u32::MAX - 12_000] {
        let mut setup = Setup::default().profile(|profile| profile.sack = true);
        setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
        setup.iss = iss;
        let mut end = setup.established_after(40);
        end.write_octets(1, 10_000);
        end.drain();
        let _ = end.pass(40);
        sack(&mut end, 1, &[(2_001, 5_001)]);
        assert_eq!(end.counters.rack_losses, 2);
        let mut again: Vec<u32> = Vec::new();
        for right in [6_001, 7_001, 8_001, 9_001, 10_001] {
            for sent in end.drain() {
                again.push(sent.header.seq.distance_from(end.iss));
            }
            sack(&mut end, 1, &[(2_001, right)]);
        }
        assert_eq!(again, [1, 1_001], "iss {iss}");
    }
}

#[test]
fn a_full_scoreboard_still_delivers_everything() {
    let mut end = connected();
    end.profile.send_buffer = 1 << 20;
    // Every second segment of 160 is lost, which is more than the scoreboard has ranges for.
    let mut acked = 1;
    end.write_octets(1, 160_000);
    let mut sent_up_to = 1;
    while sent_up_to < 100_001 && acked < 160_001 {
        for sent in end.drain() {
            sent_up_to = sent_up_to.max(sent.header.seq.distance_from(end.iss) + sent.payload.len() as u32);
        }
        if sent_up_to < 50_001 {
            acked = sent_up_to;
            let _ = end.pass(40);
            send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
        } else {
            break;
        }
    }
    end.drain();
    let from = acked;
    let mut held: Vec<u32> = Vec::new();
    let mut at = from + 1_000;
    while at < sent_up_to {
        held.push(at);
        let _ = end.pass(1);
        sack(&mut end, from, &[(at, at + 1_000)]);
        at += 2_000;
    }
    // From now on everything arrives.
    let mut rounds = 0;
    while acked < 160_001 {
        let mut got: Vec<(u32, u32)> = held.iter().map(|at| (*at, at + 1_000)).collect();
        for sent in end.drain() {
            let seq = sent.header.seq.distance_from(end.iss);
            got.push((seq, seq + sent.payload.len() as u32));
        }
        got.sort_unstable();
        for (left, right) in &got {
            if *left <= acked {
                acked = acked.max(*right);
            }
        }
        held.extend(
            got.iter()
                .filter(|(left, _)| *left > acked)
                .map(|(left, _)| *left),
        );
        held.dedup();
        let _ = end.pass(40);
        send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
        rounds += 1;
        assert!(rounds < 1_000, "stuck at {acked}");
    }
}
