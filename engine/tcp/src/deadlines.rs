//! Deadlines (RFC 9293 §3.10.8; RFC 6298 §5; R1 and R2 of RFC 9293 §3.8.3).

use fourtuple_wire::Instant;

use crate::congestion::Congestion;
use crate::profile::millis;
use crate::tcb::{Debts, Flags};
use crate::timers::{Retransmit, Timer};
use crate::{Arrival, Buffers, Ending, Env, Profile, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    /// When `on_deadline` has something to do; [`Instant::FAR_FUTURE`] when never.
    #[inline]
    pub fn deadline(&self, now: Instant) -> Instant {
        let deadline = self.timers.deadline(now);
        if self.flags.contains(Flags::PACED) {
            let left = self.rto.pace_left(now.as_millis() as u32);
            let pace = now.as_millis().saturating_add_signed(i64::from(left));
            return deadline.min(Instant::from_millis(pace));
        }
        deadline
    }

    /// The tick of [`deadline`](Self::deadline), in milliseconds on a circle of 32 bits, seen from the tick `now`.
    #[inline(always)]
    pub fn deadline_tick(&self, now: u32) -> Option<u32> {
        let mut left = self.timers.earliest(now);
        if self.flags.contains(Flags::PACED) {
            let pace = self.rto.pace_left(now);
            left = Some(left.map_or(pace, |other| other.min(pace)));
        }
        left.map(|left| now.wrapping_add_signed(left))
    }

    /// Whether `on_deadline` has something to do before this tick, or may have.
    #[inline(always)]
    pub fn is_due_before(&self, tick: u32) -> bool {
        self.timers.any_before(tick) || self.flags.contains(Flags::PACED)
    }

    /// Does what is due at `env.now`.
    pub fn on_deadline(&mut self, env: &mut Env<'_, B>) -> Arrival {
        let mut arrival = Arrival::new();
        let now = env.tick();
        for timer in Timer::ALL {
            if self.timers.take_due(timer, now) {
                let ended = match timer {
                    Timer::Retransmit => self.on_retransmit(&mut arrival.signals, env),
                    Timer::DelayedAck => {
                        self.debts.insert(Debts::ACK);
                        None
                    }
                    Timer::Life => self.on_life(env),
                };
                arrival.ended = arrival.ended.or(ended);
                self.consider_text(env);
            }
        }
        self.on_pace(env);
        arrival
    }

    /// The slot of retransmission and persist.
    fn on_retransmit(&mut self, signals: &mut Signals, env: &mut Env<'_, B>) -> Option<Ending> {
        if matches!(self.state, State::SynSent | State::SynReceived) || self.awaits_handshake() {
            return self.on_syn_timeout(env);
        }
        if self.snd.flight() == 0 && !self.has_unsent() {
            return None;
        }
        // RFC 9293 §3.8.3, MUST-20 (b), MUST-21: R2, or the user timeout of RFC 5482.
        if self.stalled_ms(env) >= env.profile.give_up_ms() {
            return Some(self.give_up(env));
        }
        if self.snd.wnd == 0 || self.snd.flight() == 0 {
            self.on_persist(env);
            return None;
        }
        match self.timers.retransmit() {
            Retransmit::Timeout => {}
            Retransmit::Probe => {
                self.on_probe_timeout(env);
                return None;
            }
            Retransmit::Reordering => {
                self.on_reordering_timeout(env);
                return None;
            }
        }
        self.begin_loss(env);
        self.rto.stop();
        self.timers.backoff = self.timers.backoff.saturating_add(1);
        self.timers.retransmits = self.timers.retransmits.saturating_add(1);
        self.suspect_black_hole(env);
        // RFC 9293 §3.8.3, MUST-20 (a), SHLD-9: R1 is told once; the engine may ask for another route.
        if self.timers.retransmits >= env.profile.r1 && !self.flags.contains(Flags::R1_TOLD) {
            self.flags.insert(Flags::R1_TOLD);
            signals.insert(Signals::R1_EXCEEDED);
        }
        self.arm_retransmit(env);
        None
    }

    /// RFC 9293 §3.8.3, MUST-22: a SYN is retransmitted as any segment is, with an R2 of its own (MUST-23).
    fn on_syn_timeout(&mut self, env: &mut Env<'_, B>) -> Option<Ending> {
        let limit = if self.awaits_handshake() {
            env.profile.syn_record_timeout
        } else {
            env.profile.syn_timeout
        };
        if self.stalled_ms(env) >= millis(limit) {
            return Some(self.give_up(env));
        }
        self.rto.stop();
        self.rto.after_lost_syn();
        self.rcv.syn_retransmits = self.rcv.syn_retransmits.saturating_add(1);
        self.debts.insert(Debts::SYN);
        self.arm_syn_timer(env);
        None
    }

    /// The peer makes no progress; where it knows of us, it is told.
    fn give_up(&mut self, env: &mut Env<'_, B>) -> Ending {
        env.counters.timeouts += 1;
        let known = self.state != State::SynSent;
        self.end(env);
        if known {
            self.debts = Debts::RESET;
        }
        Ending::TimedOut
    }

    /// The slot of the bounds that states have, and of keep-alive.
    fn on_life(&mut self, env: &mut Env<'_, B>) -> Option<Ending> {
        match self.state {
            State::Closed | State::Listen => None,
            State::SynSent => Some(self.give_up(env)),
            State::TimeWait => {
                // §3.10.8, TIME-WAIT timeout: the end was told when it began.
                self.enter(State::Closed, env);
                None
            }
            State::FinWait2 if self.flags.contains(Flags::ORPHAN) => {
                // The peer was told all we had to say; a segment of it will meet a RST.
                env.counters.fin_wait_2_timeouts += 1;
                self.end(env);
                Some(Ending::TimedOut)
            }
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => {
                if !self.flags.contains(Flags::ORPHAN) {
                    return self.on_keepalive(env);
                }
                env.counters.orphan_timeouts += 1;
                self.end(env);
                self.debts = Debts::RESET;
                Some(Ending::TimedOut)
            }
        }
    }

    /// Time without progress.
    fn stalled_ms(&self, env: &Env<'_, B>) -> u32 {
        env.tick().wrapping_sub(self.progress_at)
    }

    /// RFC 6298 §5: one timeout from now, with its backoff; not beyond the moment at which the connection is given up.
    #[inline]
    pub(crate) fn arm_retransmit(&mut self, env: &Env<'_, B>) {
        let timeout = self.rto.timeout_ms(self.timers.backoff, env.profile);
        self.arm_slot(Retransmit::Timeout, timeout, env);
    }

    /// RFC 8985 §7.2: a tail loss probe after two round trips, or at the timeout.
    #[inline]
    pub(crate) fn arm_probe(&mut self, env: &Env<'_, B>) {
        let timeout = self.probe_timeout_ms(env);
        self.arm_slot(Retransmit::Probe, timeout, env);
    }

    /// RFC 8985 §6.2 step 5: what is only late now is lost then. The timeout waits, and is armed again when that is over.
    pub(crate) fn arm_reordering(&mut self, remaining_us: u32, env: &Env<'_, B>) {
        self.arm_slot(Retransmit::Reordering, remaining_us.div_ceil(1000), env);
    }

    /// What is left of the timeout that runs since SND.UNA moved, or since the last expiry.
    pub(crate) fn arm_rest_of_timeout(&mut self, env: &Env<'_, B>) {
        let timeout = self.rest_of_timeout_ms(env);
        self.arm_slot(Retransmit::Timeout, timeout, env);
    }

    /// Milliseconds to the timeout; all of it when it has backed off, for then nobody noted when it began.
    pub(crate) fn rest_of_timeout_ms(&self, env: &Env<'_, B>) -> u32 {
        let timeout = self.rto.timeout_ms(self.timers.backoff, env.profile);
        if self.timers.backoff > 0 {
            return timeout;
        }
        timeout.saturating_sub(self.stalled_ms(env))
    }

    #[inline]
    fn arm_slot(&mut self, what: Retransmit, timeout: u32, env: &Env<'_, B>) {
        let left = env.profile.give_up_ms().saturating_sub(self.stalled_ms(env));
        self.timers.arm_retransmit(what, timeout.min(left), env.tick());
    }

    /// The same for a SYN, from the initial timeout and with R2 for SYNs.
    pub(crate) fn arm_syn_timer(&mut self, env: &Env<'_, B>) {
        let initial = u64::from(millis(env.profile.initial_rto).max(1));
        let backoff = initial << self.rcv.syn_retransmits.min(32);
        let timeout = backoff.min(u64::from(millis(env.profile.max_rto))) as u32;
        let left = millis(env.profile.syn_timeout).saturating_sub(self.stalled_ms(env));
        self.timers
            .arm_retransmit(Retransmit::Timeout, timeout.min(left), env.tick());
    }

    /// RFC 6928 §2: ten segments unless set otherwise.
    pub(crate) fn initial_congestion_window(&self, profile: &Profile) -> u32 {
        u32::from(profile.initial_window_segments.max(1)) * u32::from(self.snd.mss)
    }

    /// ESTABLISHED begins: what only the handshake needed makes room for what data needs.
    pub(crate) fn handshake_done(&mut self, env: &mut Env<'_, B>) {
        self.timers.backoff = 0;
        self.timers.disarm(Timer::Retransmit);
        self.debts.remove(Debts::SYN);
        self.progress_at = env.tick();
        self.flags.remove(Flags::UNREACHABLE);
        self.last_sent = env.tick();
        self.recovery = crate::recovery::Recovery::new(self.snd.una);
        self.congestion = Congestion::new(self.initial_congestion_window(env.profile));
        if self.rcv.syn_retransmits > 0 {
            // RFC 5681 §3.1, RFC 6928 §2: a lost SYN or SYN+ACK leaves one segment.
            self.congestion.on_syn_lost(u32::from(self.snd.mss));
        }
        // From now on the size of the peer's full segments, as seen; 536 is what any path carries.
        self.rcv.mss = self.rcv.mss.min(536);
        if self.flags.contains(Flags::FIN_QUEUED) {
            // §3.10.4, SYN-RECEIVED: a CLOSE that was queued takes effect.
            self.enter(State::FinWait1, env);
        }
        if self.flags.contains(Flags::ORPHAN) {
            self.arm_orphan(env);
        }
        self.restart_keepalive(env);
    }
}

#[cfg(test)]
mod tests {
    use crate::Profile;
    use crate::testing::Established;

    // RFC 6298 §5.1, §5.3: the timer runs since the last progress; §5.5: when it has backed off, from now.
    #[test]
    fn what_is_left_of_a_timeout_counts_from_the_last_progress_unless_it_has_backed_off() {
        let mut one = Established::new(Profile::default());
        let (whole, now) = (
            one.tcb.rto.timeout_ms(0, &one.profile),
            one.now.as_millis() as u32,
        );
        for (since, backoff, rest) in [
            (0, 0, whole),
            (150, 0, whole - 150),
            (whole + 5, 0, 0),
            (0, 1, 2 * whole),
            (150, 1, 2 * whole),
            (150, 2, 4 * whole),
        ] {
            one.tcb.progress_at = now - since;
            one.tcb.timers.backoff = backoff;
            let found = one.with(|tcb, env| tcb.rest_of_timeout_ms(env));
            assert_eq!(found, rest, "{since} ms ago, {backoff}");
        }
    }

    #[test]
    fn what_is_due_before_a_tick_is_told_by_each_timer_and_by_the_pacer() {
        use crate::tcb::Flags;
        use crate::timers::Timer;

        let mut one = Established::new(Profile::default());
        let now = one.now.as_millis() as u32;
        one.tcb.timers.disarm_all();
        assert!(!one.tcb.is_due_before(now + 1_000_000), "nothing is armed");
        for timer in Timer::ALL {
            one.tcb.timers.disarm_all();
            // One tick more: some of the present one has passed.
            one.tcb.timers.arm(timer, 10, now);
            assert!(!one.tcb.is_due_before(now + 11), "{timer:?}");
            assert!(one.tcb.is_due_before(now + 12), "{timer:?}");
        }
        one.tcb.timers.disarm_all();
        one.tcb.flags.insert(Flags::PACED);
        assert!(one.tcb.is_due_before(now));
    }
}
