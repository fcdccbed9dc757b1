//! Pools and the three buffer types: conservation, exhaustion, sharing, copying.

use crate::{frame, free, pair, small};
use fourtuple_nic::{Queue, RxBuf, Shared, TxFrame};
use fourtuple_nic_mem::{MAX_SEGMENTS, MemOptions, WireConditions};

#[test]
fn every_buffer_comes_home() {
    let mut pair = pair(small(), WireConditions::default(), 1);
    assert_eq!((free(&pair.a), free(&pair.b)), ((8, 8, 8), (8, 8, 8)));
    let payload = pair.a.share_copy(b"payload").unwrap();
    let mut out = frame(&mut pair.a, b"head ");
    assert!(out.attach(&payload.slice(0..3)) && out.attach(&payload.slice(3..7)));
    assert_eq!(free(&pair.a), (8, 7, 5), "a head and two indirect buffers");
    assert_eq!(out.frame_len(), 12);
    assert_eq!(pair.a.tx_burst(&mut vec![out]), 1);
    assert_eq!(free(&pair.a), (8, 7, 8), "it left at once");
    assert_eq!(free(&pair.b), (7, 8, 8), "and lies in the RX ring");
    let mut received = Vec::new();
    assert_eq!(pair.b.rx_burst(&mut received, 32), 1);
    let received = received.remove(0);
    assert_eq!(received.bytes(), b"head payload");
    let kept = received.into_shared();
    let part = kept.slice(5..12);
    drop(kept);
    assert_eq!(free(&pair.b), (7, 8, 8));
    // A proxy sends on what it received, without a copy.
    let mut onward = frame(&mut pair.b, b"");
    assert!(onward.attach(&part));
    drop(part);
    assert_eq!(pair.b.tx_burst(&mut vec![onward]), 1);
    assert_eq!(pair.a.receive_bytes(), [b"payload"]);
    drop(payload);
    assert_eq!((free(&pair.a), free(&pair.b)), ((8, 8, 8), (8, 8, 8)));
}

#[test]
fn attached_payload_is_held_until_the_frame_has_left_and_copied_then() {
    let options = MemOptions {
        line_rate: Some(8_000),
        ..small()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    let payload = pair.a.share_copy(&[7; 100]).unwrap();
    let mut out = frame(&mut pair.a, b"");
    assert!(out.attach(&payload));
    assert_eq!(pair.a.tx_burst(&mut vec![out]), 1);
    drop(payload);
    pair.clock.advance_to(99_999_999);
    pair.a.reclaim();
    assert_eq!(
        free(&pair.a),
        (8, 7, 6),
        "100 octets at 1000 a second take 100 ms"
    );
    assert!(pair.b.receive_bytes().is_empty());
    pair.clock.advance_to(100_000_000);
    pair.a.reclaim();
    assert_eq!(free(&pair.a), (8, 8, 8));
    assert_eq!(pair.b.receive_bytes(), [[7; 100]]);
}

#[test]
fn exhausted_pools_refuse_and_count() {
    let mut pair = pair(small(), WireConditions::default(), 1);
    let held: Vec<_> = std::iter::from_fn(|| pair.a.tx_frame()).collect();
    assert_eq!(held.len(), 8);
    drop(held);
    let held: Vec<_> = std::iter::from_fn(|| pair.a.blank()).collect();
    assert_eq!(held.len(), 8);
    assert!(pair.a.share_copy(b"x").is_none());
    drop(held);
    assert!(pair.a.share_copy(&[0; 2049]).is_none(), "longer than a buffer");
    // The head is one of eight buffers, seven segments take the rest.
    let payload = pair.a.share_copy(b"x").unwrap();
    let mut out = pair.a.tx_frame().unwrap();
    for _ in 0..7 {
        assert!(out.attach(&payload));
    }
    assert!(!out.attach(&payload));
    drop(out);
    for octet in 0..10 {
        assert!(pair.a.send_bytes(&[octet; 60]));
    }
    assert_eq!(pair.b.receive_bytes().len(), 8);
    assert_eq!(pair.b.stats().rx_no_buffer, 2);
    assert_eq!((pair.a.stats().tx_packets, pair.b.stats().rx_packets), (10, 8));
    assert_eq!((pair.a.stats().tx_bytes, pair.b.stats().rx_bytes), (600, 480));
}

#[test]
fn a_frame_holds_so_many_segments_and_no_more() {
    let mut pair = pair(MemOptions::default(), WireConditions::default(), 1);
    let payload = pair.a.share_copy(b"0123456789").unwrap();
    let mut out = frame(&mut pair.a, b"h");
    for at in 0..MAX_SEGMENTS {
        assert!(out.attach(&payload.slice(at % 10..at % 10 + 1)));
    }
    assert!(!out.attach(&payload));
    assert!(
        out.append(1).is_none(),
        "the linear part is not at the end any more"
    );
    out.linear_mut().copy_from_slice(b"H");
    assert_eq!(pair.a.tx_burst(&mut vec![out]), 1);
    assert_eq!(pair.b.receive_bytes(), [b"H0123456789012345"]);
}

#[test]
fn a_port_that_copies_says_so_and_counts_nothing() {
    let options = MemOptions {
        copies: true,
        ..small()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    let payload = pair.a.share_copy(b"payload").unwrap();
    let mut out = frame(&mut pair.a, b"head ");
    assert!(out.copies(7) && !out.copies(2048), "as far as there is room");
    assert!(out.attach(&payload));
    assert_eq!(free(&pair.a), (8, 7, 7), "no indirect buffer");
    assert_eq!(pair.a.tx_burst(&mut vec![out]), 1);
    assert_eq!(pair.a.stats().tx_linearised, 0);
    assert_eq!(pair.b.receive_bytes(), [b"head payload"]);
    let mut out = frame(&mut pair.a, &[0; 2048 - 6]);
    assert!(!out.copies(7) && out.attach(&payload), "attached, then");
    assert!(!out.copies(1), "nothing can be written behind it");
}

#[test]
fn without_segments_payload_is_copied_and_counted() {
    let options = MemOptions {
        multi_seg: false,
        ..small()
    };
    let mut pair = pair(options, WireConditions::default(), 1);
    assert!(!pair.a.promises().multi_seg);
    let payload = pair.a.share_copy(b"payload").unwrap();
    let mut out = frame(&mut pair.a, b"head ");
    assert!(out.attach(&payload));
    assert_eq!(free(&pair.a), (8, 7, 7), "no indirect buffer");
    drop(payload);
    assert_eq!(free(&pair.a), (8, 8, 7), "and the payload is not held");
    assert_eq!(pair.a.tx_burst(&mut vec![out]), 1);
    assert_eq!(pair.a.stats().tx_linearised, 1);
    assert_eq!(pair.b.receive_bytes(), [b"head payload"]);
    let long = pair.a.share_copy(&[0; 2048]).unwrap();
    let mut out = frame(&mut pair.a, b"head ");
    assert!(!out.attach(&long), "no room left for it");
}

#[test]
fn buffers_may_be_dropped_on_any_thread() {
    let mut pair = pair(small(), WireConditions::default(), 1);
    assert!(pair.a.send_bytes(b"frame"));
    let mut received = Vec::new();
    pair.b.rx_burst(&mut received, 32);
    let shared = received.remove(0).into_shared();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mine = shared.clone();
            std::thread::spawn(move || mine.slice(1..3).bytes().to_vec())
        })
        .collect();
    drop(shared);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), b"ra");
    }
    assert_eq!(free(&pair.b), (8, 8, 8));
}

#[test]
fn frames_that_are_too_long_are_errors() {
    let mut pair = pair(MemOptions::default(), WireConditions::default(), 1);
    assert!(pair.a.send_bytes(&[0; 1518]));
    assert!(pair.a.send_bytes(&[0; 1519]), "the port takes it, and drops it");
    assert_eq!(pair.b.receive_bytes().len(), 1);
    assert_eq!((pair.a.stats().tx_packets, pair.a.stats().tx_errors), (1, 1));
    assert_eq!(free(&pair.a).2, pair.a.pool().tx_capacity);
}
