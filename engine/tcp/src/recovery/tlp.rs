//! Tail loss probes (RFC 8985 §7): two round trips without an ACK, and a segment is sent whose ACK shows what was lost.
//!
//! The probe is new text, or the last segment once more. Its timer (PTO) takes the place of the retransmission timeout until
//! it was sent; it is given up as soon as anything is SACKED or lost. `Recovery::high_rxt`, which only recovery uses, holds
//! TLP.end_seq while `Marks::PROBED`, so that a connection needs no flight to probe.

use fourtuple_wire::SeqNum;

use crate::recovery::{AckNews, Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::text::Text;
use crate::timers::{Retransmit, Timer};
use crate::{Buffers, Env, Pools, Tcb};

/// TLP.max_ack_delay: how long a peer may hold back the ACK of a lone segment. Peers delay by 40 to 200 ms.
const MAX_ACK_DELAY_US: u32 = 200_000;

/// RFC 8985 §7.2: the PTO before anything was measured.
const UNMEASURED_MS: u32 = 1000;

impl<B: Buffers> Tcb<B> {
    /// RFC 8985 §7.2 and §7.3: with SACK, nothing SACKed and nothing lost; no other probe outstanding, and a round trip
    /// measured since the last one.
    #[inline]
    pub(crate) fn may_probe(&self) -> bool {
        self.flags.contains(Flags::SACK)
            && self.recovery.phase == Phase::Open
            && !self.recovery.marks.contains(Marks::NO_PROBE)
            && self.snd.wnd > 0
            && self.state.is_synchronised()
    }

    /// RFC 8985 §7.2, TLP_calc_PTO, in milliseconds from now.
    #[inline]
    pub(crate) fn probe_timeout_ms(&self, env: &Env<'_, B>) -> u32 {
        self.free_probe_timeout_ms().min(self.rest_of_timeout_ms(env))
    }

    /// The same without the bound of the retransmission timeout.
    #[inline(always)]
    pub(crate) fn free_probe_timeout_ms(&self) -> u32 {
        let srtt_us = self.rto.srtt_us();
        if srtt_us == 0 {
            UNMEASURED_MS
        } else {
            // A receiver that counts octets delays the ACK of anything below two full segments.
            let lone = self.snd.flight() < 2 * u32::from(self.snd.mss);
            let delay = if lone { MAX_ACK_DELAY_US } else { 0 };
            (2 * srtt_us + delay).div_ceil(1000)
        }
    }

    /// The PTO ran out: a probe is owed, and from now on the retransmission timer runs (RFC 8985 §7.3).
    pub(crate) fn on_probe_timeout(&mut self, env: &Env<'_, B>) {
        if self.may_probe() {
            self.debts.insert(Debts::TAIL_PROBE);
        }
        self.arm_retransmit(env);
    }

    /// RFC 8985 §7.3, TLP_send_probe: new text, whatever the congestion window says, else the last segment.
    pub(crate) fn tail_probe(&self, pools: &Pools<B>) -> Option<Text> {
        if !self.may_probe() || self.snd.flight() == 0 || !self.state.sends_text() {
            return None;
        }
        let room = self.payload_room(pools);
        let usable = self.snd.wnd.saturating_sub(self.snd.flight());
        let new = self.new_text(usable, room);
        if new.len > 0 || new.fin {
            return Some(new);
        }
        let back = room.min(self.snd.flight());
        let last = self.text_of(self.snd.nxt.back(back), self.snd.nxt, room);
        (last.len > 0 || last.fin).then_some(last)
    }

    /// The probe goes out.
    pub(crate) fn probed(&mut self, text: &Text, env: &mut Env<'_, B>) {
        env.counters.tlp_probes += 1;
        self.recovery.marks.insert(Marks::PROBED);
        self.recovery.marks.insert(Marks::UNMEASURED);
        if text.seq == self.snd.nxt {
            self.recovery.high_rxt = text.end();
        } else {
            self.recovery.marks.insert(Marks::PROBED_AGAIN);
            self.recovery.high_rxt = self.snd.nxt;
        }
    }

    /// RFC 8985 §7.4.2, TLP_process_ack.
    pub(crate) fn on_ack_of_probe(&mut self, ack: SeqNum, news: &AckNews, env: &mut Env<'_, B>) {
        let marks = self.recovery.marks;
        if !marks.contains(Marks::PROBED) || ack.before(self.recovery.high_rxt) {
            return;
        }
        let end = self.recovery.high_rxt;
        let twice = news.dsack.is_some_and(|block| block.right == end);
        if marks.contains(Marks::PROBED_AGAIN) && !twice {
            if ack == end {
                // Both it and what it repeated arrived, when this says nothing new.
                if news.repeats {
                    self.forget_probe();
                }
                return;
            }
            // What it repeated was lost: that is answered as any loss is.
            env.counters.tlp_recoveries += 1;
            self.tell_tail_loss(news.flight, env);
        }
        self.forget_probe();
    }

    /// No probe is outstanding.
    pub(crate) fn forget_probe(&mut self) {
        self.recovery.marks.remove(Marks::PROBED);
        self.recovery.marks.remove(Marks::PROBED_AGAIN);
        self.debts.remove(Debts::TAIL_PROBE);
    }

    /// New text goes out, or the cumulative acknowledgment moved: a probe's time begins again (RFC 8985 §7.2).
    #[inline]
    pub(crate) fn restart_probe(&mut self, env: &Env<'_, B>) {
        let reordering =
            self.timers.is_armed(Timer::Retransmit) && self.timers.retransmit() == Retransmit::Reordering;
        if !reordering && self.may_probe() {
            self.arm_probe(env);
        }
    }
}
