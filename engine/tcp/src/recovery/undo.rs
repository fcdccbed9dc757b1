//! What was taken for loss and was none: window and threshold are given back.
//!
//! | it was none, for | |
//! |---|---|
//! | the first ACK of what was sent again echoes a timestamp of before | Eifel, RFC 3522, for recoveries and timeouts |
//! | each octet that was sent again was reported as a duplicate | D-SACK, RFC 2883 and RFC 3708 |
//! | octets never sent again are acknowledged after a timeout | F-RTO, RFC 5682 (`frto`) |
//!
//! The answer is RFC 4015's: the threshold is the old window at least, and the window the old one, but no more than what is
//! in the network and an initial window, so that there is no burst.

use fourtuple_wire::{SackBlock, SeqNum};

use crate::recovery::Phase;
use crate::recovery::frto::Frto;
use crate::timers::is_before;
use crate::{Buffers, Env, Tcb};

/// What an episode of recovery can be undone to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    window: u32,
    threshold: u32,
    /// SND.UNA when it began.
    from: SeqNum,
    /// D-SACKs count until SND.UNA is here; SND.NXT when the episode ended.
    until: Option<SeqNum>,
    /// TSval of its first retransmission.
    stamp: Option<u32>,
    /// Octets sent again that no D-SACK has reported.
    unreported: u32,
    /// There is something to be undone.
    stands: bool,
    again: bool,
}

impl Undo {
    pub(crate) const fn none() -> Self {
        Self {
            window: 0,
            threshold: 0,
            from: SeqNum(0),
            until: None,
            stamp: None,
            unreported: 0,
            stands: false,
            again: false,
        }
    }

    /// An episode begins, after this one: D-SACKs that the last one still waits for say nothing of it.
    pub(crate) fn begin(&self, window: u32, threshold: u32, una: SeqNum) -> Self {
        Self {
            window,
            threshold,
            from: self.until.map_or(una, |_| self.from),
            unreported: self.until.map_or(0, |_| self.unreported),
            stands: true,
            ..Self::none()
        }
    }

    /// The episode was undone; what it sent again may still be reported.
    fn undone(&self, nxt: SeqNum) -> Self {
        Self {
            from: self.from,
            until: Some(nxt),
            unreported: self.unreported,
            ..Self::none()
        }
    }

    /// Octets go out again within the episode, with this TSval.
    pub(crate) fn on_sent_again(&mut self, octets: u32, stamp: Option<u32>) {
        if self.stands && self.until.is_none() {
            if !self.again {
                self.stamp = stamp;
            }
            self.again = true;
            self.unreported = self.unreported.saturating_add(octets);
        }
    }

    /// The episode ended: its D-SACKs come within a round trip.
    pub(crate) const fn on_ended(&mut self, nxt: SeqNum) {
        self.until = Some(nxt);
    }

    pub(crate) fn on_advance(&mut self, una: SeqNum) {
        if self.until.is_some_and(|until| una.after(until)) {
            *self = Self::none();
        }
    }

    /// RFC 3708 §2: true when all that was sent again has been reported as a duplicate.
    fn on_dsack(&mut self, block: SackBlock) -> bool {
        if block.left.before(self.from) {
            return false;
        }
        self.unreported = self
            .unreported
            .saturating_sub(block.right.distance_from(block.left));
        self.unreported == 0 && self.stands && self.again
    }

    /// RFC 3522 §3.2 (5): the ACK echoes what was sent before the first retransmission.
    fn is_answered_before(&self, echo: u32) -> bool {
        self.stands && self.until.is_none() && self.stamp.is_some_and(|stamp| is_before(echo, stamp))
    }
}

impl<B: Buffers> Tcb<B> {
    /// A duplicate was reported: the episode is undone if that was the last of what it sent again.
    pub(crate) fn undo_by_dsack(&mut self, block: SackBlock, env: &mut Env<'_, B>) {
        let all = env
            .pools
            .flights
            .piece_mut(self.flight)
            .is_some_and(|flight| flight.undo.on_dsack(block));
        if all {
            self.undo(env);
        }
    }

    /// RFC 3522 §3.2: the first ACK that covers what was sent again tells by its echo which sending it answers.
    pub(crate) fn undo_by_timestamp(&mut self, echo: u32, env: &mut Env<'_, B>) {
        let before = env
            .pools
            .flights
            .piece(self.flight)
            .is_some_and(|flight| flight.undo.is_answered_before(echo));
        if before {
            self.undo(env);
        } else if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            // Only the first such ACK can tell.
            flight.undo.stamp = None;
        }
    }

    /// RFC 4015 §3: nothing was lost, the episode is over.
    pub(crate) fn undo(&mut self, env: &mut Env<'_, B>) {
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return;
        };
        let undo = flight.undo;
        if !undo.stands {
            return;
        }
        flight.undo = undo.undone(self.snd.nxt);
        flight.frto = Frto::Off;
        flight.scoreboard.find_all();
        if self.recovery.phase == Phase::Loss {
            env.counters.spurious_rtos += 1;
        }
        env.counters.undos += 1;
        let pipe = flight.scoreboard.pipe();
        let window = pipe.saturating_add(self.initial_congestion_window(env.profile));
        let model = self.model(env.pools);
        self.congestion
            .undo(model, undo.window.min(window), undo.threshold.max(undo.window));
        self.recovery.phase = Phase::Open;
        self.recovery.recover = self.snd.una;
        self.recovery.duplicate_acks = 0;
        self.debts.remove(crate::tcb::Debts::RETRANSMIT);
        self.timers.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An episode that sent 800 octets again, the first with TSval 7.
    fn episode() -> Undo {
        let mut undo = Undo::none().begin(20_000, 15_000, SeqNum(100));
        undo.on_sent_again(500, Some(7));
        undo.on_sent_again(300, Some(9));
        undo
    }

    // proves: RFC 3522 §3.2, RFC 3708 §2
    #[test]
    fn an_episode_remembers_what_it_began_with_and_sent_again_until_it_ends() {
        let mut undo = episode();
        assert_eq!((undo.window, undo.threshold), (20_000, 15_000));
        assert_eq!((undo.unreported, undo.stamp), (800, Some(7)));
        assert!(undo.is_answered_before(6));
        assert!(!undo.is_answered_before(7) && !undo.is_answered_before(8));
        undo.on_ended(SeqNum(5_000));
        undo.on_sent_again(300, Some(9));
        assert_eq!((undo.unreported, undo.stamp), (800, Some(7)));
        assert!(
            !undo.is_answered_before(6),
            "its first sendings are answered by now"
        );
        let mut none = Undo::none();
        none.on_sent_again(500, Some(7));
        assert_eq!((none.unreported, none.stamp), (0, None));
        none.stamp = Some(7);
        assert!(!none.is_answered_before(6), "there is nothing to be undone");
    }

    #[test]
    fn what_an_episode_that_was_undone_sent_again_says_nothing_of_the_next() {
        let undone = episode().undone(SeqNum(9_000));
        assert_eq!((undone.from, undone.until), (SeqNum(100), Some(SeqNum(9_000))));
        assert_eq!((undone.unreported, undone.stands), (800, false));
        let mut next = undone.begin(10_000, 8_000, SeqNum(4_000));
        assert_eq!((next.from, next.unreported), (SeqNum(100), 800));
        next.on_sent_again(200, None);
        let duplicate = |left, right| SackBlock {
            left: SeqNum(left),
            right: SeqNum(right),
        };
        assert!(!next.on_dsack(duplicate(100, 900)), "the earlier one's");
        assert!(!next.on_dsack(duplicate(50, 900)), "before both");
        assert!(next.on_dsack(duplicate(4_000, 4_200)));
        let fresh = Undo::none().begin(10_000, 8_000, SeqNum(4_000));
        assert_eq!((fresh.from, fresh.unreported), (SeqNum(4_000), 0));
    }
}
