//! What the packet path costs, in cycles a packet: `cargo run --release -p fourtuple-nic-dpdk --example cycles`.
//!
//! One thread does both ends of a ring port, so this is the cost of the code, not of two cores talking. Each figure is the
//! median of many runs; on a shared machine trust their ratios.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use fourtuple_nic::{Queue, RxBuf, Shared, TxFrame};
use fourtuple_nic_dpdk::{DpdkQueue, Eal, EalOptions, PortOptions, TscClock};

/// Packets in a burst.
const BURST: usize = 32;

/// Bursts in a run, and runs.
const BURSTS: usize = 2_000;
const RUNS: usize = 41;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes = Some(128);
    let eal = Eal::start(&EalOptions {
        megabytes,
        ..EalOptions::default()
    })?;
    let _worker = eal.register_thread()?;
    let (mut a, mut b) = eal.ring_pair(1, &PortOptions::default())?;
    let (mut a, mut b) = (a.take_queues().remove(0), b.take_queues().remove(0));
    println!("{}, huge pages: {}", eal.version(), eal.on_huge_pages());
    println!("{:>8} cycles a packet", "");

    let mut frames = Vec::with_capacity(BURST);
    let mut received = Vec::with_capacity(BURST);
    report("tx_frame + drop", || {
        frames.extend((0..BURST).map_while(|_| a.tx_frame()));
        frames.clear();
    });
    report("share_copy of 1400 bytes + drop", || {
        for _ in 0..BURST {
            drop(a.share_copy(&[1; 1400]));
        }
    });
    report("tx_frame, tx_burst, rx_burst, drop: 54-byte frames", || {
        headers(&mut a, &mut frames);
        pass_on(&mut a, &mut b, &mut frames, &mut received);
    });
    report("rx_burst + tx_burst alone: forwarding through both rings", {
        headers(&mut a, &mut frames);
        let mut on_the_way = std::mem::take(&mut frames);
        let mut back = Vec::with_capacity(BURST);
        let (a, b) = (&mut a, &mut b);
        move || {
            a.tx_burst(&mut on_the_way);
            b.rx_burst(&mut back, BURST);
            // An Mbuf is no TxMbuf: frames are made afresh, as the engine does.
            back.clear();
            on_the_way.extend((0..BURST).map_while(|_| a.tx_frame()));
        }
    });
    for (copied_at_most, how) in [(0, "attached"), (u16::MAX, "copied")] {
        let options = PortOptions {
            copied_at_most: Some(copied_at_most),
            ..PortOptions::default()
        };
        let (mut a, mut b) = eal.ring_pair(1, &options)?;
        let (mut a, mut b) = (a.take_queues().remove(0), b.take_queues().remove(0));
        for len in [64, 256, 512, 1024, 1448] {
            let Some(payload) = a.share_copy(&[7; 1448]) else {
                continue;
            };
            let payload = payload.slice(0..len);
            report(&format!("54 + {len} bytes {how}: made and dropped"), || {
                headers(&mut a, &mut frames);
                for frame in &mut frames {
                    assert!(frame.attach(&payload));
                }
                frames.clear();
            });
            report(
                &format!("54 + {len} bytes {how}: made, sent, received, dropped"),
                || {
                    headers(&mut a, &mut frames);
                    for frame in &mut frames {
                        assert!(frame.attach(&payload));
                    }
                    pass_on(&mut a, &mut b, &mut frames, &mut received);
                },
            );
        }
    }
    Ok(())
}

fn headers(queue: &mut DpdkQueue, frames: &mut Vec<fourtuple_nic_dpdk::TxMbuf>) {
    for _ in 0..BURST {
        let Some(mut frame) = queue.tx_frame() else { return };
        if let Some(room) = frame.append(54) {
            room.fill(0x42);
        }
        frames.push(frame);
    }
}

fn pass_on(
    from: &mut DpdkQueue,
    to: &mut DpdkQueue,
    frames: &mut Vec<fourtuple_nic_dpdk::TxMbuf>,
    received: &mut Vec<fourtuple_nic_dpdk::Mbuf>,
) {
    from.tx_burst(frames);
    to.rx_burst(received, BURST);
    assert_eq!(received.len(), BURST);
    assert!(received.iter().all(|frame| !frame.bytes().is_empty()));
    received.clear();
}

/// Prints the median cycles a packet of `burst`.
fn report(what: &str, mut burst: impl FnMut()) {
    let mut costs: Vec<u64> = (0..RUNS)
        .map(|_| {
            let began = TscClock::ticks();
            (0..BURSTS).for_each(|_| burst());
            TscClock::ticks() - began
        })
        .collect();
    costs.sort_unstable();
    let packets = (BURST * BURSTS) as f64;
    println!("{:>8.1} {what}", costs[RUNS / 2] as f64 / packets);
}
