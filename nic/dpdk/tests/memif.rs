//! Both ends of a memif in one process: frames, other ends that go and come back, and what is turned away.

mod common;

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use common::{alone, eal, frame, receive, send, small, soon, worker};
use fourtuple_nic::{NicError, Queue, RxBuf};
use fourtuple_nic_dpdk::{DpdkQueue, Eal, Port, PortOptions};

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mf-{}-{name}.sock", std::process::id()))
}

fn words(role: &str, path: &Path) -> String {
    format!(
        "net_memif0,role={role},socket={},socket-abstract=no",
        path.display()
    )
}

fn open(eal: &Eal, role: &str, path: &Path, queues: u16) -> Result<Port, NicError> {
    eal.vdev(&words(role, path), queues, &small())
}

/// Frames sent on each queue come out of the queue of the same number; sends until one does, since the link takes its time.
#[track_caller]
fn expect_frames(from: &mut [DpdkQueue], to: &mut [DpdkQueue]) {
    for (from, to) in from.iter_mut().zip(to) {
        let text = [b'x'; 60];
        assert!(soon(|| {
            // A server's ring has no room until its client first looks for frames.
            let mut out = vec![frame(from, &text)];
            let _none_or_one = from.tx_burst(&mut out);
            receive(to).iter().any(|got| got.bytes() == text)
        }));
    }
}

#[test]
fn either_end_comes_first_and_queues_keep_their_numbers() {
    alone("either_end_comes_first_and_queues_keep_their_numbers", || {
        let eal = eal();
        let _worker = worker(&eal);
        for (first, second) in [("server", "client"), ("client", "server")] {
            let path = socket("order");
            let mut one = open(&eal, first, &path, 2).unwrap();
            let mut other = open(&eal, second, &path, 2).unwrap();
            assert_ne!(one.promises().mac, other.promises().mac);
            assert_eq!(one.promises().mtu, 1500);
            let (mut ones, mut others) = (one.take_queues(), other.take_queues());
            expect_frames(&mut ones, &mut others);
            expect_frames(&mut others, &mut ones);
            drop((ones, others, one, other));
            assert!(!path.exists(), "the socket's file goes with the server");
        }
    });
}

#[test]
fn an_end_that_goes_costs_frames_and_comes_back() {
    alone("an_end_that_goes_costs_frames_and_comes_back", || {
        let eal = eal();
        let _worker = worker(&eal);
        for (stays, goes) in [("server", "client"), ("client", "server")] {
            let path = socket("again");
            let mut port = open(&eal, stays, &path, 1).unwrap();
            let mut queues = port.take_queues();
            for _ in 0..3 {
                let mut other = open(&eal, goes, &path, 1).unwrap();
                let mut others = other.take_queues();
                expect_frames(&mut queues, &mut others);
                expect_frames(&mut others, &mut queues);
                drop((others, other));
                let before = port.stats();
                assert!(soon(|| {
                    // Taken, so that nobody tries again for ever.
                    let out = frame(&mut queues[0], b"to nobody");
                    send(&mut queues[0], out);
                    port.stats().tx_errors > before.tx_errors
                }));
                assert!(receive(&mut queues[0]).is_empty());
                let after = port.stats();
                assert!(
                    after.rx_packets >= before.rx_packets && before.rx_packets > 0,
                    "counters never fall"
                );
            }
        }
    });
}

#[test]
fn an_end_with_other_queues_is_turned_away_and_the_next_is_not() {
    alone(
        "an_end_with_other_queues_is_turned_away_and_the_next_is_not",
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let path = socket("count");
            let mut server = open(&eal, "server", &path, 2).unwrap();
            let mut servers = server.take_queues();
            for queues in [1, 3] {
                let mut client = open(&eal, "client", &path, queues).unwrap();
                let mut clients = client.take_queues();
                std::thread::sleep(std::time::Duration::from_millis(300));
                let out = frame(&mut clients[0], b"of another shape");
                send(&mut clients[0], out);
                assert_eq!(
                    client.stats().tx_errors,
                    1,
                    "there is no link with {queues} queues"
                );
                assert!(servers.iter_mut().all(|queue| receive(queue).is_empty()));
            }
            let mut client = open(&eal, "client", &path, 2).unwrap();
            expect_frames(&mut client.take_queues(), &mut servers);
        },
    );
}

#[test]
fn what_a_memif_port_refuses_names_the_thing() {
    alone("what_a_memif_port_refuses_names_the_thing", || {
        let eal = eal();
        let path = socket("refuse");
        let held = open(&eal, "server", &path, 1).unwrap();
        let before = eal.port_count();
        let jumbo = PortOptions {
            mtu: Some(9000),
            ..small()
        };
        let usual = small();
        let long = format!("net_memif0,role=server,socket=/{}", "x".repeat(120));
        let rows = [
            ("net_memif0,rol=server", &usual, "`rol`"),
            (
                "net_memif0,role=server,socket=/no/such/x,socket-abstract=no",
                &usual,
                "/no/such",
            ),
            (
                "net_memif0,role=client,socket=/no/such/x,socket-abstract=no",
                &usual,
                "/no/such",
            ),
            (long.as_str(), &usual, "too long"),
            ("net_memif0,role=client,zero-copy=yes", &usual, "zero-copy"),
            ("net_memif0,role=client,bsize=1000", &usual, "1518"),
            ("net_memif0,role=client", &jumbo, "1500"),
            (&words("server", &path), &usual, "in use"),
        ];
        for (specification, options, thing) in rows {
            let error = eal.vdev(specification, 1, options).expect_err(specification);
            assert!(error.to_string().contains(thing), "{error}");
        }
        assert_eq!(eal.port_count(), before, "nothing is left of what failed");
        assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        drop(held);
    });
}
