//! RFC 8985 §7: tail loss probes.

use crate::support::{ACK, End, FIN, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

/// With SACK, over a round trip of 40 ms.
fn connected() -> End {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    setup.established_after(40)
}

// proves: RFC 8985 §7.2, §7.3
#[test]
fn two_round_trips_without_an_ack_send_the_last_segment_again() {
    let mut end = connected();
    end.write_octets(1, 4_000);
    end.drain();
    assert_eq!(end.next_deadline_ms(), 81);
    let _ = end.fire();
    assert!(expect!(end, seg(ACK).seq(3_001).octets(1_000)).retransmission);
    expect_nothing!(end);
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (1, 0));
    // One probe, then the timeout.
    let _ = end.fire();
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (1, 1));
    expect!(end, seg(ACK).seq(1).octets(1_000));
}

// proves: RFC 8985 §7.3 (new text first, beyond the congestion window)
#[test]
fn new_text_is_the_better_probe_whatever_the_congestion_window() {
    let mut end = connected();
    end.write_octets(1, 12_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.fire();
    assert!(!expect!(end, seg(ACK).seq(10_001).octets(1_000)).retransmission);
    expect_nothing!(end);
}

#[test]
fn the_peers_window_holds_for_a_probe() {
    let mut setup = Setup::default()
        .window(4_000)
        .profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established_after(40);
    end.write_octets(1, 8_000);
    assert_eq!(end.drain().len(), 4);
    let _ = end.fire();
    assert!(expect!(end, seg(ACK).seq(3_001).octets(1_000)).retransmission);
}

// proves: RFC 8985 §7.2 (TLP.max_ack_delay, and never beyond the timeout)
#[test]
fn a_lone_segment_may_have_its_ack_delayed() {
    let mut end = connected();
    end.write_octets(1, 500);
    end.drain();
    let rto = end.tcb.status(&end.profile, end.now).rto.as_millis() as u64;
    assert_eq!(end.next_deadline_ms(), rto.min(280) + 1);
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).octets(500));
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (1, 0));
}

#[test]
fn a_lost_tail_is_repaired_without_a_timeout() {
    let mut end = connected();
    end.write_octets(1, 6_000);
    end.drain();
    let _ = end.pass(40);
    // Four to six are lost.
    send!(end, seg(ACK).seq(1).ack(3_001)).verdict.unwrap();
    end.drain();
    let _ = end.fire();
    assert!(expect!(end, seg(ACK).seq(5_001).octets(1_000)).retransmission);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(3_001).sack(&[(5_001, 6_001)]))
        .verdict
        .unwrap();
    // RACK: the others were sent before it.
    let mut again: Vec<u32> = Vec::new();
    for _ in 0..3 {
        again.extend(
            end.drain()
                .iter()
                .map(|sent| sent.header.seq.distance_from(end.iss)),
        );
        if !again.contains(&3_001) {
            let _ = end.fire();
        } else if !again.contains(&4_001) {
            let _ = end.pass(40);
            send!(end, seg(ACK).seq(1).ack(4_001).sack(&[(5_001, 6_001)]))
                .verdict
                .unwrap();
        }
    }
    assert_eq!(again, [3_001, 4_001]);
    assert_eq!(end.counters.rto_expiries, 0);
}

// proves: RFC 8985 §7.4.2 (a loss that the probe repaired is answered as one)
#[test]
fn an_ack_beyond_a_probe_that_repaired_the_loss_reduces_the_window() {
    let mut end = connected();
    end.write_octets(1, 6_000);
    end.drain();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(5_001).octets(1_000));
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(6_001)).verdict.unwrap();
    assert_eq!(end.counters.tlp_recoveries, 0, "not decided yet");
    end.write_octets(6_001, 6_000);
    end.drain();
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(8_001)).verdict.unwrap();
    assert_eq!(end.counters.tlp_recoveries, 1);
    assert!(end.tcb.status(&end.profile, end.now).ssthresh < 10_000);
}

// proves: RFC 8985 §7.4.2 (D-SACK, or a duplicate ACK: nothing was lost)
#[test]
fn a_probe_that_arrived_twice_changes_nothing() {
    for blocks in [&[(5_001, 6_001)][..], &[]] {
        let mut end = connected();
        end.write_octets(1, 6_000);
        end.drain();
        let _ = end.fire();
        expect!(end, seg(ACK).seq(5_001).octets(1_000));
        send!(end, seg(ACK).seq(1).ack(6_001)).verdict.unwrap();
        send!(end, seg(ACK).seq(1).ack(6_001).sack(blocks))
            .verdict
            .unwrap();
        end.write_octets(6_001, 6_000);
        end.drain();
        let _ = end.pass(40);
        send!(end, seg(ACK).seq(1).ack(8_001)).verdict.unwrap();
        assert_eq!(end.counters.tlp_recoveries, 0);
        assert_eq!(end.tcb.status(&end.profile, end.now).ssthresh, u32::MAX);
    }
}

#[test]
fn a_lost_fin_is_probed_for() {
    let mut end = connected();
    end.write_octets(1, 3_000);
    end.shutdown();
    assert_eq!(end.drain().len(), 3);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(2_001)).verdict.unwrap();
    let _ = end.fire();
    let again = end.poll().unwrap();
    assert!(again.retransmission && again.header.flags.contains(FIN));
    assert_eq!(end.counters.tlp_probes, 1);
}

#[test]
fn without_sack_there_are_no_probes() {
    let mut end = Setup::default().established_after(40);
    end.write_octets(1, 4_000);
    end.drain();
    let _ = end.fire();
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (0, 1));
}

// proves: RFC 8985 §7.2 (nothing SACKed)
#[test]
fn what_is_sacked_leaves_the_rest_to_rack() {
    let mut end = connected();
    end.write_octets(1, 4_000);
    end.drain();
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 2_001)]))
        .verdict
        .unwrap();
    while end.counters.fast_recoveries == 0 {
        let _ = end.fire();
    }
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (0, 0));
}

// proves: RFC 8985 §7.3 (a round trip must have been measured since the last probe)
#[test]
fn a_peer_that_answers_nothing_gets_one_probe() {
    let mut end = connected();
    end.write_octets(1, 6_000);
    end.drain();
    for _ in 0..5 {
        let _ = end.fire();
        end.drain();
    }
    assert_eq!((end.counters.tlp_probes, end.counters.rto_expiries), (1, 4));
}

// proves: RFC 8985 §7.4.2, RFC 5681 §3.1 equation (4) (FlightSize is that before the ACK that showed the loss)
#[test]
fn a_loss_that_a_probe_repaired_takes_its_part_of_what_was_outstanding_when_that_showed() {
    let mut end = connected();
    end.write_octets(1, 3_000);
    end.drain();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(3_001)).verdict.unwrap();
    end.write_octets(3_001, 8_000);
    assert_eq!(end.drain().len(), 8);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(5_001)).verdict.unwrap();
    assert_eq!(end.counters.tlp_recoveries, 1);
    assert_eq!(end.tcb.status(&end.profile, end.now).ssthresh, 4_000);
}

#[test]
fn a_probe_that_is_owed_is_given_up_for_an_ack_that_says_more() {
    let mut end = connected();
    end.write_octets(1, 4_000);
    end.drain();
    let _ = end.fire();
    assert!(end.tcb.owes());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 2_001)]))
        .verdict
        .unwrap();
    expect_nothing!(end);
    assert_eq!(end.counters.tlp_probes, 0);
}
