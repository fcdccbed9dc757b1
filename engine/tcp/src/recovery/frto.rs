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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::undo::Undo;
    use crate::tcb::Debts;
    use crate::testing::Bench;

    const UNA: SeqNum = SeqNum(u32::MAX - 1_500);
    const NXT: SeqNum = SeqNum(4_499);

    /// Six segments are outstanding, so many octets are queued, and the timer ran out.
    fn timed_out(queued: u32) -> Bench {
        let mut bench = Bench::established(UNA).queued(queued, 6_000).with_flight();
        assert_eq!(bench.tcb.snd.nxt, NXT);
        bench.tcb.recovery.phase = Phase::Loss;
        bench.tcb.recovery.recover = NXT;
        bench.tcb.debts.insert(Debts::RETRANSMIT);
        set(&mut bench, Frto::Waiting(NXT));
        bench
    }

    fn set(bench: &mut Bench, frto: Frto) {
        let flight = bench.pools.flights.piece_mut(bench.tcb.flight).unwrap();
        (flight.frto, flight.undo) = (frto, Undo::none().begin(6_000, 6_000, UNA));
    }

    /// Where it stands after an ACK.
    fn after(bench: &mut Bench, news: &AckNews) -> (bool, Frto) {
        let spurious = bench.with(|tcb, env| tcb.check_timeout(news, env));
        (
            spurious,
            bench.pools.flights.piece(bench.tcb.flight).unwrap().frto,
        )
    }

    #[test]
    fn it_knows_what_was_sent_before_the_timeout_while_that_is_undecided() {
        assert_eq!(Frto::Off.sent_before(), None);
        assert_eq!(Frto::Waiting(NXT).sent_before(), Some(NXT));
        assert_eq!(Frto::Forward(NXT).sent_before(), Some(NXT));
    }

    // proves: RFC 5682 §2.1 (steps 2 and 3)
    #[test]
    fn an_ack_that_advances_lets_new_text_go_and_any_other_of_the_flight_decides() {
        let (waiting, forward) = (Frto::Waiting(NXT), Frto::Forward(NXT));
        for (acked, sacked, repeats, before, then) in [
            (0, 0, false, waiting, waiting),
            (1_000, 0, false, waiting, forward),
            (0, 1_000, false, waiting, Frto::Off),
            (0, 0, true, waiting, Frto::Off),
            (1_000, 1_000, false, waiting, forward),
            (0, 0, false, forward, forward),
            (1_000, 0, false, forward, Frto::Off),
            (0, 0, true, forward, Frto::Off),
        ] {
            let mut bench = timed_out(10_000);
            set(&mut bench, before);
            let news = AckNews {
                acked,
                sacked,
                repeats,
                ..AckNews::default()
            };
            assert_eq!(
                after(&mut bench, &news),
                (false, then),
                "{acked} {sacked} {repeats}"
            );
            let goes_forward = before == waiting && then == forward;
            assert_eq!(bench.tcb.debts.contains(Debts::RETRANSMIT), !goes_forward);
        }
    }

    // proves: RFC 5682 §2.1 (step 2b needs new text that may go)
    #[test]
    fn without_new_text_or_room_for_it_the_timeout_counts_as_real() {
        let news = AckNews {
            acked: 1_000,
            ..AckNews::default()
        };
        for (queued, window, then) in [
            (10_000, 6_001, Frto::Forward(NXT)),
            (10_000, 6_000, Frto::Off),
            (10_000, 5_000, Frto::Off),
            (6_000, 60_000, Frto::Off),
        ] {
            let mut bench = timed_out(queued);
            bench.tcb.snd.wnd = window;
            assert_eq!(after(&mut bench, &news), (false, then), "{queued} {window}");
        }
    }

    // proves: RFC 5682 §3.1 (step 3b)
    #[test]
    fn what_was_never_sent_again_shows_that_the_timeout_was_spurious() {
        for (sack, again, spurious) in [
            (false, false, true),
            (false, true, false),
            (true, false, true),
            (true, true, true),
        ] {
            let mut bench = timed_out(10_000);
            if sack {
                bench.tcb.flags.insert(Flags::SACK);
            }
            let news = AckNews {
                acked: 1_000,
                original: true,
                again,
                ..AckNews::default()
            };
            assert_eq!(after(&mut bench, &news).0, spurious, "{sack} {again}");
            assert_eq!(bench.counters.undos, u64::from(spurious));
            let mut decided = timed_out(10_000);
            set(&mut decided, Frto::Off);
            assert_eq!(after(&mut decided, &news), (false, Frto::Off), "it is decided");
            assert_eq!(decided.counters.undos, 0);
        }
    }
}
