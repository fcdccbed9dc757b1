//! Sixth: the URG bit (RFC 9293 §3.10.7.4, §3.8.5; RFC 6093). Urgent data is delivered in line; it is only told.

use fourtuple_wire::TcpFlags;

use super::Segment;
use crate::tcb::Flags;
use crate::{Buffers, Env, Signals, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_urgent(
        &mut self,
        segment: &Segment<'_, B::Rx>,
        signals: &mut Signals,
        env: &mut Env<'_, B>,
    ) {
        if !segment.is(TcpFlags::URG) || !self.state.takes_text() {
            return;
        }
        // MUST-62: the pointer names the octet behind the urgent ones; MUST-31: however far away.
        let pointed = segment.header.seq + u32::from(segment.header.urgent);
        // RCV.UP ← max(RCV.UP, SEG.UP)
        let told = self.aside(env.pools).and_then(|aside| aside.receive_urgent);
        let standing = told
            .filter(|_| self.flags.contains(Flags::URGENT))
            .map_or(self.rcv.nxt, |up| up.later(self.rcv.nxt));
        if pointed.after(standing) && self.take_urgent_pointer(pointed, env) {
            // MUST-32: the application is told, and again when the pointer moves on.
            signals.insert(Signals::URGENT);
        }
    }
}
