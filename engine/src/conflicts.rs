//! Tells the log when another station uses an address of the engine. For the control thread.

use std::time::{Duration, Instant};

use crate::watch::Watch;

/// Between two lines about it.
const EVERY: Duration = Duration::from_secs(60);

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    told: u64,
    told_at: Option<Instant>,
}

impl Conflicts {
    /// Looks at the workers' numbers, and logs what is new.
    pub(crate) fn look(&mut self, watch: &Watch) {
        let blocks = watch.readers.iter().map(crate::stats::Reader::read);
        let claims = blocks.filter_map(|block| block.plain("address_conflicts")).sum();
        if self.is_news(claims, Instant::now()) {
            tracing::warn!(
                claims,
                addresses = ?watch.addresses,
                "another station uses an address of this engine: give each its own"
            );
        }
    }

    fn is_news(&mut self, claims: u64, now: Instant) -> bool {
        let silent = self.told_at.is_some_and(|before| now < before + EVERY);
        if claims <= self.told || silent {
            return false;
        }
        (self.told, self.told_at) = (claims, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_again_while_it_goes_on() {
        let mut conflicts = Conflicts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let told = [(0, 0), (1, 1), (5, 2), (5, 90), (5, 200), (6, 201)];
        let told = told.map(|(claims, seconds)| conflicts.is_news(claims, at(seconds)));
        assert_eq!(told, [false, true, false, true, false, true]);
    }
}
