//! Plain text: all that is queued, with a FIN behind it or a FIN alone, is one new segment that nothing holds back, as an answer
//! is that fits into one.
//!
//! A short way for what is common, as header prediction is on the other side: what windows, Nagle's algorithm, congestion control
//! and recovery would say of such text is known beforehand, so that it is neither asked for when text is queued nor again
//! when it leaves. It changes no outcome: with `header_prediction` off, nothing goes this way.

use fourtuple_wire::{SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::congestion::wants_every_sending;
use crate::pool::NIL;
use crate::recovery::Phase;
use crate::tcb::{Debts, Flags};
use crate::timers::Retransmit;
use crate::{Buffers, Env, Profile, State, Tcb};

/// A segment of plain text: with timestamps, counted as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSegment {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field.
    pub window: u16,
    /// The only option.
    pub timestamps: Timestamps,
    /// Its IP header says ECT(0).
    pub ect: bool,
}

impl PlainSegment {
    /// Its header.
    #[inline]
    pub fn header(&self) -> TcpHeader {
        TcpHeader {
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: 0,
            options: TcpOptions {
                timestamps: Some(self.timestamps),
                ..TcpOptions::default()
            },
        }
    }
}

/// Whatever makes text or its header something else than plain.
const NOT_PLAIN: Flags = Flags::PACED.with(Flags::ECN_ECHO).with(Flags::CWR_OWED);

impl<B: Buffers> Tcb<B> {
    /// All that is queued would leave as one segment now, if nothing else came before it.
    // RFC 9293 §3.8.6.2.1: all that is queued, and nothing outstanding (SND.NXT = SND.UNA), which Nagle lets go too.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        let (len, fin) = (self.queue.len(), u32::from(self.fin_unsent()));
        self.snd.una == self.snd.nxt
            && len + fin > 0
            && len <= u32::from(self.snd.mss)
            && len + fin <= self.snd.wnd
            && (self.state == State::Established || self.state.sends_text())
            && self.recovery.phase == Phase::Open
            && !self.flags.contains(NOT_PLAIN)
            && self.reassembly & self.aside & self.flight == NIL
    }

    /// SEND (§3.10.2) of so many bytes would make plain text: nothing is queued or outstanding, and they fit into a segment, the window
    /// and the buffer.
    #[inline(always)]
    pub fn takes_plain(&self, bytes: usize, profile: &Profile) -> bool {
        let most = u32::from(self.snd.mss).min(self.snd.wnd).min(profile.send_buffer);
        self.state == State::Established
            && self.queue.len() == 0
            && bytes.wrapping_sub(1) < most as usize
            && self.snd.una == self.snd.nxt
            && self.recovery.phase == Phase::Open
            && !self.flags.contains(NOT_PLAIN.with(Flags::FIN_QUEUED))
            && self.reassembly & self.aside & self.flight == NIL
            && profile.header_prediction
    }

    /// SEND of what [`takes_plain`](Self::takes_plain) told of.
    #[inline(always)]
    pub fn queue_plain(&mut self, payload: B::Tx, bytes: usize, env: &Env<'_, B>) {
        self.queue.begin_with(payload, bytes as u32);
        self.debts.remove(Debts::TAIL_PROBE);
        self.restart_after_idle(env);
        self.debts.insert(Debts::TEXT);
    }

    /// The bytes of plain text, in one piece, if that is what is owed, with an ACK or without.
    #[inline]
    pub fn plain_text(&self, profile: &Profile) -> Option<&[u8]> {
        let owed = self.debts.only(Debts::TEXT, Debts::ACK);
        let plain = owed
            && self.is_plain()
            && self.timestamps.enabled
            && profile.header_prediction
            && !wants_every_sending(profile);
        if plain { self.queue.only_chunk() } else { None }
    }

    /// The segment of the plain text that [`plain_text`](Self::plain_text) told of.
    #[inline(always)]
    pub fn send_plain(&mut self, env: &mut Env<'_, B>) -> PlainSegment {
        let (seq, len, tick) = (self.snd.nxt, self.queue.len(), env.tick());
        let fin = self.fin_unsent();
        // RFC 3168 §6.1.4: new data is for the network to mark, a bare FIN is not.
        let ect = len > 0 && self.flags.contains(Flags::ECN);
        let mut flags = TcpFlags::ACK;
        if len > 0 {
            // RFC 9293 §3.9.1.2, MUST-61, SHLD-27: it is the last segment of what is queued.
            flags |= TcpFlags::PSH;
        }
        if fin {
            flags |= TcpFlags::FIN;
            self.flags.insert(Flags::FIN_SENT);
        }
        let window = self.advertise(env.profile);
        self.acknowledged_up_to(self.rcv.nxt);
        self.plain_goes(seq + len + u32::from(fin), tick, env);
        self.arm_for_plain(tick, env);
        self.last_sent = tick;
        self.debts = Debts::NONE;
        env.counters.segments_out += 1;
        env.counters.bytes_out += u64::from(len);
        PlainSegment {
            seq,
            ack: self.rcv.nxt,
            flags,
            window,
            timestamps: Timestamps {
                value: self.timestamps.offset.wrapping_add(tick),
                echo: self.timestamps.recent,
            },
            ect,
        }
    }

    /// Plain text up to `end` goes out: `sent_new`, when nothing is outstanding, the window is open and no chunk lies behind the first.
    #[inline(always)]
    fn plain_goes(&mut self, end: SeqNum, tick: u32, env: &mut Env<'_, B>) {
        self.progress_at = tick;
        if self.recovery.duplicate_acks > 0 {
            env.counters.limited_transmits += 1;
        }
        self.rto.start(end, env.now);
        self.snd.nxt = end;
    }

    /// Plain text goes out, after which alone something is outstanding: `arm_for_text`, when nothing is armed and no time has
    /// passed without progress.
    #[inline(always)]
    fn arm_for_plain(&mut self, tick: u32, env: &Env<'_, B>) {
        let (mut what, mut timeout) = (
            Retransmit::Timeout,
            self.rto.timeout_ms(self.timers.backoff, env.profile),
        );
        if self.may_probe_when_open() {
            // RFC 8985 §7.2: after two round trips, or at the timeout.
            (what, timeout) = (Retransmit::Probe, self.at_most_probe_timeout_ms(timeout));
        }
        self.timers
            .arm_retransmit(what, env.profile.at_most_give_up_ms(timeout), tick);
    }
}

#[cfg(test)]
mod tests;
