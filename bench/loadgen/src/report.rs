//! The object that `--json` prints, documented in docs/load-json.md. Fields are added under the same version; none changes
//! its meaning.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::plan::{Pattern, Plan};
use crate::recorder::Errors;
use crate::run::Outcome;

/// Name and version of the object.
pub const SCHEMA: &str = "fourtuple.load/1";

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// `rr`, `crr`, `stream`, `hold` or `http`.
    pub pattern: &'static str,
    /// `closed`: an operation starts when the one before it on its connection is done.
    pub mode: &'static str,
    /// Connections at a time that were asked for.
    pub connections: u32,
    /// Measured time in seconds.
    pub duration_s: f64,
    /// Operations done in it.
    pub operations: u64,
    /// And in each second of it.
    pub operations_per_s: f64,
    /// Payload, both ways.
    pub bits_per_s: BitsPerSecond,
    /// Operations that failed, from the first connection on.
    pub errors: Errors,
    /// Latencies of operations in nanoseconds.
    pub latency_ns: Latency,
    /// What became of the connections of `hold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Held>,
    /// The generator itself was as busy as it can be: a faster target would not have shown.
    pub client_limited: bool,
    /// What the run cost the server, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerCost>,
}

/// What became of connections that were to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Connections that were established.
    pub established: u64,
    /// Those of them that ended before the time was over.
    pub lost: u64,
}

/// Payload bits in each second of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BitsPerSecond {
    /// To the target.
    pub sent: f64,
    /// From the target.
    pub received: f64,
}

/// Percentiles in nanoseconds; zeros when nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half were as fast.
    pub p50: u64,
    /// 90 % were.
    pub p90: u64,
    /// 99 % were.
    pub p99: u64,
    /// 99.9 % were.
    #[serde(rename = "p99.9")]
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// What the run cost the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerCost {
    /// Its workers.
    pub workers: u16,
    /// Their busy time in the measured time, by the operations in it.
    pub busy_ns_per_operation: f64,
    /// Bytes reserved at start for tables, records, timers and queues, by the connections that there is room for.
    pub resident_bytes_per_connection: f64,
    /// Connections of both ends that had to be reset at the end, because they did not close in time.
    pub left_connections: u64,
}

impl Report {
    /// Of a run's outcome.
    pub fn new(plan: &Plan, outcome: &Outcome, server: Option<ServerCost>) -> Self {
        let seconds = outcome.measured.as_secs_f64();
        let per_second = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let counts = &outcome.counts;
        Self {
            schema: SCHEMA,
            pattern: plan.pattern.name(),
            mode: "closed",
            connections: plan.connections,
            duration_s: seconds,
            operations: counts.operations,
            operations_per_s: per_second(counts.operations),
            bits_per_s: BitsPerSecond {
                sent: per_second(counts.sent.saturating_mul(8)),
                received: per_second(counts.received.saturating_mul(8)),
            },
            errors: counts.errors,
            latency_ns: Latency::of(&outcome.latency_ns),
            hold: (plan.pattern == Pattern::Hold).then_some(Held {
                established: counts.established,
                lost: counts.lost,
            }),
            client_limited: is_limited(outcome.client_busy, outcome.measured),
            server,
        }
    }

    /// The part of all operations that failed, 0 to 1.
    pub fn error_rate(&self) -> f64 {
        let failed = self.errors.sum();
        let all = failed + self.operations;
        if all == 0 { 0.0 } else { failed as f64 / all as f64 }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let max = histogram.max();
        // A bucket's upper end may lie above the largest value in it.
        let at = |quantile| histogram.value_at_quantile(quantile).min(max);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max,
        }
    }
}

/// The busiest worker of the generator had no more than a twentieth of the measured time to itself.
fn is_limited(busy: Duration, measured: Duration) -> bool {
    !measured.is_zero() && busy.as_secs_f64() > 0.95 * measured.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Counts, histogram};
    use crate::run::Ending;

    fn outcome() -> Outcome {
        let mut latency_ns = histogram();
        (1..=1_000u64).for_each(|micros| latency_ns.saturating_record(micros * 1_000));
        Outcome {
            ending: Ending::Complete,
            measured: Duration::from_secs(2),
            counts: Counts {
                operations: 1_000,
                sent: 64_000,
                received: 128_000,
                errors: Errors {
                    timeout: 10,
                    ..Errors::default()
                },
                ..Counts::default()
            },
            latency_ns,
            client_busy: Duration::from_millis(1_901),
            server_busy: Duration::ZERO,
        }
    }

    fn plan() -> Plan {
        Plan::new(Pattern::RequestResponse, "10.0.0.1:7".parse().unwrap())
    }

    #[test]
    fn the_json_is_the_documented_object() {
        let report = Report::new(&plan(), &outcome(), None);
        let json = serde_json::to_value(&report).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = vec![
            "schema",
            "pattern",
            "mode",
            "connections",
            "duration_s",
            "operations",
            "operations_per_s",
            "bits_per_s",
            "errors",
            "latency_ns",
            "client_limited",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(json["schema"], "fourtuple.load/1");
        assert_eq!(json["operations_per_s"], 500.0);
        assert_eq!(
            json["bits_per_s"],
            serde_json::json!({"sent": 256_000.0, "received": 512_000.0})
        );
        assert_eq!(
            json["errors"],
            serde_json::json!({"connect": 0, "reset": 0, "timeout": 10, "verify": 0})
        );
        assert_eq!(json["client_limited"], true);
        for key in ["p50", "p90", "p99", "p99.9", "max"] {
            assert!(json["latency_ns"][key].is_u64(), "{key}");
        }
        let server = ServerCost {
            workers: 1,
            busy_ns_per_operation: 250.0,
            resident_bytes_per_connection: 300.0,
            left_connections: 2,
        };
        let json = serde_json::to_value(Report::new(&plan(), &outcome(), Some(server))).unwrap();
        assert_eq!(
            json["server"],
            serde_json::json!({"workers": 1, "busy_ns_per_operation": 250.0, "resident_bytes_per_connection": 300.0, "left_connections": 2})
        );
    }

    #[test]
    fn every_key_stands_in_the_documentation() {
        let page = include_str!("../../../docs/load-json.md");
        let server = ServerCost {
            workers: 1,
            busy_ns_per_operation: 0.0,
            resident_bytes_per_connection: 0.0,
            left_connections: 0,
        };
        let held = Plan {
            pattern: Pattern::Hold,
            ..plan()
        };
        let mut outcome = outcome();
        outcome.counts.errors.status = Some(0);
        let json = serde_json::to_value(Report::new(&held, &outcome, Some(server))).unwrap();
        assert!(json["hold"].is_object() && json["errors"]["status"].is_u64());
        fn each(prefix: &str, value: &serde_json::Value, page: &str) {
            for (key, value) in value.as_object().into_iter().flatten() {
                let name = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                assert!(
                    page.contains(&format!("| `{name}` |")),
                    "docs/load-json.md lacks `{name}`"
                );
                each(&name, value, page);
            }
        }
        each("", &json, page);
    }

    #[test]
    fn percentiles_are_in_order_and_no_larger_than_the_largest() {
        let latency = Report::new(&plan(), &outcome(), None).latency_ns;
        let ordered = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        assert!(ordered.is_sorted(), "{ordered:?}");
        assert!((499_000..=501_000).contains(&latency.p50));
    }

    #[test]
    fn the_error_rate_is_of_all_that_was_tried() {
        let mut report = Report::new(&plan(), &outcome(), None);
        assert!((report.error_rate() - 10.0 / 1_010.0).abs() < 1e-12);
        (report.operations, report.errors.timeout) = (0, 0);
        assert_eq!(report.error_rate(), 0.0);
    }
}
