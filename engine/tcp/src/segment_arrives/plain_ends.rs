//! The plain beginning and the plain end of a connection: the ACK that ends a handshake in SYN_RECEIVED, the peer's FIN when all is said, and
//! the ACK of our FIN behind it.
//!
//! What the steps of §3.10.7.4 come down to for them is written out here, as `plain.rs` has it for text. It changes no outcome:
//! with `header_prediction` off, nothing goes this way.

use fourtuple_wire::{Received, TcpFlags, TcpHeader};

use super::ends;
use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Ending, Env, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    /// The next segment in order that acknowledges all that was sent, with nothing lost, missing or owed, and with options as agreed.
    #[inline(always)]
    fn is_next_of_all(&self, header: &TcpHeader, env: &Env<'_, B>) -> bool {
        let timely = match header.options.timestamps {
            Some(timestamps) => self.timestamps.enabled && self.timestamps.is_next(timestamps.value),
            None => !self.timestamps.enabled,
        };
        env.profile.header_prediction
            && header.seq == self.rcv.nxt
            && header.ack == self.snd.nxt
            && self.rcv.wnd() > 0
            && self.snd.wnd > 0
            && timely
            && header.options.sack.is_empty()
            && self.reassembly & self.aside & self.flight == NIL
            && self.recovery.phase == Phase::Open
            && !self.recovery.marks.contains(Marks::OF_PROBES_OR_SACKED)
            && self.debts.is_within(Debts::ACK)
    }

    /// Whether a segment without payload ends the connection in the usual way: the peer's FIN, with which it acknowledges all that we sent, or
    /// its ACK of ours.
    #[inline]
    pub fn expects_plain_end(&self, header: &TcpHeader, env: &Env<'_, B>) -> bool {
        let flight = self.snd.flight();
        let awaited = if header.flags == TcpFlags::ACK | TcpFlags::FIN {
            self.state == State::Established
                && self.queue.is_one_chunk_of(flight)
                // RFC 7661: a window of which not half was used says nothing about the path.
                && flight < self.congestion.window().div_ceil(2)
                && !self.flags.contains(Flags::UNPREDICTED)
        } else {
            header.flags == TcpFlags::ACK
                && self.state == State::LastAck
                && self.fin_sent()
                && flight == 1
                && self.queue.len() == 0
                && self.congestion.window() > 2
                && !self.flags.contains(Flags::FAST_OPEN)
        };
        awaited && self.is_next_of_all(header, env)
    }

    /// Takes the end that [`expects_plain_end`](Self::expects_plain_end) told of.
    pub fn take_plain_end(&mut self, header: &TcpHeader, env: &mut Env<'_, B>) -> Arrival {
        let mut arrival = Arrival::new();
        self.note_predicted(header, env);
        if header.ack != self.snd.una {
            self.all_is_acknowledged(header, env.tick(), &mut arrival.signals, env);
        }
        self.update_window(header, env);
        if self.state == State::LastAck {
            if self.flags.contains(Flags::ORPHAN) {
                self.arm_orphan(env);
            }
            self.enter(State::Closed, env);
            ends(&mut arrival, Ending::Closed);
        } else {
            self.take_fin(&mut arrival, env);
        }
        arrival
    }

    /// Whether a segment, with `len` octets of payload or none, ends a passive handshake in the usual way: it acknowledges our SYN, and that
    /// alone was sent.
    #[inline]
    pub(super) fn expects_plain_opening(&self, header: &TcpHeader, len: u32, env: &Env<'_, B>) -> bool {
        self.state == State::SynReceived
            && TcpFlags(header.flags.0 & !TcpFlags::PSH.0) == TcpFlags::ACK
            && self.snd.flight() == 1
            && self.queue.len() == 0
            && len <= self.rcv.wnd()
            && header.window > 0
            && !self.flags.contains(Flags::UNPREDICTED.with(Flags::FIN_QUEUED))
            && self.is_next_of_all(header, env)
    }

    /// Takes the opening that [`expects_plain_opening`](Self::expects_plain_opening) told of.
    pub(super) fn take_plain_opening(
        &mut self,
        header: &TcpHeader,
        payload: Option<B::Rx>,
        env: &mut Env<'_, B>,
    ) -> Arrival {
        let mut arrival = Arrival::new();
        self.note_predicted(header, env);
        self.syn_is_acknowledged(header, header.seq, &mut arrival, env);
        if let Some(payload) = payload {
            self.take_mark(header, false, &mut arrival, env);
            let len = payload.bytes().len() as u32;
            if len > 0 && self.received.charged() == 0 && env.pools.receive.has_room() {
                self.take_next(payload, len, env);
                arrival.signals.insert(Signals::READABLE);
            } else if len > 0 {
                arrival.verdict = self
                    .take_in_order(payload, env)
                    .inspect(|()| arrival.signals.insert(Signals::READABLE));
            }
        }
        arrival
    }

    /// What the first steps do with a segment that is taken.
    #[inline(always)]
    fn note_predicted(&mut self, header: &TcpHeader, env: &mut Env<'_, B>) {
        env.counters.segments_in += 1;
        env.counters.predicted += 1;
        if let Some(timestamps) = header.options.timestamps {
            self.timestamps
                .follow(timestamps.value, header.seq, self.rcv.last_ack_sent, env.now);
        }
        self.restart_keepalive(env);
    }
}

#[cfg(test)]
mod tests;
