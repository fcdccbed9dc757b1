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
