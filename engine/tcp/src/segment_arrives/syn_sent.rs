//! SYN_SENT (RFC 9293 §3.10.7.3), in its order.

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, Received, TcpFlags, TcpHeader};

use super::{Segment, Step, ends};
use crate::recovery::Marks;
use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::window::initial_window;
use crate::{Buffers, Ending, Env, Signals, State, Tcb, timestamps};

impl<B: Buffers> Tcb<B> {
    pub(super) fn syn_sent(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Step {
        let header = segment.header;
        // First: an ACK must be of our SYN, SND.UNA < SEG.ACK ≤ SND.NXT; else <SEQ=SEG.ACK><CTL=RST>.
        let has_ack = segment.is(TcpFlags::ACK);
        // (With text in the SYN, RFC 7413 §4.2.2, it may be of that too, or not.)
        if has_ack && !(header.ack.after(self.snd.una) && header.ack.at_or_before(self.snd.nxt)) {
            arrival.reply = crate::reset_for(header, segment.payload_len() as usize);
            return ControlFlow::Break(Err(DropReason::BadAck));
        }
        // Second: a RST refuses us, if it acknowledges our SYN (RFC 5961 §3: else it could be anyone's).
        if segment.is(TcpFlags::RST) {
            if !has_ack {
                return ControlFlow::Break(Err(DropReason::NoAck));
            }
            env.counters.resets_in += 1;
            self.end(env);
            ends(arrival, Ending::Refused);
            return ControlFlow::Break(Ok(()));
        }
        // Third: security is not used. Fourth: SYN. Fifth: without SYN or RST the segment is dropped.
        if !segment.is(TcpFlags::SYN) {
            let reason = if has_ack {
                DropReason::BadAck
            } else {
                DropReason::NoAck
            };
            return ControlFlow::Break(Err(reason));
        }
        self.take_peer_syn(header, env);
        segment.seq += 1;
        if has_ack {
            self.syn_acknowledged(segment, arrival, env);
            return ControlFlow::Continue(());
        }
        // RFC 9293 §3.5, MUST-10: both ends opened at once; this is the one connection. <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>
        self.enter(State::SynReceived, env);
        self.debts.insert(Debts::SYN);
        self.rcv.syn_retransmits = 0;
        // Text in our SYN was in vain: the SYN+ACK has none.
        self.flags.remove(Flags::FAST_OPEN);
        self.snd.nxt = self.snd.una + 1;
        self.timers.disarm(Timer::Retransmit);
        self.queue_text_of_syn(segment, env);
        ControlFlow::Break(Ok(()))
    }

    /// Our SYN is acknowledged by the peer's: ESTABLISHED, and an ACK at once.
    fn syn_acknowledged(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) {
        self.measure(segment.header, env);
        self.syn_text_acknowledged(segment.header.ack, env);
        self.snd.una = segment.header.ack;
        self.enter(State::Established, env);
        self.debts.insert(Debts::ACK);
        arrival.signals.insert(Signals::ESTABLISHED);
        self.cut_to_offer(segment);
    }

    /// What lies beyond the window that our SYN offered is cut off.
    pub(super) fn cut_to_offer(&self, segment: &mut Segment<'_, B::Rx>) {
        let window = self.rcv.wnd();
        if segment.text_len() > window {
            segment.fin = false;
            if let Some(payload) = &mut segment.payload {
                payload.truncate(window as usize);
            }
        }
    }

    /// The peer's SYN: its sequence number, window and options (RFC 9293 §3.7.1, RFC 7323 §2.2, §3.2, RFC 2018 §2).
    #[inline(always)]
    pub(crate) fn take_peer_syn(&mut self, header: &TcpHeader, env: &Env<'_, B>) {
        let options = &header.options;
        self.rcv.nxt = header.seq + 1;
        self.rcv.last_ack_sent = self.rcv.nxt;
        self.rcv.adv = self.rcv.nxt + u32::from(initial_window(env.profile));
        match options.window_scale.filter(|_| env.profile.window_scaling) {
            Some(shift) => {
                self.flags.insert(Flags::WINDOW_SCALE);
                // RFC 7323 §2.3: a larger shift than 14 counts as 14.
                self.snd.shift = shift.min(14);
                self.rcv.shift = env.profile.window_shift();
            }
            None => (self.snd.shift, self.rcv.shift) = (0, 0),
        }
        if options.sack_permitted && env.profile.sack {
            self.flags.insert(Flags::SACK);
        }
        self.negotiate_ecn(header, env);
        if let Some(offered) = timestamps::offered(header, env.profile) {
            self.timestamps.begin(offered.value, env.now);
        }
        // RFC 7323 §2.2: the window of a SYN is never scaled.
        self.snd.wnd = u32::from(header.window);
        self.snd.max_window = header.window >> self.snd.shift;
        self.snd.wl1 = header.seq;
        self.snd.wl2 = if header.flags.contains(TcpFlags::ACK) {
            header.ack
        } else {
            self.snd.una
        };
        // RFC 9293 §3.7.1, MUST-15: without the option, the default that `mss` still holds. MUST-16: less our options.
        let mss = options
            .mss
            .unwrap_or(self.snd.mss)
            .clamp(LEAST_MSS, LEAST_MSS.max(self.snd.mss_limit));
        self.snd.mss = mss
            - if self.timestamps.enabled {
                TIMESTAMP_OCTETS
            } else {
                0
            };
    }

    /// A round-trip sample, from the segment under measurement or, when Karn's algorithm forbids it, from a timestamp.
    // RFC 9293 §3.8.1, MUST-18 (Karn): the backoff stays until there is a sample, which an ambiguous ACK does not give.
    #[inline(always)]
    pub(super) fn measure(&mut self, header: &TcpHeader, env: &Env<'_, B>) {
        let timed = !self.rto.is_idle();
        if self.rto.acknowledged(header.ack, env.profile, env.now) {
            self.measured();
        }
        if timed || !self.timestamps.enabled {
            return;
        }
        // RFC 7323 §4.1: an echo of ours on an ACK that advances SND.UNA.
        let echoed = header.options.timestamps.map(|timestamps| timestamps.echo);
        if let Some(sample) = echoed.and_then(|echo| self.timestamps.sample_us(echo, env.now)) {
            self.rto.sample(sample, env.profile);
            self.measured();
        }
    }

    /// A round trip was measured: the backoff ends, and another probe may be sent (RFC 8985 §7.3).
    #[inline]
    fn measured(&mut self) {
        self.timers.backoff = 0;
        self.recovery.marks.remove(Marks::UNMEASURED);
    }
}

/// Timestamps take ten octets, and two of padding.
pub(crate) const TIMESTAMP_OCTETS: u16 = 12;

/// What a segment holds at least, options included: a peer that says less would have us send little but headers.
const LEAST_MSS: u16 = 48;
