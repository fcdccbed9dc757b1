//! What a call tells the caller: the verdict on a segment, what the application should hear, and how a connection ended.

use std::fmt;
use std::ops::BitOr;

use fourtuple_wire::{DropReason, TcpHeader};

/// What became of an arriving segment, or of a deadline.
#[derive(Clone, Debug)]
#[must_use]
pub struct Arrival {
    /// The segment's verdict; always `Ok` for a deadline.
    pub verdict: Result<(), DropReason>,
    /// What is new for the application.
    pub signals: Signals,
    /// How TCP ended, told once, when it happens.
    pub ended: Option<Ending>,
    /// A RST to be sent at once, or dropped when there is no room.
    pub reply: Option<TcpHeader>,
}

impl Arrival {
    pub(crate) const fn new() -> Self {
        Self {
            verdict: Ok(()),
            signals: Signals(0),
            ended: None,
            reply: None,
        }
    }
}

/// How TCP ended for the application. TIME_WAIT is an end too: nothing more can come of the connection.
// RFC 9293 §3.6, MUST-12: an end in order and an abort are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both ways were closed in order.
    Closed,
    /// Both ways were closed in order, and this end waits for stragglers.
    TimeWait,
    /// The peer reset the connection.
    Reset,
    /// The peer refused it.
    Refused,
    /// The peer made no progress for too long.
    TimedOut,
    /// This end gave it up: data came that nobody was left to read.
    Aborted,
}

/// A set of things that are new for the application.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals(pub(crate) u16);

impl Signals {
    /// The connection reached ESTABLISHED.
    pub const ESTABLISHED: Self = Self(1);
    /// There is payload to be taken.
    pub const READABLE: Self = Self(2);
    /// Room in the send queue was freed.
    pub const WRITABLE: Self = Self(4);
    /// The peer's FIN came in order: end of file behind what is queued.
    pub const PEER_CLOSED: Self = Self(8);
    /// The peer announced urgent data (RFC 9293 §3.8.5, MUST-30, MUST-32).
    pub const URGENT: Self = Self(16);
    /// R1 retransmissions were made without an answer (SHLD-9, MUST-20).
    pub const R1_EXCEEDED: Self = Self(32);
    /// The handshake of a connection that TCP Fast Open let in before is over.
    pub const HANDSHAKE_DONE: Self = Self(64);
    /// An ICMP error said that the peer can't be reached just now (RFC 9293 §3.9.1.8, MUST-47).
    pub const UNREACHABLE: Self = Self(128);

    /// All of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// At least one of `other` is in the set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Nothing but what is in `other`.
    #[inline]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Adds `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes `other` out.
    pub const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Nothing is new.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Signals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "ESTABLISHED",
            "READABLE",
            "WRITABLE",
            "PEER_CLOSED",
            "URGENT",
            "R1_EXCEEDED",
            "HANDSHAKE_DONE",
            "UNREACHABLE",
        ];
        let set = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.debug_set()
            .entries(set.map(|(_, name)| format_args!("{name}").to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_inserted() {
        let mut signals = Signals::default();
        assert!(signals.is_empty());
        signals.insert(Signals::READABLE);
        signals.insert(Signals::URGENT);
        assert!(signals.contains(Signals::READABLE) && !signals.contains(Signals::WRITABLE));
        assert_eq!(format!("{signals:?}"), "{\"READABLE\", \"URGENT\"}");
        signals.remove(Signals::READABLE);
        assert_eq!(signals, Signals::URGENT);
    }

    #[test]
    fn sets_are_told_apart_by_what_is_in_them() {
        let (one, other) = (Signals::READABLE, Signals::WRITABLE);
        let both = one | other;
        assert_eq!(both | one, both);
        for (set, of, all, any, within) in [
            (both, one, true, true, false),
            (one, both, false, true, true),
            (both, both, true, true, true),
            (one, other, false, false, false),
            (Signals::default(), one, false, false, true),
        ] {
            let told = (set.contains(of), set.intersects(of), set.is_within(of));
            assert_eq!(told, (all, any, within), "{set:?} and {of:?}");
            assert_eq!(set.is_empty(), set == Signals::default());
        }
    }
}
