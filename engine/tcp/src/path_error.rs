//! ICMP errors about segments of ours (RFC 9293 §3.9.2.2), and path MTU discovery by them (RFC 1191, RFC 8201).
//!
//! Anybody can write such an error: one counts only when the segment that it quotes is outstanding (RFC 5927 §4.1), and one
//! that names a smaller packet size only when that segment was larger. A hard error ends a connection in SYN_SENT and no
//! other; a soft one is counted and ends nothing (MUST-56).

use fourtuple_wire::{DropReason, SeqNum};

use crate::segment_arrives::TIMESTAMP_OCTETS;
use crate::signals::Arrival;
use crate::tcb::Flags;
use crate::{Buffers, Env, Signals, State, Tcb};

/// What an ICMP error says of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The destination takes no such segments at all (RFC 9293 §3.9.2.2, SHLD-26).
    Hard,
    /// It can't be reached just now, or something else is wrong that may pass.
    Soft,
    /// The segment was too large: this path carries so many octets of TCP options and payload in one.
    TooBig(u16),
}

impl<B: Buffers> Tcb<B> {
    /// An ICMP error came for the segment of this connection that begins at `seq`. `least_mss` is what any path of the
    /// family carries: 536 or 1220.
    pub fn path_error(
        &mut self,
        error: PathError,
        seq: SeqNum,
        least_mss: u16,
        env: &mut Env<'_, B>,
    ) -> Arrival {
        let mut arrival = Arrival::new();
        // RFC 5927 §4.1: SND.UNA =< SEG.SEQ < SND.NXT.
        if !seq.within(self.snd.una, self.snd.flight()) {
            env.counters.icmp_errors_refused += 1;
            arrival.verdict = Err(DropReason::IgnoredIcmp);
            return arrival;
        }
        match error {
            PathError::Hard if self.state == State::SynSent => {
                env.counters.icmp_errors_hard += 1;
                arrival.ended = self.unreachable(env);
            }
            // Deviation: SHLD-26 would end any connection; anyone could forge that (RFC 5927 §5.2).
            PathError::Hard | PathError::Soft => {
                env.counters.icmp_errors_soft += 1;
                // MUST-47, SHLD-25: it is told, once until something is acknowledged, and the status tells.
                if !self.flags.contains(Flags::UNREACHABLE) {
                    arrival.signals.insert(Signals::UNREACHABLE);
                }
                self.flags.insert(Flags::UNREACHABLE);
            }
            PathError::TooBig(mss) => arrival.verdict = self.too_big(mss.max(least_mss), env),
        }
        arrival
    }

    /// Segments get smaller, and what is outstanding is sent again in such (RFC 9293 §3.7.3, SHLD-6; RFC 1191 §3, RFC 8201 §4).
    fn too_big(&mut self, mss: u16, env: &mut Env<'_, B>) -> Result<(), DropReason> {
        let options = if self.timestamps.enabled {
            TIMESTAMP_OCTETS
        } else {
            0
        };
        let payload = mss - options;
        let probe = self.state.sends_text() && self.probe_too_big(payload, env);
        // RFC 5927 §7.2: what claims no less than we send says nothing, or is an old one.
        if !probe && (payload >= self.snd.mss || !self.state.sends_text()) {
            env.counters.icmp_errors_refused += 1;
            return Err(DropReason::IgnoredIcmp);
        }
        if !probe {
            env.counters.path_mtu_reduced += 1;
            self.try_larger_later(self.snd.mss, env);
            self.snd.mss = payload;
        }
        // RFC 1191 §6.4, RFC 8201 §5.4: no sign of congestion; it is sent again at once. What was SACKed will be again (RFC 2018 §8).
        self.rto.stop();
        self.go_back(env);
        self.arm_retransmit(env);
        self.consider_text(env);
        Ok(())
    }
}
