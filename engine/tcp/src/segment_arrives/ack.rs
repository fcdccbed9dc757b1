//! Fifth: the ACK field (RFC 9293 §3.10.7.4, RFC 5961 §5), and the send window.

use std::ops::ControlFlow;

use fourtuple_wire::{DropReason, SeqNum, TcpFlags, TcpHeader};

use super::{Segment, Step, ends};
use crate::pool::NIL;
use crate::profile::millis;
use crate::recovery::AckNews;
use crate::signals::Arrival;
use crate::tcb::Flags;
use crate::timers::Timer;
use crate::{Buffers, Ending, Env, Signals, State, Tcb};

impl<B: Buffers> Tcb<B> {
    pub(super) fn check_ack(
        &mut self,
        segment: &mut Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Step {
        if !segment.is(TcpFlags::ACK) {
            return ControlFlow::Break(Err(DropReason::NoAck));
        }
        let header = segment.header;
        let ack = header.ack;
        if self.state == State::SynReceived {
            self.ack_of_syn(segment, arrival, env)?;
        } else if !self.is_ack_acceptable(ack) {
            // RFC 5961 §5.2: of something never sent, or older than the largest window: challenged.
            self.challenge(env);
            return ControlFlow::Break(Err(DropReason::BadAck));
        }
        if self.awaits_handshake() && ack.at_or_after(self.snd.una) {
            if ack == self.snd.una {
                self.measure(header, env);
            }
            self.handshake_of_fast_open(arrival, env);
        }
        self.probe_answered(env);
        let bare = segment.payload.is_none()
            && !segment.text_lost
            && !segment.is(TcpFlags::FIN)
            && !segment.is(TcpFlags::SYN);
        let mut news = AckNews::of(self.snd.flight(), self.recovery.phase, self.is_echo(header));
        if news.ece && news.flight > 0 {
            self.tell_mark(env);
        }
        self.take_sack_blocks(header, &mut news, env);
        if ack.after(self.snd.una) {
            self.advance_una(header, &mut news, &mut arrival.signals, env);
        } else if ack == self.snd.una {
            self.repeated_ack(header, bare, &mut news, env);
        }
        if ack.at_or_after(self.snd.una) || news.sacked > 0 {
            self.after_ack(header, &mut news, env);
            self.tell_news(&news, env);
            self.close_flight(env);
        }
        if ack.at_or_after(self.snd.una) {
            self.update_window(header, env);
        }
        self.ack_of_fin(arrival, env);
        if self.state == State::Closed || self.state == State::TimeWait {
            return ControlFlow::Break(Ok(()));
        }
        ControlFlow::Continue(())
    }

    /// SEG.ACK = SND.UNA: a duplicate ACK, if that is all that it says.
    fn repeated_ack(&mut self, header: &TcpHeader, bare: bool, news: &mut AckNews, env: &mut Env<'_, B>) {
        // RFC 5681 §2: a duplicate ACK is bare and repeats number and window; RFC 6675 §2: or it SACKs something new.
        news.repeats = bare && header.options.sack.is_empty() && self.window_of(header) == self.snd.wnd;
        self.on_ack_of_probe(header.ack, news, env);
        // With a zero window these are answers to probes, and tell nothing of loss.
        let told = self.snd.flight() > 0 && self.snd.wnd > 0;
        if told && (news.sacked > 0 || news.refused || news.repeats) {
            self.on_duplicate_ack(news, env);
        }
    }

    /// SND.UNA - MAX.SND.WND ≤ SEG.ACK ≤ SND.NXT (RFC 5961 §5.2; RFC 9293 MAY-12).
    pub(super) fn is_ack_acceptable(&self, ack: SeqNum) -> bool {
        !ack.after(self.snd.nxt) && !ack.before(self.snd.una.back(self.snd.max_wnd()))
    }

    /// SYN_RECEIVED: the ACK must be of our SYN; anything else is answered with <SEQ=SEG.ACK><CTL=RST>.
    fn ack_of_syn(
        &mut self,
        segment: &Segment<'_, B::Rx>,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) -> Step {
        let header = segment.header;
        if header.ack != self.snd.nxt {
            arrival.reply = crate::reset_for(header, segment.payload_len() as usize);
            return ControlFlow::Break(Err(DropReason::BadAck));
        }
        self.syn_is_acknowledged(header, segment.seq, arrival, env);
        ControlFlow::Continue(())
    }

    /// The handshake is done; `seq` is where the segment begins that ended it.
    pub(super) fn syn_is_acknowledged(
        &mut self,
        header: &TcpHeader,
        seq: SeqNum,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) {
        self.measure(header, env);
        // The SYN is not in the queue: its octet is taken off here.
        self.snd.una = header.ack;
        self.snd.wnd = self.window_of(header);
        self.snd.max_window = self.snd.max_window.max(header.window);
        self.snd.wl1 = seq;
        self.snd.wl2 = header.ack;
        self.enter(State::Established, env);
        arrival.signals.insert(Signals::ESTABLISHED);
    }

    /// SND.UNA < SEG.ACK ≤ SND.NXT: what is acknowledged leaves the queue.
    #[inline]
    pub(super) fn advance_una(
        &mut self,
        header: &TcpHeader,
        news: &mut AckNews,
        signals: &mut Signals,
        env: &mut Env<'_, B>,
    ) {
        self.measure(header, env);
        news.acked = header.ack.distance_from(self.snd.una);
        self.snd.una = header.ack;
        if self.queue.len() > 0 {
            self.queue.acknowledge(news.acked, &mut env.pools.send);
            signals.insert(Signals::WRITABLE);
        }
        self.progress_at = env.tick();
        self.timers.retransmits = 0;
        self.flags.remove(Flags::R1_TOLD);
        self.flags.remove(Flags::UNREACHABLE);
        if self.aside != NIL {
            self.urgent_acknowledged(env);
            self.path_mtu_acknowledged(env);
        }
        self.on_new_ack(header, news, env);
        self.restart_retransmit(env);
        if self.flags.contains(Flags::ORPHAN) {
            self.arm_orphan(env);
        }
    }

    /// The window field, scaled (RFC 7323 §2.3).
    #[inline]
    pub(super) fn window_of(&self, header: &TcpHeader) -> u32 {
        u32::from(header.window) << self.snd.shift
    }

    /// SND.WND follows a segment that is not older than the last one it followed (§3.10.7.4, fifth). The RFC tells that by SEG.SEQ
    /// first, which text that is sent again has an old one of; that it acknowledges more shows, too, that it left later.
    #[inline(always)]
    pub(super) fn update_window(&mut self, header: &TcpHeader, env: &mut Env<'_, B>) {
        let closed = self.snd.wnd == 0;
        self.follow_window(header);
        if closed && self.snd.wnd > 0 {
            self.on_window_opened(env);
        }
    }

    /// The same, but for what a window that was closed has held back.
    #[inline(always)]
    pub(super) fn follow_window(&mut self, header: &TcpHeader) {
        let newer = self.snd.wl1.before(header.seq)
            || (self.snd.wl1 == header.seq && self.snd.wl2.at_or_before(header.ack))
            || self.snd.wl2.before(header.ack);
        if !newer {
            return;
        }
        // RFC 9293 §3.8.6, MUST-34: it may be smaller than before, and leave SND.NXT beyond it.
        self.snd.wnd = self.window_of(header);
        self.snd.max_window = self.snd.max_window.max(header.window);
        self.snd.wl1 = self.snd.wl1.later(header.seq);
        self.snd.wl2 = header.ack;
    }

    /// FIN_WAIT_1, CLOSING, LAST_ACK: whether our FIN is acknowledged now.
    fn ack_of_fin(&mut self, arrival: &mut Arrival, env: &mut Env<'_, B>) {
        // Everything sent is acknowledged, and nothing, not even the FIN, waits to be sent: the FIN is what was.
        let acknowledged = self.fin_acknowledged();
        match self.state {
            State::FinWait1 if acknowledged => self.enter(State::FinWait2, env),
            State::Closing if acknowledged => {
                self.enter(State::TimeWait, env);
                ends(arrival, Ending::TimeWait);
            }
            State::LastAck if acknowledged => {
                self.enter(State::Closed, env);
                ends(arrival, Ending::Closed);
            }
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
    }

    /// The peer's FIN once more, in TIME_WAIT: two lifetimes begin again.
    pub(super) fn restart_time_wait(&mut self, env: &Env<'_, B>) {
        self.timers
            .arm(Timer::Life, millis(env.profile.msl) * 2, env.tick());
    }
}
