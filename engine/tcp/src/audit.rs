//! What must hold of a connection between any two calls, for simulations: nothing here is on the way of a packet.
//!
//! [`Tcb::audit`] looks at the connection alone; [`Tcb::sequences`] gives the numbers whose course from step to step somebody
//! else watches: SND.UNA, SND.NXT, RCV.NXT and the advertised edge only ever advance (RFC 9293 §3.8.6, SHLD-14).

use fourtuple_wire::SeqNum;

use crate::tcb::Flags;
use crate::timers::Timer;
use crate::{Buffers, Pools, State, Tcb};

/// The sequence space of a synchronised connection (RFC 9293 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// SND.UNA.
    pub una: SeqNum,
    /// SND.NXT.
    pub nxt: SeqNum,
    /// RCV.NXT.
    pub rcv_nxt: SeqNum,
    /// RCV.NXT + RCV.WND, as advertised.
    pub rcv_adv: SeqNum,
}

impl<B: Buffers> Tcb<B> {
    /// The sequence space; `None` before both ends know it, and after the end.
    pub fn sequences(&self) -> Option<Sequences> {
        self.state.is_synchronised().then_some(Sequences {
            una: self.snd.una,
            nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            rcv_adv: self.rcv.adv,
        })
    }

    /// SND.UNA in any state: before anything was acknowledged, the number with which the connection began.
    pub fn snd_una(&self) -> SeqNum {
        self.snd.una
    }

    /// Sequence space and timers: what costs the same for any connection.
    ///
    /// # Errors
    /// What is wrong.
    pub fn audit_spaces(&self) -> Result<(), &'static str> {
        if self.state.is_synchronised() {
            self.spaces_fit()?;
        }
        Ok(())
    }

    /// The same, and everything that belongs together: queues and charges, node by node.
    ///
    /// Returns the buffer space that is charged and lies in no queue: what the application took and did not release.
    ///
    /// # Errors
    /// What is wrong.
    pub fn audit(&self, pools: &Pools<B>) -> Result<u32, &'static str> {
        let (space, bytes) = self
            .received
            .held(&pools.receive)
            .ok_or("the receive queue is no ring")?;
        if bytes != self.received.unread() {
            return Err("unread bytes are not those of the receive queue");
        }
        let behind_holes = match pools.reassemblies.piece(self.reassembly) {
            Some(reassembly) => reassembly
                .audit(self.rcv.nxt, &pools.receive)
                .ok_or("what waits behind holes is not in order")?,
            None => 0,
        };
        let held = space.saturating_add(behind_holes);
        let Some(taken) = self.received.charged().checked_sub(held) else {
            return Err("the receive window is charged less than its queues hold");
        };
        if self.queue.held(&pools.send) != Some(self.queue.len()) {
            return Err("the send queue does not hold the bytes that it counts");
        }
        self.audit_spaces()?;
        Ok(taken)
    }

    fn spaces_fit(&self) -> Result<(), &'static str> {
        if !self.snd.una.at_or_before(self.snd.nxt) {
            return Err("SND.UNA is beyond SND.NXT");
        }
        if self.rcv.adv.before(self.rcv.nxt) {
            return Err("RCV.NXT is beyond what was advertised");
        }
        if self.rcv.wnd() > 65_535 << self.rcv.shift {
            return Err("the receive window is larger than a header can say");
        }
        let fin = u32::from(self.flags.contains(Flags::FIN_SENT));
        if self.state != State::TimeWait && self.snd.flight() > self.queue.len() + fin {
            return Err("more is outstanding than is kept for retransmission");
        }
        let waits = self.snd.flight() > 0 || (self.state.sends_text() && self.queue.len() > 0);
        let timed = self.timers.is_armed(Timer::Retransmit) || self.flags.contains(Flags::PACED);
        if waits && !timed && !self.owes() && self.state != State::TimeWait {
            return Err("something waits to be sent or acknowledged, and no timer runs");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::{Received, SeqNum};

    use crate::dsack::Run;
    use crate::pool::{NIL, Pool};
    use crate::reassembly::Reassembly;
    use crate::receive_queue::{ReceiveNode, ReceiveQueue};
    use crate::testing::Frame;

    #[test]
    fn what_queues_hold_is_counted_and_disorder_is_seen() {
        let mut pool = Pool::new(8);
        let mut queue = ReceiveQueue::new();
        assert_eq!(queue.held(&pool), Some((0, 0)));
        for bytes in [&b"ab"[..], b"cde"] {
            let node = ReceiveNode {
                buffer: Frame::new(bytes),
                seq: SeqNum(0),
                next: NIL,
            };
            let node = pool.insert(node).ok().expect("room");
            queue.append(node, bytes.len() as u32, &mut pool);
        }
        let space = |frames: [&[u8]; 2]| frames.map(|bytes| Frame::new(bytes).space() as u32).iter().sum();
        assert_eq!(queue.held(&pool), Some((space([b"ab", b"cde"]), 5)));
        let mut behind = Reassembly::new();
        behind.insert(SeqNum(10), Frame::new(b"xy"), &mut Run::default(), &mut pool);
        behind.insert(SeqNum(20), Frame::new(b"z"), &mut Run::default(), &mut pool);
        assert_eq!(behind.audit(SeqNum(9), &pool), Some(space([b"xy", b"z"])));
        assert_eq!(behind.audit(SeqNum(15), &pool), None, "it should have been taken");
    }
}
