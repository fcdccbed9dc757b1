//! The result of a run as people read it.

use fourtuple_loadgen::{Pattern, Plan, Report};

use crate::units::{nanos, scaled};

/// Lines of name and value, and the notes below them.
pub(crate) fn of(plan: &Plan, report: &Report, notes: &[String]) -> String {
    let Report {
        pattern,
        connections,
        duration_s,
        operations,
        operations_per_s,
        bits_per_s,
        errors,
        latency_ns,
        ..
    } = report;
    let mut lines = vec![
        format!(
            "{pattern} to {}, {connections} connections, {}{duration_s:.2} s",
            plan.target,
            sizes(plan)
        ),
        String::new(),
        format!("operations   {operations}   {}op/s", scaled(*operations_per_s)),
        format!(
            "payload      {}bit/s sent   {}bit/s received",
            scaled(bits_per_s.sent),
            scaled(bits_per_s.received)
        ),
        format!(
            "latency      p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
            nanos(latency_ns.p50),
            nanos(latency_ns.p90),
            nanos(latency_ns.p99),
            nanos(latency_ns.p999),
            nanos(latency_ns.max)
        ),
        format!(
            "errors       connect {}   reset {}   timeout {}   verify {}{}",
            errors.connect,
            errors.reset,
            errors.timeout,
            errors.verify,
            errors
                .status
                .map_or_else(String::new, |status| format!("   status {status}"))
        ),
    ];
    if let Some(hold) = &report.hold {
        lines.push(format!(
            "held         established {}   lost {}",
            hold.established, hold.lost
        ));
    }
    if let Some(server) = &report.server {
        let workers = if server.workers == 1 {
            "1 worker"
        } else {
            &format!("{} workers", server.workers)
        };
        lines.push(format!(
            "server       {workers}   {:.0} ns busy an operation   {:.0} bytes a connection",
            server.busy_ns_per_operation, server.resident_bytes_per_connection
        ));
    }
    lines.extend(notes.iter().cloned());
    if report.client_limited {
        lines.push(
            "The generator was the limit: it was busy for more than 95 % of the time. Give it more workers."
                .to_owned(),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Bytes of an operation, where they were chosen.
fn sizes(plan: &Plan) -> String {
    match (plan.size, plan.response, plan.pattern) {
        (_, _, Pattern::Hold) | (0, None, _) => String::new(),
        (0, Some(response), _) => format!("{response} bytes an answer, "),
        (size, None, _) => format!("{size} bytes an operation, "),
        (size, Some(response), _) => format!("{size} and {response} bytes an operation, "),
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_loadgen::{Outcome, ServerCost};

    use super::*;

    #[test]
    fn every_figure_has_its_unit() {
        let plan = Plan::new(Pattern::RequestResponse, "10.99.0.1:7".parse().unwrap());
        let cost = ServerCost {
            workers: 1,
            busy_ns_per_operation: 299.6,
            resident_bytes_per_connection: 420.2,
            left_connections: 0,
        };
        let report = Report::new(&plan, &Outcome::default(), Some(cost));
        let text = of(&plan, &report, &["stats        off".to_owned()]);
        for part in [
            "rr to 10.99.0.1:7, 64 connections",
            "0 op/s",
            "p99.9 0 ns",
            "1 worker   300 ns busy",
            "stats        off\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("limit"));
    }
}
