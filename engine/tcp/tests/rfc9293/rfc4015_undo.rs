//! RFC 3522 and RFC 4015 (Eifel), RFC 2883 and RFC 3708 (D-SACK): what was no loss is undone.

use std::time::Duration;

use fourtuple_tcp::Profile;

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, send};

fn outstanding(change: impl FnOnce(&mut Profile)) -> End {
    let mut setup = Setup::default().profile(|profile| {
        profile.sack = true;
        change(profile);
    });
    setup.peer_syn = seg(SYN).mss(1000);
    if setup.profile.sack {
        setup.peer_syn = setup.peer_syn.sack_permitted();
    }
    if setup.profile.timestamps {
        setup.peer_syn = setup.peer_syn.timestamps(1_000, 0);
    }
    let mut end = setup.established_after(40);
    end.write_octets(1, 30_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.pass(40);
    end
}

/// Our clock of timestamps.
fn clock(end: &End) -> u32 {
    7u32.wrapping_add(end.now.as_millis() as u32)
}

fn cwnd(end: &End) -> (u32, u32) {
    let status = end.tcb.status(&end.profile, end.now);
    (status.cwnd, status.ssthresh)
}

// proves: RFC 3522 §3.2, RFC 4015 §3
#[test]
fn an_echo_of_the_first_sending_undoes_a_fast_recovery() {
    let mut end = outstanding(|profile| profile.timestamps = true);
    let payload = 988;
    let sent_at = clock(&end).wrapping_sub(40);
    for right in 2..=4 {
        send!(
            end,
            seg(ACK)
                .seq(1)
                .ack(1)
                .timestamps(1_001, sent_at)
                .sack(&[(1 + payload, 1 + right * payload)])
        )
        .verdict
        .unwrap();
        end.drain();
    }
    assert_eq!(end.counters.fast_recoveries, 1);
    let (_, reduced) = cwnd(&end);
    let _ = end.pass(5);
    send!(
        end,
        seg(ACK).seq(1).ack(1 + 4 * payload).timestamps(1_002, sent_at)
    )
    .verdict
    .unwrap();
    assert_eq!((end.counters.undos, end.counters.spurious_rtos), (1, 0));
    assert!(cwnd(&end).1 > reduced);
    assert!(end.drain().iter().all(|sent| !sent.retransmission));
}

#[test]
fn an_echo_of_the_retransmission_undoes_nothing() {
    let mut end = outstanding(|profile| profile.timestamps = true);
    let payload = 988;
    let sent_at = clock(&end).wrapping_sub(40);
    send!(
        end,
        seg(ACK)
            .seq(1)
            .ack(1)
            .timestamps(1_001, sent_at)
            .sack(&[(1 + payload, 1 + 4 * payload)])
    )
    .verdict
    .unwrap();
    end.drain();
    let again_at = clock(&end);
    let _ = end.pass(40);
    send!(
        end,
        seg(ACK).seq(1).ack(1 + 4 * payload).timestamps(1_002, again_at)
    )
    .verdict
    .unwrap();
    assert_eq!(end.counters.undos, 0);
}

// proves: RFC 4015 §3, RFC 3522 §3.2 (a spurious timeout)
#[test]
fn an_echo_of_the_first_sending_undoes_a_timeout() {
    let mut end = outstanding(|profile| {
        profile.timestamps = true;
        profile.sack = false;
    });
    let before = cwnd(&end);
    let sent_at = clock(&end).wrapping_sub(40);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).len(988));
    assert_eq!(cwnd(&end).0, 988);
    let _ = end.pass(10);
    send!(end, seg(ACK).seq(1).ack(989).timestamps(1_001, sent_at))
        .verdict
        .unwrap();
    assert_eq!((end.counters.undos, end.counters.spurious_rtos), (1, 1));
    assert!(cwnd(&end).0 >= before.0);
    assert!(end.drain().iter().all(|sent| !sent.retransmission));
}

// proves: RFC 3708 §2, RFC 4015 §3
#[test]
fn a_dsack_of_all_that_was_sent_again_undoes_it_even_after_recovery() {
    let mut end = outstanding(|_| ());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 4_001)]))
        .verdict
        .unwrap();
    end.drain();
    let _ = end.pass(5);
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    end.drain();
    let (_, reduced) = cwnd(&end);
    let _ = end.pass(35);
    send!(end, seg(ACK).seq(1).ack(10_001).sack(&[(1, 1_001)]))
        .verdict
        .unwrap();
    assert_eq!((end.counters.dsacks_in, end.counters.undos), (1, 1));
    assert!(cwnd(&end).1 > reduced);
}

#[test]
fn a_dsack_of_a_part_undoes_nothing() {
    let mut end = outstanding(|_| ());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(2_001, 6_001)]))
        .verdict
        .unwrap();
    end.drain();
    for right in [7_001, 8_001, 9_001, 10_001] {
        send!(end, seg(ACK).seq(1).ack(1).sack(&[(2_001, right)]))
            .verdict
            .unwrap();
        end.drain();
    }
    assert_eq!(end.counters.retransmits_fast, 2);
    send!(end, seg(ACK).seq(1).ack(10_001).sack(&[(1, 1_001)]))
        .verdict
        .unwrap();
    assert_eq!((end.counters.dsacks_in, end.counters.undos), (1, 0));
}

#[test]
fn a_dsack_long_after_undoes_nothing() {
    let mut end = outstanding(|profile| profile.send_buffer = 1 << 20);
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 4_001)]))
        .verdict
        .unwrap();
    let mut highest = 10_001;
    for _ in 0..4 {
        for sent in end.drain() {
            highest = highest.max(sent.header.seq.distance_from(end.iss) + sent.payload.len() as u32);
        }
        end.now = end.now + Duration::from_millis(40);
        send!(end, seg(ACK).seq(1).ack(highest)).verdict.unwrap();
    }
    send!(end, seg(ACK).seq(1).ack(highest).sack(&[(1, 1_001)]))
        .verdict
        .unwrap();
    assert_eq!((end.counters.dsacks_in, end.counters.undos), (1, 0));
}

/// Recovery is entered twice in a row; what the peer reports as duplicates is the first one's.
#[test]
fn a_dsack_of_an_earlier_recovery_undoes_no_later_one() {
    let mut end = outstanding(|_| ());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(2_001, 5_001)]))
        .verdict
        .unwrap();
    for right in [6_001, 7_001, 8_001, 9_001, 10_001] {
        end.drain();
        send!(end, seg(ACK).seq(1).ack(1).sack(&[(2_001, right)]))
            .verdict
            .unwrap();
    }
    end.drain();
    assert_eq!(end.counters.retransmits_fast, 2);
    // All of it arrives, and the next segment is lost indeed.
    let _ = end.pass(5);
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    end.drain();
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(10_001).sack(&[(11_001, 14_001)]))
        .verdict
        .unwrap();
    let sent = end.drain();
    assert!(sent.iter().any(|sent| sent.retransmission), "{sent:?}");
    assert_eq!(end.counters.fast_recoveries, 2);
    send!(
        end,
        seg(ACK).seq(1).ack(10_001).sack(&[(1, 1_001), (11_001, 14_001)])
    )
    .verdict
    .unwrap();
    assert_eq!((end.counters.dsacks_in, end.counters.undos), (1, 0));
}
