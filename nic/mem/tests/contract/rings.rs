//! RX and TX rings, and the ways in which frames are spread over queues.

use crate::{frame, pair};
use fourtuple_nic::{Queue, RxBuf, RxChecksum, SystemClock, TxChecksum, TxFrame};
use fourtuple_nic_mem::{End, MemOptions, MemPort, Spread, VirtualClock, WireConditions};

#[test]
fn a_full_tx_ring_leaves_the_rest_with_the_caller() {
    let options = MemOptions {
        tx_ring: 4,
        line_rate: Some(8_000_000_000),
        ..MemOptions::default()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    let mut frames: Vec<_> = (0..6).map(|octet| frame(&mut pair.a, &[octet; 1000])).collect();
    assert_eq!(pair.a.tx_burst(&mut frames), 4);
    assert_eq!(frames.len(), 2);
    assert_eq!(pair.a.tx_burst(&mut frames), 0);
    // One octet a nanosecond: the first frame has left after a microsecond.
    pair.clock.advance_to(999);
    assert_eq!(pair.a.tx_burst(&mut frames), 0);
    pair.clock.advance_to(1000);
    assert_eq!(pair.a.tx_burst(&mut frames), 1);
    pair.clock.advance_to(10_000);
    assert_eq!(pair.a.tx_burst(&mut frames), 1);
    pair.clock.advance_to(20_000);
    let order: Vec<_> = pair.b.receive_bytes().iter().map(|frame| frame[0]).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_full_rx_ring_drops_and_counts() {
    let options = MemOptions {
        rx_ring: 4,
        ..MemOptions::default()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    for octet in 0..6 {
        assert!(pair.a.send_bytes(&[octet; 60]));
    }
    let mut received = Vec::new();
    assert_eq!(pair.b.rx_burst(&mut received, 3), 3, "no more than asked for");
    assert_eq!(pair.b.rx_burst(&mut received, 3), 1);
    assert_eq!(received.last().unwrap().bytes()[0], 3);
    assert_eq!(
        (pair.b.stats().rx_missed, pair.wire.counts(End::A).missed),
        (2, 2)
    );
}

#[test]
fn frames_are_spread_as_the_receiver_says() {
    let options = MemOptions {
        queues: 3,
        spread: Spread::by_hash(|frame| u32::from(frame[0])),
        ..MemOptions::default()
    };
    let clock = VirtualClock::new();
    let (mut a, mut b) = MemPort::pair(options, WireConditions::default(), &clock, 1);
    let (mut qa, mut qb) = (a.take_queues(), b.take_queues());
    assert!(a.take_queues().is_empty(), "queues are handed out once");
    assert_eq!(
        qb.iter().map(|queue| queue.index()).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let mut spread = |spread: Option<Spread>| {
        if let Some(spread) = spread {
            b.wire().set_spread(b.end(), spread);
        }
        for octet in 0..6u8 {
            assert!(qa[usize::from(octet) % 3].send_bytes(&[octet; 60]));
        }
        let firsts = qb
            .iter_mut()
            .map(|queue| queue.receive_bytes().iter().map(|frame| frame[0]).collect());
        firsts.collect::<Vec<Vec<u8>>>()
    };
    assert_eq!(spread(None), [vec![0, 3], vec![1, 4], vec![2, 5]]);
    assert_eq!(
        spread(Some(Spread::AllTo(2))),
        [vec![], vec![], vec![0, 1, 2, 3, 4, 5]]
    );
    assert_eq!(
        spread(Some(Spread::AllTo(9))),
        [vec![], vec![], vec![0, 1, 2, 3, 4, 5]]
    );
    assert_eq!(
        spread(Some(Spread::RoundRobin)),
        [vec![0, 3], vec![1, 4], vec![2, 5]]
    );
    assert_eq!(b.promises().queues, 3);
    assert_ne!(a.promises().mac, b.promises().mac);
}

/// Data that Linux sent: ten octets of headers and payload are enough to tell right from wrong.
const DATA: &str = "02000000000b02000000000a080045000039bafe400040066bac0a0900010a090002a9321f902c0dabb57371d41c8018003f0ed600000101080aad1255f1bdf1aaac70696e6721";

#[test]
fn a_port_with_offloads_fills_in_and_verifies() {
    let options = MemOptions {
        tx_checksum: true,
        rx_checksum: true,
        ..MemOptions::default()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    let whole: Vec<u8> = (0..DATA.len() / 2)
        .map(|at| u8::from_str_radix(&DATA[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let mut partial = whole.clone();
    partial[24..26].fill(0);
    // The pseudo-header sum: both addresses, protocol 6, 37 octets.
    let bare = 0x0a09u16 + 0x0001 + 0x0a09 + 0x0002 + 6 + 37;
    partial[50..52].copy_from_slice(&bare.to_be_bytes());
    let mut out = frame(&mut pair.a, &partial);
    out.request_checksum(TxChecksum {
        l2_len: 14,
        l3_len: 20,
        ipv6: false,
    });
    let unasked = frame(&mut pair.a, &partial);
    assert_eq!(pair.a.tx_burst(&mut vec![out, unasked]), 2);
    let mut received = Vec::new();
    pair.b.rx_burst(&mut received, 32);
    assert_eq!(received[0].bytes(), whole);
    assert_eq!(received[0].checksum(), RxChecksum::Good);
    assert_eq!(received[1].bytes(), partial);
    assert_eq!(received[1].checksum(), RxChecksum::Bad);
}

#[test]
fn it_carries_frames_between_threads_in_real_time() {
    const FRAMES: u32 = 20_000;
    let (mut a, mut b) = MemPort::pair(
        MemOptions::default(),
        WireConditions::default(),
        SystemClock::new(),
        1,
    );
    let (mut qa, mut qb) = (a.take_queues().remove(0), b.take_queues().remove(0));
    std::thread::scope(|scope| {
        // Every frame is echoed, with never more under way than the rings hold.
        scope.spawn(move || {
            let (mut received, mut echoes, mut echoed) = (Vec::new(), Vec::new(), 0);
            while echoed < FRAMES {
                qb.rx_burst(&mut received, 32);
                for frame in received.drain(..) {
                    let mut echo = qb.tx_frame().expect("a free buffer");
                    let room = echo.append(frame.bytes().len()).expect("room");
                    room.copy_from_slice(frame.bytes());
                    echoes.push(echo);
                }
                echoed += qb.tx_burst(&mut echoes) as u32;
            }
        });
        let (mut sent, mut expected) = (0u32, 0u32);
        while expected < FRAMES {
            if sent < FRAMES && sent - expected < 512 && qa.send_bytes(&sent.to_be_bytes()) {
                sent += 1;
            }
            for frame in qa.receive_bytes() {
                assert_eq!(frame, expected.to_be_bytes());
                expected += 1;
            }
        }
    });
    assert!(a.wire().is_quiet());
    assert_eq!(a.wire().counts(End::A).delivered, u64::from(FRAMES));
}
