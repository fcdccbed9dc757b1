//! When an acknowledgment is owed (RFC 9293 §3.8.6.3, RFC 5681 §4.2).
//!
//! The debt is counted in sequence space: what lies between the last ACK sent and RCV.NXT. Two full segments owe an ACK at
//! once; a burst owes one, and one more for each further eight full segments of it (`Tcb::next_ack`).

use fourtuple_wire::SeqNum;

use crate::profile::millis;
use crate::tcb::Debts;
use crate::timers::Timer;
use crate::{Buffers, Env, Tcb};

/// RFC 9293 §3.8.6.3, MUST-40: below half a second; a tick of rounding is left.
const MOST_MS: u32 = 498;

/// Full segments of a burst that share an ACK.
// Deviation: SHLD-19 asks for every second one; a burst is one arrival, and its ACKs would leave in one burst too.
const SEGMENTS_AN_ACK: u32 = 8;

impl<B: Buffers> Tcb<B> {
    /// `len` octets came in order, with nothing missing before or behind.
    #[inline(always)]
    pub(crate) fn on_text_in_order(&mut self, len: u32, env: &Env<'_, B>) {
        if len > u32::from(self.rcv.mss) {
            self.rcv.mss = len.min(u32::from(u16::MAX)) as u16;
        }
        // SHLD-19: every second full segment, or as much data, is acknowledged at once.
        if self.rcv.nxt.distance_from(self.rcv.last_ack_sent) >= 2 * u32::from(self.rcv.mss) {
            self.debts.insert(Debts::ACK);
        } else if !self.timers.is_armed(Timer::DelayedAck) {
            // SHLD-18: a lone segment's ACK waits for company.
            match millis(env.profile.delayed_ack).min(MOST_MS) {
                0 => self.debts.insert(Debts::ACK),
                wait => self.timers.arm(Timer::DelayedAck, wait, env.tick()),
            }
        }
    }

    /// The acknowledgment number of the next pure ACK: short of RCV.NXT while a burst owes several.
    pub(crate) fn next_ack(&self) -> SeqNum {
        let step = SEGMENTS_AN_ACK * u32::from(self.rcv.mss);
        let owed = self.rcv.nxt.distance_from(self.rcv.last_ack_sent);
        // One for the burst's first two segments and eight more; no news may be held back while there is a hole.
        if owed as i32 >= (step + 2 * u32::from(self.rcv.mss)) as i32 && self.reassembly == crate::pool::NIL {
            self.rcv.last_ack_sent + step
        } else {
            self.rcv.nxt
        }
    }

    /// An ACK goes out, alone or with data.
    #[inline]
    pub(crate) fn acknowledged_up_to(&mut self, ack: SeqNum) {
        self.rcv.last_ack_sent = ack;
        if ack == self.rcv.nxt {
            self.debts.remove(Debts::ACK);
            self.timers.disarm(Timer::DelayedAck);
        }
    }
}
