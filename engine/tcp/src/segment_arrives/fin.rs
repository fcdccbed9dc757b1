//! Eighth: the FIN bit (RFC 9293 §3.10.7.4).

use fourtuple_wire::SeqNum;

use super::{Segment, ends};
use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Ending, Env, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_fin(
        &mut self,
        segment: &Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) {
        if segment.fin {
            // `seq` stands behind the text by now.
            self.note_fin(segment.seq, env);
        }
        let stands_at = env
            .pools
            .reassemblies
            .piece(self.reassembly)
            .and_then(|reassembly| reassembly.fin);
        let in_order = (segment.fin && segment.seq == self.rcv.nxt) || stands_at == Some(self.rcv.nxt);
        if in_order && !self.flags.contains(Flags::PEER_FIN) {
            self.take_fin(arrival, env);
        }
    }

    /// A FIN beyond a hole is remembered where the hole is; it acknowledges nothing yet.
    fn note_fin(&mut self, seq: SeqNum, env: &mut Env<'_, B>) {
        if seq == self.rcv.nxt || self.flags.contains(Flags::PEER_FIN) {
            return;
        }
        self.debts.insert(Debts::ACK);
        if let Some(index) = self.reassembly_record(env)
            && let Some(reassembly) = env.pools.reassemblies.piece_mut(index)
        {
            reassembly.fin = Some(seq);
        }
    }

    /// Everything before it is here: RCV.NXT goes over the FIN, and an ACK is owed.
    pub(super) fn take_fin(&mut self, arrival: &mut Arrival, env: &mut Env<'_, B>) {
        self.close_reassembly(env);
        self.rcv.nxt += 1;
        self.rcv.adv = self.rcv.adv.later(self.rcv.nxt);
        self.flags.insert(Flags::PEER_FIN);
        self.debts.insert(Debts::ACK);
        arrival.signals.insert(Signals::PEER_CLOSED);
        match self.state {
            State::Established => self.enter(State::CloseWait, env),
            // Had our FIN been acknowledged, the fifth step would have made this FIN_WAIT_2.
            State::FinWait1 => self.enter(State::Closing, env),
            State::FinWait2 => {
                self.enter(State::TimeWait, env);
                ends(arrival, Ending::TimeWait);
            }
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
    }
}
