//! Urgent data as sent, and what is left of it as received (RFC 9293 §3.8.5, MUST-30…33, MUST-62; RFC 6093).
//!
//! The octets go in line; the pointer tells how far they reach. SND.UP is the octet behind the last urgent one, as RFC 6093
//! §4 has it, and every segment that begins before it carries URG until it is acknowledged.

use fourtuple_wire::{SeqNum, TcpFlags};

use crate::calls::SendRefused;
use crate::pool::NIL;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Env, Pools, Tcb};

impl<B: Buffers> Tcb<B> {
    /// SEND with the urgent flag (§3.10.2): queues bytes and tells the peer that everything up to their end is urgent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_urgent(&mut self, payload: B::Tx, env: &mut Env<'_, B>) -> Result<(), SendRefused<B::Tx>> {
        self.send(payload, env)?;
        let up = self.urgent_end();
        self.change_aside(env, |aside| aside.send_urgent = Some(up));
        // RFC 9293 §3.7.4: Nagle's algorithm does not hold urgent data back; and though a closed window does, the pointer goes.
        self.consider_text(env);
        if self.state.is_synchronised() && !self.debts.contains(Debts::TEXT) {
            self.debts.insert(Debts::ACK);
        }
        Ok(())
    }

    /// The sequence number behind the last octet queued. While our SYN is not acknowledged its octet stands before the queue.
    fn urgent_end(&self) -> SeqNum {
        let syn = u32::from(!self.state.is_synchronised());
        self.snd.una + syn + self.queue.len()
    }

    /// Urgent data of ours is not acknowledged yet.
    #[inline]
    pub(crate) fn sends_urgent(&self, pools: &Pools<B>) -> bool {
        self.aside != NIL && self.aside(pools).is_some_and(|aside| aside.send_urgent.is_some())
    }

    /// Flags and urgent pointer of a segment that begins at `seq`.
    #[inline]
    pub(crate) fn urgent_pointer(&self, seq: SeqNum, flags: TcpFlags, pools: &Pools<B>) -> (TcpFlags, u16) {
        if self.aside == NIL {
            return (flags, 0);
        }
        match self.aside(pools).and_then(|aside| aside.send_urgent) {
            // MUST-62: the octet behind the urgent ones; MUST-31: of any length, so the pointer may reach no further than it can.
            Some(up) if up.after(seq) => {
                let ahead = up.distance_from(seq).min(u32::from(u16::MAX));
                (flags | TcpFlags::URG, ahead as u16)
            }
            _ => (flags, 0),
        }
    }

    /// Octets of urgent data that are still ahead of what was received or taken (RFC 9293 §3.8.5, MUST-33).
    pub fn urgent_ahead(&self, pools: &Pools<B>) -> Option<u32> {
        if !self.flags.contains(Flags::URGENT) {
            return None;
        }
        let taken = self.rcv.nxt.back(self.received.unread());
        let ahead = self.aside(pools)?.receive_urgent?.distance_from(taken);
        (ahead as i32 > 0).then_some(ahead)
    }

    /// RCV.UP moves to `up`; `false` when there is no room to remember it.
    pub(crate) fn take_urgent_pointer(&mut self, up: SeqNum, env: &mut Env<'_, B>) -> bool {
        let taken = self.change_aside(env, |aside| aside.receive_urgent = Some(up));
        if taken.is_some() {
            self.flags.insert(Flags::URGENT);
        }
        taken.is_some()
    }

    /// The application has taken something: a pointer behind it must not be taken for one ahead when the circle has turned.
    #[inline]
    pub(crate) fn forget_urgent_behind(&mut self, env: &mut Env<'_, B>) {
        if self.flags.contains(Flags::URGENT) && self.urgent_ahead(env.pools).is_none() {
            self.flags.remove(Flags::URGENT);
            self.change_aside(env, |aside| aside.receive_urgent = None);
        }
    }

    /// SND.UNA moved: what is acknowledged is urgent no more.
    pub(crate) fn urgent_acknowledged(&mut self, env: &mut Env<'_, B>) {
        let una = self.snd.una;
        if self.sends_urgent(env.pools) {
            self.change_aside(env, |aside| {
                aside.send_urgent = aside.send_urgent.filter(|up| up.after(una));
            });
        }
    }
}
