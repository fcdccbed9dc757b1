//! The fast path: header prediction (RFC 9293 has none; Van Jacobson, 1988). An optimisation only (idea 5 of the design).
//!
//! Predicted is, in ESTABLISHED with nothing lost, missing or half closed, the segment at RCV.NXT with nothing but ACK (and
//! PSH), an open window and timestamps as agreed, that acknowledges something new, brings text, or both. For such a
//! segment the steps of §3.10.7.4 come down to those below, which are the same functions.

use fourtuple_wire::{DropReason, Received, TcpFlags};

use super::Segment;
use crate::pool::NIL;
use crate::recovery::{AckNews, Marks, Phase};
use crate::tcb::Flags;
use crate::{Buffers, Env, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    #[inline]
    pub(super) fn is_predicted(&self, segment: &Segment<'_, B::Rx>, env: &Env<'_, B>) -> bool {
        let header = segment.header;
        let options = &header.options;
        let timely = match options.timestamps {
            Some(timestamps) => self.timestamps.enabled && !self.timestamps.is_old(timestamps.value, env.now),
            None => !self.timestamps.enabled,
        };
        let acknowledges = header.ack.after(self.snd.una) && header.ack.at_or_before(self.snd.nxt);
        let len = segment.payload_len();
        self.state == State::Established
            && TcpFlags(header.flags.0 & !TcpFlags::PSH.0) == TcpFlags::ACK
            && header.seq == self.rcv.nxt
            && (acknowledges || (len > 0 && header.ack == self.snd.una))
            && len <= self.rcv.wnd()
            && self.rcv.wnd() > 0
            && self.snd.wnd > 0
            && timely
            && options.sack.is_empty()
            && self.reassembly == NIL
            && !self.recovery.marks.contains(Marks::SACKED)
            && self.recovery.phase == Phase::Open
            && !self.flags.contains(Flags::UNPREDICTED)
            && !segment.marked
    }

    #[inline]
    pub(super) fn fast_path(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        signals: &mut Signals,
        env: &mut Env<'_, B>,
    ) -> Result<(), DropReason> {
        let header = segment.header;
        env.counters.predicted += 1;
        if let Some(timestamps) = header.options.timestamps {
            self.timestamps
                .follow(timestamps.value, header.seq, self.rcv.last_ack_sent, env.now);
        }
        self.restart_keepalive(env);
        if header.ack != self.snd.una {
            let mut news = AckNews::of(self.snd.flight(), Phase::Open, false);
            self.advance_una(header, &mut news, signals, env);
            self.tell_news(&news, env);
        }
        self.close_flight(env);
        self.update_window(header, env);
        let taken = match segment.payload.take() {
            Some(payload) if !payload.bytes().is_empty() => self
                .take_in_order(payload, env)
                .inspect(|()| signals.insert(Signals::READABLE)),
            Some(_) | None => Ok(()),
        };
        self.consider_text(env);
        taken
    }
}

#[cfg(test)]
mod tests;
