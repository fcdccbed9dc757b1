//! The application's calls (RFC 9293 §3.10.1–§3.10.6), each in the order of the states as the RFC lists them.
//!
//! OPEN is [`Tcb::connect`] (a passive OPEN is the engine's listener), SEND `send`, RECEIVE `receive` with `release`,
//! CLOSE `shutdown` (this end's direction) and `close` (both), ABORT `abort`, STATUS `status`.

use fourtuple_wire::{Received, SeqNum};

use crate::pool::NIL;
use crate::profile::millis;
use crate::recovery::Phase;
use crate::tcb::{Debts, Flags};
use crate::timers::Timer;
use crate::{Buffers, Ending, Env, Path, Pools, Profile, Seeds, State, Tcb};

/// Why bytes were not taken; it gives them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefused<Tx> {
    /// There is no room now; `WRITABLE` is told when there is.
    Full(Tx),
    /// This direction is closed.
    Closed(Tx),
}

impl<Tx> SendRefused<Tx> {
    /// What was refused.
    pub fn into_payload(self) -> Tx {
        match self {
            Self::Full(payload) | Self::Closed(payload) => payload,
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// Active OPEN (§3.10.1): in SYN_SENT, and owes its SYN.
    pub fn connect(seeds: Seeds, path: &Path, env: &mut Env<'_, B>) -> Self {
        let mut tcb = Self::new(seeds, path, env.profile, env.tick());
        tcb.enter(State::SynSent, env);
        tcb.debts.insert(Debts::SYN);
        tcb.timers
            .arm(Timer::Life, millis(env.profile.connect_timeout), env.tick());
        tcb
    }

    /// SEND (§3.10.2): queues bytes behind those that are queued.
    ///
    /// # Errors
    /// [`SendRefused::Full`] when the queue is charged all that [it may](Self::send_room) or the pool is empty; [`SendRefused::Closed`] after
    /// a close, from either call, and when there is no connection.
    #[inline(always)]
    pub fn send(&mut self, payload: B::Tx, env: &mut Env<'_, B>) -> Result<(), SendRefused<B::Tx>> {
        use fourtuple_wire::Payload;
        let len = payload.len();
        if self.takes_plain(len, env.profile) {
            self.queue_plain(payload, len, env);
            return Ok(());
        }
        match self.state {
            // Before ESTABLISHED data is queued for transmission after it.
            State::SynSent | State::SynReceived | State::Established | State::CloseWait => {}
            State::Closed
            | State::Listen
            | State::FinWait1
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait => return Err(SendRefused::Closed(payload)),
        }
        if self.flags.contains(Flags::FIN_QUEUED) {
            return Err(SendRefused::Closed(payload));
        }
        let len = payload.len();
        if len > self.send_room(env.profile, env.pools) {
            return Err(SendRefused::Full(payload));
        }
        self.queue.push(payload, &mut env.pools.send).map_err(|payload| {
            env.counters.pool_empty += 1;
            SendRefused::Full(payload)
        })?;
        self.consider_queued_text(env);
        Ok(())
    }

    /// Bytes that `send` would take now. An empty queue takes a chunk of any size up to the whole buffer, which grows with the
    /// congestion window as long as half of the pool is free.
    ///
    /// The queue is charged by what its chunks pin ([`Payload::charge`](fourtuple_wire::Payload::charge)); the last may
    /// exceed the bound by its own charge.
    #[inline]
    pub fn send_room(&self, profile: &Profile, pools: &Pools<B>) -> usize {
        let least = self.least_send_room(profile);
        if self.congestion.window() <= profile.send_buffer / GROWN_IN_RECOVERY || pools.send.is_half_full() {
            return least;
        }
        least.max(
            self.grown_send_buffer(profile)
                .saturating_sub(self.queue.charged()) as usize,
        )
    }

    /// The same without what the buffer has grown by.
    #[inline]
    pub fn least_send_room(&self, profile: &Profile) -> usize {
        profile.send_buffer.saturating_sub(self.queue.charged()) as usize
    }

    /// A window that the path has let grow is one that it carries: what is outstanding and what is to follow it have room.
    fn grown_send_buffer(&self, profile: &Profile) -> u32 {
        let window = self.congestion.window();
        if window <= self.initial_congestion_window(profile) {
            return 0;
        }
        let times = if self.recovery.phase == Phase::Open {
            GROWN
        } else {
            GROWN_IN_RECOVERY
        };
        window.saturating_mul(times).min(profile.send_buffer_most)
    }

    /// RECEIVE (§3.10.3): the next chunk in order. Its space stays charged to the window until it is released.
    #[inline(always)]
    pub fn receive(&mut self, env: &mut Env<'_, B>) -> Option<B::Rx> {
        let taken = self.received.take(&mut env.pools.receive);
        self.forget_urgent_behind(env);
        taken
    }

    /// The same where nothing urgent is awaited; `None`: ask [`receive`](Self::receive).
    #[inline(always)]
    pub fn receive_plain(&mut self, pools: &mut Pools<B>) -> Option<B::Rx> {
        if self.flags.contains(Flags::URGENT) {
            return None;
        }
        self.received.take(&mut pools.receive)
    }

    /// The application gives back the buffer space of a chunk that it took; a window update may be owed.
    #[inline(always)]
    pub fn release(&mut self, space: usize, env: &mut Env<'_, B>) {
        if self.flags.contains(Flags::ORPHAN) {
            // It was given up with the close.
            return;
        }
        self.received.discharge(space);
        self.consider_window_update(env);
    }

    /// The bytes in order that were not taken, chunk by chunk; they stay.
    pub fn peek<'a>(&self, pools: &'a Pools<B>) -> impl Iterator<Item = &'a [u8]> + use<'a, B> {
        self.received.chunks(&pools.receive).map(Received::bytes)
    }

    /// Bytes in order that were not taken.
    #[inline]
    pub fn unread(&self) -> usize {
        self.received.unread() as usize
    }

    /// Bytes queued for sending that are not acknowledged, sent or not.
    pub fn queued_bytes(&self) -> u32 {
        self.queue.len()
    }

    /// What is queued for sending is charged, acknowledged in part or not at all.
    pub fn queued_charge(&self) -> u32 {
        self.queue.charged()
    }

    /// Buffer memory that the connection pins, both ways: at most so many bytes.
    pub fn pinned(&self) -> u32 {
        self.received
            .charged()
            .saturating_add(self.queue.charged().saturating_mul(2))
    }

    /// Whether text at `seq` may be taken while buffers are scarce and each connection has a share of so many bytes: below it,
    /// and always what is next for an application that has read all. One that `sends_on` what it receives has read it when it is
    /// acknowledged; any other may have text of its own outstanding: what acknowledges that waits perhaps for a peer of whom nothing
    /// is taken because of it.
    pub fn has_share(&self, seq: SeqNum, share: u32, sends_on: bool) -> bool {
        let has_read = self.received.is_empty() && (!sends_on || self.queue.len() == 0);
        has_read && seq.at_or_before(self.rcv.nxt) || self.pinned() < share
    }

    /// There is payload in order that was not taken.
    #[inline]
    pub fn has_unread(&self) -> bool {
        !self.received.is_empty()
    }

    /// The peer's FIN came, and everything before it was taken.
    #[inline]
    pub fn at_end(&self) -> bool {
        self.flags.contains(Flags::PEER_FIN) && self.received.is_empty()
    }

    /// CLOSE of this end's direction (§3.10.4; §3.6.1, MAY-1): a FIN follows what is queued; receiving goes on.
    pub fn shutdown(&mut self, env: &mut Env<'_, B>) {
        match self.state {
            // Queued for after the handshake, as the data is.
            State::SynSent | State::SynReceived => self.flags.insert(Flags::FIN_QUEUED),
            State::Established => {
                self.flags.insert(Flags::FIN_QUEUED);
                self.enter(State::FinWait1, env);
                self.consider_queued_text(env);
            }
            State::CloseWait => {
                self.flags.insert(Flags::FIN_QUEUED);
                self.enter(State::LastAck, env);
                self.consider_queued_text(env);
            }
            State::Closed
            | State::Listen
            | State::FinWait1
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
    }

    /// CLOSE of both directions (§3.10.4): nobody will read any more. From here on the connection is an orphan.
    pub fn close(&mut self, env: &mut Env<'_, B>) {
        // RFC 2525 §2.17, RFC 9293 §3.6.1 SHLD-3: closing upon unread data tells the peer that it is lost.
        if self.has_unread() {
            env.counters.unread_aborts += 1;
            self.abort(env);
            return;
        }
        match self.state {
            State::Closed | State::Listen => return,
            // RFC 9293 §3.10.4: in SYN_SENT the TCB is deleted.
            // Deviation: when data was queued, it is sent first (nothing queued before a close is lost).
            State::SynSent if self.queue.len() == 0 => {
                self.enter(State::Closed, env);
                return;
            }
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
        self.flags.insert(Flags::ORPHAN);
        self.open_window_of_orphan(env);
        self.shutdown(env);
        self.arm_orphan(env);
    }

    /// What the application took and did not release narrows the window no more: what comes is answered with a RST (SHLD-3) and
    /// takes no room, and a peer before a closed window would wait for that in vain.
    fn open_window_of_orphan(&mut self, env: &mut Env<'_, B>) {
        let behind_holes = env
            .pools
            .reassemblies
            .piece(self.reassembly)
            .map_or(0, |reassembly| reassembly.space(&env.pools.receive));
        self.received.charge_only(behind_holes);
        self.consider_window_update(env);
    }

    /// ABORT (§3.10.5): a RST, where the peer would understand one, and all queues are flushed.
    pub fn abort(&mut self, env: &mut Env<'_, B>) {
        let reset = match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => true,
            // §3.10.5: no reset is sent here, for only the peer's last ACK is missing; but our FIN may not be sent yet.
            State::Closing | State::LastAck => !self.fin_sent() || self.queue.len() > 0,
            State::Closed | State::Listen | State::SynSent | State::TimeWait => false,
        };
        if reset && self.state != State::SynReceived {
            self.retreat_into_window();
        }
        self.end(env);
        if reset {
            self.debts = Debts::RESET;
        }
    }

    /// What was sent beyond the window that the peer offers (a probe, or text before it shrank) did not arrive, for all we know:
    /// a RST behind it would lie outside of the window, where nobody believes it (RFC 9293 §3.10.7.4).
    fn retreat_into_window(&mut self) {
        let edge = self.snd.una + self.snd.wnd;
        if edge.before(self.snd.nxt) {
            self.snd.nxt = edge;
        }
    }

    /// A hard ICMP error came for the SYN of an active open (RFC 9293 §3.9.2.2, SHLD-26): how that ends it.
    // Deviation: in other states a hard error is only told, for anyone could forge it (RFC 5927 §5.2); MUST-56: soft ones never end it.
    pub fn unreachable(&mut self, env: &mut Env<'_, B>) -> Option<Ending> {
        if self.state != State::SynSent {
            return None;
        }
        self.end(env);
        Some(Ending::Refused)
    }

    /// All is over, now: every queue is flushed.
    pub(crate) fn end(&mut self, env: &mut Env<'_, B>) {
        self.enter(State::Closed, env);
        self.free(env);
    }

    /// Gives every piece of cold state back; the connection is of no use afterwards.
    pub fn free(&mut self, env: &mut Env<'_, B>) {
        self.queue.clear(&mut env.pools.send);
        self.received.clear(&mut env.pools.receive);
        if self.reassembly & self.flight & self.aside != NIL {
            self.drop_reassembly(env);
            self.drop_flight(env);
            self.drop_aside(env);
        }
        self.flags.remove(Flags::URGENT);
    }

    /// How long nobody's connection may be without progress, by its state.
    pub(crate) fn arm_orphan(&mut self, env: &mut Env<'_, B>) {
        let span = match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::CloseWait
            | State::Closing
            | State::LastAck => env.profile.orphan_timeout,
            State::FinWait2 => env.profile.fin_wait_2_timeout,
            // The connect timeout and TIME_WAIT stand already.
            State::Closed | State::Listen | State::SynSent | State::TimeWait => return,
        };
        self.timers.arm(Timer::Life, millis(span), env.tick());
    }
}

/// A window that is outstanding, and one that the application has written meanwhile.
const GROWN: u32 = 2;

/// In recovery what the peer SACKed stays queued, from before the window came down, beside all that is sent meanwhile.
const GROWN_IN_RECOVERY: u32 = 4;

#[cfg(test)]
mod tests {
    use crate::Profile;
    use crate::tcb::Flags;
    use crate::testing::{Established, Frame};
    use fourtuple_wire::Received;

    #[test]
    fn plain_receiving_gives_what_is_next_unless_something_urgent_is_awaited() {
        let mut one = Established::new(Profile::default());
        let header = one.next_header();
        let arrival = one.with(|tcb, env| tcb.segment_arrives(&header, Some(Frame::new(b"text")), env));
        assert_eq!(arrival.verdict, Ok(()));
        one.tcb.flags.insert(Flags::URGENT);
        assert!(one.tcb.receive_plain(&mut one.pools).is_none());
        one.tcb.flags.remove(Flags::URGENT);
        let taken = one.tcb.receive_plain(&mut one.pools).expect("text");
        assert_eq!(taken.bytes(), b"text");
        assert!(one.tcb.receive_plain(&mut one.pools).is_none());
    }
}
