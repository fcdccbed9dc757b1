//! The line that tells how a run goes, on stderr when that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use fourtuple::Engine;
use fourtuple::attach::PortQueue;
use fourtuple_loadgen::{Limit, Plan, Progress, Stage, Watch};

use crate::signals::Signals;
use crate::units::scaled;

/// Looks on for people, and for the server's cost.
pub(crate) struct Watcher<'a> {
    signals: Signals,
    limit: Limit,
    connections: u32,
    server: Option<&'a Engine<PortQueue>>,
    live: bool,
    shown: bool,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(signals: Signals, plan: &Plan, server: Option<&'a Engine<PortQueue>>) -> Self {
        let live = std::io::stderr().is_terminal();
        Self {
            signals,
            limit: plan.limit,
            connections: plan.connections,
            server,
            live,
            shown: false,
        }
    }
}

impl Watch for Watcher<'_> {
    fn on_progress(&mut self, progress: &Progress) {
        if self.live {
            self.shown = true;
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K{}",
                line(progress, self.limit, self.connections)
            );
        }
    }

    fn is_interrupted(&self) -> bool {
        self.signals.came()
    }

    fn server_busy(&self) -> Duration {
        let blocks = self.server.map(Engine::blocks).unwrap_or_default();
        Duration::from_nanos(blocks.iter().filter_map(|block| block.plain("busy_ns")).sum())
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(progress: &Progress, limit: Limit, connections: u32) -> String {
    let Progress {
        stage,
        elapsed,
        counts,
        operations_per_s,
        open,
    } = progress;
    let seconds = elapsed.as_secs_f64();
    let errors = match counts.errors.sum() {
        0 => String::new(),
        errors => format!("  {errors} errors"),
    };
    match (stage, limit) {
        (Stage::Connecting, _) => format!("connecting  {open} of {connections}{errors}"),
        (Stage::WarmingUp, _) => format!("warming up  {seconds:.1} s  {open} connections{errors}"),
        (Stage::Measuring, Limit::Time(span)) => {
            let rate = scaled(*operations_per_s);
            format!(
                "{seconds:.1} of {:.1} s  {rate}op/s  {open} connections{errors}",
                span.as_secs_f64()
            )
        }
        (Stage::Measuring, Limit::Operations(all)) => {
            let rate = scaled(*operations_per_s);
            format!(
                "{} of {all} operations  {rate}op/s  {open} connections{errors}",
                counts.operations
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_loadgen::Counts;

    use super::*;

    #[test]
    fn the_line_says_what_is_going_on() {
        let mut progress = Progress {
            stage: Stage::Connecting,
            elapsed: Duration::from_millis(1_500),
            counts: Counts {
                operations: 7,
                ..Counts::default()
            },
            operations_per_s: 1.5e6,
            open: 3,
        };
        let limit = Limit::Time(Duration::from_secs(5));
        assert_eq!(line(&progress, limit, 64), "connecting  3 of 64");
        progress.stage = Stage::Measuring;
        assert_eq!(
            line(&progress, limit, 64),
            "1.5 of 5.0 s  1.50 Mop/s  3 connections"
        );
        progress.counts.errors.timeout = 2;
        assert_eq!(
            line(&progress, Limit::Operations(9), 64),
            "7 of 9 operations  1.50 Mop/s  3 connections  2 errors"
        );
    }
}
