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
        self.may_probe_when_open()
            && self.recovery.phase == Phase::Open
            && self.snd.wnd > 0
            && self.state.is_synchronised()
    }

    /// The same of who is synchronised, has lost nothing, and whose peer's window is open.
    #[inline(always)]
    pub(crate) fn may_probe_when_open(&self) -> bool {
        self.flags.contains(Flags::SACK) && !self.recovery.marks.contains(Marks::NO_PROBE)
    }

    /// RFC 8985 §7.2, TLP_calc_PTO, in milliseconds from now.
    #[inline]
    pub(crate) fn probe_timeout_ms(&self, env: &Env<'_, B>) -> u32 {
        self.free_probe_timeout_ms().min(self.rest_of_timeout_ms(env))
    }

    /// So many milliseconds, or the free probe timeout when it is less, as it is not when a receiver may delay its ACK as long.
    #[inline(always)]
    pub(crate) fn at_most_probe_timeout_ms(&self, ms: u32) -> u32 {
        if ms <= MAX_ACK_DELAY_US / 1000 && self.sent_alone() {
            return ms;
        }
        self.free_probe_timeout_ms().min(ms)
    }

    /// Less than two full segments are outstanding.
    #[inline(always)]
    fn sent_alone(&self) -> bool {
        self.snd.flight() < 2 * u32::from(self.snd.mss)
    }

    /// The same without the bound of the retransmission timeout.
    #[inline(always)]
    pub(crate) fn free_probe_timeout_ms(&self) -> u32 {
        let srtt_us = self.rto.srtt_us();
        if srtt_us == 0 {
            UNMEASURED_MS
        } else {
            // A receiver that counts octets delays the ACK of anything below two full segments.
            let delay = if self.sent_alone() { MAX_ACK_DELAY_US } else { 0 };
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
        // What is outstanding is text or a FIN.
        Some(self.text_of(self.snd.nxt.back(back), self.snd.nxt, room))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;
    use crate::testing::Bench;

    const UNA: SeqNum = SeqNum(u32::MAX - 1_500);

    /// With SACK, over a round trip of 40 ms.
    fn bench(queued: u32, outstanding: u32) -> Bench {
        let mut bench = Bench::established(UNA);
        if queued > 0 {
            bench = bench.queued(queued, outstanding);
        }
        bench.tcb.flags.insert(Flags::SACK);
        bench.tcb.rto.sample(40_000, &bench.profile);
        bench
    }

    // proves: RFC 8985 §7.2 (TLP_calc_PTO)
    #[test]
    fn less_than_two_full_segments_may_have_their_ack_delayed() {
        for (outstanding, ms) in [(2_000, 80), (2_001, 80), (1_999, 280), (1_003, 280), (500, 280)] {
            assert_eq!(
                bench(3_000, outstanding).tcb.free_probe_timeout_ms(),
                ms,
                "{outstanding}"
            );
        }
        let unmeasured = Bench::established(UNA).queued(3_000, 2_000);
        assert_eq!(unmeasured.tcb.free_probe_timeout_ms(), 1_000);
    }

    fn probe(bench: &Bench) -> Option<(u32, u32, bool)> {
        let text = bench.tcb.tail_probe(&bench.pools)?;
        Some((text.seq.distance_from(UNA), text.len, text.fin))
    }

    // proves: RFC 8985 §7.3 (TLP_send_probe)
    #[test]
    fn a_probe_is_new_text_or_a_new_fin_and_else_the_last_segment() {
        assert_eq!(probe(&bench(3_500, 2_000)), Some((2_000, 1_000, false)));
        assert_eq!(probe(&bench(2_500, 2_000)), Some((2_000, 500, false)));
        assert_eq!(probe(&bench(2_500, 2_500)), Some((1_500, 1_000, false)));
        assert_eq!(probe(&bench(500, 500)), Some((0, 500, false)));
        let mut fin = bench(2_000, 2_000);
        fin.tcb.flags.insert(Flags::FIN_QUEUED);
        assert_eq!(
            probe(&fin),
            Some((2_000, 0, true)),
            "it waits for its first sending"
        );
        let mut sent = bench(0, 0);
        sent.tcb.flags.insert(Flags::FIN_QUEUED);
        sent.tcb.flags.insert(Flags::FIN_SENT);
        sent.tcb.snd.nxt = UNA + 1;
        assert_eq!(probe(&sent), Some((0, 0, true)), "it is all that is outstanding");
    }

    #[test]
    fn there_is_no_probe_of_nothing_nor_beside_another_nor_where_no_text_goes() {
        assert_eq!(probe(&bench(3_000, 0)), None);
        let mut probed = bench(3_000, 2_000);
        probed.tcb.recovery.marks.insert(Marks::PROBED);
        assert_eq!(probe(&probed), None);
        let mut shut = bench(3_000, 2_000);
        shut.tcb.snd.wnd = 0;
        assert_eq!(probe(&shut), None, "a zero window is the persist timer's");
        let mut all_sent = bench(3_000, 2_000);
        all_sent.tcb.state = State::FinWait2;
        assert_eq!(probe(&all_sent), None);
    }

    // proves: RFC 8985 §7.4.2
    #[test]
    fn only_an_ack_of_what_was_probed_for_says_something_of_the_probe() {
        // A probe is outstanding; the ACK reaches so far. The probe is forgotten; what was owed still is.
        for (probed, acked, outstanding, owed) in [
            (true, 1_999, true, true),
            (true, 2_000, false, false),
            (true, 2_001, false, false),
            (false, 2_000, false, true),
            (false, 1_999, false, true),
        ] {
            let mut bench = bench(4_000, 3_000);
            if probed {
                bench.tcb.recovery.marks.insert(Marks::PROBED);
            }
            bench.tcb.recovery.high_rxt = UNA + 2_000;
            bench.tcb.debts.insert(Debts::TAIL_PROBE);
            let news = AckNews::default();
            bench.with(|tcb, env| tcb.on_ack_of_probe(UNA + acked, &news, env));
            assert_eq!(
                bench.tcb.recovery.marks.contains(Marks::PROBED),
                outstanding,
                "{acked}"
            );
            assert_eq!(
                bench.tcb.debts.contains(Debts::TAIL_PROBE),
                owed,
                "{probed} {acked}"
            );
        }
    }
}
