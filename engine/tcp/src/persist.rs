//! The persist timer: window probes, and the override of the sender's silly window avoidance (RFC 9293 §3.8.6.1).
//!
//! It shares its slot with the retransmission timer: with nothing outstanding it is the persist timer. A probe carries one
//! octet at SND.UNA, new or retransmitted, or the FIN when nothing else is left; so the answer tells the window.
//! Probing goes on for ever while the application owns the connection and the peer answers (MUST-37).

use crate::tcb::Debts;
use crate::timers::Timer;
use crate::{Buffers, Env, Tcb};

impl<B: Buffers> Tcb<B> {
    /// Something waits to be sent that the window, or its silly size, does not let go: the timer runs.
    // RFC 9293 §3.9.1.2, MUST-60: what no ACK will let go, the timer does; nothing queued waits for ever.
    pub(crate) fn consider_persist(&mut self, env: &Env<'_, B>) {
        let waiting = self.snd.flight() == 0 && self.state.sends_text() && self.has_unsent();
        if waiting && !self.debts.contains(Debts::TEXT) && !self.timers.is_armed(Timer::Retransmit) {
            // SHLD-29: the first probe after an RTO; SHLD-30: then with exponential backoff.
            self.progress_at = env.tick();
            self.arm_retransmit(env);
        }
    }

    /// The timer ran out with a zero window, or with nothing outstanding: a probe is owed (RFC 9293 §3.8.6, MUST-35, MUST-36).
    pub(crate) fn on_persist(&mut self, env: &Env<'_, B>) {
        self.debts.insert(Debts::PROBE);
        self.timers.backoff = self.timers.backoff.saturating_add(1);
        self.arm_retransmit(env);
    }

    /// An acceptable segment shows that the peer is there: probing may go on (RFC 9293 §3.8.6.1, MUST-37), also for what a
    /// window that shrank has left outside (§3.8.6, SHLD-17).
    #[inline]
    pub(crate) fn probe_answered(&mut self, env: &Env<'_, B>) {
        if self.snd.wnd == 0 {
            self.progress_at = env.tick();
        }
    }

    /// The window opened from zero.
    pub(crate) fn on_window_opened(&mut self, env: &mut Env<'_, B>) {
        self.timers.backoff = 0;
        self.timers.disarm(Timer::Retransmit);
        self.debts.remove(Debts::PROBE);
        if self.snd.flight() > 0 {
            // What lay beyond the window was dropped by the peer, and no loss of the path's: it is sent again at once.
            self.go_back(env);
            self.arm_retransmit(env);
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::SeqNum;

    use super::*;
    use crate::State;
    use crate::testing::Bench;

    // proves: RFC 9293 MUST-60, SHLD-29
    #[test]
    fn the_timer_runs_for_what_waits_and_nothing_else_would_let_go() {
        let waits = |change: fn(&mut Bench)| {
            let mut bench = Bench::established(SeqNum(1)).queued(1_000, 0);
            change(&mut bench);
            bench.tcb.progress_at = 77;
            bench.with(|tcb, env| tcb.consider_persist(env));
            let began = bench.tcb.progress_at != 77;
            assert!(!began || bench.tcb.timers.is_armed(Timer::Retransmit));
            began
        };
        assert!(waits(|_| ()));
        assert!(!waits(|bench| bench.tcb.snd.nxt += 500), "an ACK will come");
        assert!(!waits(|bench| bench.tcb.snd.nxt += 1_000), "all was sent");
        assert!(
            !waits(|bench| bench.tcb.queue.forget_only_chunk()),
            "nothing waits"
        );
        assert!(
            !waits(|bench| bench.tcb.state = State::FinWait2),
            "nothing may go"
        );
        assert!(!waits(|bench| bench.tcb.debts.insert(Debts::TEXT)), "it goes now");
        assert!(
            !waits(|bench| bench.tcb.timers.arm(Timer::Retransmit, 5, 0)),
            "it runs"
        );
    }
}
