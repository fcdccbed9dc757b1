//! Second: the RST bit (RFC 9293 §3.10.7.4, RFC 5961 §3).

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, TcpFlags};

use super::{Segment, Step, ends};
use crate::signals::Arrival;
use crate::tcb::Flags;
use crate::{Buffers, Ending, Env, State, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_reset(
        &mut self,
        segment: &Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Step {
        if !segment.is(TcpFlags::RST) {
            return ControlFlow::Continue(());
        }
        // RFC 9293 §3.5.3, SHLD-2: it may hold data, which says why; nobody here reads it.
        // RFC 5961 §3.2 (2): within the window, but not at RCV.NXT. (1), outside of it, was dropped in the first step.
        if segment.header.seq != self.rcv.nxt {
            self.challenge(env);
            return ControlFlow::Break(Err(DropReason::ChallengedReset));
        }
        env.counters.resets_in += 1;
        let ending = match self.state {
            // RFC 9293 §3.5, MUST-11: a passive open returns to LISTEN, which the listener never left; an active one was refused.
            State::SynReceived if self.flags.contains(Flags::PASSIVE) => Ending::Reset,
            State::SynReceived => Ending::Refused,
            State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait => Ending::Reset,
            // Both ends are done, but perhaps not all of our data was taken.
            State::Closing | State::LastAck if self.queue.len() > 0 || !self.fin_sent() => Ending::Reset,
            State::Closed
            | State::Listen
            | State::SynSent
            | State::Closing
            | State::LastAck
            | State::TimeWait => Ending::Closed,
        };
        match ending {
            // What the peer sent before its FIN stays readable.
            Ending::Closed => self.enter(State::Closed, env),
            // §3.10.7.4: all queues are flushed, and the application is told.
            Ending::TimeWait | Ending::Reset | Ending::Refused | Ending::TimedOut | Ending::Aborted => {
                self.end(env)
            }
        }
        ends(arrival, ending);
        ControlFlow::Break(Ok(()))
    }
}
