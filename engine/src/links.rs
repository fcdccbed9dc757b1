//! Tells the log when a port's link goes or comes. For the control thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::watch::Watch;

/// How often links are looked at.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// The links as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Links {
    looked: Option<Instant>,
    up: BTreeMap<String, bool>,
}

/// What is told of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Down,
    Up,
}

impl Links {
    /// Looks, unless it did so within [`EVERY`], and logs what changed.
    pub(crate) fn look(&mut self, watch: &Watch) {
        let now = Instant::now();
        if self.looked.is_some_and(|before| now < before + EVERY) {
            return;
        }
        self.looked = Some(now);
        for port in (watch.reports)() {
            match self.note(&port.name, port.link.up) {
                Some(Change::Down) => tracing::warn!(port = port.name, "the link is down"),
                Some(Change::Up) => {
                    tracing::warn!(
                        port = port.name,
                        megabits = port.link.megabits,
                        "the link is up again"
                    );
                }
                None => {}
            }
        }
    }

    /// A link that is up from the start is nothing to tell.
    fn note(&mut self, port: &str, up: bool) -> Option<Change> {
        let before = self.up.insert(port.to_owned(), up).unwrap_or(true);
        match (before, up) {
            (true, false) => Some(Change::Down),
            (false, true) => Some(Change::Up),
            (true, true) | (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let mut links = Links::default();
        let told = [true, false, false, true, true].map(|up| links.note("a", up));
        assert_eq!(told, [None, Some(Change::Down), None, Some(Change::Up), None]);
        assert_eq!(links.note("b", false), Some(Change::Down), "down from the start");
    }
}
