//! SEGMENT ARRIVES in every state but CLOSED and LISTEN (RFC 9293 §3.10.7.3 and §3.10.7.4).
//!
//! The order of the checks is the RFC's, and that of the files:
//!
//! | step of §3.10.7.4 | file |
//! |---|---|
//! | (§3.10.7.3, SYN_SENT) | `syn_sent` |
//! | first: sequence number (PAWS before it, RFC 7323 §5.3) | `sequence` |
//! | second: RST | `reset` |
//! | third: security and compartment | none: nobody uses them, and Appendix A.1 lets them be ignored |
//! | fourth: SYN | `syn` |
//! | fifth: ACK | `ack` |
//! | sixth: URG | `urgent` |
//! | seventh: text | `text` |
//! | eighth: FIN | `fin` |
//!
//! A step lets the segment go on, or breaks off with its verdict. `fast_path` is a short way for what is expected.

mod ack;
mod fast_path;
mod fin;
mod plain;
mod plain_ends;
mod reset;
mod sequence;
mod syn;
mod syn_sent;
mod text;
mod urgent;

pub(crate) use syn_sent::TIMESTAMP_OCTETS;

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, Received, SeqNum, TcpFlags, TcpHeader};

use crate::signals::{Arrival, Signals};
use crate::tcb::Debts;
use crate::time_wait::TimeWaitArrival;
use crate::{Buffers, Env, State, Tcb};

/// What a step decides: to go on, or the verdict.
type Step = ControlFlow<Result<(), DropReason>>;

/// A segment on its way through the steps; what is outside the window gets trimmed off.
struct Segment<'a, Rx> {
    header: &'a TcpHeader,
    /// SEG.SEQ of what is left.
    seq: SeqNum,
    payload: Option<Rx>,
    /// A FIN stands behind the payload, and is within the window.
    fin: bool,
    /// It carried text that there was no room for.
    text_lost: bool,
    /// The network marked it (CE, RFC 3168).
    marked: bool,
}

impl<'a, Rx: Received> Segment<'a, Rx> {
    fn new(header: &'a TcpHeader, payload: Option<Rx>) -> Self {
        Self {
            header,
            seq: header.seq,
            payload,
            fin: header.flags.contains(TcpFlags::FIN),
            text_lost: false,
            marked: false,
        }
    }

    #[inline]
    fn is(&self, flag: TcpFlags) -> bool {
        self.header.flags.contains(flag)
    }

    /// Octets of payload that are left.
    #[inline]
    fn payload_len(&self) -> u32 {
        self.payload
            .as_ref()
            .map_or(0, |payload| payload.bytes().len() as u32)
    }

    /// SEG.LEN of what is left, without SYN.
    fn text_len(&self) -> u32 {
        self.payload_len() + u32::from(self.fin)
    }
}

impl<B: Buffers> Tcb<B> {
    /// A segment of this connection arrives. `payload` is `None` when there is none, else trimmed to the TCP payload.
    pub fn segment_arrives(
        &mut self,
        header: &TcpHeader,
        payload: Option<B::Rx>,
        env: &mut Env<'_, B>,
    ) -> Arrival {
        self.judge(Segment::new(header, payload), env)
    }

    /// A segment arrives that the network marked: its IP header said CE (RFC 3168).
    #[inline(never)]
    pub fn segment_arrives_marked(
        &mut self,
        header: &TcpHeader,
        payload: Option<B::Rx>,
        env: &mut Env<'_, B>,
    ) -> Arrival {
        let segment = Segment {
            marked: true,
            ..Segment::new(header, payload)
        };
        self.judge(segment, env)
    }

    /// A segment arrives whose text could not be kept: its acknowledgment counts, and the peer learns at once where we stand.
    pub fn segment_arrives_without_text(&mut self, header: &TcpHeader, env: &mut Env<'_, B>) -> Arrival {
        let mut header = header.clone();
        // What has its place behind the text, or within it.
        let gone = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
        header.flags = TcpFlags(header.flags.0 & !gone.0);
        let segment = Segment {
            text_lost: true,
            ..Segment::new(&header, None)
        };
        let arrival = self.judge(segment, env);
        if self.state.takes_text() {
            self.debts.insert(Debts::ACK);
        }
        arrival
    }

    #[inline]
    fn judge(&mut self, mut segment: Segment<'_, B::Rx>, env: &mut Env<'_, B>) -> Arrival {
        let (header, marked) = (segment.header, segment.marked);
        if let Some(payload) = segment.payload.take_if(|payload| {
            let len = payload.bytes().len() as u32;
            !marked && self.expects_plain(header, len, payload.space(), env)
        }) {
            return Arrival {
                signals: self.take_plain(header, payload, env),
                ..Arrival::new()
            };
        }
        if !marked && self.expects_plain_opening(header, segment.payload_len(), env) {
            return self.take_plain_opening(header, segment.payload.take(), env);
        }
        if segment.payload.is_none() && self.expects_plain_end(header, env) {
            return self.take_plain_end(header, env);
        }
        env.counters.segments_in += 1;
        if env.profile.header_prediction && self.is_predicted(&segment, env) {
            let mut signals = Signals::default();
            let verdict = self.fast_path(&mut segment, &mut signals, env);
            return Arrival {
                verdict,
                signals,
                ended: None,
                reply: None,
            };
        }
        let mut arrival = Arrival::new();
        arrival.verdict = match self.steps(&mut segment, &mut arrival, env) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(verdict) => verdict,
        };
        arrival
    }

    fn steps(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Step {
        match self.state {
            // Nothing is left of the connection: the engine answers as for none.
            State::Closed | State::Listen => {
                arrival.reply = crate::reset_for(segment.header, segment.payload_len() as usize);
                return ControlFlow::Break(Err(DropReason::NoConnection));
            }
            State::SynSent => self.syn_sent(segment, arrival, env)?,
            State::TimeWait => return self.time_wait_arrival(segment, env),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => {
                self.check_sequence(segment, env)?;
                self.restart_keepalive(env);
                self.check_reset(segment, arrival, env)?;
                self.check_syn(segment, env)?;
                self.check_ack(segment, arrival, env)?;
                if segment.payload.is_some() {
                    self.take_mark(segment.header, segment.marked, arrival, env);
                }
            }
        }
        self.check_urgent(segment, &mut arrival.signals, env);
        let verdict = self.take_text(segment, arrival, env);
        if arrival.signals.contains(Signals::ESTABLISHED) && self.state != State::Closed {
            self.take_text_of_syn(arrival, env);
        }
        if self.state != State::Closed {
            self.check_fin(segment, arrival, env);
            // What the window or the ACK has made possible.
            self.consider_text(env);
        }
        match verdict {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(verdict),
        }
    }

    /// TIME_WAIT: the rules are those of the compact record.
    fn time_wait_arrival(&mut self, segment: &Segment<'_, B::Rx>, env: &mut Env<'_, B>) -> Step {
        let mut record = self.time_wait_record(env);
        let payload_len = segment.payload_len() as usize;
        // What it would say is the connection's to say.
        let verdict = match record.segment_arrives(segment.header, payload_len, env.profile, || 0, env.now) {
            TimeWaitArrival::Acknowledge(_) => {
                // RFC 5961 §7: what two such ends could say to each other for ever is limited.
                if segment.text_len() > 0 {
                    self.debts.insert(Debts::ACK);
                } else {
                    self.challenge(env);
                }
                Err(DropReason::TimeWait)
            }
            // Its application has not read everything yet; the peer's SYN will come again when it has.
            TimeWaitArrival::Reopen => Err(DropReason::TimeWait),
            TimeWaitArrival::Drop(reason) => Err(reason),
        };
        if record.was_prolonged() {
            self.restart_time_wait(env);
        }
        ControlFlow::Break(verdict)
    }
}

/// An end that a step found.
fn ends(arrival: &mut Arrival, ending: crate::Ending) {
    arrival.ended = Some(ending);
    arrival.signals.remove(Signals::WRITABLE);
}
