//! What the packet path costs, in cycles a packet: `cargo run --release -p fourtuple-nic-dpdk --example cycles`.
//!
//! One thread does both ends of a ring port, so this is the cost of the code, not of two cores talking. Each figure is the
//! least and the median of many runs; on a shared machine trust their ratios.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use fourtuple_nic::{Queue, Shared, TxFrame};
use fourtuple_nic_dpdk::{DpdkQueue, Eal, EalOptions, Mbuf, PortOptions, SharedMbuf, TscClock, TxMbuf};

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
    println!("{}, huge pages: {}", eal.version(), eal.on_huge_pages());
    println!("   least  median  cycles a packet");
    let mut link = Link::new(&eal, None)?;
    link.buffers();
    link.bursts();
    link.gauges();
    for (copied_at_most, how) in [(0, "attached"), (u16::MAX, "copied")] {
        let mut link = Link::new(&eal, Some(copied_at_most))?;
        for len in [64, 256, 512, 1024, 1448] {
            link.payload(len, how);
        }
    }
    Ok(())
}

/// Both ends of a ring port.
struct Link {
    from: DpdkQueue,
    to: DpdkQueue,
    frames: Vec<TxMbuf>,
    received: Vec<Mbuf>,
}

impl Link {
    fn new(eal: &Eal, copied_at_most: Option<u16>) -> Result<Self, Box<dyn std::error::Error>> {
        let (mut a, mut b) = eal.ring_pair(
            1,
            &PortOptions {
                copied_at_most,
                ..PortOptions::default()
            },
        )?;
        let (from, to) = (a.take_queues().remove(0), b.take_queues().remove(0));
        Ok(Self {
            from,
            to,
            frames: Vec::with_capacity(BURST),
            received: Vec::with_capacity(BURST),
        })
    }

    fn buffers(&mut self) {
        report("buffer for a header taken and dropped", || {
            whole(|| {
                self.frames.extend((0..BURST).map_while(|_| self.from.tx_frame()));
                self.frames.clear();
            })
        });
        report("buffer for payload taken and dropped", || {
            whole(|| {
                self.received.extend((0..BURST).map_while(|_| self.from.blank()));
                self.received.clear();
            })
        });
        report("1400 bytes copied into a payload buffer, dropped", || {
            whole(|| (0..BURST).for_each(|_| drop(self.from.share_copy(&[1; 1400]))))
        });
        let Some(payload) = self.from.share_copy(&[1; 1400]) else {
            return;
        };
        report("payload sliced, dropped", || {
            whole(|| (0..BURST).for_each(|_| drop(std::hint::black_box(payload.slice(1..2)))))
        });
    }

    fn gauges(&self) {
        let pool = || (0..BURST).for_each(|_| _ = std::hint::black_box(self.from.pool()));
        report("pool() asked once", || whole(pool));
        let stats = || (0..BURST).for_each(|_| _ = std::hint::black_box(self.from.stats()));
        report("stats() asked once", || whole(stats));
    }

    fn bursts(&mut self) {
        report("tx_burst + rx_burst, nothing else", || {
            headers(&mut self.from, &mut self.frames);
            let began = TscClock::ticks();
            self.pass();
            let took = TscClock::ticks() - began;
            self.received.clear();
            took
        });
        report("54-byte frames made, sent, received, dropped", || {
            whole(|| {
                headers(&mut self.from, &mut self.frames);
                self.pass();
                self.received.clear();
            })
        });
    }

    fn payload(&mut self, len: usize, how: &str) {
        let Some(payload) = self.from.share_copy(&[7; 1448]).map(|whole| whole.slice(0..len)) else {
            return;
        };
        report(&format!("54 + {len} bytes {how}: made"), || {
            let began = TscClock::ticks();
            self.make(&payload);
            let took = TscClock::ticks() - began;
            self.frames.clear();
            took
        });
        report(
            &format!("54 + {len} bytes {how}: made, sent, received, dropped"),
            || {
                whole(|| {
                    self.make(&payload);
                    self.pass();
                    self.received.clear();
                })
            },
        );
    }

    fn make(&mut self, payload: &SharedMbuf) {
        headers(&mut self.from, &mut self.frames);
        for frame in &mut self.frames {
            assert!(frame.attach(payload));
        }
    }

    fn pass(&mut self) {
        self.from.tx_burst(&mut self.frames);
        self.to.rx_burst(&mut self.received, BURST);
        assert_eq!(self.received.len(), BURST);
    }
}

fn headers(queue: &mut DpdkQueue, frames: &mut Vec<TxMbuf>) {
    for _ in 0..BURST {
        let Some(mut frame) = queue.tx_frame() else { return };
        if let Some(room) = frame.append(54) {
            room.fill(0x42);
        }
        frames.push(frame);
    }
}

/// Ticks that `work` takes.
fn whole(work: impl FnOnce()) -> u64 {
    let began = TscClock::ticks();
    work();
    TscClock::ticks() - began
}

/// Prints the cycles a packet that `burst` tells.
fn report(what: &str, mut burst: impl FnMut() -> u64) {
    let mut runs: Vec<u64> = (0..RUNS).map(|_| (0..BURSTS).map(|_| burst()).sum()).collect();
    runs.sort_unstable();
    let each = |run: u64| run as f64 / (BURST * BURSTS) as f64;
    println!("{:>8.1}{:>8.1}  {what}", each(runs[0]), each(runs[RUNS / 2]));
}
