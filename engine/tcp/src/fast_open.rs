//! TCP Fast Open (RFC 7413): data in the SYN, and its answer before the handshake ends.
//!
//! ```text
//!   client  SYN, cookie, text ──►            ──► ACK
//!   server                      SYN+ACK (of SYN and text), its text …
//! ```
//! The **server** believes a cookie: its connection is in ESTABLISHED at once, with its SYN counted as acknowledged, and
//! [`Flags::FAST_OPEN`] until an ACK has come. Until then the SYN+ACK, and not text, is what the timer sends again, and a SYN is
//! answered by it. The **client** has the flag while its first SYN may carry text; what the SYN+ACK does not acknowledge of that was
//! never sent. Cookies and who may have them are the engine's.

use fourtuple_wire::{DropReason, Received, SeqNum, TcpFlags, TcpHeader};

use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::window::initial_window;
use crate::{Buffers, Env, Signals, State, SynRecord, Tcb};

impl SynRecord {
    /// The connection of a SYN with a good cookie: it owes a SYN+ACK and has taken the SYN's text, as far as it is in the window
    /// and there is room.
    pub fn open_fast<B: Buffers>(&self, payload: Option<B::Rx>, env: &mut Env<'_, B>) -> (Tcb<B>, Arrival) {
        let mut tcb = self.establish(env);
        tcb.snd.una += 1;
        tcb.snd.wl2 = tcb.snd.una;
        tcb.enter(State::Established, env);
        tcb.flags.insert(Flags::FAST_OPEN);
        tcb.debts.insert(Debts::SYN);
        // The SYN+ACK has yet to announce it.
        tcb.rcv.mss = self.receive_mss;
        // Nothing was sent yet that could be measured: the record is answered now.
        tcb.rto.stop();
        let mut arrival = Arrival::new();
        arrival.signals.insert(Signals::ESTABLISHED);
        if let Some(mut payload) = payload {
            payload.truncate(tcb.rcv.wnd() as usize);
            if !payload.bytes().is_empty() && tcb.take_in_order(payload, env).is_ok() {
                arrival.signals.insert(Signals::READABLE);
            }
        }
        (tcb, arrival)
    }
}

impl<B: Buffers> Tcb<B> {
    /// An active open whose first SYN has the option and, `with_text`, carries what is queued by then; before it is sent.
    pub fn ask_fast_open(&mut self, with_text: bool) {
        if self.state == State::SynSent {
            self.flags.insert(Flags::FAST_OPEN_ASKED);
            if with_text {
                self.flags.insert(Flags::FAST_OPEN);
            }
        }
    }

    /// In SYN_SENT: our SYN has the option.
    pub fn asks_fast_open(&self) -> bool {
        self.flags.contains(Flags::FAST_OPEN_ASKED) && self.state == State::SynSent
    }

    /// The SYN goes without the option from now on.
    pub fn forgo_fast_open(&mut self) {
        self.flags.remove(Flags::FAST_OPEN_ASKED);
    }

    /// In SYN_SENT: this SYN+ACK answers our SYN.
    pub fn is_acceptable_syn_ack(&self, header: &TcpHeader) -> bool {
        self.state == State::SynSent
            && header.ack.after(self.snd.una)
            && header.ack.at_or_before(self.snd.nxt)
    }

    /// A passive open that was believed by its cookie, and no ACK has come yet.
    #[inline]
    pub fn awaits_handshake(&self) -> bool {
        self.flags.contains(Flags::FAST_OPEN) && self.state != State::SynSent
    }

    /// The peer's SYN once more: our SYN+ACK was lost.
    pub(crate) fn syn_of_fast_open(&mut self, header: &TcpHeader) -> Result<(), DropReason> {
        let bare = header.flags.contains(TcpFlags::SYN)
            && !header
                .flags
                .intersects(TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN);
        if self.awaits_handshake() && bare {
            self.debts.insert(Debts::SYN);
            return Err(DropReason::Duplicate);
        }
        Ok(())
    }

    /// An acceptable ACK has come: the handshake is over.
    pub(crate) fn handshake_of_fast_open(&mut self, arrival: &mut Arrival, env: &mut Env<'_, B>) {
        self.flags.remove(Flags::FAST_OPEN);
        self.debts.remove(Debts::SYN);
        self.progress_at = env.tick();
        self.rcv.mss = self.rcv.mss.min(LEAST_FULL);
        arrival.signals.insert(Signals::HANDSHAKE_DONE);
        // The timer was the SYN+ACK's.
        self.restart_retransmit(env);
    }

    /// Octets of text that the first SYN carries: as much as a segment of the least size holds beside its options.
    pub(crate) fn text_of_syn(&self) -> u32 {
        if !self.flags.contains(Flags::FAST_OPEN) || self.state != State::SynSent {
            return 0;
        }
        self.queue
            .len()
            .min(u32::from(self.snd.mss.saturating_sub(OPTIONS_MOST)))
    }

    /// What the SYN+ACK acknowledges of the text in our SYN leaves the queue, and the rest was never sent.
    pub(crate) fn syn_text_acknowledged(&mut self, ack: SeqNum, env: &mut Env<'_, B>) {
        let taken = ack.distance_from(self.snd.una).saturating_sub(1);
        if taken > 0 {
            self.queue.acknowledge(taken, &mut env.pools.send);
        }
        self.snd.nxt = ack;
        self.flags.remove(Flags::FAST_OPEN);
    }

    /// The window of a SYN+ACK that is sent when text was taken already.
    pub(crate) fn advertise_fast_open(&mut self, env: &Env<'_, B>) -> u16 {
        let window = initial_window(env.profile);
        self.rcv.adv = self.rcv.adv.later(self.rcv.nxt + u32::from(window));
        window
    }
}

/// What a full segment of the peer is until larger ones were seen, as after every handshake.
const LEAST_FULL: u16 = 536;

/// Octets of options at most.
const OPTIONS_MOST: u16 = 40;
