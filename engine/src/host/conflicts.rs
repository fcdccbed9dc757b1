//! Another station that uses an address of ours (RFC 5227 §2.4, RFC 4862 §5.4): noticed, counted, and answered once in a while.
//!
//! The engine keeps its addresses, as an operator gave them to it (RFC 5227 §2.4 (c)): it says so to the link, at most once in
//! ten seconds, and the operator is told by the log.

use std::net::IpAddr;
use std::time::Duration;

use fourtuple_wire::Instant;

use super::Host;
use super::answer::Answer;

/// What was noticed so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conflicts {
    count: u64,
    /// When an address may be defended again.
    defend_at: Instant,
}

impl Conflicts {
    /// Claims of others so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl Host {
    /// Somebody else says that `address`, which is ours, is theirs.
    pub(super) fn on_conflict(&mut self, address: IpAddr, now: Instant, out: &mut [u8]) -> Answer {
        self.conflicts.count += 1;
        let mut answer = Answer::refused_claim();
        if now >= self.conflicts.defend_at {
            self.conflicts.defend_at = now + DEFEND_INTERVAL;
            answer.reply_len = self.build_announcement(address, out);
        }
        answer
    }
}

/// RFC 5227 §1.1, DEFEND_INTERVAL.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
