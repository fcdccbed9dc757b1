//! Keep-alive (RFC 9293 §3.8.4, MAY-5): off unless the application asked for it (MUST-24, MUST-25).
//!
//! A probe has no data and a sequence number one before SND.NXT, which the peer must answer (SHLD-12). It shares the
//! `Life` slot: no state that has a bound of its own needs probes.

use crate::profile::millis;
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Ending, Env, State, Tcb};

impl<B: Buffers> Tcb<B> {
    /// Whether the slot is keep-alive's: synchronised, no orphan, not in TIME_WAIT.
    pub(crate) fn keepalive_applies(&self) -> bool {
        self.state.is_synchronised() && self.state != State::TimeWait && !self.flags.contains(Flags::ORPHAN)
    }

    /// Something arrived: the idle time begins again.
    // RFC 9293 §3.8.4, MUST-26: only when nothing was received for the interval; MUST-27: which is a setting.
    #[inline(always)]
    pub(crate) fn restart_keepalive(&mut self, env: &Env<'_, B>) {
        let Some(keepalive) = &env.profile.keepalive else {
            return;
        };
        if self.keepalive_applies() {
            self.timers.keepalive_probes = 0;
            self.timers.arm(Timer::Life, millis(keepalive.idle), env.tick());
        }
    }

    /// The connection was idle for long: probe, or give it up.
    pub(crate) fn on_keepalive(&mut self, env: &mut Env<'_, B>) -> Option<Ending> {
        let keepalive = env.profile.keepalive?;
        // MUST-29: one unanswered probe means nothing, for a bare ACK is not sent again.
        if self.timers.keepalive_probes >= keepalive.count {
            env.counters.keepalive_timeouts += 1;
            self.end(env);
            self.debts = Debts::RESET;
            return Some(Ending::TimedOut);
        }
        // MUST-26: with data outstanding or waiting the retransmission timer watches the peer.
        if self.snd.flight() == 0 && !self.has_unsent() {
            self.timers.keepalive_probes += 1;
            self.debts.insert(Debts::KEEPALIVE);
        }
        self.timers
            .arm(Timer::Life, millis(keepalive.interval), env.tick());
        None
    }
}
