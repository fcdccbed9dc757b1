//! Ports whose other end is the kernel, in a network namespace of the test's own. Needs root; without, each test says SKIPPED.

mod common;

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd};

use common::namespace::Namespace;
use common::{alone_through, eal, frame, receive, send, skip, small, soon, worker};
use fourtuple_nic::{MacAddr, NicError, Queue, RxBuf, RxChecksum, TxChecksum, TxFrame};
use fourtuple_nic_dpdk::{DpdkQueue, Mbuf, PortOptions, foreign_frees};

/// A veth pair, both ends here, in silence: no IPv6, no resolution.
const VETH: &[&str] = &[
    "link add fta type veth peer name ftb",
    "link set fta up",
    "link set ftb up",
];

/// Local experimental EtherType: no stack answers it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

#[test]
fn packet_sockets_carry_frames_both_ways_over_a_veth() {
    let name = "packet_sockets_carry_frames_both_ways_over_a_veth";
    let Some(namespace) = namespace("veth", VETH) else {
        return;
    };
    alone_through(
        name,
        |command| namespace.enter(command),
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let mut a = eal.af_packet("fta", 1, &small()).unwrap();
            let mut b = eal.af_packet("ftb", 2, &small()).unwrap();
            let (mac_a, mac_b) = (a.promises().mac, b.promises().mac);
            assert_ne!(mac_a, mac_b);
            assert!(a.promises().kernel_peer && a.promises().multi_seg && !a.promises().tx_checksum);
            assert_eq!((a.promises().mtu, b.promises().queues), (1500, 2));
            let mut qa = a.take_queues().remove(0);
            let mut qb = b.take_queues();

            // The kernel chooses the queue: look at all.
            let payload = qa.share_copy(&[0xab; 1400]).unwrap();
            for i in 0..50u8 {
                let mut out = frame(&mut qa, &header(mac_b, mac_a, i));
                assert!(out.attach(&payload));
                send(&mut qa, out);
            }
            let mut got = Vec::new();
            assert!(soon(|| {
                got.extend(qb.iter_mut().flat_map(ours));
                got.len() == 50
            }));
            let mut numbers: Vec<u8> = got.iter().map(|frame| frame.bytes()[14]).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..50).collect::<Vec<u8>>());
            assert!(got.iter().all(|frame| frame.bytes()[15..] == [0xab; 1400]));

            let back = frame(&mut qb[1], &header(mac_a, mac_b, 7));
            send(&mut qb[1], back);
            let fd = qa.wait_fd().expect("a packet socket can be waited for");
            assert!(readable(fd), "the descriptor tells that a frame came");
            assert_eq!(ours(&mut qa)[0].bytes()[14], 7);
            assert_eq!(foreign_frees(), 0);
        },
    );
}

#[test]
fn af_xdp_carries_frames_both_ways_and_gives_its_memory_back() {
    let name = "af_xdp_carries_frames_both_ways_and_gives_its_memory_back";
    let Some(namespace) = namespace(
        "xdp",
        &[
            "link add fta numrxqueues 2 numtxqueues 2 type veth peer name ftb numrxqueues 2 numtxqueues 2",
            "link set fta up",
            "link set ftb up",
        ],
    ) else {
        return;
    };
    alone_through(
        name,
        |command| namespace.enter(command),
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let mut b = eal.af_packet("ftb", 1, &small()).unwrap();
            let mut qb = b.take_queues().remove(0);
            for round in 0..2u8 {
                let mut a = match eal.af_xdp("fta", 2, &small()) {
                    Ok(port) => port,
                    Err(error) if error.to_string().contains("no AF_XDP") => return skip(&error.to_string()),
                    Err(error) => panic!("{error}"),
                };
                let (mac_a, mac_b) = (a.promises().mac, b.promises().mac);
                assert!(a.promises().kernel_peer && !a.promises().multi_seg && a.promises().queues == 2);
                let mut qa = a.take_queues();
                assert!(
                    qa.iter().all(|queue| queue.wait_fd().is_some()),
                    "each queue has a socket"
                );

                for i in 0..50u8 {
                    let queue = &mut qa[usize::from(i % 2)];
                    let payload = queue.share_copy(&[0xcd; 1400]).unwrap();
                    let mut out = frame(queue, &header(mac_b, mac_a, i));
                    assert!(out.attach(&payload));
                    send(queue, out);
                }
                let mut got = Vec::new();
                assert!(soon(|| {
                    got.extend(ours(&mut qb));
                    got.len() == 50
                }));
                assert!(got.iter().all(|frame| frame.bytes()[15..] == [0xcd; 1400]));

                let back = frame(&mut qb, &header(mac_a, mac_b, round));
                send(&mut qb, back);
                let mut back = Vec::new();
                assert!(soon(|| {
                    back.extend(qa.iter_mut().flat_map(ours));
                    !back.is_empty()
                }));
                assert_eq!(back[0].bytes()[14], round);

                let reporter = a.reporter();
                let report = reporter.report().expect("the port is open");
                assert!(report.link.up && report.counters.iter().any(|(name, _)| name == "rx_q1_packets"));
                assert_eq!(a.stats().tx_packets, 50);
                drop((a, qa));
                assert!(reporter.report().is_none(), "the port is closed");
                assert_eq!(eal.sweep_pools(), 1, "a received frame is still out");
                drop(back);
                assert_eq!(
                    eal.sweep_pools(),
                    0,
                    "all memory is back, but what the driver forgot of its own"
                );
            }
            assert_eq!(foreign_frees(), 0);
        },
    );
}

#[test]
fn packet_sockets_carry_jumbo_frames_and_tell_what_the_kernel_dropped() {
    let name = "packet_sockets_carry_jumbo_frames_and_tell_what_the_kernel_dropped";
    let Some(namespace) = namespace(
        "jumbo",
        &[
            "link add fta mtu 9000 type veth peer name ftb mtu 9000",
            "link set fta up",
            "link set ftb up",
        ],
    ) else {
        return;
    };
    alone_through(
        name,
        |command| namespace.enter(command),
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let options = PortOptions {
                mtu: Some(9000),
                descriptors: 60,
                ..small()
            };
            let mut a = eal.af_packet("fta", 1, &options).unwrap();
            let mut b = eal.af_packet("ftb", 1, &options).unwrap();
            assert_eq!(a.promises().mtu, 9000);
            let (mac_a, mac_b) = (a.promises().mac, b.promises().mac);
            let (mut qa, mut qb) = (a.take_queues().remove(0), b.take_queues().remove(0));
            let payload = qa.share_copy(&[0xab; 8985]).unwrap();
            let sent = 200u8;
            for i in 0..sent {
                let mut out = frame(&mut qa, &header(mac_b, mac_a, i));
                assert!(out.attach(&payload));
                send(&mut qa, out);
            }
            let mut got = Vec::new();
            assert!(soon(|| {
                got.extend(ours(&mut qb));
                got.len() >= 50
            }));
            assert!(got.iter().all(|frame| frame.bytes()[15..] == [0xab; 8985]));
            assert!(
                soon(|| qb.stats().rx_packets + qb.stats().rx_missed >= u64::from(sent)),
                "what did not fit into the ring is counted: {:?}",
                qb.stats()
            );
            assert!(b.stats().rx_missed >= 100);
        },
    );
}

#[test]
fn a_tap_talks_with_the_kernel_and_fills_in_checksums() {
    let name = "a_tap_talks_with_the_kernel_and_fills_in_checksums";
    let Some(namespace) = namespace("tap", &["link set lo up"]) else {
        return;
    };
    alone_through(
        name,
        |command| namespace.enter(command),
        || {
            let eal = eal();
            let _worker = worker(&eal);
            let ours_is = MacAddr([2, 0, 0, 0, 0, 0x77]);
            let options = PortOptions {
                mac: Some(ours_is),
                ..small()
            };
            let mut port = eal.tap("fttap0", 2, &options).unwrap();
            let promises = port.promises().clone();
            assert_eq!(promises.mac, ours_is);
            assert!(
                promises.rx_checksum && promises.tx_checksum && promises.kernel_peer && !promises.multi_seg
            );
            let mut queues = port.take_queues();
            for line in [
                "addr add 10.9.0.1/24 dev fttap0",
                "neigh add 10.9.0.2 lladdr 02:00:00:00:00:77 dev fttap0",
            ] {
                assert!(
                    std::process::Command::new("ip")
                        .args(line.split(' '))
                        .status()
                        .unwrap()
                        .success()
                );
            }

            // The kernel sends, we receive.
            let socket = UdpSocket::bind("10.9.0.1:5000").unwrap();
            socket.send_to(b"from the kernel", "10.9.0.2:6000").unwrap();
            assert!(
                queues.iter().any(|queue| queue.wait_fd().is_some()),
                "the driver has receive interrupts"
            );
            let mut got = Vec::new();
            assert!(soon(|| {
                let frames = queues.iter_mut().flat_map(receive);
                got.extend(frames.filter(|frame| frame.bytes().ends_with(b"from the kernel")));
                !got.is_empty()
            }));
            assert_eq!(got[0].checksum(), RxChecksum::Good);
            assert_eq!(got[0].bytes()[..6], ours_is.0);
            let kernel_mac = MacAddr(got[0].bytes()[6..12].try_into().unwrap());
            assert_ne!(kernel_mac, ours_is);

            // We send a SYN to a closed port, its checksums for the port to fill in: the kernel only answers what is right.
            let queue = &mut queues[0];
            let mut syn = frame(queue, &syn_without_checksums(kernel_mac, ours_is));
            let payload = queue.share_copy(b"odd").unwrap();
            assert!(syn.attach(&payload));
            syn.request_checksum(TxChecksum {
                l2_len: 14,
                l3_len: 20,
                ipv6: false,
            });
            send(queue, syn);
            let mut resets = Vec::new();
            assert!(soon(|| {
                let frames = queues.iter_mut().flat_map(receive);
                resets.extend(frames.filter(|frame| is_reset(frame.bytes())));
                !resets.is_empty()
            }));
            assert_eq!(resets[0].checksum(), RxChecksum::Good);
            assert_eq!(port.stats().tx_linearised, 1);
        },
    );
}

#[test]
fn what_a_kernel_port_refuses_names_the_thing_and_the_fix() {
    let name = "what_a_kernel_port_refuses_names_the_thing_and_the_fix";
    let Some(namespace) = namespace(
        "refuse",
        &["link add fta type veth peer name ftb", "link set fta up"],
    ) else {
        return;
    };
    alone_through(
        name,
        |command| namespace.enter(command),
        || {
            let eal = common::eal_on_ordinary_pages(64);
            let jumbo = PortOptions {
                mtu: Some(9000),
                ..small()
            };
            let huge = PortOptions {
                rx_buffers: 1_000_000,
                ..small()
            };
            // DPDK makes a table at the first port, and keeps it.
            drop(eal.af_packet("fta", 1, &small()).unwrap());
            let before = (eal.port_count(), eal.memory_zones());
            let rows = [
                (
                    eal.af_packet("nosuch0", 1, &small()),
                    "no such interface",
                    "ip link",
                ),
                (eal.af_packet("fta", 17, &small()), "17 queues", "16"),
                (eal.af_packet("fta", 1, &jumbo), "9000", "1500"),
                (eal.af_packet("ftb", 1, &small()), "is down", "ip link set ftb up"),
                (eal.af_packet("fta", 1, &huge), "not enough memory", "huge pages"),
                (eal.tap("fta", 1, &small()), "exists already", "ip link del fta"),
                (eal.tap("fttap1", 1, &jumbo), "9000", "1500"),
                (eal.vdev("net_nosuch,x=1", 1, &small()), "net_nosuch", "driver"),
            ];
            for (outcome, thing, fix) in rows {
                let message = outcome
                    .err()
                    .unwrap_or_else(|| panic!("{thing}: accepted"))
                    .to_string();
                assert!(message.contains(thing) && message.contains(fix), "{message}");
            }
            assert_eq!(
                (eal.port_count(), eal.memory_zones()),
                before,
                "nothing is left of what failed"
            );
            assert!(
                eal.af_packet("fta", 1, &small()).is_ok(),
                "after all that, what is right works"
            );
        },
    );
}

#[test]
fn without_privilege_a_kernel_port_says_which_one_is_missing() {
    let name = "without_privilege_a_kernel_port_says_which_one_is_missing";
    if !common::may_become_nobody() {
        return skip("becoming another user needs root and setpriv");
    }
    alone_through(name, common::as_nobody, || {
        let eal = eal();
        let refused = |error: NicError| (matches!(error, NicError::NotPermitted { .. }), error.to_string());
        let (permitted, message) = refused(eal.af_packet("lo", 1, &small()).unwrap_err());
        assert!(permitted && message.contains("CAP_NET_RAW"), "{message}");
        let (permitted, message) = refused(eal.tap("fttap2", 1, &small()).unwrap_err());
        assert!(permitted && message.contains("CAP_NET_ADMIN"), "{message}");
    });
}

/// A namespace, or a printed reason why there is none.
fn namespace(purpose: &str, setup: &[&str]) -> Option<Namespace> {
    if common::is_alone() {
        // Inside already; the name is not needed again.
        return Some(Namespace::entered());
    }
    Namespace::new(purpose, setup)
        .map_err(|reason| skip(&reason))
        .ok()
}

fn header(to: MacAddr, from: MacAddr, number: u8) -> Vec<u8> {
    [&to.0[..], &from.0, &ETHERTYPE, &[number]].concat()
}

/// Received frames of this test; the kernel sends some of its own.
fn ours(queue: &mut DpdkQueue) -> Vec<Mbuf> {
    receive(queue)
        .into_iter()
        .filter(|frame| frame.bytes().get(12..14) == Some(&ETHERTYPE[..]))
        .collect()
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd, which is ours.
    let ready = unsafe { libc::poll(&mut poll, 1, 2000) };
    ready == 1 && poll.revents & libc::POLLIN != 0
}

/// Ethernet, IPv4 and TCP of a SYN with 3 bytes to come: no IP checksum, and the pseudo-header's sum for TCP's.
fn syn_without_checksums(to: MacAddr, from: MacAddr) -> Vec<u8> {
    let (src, dst) = ([10, 9, 0, 2], [10, 9, 0, 1]);
    let ip = [&[0x45, 0, 0, 43, 0, 1, 0x40, 0, 64, 6, 0, 0][..], &src, &dst].concat();
    let pseudo = [&src[..], &dst, &[0, 6, 0, 23]].concat();
    let sum: u32 = pseudo
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    let ports = [0x17, 0x70, 0x00, 0x09];
    let tcp = [
        &ports[..],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff],
        &sum.to_be_bytes(),
        &[0, 0],
    ]
    .concat();
    [&to.0[..], &from.0, &[8, 0], &ip, &tcp].concat()
}

fn is_reset(frame: &[u8]) -> bool {
    frame.len() >= 54 && frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 0x04 != 0
}
