//! Challenge ACKs (RFC 5961): an ACK that lets an honest peer say it again exactly, and tells an attacker nothing.
//!
//! Limited per connection, for a limit shared by all would be a side channel (CVE-2016-5696).

use crate::tcb::Debts;
use crate::{Buffers, Env, Tcb};

impl<B: Buffers> Tcb<B> {
    /// An ACK is owed to a doubtful segment, unless this second's are spent (RFC 5961 §7).
    pub(crate) fn challenge(&mut self, env: &mut Env<'_, B>) {
        let second = (env.now.as_millis() / 1000) as u16;
        if self.recovery.challenge_second != second {
            self.recovery.challenge_second = second;
            self.snd.challenges = 0;
        }
        if self.snd.challenges < env.profile.challenge_acks_per_s {
            self.snd.challenges += 1;
            env.counters.challenge_acks += 1;
            self.debts.insert(Debts::ACK);
        } else {
            env.counters.challenge_acks_limited += 1;
        }
    }
}
