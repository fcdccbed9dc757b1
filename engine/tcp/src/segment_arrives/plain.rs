//! Plain text on the receiving side: the next text in order, from a peer that has acknowledged all that we sent, as a request or an
//! answer is that fits into a segment.
//!
//! Narrower than header prediction, and shorter: nothing waits to be sent, nothing is queued beyond one chunk, nothing is lost, missing
//! or owed, and the window is not what holds us back. What the steps of §3.10.7.4 come down to then is written out here. It
//! changes no outcome: with `header_prediction` off, nothing goes this way.

use fourtuple_wire::{Received, TcpFlags, TcpHeader};

use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Env, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    /// Whether a segment that the network did not mark, with `len` octets of payload that pin a buffer of `space`, is such text.
    #[inline(always)]
    pub fn expects_plain(&self, header: &TcpHeader, len: u32, space: usize, env: &Env<'_, B>) -> bool {
        let timely = match header.options.timestamps {
            Some(timestamps) => self.timestamps.enabled && self.timestamps.is_next(timestamps.value),
            None => !self.timestamps.enabled,
        };
        let (flight, wnd) = (self.snd.flight(), self.rcv.wnd());
        let charged = self.received.charged();
        self.state == State::Established
            && env.profile.header_prediction
            && TcpFlags(header.flags.0 & !TcpFlags::PSH.0) == TcpFlags::ACK
            && header.seq == self.rcv.nxt
            // RFC 9293 §3.10.7.4, fifth: all that was sent, for the first time or once more.
            && header.ack == self.snd.nxt
            && self.queue.is_one_chunk_of(flight)
            && len.wrapping_sub(1) < wnd
            && self.snd.wnd > 0
            // RFC 7661: a window of which not half was used says nothing about the path.
            && flight < self.congestion.window().div_ceil(2)
            && timely
            && header.options.sack.is_empty()
            && self.reassembly & self.aside & self.flight == NIL
            && self.recovery.phase == Phase::Open
            && !self.recovery.marks.contains(Marks::OF_PROBES_OR_SACKED)
            && !self.flags.contains(Flags::UNPREDICTED)
            && self.debts.is_within(Debts::ACK)
            && (charged == 0 || charged.saturating_add(space as u32) <= env.profile.receive_buffer.saturating_mul(2))
            && env.pools.receive.has_room()
    }

    /// Takes the text that [`expects_plain`](Self::expects_plain) told of; what is new for the application.
    #[inline(always)]
    pub fn take_plain(&mut self, header: &TcpHeader, payload: B::Rx, env: &mut Env<'_, B>) -> Signals {
        let (mut signals, tick) = (Signals::READABLE, env.tick());
        env.counters.segments_in += 1;
        env.counters.predicted += 1;
        if let Some(timestamps) = header.options.timestamps {
            self.timestamps
                .follow(timestamps.value, header.seq, self.rcv.last_ack_sent, env.now);
        }
        self.restart_keepalive(env);
        if header.ack != self.snd.una {
            self.all_is_acknowledged(header, tick, &mut signals, env);
        }
        // It was open before.
        self.follow_window(header);
        let len = payload.bytes().len() as u32;
        self.take_next(payload, len, env);
        signals
    }

    /// Text at RCV.NXT, for which there is room, with nothing missing before or behind it.
    #[inline(always)]
    pub(super) fn take_next(&mut self, payload: B::Rx, len: u32, env: &mut Env<'_, B>) {
        let seq = self.rcv.nxt;
        let _has_room = self.received.push(payload, seq, len, &mut env.pools.receive);
        self.rcv.nxt += len;
        env.counters.bytes_in += u64::from(len);
        self.on_text_in_order(len, env);
    }

    /// SND.UNA reaches SND.NXT, with nothing behind it that waits.
    #[inline(always)]
    pub(super) fn all_is_acknowledged(
        &mut self,
        header: &TcpHeader,
        tick: u32,
        signals: &mut Signals,
        env: &mut Env<'_, B>,
    ) {
        self.measure(header, env);
        self.snd.una = header.ack;
        if self.queue.len() > 0 {
            self.queue.forget_only_chunk();
            signals.insert(Signals::WRITABLE);
        }
        self.progress_at = tick;
        self.timers.retransmits = 0;
        // RFC 6298 §5.2.
        self.timers.disarm(Timer::Retransmit);
        self.flags.remove(Flags::TOLD_OF_TROUBLE);
        self.recovery.duplicate_acks = 0;
        // `recover` stays close behind, or after 2³¹ octets it would seem to lie ahead.
        self.recovery.recover = self.recovery.recover.later(header.ack);
    }
}

#[cfg(test)]
mod tests;
