//! What goes out: debts become segments, one a call, when the engine has a slot for it (D1).
//!
//! The order is RST, SYN, retransmission, probes, text, pure ACK, keep-alive. Every segment with ACK pays the debt of an ACK.

use std::ops::Range;

use fourtuple_wire::{SeqNum, TcpFlags, TcpHeader, TcpOptions};

use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::text::Text;
use crate::timers::Timer;
use crate::window::scaled_up;
use crate::{Buffers, Env, PlainSegment, Pools, State, Tcb};

/// A segment to be sent, counted as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its header, without ports and checksum.
    pub header: TcpHeader,
    /// Where its payload begins in the send queue; only good until the next call.
    pub payload_offset: u32,
    /// Octets of payload.
    pub payload_len: u16,
    /// It was sent before.
    pub retransmission: bool,
    /// Its IP header says ECT(0): the network may mark it instead of dropping it (RFC 3168).
    pub ect: bool,
}

impl Outgoing {
    /// Plain text of `len` octets.
    fn plain(segment: &PlainSegment, len: u16) -> Self {
        Self {
            header: segment.header(),
            payload_offset: 0,
            payload_len: len,
            retransmission: false,
            ect: segment.ect,
        }
    }

    /// Without payload, and so without ECT (RFC 3168 §6.1.4).
    const fn bare(header: TcpHeader) -> Self {
        Self {
            header,
            payload_offset: 0,
            payload_len: 0,
            retransmission: false,
            ect: false,
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// Builds the next segment that is owed; call again until `None`.
    // RFC 9293 §3.10.7.4, MUST-58: what arrived before has become one debt of an ACK, which text pays as well as a bare one.
    #[inline]
    pub fn poll_transmit(&mut self, env: &mut Env<'_, B>) -> Option<Outgoing> {
        if let Some(text) = self.plain_text(env.profile) {
            let len = text.len() as u16;
            return Some(Outgoing::plain(&self.send_plain(env), len));
        }
        let outgoing = self.next_owed(env)?;
        env.counters.segments_out += 1;
        env.counters.bytes_out += u64::from(outgoing.payload_len);
        Some(outgoing)
    }

    #[inline]
    fn next_owed(&mut self, env: &mut Env<'_, B>) -> Option<Outgoing> {
        if self.debts.is_empty() {
            return None;
        }
        if self.debts.contains(Debts::RESET) {
            return Some(self.reset(env));
        }
        if self.debts.contains(Debts::SYN) {
            return Some(self.syn(env));
        }
        if self.debts.contains(Debts::RETRANSMIT) {
            self.debts.remove(Debts::RETRANSMIT);
            if let Some(text) = self.first_unacknowledged(env.pools) {
                return Some(self.send_text(text, env));
            }
        }
        if self.debts.contains(Debts::TAIL_PROBE) {
            self.debts.remove(Debts::TAIL_PROBE);
            if let Some(text) = self.tail_probe(env.pools) {
                self.probed(&text, env);
                return Some(self.send_text(text, env));
            }
        }
        if self.debts.contains(Debts::PROBE) {
            self.debts.remove(Debts::PROBE);
            if let Some(text) = self.probe() {
                env.counters.window_probes += 1;
                let outgoing = self.send_text(text, env);
                // RFC 3168 §6.1.6: a probe is not for the network to mark.
                return Some(Outgoing {
                    ect: false,
                    ..outgoing
                });
            }
        }
        if self.debts.contains(Debts::TEXT) {
            if let Some(text) = self.next_text(env) {
                return Some(self.send_text(text, env));
            }
            self.debts.remove(Debts::TEXT);
        }
        if self.debts.contains(Debts::ACK) {
            return Some(self.pure_ack(env));
        }
        if self.debts.contains(Debts::KEEPALIVE) {
            self.debts.remove(Debts::KEEPALIVE);
            env.counters.keepalive_probes += 1;
            // RFC 9293 §3.8.4, SHLD-12: no data, and a sequence number that must be answered.
            let seq = self.snd.nxt.back(1);
            return Some(Outgoing::bare(self.header(seq, self.rcv.nxt, TcpFlags::ACK, env)));
        }
        None
    }

    /// Calls `f` with the chunks, and the parts of them, that are the payload of what `poll_transmit` just gave.
    pub fn each_payload(&self, outgoing: &Outgoing, pools: &Pools<B>, f: impl FnMut(&B::Tx, Range<usize>)) {
        if outgoing.payload_len > 0 {
            let start = outgoing.payload_offset;
            self.queue
                .each(start..start + u32::from(outgoing.payload_len), &pools.send, f);
        }
    }

    /// A header with ACK, window and the options of a synchronised connection.
    #[inline]
    fn header(&mut self, seq: SeqNum, ack: SeqNum, flags: TcpFlags, env: &mut Env<'_, B>) -> TcpHeader {
        self.advertise(env.profile);
        // The window is told from the ACK's point; rounded up, and the edge with it, so that it never goes back.
        let shift = self.rcv.shift;
        let field = scaled_up(self.rcv.adv.distance_from(ack), shift).min(65_535);
        self.rcv.adv = self.rcv.adv.later(ack + (field << shift));
        let mut flags = flags;
        if self.flags.contains(Flags::ECN_ECHO) {
            // RFC 3168 §6.1.3: in every ACK until the peer's CWR.
            flags |= TcpFlags::ECE;
        }
        let mut options = TcpOptions {
            timestamps: self.timestamps.option(env.now),
            ..TcpOptions::default()
        };
        self.acknowledged_up_to(ack);
        if self.reassembly != NIL {
            self.say_what_came(&mut options, env);
        }
        let (flags, urgent) = self.urgent_pointer(seq, flags, env.pools);
        TcpHeader {
            seq,
            ack,
            flags,
            window: field as u16,
            urgent,
            options,
        }
    }

    /// Blocks that fit beside timestamps: 40 octets of options hold three with them, four without.
    pub(crate) fn sack_room(&self) -> usize {
        if self.timestamps.enabled { 3 } else { 4 }
    }

    /// Octets of payload that a segment holds now, with the options it would have (RFC 9293 §3.7.1, MUST-16).
    pub(crate) fn payload_room(&self, pools: &Pools<B>) -> u32 {
        let mss = u32::from(self.snd.mss);
        if self.reassembly == NIL || !self.flags.contains(Flags::SACK) {
            return mss;
        }
        let blocks = pools.reassemblies.piece(self.reassembly).map_or(0, |reassembly| {
            reassembly.reports.blocks() + reassembly.blocks.len()
        });
        match blocks.min(self.sack_room()) as u32 {
            0 => mss,
            blocks => mss.saturating_sub(4 + 8 * blocks).max(1),
        }
    }

    /// A connection that is aborted: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>. The window is of no use to the peer.
    fn reset(&mut self, env: &mut Env<'_, B>) -> Outgoing {
        self.debts = Debts::NONE;
        env.counters.resets_out += 1;
        Outgoing::bare(TcpHeader {
            seq: self.snd.nxt,
            ack: self.rcv.nxt,
            flags: TcpFlags::RST | TcpFlags::ACK,
            // RFC 7323 §3.2: a RST has them too.
            options: TcpOptions {
                timestamps: self.timestamps.option(env.now),
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        })
    }

    /// The SYN of an active open, or the SYN+ACK that answers a SYN.
    fn syn(&mut self, env: &mut Env<'_, B>) -> Outgoing {
        self.debts.remove(Debts::SYN);
        let fast = self.awaits_handshake();
        let answers = fast || self.state == State::SynReceived;
        let again = self.rcv.syn_retransmits > 0;
        env.counters.retransmits_syn += u64::from(again);
        let text = if again { 0 } else { self.text_of_syn() };
        if text > 0 {
            self.queue.seek(0, &env.pools.send);
            self.snd.nxt += text;
        }
        if !again {
            let end = if fast { self.snd.una } else { self.snd.una + 1 };
            self.rto.start(end, env.now);
        }
        if !self.timers.is_armed(Timer::Retransmit) {
            self.arm_syn_timer(env);
        }
        let mut options = TcpOptions {
            // RFC 9293 §3.7.1, MUST-14, SHLD-5, MAY-3: always told; MUST-65: only here.
            mss: Some(self.rcv.mss),
            window_scale: (env.profile.window_scaling).then_some(env.profile.window_shift()),
            sack_permitted: env.profile.sack,
            timestamps: None,
            ..TcpOptions::default()
        };
        let mut flags = TcpFlags::SYN;
        if answers {
            // RFC 7323 §2.2, §3.2, RFC 2018 §2: a SYN+ACK has what the SYN had.
            flags |= TcpFlags::ACK;
            options.window_scale = options
                .window_scale
                .filter(|_| self.flags.contains(Flags::WINDOW_SCALE));
            options.sack_permitted = self.flags.contains(Flags::SACK);
            options.timestamps = self.timestamps.option(env.now);
            self.acknowledged_up_to(self.rcv.nxt);
        } else if env.profile.timestamps {
            let value = self.timestamps.value(env.now);
            options.timestamps = Some(fourtuple_wire::Timestamps { value, echo: 0 });
        }
        flags |= self.ecn_of_syn(answers, env.profile);
        let window = if fast {
            self.advertise_fast_open(env)
        } else {
            self.advertise_initial(env.profile)
        };
        let ack = if answers { self.rcv.nxt } else { SeqNum(0) };
        let header = TcpHeader {
            seq: if fast { self.snd.una.back(1) } else { self.snd.una },
            ack,
            flags,
            window,
            urgent: 0,
            options,
        };
        Outgoing {
            payload_len: text as u16,
            retransmission: again,
            ..Outgoing::bare(header)
        }
    }

    /// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, or short of RCV.NXT while a burst owes several.
    fn pure_ack(&mut self, env: &mut Env<'_, B>) -> Outgoing {
        let ack = self.next_ack();
        env.counters.pure_acks_out += 1;
        if self.reassembly != NIL {
            self.duplicate_ack_goes(env);
        }
        Outgoing::bare(self.header(self.seq_in_window(), ack, TcpFlags::ACK, env))
    }

    /// The same of all that came, with the echo as it stands, to be sent before what is owed.
    pub(crate) fn ack_of_all(&mut self, env: &mut Env<'_, B>) -> TcpHeader {
        env.counters.segments_out += 1;
        env.counters.pure_acks_out += 1;
        self.header(self.seq_in_window(), self.rcv.nxt, TcpFlags::ACK, env)
    }

    /// SND.NXT, or the edge of the peer's window where that lies before it: RFC 9293 §3.8.6 has a sender expect a window that
    /// shrinks, and an acknowledgment beyond it is outside of what the peer may accept (§3.10.7.4), so that with both windows
    /// full neither side would ever learn what arrived.
    fn seq_in_window(&self) -> SeqNum {
        let edge = self.snd.una + self.snd.wnd;
        if self.state != State::SynReceived && edge.before(self.snd.nxt) {
            edge
        } else {
            self.snd.nxt
        }
    }

    /// A segment with text, a FIN, or both.
    #[inline]
    fn send_text(&mut self, text: Text, env: &mut Env<'_, B>) -> Outgoing {
        let offset = text.seq.distance_from(self.snd.una);
        let end = text.end();
        let mut flags = TcpFlags::ACK;
        // RFC 9293 §3.9.1.2, MUST-61: the last segment of what is queued is pushed, and only that (SHLD-27).
        if text.len > 0 && offset + text.len == self.queue.len() {
            flags |= TcpFlags::PSH;
        }
        if text.fin {
            flags |= TcpFlags::FIN;
        }
        let retransmission = text.seq != self.snd.nxt;
        // RFC 3168 §6.1.4, §6.1.5: no pure ACK and no retransmission is for the network to mark. §6.1.2: CWR goes with the first new data.
        let ect = self.flags.contains(Flags::ECN) && !retransmission && text.len > 0;
        if ect && self.flags.contains(Flags::CWR_OWED) {
            self.flags.remove(Flags::CWR_OWED);
            flags |= TcpFlags::CWR;
        }
        let header = self.header(text.seq, self.rcv.nxt, flags, env);
        if retransmission {
            self.rto.stop();
            self.note_retransmission(text.seq, env);
            self.recovery.high_rxt = self.recovery.high_rxt.later(end);
            match self.recovery.phase {
                // Counted as a tail loss probe.
                Phase::Open if self.recovery.marks.contains(Marks::PROBED) => {}
                Phase::Open | Phase::Loss => env.counters.retransmits_rto += 1,
                Phase::Fast | Phase::FastSack => env.counters.retransmits_fast += 1,
            }
        } else {
            self.note_probe(text.len, env);
            self.sent_new(offset, end, env);
            if text.fin {
                self.flags.insert(Flags::FIN_SENT);
            }
        }
        self.on_text_sent(text.seq, end, retransmission, env);
        self.arm_for_text(retransmission, env);
        self.last_sent = env.tick();
        self.tell_sent(text.len, env);
        if self.debts.contains(Debts::TEXT) && (self.nothing_to_send() || self.next_text(env).is_none()) {
            self.debts.remove(Debts::TEXT);
        }
        Outgoing {
            header,
            payload_offset: offset,
            payload_len: text.len as u16,
            retransmission,
            ect,
        }
    }

    /// Text goes out: its loss will be seen.
    #[inline]
    pub(crate) fn arm_for_text(&mut self, retransmission: bool, env: &Env<'_, B>) {
        let armed = self.timers.is_armed(Timer::Retransmit);
        if !armed && (retransmission || !self.may_probe()) {
            // RFC 6298 §5.1.
            self.arm_retransmit(env);
        } else if !armed {
            // RFC 8985 §7.2: a probe's time is never behind the timeout's.
            self.arm_probe(env);
        } else if !retransmission {
            self.restart_probe(env);
        }
    }

    /// New text up to `end` goes out: SND.NXT moves.
    #[inline(always)]
    pub(crate) fn sent_new(&mut self, offset: u32, end: SeqNum, env: &mut Env<'_, B>) {
        if self.snd.flight() == 0 {
            self.progress_at = env.tick();
            // The slot may still be the persist timer's, which looked further ahead.
            if self.snd.wnd > 0 {
                self.timers.disarm(Timer::Retransmit);
            }
        }
        if self.recovery.phase == Phase::Open && self.recovery.duplicate_acks > 0 {
            env.counters.limited_transmits += 1;
        }
        self.queue.seek(offset, &env.pools.send);
        self.rto.start(end, env.now);
        self.snd.nxt = end;
    }
}
