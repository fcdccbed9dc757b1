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

#[cfg(test)]
mod tests {
    use fourtuple_wire::SeqNum;

    use super::*;
    use crate::KeepAlive;
    use crate::testing::Bench;

    #[test]
    fn it_is_for_connections_that_are_open_and_somebodys() {
        for (state, applies) in [
            (State::Closed, false),
            (State::Listen, false),
            (State::SynSent, false),
            (State::SynReceived, false),
            (State::Established, true),
            (State::FinWait1, true),
            (State::FinWait2, true),
            (State::CloseWait, true),
            (State::Closing, true),
            (State::LastAck, true),
            (State::TimeWait, false),
        ] {
            let mut bench = Bench::established(SeqNum(1));
            bench.tcb.state = state;
            assert_eq!(bench.tcb.keepalive_applies(), applies, "{state:?}");
            bench.tcb.flags.insert(Flags::ORPHAN);
            assert!(!bench.tcb.keepalive_applies(), "{state:?}");
        }
    }

    // proves: RFC 9293 MUST-26
    #[test]
    fn what_is_outstanding_or_waits_needs_no_probe() {
        for (queued, outstanding, probes) in [(0, 0, 1), (1_000, 1_000, 0), (1_000, 0, 0), (1_000, 400, 0)] {
            let mut bench = Bench::established(SeqNum(1));
            if queued > 0 {
                bench = bench.queued(queued, outstanding);
            }
            bench.profile.keepalive = Some(KeepAlive::default());
            assert_eq!(bench.with(|tcb, env| tcb.on_keepalive(env)), None);
            assert_eq!(
                bench.tcb.timers.keepalive_probes, probes,
                "{queued} {outstanding}"
            );
            assert_eq!(bench.tcb.debts.contains(Debts::KEEPALIVE), probes > 0);
            assert!(bench.tcb.timers.is_armed(Timer::Life), "it is looked at again");
        }
    }
}
