//! RFC 2883: what came twice is reported, once, in the first SACK block.

use fourtuple_tcp::PoolSizes;

use crate::support::{ACK, End, FIN, POOLS, SYN, Seg, Setup, seg};
use crate::{expect, expect_nothing, send};

fn setup() -> Setup {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    setup
}

/// Octets from `at` to `end` of the peer's stream.
fn octets(at: u32, end: u32) -> Seg {
    seg(ACK).seq(at).ack(1).octets((end - at) as usize)
}

/// Octets up to `end` have come in order and are acknowledged.
fn received(setup: Setup, end: u32) -> End {
    let mut this = setup.established();
    send!(this, octets(1, end)).verdict.unwrap();
    this.drain();
    let _ = this.pass(100);
    this.drain();
    this
}

/// Nothing is owed, and nothing kept for it.
#[track_caller]
fn expect_no_record(end: &mut End) {
    expect_nothing!(end);
    assert_eq!(end.pools.in_use().reassemblies, 0);
}

// proves: RFC 2883 §4
#[test]
fn a_duplicate_before_rcv_nxt_is_reported_once() {
    let mut end = received(setup(), 1_001);
    let _ = send!(end, octets(501, 1_001));
    expect!(end, seg(ACK).seq(1).ack(1_001).sack(&[(501, 1_001)]));
    expect_no_record(&mut end);
    // The next ACK says nothing of it.
    send!(end, octets(2_001, 3_001)).verdict.unwrap();
    expect!(end, seg(ACK).ack(1_001).sack(&[(2_001, 3_001)]));
    // While there is a hole, the block behind it comes second.
    let _ = send!(end, octets(1, 501));
    expect!(end, seg(ACK).ack(1_001).sack(&[(1, 501), (2_001, 3_001)]));
    expect_nothing!(end);
    assert_eq!(end.counters.dsacks_out, 2);
    end.expect_pools_whole();
}

// proves: RFC 2883 §4.2.1
#[test]
fn the_old_part_of_a_segment_is_reported_and_the_new_one_acknowledged_with_it() {
    let mut end = received(setup(), 1_001);
    send!(end, octets(501, 1_501)).verdict.unwrap();
    expect!(end, seg(ACK).ack(1_501).sack(&[(501, 1_001)]));
    expect_no_record(&mut end);
    assert_eq!(end.read().len(), 1_500);
}

// proves: RFC 2883 §4 (the second block is what holds the duplicate)
#[test]
fn a_duplicate_beyond_a_hole_is_followed_by_the_block_that_holds_it() {
    let mut end = setup().established();
    for at in [1_001, 2_001, 5_001] {
        send!(end, octets(at, at + 1_000)).verdict.unwrap();
        end.drain();
    }
    let _ = send!(end, octets(2_001, 3_001));
    expect!(
        end,
        seg(ACK)
            .ack(1)
            .sack(&[(2_001, 3_001), (1_001, 3_001), (5_001, 6_001)])
    );
    // In part.
    send!(end, octets(2_501, 3_501)).verdict.unwrap();
    expect!(
        end,
        seg(ACK)
            .ack(1)
            .sack(&[(2_501, 3_001), (1_001, 3_501), (5_001, 6_001)])
    );
    expect_nothing!(end);
}

// proves: RFC 2883 §4.2.3
#[test]
fn of_two_duplicate_parts_with_a_gap_the_first_is_reported() {
    let mut end = setup().established();
    for at in [501, 1_501, 3_001] {
        send!(end, octets(at, at + 500)).verdict.unwrap();
        end.drain();
    }
    send!(end, octets(501, 2_001)).verdict.unwrap();
    expect!(
        end,
        seg(ACK)
            .ack(1)
            .sack(&[(501, 1_001), (501, 2_001), (3_001, 3_501)])
    );
}

#[test]
fn text_in_order_over_what_waited_is_a_duplicate_in_part() {
    let mut end = setup().established();
    send!(end, octets(501, 1_001)).verdict.unwrap();
    end.drain();
    send!(end, octets(1, 1_001)).verdict.unwrap();
    expect!(end, seg(ACK).ack(1_001).sack(&[(501, 1_001)]));
    expect_no_record(&mut end);
    assert_eq!(end.read().len(), 1_000);
}

#[test]
fn a_hole_that_is_filled_exactly_reports_nothing() {
    let mut end = setup().established();
    send!(end, octets(501, 1_001)).verdict.unwrap();
    end.drain();
    send!(end, octets(1, 501)).verdict.unwrap();
    expect!(end, seg(ACK).ack(1_001).sack(&[]));
    expect_no_record(&mut end);
}

// proves: RFC 2883 §4 (a duplicate in one ACK, an ACK for each)
#[test]
fn each_duplicate_of_a_burst_has_an_ack_and_a_flood_has_eight() {
    let mut end = received(setup(), 3_001);
    for at in [1, 1_001, 2_001] {
        let _ = send!(end, octets(at, at + 1_000));
    }
    for at in [1, 1_001, 2_001] {
        expect!(end, seg(ACK).ack(3_001).sack(&[(at, at + 1_000)]));
    }
    expect_no_record(&mut end);
    for at in 0..100 {
        let _ = send!(end, octets(1 + at, 11 + at));
    }
    assert_eq!(end.drain().len(), 8);
    expect_no_record(&mut end);
}

#[test]
fn data_carries_the_report_and_leaves_room_for_it() {
    let mut end = received(setup(), 1_001);
    let _ = send!(end, octets(1, 1_001));
    end.write_octets(1, 1_000);
    let sent = end.poll().unwrap();
    assert_eq!(sent.header.options.sack.len(), 1);
    assert_eq!(sent.payload.len(), 1_000 - 4 - 8);
    assert!(end.poll().unwrap().header.options.sack.is_empty());
    assert_eq!(end.pools.in_use().reassemblies, 0);
}

#[test]
fn with_timestamps_two_blocks_fit_beside_a_duplicate() {
    let mut setup = setup().profile(|profile| profile.timestamps = true);
    setup.peer_syn = setup.peer_syn.timestamps(1, 0);
    let mut end = setup.established();
    for at in [1_001, 3_001, 5_001, 7_001] {
        send!(end, octets(at, at + 1_000).timestamps(1, 0))
            .verdict
            .unwrap();
        end.drain();
    }
    let _ = send!(end, octets(1_001, 2_001).timestamps(1, 0));
    expect!(
        end,
        seg(ACK)
            .ack(1)
            .sack(&[(1_001, 2_001), (1_001, 2_001), (7_001, 8_001)])
    );
}

/// Late, and overtaken by the segment that was sent in its place: PAWS drops it, and its sender learns that neither was lost.
#[test]
fn what_paws_drops_is_reported_too() {
    let mut setup = setup().profile(|profile| profile.timestamps = true);
    setup.peer_syn = setup.peer_syn.timestamps(10, 0);
    let mut end = setup.established();
    send!(end, octets(1, 1_001).timestamps(20, 0)).verdict.unwrap();
    let _ = end.pass(100);
    end.drain();
    assert!(send!(end, octets(1, 1_001).timestamps(15, 0)).verdict.is_err());
    expect!(end, seg(ACK).ack(1_001).sack(&[(1, 1_001)]));
    expect_no_record(&mut end);
}

#[test]
fn a_fin_does_not_swallow_the_report() {
    let mut end = received(setup(), 1_001);
    send!(
        end,
        Seg {
            flags: ACK | FIN,
            ..octets(1, 1_001)
        }
    )
    .verdict
    .unwrap();
    expect!(end, seg(ACK).ack(1_002).sack(&[(1, 1_001)]));
    expect_no_record(&mut end);
}

#[test]
fn bare_segments_and_probes_before_the_window_report_nothing() {
    let mut end = received(setup(), 1_001);
    // A keep-alive probe without octets, and the same with one.
    let _ = send!(end, seg(ACK).seq(1_000).ack(1));
    expect!(end, seg(ACK).ack(1_001).sack(&[]));
    let _ = send!(end, octets(1_000, 1_001));
    expect!(end, seg(ACK).ack(1_001).sack(&[(1_000, 1_001)]));
    // Nothing of what the acknowledgment's check drops (RFC 5961 §5).
    let forged = Seg {
        ack: Some(50_000),
        ..octets(501, 1_501)
    };
    assert!(send!(end, forged).verdict.is_err());
    expect!(end, seg(ACK).ack(1_001).sack(&[]));
    expect_no_record(&mut end);
}

#[test]
fn without_agreement_or_room_nothing_is_reported() {
    let pools = PoolSizes {
        reassemblies: 0,
        ..POOLS
    };
    for setup in [Setup::default(), Setup { pools, ..setup() }] {
        let mut end = received(setup, 1_001);
        let _ = send!(end, octets(1, 1_001));
        expect!(end, seg(ACK).ack(1_001).sack(&[]));
        expect_no_record(&mut end);
        assert_eq!(end.counters.dsacks_out, 0);
    }
}

#[test]
fn a_segment_over_old_octets_and_over_what_waits_has_one_report() {
    let mut end = received(setup(), 101);
    for at in [201, 401] {
        send!(end, octets(at, at + 100)).verdict.unwrap();
        end.drain();
    }
    send!(end, octets(51, 276)).verdict.unwrap();
    expect!(end, seg(ACK).ack(301).sack(&[(51, 101), (401, 501)]));
    expect_nothing!(end);
    send!(end, octets(1, 801)).verdict.unwrap();
    expect!(end, seg(ACK).ack(801).sack(&[(1, 301)]));
    expect_no_record(&mut end);
    assert_eq!(end.read().len(), 800);
}
