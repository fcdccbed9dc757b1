//! Ports that come and go in one process, buffers that outlive them, and threads that should not have freed them.

mod common;

use std::sync::mpsc;
use std::thread;

use common::{all_home, alone, eal, frame, joined, receive, send, skip, small, worker};
use fourtuple_nic::{Queue, RxBuf, Shared, TxFrame};
use fourtuple_nic_dpdk::{Eal, Port, foreign_frees};

#[test]
fn fifty_engines_in_one_process_leave_nothing_behind() {
    alone("fifty_engines_in_one_process_leave_nothing_behind", || {
        let eal = eal();
        let _worker = worker(&eal);
        attach_use_detach(&eal);
        let before = (eal.port_count(), eal.memory_zones(), open_descriptors());
        for _ in 0..50 {
            attach_use_detach(&eal);
        }
        assert_eq!((eal.port_count(), eal.memory_zones(), open_descriptors()), before);
        assert_eq!(eal.sweep_pools(), 0);
    });
}

#[test]
fn fifty_taps_in_one_process_leave_nothing_behind() {
    alone("fifty_taps_in_one_process_leave_nothing_behind", || {
        let eal = eal();
        let _worker = worker(&eal);
        let name = format!("ftd{}", std::process::id() % 100_000_000);
        let attach = || eal.tap(&name, 2, &small());
        if let Err(reason) = attach() {
            return skip(&reason.to_string());
        }
        let before = (eal.port_count(), eal.memory_zones(), open_descriptors());
        for _ in 0..50 {
            drop(attach().unwrap());
        }
        assert_eq!((eal.port_count(), eal.memory_zones(), open_descriptors()), before);
    });
}

fn attach_use_detach(eal: &Eal) {
    let (mut a, mut b) = eal.ring_pair(2, &small()).unwrap();
    let (mut qa, mut qb) = (a.take_queues(), b.take_queues());
    let payload = qa[1].share_copy(&[1; 1000]).unwrap();
    for _ in 0..20 {
        let mut out = frame(&mut qa[1], b"head");
        assert!(out.attach(&payload));
        send(&mut qa[1], out);
    }
    let mut some = Vec::with_capacity(8);
    // The other twelve stay on the way, and are freed with the rings.
    assert_eq!(qb[1].rx_burst(&mut some, 8), 8);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

// proves: D12, pools outlive the last lent chunk
#[test]
fn lent_buffers_outlive_their_port() {
    alone("lent_buffers_outlive_their_port", || {
        let eal = eal();
        let _worker = worker(&eal);
        attach_use_detach(&eal);
        let before = eal.memory_zones();
        let (received, kept, unsent) = {
            let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
            let kept = qa.share_copy(b"kept").unwrap();
            let out = frame(&mut qa, b"sent");
            send(&mut qa, out);
            (receive(&mut qb).remove(0), kept, frame(&mut qa, b"unsent"))
        };
        // The header of what was received came from the sender's pool, as did the unsent frame; the payload from its payload pool.
        assert_eq!((eal.port_count(), eal.sweep_pools()), (0, 2));
        assert_eq!((received.bytes(), kept.bytes()), (&b"sent"[..], &b"kept"[..]));
        assert_eq!(unsent.frame_len(), 6);
        drop(received);
        drop(unsent);
        assert_eq!(eal.sweep_pools(), 1);
        let slice = kept.slice(1..3);
        drop(kept);
        assert_eq!(eal.sweep_pools(), 1);
        drop(slice);
        assert_eq!((eal.sweep_pools(), eal.memory_zones()), (0, before));
    });
}

#[test]
fn a_pool_is_not_freed_while_another_worker_may_be_using_it() {
    alone("a_pool_is_not_freed_while_another_worker_may_be_using_it", || {
        let eal = eal();
        let _worker = worker(&eal);
        let ((_live, mut live), _other_end) = joined(&eal, &small());
        let (step, steps) = mpsc::channel::<()>();
        let (done, dones) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                let _worker = worker(&eal);
                done.send(()).unwrap();
                let mut into = Vec::with_capacity(1);
                while steps.recv().is_ok() {
                    live.rx_burst(&mut into, 1);
                    done.send(()).unwrap();
                }
            });
            dones.recv().unwrap();
            drop(joined(&eal, &small()));
            assert_eq!(
                eal.sweep_pools(),
                6,
                "the other worker has not said that it is between operations"
            );
            step.send(()).unwrap();
            dones.recv().unwrap();
            assert_eq!(eal.sweep_pools(), 0);
            drop(step);
        });
    });
}

#[test]
fn dropping_on_a_foreign_thread_is_safe_and_counted() {
    alone("dropping_on_a_foreign_thread_is_safe_and_counted", || {
        let eal = eal();
        let _worker = worker(&eal);
        let ((_a, mut qa), (_b, mut qb)) = joined(&eal, &small());
        let payload = qa.share_copy(&[5; 900]).unwrap();
        let mut out = frame(&mut qa, b"head");
        assert!(out.attach(&payload));
        send(&mut qa, out);
        let received = receive(&mut qb);
        let mut unsent = frame(&mut qa, b"head");
        assert!(unsent.attach(&payload));
        assert_eq!(foreign_frees(), 0);
        let clone = payload.clone();
        thread::spawn(move || drop((received, unsent, clone)))
            .join()
            .unwrap();
        assert_eq!(foreign_frees(), 3);
        drop(payload);
        assert!(all_home(&qa) && all_home(&qb));
        // A foreign thread may even run a queue.
        let mut qa = thread::spawn(move || {
            let out = frame(&mut qa, b"from a foreign thread");
            send(&mut qa, out);
            qa
        })
        .join()
        .unwrap();
        assert_eq!(receive(&mut qb).len(), 1);
        assert!(all_home(&qa) && qa.tx_frame().is_some());
    });
}

#[test]
fn a_port_stays_while_one_queue_does() {
    alone("a_port_stays_while_one_queue_does", || {
        let eal = eal();
        let (mut a, mut b): (Port, Port) = eal.ring_pair(2, &small()).unwrap();
        let (qa, mut qb) = (a.take_queues(), b.take_queues());
        drop((a, b));
        assert_eq!(eal.port_count(), 2);
        drop(qa);
        assert_eq!(eal.port_count(), 1);
        // Nobody receives any more; sending is still sound.
        let out = frame(&mut qb[0], b"into the void");
        send(&mut qb[0], out);
        thread::spawn(move || drop(qb)).join().unwrap();
        assert_eq!((eal.port_count(), eal.sweep_pools()), (0, 0));
    });
}

#[test]
fn any_virtual_device_makes_a_port() {
    alone("any_virtual_device_makes_a_port", || {
        let eal = eal();
        let _worker = worker(&eal);
        let mut port = eal.vdev("net_null,size=100", 1, &small()).unwrap();
        let mut queue = port.take_queues().remove(0);
        // Receives as many frames of zeroes as one asks for, and swallows what is sent.
        assert_eq!(receive(&mut queue)[63].bytes(), [0; 100]);
        let payload = queue.share_copy(&[1; 1000]).unwrap();
        let mut out = frame(&mut queue, b"head");
        assert!(out.attach(&payload));
        send(&mut queue, out);
        drop(payload);
        queue.reclaim();
        assert!(all_home(&queue));
        let many = eal.vdev("net_null", 2000, &small()).unwrap_err().to_string();
        assert!(many.contains("2000 queues"), "{many}");
        drop((queue, port));
        assert_eq!((eal.port_count(), eal.sweep_pools()), (0, 0));
    });
}
