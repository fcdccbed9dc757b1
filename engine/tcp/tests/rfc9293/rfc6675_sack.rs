//! RFC 2018 and RFC 6675: SACK generated and used.

use fourtuple_tcp::PoolSizes;

use crate::support::{ACK, End, POOLS, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

fn setup() -> Setup {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    setup
}

// proves: RFC 2018 §4
#[test]
fn what_waits_out_of_order_is_told_the_latest_first() {
    let mut end = setup().established();
    for at in [1_001, 3_001, 5_001, 7_001, 9_001] {
        send!(end, seg(ACK).seq(at).ack(1).octets(1_000)).verdict.unwrap();
    }
    let sent = end.drain();
    sent.last().unwrap().check(
        &seg(ACK)
            .seq(1)
            .ack(1)
            .sack(&[(9_001, 10_001), (7_001, 8_001), (5_001, 6_001), (3_001, 4_001)]),
        end.iss,
        end.irs,
    );
    send!(end, seg(ACK).seq(1).ack(1).octets(2_000)).verdict.unwrap();
    expect!(
        end,
        seg(ACK)
            .ack(2_001)
            // A part of it had come before.
            .sack(&[(1_001, 2_001), (9_001, 10_001), (7_001, 8_001), (5_001, 6_001)])
    );
}

#[test]
fn with_timestamps_three_blocks_fit() {
    let mut setup = setup().profile(|profile| profile.timestamps = true);
    setup.peer_syn = setup.peer_syn.timestamps(1, 0);
    let mut end = setup.established();
    for at in [1_001, 3_001, 5_001, 7_001] {
        send!(end, seg(ACK).seq(at).ack(1).octets(1_000).timestamps(1, 0))
            .verdict
            .unwrap();
    }
    assert_eq!(end.drain().last().unwrap().header.options.sack.len(), 3);
    // Data beside them is cut to what the options leave: MSS − 12 − 4 − 3 · 8.
    end.write_octets(1, 2_000);
    assert_eq!(end.poll().unwrap().payload.len(), 1_000 - 12 - 28);
}

#[test]
fn nothing_is_told_without_agreement() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1_001).ack(1).octets(1_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).ack(1).sack(&[]));
}

/// Ten segments are outstanding, and a round trip of 20 ms is over.
fn outstanding(setup: Setup) -> End {
    let mut end = setup.established_after(20);
    end.write_octets(1, 20_000);
    assert_eq!(end.drain().len(), 10);
    let _ = end.pass(20);
    end
}

// proves: RFC 6675 §5, RFC 2018 §5, RFC 8985 §6.2
#[test]
fn holes_are_filled_in_order_as_the_pipe_drains() {
    let mut end = outstanding(setup());
    // Segments 1 and 3 are lost. What is SACKed leaves the pipe, and new text goes out for it.
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 2_001)]))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(10_001).octets(1_000));
    expect_nothing!(end);
    send!(
        end,
        seg(ACK).seq(1).ack(1).sack(&[(3_001, 4_001), (1_001, 2_001)])
    )
    .verdict
    .unwrap();
    expect!(end, seg(ACK).seq(11_001).octets(1_000));
    expect_nothing!(end);
    send!(
        end,
        seg(ACK).seq(1).ack(1).sack(&[(3_001, 5_001), (1_001, 2_001)])
    )
    .verdict
    .unwrap();
    // Three segments are SACKed: both holes are lost, and the first is filled in any case.
    expect!(end, seg(ACK).seq(1).octets(1_000));
    expect_nothing!(end);
    assert_eq!(end.counters.fast_recoveries, 1);
    assert_eq!(end.counters.rack_losses, 2);
    // One goes out for two that arrive.
    let mut sent = Vec::new();
    for right in [6_001, 7_001, 8_001, 9_001, 10_001] {
        send!(
            end,
            seg(ACK).seq(1).ack(1).sack(&[(3_001, right), (1_001, 2_001)])
        )
        .verdict
        .unwrap();
        sent.extend(end.drain());
    }
    assert_eq!(sent.len(), 2);
    sent[0].check(&seg(ACK).seq(2_001).octets(1_000), end.iss, end.irs);
    assert!(sent[0].retransmission && !sent[1].retransmission);
    assert_eq!(end.counters.retransmits_fast, 2);
}

#[test]
fn an_ack_of_all_that_was_outstanding_ends_recovery() {
    let mut end = outstanding(setup());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 5_001)]))
        .verdict
        .unwrap();
    end.drain();
    assert_eq!(end.counters.fast_recoveries, 1);
    send!(end, seg(ACK).seq(1).ack(10_001)).verdict.unwrap();
    assert!(end.drain().iter().all(|sent| !sent.retransmission));
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.ssthresh, 5_000);
}

// proves: RFC 6675 §5.1, RFC 8985 §6.3
#[test]
fn a_timeout_keeps_what_was_sacked() {
    let mut end = outstanding(setup());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 2_001)]))
        .verdict
        .unwrap();
    end.drain();
    let _ = end.pass(150);
    end.drain();
    let _ = end.pass(200);
    assert!(end.counters.rto_expiries > 0);
    expect!(end, seg(ACK).seq(1).octets(1_000));
    send!(end, seg(ACK).seq(1).ack(2_001)).verdict.unwrap();
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
}

// proves: RFC 2018 §5 (the left edge is sent again after a timeout, SACKed or not), §8
#[test]
fn a_peer_that_reneged_gets_everything_again_after_a_timeout() {
    let mut end = outstanding(setup());
    send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, 10_001)]))
        .verdict
        .unwrap();
    end.drain();
    // It asks for what it SACKed.
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    end.drain();
    while end.counters.rto_expiries == 0 {
        let _ = end.fire();
        if end.counters.rto_expiries == 0 {
            end.drain();
        }
    }
    expect!(end, seg(ACK).seq(1_001).octets(1_000));
    let mut acked = 2_001;
    while acked < 10_001 {
        send!(end, seg(ACK).seq(1).ack(acked)).verdict.unwrap();
        for sent in end.drain() {
            let seq = sent.header.seq.distance_from(end.iss);
            assert_eq!(seq, acked, "in order, nothing is left out");
            acked += sent.payload.len() as u32;
        }
    }
}

#[test]
fn without_room_for_a_flight_new_reno_recovers() {
    let pools = PoolSizes { flights: 0, ..POOLS };
    let mut end = outstanding(Setup { pools, ..setup() });
    for right in [2_001, 3_001, 4_001] {
        // The peer's SACKs find no room; its ACKs still repeat.
        send!(end, seg(ACK).seq(1).ack(1).sack(&[(1_001, right)]))
            .verdict
            .unwrap();
    }
    let sent = end.drain();
    assert!(sent.iter().any(|segment| segment.retransmission));
    assert_eq!((end.counters.fast_recoveries, end.counters.pool_empty), (1, 3));
}

#[test]
fn blocks_of_nonsense_are_harmless() {
    let mut end = outstanding(setup());
    for block in [(0, 1), (5_001, 4_001), (9_001, 50_000), (1, 2), (0, u32::MAX)] {
        send!(end, seg(ACK).seq(1).ack(1).sack(&[block])).verdict.unwrap();
    }
    assert_eq!(end.counters.sack_blocks_in, 0);
}

#[test]
fn a_flight_is_kept_while_more_than_two_segments_are_outstanding_or_queued() {
    let mut end = setup().established();
    end.write_octets(1, 2_000);
    end.drain();
    assert_eq!(end.pools.in_use().flights, 0, "a small flight needs none");
    send!(end, seg(ACK).seq(1).ack(2_001)).verdict.unwrap();
    end.write_octets(2_001, 4_000);
    end.drain();
    assert_eq!(end.pools.in_use().flights, 1);
    send!(end, seg(ACK).seq(1).ack(5_001)).verdict.unwrap();
    assert_eq!(end.pools.in_use().flights, 1);
    send!(end, seg(ACK).seq(1).ack(6_001)).verdict.unwrap();
    assert_eq!(end.pools.in_use().flights, 0, "all is acknowledged");
}

// proves: RFC 5681 §3.1 equation (4) (FlightSize is that before the ACK that showed the loss)
#[test]
fn the_window_comes_down_from_what_was_outstanding_before_the_ack_that_showed_the_loss() {
    let mut end = outstanding(setup());
    send!(end, seg(ACK).seq(1).ack(2_001).sack(&[(5_001, 10_001)]))
        .verdict
        .unwrap();
    assert_eq!(end.counters.fast_recoveries, 1);
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!(status.ssthresh, 5_000);
}
