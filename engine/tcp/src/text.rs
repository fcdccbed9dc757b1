//! Which text goes out next: lost, new, or with a FIN behind it, as windows and the sender's avoidance of silly ones allow.
//!
//! Congestion bounds what is in the network (RFC 5681, RFC 6675), SND.WND what lies beyond SND.UNA (RFC 9293 §3.8.6).

use fourtuple_wire::SeqNum;

use crate::nagle::{Offer, may_send};
use crate::recovery::{Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Env, Pools, Tcb};

/// A segment of the send queue: `len` octets at `seq`, and a FIN behind them or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) seq: SeqNum,
    pub(crate) len: u32,
    pub(crate) fin: bool,
}

impl Text {
    /// The sequence number behind it.
    pub(crate) fn end(&self) -> SeqNum {
        self.seq + self.len + u32::from(self.fin)
    }
}

impl<B: Buffers> Tcb<B> {
    /// The sequence number behind the last octet queued, where a FIN stands; only with the SYN acknowledged.
    fn queue_end(&self) -> SeqNum {
        self.snd.una + self.queue.len()
    }

    /// Our FIN was sent.
    pub(crate) fn fin_sent(&self) -> bool {
        self.flags.contains(Flags::FIN_SENT)
    }

    /// Our FIN, and so everything, was sent and acknowledged.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.fin_sent() && self.snd.flight() == 0
    }

    /// The FIN waits for its first sending.
    #[inline]
    pub(crate) fn fin_unsent(&self) -> bool {
        self.flags.contains(Flags::FIN_QUEUED) && !self.fin_sent()
    }

    /// Text, or the FIN, was never sent.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.snd.flight() < self.queue.len() || self.fin_unsent()
    }

    /// All was sent, and nothing is thought lost.
    #[inline]
    pub(crate) fn nothing_to_send(&self) -> bool {
        self.recovery.phase == Phase::Open && !self.has_unsent()
    }

    /// Something changed that lets text go, or keeps it: the debt, or the persist timer.
    #[inline]
    pub(crate) fn consider_text(&mut self, env: &mut Env<'_, B>) {
        if self.nothing_to_send() && !self.debts.contains(Debts::TAIL_PROBE) {
            self.debts.remove(Debts::TEXT);
        } else {
            self.consider_any_text(env);
        }
    }

    /// The same where text is queued: after a segment, and after a call of the application.
    fn consider_any_text(&mut self, env: &mut Env<'_, B>) {
        if self.debts.contains(Debts::TAIL_PROBE) && self.tail_probe(env.pools).is_none() {
            self.debts.remove(Debts::TAIL_PROBE);
        }
        if self.nothing_to_send() || !self.state.sends_text() {
            self.debts.remove(Debts::TEXT);
            return;
        }
        if self.snd.flight() == 0 {
            self.restart_after_idle(env);
        }
        self.follow_pace(env);
        if self.next_text(env).is_some() {
            self.debts.insert(Debts::TEXT);
        } else {
            self.debts.remove(Debts::TEXT);
            if !self.flags.contains(Flags::PACED) {
                self.consider_persist(env);
            }
        }
    }

    /// Text was queued, or a FIN: as `consider_text`, for what is mostly so.
    #[inline]
    pub(crate) fn consider_queued_text(&mut self, env: &mut Env<'_, B>) {
        if env.profile.header_prediction && self.debts.only(Debts::TEXT, Debts::ACK) {
            let flight = self.snd.flight();
            if flight == 0 {
                self.restart_after_idle(env);
            }
            if flight + u32::from(self.snd.mss) <= self.congestion.window().min(self.snd.wnd) {
                // What may go goes with more behind it, too: a whole segment fits, and no rule holds text back for there being more.
                return;
            }
        }
        if env.profile.header_prediction && self.is_plain() {
            self.debts.remove(Debts::TAIL_PROBE);
            self.restart_after_idle(env);
            self.debts.insert(Debts::TEXT);
        } else {
            self.consider_any_text(env);
        }
    }

    /// RFC 5681 §4.1: after an RTO without sending, the window is the initial one at most.
    #[inline]
    pub(crate) fn restart_after_idle(&mut self, env: &Env<'_, B>) {
        let idle = env.tick().wrapping_sub(self.last_sent);
        if idle > self.rto.timeout_ms(0, env.profile) {
            let initial = self.initial_congestion_window(env.profile);
            self.congestion.on_idle(env.profile.congestion, initial);
        }
    }

    /// The text to be sent now, if any.
    #[inline]
    pub(crate) fn next_text(&self, env: &Env<'_, B>) -> Option<Text> {
        // With a zero window only probes go out; nothing before its time.
        if !self.state.sends_text() || self.snd.wnd == 0 || self.flags.contains(Flags::PACED) {
            return None;
        }
        let room = self.payload_room(env.pools);
        match self.recovery.phase {
            Phase::Open | Phase::Fast => self.next_new(room, self.pipe(env.pools), env),
            Phase::FastSack | Phase::Loss => {
                let pipe = self.pipe(env.pools);
                match self.next_lost(env.pools) {
                    Some(hole) if !self.goes_forward(env) => self.within_windows(hole, room, pipe),
                    Some(_) | None => self.next_new(room, pipe, env),
                }
            }
        }
    }

    /// The beginning of a hole, if both windows admit it.
    fn within_windows(&self, (left, right): (SeqNum, SeqNum), room: u32, pipe: u32) -> Option<Text> {
        let text = self.text_of(left, right, room);
        // RFC 9293 §3.8.6, SHLD-16: old data is sent again within the window that is now.
        let inside = left.within(self.snd.una, self.snd.wnd);
        let admitted = pipe == 0 || pipe + text.len <= self.congestion.window();
        (inside && admitted && (text.len > 0 || text.fin)).then_some(text)
    }

    /// What was sent of `left..right`, a segment at most; the FIN when it is reached.
    pub(crate) fn text_of(&self, left: SeqNum, right: SeqNum, room: u32) -> Text {
        let queued = self.queue_end().distance_from(left);
        let len = right.distance_from(left).min(queued).min(room);
        let fin = len == queued && (left + len).before(right) && self.fin_sent();
        Text { seq: left, len, fin }
    }

    /// The first segment that is not acknowledged, up to what is SACKed.
    pub(crate) fn first_unacknowledged(&self, pools: &Pools<B>) -> Option<Text> {
        let text = self.text_of(self.snd.una, self.first_sacked(pools), self.payload_room(pools));
        (text.len > 0 || text.fin).then_some(text)
    }

    /// RFC 9293 §3.8.6.1: one octet, or all that the window lets go when only its silly size held it back.
    pub(crate) fn probe(&self) -> Option<Text> {
        if !self.state.sends_text() {
            return None;
        }
        let (una, flight) = (self.snd.una, self.snd.flight());
        if flight > 0 {
            return Some(self.text_of(una, self.snd.nxt, 1));
        }
        let len = self
            .queue
            .len()
            .min(self.snd.wnd.max(1))
            .min(u32::from(self.snd.mss));
        let fin = len == self.queue.len() && self.fin_unsent();
        (len > 0 || fin).then_some(Text { seq: una, len, fin })
    }

    /// New text at SND.NXT, when windows, Nagle and the avoidance of silly windows let it go.
    #[inline]
    fn next_new(&self, room: u32, pipe: u32, env: &Env<'_, B>) -> Option<Text> {
        if !self.has_unsent() {
            return None;
        }
        let flight = self.snd.flight();
        let unsent = self.queue.len() - flight;
        // RFC 9293 §3.8.6, SHLD-15, MUST-34: a window that shrank below what is outstanding admits nothing new.
        let usable = self.snd.wnd.saturating_sub(flight);
        if usable == 0 {
            return None;
        }
        let room = self.room_or_probe(room, env);
        let text = self.new_text(usable, room);
        let len = text.len;
        if pipe > 0 && pipe + len > self.congestion.window() + self.limited_transmit() {
            return None;
        }
        let offer = Offer {
            len,
            unsent,
            mss: room,
            max_wnd: self.snd.max_wnd(),
            idle: flight == 0,
            nodelay: env.profile.nodelay || self.sends_urgent(env.pools),
            fin: self.fin_unsent(),
        };
        // A FIN alone is all that is queued, with nothing to wait for.
        (may_send(&offer) && (len > 0 || text.fin)).then_some(text)
    }

    /// What was never sent, as much as one segment and this much of the window hold; the FIN behind it if that fits too.
    #[inline]
    pub(crate) fn new_text(&self, usable: u32, room: u32) -> Text {
        let unsent = self.queue.len().saturating_sub(self.snd.flight());
        let len = unsent.min(usable).min(room);
        Text {
            seq: self.snd.nxt,
            len,
            fin: self.fin_unsent() && len == unsent && usable > len,
        }
    }

    /// RFC 3042: a new segment for each of the first two duplicate ACKs.
    #[inline]
    fn limited_transmit(&self) -> u32 {
        match self.recovery.phase {
            // With SACK the pipe drains by what was delivered (RFC 6675 §5 (3)).
            Phase::Open if !self.recovery.marks.contains(Marks::SACKED) => {
                u32::from(self.recovery.duplicate_acks.min(2)) * u32::from(self.snd.mss)
            }
            Phase::Open | Phase::Fast | Phase::FastSack | Phase::Loss => 0,
        }
    }

    /// New data is acknowledged, or nothing is outstanding: the timer begins again or stops (RFC 6298 §5.2, §5.3).
    #[inline]
    pub(crate) fn restart_retransmit(&mut self, env: &Env<'_, B>) {
        self.debts.remove(Debts::TAIL_PROBE);
        if self.snd.flight() == 0 {
            self.timers.disarm(Timer::Retransmit);
            self.debts.remove(Debts::RETRANSMIT);
            if !self.has_unsent() {
                self.debts.remove(Debts::PROBE);
                self.debts.remove(Debts::TEXT);
            }
        } else {
            self.arm_retransmit(env);
            self.restart_probe(env);
        }
    }
}

#[cfg(test)]
mod tests;
