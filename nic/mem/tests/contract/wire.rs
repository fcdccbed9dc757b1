//! What the wire does to frames: the same from the same seed, at the right time, in the right order.

use std::time::Duration;

use crate::{Pair, pair};
use fourtuple_nic::{Clock, Queue};
use fourtuple_nic_mem::{
    BurstLoss, CapturedFrame, End, Fate, MemOptions, PARTS_PER_MILLION, WireConditions, WireCounts,
    write_pcap,
};
use proptest::prelude::*;

fn options() -> MemOptions {
    MemOptions {
        receive_pool: 4096,
        rx_ring: 4096,
        ..MemOptions::default()
    }
}

/// Sends `count` numbered frames, one a microsecond, and lets time run until all is quiet; tells what arrived when.
fn run(pair: &mut Pair, count: u32) -> Vec<(u64, Vec<u8>)> {
    let mut arrived = Vec::new();
    let mut fetch = |pair: &mut Pair| {
        let now = pair.clock.now_ns();
        arrived.extend(pair.b.receive_bytes().into_iter().map(|frame| (now, frame)));
    };
    for number in 0..count {
        assert!(pair.a.send_bytes(&[&number.to_be_bytes()[..], &[0; 96]].concat()));
        let next = pair.clock.now_ns() + 1000;
        while let Some(at) = pair.wire.next_event_ns().filter(|&at| at <= next) {
            pair.clock.advance_to(at);
            fetch(pair);
        }
        pair.clock.advance_to(next);
        fetch(pair);
    }
    while let Some(at) = pair.wire.next_event_ns() {
        pair.clock.advance_to(at);
        fetch(pair);
    }
    // What went the other way is of no interest.
    pair.a.receive_bytes();
    assert!(pair.wire.is_quiet());
    arrived
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])
}

fn hard() -> WireConditions {
    WireConditions {
        loss: 20_000,
        duplicate: 10_000,
        corrupt: 10_000,
        reorder: 30_000,
        reorder_by: Duration::from_micros(20),
        delay: Duration::from_micros(50),
        jitter: Duration::from_micros(3),
        rate: Some(1_000_000_000),
        queue_limit: 50,
        ..WireConditions::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_a_different_one() {
    let schedule = |seed| {
        let mut pair = pair(options(), hard(), seed);
        let arrived = run(&mut pair, 2000);
        (arrived, pair.wire.counts(End::A))
    };
    let first = schedule(42);
    assert_eq!(first, schedule(42));
    assert_ne!(first.0, schedule(43).0);
    let WireCounts {
        lost,
        duplicated,
        corrupted,
        reordered,
        ..
    } = first.1;
    for (what, count, expected) in [
        ("lost", lost, 40),
        ("duplicated", duplicated, 20),
        ("corrupted", corrupted, 20),
        ("reordered", reordered, 60),
    ] {
        assert!((expected / 2..expected * 2).contains(&count), "{what}: {count}");
    }
}

#[test]
fn what_one_direction_does_depends_on_its_own_frames_only() {
    let one_way = |answer: bool| {
        let mut pair = pair(options(), hard(), 7);
        if answer {
            for _ in 0..100 {
                assert!(pair.b.send_bytes(&[1; 60]));
            }
        }
        run(&mut pair, 500)
    };
    assert_eq!(one_way(false), one_way(true));
}

#[test]
fn the_two_directions_draw_different_numbers() {
    let conditions = WireConditions {
        loss: PARTS_PER_MILLION / 2,
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 7);
    for octet in 0..64 {
        assert!(pair.a.send_bytes(&[octet]) && pair.b.send_bytes(&[octet]));
    }
    assert_ne!(pair.a.receive_bytes(), pair.b.receive_bytes());
}

#[test]
fn a_perfect_wire_delivers_at_once_and_in_order() {
    let mut pair = pair(options(), WireConditions::default(), 1);
    for number in 0..100u32 {
        assert!(pair.a.send_bytes(&number.to_be_bytes()));
    }
    let numbers: Vec<_> = pair.b.receive_bytes().iter().map(|frame| number(frame)).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert_eq!((pair.clock.now_ns(), pair.wire.next_event_ns()), (0, None));
}

#[test]
fn delay_and_rate_are_right_to_the_nanosecond() {
    let conditions = WireConditions {
        delay: Duration::from_millis(10),
        rate: Some(100_000_000),
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 1);
    for _ in 0..3 {
        assert!(pair.a.send_bytes(&[0; 1000]));
    }
    // 8000 bits at 100 Mbit/s take 80 µs.
    for frames in 1..=3u64 {
        let at = 10_000_000 + frames * 80_000;
        assert_eq!(pair.wire.next_event_ns(), Some(at));
        pair.clock.advance_to(at - 1);
        assert!(pair.b.receive_bytes().is_empty());
        pair.clock.advance_to(at);
        assert_eq!(pair.b.receive_bytes().len(), 1);
    }
    assert_eq!(pair.wire.next_event_ns(), None);
    // The other way nothing waits behind these.
    assert!(pair.b.send_bytes(&[0; 1000]));
    assert_eq!(pair.wire.next_event_ns(), Some(pair.clock.now_ns() + 10_080_000));
}

#[test]
fn the_bottleneck_keeps_so_many_frames_and_drops_the_rest() {
    let conditions = WireConditions {
        rate: Some(8_000_000),
        queue_limit: 5,
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 1);
    pair.wire.start_capture();
    for _ in 0..8 {
        assert!(pair.a.send_bytes(&[0; 1000]));
    }
    assert_eq!(pair.wire.counts(End::A).queue_full, 3);
    // A millisecond each: after one there is a place again.
    pair.clock.advance(Duration::from_millis(1));
    assert!(pair.a.send_bytes(&[0; 1000]) && pair.a.send_bytes(&[0; 1000]));
    assert_eq!(pair.wire.counts(End::A).queue_full, 4);
    let fates: Vec<_> = pair.wire.take_captured().iter().map(|frame| frame.fate).collect();
    let (passed, full) = (Fate::Delivered, Fate::QueueFull);
    assert_eq!(
        fates,
        [
            passed, passed, passed, passed, passed, full, full, full, passed, full
        ]
    );
    pair.clock.advance(Duration::from_millis(10));
    assert_eq!(pair.b.receive_bytes().len(), 6);
    assert!(pair.wire.take_captured().is_empty());
}

#[test]
fn jitter_alone_reorders_nothing_and_reordering_does() {
    let jitter = WireConditions {
        jitter: Duration::from_micros(100),
        ..WireConditions::default()
    };
    let reorder = WireConditions {
        reorder: 100_000,
        reorder_by: Duration::from_micros(10),
        ..WireConditions::default()
    };
    let order = |conditions| {
        let mut pair = pair(options(), conditions, 3);
        let arrived = run(&mut pair, 1000);
        assert_eq!(arrived.len(), 1000);
        arrived.iter().map(|(_, frame)| number(frame)).collect::<Vec<_>>()
    };
    assert!(order(jitter).is_sorted());
    let mut reordered = order(reorder);
    assert!(!reordered.is_sorted());
    reordered.sort_unstable();
    assert_eq!(reordered, (0..1000).collect::<Vec<_>>());
}

#[test]
fn corruption_flips_one_bit() {
    let conditions = WireConditions {
        corrupt: PARTS_PER_MILLION,
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 5);
    for _ in 0..100 {
        assert!(pair.a.send_bytes(&[0; 64]));
    }
    for frame in pair.b.receive_bytes() {
        assert_eq!(frame.iter().map(|octet| octet.count_ones()).sum::<u32>(), 1);
    }
}

#[test]
fn a_filter_loses_exactly_what_a_test_wants() {
    let mut pair = pair(options(), WireConditions::default(), 1);
    let mut seen = 0;
    pair.wire.set_filter(End::A, move |_| {
        seen += 1;
        seen != 3
    });
    let arrived = run(&mut pair, 5);
    let numbers: Vec<_> = arrived.iter().map(|(_, frame)| number(frame)).collect();
    assert_eq!(numbers, [0, 1, 3, 4]);
    assert_eq!(pair.wire.counts(End::A).filtered, 1);
    pair.wire.clear_filter(End::A);
    assert_eq!(run(&mut pair, 5).len(), 5);
    // A link that is cut, and mended.
    let cut = WireConditions {
        loss: PARTS_PER_MILLION,
        ..WireConditions::default()
    };
    pair.wire.set_conditions(End::A, cut);
    assert_eq!(run(&mut pair, 5).len(), 0);
    pair.wire.set_conditions(End::A, WireConditions::default());
    assert_eq!(run(&mut pair, 5).len(), 5);
}

#[test]
fn a_capture_holds_both_directions_in_the_order_of_time() {
    let mut pair = pair(options(), WireConditions::default(), 1);
    assert!(pair.a.send_bytes(b"before"));
    pair.wire.start_capture();
    assert!(pair.b.send_bytes(b"first"));
    pair.clock.advance(Duration::from_secs(2));
    assert!(pair.a.send_bytes(b"second"));
    pair.clock.advance(Duration::from_secs(1));
    assert!(pair.b.send_bytes(b"third"));
    let captured = |at_s: u64, from, bytes: &[u8]| CapturedFrame {
        at_ns: at_s * 1_000_000_000,
        from,
        fate: Fate::Delivered,
        bytes: bytes.to_vec(),
    };
    let expected = [
        captured(0, End::B, b"first"),
        captured(2, End::A, b"second"),
        captured(3, End::B, b"third"),
    ];
    assert_eq!(pair.wire.captured(), expected);
    let mut file = Vec::new();
    write_pcap(&mut file, &pair.wire.take_captured()).unwrap();
    assert_eq!(file.len(), 24 + 3 * 16 + 5 + 6 + 5);
}

#[test]
fn a_capture_is_in_order_even_when_nobody_looked_for_a_while() {
    let slow = MemOptions {
        line_rate: Some(8_000_000_000),
        ..options()
    };
    let mut pair = pair(slow, WireConditions::default(), 1);
    pair.wire.start_capture();
    assert!(pair.a.send_bytes(&[0; 100]) && pair.a.send_bytes(&[0; 100]) && pair.b.send_bytes(&[0; 150]));
    pair.clock.advance(Duration::from_secs(1));
    let captured = pair.wire.captured();
    let order: Vec<_> = captured.iter().map(|frame| (frame.at_ns, frame.from)).collect();
    assert_eq!(order, [(100, End::A), (150, End::B), (200, End::A)]);
    assert_eq!(pair.wire.take_captured(), captured);
}

fn conditions() -> impl Strategy<Value = WireConditions> {
    let chance = || prop_oneof![Just(0), 0..PARTS_PER_MILLION / 2];
    let micros = |most: u64| (0..most).prop_map(Duration::from_micros);
    let rate = prop_oneof![Just(None), (1_000_000u64..10_000_000_000).prop_map(Some)];
    (
        [chance(), chance(), chance(), chance()],
        micros(50),
        micros(500),
        micros(50),
        rate,
        1..100usize,
    )
        .prop_map(
            |([loss, duplicate, corrupt, reorder], reorder_by, delay, jitter, rate, queue_limit)| {
                WireConditions {
                    loss,
                    duplicate,
                    corrupt,
                    reorder,
                    reorder_by,
                    delay,
                    jitter,
                    rate,
                    queue_limit,
                    ..WireConditions::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_frame_has_one_end_and_every_buffer_comes_home(
        conditions in conditions(),
        seed in any::<u64>(),
        count in 0..200u32,
        receive_pool in 1..64u32,
        rx_ring in 1..64usize,
    ) {
        let options = MemOptions { receive_pool, rx_ring, ..MemOptions::default() };
        let mut pair = pair(options, conditions, seed);
        let arrived = run(&mut pair, count).len() as u64;
        let WireCounts {
            sent, lost, filtered, queue_full, too_big, marked, duplicated, corrupted, reordered, delivered, missed, no_buffer,
            too_long, in_flight,
        } = pair.wire.counts(End::A);
        prop_assert_eq!((sent, in_flight, filtered, too_long, too_big, marked), (u64::from(count), 0, 0, 0, 0, 0));
        prop_assert_eq!(delivered, arrived);
        prop_assert_eq!(sent + duplicated, lost + queue_full + delivered + missed + no_buffer);
        prop_assert!(corrupted.max(reordered).max(duplicated) <= sent - lost - queue_full);
        for queue in [&pair.a, &pair.b] {
            let gauge = queue.pool();
            prop_assert_eq!((gauge.rx_free, gauge.tx_free), (gauge.rx_capacity, gauge.tx_capacity));
        }
    }
}

#[test]
fn losses_come_in_bursts_of_the_length_that_was_asked_for() {
    let conditions = WireConditions {
        burst: Some(BurstLoss {
            enter: 10_000,
            leave: 250_000,
            loss: 1_000_000,
        }),
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 5);
    let arrived = run(&mut pair, 20_000);
    let lost = 20_000 - arrived.len();
    let bursts = arrived
        .windows(2)
        .filter(|two| number(&two[1].1) != number(&two[0].1) + 1)
        .count();
    // A part of 10,000 / 260,000 in bursts of four.
    assert!((600..950).contains(&lost), "{lost}");
    assert!((3..5).contains(&(lost / bursts)), "{lost} in {bursts}");
}

#[test]
fn a_narrow_way_drops_what_is_too_big_and_tells_of_it() {
    let conditions = WireConditions {
        narrow: Some(100),
        ..WireConditions::default()
    };
    let mut pair = pair(options(), conditions, 1);
    let packet = |len: u16| {
        let mut frame = vec![0; 14 + usize::from(len)];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        frame
    };
    for len in [100, 101, 500] {
        assert!(pair.a.send_bytes(&packet(len)));
    }
    assert_eq!(pair.b.receive_bytes(), [packet(100)]);
    assert_eq!(pair.wire.counts(End::A).too_big, 2);
    assert_eq!(pair.wire.take_too_big(End::A), [packet(101), packet(500)]);
    assert!(pair.wire.take_too_big(End::A).is_empty());
    pair.wire.inject(End::A, b"a router speaks");
    assert_eq!(pair.a.receive_bytes(), [b"a router speaks"]);
}
