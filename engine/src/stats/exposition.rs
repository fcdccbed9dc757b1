//! A snapshot as OpenMetrics text, for Prometheus.
//!
//! Names are `fourtuple_` and the metric's, in base units: what the code counts in nanoseconds is told in seconds, and
//! counters end in `_total`. Labels: `worker` on all that a worker counts, `reason` on drops, `state` on connections by
//! state. There is no label with one value a connection.

use std::fmt;

use fourtuple_tcp::State;
use fourtuple_wire::DropReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::counters::{Kind, Metric, PLAIN};
use super::delays::Delays;
use super::published::{Block, PORT, tcp_metrics};
use super::snapshot::{Snapshot, WAKEUP_DELAY};

/// The media type of [`encode`]'s text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the whole text.
///
/// # Errors
/// Never with a `String`; `fmt` leaves the possibility.
pub(super) fn encode(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("fourtuple");
    registry.register_collector(Box::new(Exposition(snapshot)));
    let mut text = String::with_capacity(64 * 1024);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Exposition(Snapshot);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.engine(&mut encoder)?;
        for (at, metric) in PLAIN.iter().enumerate() {
            let of = |block: &Block| block.each_plain().nth(at).map_or(0, |(_, value)| value);
            self.per_worker(&mut encoder, "", metric, of)?;
        }
        for (at, metric) in tcp_metrics().iter().enumerate() {
            let of = |block: &Block| block.each_tcp().nth(at).map_or(0, |(_, value)| value);
            self.per_worker(&mut encoder, "tcp_", metric, of)?;
        }
        self.dropped(&mut encoder)?;
        self.by_state(&mut encoder)?;
        self.wakeup_delay(&mut encoder)?;
        let ports: Vec<String> = self.0.facts.ports.iter().map(|port| escape(port)).collect();
        for (at, metric) in PORT.iter().enumerate() {
            let family = Family::of("port_", metric);
            let mut family = family.declare(&mut encoder)?;
            for (number, port) in ports.iter().enumerate() {
                let of_port = self.0.totals.each_of_port(number).nth(at);
                let value = of_port.map_or(0, |(_, value)| value);
                value_of(metric).put(&mut family, &[("port", port.as_str())], value)?;
            }
        }
        self.ports(&mut encoder)
    }
}

impl Exposition {
    fn engine(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot {
            facts,
            uptime,
            silence,
            workers,
            totals: _,
            ports: _,
        } = &self.0;
        let info = Info::new([
            ("version", facts.version.to_owned()),
            ("port", escape(&facts.ports.join(", "))),
        ]);
        info.encode(encoder.encode_descriptor("engine", "What runs here.", None, MetricType::Info)?)?;
        let help = "Time since the engine's start.";
        let metric = encoder.encode_descriptor("uptime", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(uptime.as_secs_f64()).encode(metric)?;
        let metric = encoder.encode_descriptor("workers", "Workers.", None, MetricType::Gauge)?;
        ConstGauge::new(workers.len()).encode(metric)?;
        let help = "1 while the engine takes no new connections.";
        let metric = encoder.encode_descriptor("draining", help, None, MetricType::Gauge)?;
        ConstGauge::new(u32::from(facts.draining)).encode(metric)?;
        let help = "Time since the worker's last published turn.";
        let mut family =
            encoder.encode_descriptor("last_turn_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (number, silence) in silence.iter().enumerate() {
            put(
                &mut family,
                &[("worker", number)],
                &ConstGauge::new(silence.as_secs_f64()),
            )?;
        }
        Ok(())
    }

    /// What the ports tell of themselves.
    fn ports(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ports = || self.0.ports.iter().map(|port| (escape(&port.name), port));
        let help = "1 while the port has a carrier.";
        let mut family = encoder.encode_descriptor("port_link_up", help, None, MetricType::Gauge)?;
        for (name, port) in ports() {
            let up = ConstGauge::new(u32::from(port.link.up));
            put(&mut family, &[("port", name.as_str())], &up)?;
        }
        let help = "Bits a second of the port's link, where somebody knows.";
        let mut family =
            encoder.encode_descriptor("port_link_bits_per_second", help, None, MetricType::Gauge)?;
        for (name, port) in ports() {
            if let Some(megabits) = port.link.megabits {
                let speed = ConstGauge::new(u64::from(megabits) * 1_000_000);
                put(&mut family, &[("port", name.as_str())], &speed)?;
            }
        }
        let help = "What the port's driver counts, by its own names.";
        let mut family = encoder.encode_descriptor("port_xstat", help, None, MetricType::Counter)?;
        for (port_name, port) in ports() {
            for (name, value) in &port.counters {
                let labels = [("port", port_name.as_str()), ("name", &escape(name))];
                put(&mut family, &labels, &ConstCounter::new(*value))?;
            }
        }
        Ok(())
    }

    fn per_worker(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        prefix: &str,
        metric: &Metric,
        of: impl Fn(&Block) -> u64,
    ) -> fmt::Result {
        let family = Family::of(prefix, metric);
        let mut family = family.declare(encoder)?;
        for (number, block) in self.0.workers.iter().enumerate() {
            value_of(metric).put(&mut family, &[("worker", number)], of(block))?;
        }
        Ok(())
    }

    fn dropped(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Packets dropped, by reason.";
        let mut family = encoder.encode_descriptor("dropped", help, None, MetricType::Counter)?;
        for (number, block) in self.0.workers.iter().enumerate() {
            let number = number.to_string();
            for reason in DropReason::ALL {
                let labels = [("worker", number.as_str()), ("reason", reason.name())];
                put(&mut family, &labels, &ConstCounter::new(block.dropped(*reason)))?;
            }
        }
        Ok(())
    }

    fn by_state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections, by TCP state.";
        let mut family = encoder.encode_descriptor("connections_by_state", help, None, MetricType::Gauge)?;
        for (number, block) in self.0.workers.iter().enumerate() {
            let number = number.to_string();
            for state in State::ALL.iter() {
                let labels = [("worker", number.as_str()), ("state", state.name())];
                put(&mut family, &labels, &ConstGauge::new(block.in_state(*state)))?;
            }
        }
        Ok(())
    }

    fn wakeup_delay(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = WAKEUP_DELAY.meaning;
        let mut family = encoder.encode_descriptor(
            "worker_wakeup_delay",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (number, block) in self.0.workers.iter().enumerate() {
            let delays = block.wakeup_delay();
            let bounds = Delays::bounds().map(seconds).chain([f64::MAX]);
            let buckets: Vec<_> = bounds.zip(delays.buckets().iter().copied()).collect();
            family
                .encode_family(&[("worker", number)])?
                .encode_histogram::<NoLabelSet>(seconds(delays.sum_ns()), delays.total(), &buckets, None)?;
        }
        Ok(())
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn put(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(family.encode_family(labels)?)
}

/// A label's value as OpenMetrics wants it between quotes. prometheus-client 0.24 writes values as they are; the test below
/// tells when a later one escapes by itself.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Name, meaning, unit and type as they are declared.
struct Family<'a> {
    name: String,
    help: &'a str,
    unit: Option<Unit>,
    kind: MetricType,
}

impl<'a> Family<'a> {
    fn of(prefix: &str, metric: &Metric) -> Family<'a>
    where
        'static: 'a,
    {
        let (name, unit) = base_unit(metric.name);
        let kind = match metric.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::Peak => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        Family {
            name: format!("{prefix}{name}"),
            help: metric.meaning,
            unit,
            kind,
        }
    }

    fn declare<'s>(
        &'s self,
        encoder: &'s mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        encoder.encode_descriptor(&self.name, self.help, self.unit.as_ref(), self.kind)
    }
}

/// Name without unit, and the unit that the encoder writes behind it.
fn base_unit(name: &'static str) -> (&'static str, Option<Unit>) {
    if let Some(name) = name.strip_suffix("_ns") {
        (name, Some(Unit::Seconds))
    } else if let Some(name) = name.strip_suffix("_bytes") {
        (name, Some(Unit::Bytes))
    } else {
        (name, None)
    }
}

/// How a number is written.
struct Value {
    counter: bool,
    nanoseconds: bool,
}

fn value_of(metric: &Metric) -> Value {
    Value {
        counter: metric.kind == Kind::Counter,
        nanoseconds: metric.name.ends_with("_ns"),
    }
}

impl Value {
    fn put(&self, family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
        match (self.counter, self.nanoseconds) {
            (true, true) => put(family, labels, &ConstCounter::new(seconds(value))),
            (true, false) => put(family, labels, &ConstCounter::new(value)),
            (false, true) => put(family, labels, &ConstGauge::new(seconds(value))),
            (false, false) => put(family, labels, &ConstGauge::new(value)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::snapshot::tests::snapshot;
    use super::super::{BOUNDS, PORT};
    use super::*;

    #[test]
    fn the_text_is_openmetrics_in_base_units() {
        let text = encode(snapshot()).unwrap();
        let expected = [
            "# TYPE fourtuple_rx_packets counter",
            "# HELP fourtuple_rx_packets Packets received from the port.",
            "fourtuple_rx_packets_total{worker=\"0\"} 10",
            "fourtuple_rx_packets_total{worker=\"1\"} 11",
            "# UNIT fourtuple_busy_seconds seconds",
            "fourtuple_busy_seconds_total{worker=\"0\"} 1.5",
            "fourtuple_rx_bytes_total{worker=\"0\"} 0",
            "# TYPE fourtuple_longest_turn_seconds gauge",
            "fourtuple_dropped_total{worker=\"1\",reason=\"group_destination\"} 1",
            "fourtuple_connections_by_state{worker=\"0\",state=\"established\"} 1",
            "fourtuple_port_rx_missed_total{port=\"mem:\\\"a\\\\b\\\"\"} 4",
            "fourtuple_port_link_up{port=\"mem:\\\"a\\\\b\\\"\"} 1",
            "fourtuple_port_link_bits_per_second{port=\"mem:\\\"a\\\\b\\\"\"} 10000000000",
            "fourtuple_port_xstat_total{port=\"mem:\\\"a\\\\b\\\"\",name=\"rx_q0_packets\"} 21",
            "fourtuple_port_rx_missed_total{port=\"mem:c\"} 3",
            "fourtuple_last_turn_age_seconds{worker=\"0\"} 1.5",
            "# TYPE fourtuple_worker_wakeup_delay_seconds histogram",
            "fourtuple_worker_wakeup_delay_seconds_bucket{le=\"0.000001024\",worker=\"0\"} 0",
            "fourtuple_worker_wakeup_delay_seconds_bucket{le=\"0.000002048\",worker=\"0\"} 1",
            "fourtuple_worker_wakeup_delay_seconds_bucket{le=\"+Inf\",worker=\"1\"} 2",
            "fourtuple_worker_wakeup_delay_seconds_count{worker=\"1\"} 2",
            "fourtuple_uptime_seconds 3.0",
            "fourtuple_workers 2",
            "fourtuple_draining 0",
            "fourtuple_engine_info{version=\"1.2.3\",port=\"mem:\\\"a\\\\b\\\", mem:c\"} 1",
        ];
        for line in expected {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nis not in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_family_is_declared_once_and_every_number_is_there() {
        let text = encode(snapshot()).unwrap();
        let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let declared = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), declared);
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        let of_worker = PLAIN.len() + tcp_metrics().len() + DropReason::ALL.len() + State::ALL.len() + 1;
        // Buckets, the one without bound, sum and count.
        let of_worker = of_worker + BOUNDS + 3;
        let of_ports = 2 + 2;
        assert_eq!(samples, 4 + 2 * of_worker + 2 * PORT.len() + of_ports);
        assert!(!text.contains("_ns"), "seconds are the base unit");
    }
}
