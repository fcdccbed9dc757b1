//! How a worker's numbers leave it: one block under a sequence lock, published between turns, at most once a millisecond (D11).
//!
//! ```text
//!   word 0        1 …            then              then           then           then             then
//!   turned_at     plain fields   dropped           by_state       wakeup_delay   tcp              each port
//!                 (PLAIN)        (DropReason::ALL) (State::ALL)   (delays.rs)    (tcp_metrics())  (PORT, …)
//! ```
//!
//! Publishing is wait-free and allocates nothing; the worker does not notice who reads. What holds between the numbers of a
//! worker between two turns (packets in = Σ verdicts) holds within a block.

use std::sync::{Arc, OnceLock};

use fourtuple_nic::PortStats;
use fourtuple_tcp::{State, TcpCounters};
use fourtuple_wire::{DropReason, Instant};

use super::counters::{Counters, Kind, Metric, PLAIN};
use super::delays::{self, Delays};
use super::sequence_lock::{SequenceLock, Words};

/// A fresh place for the numbers of one worker of so many ports: the end that writes and one that reads.
pub(crate) fn published(ports: usize) -> (Publisher, Reader) {
    let lock = Arc::new(SequenceLock::new(Layout::of_block().len(ports)));
    (
        Publisher {
            lock: Arc::clone(&lock),
        },
        Reader { lock },
    )
}

/// The worker's end. There is one for each block.
#[derive(Debug)]
pub(crate) struct Publisher {
    lock: Arc<SequenceLock>,
}

impl Publisher {
    /// Publishes the numbers as they stand after the turn at `now`, with those of each port. Wait-free.
    pub(crate) fn publish(&mut self, counters: &Counters, ports: &[PortStats], now: Instant) {
        self.lock.write(|words| put(words, counters, ports, now));
    }
}

fn put(words: &mut Words<'_>, counters: &Counters, ports: &[PortStats], now: Instant) {
    words.put(now.as_nanos());
    words.put_all(&counters.plain());
    words.put_all(counters.dropped.as_slice());
    words.put_all(counters.by_state.as_slice());
    words.put_all(&counters.wakeup_delay.words());
    counters.tcp.each(|_, _, value| words.put(value));
    ports.iter().for_each(|port| words.put_all(&port_values(port)));
}

/// The end that reads.
#[derive(Clone, Debug)]
pub struct Reader {
    lock: Arc<SequenceLock>,
}

impl Reader {
    /// The latest block.
    pub fn read(&self) -> Block {
        let mut values = vec![0; self.lock.len()].into_boxed_slice();
        self.lock.read(&mut values);
        Block { values }
    }
}

/// One worker's numbers between two turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    values: Box<[u64]>,
}

impl Block {
    /// All numbers zero: the start of a sum over workers of so many ports.
    pub fn zero(ports: usize) -> Self {
        Self {
            values: vec![0; Layout::of_block().len(ports)].into(),
        }
    }

    /// When the worker last turned, by the engine's clock; zero before its first turn.
    pub fn turned_at(&self) -> Instant {
        Instant::from_nanos(self.values[0])
    }

    /// A plain field by its name in [`PLAIN`].
    pub fn plain(&self, name: &str) -> Option<u64> {
        let at = PLAIN.iter().position(|metric| metric.name == name)?;
        Some(self.part(Part::Plain)[at])
    }

    /// Packets dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.part(Part::Dropped)[reason as usize]
    }

    /// Connections in this state.
    pub fn in_state(&self, state: State) -> u64 {
        self.part(Part::ByState)[state as usize]
    }

    /// How late the worker woke.
    pub fn wakeup_delay(&self) -> Delays {
        Delays::from_words(self.part(Part::WakeupDelay))
    }

    /// What TCP counted under this name.
    pub fn tcp(&self, name: &str) -> Option<u64> {
        let at = tcp_metrics().iter().position(|metric| metric.name == name)?;
        Some(self.part(Part::Tcp)[at])
    }

    /// The plain fields with their values, in the order of [`PLAIN`].
    pub fn each_plain(&self) -> impl Iterator<Item = (&'static Metric, u64)> + Clone + '_ {
        PLAIN.iter().zip(self.part(Part::Plain).iter().copied())
    }

    /// What TCP counted, with its values.
    pub fn each_tcp(&self) -> impl Iterator<Item = (&'static Metric, u64)> + Clone + '_ {
        tcp_metrics().iter().zip(self.part(Part::Tcp).iter().copied())
    }

    /// How many ports it tells of.
    pub fn ports(&self) -> usize {
        self.part(Part::Ports).len() / PORT.len()
    }

    /// What a port counted, all its queues together, with its values; nothing for a port that there is not.
    pub fn each_of_port(&self, port: usize) -> impl Iterator<Item = (&'static Metric, u64)> + Clone + '_ {
        let values = self.part(Part::Ports).chunks_exact(PORT.len()).nth(port);
        PORT.iter().zip(values.unwrap_or(&[]).iter().copied())
    }

    /// What all ports counted together, with its values.
    pub fn each_port(&self) -> impl Iterator<Item = (&'static Metric, u64)> + Clone + '_ {
        let values = self.part(Part::Ports);
        PORT.iter().enumerate().map(|(at, metric)| {
            let sum = values
                .iter()
                .skip(at)
                .step_by(PORT.len())
                .fold(0, |sum: u64, value| sum.wrapping_add(*value));
            (metric, sum)
        })
    }

    /// Adds another worker's numbers: counters and gauges by sum, peaks by the larger one.
    ///
    /// What ports counted is the same for all workers and is not summed: the later block's stands.
    pub fn add(&mut self, other: &Self) {
        let later = other.turned_at() > self.turned_at();
        let layout = Layout::of_block();
        for (at, (sum, value)) in self.values.iter_mut().zip(&other.values).enumerate() {
            *sum = match () {
                () if at == 0 => (*sum).max(*value),
                () if at >= layout.ports && !later => *sum,
                () if at >= layout.ports => *value,
                () if PLAIN.get(at - 1).is_some_and(|metric| metric.kind == Kind::Peak) => (*sum).max(*value),
                () => sum.wrapping_add(*value),
            };
        }
    }

    fn part(&self, part: Part) -> &[u64] {
        let Layout {
            dropped,
            by_state,
            wakeup_delay,
            tcp,
            ports,
        } = *Layout::of_block();
        &self.values[match part {
            Part::Plain => 1..dropped,
            Part::Dropped => dropped..by_state,
            Part::ByState => by_state..wakeup_delay,
            Part::WakeupDelay => wakeup_delay..tcp,
            Part::Tcp => tcp..ports,
            Part::Ports => ports..self.values.len(),
        }]
    }
}

#[derive(Clone, Copy)]
enum Part {
    Plain,
    Dropped,
    ByState,
    WakeupDelay,
    Tcp,
    Ports,
}

/// Where the parts of a block start.
struct Layout {
    dropped: usize,
    by_state: usize,
    wakeup_delay: usize,
    tcp: usize,
    ports: usize,
}

impl Layout {
    fn of_block() -> &'static Self {
        static LAYOUT: OnceLock<Layout> = OnceLock::new();
        LAYOUT.get_or_init(|| {
            let dropped = 1 + PLAIN.len();
            let by_state = dropped + DropReason::ALL.len();
            let wakeup_delay = by_state + State::ALL.len();
            let tcp = wakeup_delay + delays::WORDS;
            let ports = tcp + tcp_metrics().len();
            Layout {
                dropped,
                by_state,
                wakeup_delay,
                tcp,
                ports,
            }
        })
    }

    /// Words of a block with so many ports.
    fn len(&self, ports: usize) -> usize {
        self.ports + ports * PORT.len()
    }
}

/// What TCP counts: names and meanings, in the order of [`TcpCounters::each`].
pub fn tcp_metrics() -> &'static [Metric] {
    static METRICS: OnceLock<Vec<Metric>> = OnceLock::new();
    METRICS.get_or_init(|| {
        let mut metrics = Vec::new();
        TcpCounters::default().each(|name, meaning, _| {
            metrics.push(Metric {
                name,
                meaning: meaning.trim_ascii(),
                kind: Kind::Counter,
            })
        });
        metrics
    })
}

macro_rules! port_metrics {
    ($($field:ident: $meaning:literal,)+) => {
        /// What a port counts: names and meanings.
        pub const PORT: &[Metric] =
            &[$(Metric { name: stringify!($field), meaning: $meaning, kind: Kind::Counter },)+];

        fn port_values(stats: &PortStats) -> [u64; PORT.len()] {
            let PortStats { $($field,)+ } = *stats;
            [$($field,)+]
        }
    };
}

port_metrics! {
    rx_packets: "Frames received.",
    tx_packets: "Frames sent.",
    rx_bytes: "Bytes received.",
    tx_bytes: "Bytes sent.",
    rx_missed: "Frames that the port dropped because no descriptor was free.",
    rx_errors: "Frames received with an error of layer 1 or 2.",
    tx_errors: "Frames that could not be sent.",
    rx_no_buffer: "Frames that the port could not store because its pool was empty.",
    rx_flattened: "Received frames that were copied: they came as several segments, or in buffers of which their sender has few left.",
    tx_linearised: "Payload bytes copied on sending because the port takes one segment a frame.",
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Numbers that are all different.
    fn counters() -> Counters {
        let mut counters = Counters {
            rx_packets: 50,
            steered_in: 7,
            consumed: 30,
            steered_out: 4,
            ..Counters::default()
        };
        for _ in 0..23 {
            counters.dropped.count(DropReason::NoConnection);
        }
        counters.by_state.moved(None, Some(State::TimeWait));
        counters.wakeup_delay.count(3_000);
        counters.longest_turn_ns = 900;
        counters.reserved_bytes = 77;
        counters
    }

    #[test]
    fn a_block_has_room_for_exactly_what_is_published() {
        for ports in 1..4 {
            let lock = SequenceLock::new(Layout::of_block().len(ports));
            lock.write(|words| {
                let of_ports = vec![PortStats::default(); ports];
                put(words, &Counters::default(), &of_ports, Instant::ZERO);
                assert_eq!(words.left(), 0);
            });
        }
    }

    #[test]
    fn a_block_says_what_the_worker_counted() {
        let (mut publisher, reader) = published(2);
        assert_eq!(reader.read(), Block::zero(2));
        let port = PortStats {
            rx_missed: 5,
            tx_linearised: 6,
            ..PortStats::default()
        };
        let other = PortStats {
            rx_missed: 10,
            ..PortStats::default()
        };
        publisher.publish(&counters(), &[port, other], Instant::from_millis(3));
        let block = reader.clone().read();
        assert_eq!(block.turned_at(), Instant::from_millis(3));
        assert_eq!(block.plain("rx_packets"), Some(50));
        assert_eq!(block.plain("reserved_bytes"), Some(77), "the last of its part");
        assert_eq!(block.plain("nonsense"), None);
        assert_eq!(block.dropped(DropReason::NoConnection), 23);
        assert_eq!(block.dropped(DropReason::Truncated), 0);
        assert_eq!(
            (block.in_state(State::TimeWait), block.in_state(State::Closed)),
            (1, 0)
        );
        assert_eq!(block.wakeup_delay(), counters().wakeup_delay);
        assert_eq!(block.tcp(tcp_metrics()[0].name), Some(0));
        let named = |name| {
            block
                .each_port()
                .find(|(metric, _)| metric.name == name)
                .map(|(_, value)| value)
        };
        assert_eq!((named("rx_missed"), named("tx_linearised")), (Some(15), Some(6)));
        let missed = |port| block.each_of_port(port).map(|(_, value)| value).sum::<u64>();
        assert_eq!((block.ports(), missed(0), missed(1), missed(2)), (2, 11, 10, 0));
        let dropped: u64 = DropReason::ALL.iter().map(|reason| block.dropped(*reason)).sum();
        let of = |name| block.plain(name).unwrap();
        assert_eq!(
            of("rx_packets") + of("steered_in"),
            of("consumed") + of("steered_out") + dropped
        );
    }

    #[test]
    fn blocks_add_up_but_for_peaks_and_what_the_port_counted() {
        let (mut publisher, reader) = published(1);
        let port = |rx_missed| PortStats {
            rx_missed,
            ..PortStats::default()
        };
        publisher.publish(&counters(), &[port(5)], Instant::from_millis(3));
        let (first, mut sum) = (reader.read(), Block::zero(1));
        let other = Counters {
            longest_turn_ns: 800,
            ..counters()
        };
        publisher.publish(&other, &[port(4)], Instant::from_millis(2));
        sum.add(&first);
        sum.add(&reader.read());
        assert_eq!(sum.plain("rx_packets"), Some(100));
        assert_eq!(sum.dropped(DropReason::NoConnection), 46);
        assert_eq!(sum.in_state(State::TimeWait), 2);
        assert_eq!(
            (sum.wakeup_delay().total(), sum.wakeup_delay().sum_ns()),
            (2, 6_000)
        );
        assert_eq!(sum.plain("longest_turn_ns"), Some(900));
        assert_eq!(
            sum.each_port()
                .find(|(metric, _)| metric.name == "rx_missed")
                .map(|(_, value)| value),
            Some(5)
        );
        assert_eq!(sum.turned_at(), Instant::from_millis(3));
    }
}
