//! First: the sequence number (RFC 9293 §3.10.7.4), after PAWS (RFC 7323 §5.3); what lies outside the window is cut off.

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, Received, TcpFlags};

use super::{Segment, Step};
use crate::syn_record::acceptable;
use crate::tcb::Debts;
use crate::{Buffers, Env, State, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_sequence(&mut self, segment: &mut Segment<'_, B::Rx>, env: &mut Env<'_, B>) -> Step {
        self.syn_of_simultaneous_open(segment)?;
        if let Err(reason) = self.syn_of_fast_open(segment.header) {
            return ControlFlow::Break(Err(reason));
        }
        self.check_paws(segment, env)?;
        let len = segment.text_len() + u32::from(segment.is(TcpFlags::SYN));
        // RFC 9293 §3.4, MUST-66: with a zero window RST, URG and ACK of a segment at RCV.NXT are still heeded.
        let heeded = self.rcv.wnd() == 0 && segment.seq == self.rcv.nxt;
        if !heeded && !acceptable(segment.seq, len, self.rcv.nxt, self.rcv.wnd()) {
            return ControlFlow::Break(Err(self.unacceptable(segment, len, env)));
        }
        if heeded && len > 0 {
            // A probe of our window, or data sent in spite of it: the answer tells where we stand.
            self.debts.insert(Debts::ACK);
        }
        let taken = self.will_be_taken(segment);
        if taken {
            self.follow_timestamp(segment, env);
        }
        self.trim(segment, taken, env);
        ControlFlow::Continue(())
    }

    fn follow_timestamp(&mut self, segment: &Segment<'_, B::Rx>, env: &Env<'_, B>) {
        if let Some(timestamps) = segment.header.options.timestamps
            && self.timestamps.enabled
        {
            let (seq, last_ack_sent) = (segment.header.seq, self.rcv.last_ack_sent);
            self.timestamps
                .follow(timestamps.value, seq, last_ack_sent, env.now);
        }
    }

    /// Neither RST nor SYN, and its ACK would pass the fifth step.
    // Deviation: RFC 7323 §5.3 R3 takes TS.Recent before the ACK is looked at; so a forged segment that RFC 5961 §5 has dropped
    // would still have PAWS drop all that the peer sends.
    fn will_be_taken(&self, segment: &Segment<'_, B::Rx>) -> bool {
        segment.is(TcpFlags::ACK)
            && !segment.is(TcpFlags::RST)
            && (!segment.is(TcpFlags::SYN) || self.state == State::SynReceived)
            && self.is_ack_acceptable(segment.header.ack)
    }

    /// SYN_RECEIVED: the peer's SYN once more, alone (our SYN+ACK was lost) or as the SYN+ACK of a simultaneous open.
    fn syn_of_simultaneous_open(&mut self, segment: &mut Segment<'_, B::Rx>) -> Step {
        let again = self.state == State::SynReceived
            && segment.is(TcpFlags::SYN)
            && !segment.is(TcpFlags::RST)
            && segment.seq + 1 == self.rcv.nxt;
        if !again {
            return ControlFlow::Continue(());
        }
        if segment.is(TcpFlags::ACK) {
            // RFC 9293 figure 8: its ACK is what we wait for. The old SYN before it is cut off, and is none in the fourth step.
            segment.seq += 1;
            return ControlFlow::Continue(());
        }
        self.debts.insert(Debts::SYN);
        ControlFlow::Break(Err(DropReason::Duplicate))
    }

    /// RFC 7323 §5.3 R1. A RST is not held to it (§5.2).
    fn check_paws(&mut self, segment: &Segment<'_, B::Rx>, env: &mut Env<'_, B>) -> Step {
        if !self.timestamps.enabled || segment.is(TcpFlags::RST) {
            return ControlFlow::Continue(());
        }
        let Some(timestamps) = segment.header.options.timestamps else {
            if segment.is(TcpFlags::SYN) {
                // A peer that rebooted and offers none any more: the fourth step challenges it.
                return ControlFlow::Continue(());
            }
            // RFC 7323 §3.2: once negotiated, a segment without the option is dropped.
            env.counters.paws_drops += 1;
            return ControlFlow::Break(Err(DropReason::OldTimestamp));
        };
        if self.timestamps.is_old(timestamps.value, env.now) {
            env.counters.paws_drops += 1;
            self.answer(segment, env);
            return ControlFlow::Break(Err(DropReason::OldTimestamp));
        }
        ControlFlow::Continue(())
    }

    /// §3.10.7.4: an unacceptable segment is answered with an ACK, unless it is a RST.
    fn unacceptable(&mut self, segment: &Segment<'_, B::Rx>, len: u32, env: &mut Env<'_, B>) -> DropReason {
        if segment.is(TcpFlags::RST) {
            return DropReason::OutOfWindow;
        }
        self.follow_duplicate(segment, env);
        self.answer(segment, env);
        if len > 0 && (segment.seq + len).at_or_before(self.rcv.nxt) {
            env.counters.duplicates_in += 1;
            DropReason::Duplicate
        } else {
            DropReason::OutOfWindow
        }
    }

    /// The answer to what was sent again because its ACK was lost echoes that sending.
    // Deviation: RFC 7323 §5.3 R2 has it rejected before TS.Recent is looked at. Then the echo would be of the first sending, and
    // the time since pass for a round trip. It has to lie as close as what the window admits, and its ACK has to be good.
    fn follow_duplicate(&mut self, segment: &Segment<'_, B::Rx>, env: &Env<'_, B>) {
        let old = self.rcv.nxt.distance_from(segment.seq);
        if segment.text_len() > 0 && old <= env.profile.receive_buffer && self.will_be_taken(segment) {
            self.follow_timestamp(segment, env);
        }
    }

    /// Two ends that lost each other's sequence numbers would answer bare ACKs for ever: those are limited.
    fn answer(&mut self, segment: &Segment<'_, B::Rx>, env: &mut Env<'_, B>) {
        if segment.text_len() > 0 {
            self.debts.insert(Debts::ACK);
            self.report_old_octets(segment, env);
        } else {
            self.challenge(env);
        }
    }

    /// RFC 2883 §4.1: what lies before RCV.NXT came twice.
    fn report_old_octets(&mut self, segment: &Segment<'_, B::Rx>, env: &mut Env<'_, B>) {
        let end = segment.seq + segment.payload_len();
        self.report_duplicate(segment.seq, end.earlier(self.rcv.nxt), env);
    }

    /// §3.10.7.4: "tailored to the window": old octets go off the front, those beyond the right edge off the end.
    fn trim(&mut self, segment: &mut Segment<'_, B::Rx>, taken: bool, env: &mut Env<'_, B>) {
        let old = self.rcv.nxt.distance_from(segment.seq) as i32;
        if old > 0 && !segment.is(TcpFlags::SYN) {
            let old = old as u32;
            if taken {
                self.report_old_octets(segment, env);
            }
            segment.seq = self.rcv.nxt;
            if old > segment.payload_len() {
                segment.fin = false;
            }
            if let Some(payload) = &mut segment.payload {
                payload.trim_front(old as usize);
            }
        }
        let room = self.rcv.adv.distance_from(segment.seq);
        if segment.text_len() > room {
            segment.fin = false;
            if let Some(payload) = &mut segment.payload {
                payload.truncate(room as usize);
            }
        }
    }
}
