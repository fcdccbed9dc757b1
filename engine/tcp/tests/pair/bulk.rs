//! One end sends all it can to the other over a bottleneck with a queue: how much arrives, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fourtuple_tcp::{Path, PoolSizes, Profile};
use fourtuple_wire::{Instant, Received, TcpHeader, Timestamps};

use crate::link::Rng;
use crate::support::{End, SYN, Seg, Setup, seg};

/// What lies between the ends.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    pub rate_bits: u64,
    pub round_trip: Duration,
    pub queue_bytes: u64,
    /// Segments lost of ten thousand, in the direction of the text.
    pub loss: u64,
    /// Segments that a loss takes with it.
    pub burst: u64,
    /// Segments of ten thousand that come later, by so much at most.
    pub reorder: u64,
    pub late: Duration,
    /// From this moment on, for so long, nothing arrives.
    pub blackout: Option<(Duration, Duration)>,
}

impl Default for Bottleneck {
    /// 100 Mb/s, 20 ms, a queue of one bandwidth-delay product, no loss.
    fn default() -> Self {
        Self {
            rate_bits: 100_000_000,
            round_trip: Duration::from_millis(20),
            queue_bytes: 250_000,
            loss: 0,
            burst: 1,
            reorder: 0,
            late: Duration::ZERO,
            blackout: None,
        }
    }
}

/// Headers and link layer of a frame, and what the wire takes between two.
const FRAME_OCTETS: u64 = 40 + 38;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Instant,
    order: u64,
    to: usize,
    index: usize,
}

pub struct Bulk {
    pub ends: [End; 2],
    link: Bottleneck,
    events: BinaryHeap<Reverse<Event>>,
    on_the_way: Vec<Option<(TcpHeader, Vec<u8>)>>,
    free_at: Instant,
    order: u64,
    losing: u64,
    rng: Rng,
    start: Instant,
    pub written: usize,
    pub read: usize,
    pub dropped: u64,
}

impl Bulk {
    pub fn new(link: Bottleneck, seed: u64, change: impl Fn(&mut Profile)) -> Self {
        let mut rng = Rng::new(seed);
        let isn = [rng.next() as u32, rng.next() as u32];
        let sides = [0, 1].map(|side: usize| {
            let mut setup = Setup {
                iss: isn[side],
                irs: isn[1 - side],
                path: Path {
                    receive_mss: 1460,
                    send_mss_limit: 1460,
                    default_mss: 536,
                },
                pools: PoolSizes {
                    send_chunks: 4_096,
                    receive_chunks: 4_096,
                    reassemblies: 4,
                    flights: 4,
                    long_scoreboards: 1,
                    asides: 4,
                },
                peer_syn: seg(SYN).mss(1460),
                ..Setup::default()
            };
            setup.profile = Profile::default().with(|profile| {
                profile.send_buffer = 1 << 20;
                profile.receive_buffer = 1 << 20;
                profile.reassembly_chunks = 2_000;
            });
            change(&mut setup.profile);
            let profile = &setup.profile;
            let mut syn: Seg = setup.peer_syn.clone();
            if profile.sack {
                syn = syn.sack_permitted();
            }
            if profile.window_scaling {
                syn = syn.window_scale(5);
            }
            if profile.timestamps {
                syn.timestamps = Some(Timestamps {
                    value: 7 + setup.start.as_millis() as u32,
                    echo: 0,
                });
            }
            setup.peer_syn = syn;
            setup
        });
        let [active, passive] = sides;
        let ms = link.round_trip.as_millis() as u64;
        let mut ends = [active.established_after(ms), passive.accepted()];
        let start = ends[0].now;
        ends[1].now = start;
        Self {
            ends,
            link,
            events: BinaryHeap::new(),
            on_the_way: Vec::new(),
            free_at: start,
            order: 0,
            losing: 0,
            rng,
            start,
            written: 0,
            read: 0,
            dropped: 0,
        }
    }

    /// Keeps the send queue full (or offers `limit` octets in all) for so long; the octets that arrived.
    pub fn run(&mut self, span: Duration, limit: usize) -> usize {
        let until = self.start + span;
        while self.ends[0].now < until && self.read < limit {
            self.write(limit);
            for side in 0..2 {
                self.transmit(side);
            }
            let mut next = self
                .events
                .peek()
                .map_or(Instant::FAR_FUTURE, |Reverse(event)| event.at);
            for end in &self.ends {
                next = next.min(end.tcb.deadline(end.now));
            }
            assert_ne!(next, Instant::FAR_FUTURE, "nothing moves: {:?}", self.ends[0].tcb);
            let now = next.max(self.ends[0].now);
            self.ends[0].now = now;
            self.ends[1].now = now;
            self.arrivals(now);
            for end in &mut self.ends {
                let told = end.with(|tcb, env| tcb.on_deadline(env));
                assert_eq!(told.ended, None);
            }
        }
        self.read
    }

    fn write(&mut self, limit: usize) {
        let end = &mut self.ends[0];
        loop {
            let len = 8_192.min(limit - self.written);
            if len == 0 || end.tcb.send_room(&end.profile, &end.pools) < len {
                return;
            }
            let bytes: Vec<u8> = (self.written..self.written + len).map(octet).collect();
            if end.try_write(&bytes).is_err() {
                return;
            }
            self.written += len;
        }
    }

    fn transmit(&mut self, side: usize) {
        while let Some(sent) = self.ends[side].poll() {
            let now = self.ends[side].now;
            let octets = FRAME_OCTETS + sent.payload.len() as u64;
            let mut at = now + self.link.round_trip / 2;
            if side == 0 {
                let begins = self.free_at.max(now);
                let backlog = begins.since(now).as_nanos() as u64 * self.link.rate_bits / 8 / 1_000_000_000;
                if self.is_lost(now) || backlog + octets > self.link.queue_bytes {
                    self.dropped += 1;
                    continue;
                }
                let takes = Duration::from_nanos(octets * 8 * 1_000_000_000 / self.link.rate_bits);
                self.free_at = begins + takes;
                at = self.free_at + self.link.round_trip / 2;
                if self.rng.below(10_000) < self.link.reorder {
                    at = at + Duration::from_nanos(self.rng.below(self.link.late.as_nanos() as u64));
                }
            }
            self.order += 1;
            self.on_the_way.push(Some((sent.header, sent.payload)));
            self.events.push(Reverse(Event {
                at,
                order: self.order,
                to: 1 - side,
                index: self.on_the_way.len() - 1,
            }));
        }
    }

    fn is_lost(&mut self, now: Instant) -> bool {
        if let Some((from, span)) = self.link.blackout {
            let since = now.since(self.start);
            if since >= from && since < from + span {
                return true;
            }
        }
        if self.losing > 0 {
            self.losing -= 1;
            return true;
        }
        let lost = self.rng.below(10_000) < self.link.loss;
        if lost {
            self.losing = self.link.burst - 1;
        }
        lost
    }

    fn arrivals(&mut self, now: Instant) {
        while let Some(Reverse(event)) = self.events.peek() {
            if event.at > now {
                return;
            }
            let Some(Reverse(event)) = self.events.pop() else {
                return;
            };
            let Some((header, payload)) = self.on_the_way[event.index].take() else {
                continue;
            };
            let end = &mut self.ends[event.to];
            let arrival = end.arrives_raw(&header, &payload);
            assert_eq!(arrival.ended, None);
            while let Some(frame) = end.with(|tcb, env| tcb.receive(env)) {
                for byte in frame.bytes() {
                    assert_eq!(*byte, octet(self.read), "octet {}", self.read);
                    self.read += 1;
                }
                let space = frame.space();
                end.with(|tcb, env| tcb.release(space, env));
            }
        }
    }
}

fn octet(at: usize) -> u8 {
    ((at * 7) % 253) as u8
}

/// Goodput in kilobits a second over ten virtual seconds, the median of so many seeds.
fn goodput_kbits(link: &Bottleneck, seeds: u64, change: impl Fn(&mut Profile)) -> u64 {
    const SECONDS: u64 = 10;
    let mut figures: Vec<u64> = (1..=seeds)
        .map(|seed| {
            let mut bulk = Bulk::new(link.clone(), seed, &change);
            bulk.run(Duration::from_secs(SECONDS), usize::MAX) as u64 * 8 / 1000 / SECONDS
        })
        .collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn links() -> Vec<(&'static str, Bottleneck, u64)> {
    let table = [
        // What NewReno can have at 1 % is 1.22 · MSS / (RTT · √p): 7 Mb/s.
        ("no loss", 0, 1, 0, 90_000),
        ("0.01 %", 1, 1, 0, 50_000),
        ("0.1 %", 10, 1, 0, 18_000),
        ("1 %", 100, 1, 0, 6_000),
        ("1 % in bursts of 3", 33, 3, 0, 10_000),
        ("5 %", 500, 1, 0, 2_000),
        ("1 % late by up to 10 ms", 0, 1, 100, 40_000),
    ];
    table
        .into_iter()
        .map(|(name, loss, burst, reorder, least)| {
            let link = Bottleneck {
                loss,
                burst,
                reorder,
                late: Duration::from_millis(10),
                ..Bottleneck::default()
            };
            (name, link, least)
        })
        .collect()
}

/// More seeds for figures: `BULK_SEEDS=9 cargo nextest run -p fourtuple-tcp --test pair congestion_window_allows --no-capture`.
#[test]
#[expect(clippy::print_stdout, reason = "the figures are shown with --no-capture")]
fn loss_and_reordering_leave_what_the_congestion_window_allows() {
    let asked = std::env::var("BULK_SEEDS").ok();
    let seeds = asked.and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    for (name, link, least) in links() {
        let figure = goodput_kbits(&link, seeds, |_| ());
        println!("{name}: {figure} kb/s");
        assert!(figure >= least, "{name}: {figure} kb/s");
    }
}
