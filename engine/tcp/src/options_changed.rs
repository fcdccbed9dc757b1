//! Options that change while a connection lives: what each of them holds back goes, and deadlines follow them.
//!
//! The caller interns the new options and passes them with every call from then on; what was agreed on in the handshake
//! (window scaling, timestamps, SACK) stays as it was agreed on.

use crate::pool::NIL;
use crate::profile::LEAST_CLAMP;
use crate::segment_arrives::TIMESTAMP_OCTETS;
use crate::timers::Timer;
use crate::{Buffers, Env, Tcb};

impl<B: Buffers> Tcb<B> {
    /// `env.profile` is another one than it was at the last call; its receive buffer was so large.
    pub fn options_changed(&mut self, receive_buffer: u32, env: &mut Env<'_, B>) {
        self.clamp_mss(env);
        // RFC 9293 §3.8.4, MUST-24: keep-alive can be switched on and off for each connection; idleness begins now.
        if self.keepalive_applies() {
            self.timers.disarm(Timer::Life);
            self.restart_keepalive(env);
        }
        if !self.state.is_synchronised() {
            return;
        }
        // RFC 9293 §3.8.3, MUST-21: R2 can be set, and holds for what is outstanding already.
        if self.timers.is_armed(Timer::Retransmit) {
            self.arm_retransmit(env);
        }
        // RFC 9293 §3.7.4, MUST-17: what Nagle's algorithm held goes out once it is off.
        self.consider_text(env);
        // What a SYN's window could not say is said with the first ACK that is owed; other options are no reason for one.
        if env.profile.receive_buffer > receive_buffer {
            self.consider_window_update(env);
        }
    }

    /// Segments get no larger than the clamp; what it takes back is not given again.
    fn clamp_mss(&mut self, env: &mut Env<'_, B>) {
        let Some(clamp) = env.profile.mss_clamp else {
            return;
        };
        let options = if self.timestamps.enabled {
            TIMESTAMP_OCTETS
        } else {
            0
        };
        self.snd.mss_limit = self.snd.mss_limit.min(clamp.max(LEAST_CLAMP));
        self.snd.mss = self.snd.mss.min(clamp.max(LEAST_CLAMP) - options);
        if self.aside != NIL {
            self.change_aside(env, |aside| aside.search = None);
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::SeqNum;

    use super::*;
    use crate::testing::Bench;

    // proves: RFC 9293 MUST-16
    #[test]
    fn a_clamp_leaves_room_for_timestamps() {
        for (timestamps, mss) in [(false, 400), (true, 388)] {
            let mut bench = Bench::established(SeqNum(1));
            bench.tcb.timestamps.enabled = timestamps;
            bench.profile.mss_clamp = Some(400);
            bench.with(|tcb, env| tcb.options_changed(env.profile.receive_buffer, env));
            assert_eq!((bench.tcb.snd.mss, bench.tcb.snd.mss_limit), (mss, 400));
        }
    }

    #[test]
    fn a_clamp_ends_the_search_for_larger_segments() {
        let mut bench = Bench::established(SeqNum(1));
        bench.profile.mss_clamp = Some(400);
        bench.with(|tcb, env| tcb.try_larger_later(1_460, env));
        assert_ne!(bench.tcb.aside, NIL);
        bench.with(|tcb, env| tcb.options_changed(env.profile.receive_buffer, env));
        assert_eq!((bench.tcb.aside, bench.pools.asides.in_use()), (NIL, 0));
        // Another connection has the last record: none is asked for where nothing was searched.
        assert!(bench.pools.asides.insert(crate::aside::Aside::default()).is_ok());
        bench.with(|tcb, env| tcb.options_changed(env.profile.receive_buffer, env));
        assert_eq!(bench.counters.pool_empty, 0);
    }
}
