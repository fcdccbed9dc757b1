//! Two ports back to back: bursts, the kept-payload rule (D3), conservation, exhaustion.

mod common;

use std::collections::VecDeque;
use std::thread;

use common::{all_home, alone, contents, eal, frame, joined, receive, send, small, worker};
use fourtuple_nic::{Queue, RxBuf, Shared, TxFrame};
use fourtuple_nic_dpdk::{DpdkQueue, Eal, PortOptions, SharedMbuf, foreign_frees};

#[test]
fn what_one_sends_the_other_receives_on_the_same_queue() {
    alone("what_one_sends_the_other_receives_on_the_same_queue", || {
        const QUEUES: u16 = 4;
        let eal = eal();
        let _worker = worker(&eal);
        let (mut a, mut b) = eal.ring_pair(QUEUES, &small()).unwrap();
        let (mut qa, mut qb) = (a.take_queues(), b.take_queues());
        assert!(a.take_queues().is_empty(), "queues are handed out once");
        assert_eq!((qa.len(), qb.len()), (4, 4));
        assert_ne!(a.promises().mac, b.promises().mac);
        for (from, to) in [(&mut qa, &mut qb)] {
            for round in 0..100u8 {
                for queue in 0..4u8 {
                    let mut frames: Vec<_> = (0..32u8)
                        .map(|i| frame(&mut from[usize::from(queue)], &[queue, round, i]))
                        .collect();
                    assert_eq!(from[usize::from(queue)].tx_burst(&mut frames), 32);
                    assert!(frames.is_empty());
                }
                for queue in 0..4u8 {
                    let got = contents(&receive(&mut to[usize::from(queue)]));
                    let expected: Vec<_> = (0..32u8).map(|i| vec![queue, round, i]).collect();
                    assert_eq!(got, expected);
                }
            }
        }
        let reply = frame(&mut qb[3], b"back");
        send(&mut qb[3], reply);
        assert_eq!(contents(&receive(&mut qa[3])), [b"back".to_vec()]);
        assert_eq!((a.stats().tx_packets, b.stats().rx_packets), (12_800, 12_800));
        let (sent, received) = (a.stats().tx_bytes, b.stats().rx_bytes);
        assert!(
            (sent, received) == (12_800 * 3, 12_800 * 3),
            "{sent} bytes sent, {received} received"
        );
        assert_eq!((b.stats().tx_packets, a.stats().rx_packets), (1, 1));
        assert!(qa.iter().chain(&qb).all(all_home));
        assert_eq!(foreign_frees(), 0);
    });
}

// proves: D3, what is kept for retransmission is never itself enqueued
#[test]
fn a_peer_that_edits_what_it_received_leaves_the_kept_payload_alone() {
    alone(
        "a_peer_that_edits_what_it_received_leaves_the_kept_payload_alone",
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let ((a, mut qa), (b, mut qb)) = joined(&eal, &small());
            assert!(a.promises().multi_seg);
            let long: Vec<u8> = (0..1400u16).map(|i| i as u8).collect();
            for payload in [&long[..], &long[..100], &long[..513]] {
                let kept = qa.share_copy(payload).unwrap();
                for _transmission in 0..3 {
                    let mut out = frame(&mut qa, b"header");
                    assert!(out.attach(&kept));
                    assert_eq!(out.frame_len(), 6 + payload.len());
                    send(&mut qa, out);
                    let mut got = receive(&mut qb);
                    assert_eq!(got.len(), 1);
                    let mut got = got.remove(0);
                    assert_eq!(&got.bytes()[6..], payload);
                    got.trim_front(6 + payload.len() / 2);
                    got.truncate(1);
                    assert_eq!(got.append(&[0xee; 300]), 300);
                    drop(got);
                    assert_eq!(kept.bytes(), payload, "the sender still has what it sent");
                }
            }
            assert!(all_home(&qa) && all_home(&qb));
            // Longer than what is copied: came as two segments.
            assert_eq!(b.stats().rx_flattened, 6);
            assert_eq!(foreign_frees(), 0);
        },
    );
}

#[test]
fn slices_of_one_buffer_go_out_in_one_frame_in_order() {
    alone("slices_of_one_buffer_go_out_in_one_frame_in_order", || {
        let eal = eal();
        let _worker = worker(&eal);
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
        let bytes: Vec<u8> = (0..2000u16).map(|i| (i % 251) as u8).collect();
        let whole = qa.share_copy(&bytes).unwrap();
        // Small, large, small behind large, and an odd large one: all ways of attaching, in all orders.
        let cuts = [
            0..10,
            10..611,
            611..620,
            620..640,
            640..1241,
            1241..1241,
            1241..1300,
        ];
        let mut out = frame(&mut qa, b"head");
        for cut in cuts {
            assert!(out.attach(&whole.slice(cut)));
        }
        assert!(out.append(1).is_none(), "there is payload behind the linear part");
        out.linear_mut()[..4].copy_from_slice(b"HEAD");
        drop(whole);
        send(&mut qa, out);
        let got = receive(&mut qb);
        assert_eq!(&got[0].bytes()[..4], b"HEAD");
        assert_eq!(&got[0].bytes()[4..], &bytes[..1300]);
        drop(got);
        assert!(all_home(&qa) && all_home(&qb));
    });
}

#[test]
fn a_received_frame_becomes_payload_without_a_copy_and_goes_on() {
    alone(
        "a_received_frame_becomes_payload_without_a_copy_and_goes_on",
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
            let sent = frame(&mut qa, &[7; 1000]);
            send(&mut qa, sent);
            let mut got = receive(&mut qb).remove(0);
            got.trim_front(10);
            let place = got.bytes().as_ptr();
            assert!(got.space() > 2048);
            let shared = got.into_shared();
            assert_eq!(shared.bytes().as_ptr(), place, "no copy");
            assert_eq!(shared.slice(980..5000).bytes().len(), 10);
            let mut on = frame(&mut qb, b"on");
            assert!(on.attach(&shared));
            drop(shared);
            send(&mut qb, on);
            let back = receive(&mut qa);
            assert_eq!(back[0].bytes().len(), 992);
            drop(back);
            assert!(all_home(&qa) && all_home(&qb));
        },
    );
}

#[test]
fn an_exhausted_pool_gives_none_and_recovers() {
    alone("an_exhausted_pool_gives_none_and_recovers", || {
        let eal = eal();
        let _worker = worker(&eal);
        let options = PortOptions {
            rx_buffers: 63,
            payload_buffers: 63,
            tx_buffers: 63,
            ..small()
        };
        let ((_a, mut qa), (b, mut qb)) = joined(&eal, &options);

        let frames: Vec<_> = std::iter::from_fn(|| qa.tx_frame()).collect();
        assert_eq!((frames.len(), qa.pool().tx_free), (63, 0));
        drop(frames);
        let payloads: Vec<_> = std::iter::from_fn(|| qa.share_copy(b"kept")).collect();
        assert_eq!((payloads.len(), qa.payload_pool()), (63, (63, 0)));
        assert!(qa.blank().is_none());
        drop(payloads);
        assert!(qa.share_copy(&[0; 3000]).is_none(), "does not fit in one buffer");

        // A receiver that keeps all it gets: flattened frames need its pool, and are counted when there is none.
        let payload = qa.share_copy(&[1; 1000]).unwrap();
        let mut kept = Vec::with_capacity(256);
        for _ in 0..100 {
            let mut out = frame(&mut qa, b"head");
            assert!(out.attach(&payload));
            send(&mut qa, out);
            qb.rx_burst(&mut kept, 8);
        }
        assert_eq!(
            (kept.len(), b.stats().rx_flattened, b.stats().rx_no_buffer),
            (63, 63, 37)
        );
        drop((kept, payload));
        assert!(all_home(&qa) && all_home(&qb));
        let again = frame(&mut qa, b"again");
        send(&mut qa, again);
        assert_eq!(receive(&mut qb).len(), 1);
    });
}

#[test]
fn a_receiver_that_keeps_all_it_gets_leaves_the_sender_buffers_to_send_with() {
    let name = "a_receiver_that_keeps_all_it_gets_leaves_the_sender_buffers_to_send_with";
    alone(name, || {
        let eal = eal();
        let _worker = worker(&eal);
        let options = PortOptions {
            rx_buffers: 255,
            tx_buffers: 255,
            ..small()
        };
        let ((_a, mut qa), (b, mut qb)) = joined(&eal, &options);
        let mut kept = Vec::with_capacity(1_024);
        for number in 0..1_000u32 {
            // Before, the sender had none left after 255: it could not even have acknowledged what would free them.
            let out = frame(&mut qa, &number.to_be_bytes());
            send(&mut qa, out);
            qb.rx_burst(&mut kept, 8);
        }
        let copied = b.stats().rx_flattened;
        assert!(copied > 0 && copied <= 255, "{copied} of its own 255");
        assert_eq!(kept.len() as u64 + b.stats().rx_no_buffer, 1_000);
        let first: Vec<_> = (0..300u32).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(contents(&kept)[..300], first, "copies are what was sent");
        drop(kept);
        assert!(all_home(&qa) && all_home(&qb));
        // Nobody is short any more, as is seen after a while: nothing is copied then.
        for _ in 0..32 {
            let out = frame(&mut qa, b"again");
            send(&mut qa, out);
            assert_eq!(contents(&receive(&mut qb)), [b"again".to_vec()]);
        }
        let seen = b.stats().rx_flattened;
        for _ in 0..32 {
            let out = frame(&mut qa, b"again");
            send(&mut qa, out);
            assert_eq!(receive(&mut qb).len(), 1);
        }
        assert_eq!(b.stats().rx_flattened, seen);
    });
}

#[test]
fn answers_leave_in_buffers_that_requests_came_in() {
    alone("answers_leave_in_buffers_that_requests_came_in", || {
        let eal = eal();
        let _worker = worker(&eal);
        let options = PortOptions {
            tx_buffers: 1_023,
            // No second segments, as ring ports come.
            copied_at_most: None,
            ..small()
        };
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &options);
        let own = frame(&mut qb, b"own");
        assert_eq!(qb.pool().tx_free, 1_022, "nothing came so far");
        drop(own);
        for number in 0..200u32 {
            let request = frame(&mut qa, &number.to_be_bytes());
            send(&mut qa, request);
            assert_eq!(contents(&receive(&mut qb)), [number.to_be_bytes().to_vec()]);
            let answer = frame(&mut qb, &(!number).to_be_bytes());
            assert_eq!(
                qb.pool().tx_free,
                1_023,
                "{number}: the answer is in a buffer of A"
            );
            send(&mut qb, answer);
            assert_eq!(contents(&receive(&mut qa)), [(!number).to_be_bytes().to_vec()]);
        }
        assert!(qa.pool().tx_free >= 1_023 - 32, "few are held back");
        qb.reclaim();
        assert!(all_home(&qa) && all_home(&qb), "on an idle turn they go home");

        // A keeps every answer, and has buffers to send with all the same: its own come back, and are copied while they are few.
        let mut kept = Vec::with_capacity(2_048);
        for number in 0..2_000u32 {
            let request = frame(&mut qa, &number.to_be_bytes());
            send(&mut qa, request);
            assert_eq!(receive(&mut qb).len(), 1);
            let answer = frame(&mut qb, &number.to_be_bytes());
            send(&mut qb, answer);
            qa.rx_burst(&mut kept, 8);
        }
        let first: Vec<_> = (0..600u32).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(contents(&kept)[..600], first, "what is kept is not written over");
        drop(kept);
        qb.reclaim();
        assert!(all_home(&qa) && all_home(&qb));
    });
}

#[test]
fn a_full_ring_leaves_the_rest_with_the_caller_in_order() {
    alone("a_full_ring_leaves_the_rest_with_the_caller_in_order", || {
        let eal = eal();
        let _worker = worker(&eal);
        let options = PortOptions {
            descriptors: 64,
            ..small()
        };
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &options);
        let mut frames: Vec<_> = (0..200u8).map(|i| frame(&mut qa, &[i])).collect();
        // A ring of 64 places holds 63.
        assert_eq!(qa.tx_burst(&mut frames), 63);
        assert_eq!(frames.len(), 137);
        assert_eq!(qa.tx_burst(&mut frames), 0);
        let mut got = Vec::with_capacity(256);
        while qb.rx_burst(&mut got, 32) > 0 {
            qa.tx_burst(&mut frames);
        }
        let expected: Vec<_> = (0..200u8).map(|i| vec![i]).collect();
        assert_eq!(contents(&got), expected);
        drop(got);
        assert!(all_home(&qa) && all_home(&qb));
    });
}

#[test]
fn a_burst_never_grows_the_workers_vector() {
    alone("a_burst_never_grows_the_workers_vector", || {
        let eal = eal();
        let _worker = worker(&eal);
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
        let mut frames: Vec<_> = (0..10u8).map(|i| frame(&mut qa, &[i])).collect();
        qa.tx_burst(&mut frames);
        let mut into = Vec::with_capacity(4);
        assert_eq!(
            (
                qb.rx_burst(&mut into, 2),
                qb.rx_burst(&mut into, 9),
                qb.rx_burst(&mut into, 9)
            ),
            (2, 2, 0)
        );
        assert_eq!(into.capacity(), 4);
        assert_eq!(contents(&into), [[0], [1], [2], [3]]);
    });
}

#[test]
fn a_frame_longer_than_the_port_carries_is_counted_and_does_not_block_others() {
    alone(
        "a_frame_longer_than_the_port_carries_is_counted_and_does_not_block_others",
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let ((a, mut qa), (_b, mut qb)) = joined(&eal, &small());
            let mut frames = vec![
                frame(&mut qa, b"1"),
                frame(&mut qa, &[0; 1600]),
                frame(&mut qa, b"2"),
            ];
            assert_eq!(qa.tx_burst(&mut frames), 2);
            assert!(frames.is_empty());
            assert_eq!(contents(&receive(&mut qb)), [b"1", b"2"]);
            assert_eq!(a.stats().tx_errors, 1);
            assert!(all_home(&qa));
        },
    );
}

#[test]
fn two_workers_that_keep_and_edit_at_once_lose_and_mix_up_nothing() {
    alone(
        "two_workers_that_keep_and_edit_at_once_lose_and_mix_up_nothing",
        || {
            const FRAMES: u32 = 100_000;
            let eal = eal();
            let (mut a, mut b) = eal.ring_pair(1, &small()).unwrap();
            let (qa, qb) = (a.take_queues().remove(0), b.take_queues().remove(0));
            let ends = thread::scope(|scope| {
                let workers = [qa, qb].map(|queue| scope.spawn(move || exchange(eal, queue, FRAMES)));
                workers.map(|worker| worker.join().unwrap())
            });
            assert!(ends.iter().all(all_home));
            assert_eq!(foreign_frees(), 0);
        },
    );
}

/// Sends frames with kept payload and checks those that come, until `count` went each way.
fn exchange(eal: Eal, mut queue: DpdkQueue, count: u32) -> DpdkQueue {
    let _worker = worker(&eal);
    let (mut sent, mut received) = (0u32, 0u32);
    let mut frames = Vec::with_capacity(16);
    let mut got = Vec::with_capacity(16);
    let mut kept: VecDeque<SharedMbuf> = VecDeque::new();
    while sent < count || received < count {
        while frames.len() < 16 && sent + (frames.len() as u32) < count {
            let number = (sent + frames.len() as u32).to_be_bytes();
            // Short ones are copied, long ones attached.
            let repeated: Vec<u8> = number
                .iter()
                .copied()
                .cycle()
                .take(400 + usize::from(number[3]))
                .collect();
            let Some(payload) = queue.share_copy(&repeated) else {
                break;
            };
            let Some(mut out) = queue.tx_frame() else { break };
            out.append(4).unwrap().copy_from_slice(&number);
            if !out.attach(&payload) {
                break;
            }
            frames.push(out);
            kept.push_back(payload);
        }
        let before = sent + received;
        sent += queue.tx_burst(&mut frames) as u32;
        // Kept for a while after it was sent, and still what it was.
        while kept.len() > 100 {
            let payload = kept.pop_front().unwrap();
            let number: [u8; 4] = payload.bytes()[..4].try_into().unwrap();
            assert!(payload.bytes().chunks_exact(4).all(|word| word == number));
        }
        received += queue.rx_burst(&mut got, 16) as u32;
        for mut frame in got.drain(..) {
            let number: [u8; 4] = frame.bytes()[..4].try_into().unwrap();
            assert!(frame.bytes().chunks_exact(4).all(|word| word == number));
            frame.trim_front(200);
            frame.truncate(1);
            frame.append(&[0xff; 1000]);
        }
        if sent + received == before {
            thread::yield_now();
        }
    }
    queue
}

#[test]
fn by_default_a_ring_port_copies_once_and_flattens_nothing() {
    alone("by_default_a_ring_port_copies_once_and_flattens_nothing", || {
        let eal = eal();
        let _worker = worker(&eal);
        let ((_a, mut qa), (b, mut qb)) = joined(
            &eal,
            &PortOptions {
                copied_at_most: None,
                ..small()
            },
        );
        let payload = qa.share_copy(&[3; 1448]).unwrap();
        let mut out = frame(&mut qa, &[0; 66]);
        assert!(out.attach(&payload));
        send(&mut qa, out);
        assert_eq!(receive(&mut qb)[0].bytes()[66..], [3; 1448]);
        assert_eq!(b.stats().rx_flattened, 0);
    });
}
