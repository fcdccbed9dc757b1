//! Challenge ACKs (RFC 5961): an ACK that lets an honest peer say it again exactly, and tells an attacker nothing.
//!
//! Limited per connection, for a limit shared by all would be a side channel (CVE-2016-5696).

use fourtuple_wire::Instant;

use crate::tcb::Debts;
use crate::{Buffers, Env, Tcb};

/// When a compact record answered a doubtful segment last: two such answers are half a second apart.
///
/// Two records that lost each other's sequence numbers would otherwise send each other ACKs for ever. Linux waits as long
/// (`tcp_invalid_ratelimit`). Time is counted in steps of 8 ms on a circle of 13 bits, a little more than a minute: an answer may be
/// held back once a round in vain, and an honest peer asks again. No record lives for much longer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastAnswer(u16);

impl LastAnswer {
    /// In steps of 8 ms.
    const APART: u16 = 500_u16.div_ceil(8);

    /// The bits that it takes.
    pub(crate) const BITS: u32 = 13;
    const CIRCLE: u16 = (1 << Self::BITS) - 1;

    /// In so many bits, for those who keep more in a word.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// From those bits; what is above them is no part of it.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::CIRCLE)
    }

    /// Whether an answer may go out now; if so it is the last. 0 stands for none so far.
    pub(crate) fn try_answer(&mut self, now: Instant) -> bool {
        let step = ((now.as_millis() / 8) as u16 & Self::CIRCLE).max(1);
        if self.0 != 0 && step.wrapping_sub(self.0) & Self::CIRCLE < Self::APART {
            return false;
        }
        self.0 = step;
        true
    }
}

impl<B: Buffers> Tcb<B> {
    /// An ACK is owed to a doubtful segment, unless this second's are spent (RFC 5961 §7).
    pub(crate) fn challenge(&mut self, env: &mut Env<'_, B>) {
        let second = (env.now.as_millis() / 1000) as u8;
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

#[cfg(test)]
mod tests {
    use super::*;

    // proves: RFC 5961 §7
    #[test]
    fn two_answers_of_a_record_are_half_a_second_apart() {
        let mut last = LastAnswer::default();
        let mut at = |ms| last.try_answer(Instant::from_millis(ms));
        assert!(at(0), "the first, at the very start of the clock");
        assert!(!at(8) && !at(496) && at(512));
        assert!(!at(512) && !at(520) && !at(1008));
        // Sixty-three steps of eight milliseconds.
        assert!(!at(512 + 62 * 8 + 7) && at(512 + 63 * 8));
        // Round the circle of 65.536 seconds.
        assert!(at(65_504) && !at(65_544) && !at(65_992) && at(66_032));
    }
}
