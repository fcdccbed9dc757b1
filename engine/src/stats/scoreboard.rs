//! The page at `/`: one row a worker, one character a second of its last minute, then totals and peaks; `/?auto` is the same
//! as `Key: value` lines.
//!
//! The stats thread looks once a second: peaks are those that it saw. Nothing is asked of the workers.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use fourtuple_tcp::State;
use fourtuple_wire::{DropReason, Instant};

use super::published::Block;
use super::snapshot::Snapshot;

/// What was seen in the last minute, and the largest values ever seen.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    workers: Vec<Strip>,
    peaks: [Peak; PEAKS.len()],
}

/// One worker's last minute.
#[derive(Debug, Default)]
struct Strip {
    last: Option<(Instant, u64)>,
    /// Oldest first, at most [`SECONDS`].
    shares: VecDeque<char>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    value: u64,
    at: Duration,
}

impl Scoreboard {
    /// Takes a look; called once a second.
    pub(super) fn sample(&mut self, snapshot: &Snapshot) {
        self.workers.resize_with(snapshot.workers.len(), Strip::default);
        for (strip, block) in self.workers.iter_mut().zip(&snapshot.workers) {
            strip.sample(block);
        }
        for (peak, name) in self.peaks.iter_mut().zip(PEAKS) {
            let value = snapshot.totals.plain(name).unwrap_or(0);
            if value > peak.value {
                *peak = Peak {
                    value,
                    at: snapshot.uptime,
                };
            }
        }
    }

    /// `Key: value` lines.
    pub(super) fn lines(&self, snapshot: &Snapshot) -> String {
        let mut text = String::new();
        self.each(snapshot, |key, value| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{key}: {value}");
        });
        text
    }

    /// The page, which asks for itself again every second.
    pub(super) fn page(&self, snapshot: &Snapshot) -> String {
        let mut rows = String::new();
        self.each(snapshot, |key, value| {
            let _ = writeln!(
                rows,
                "<tr><th>{}</th><td>{}</td></tr>",
                escape(key),
                escape(value)
            );
        });
        format!("{PAGE_HEAD}{rows}{PAGE_FOOT}")
    }

    fn each(&self, snapshot: &Snapshot, mut row: impl FnMut(&str, &str)) {
        let facts = &snapshot.facts;
        row("Version", facts.version);
        facts.ports.iter().for_each(|port| row("Port", port));
        row("Addresses", &list(&facts.addresses));
        row("Listening", &list(&facts.listening));
        row("Uptime", &format!("{} s", snapshot.uptime.as_secs()));
        row("State", if facts.draining { "draining" } else { "serving" });
        for (number, silence) in snapshot.silence.iter().enumerate() {
            let strip: String = self
                .workers
                .get(number)
                .map_or_else(String::new, |strip| strip.shares.iter().collect());
            row(&format!("Worker {number}"), &format!("{strip:.>SECONDS$}"));
            if *silence > STALLED {
                row(
                    &format!("Worker {number} last turned"),
                    &format!("{} s ago", silence.as_secs()),
                );
            }
        }
        for (peak, name) in self.peaks.iter().zip(PEAKS) {
            row(
                &format!("Peak {name}"),
                &format!("{} at {} s", peak.value, peak.at.as_secs()),
            );
        }
        for (metric, value) in snapshot.totals.each_plain() {
            row(metric.name, &value.to_string());
        }
        for state in State::ALL.iter() {
            row(
                &format!("state {}", state.name()),
                &snapshot.totals.in_state(*state).to_string(),
            );
        }
        for reason in DropReason::ALL {
            row(
                &format!("dropped {}", reason.name()),
                &snapshot.totals.dropped(*reason).to_string(),
            );
        }
    }
}

impl Strip {
    fn sample(&mut self, block: &Block) {
        let now = (block.turned_at(), block.plain("busy_ns").unwrap_or(0));
        if let Some(last) = self.last {
            let span = u64::try_from(now.0.since(last.0).as_nanos()).unwrap_or(u64::MAX);
            let busy = now.1.saturating_sub(last.1);
            self.shares.push_back(share(busy, span));
            if self.shares.len() > SECONDS {
                self.shares.pop_front();
            }
        }
        self.last = Some(now);
    }
}

/// `_` for an idle second, a digit for the tenths that were busy, `#` for more than nine; `!` when no turn was published.
fn share(busy: u64, span: u64) -> char {
    match busy.saturating_mul(10).checked_div(span) {
        None => '!',
        Some(0) if busy == 0 => '_',
        Some(tenths @ 0..=8) => char::from_digit(tenths as u32 + 1, 10).unwrap_or('#'),
        Some(_) => '#',
    }
}

fn list(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Seconds of a strip.
const SECONDS: usize = 60;
/// Longer than a sleeping worker stays away.
const STALLED: Duration = Duration::from_secs(1);
/// Sums over all workers whose largest value is kept.
const PEAKS: [&str; 4] = ["connections", "syn_queue", "accept_queue", "lent_chunks"];

const PAGE_HEAD: &str =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"1\">
<title>fourtuple</title>
<style>body{font-family:monospace}th{text-align:left;font-weight:normal;padding-right:2em}</style>
<p>One character a second, the newest last: _ idle, 1 to 9 tenths busy and more, # busy throughout, ! no turn.
Machines read <a href=\"/metrics\">/metrics</a> and <a href=\"/api/v1/stats\">/api/v1/stats</a>.</p>
<table>
";
const PAGE_FOOT: &str = "</table></html>\n";

#[cfg(all(test, not(loom)))]
mod tests {
    use fourtuple_nic::PortStats;

    use std::slice::from_ref;

    use super::super::snapshot::tests::{facts, snapshot};
    use super::super::{Counters, published};
    use super::*;

    #[test]
    fn a_second_is_one_character() {
        let second = 1_000_000_000;
        let cases = [
            (0, second, '_', "idle"),
            (1, second, '1', "a nanosecond is not nothing"),
            (second / 10, second, '2', "a tenth and more"),
            (second / 2, second, '6', "half"),
            (second * 8 / 10, second, '9', "eight tenths"),
            (second * 9 / 10, second, '#', "nine tenths"),
            (second, second, '#', "all"),
            (0, 0, '!', "no turn"),
        ];
        for (busy, span, expected, why) in cases {
            assert_eq!(share(busy, span), expected, "{why}");
        }
    }

    #[test]
    fn the_last_minute_is_kept_and_the_peaks_with_their_time() {
        let (mut publisher, reader) = published(1);
        let mut board = Scoreboard::default();
        let mut counters = Counters::default();
        for second in 0..=70u64 {
            counters.busy_ns += if second > 65 { 1_000_000_000 } else { 0 };
            counters.connections = if second == 20 { 500 } else { 3 };
            publisher.publish(
                &counters,
                &[PortStats::default()],
                Instant::from_millis(second * 1_000),
            );
            let now = Instant::from_millis(second * 1_000);
            board.sample(&Snapshot::take(facts(), from_ref(&reader), Instant::ZERO, now));
        }
        let lines = board.lines(&Snapshot::take(
            facts(),
            &[reader],
            Instant::ZERO,
            Instant::from_millis(72_000),
        ));
        let strip = format!("Worker 0: {}{}", "_".repeat(55), "#".repeat(5));
        for line in [
            strip.as_str(),
            "Peak connections: 500 at 20 s",
            "connections: 3",
            "Worker 0 last turned: 2 s ago",
        ] {
            assert!(
                lines.lines().any(|found| found == line),
                "{line}\nis not in\n{lines}"
            );
        }
    }

    #[test]
    fn the_page_holds_what_the_lines_hold_and_no_foreign_markup() {
        let mut snapshot = snapshot();
        snapshot.facts.ports = vec!["<script>".into()];
        let board = Scoreboard::default();
        let page = board.page(&snapshot);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
        assert_eq!(
            page.matches("<tr>").count(),
            board.lines(&snapshot).lines().count()
        );
    }
}
