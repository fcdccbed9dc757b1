//! Forward RTO-recovery (RFC 5682 §2.1, §3.1): whether a timeout was spurious, told by what is acknowledged after it.
//!
//! Octets that were not sent again since and are acknowledged, or SACKed, were not lost, and the timer was too early. When
//! the first ACK tells of none, two new segments are sent instead of lost ones: what comes back for those decides.

use fourtuple_wire::SeqNum;

use crate::recovery::{AckNews, Phase};
use crate::tcb::Flags;
use crate::{Buffers, Env, Tcb};

/// Where it stands; with SND.NXT at the timeout, for only what was sent before tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Frto {
    #[default]
    Off,
    /// The first segment was sent again (step 1).
    Waiting(SeqNum),
    /// New segments were let go (step 2b).
    Forward(SeqNum),
}

impl Frto {
    /// SND.NXT at the timeout, while that is undecided.
    pub(crate) const fn sent_before(self) -> Option<SeqNum> {
        match self {
            Self::Off => None,
            Self::Waiting(nxt) | Self::Forward(nxt) => Some(nxt),
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// New text goes first, and nothing is sent again (step 2b).
    pub(crate) fn goes_forward(&self, env: &Env<'_, B>) -> bool {
        self.recovery.phase == Phase::Loss
            && env
                .pools
                .flights
                .piece(self.flight)
                .is_some_and(|flight| matches!(flight.frto, Frto::Forward(_)))
    }

    /// An ACK after a timeout. True when that was spurious, and is undone.
    pub(crate) fn check_timeout(&mut self, news: &AckNews, env: &mut Env<'_, B>) -> bool {
        let usable = self.snd.wnd.saturating_sub(self.snd.flight());
        let may_go_on = self.has_unsent() && usable > 0;
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return false;
        };
        // What says nothing of the flight, as the peer's text, decides nothing.
        let decides = news.acked > 0 || news.sacked > 0 || news.repeats;
        if flight.frto == Frto::Off || !decides {
            return false;
        }
        // Without SACK an ACK that covers what was sent again may be no more than that filling a hole (§2.1, step 2).
        let original = news.original && (self.flags.contains(Flags::SACK) || !news.again);
        if original {
            // §3.1, step 3b.
            self.undo(env);
            return true;
        }
        flight.frto = match flight.frto {
            // §2.1 step 2b: new text, if there is any that may go.
            Frto::Waiting(nxt) if news.acked > 0 && may_go_on => {
                self.debts.remove(crate::tcb::Debts::RETRANSMIT);
                Frto::Forward(nxt)
            }
            // Steps 2a and 3a: the loss was real.
            Frto::Waiting(_) | Frto::Forward(_) | Frto::Off => Frto::Off,
        };
        false
    }
}
