//! The numbers of a whole engine at one moment, and the JSON that `/api/v1/stats` serves.
//!
//! Each worker's block is whole in itself; blocks of different workers are up to a millisecond apart. What stands in the
//! JSON is described in docs/stats.md, which a test holds to the lists of metrics in this crate.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fourtuple_nic::PortReport;
use fourtuple_tcp::State;
use fourtuple_wire::{DropReason, Instant};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::counters::{Kind, Metric};
use super::delays::Delays;
use super::port_range::PortRange;
use super::published::{Block, Reader};

/// Name and version of the JSON. Fields are added under the same version; none changes its meaning.
pub const SCHEMA: &str = "fourtuple.stats/1";

/// The histogram of how late workers woke: `wakeup_delay_ns` in JSON, seconds in the exposition.
pub const WAKEUP_DELAY: Metric = Metric {
    name: "wakeup_delay_ns",
    meaning: "How late sleeping workers woke: behind the end of their time, or behind the ring of whoever woke them.",
    kind: Kind::Histogram,
};

/// What is known of an engine beside its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// Version of the library.
    pub version: &'static str,
    /// What people call each port, as `af_packet:veth0`.
    pub ports: Vec<String>,
    /// The engine's own addresses.
    pub addresses: Vec<IpAddr>,
    /// TCP ports that are listened to.
    pub listening: Vec<PortRange>,
    /// The engine takes no new connections any more.
    pub draining: bool,
}

/// The numbers of an engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// What is known beside the numbers.
    pub facts: Facts,
    /// Time since the engine's start.
    pub uptime: Duration,
    /// Time since each worker's last published turn, in their order.
    pub silence: Vec<Duration>,
    /// The workers' numbers, in their order.
    pub workers: Vec<Block>,
    /// Their sum; of peaks the largest.
    pub totals: Block,
    /// What the ports tell of themselves.
    pub ports: Vec<PortReport>,
}

impl Snapshot {
    /// Reads all workers of an engine that was `started` by the same clock as `now`.
    pub fn take(facts: Facts, readers: &[Reader], started: Instant, now: Instant) -> Self {
        let workers: Vec<Block> = readers.iter().map(Reader::read).collect();
        let mut totals = Block::zero(facts.ports.len());
        workers.iter().for_each(|worker| totals.add(worker));
        let silence = workers
            .iter()
            .map(|worker| now.since(worker.turned_at()))
            .collect();
        Self {
            facts,
            uptime: now.since(started),
            silence,
            workers,
            totals,
            ports: Vec::new(),
        }
    }

    /// The first worker that has not turned within `limit`, and for how long.
    pub fn stalled(&self, limit: Duration) -> Option<(usize, Duration)> {
        self.silence
            .iter()
            .copied()
            .enumerate()
            .find(|(_, silence)| *silence > limit)
    }

    /// One worker as `/api/v1/workers/N` serves it.
    pub fn worker(&self, number: usize) -> Option<impl Serialize + '_> {
        Some(Worker {
            number,
            silence: *self.silence.get(number)?,
            block: self.workers.get(number)?,
        })
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        map.serialize_entry("engine", &Engine(self))?;
        map.serialize_entry("totals", &Numbers(&self.totals))?;
        map.serialize_entry("port", &Named(self.totals.each_port()))?;
        let ports: Vec<_> = (0..self.totals.ports())
            .map(|number| Port(self, number))
            .collect();
        map.serialize_entry("ports", &ports)?;
        let workers: Vec<_> = (0..self.workers.len())
            .filter_map(|number| self.worker(number))
            .collect();
        map.serialize_entry("workers", &workers)?;
        map.end()
    }
}

/// The `engine` object.
struct Engine<'a>(&'a Snapshot);

impl Serialize for Engine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Facts {
            version,
            ports,
            addresses,
            listening,
            draining,
        } = &self.0.facts;
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("version", version)?;
        map.serialize_entry("uptime_s", &self.0.uptime.as_secs_f64())?;
        map.serialize_entry("workers", &self.0.workers.len())?;
        map.serialize_entry("port", &ports.join(", "))?;
        map.serialize_entry("addresses", addresses)?;
        map.serialize_entry("listening", listening)?;
        map.serialize_entry("draining", draining)?;
        map.end()
    }
}

/// An object of the `ports` array.
struct Port<'a>(&'a Snapshot, usize);

impl Serialize for Port<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(snapshot, number) = self;
        let name = snapshot.facts.ports.get(*number);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &name)?;
        for (metric, value) in snapshot.totals.each_of_port(*number) {
            map.serialize_entry(metric.name, &value)?;
        }
        if let Some(report) = snapshot.ports.iter().find(|report| Some(&report.name) == name) {
            map.serialize_entry("link_up", &report.link.up)?;
            map.serialize_entry("link_megabits", &report.link.megabits)?;
            let counters: BTreeMap<&str, u64> = report
                .counters
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            map.serialize_entry("xstats", &counters)?;
        }
        map.end()
    }
}

/// An object of the `workers` array.
struct Worker<'a> {
    number: usize,
    silence: Duration,
    block: &'a Block,
}

impl Serialize for Worker<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("worker", &self.number)?;
        map.serialize_entry("last_turn_age_s", &self.silence.as_secs_f64())?;
        put_numbers(&mut map, self.block)?;
        map.end()
    }
}

/// The `totals` object.
struct Numbers<'a>(&'a Block);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_numbers(&mut map, self.0)?;
        map.end()
    }
}

fn put_numbers<M: SerializeMap>(map: &mut M, block: &Block) -> Result<(), M::Error> {
    for (metric, value) in block.each_plain() {
        map.serialize_entry(metric.name, &value)?;
    }
    let dropped = DropReason::ALL
        .iter()
        .map(|reason| (reason.name(), block.dropped(*reason)));
    map.serialize_entry("dropped", &Named(dropped))?;
    let by_state = State::ALL
        .iter()
        .map(|state| (state.name(), block.in_state(*state)));
    map.serialize_entry("by_state", &Named(by_state))?;
    map.serialize_entry(WAKEUP_DELAY.name, &Histogram(block.wakeup_delay()))?;
    map.serialize_entry("tcp", &Named(block.each_tcp()))
}

/// A histogram as an object: how many, their sum, and how many up to each bound.
struct Histogram(Delays);

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("count", &self.0.total())?;
        map.serialize_entry("sum", &self.0.sum_ns())?;
        map.serialize_entry("up_to", &UpTo(&self.0))?;
        map.end()
    }
}

/// Bounds, and how many lay below them, in the order of the bounds.
struct UpTo<'a>(&'a Delays);

impl Serialize for UpTo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let below = self.0.buckets().iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        serializer.collect_map(Delays::bounds().zip(below))
    }
}

/// An object of names and numbers.
struct Named<I>(I);

impl<N: Name, I: Iterator<Item = (N, u64)> + Clone> Serialize for Named<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone().map(|(name, value)| (name.name(), value)))
    }
}

/// What stands for a number in JSON.
trait Name {
    fn name(&self) -> &'static str;
}

impl Name for &'static str {
    fn name(&self) -> &'static str {
        self
    }
}

impl Name for &'static Metric {
    fn name(&self) -> &'static str {
        self.name
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use fourtuple_nic::{Link, PortStats};
    use serde_json::Value;

    use super::super::{Counters, Kind, PLAIN, PORT, Publisher, published, tcp_metrics};
    use super::*;

    pub(crate) fn facts() -> Facts {
        Facts {
            version: "1.2.3",
            ports: vec!["mem:\"a\\b\"".into(), "mem:c".into()],
            addresses: vec!["10.0.0.2".parse().unwrap(), "fd99::2".parse().unwrap()],
            listening: PortRange::union([7..=7, 80..=80, 7_000..=7_999]),
            draining: false,
        }
    }

    /// Two workers that turned at the second and third second.
    pub(crate) fn readers() -> (Vec<Publisher>, Vec<Reader>) {
        let (mut publishers, readers): (Vec<_>, Vec<_>) = [published(2), published(2)].into_iter().unzip();
        for (number, publisher) in (0..).zip(&mut publishers) {
            let mut counters = Counters {
                rx_packets: 10 + number,
                busy_ns: 1_500_000_000,
                ..Counters::default()
            };
            counters.dropped.count(DropReason::GroupDestination);
            counters.by_state.moved(None, Some(State::Established));
            counters.wakeup_delay.count(2_000);
            counters.wakeup_delay.count(1 << 40);
            counters.consumed = counters.rx_packets - 1;
            let port = PortStats {
                rx_missed: 4,
                ..PortStats::default()
            };
            let other = PortStats {
                rx_missed: 3,
                ..PortStats::default()
            };
            publisher.publish(
                &counters,
                &[port, other],
                Instant::from_millis(2_000 + 1_000 * number),
            );
        }
        (publishers, readers)
    }

    pub(crate) fn snapshot() -> Snapshot {
        let taken = Snapshot::take(
            facts(),
            &readers().1,
            Instant::from_millis(500),
            Instant::from_millis(3_500),
        );
        let port = PortReport {
            name: "mem:\"a\\b\"".to_owned(),
            link: Link {
                up: true,
                megabits: Some(10_000),
            },
            counters: vec![
                ("rx_q0_packets".to_owned(), 21),
                ("rx_missed_errors".to_owned(), 4),
            ],
        };
        Snapshot {
            ports: vec![port],
            ..taken
        }
    }

    #[test]
    fn the_json_holds_every_number_under_its_name() {
        let json: Value = serde_json::from_str(&serde_json::to_string(&snapshot()).unwrap()).unwrap();
        assert_eq!(json["schema"], SCHEMA);
        assert_eq!(json["engine"]["uptime_s"], 3.0);
        assert_eq!(json["engine"]["addresses"][1], "fd99::2");
        assert_eq!(
            json["engine"]["listening"],
            serde_json::json!([7, 80, "7000-7999"])
        );
        assert_eq!(json["engine"]["port"], "mem:\"a\\b\", mem:c");
        assert_eq!(json["totals"]["rx_packets"], 21);
        assert_eq!(
            json["port"]["rx_missed"], 7,
            "summed over ports, not over workers"
        );
        let [first, second] = [0, 1].map(|port| &json["ports"][port]);
        assert_eq!(
            (&first["rx_missed"], &second["rx_missed"]),
            (&4.into(), &3.into())
        );
        assert_eq!(second["name"], "mem:c");
        assert_eq!(
            (&first["link_up"], &first["link_megabits"]),
            (&true.into(), &10_000.into())
        );
        assert_eq!(first["xstats"]["rx_missed_errors"], 4);
        let worker = &json["workers"][1];
        assert_eq!(
            (&worker["worker"], &worker["last_turn_age_s"]),
            (&1.into(), &0.5.into())
        );
        assert_eq!(
            (&worker["rx_packets"], &worker["dropped"]["group_destination"]),
            (&11.into(), &1.into())
        );
        assert_eq!(worker["by_state"][State::Established.name()], 1);
        let delay = &worker["wakeup_delay_ns"];
        let up_to = |bound: &str| delay["up_to"][bound].as_u64();
        assert_eq!(
            (delay["count"].as_u64(), delay["sum"].as_u64()),
            (Some(2), Some((1 << 40) + 2_000))
        );
        assert_eq!(
            (up_to("1024"), up_to("2048"), up_to("1073741824")),
            (Some(0), Some(1), Some(1))
        );
        assert_eq!(json["totals"]["wakeup_delay_ns"]["count"], 4);
        for numbers in [&json["totals"], worker] {
            let plain = PLAIN.iter().map(|metric| &numbers[metric.name]);
            let dropped = DropReason::ALL
                .iter()
                .map(|reason| &numbers["dropped"][reason.name()]);
            let by_state = State::ALL.iter().map(|state| &numbers["by_state"][state.name()]);
            let tcp = tcp_metrics().iter().map(|metric| &numbers["tcp"][metric.name]);
            assert!(plain.chain(dropped).chain(by_state).chain(tcp).all(Value::is_u64));
        }
        assert!(PORT.iter().all(|metric| json["port"][metric.name].is_u64()));
        let alone = serde_json::to_value(snapshot().worker(1).expect("there are two")).unwrap();
        assert_eq!(&alone, worker);
        assert!(snapshot().worker(2).is_none());
    }

    #[test]
    fn no_name_stands_for_two_numbers() {
        let mut names: Vec<_> = PLAIN.iter().map(|metric| metric.name).collect();
        names.extend([
            "worker",
            "last_turn_age_s",
            "dropped",
            "by_state",
            WAKEUP_DELAY.name,
            "tcp",
        ]);
        let len = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), len);
    }

    #[test]
    fn a_worker_that_does_not_turn_is_named() {
        let limit = Duration::from_secs(1);
        assert_eq!(snapshot().stalled(limit), Some((0, Duration::from_millis(1_500))));
        let fresh = Snapshot::take(
            facts(),
            &readers().1,
            Instant::from_millis(500),
            Instant::from_millis(3_000),
        );
        assert_eq!(fresh.stalled(limit), None, "a second is not too long");
    }

    /// The last chapter of docs/stats.md, in the words of the code.
    fn chapter() -> String {
        let table = |title: &str, rows: Vec<[&str; 3]>| {
            let rows = rows
                .iter()
                .map(|[name, kind, meaning]| format!("| `{name}` | {kind} | {meaning} |\n"));
            format!(
                "\n### {title}\n\n| name | kind | meaning |\n|---|---|---|\n{}",
                rows.collect::<String>()
            )
        };
        let metrics = |metrics: &[Metric]| {
            let kind = |kind| match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Peak => "peak",
                Kind::Histogram => "histogram",
            };
            metrics
                .iter()
                .map(|metric| [metric.name, kind(metric.kind), metric.meaning])
                .collect()
        };
        let reasons = DropReason::ALL
            .iter()
            .map(|reason| [reason.name(), "counter", reason.meaning().trim()]);
        let states = State::ALL
            .iter()
            .map(|state| [state.name(), "gauge", "Connections in this state."]);
        [
            table("Of each worker", metrics(PLAIN)),
            table("Of each worker, as a histogram", metrics(&[WAKEUP_DELAY])),
            table(
                "`dropped`: packets by the reason for which they were dropped",
                reasons.collect(),
            ),
            table("`by_state`: connections by TCP state", states.collect()),
            table("`tcp`: what TCP counts", metrics(tcp_metrics())),
            table(
                "`ports`: what each port counts, all its queues together; `port`: their sum",
                metrics(PORT),
            ),
        ]
        .concat()
    }

    #[test]
    fn the_page_describes_every_number() {
        const HEADING: &str = "## The numbers\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/stats.md");
        let page = std::fs::read_to_string(path).expect("docs/stats.md");
        let (text, written) = page.split_once(HEADING).expect("the heading of the last chapter");
        let chapter = chapter();
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{text}{HEADING}{chapter}")).expect("docs/stats.md");
        } else {
            assert!(
                written == chapter,
                "docs/stats.md is not up to date; WRITE_DOCS=1 cargo test -p fourtuple stats:: mends it"
            );
        }
    }
}
