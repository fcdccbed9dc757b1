//! Trains: full segments of new text that follow one just sent, alike in all but sequence number and payload.
//!
//! What windows, Nagle's algorithm, congestion control and recovery said of the first they would say of each that fits behind it, for
//! nothing else happens between them: how many those are is asked once. It changes no outcome: with `header_prediction` off, nothing
//! goes this way.
//!
//! [`Tcb::train_behind`] tells how many there are, [`Tcb::next_of_train`] makes each, and [`Tcb::end_of_train`] has to come behind
//! the last, before anything else is asked of the connection.

use fourtuple_wire::TcpFlags;

use crate::congestion::wants_every_sending;
use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Env, Outgoing, Tcb};

impl<B: Buffers> Tcb<B> {
    /// How many full segments may follow `first`, which [`poll_transmit`](Self::poll_transmit) just gave; at most `most`.
    ///
    /// The last octet queued is never among them: its segment is pushed (RFC 9293 §3.9.1.2, MUST-61), and a FIN may ride on it.
    #[inline]
    pub fn train_behind(&self, first: &Outgoing, most: u32, env: &Env<'_, B>) -> u32 {
        let mss = u32::from(self.snd.mss);
        let whole = u32::from(first.payload_len) == mss && !first.retransmission;
        // CWR goes with one segment only, and an urgent pointer is another in each.
        let bare = first.header.flags == TcpFlags::ACK && first.header.seq + mss == self.snd.nxt;
        if !whole || !bare || !self.may_follow(env) {
            return 0;
        }
        let flight = self.snd.flight();
        let unsent = self.queue.len().saturating_sub(flight + 1);
        let windows = self.snd.wnd.min(self.congestion.window());
        (unsent.min(windows.saturating_sub(flight)) / mss).min(most)
    }

    /// Nothing but text is owed, and nothing is known that would have to be asked again before each segment of it.
    #[inline]
    fn may_follow(&self, env: &Env<'_, B>) -> bool {
        let quiet = self.recovery.phase == Phase::Open
            && self.recovery.duplicate_acks == 0
            && !self.recovery.marks.contains(Marks::SACKED);
        quiet
            && self.debts.only(Debts::TEXT, Debts::NONE)
            && self.timers.is_armed(Timer::Retransmit)
            && !self.flags.contains(Flags::PACED)
            && self.reassembly & self.aside == NIL
            && self.flight != NIL
            && env.profile.header_prediction
            && !wants_every_sending(env.profile)
    }

    /// `car`, the segment before, becomes the one behind it, counted as sent.
    #[inline]
    pub fn next_of_train(&mut self, car: &mut Outgoing, env: &mut Env<'_, B>) {
        let len = u32::from(car.payload_len);
        car.header.seq = self.snd.nxt;
        car.payload_offset += len;
        self.queue.seek(car.payload_offset, &env.pools.send);
        self.snd.nxt += len;
        self.note_sent(self.snd.nxt, env);
        env.counters.segments_out += 1;
        env.counters.bytes_out += u64::from(len);
    }

    /// The last one is out: the timer begins again, and whether text is owed still is asked as behind any segment.
    #[inline]
    pub fn end_of_train(&mut self, env: &mut Env<'_, B>) {
        self.restart_probe(env);
        if self.nothing_to_send() || self.next_text(env).is_none() {
            self.debts.remove(Debts::TEXT);
        }
    }
}
