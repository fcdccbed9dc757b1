//! Fourth: the SYN bit (RFC 9293 §3.10.7.4, RFC 5961 §4).

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, TcpFlags};

use super::{Segment, Step};
use crate::{Buffers, Env, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_syn(&mut self, segment: &Segment<'_, B::Rx>, env: &mut Env<'_, B>) -> Step {
        // The SYN of a simultaneous open's SYN+ACK was cut off in the first step.
        if !segment.is(TcpFlags::SYN) || segment.seq != segment.header.seq {
            return ControlFlow::Continue(());
        }
        // RFC 5961 §4.2: whatever its sequence number; a peer that rebooted answers our ACK with a RST.
        // Deviation: RFC 9293 lets a passive SYN-RECEIVED return to LISTEN here; the same RST does that, and no guess.
        self.challenge(env);
        ControlFlow::Break(Err(DropReason::ChallengedSyn))
    }
}
