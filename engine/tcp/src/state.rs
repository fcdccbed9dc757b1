//! The eleven states (RFC 9293 §3.3.2) and the one function that changes them.
//!
//! ```text
//!  CLOSED ─connect─► SYN_SENT ──SYN+ACK──────────────────────► ESTABLISHED ──FIN──► CLOSE_WAIT ─shutdown─► LAST_ACK ─► CLOSED
//!                       └──SYN──► SYN_RECEIVED ──ACK of SYN──►     │ shutdown
//!  (SYN record) ──────ACK───────►     │ shutdown                   ▼
//!                                     └─────────────────────► FIN_WAIT_1 ──FIN──► CLOSING ──ACK of FIN──► TIME_WAIT
//!                                                                  └─ACK of FIN─► FIN_WAIT_2 ──FIN──────► TIME_WAIT ─2 MSL─► CLOSED
//! ```
//! From any state a reset, an abort or a lost peer leads to CLOSED. LISTEN is never a TCB's: listeners keep none.

use crate::profile::millis;
use crate::tcb::{Debts, Flags, Tcb};
use crate::timers::Timer;
use crate::{Buffers, Env};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN; only listeners are in it.
    Listen,
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and one sent.
    SynReceived,
    /// Data goes both ways.
    Established,
    /// This end closed its direction.
    FinWait1,
    /// And the peer acknowledged that.
    FinWait2,
    /// The peer closed its direction.
    CloseWait,
    /// Both closed, neither acknowledged: a simultaneous close.
    Closing,
    /// The peer closed first, then this end; its FIN is not acknowledged yet.
    LastAck,
    /// All is done; stragglers are waited out.
    TimeWait,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    /// The name in stats and listings, as `close_wait`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Listen => "listen",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
        }
    }

    /// States between which a connection may go (RFC 9293 figure 5, and CLOSED from everywhere).
    pub(crate) const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Closed => matches!(next, Self::SynSent | Self::SynReceived | Self::Closed),
            Self::Listen => false,
            Self::SynSent => matches!(next, Self::SynReceived | Self::Established | Self::Closed),
            Self::SynReceived => matches!(next, Self::Established | Self::Closed),
            Self::Established => matches!(next, Self::FinWait1 | Self::CloseWait | Self::Closed),
            Self::FinWait1 => matches!(
                next,
                Self::FinWait2 | Self::Closing | Self::TimeWait | Self::Closed
            ),
            Self::FinWait2 => matches!(next, Self::TimeWait | Self::Closed),
            Self::CloseWait => matches!(next, Self::LastAck | Self::Closed),
            Self::Closing => matches!(next, Self::TimeWait | Self::Closed),
            Self::LastAck | Self::TimeWait => matches!(next, Self::Closed),
        }
    }

    /// Both ends know each other's sequence numbers.
    pub(crate) const fn is_synchronised(self) -> bool {
        match self {
            Self::Closed | Self::Listen | Self::SynSent | Self::SynReceived => false,
            Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::CloseWait
            | Self::Closing
            | Self::LastAck
            | Self::TimeWait => true,
        }
    }

    /// Data of the peer may still come and is wanted (RFC 9293 §3.10.7.4, seventh).
    pub(crate) const fn takes_text(self) -> bool {
        match self {
            Self::Established | Self::FinWait1 | Self::FinWait2 => true,
            Self::Closed
            | Self::Listen
            | Self::SynSent
            | Self::SynReceived
            | Self::CloseWait
            | Self::Closing
            | Self::LastAck
            | Self::TimeWait => false,
        }
    }

    /// Data or a FIN of this end may have to be sent.
    pub(crate) const fn sends_text(self) -> bool {
        match self {
            Self::Established | Self::CloseWait | Self::FinWait1 | Self::Closing | Self::LastAck => true,
            Self::Closed
            | Self::Listen
            | Self::SynSent
            | Self::SynReceived
            | Self::FinWait2
            | Self::TimeWait => false,
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// The only place where a state changes: what a state needs when it begins is set up here.
    pub(crate) fn enter(&mut self, next: State, env: &mut Env<'_, B>) {
        debug_assert!(self.state.may_become(next), "{:?} → {next:?}", self.state);
        self.state = next;
        match next {
            State::Closed => self.closed(env),
            State::SynSent => env.counters.active_opens += 1,
            State::Established => self.established(env),
            State::FinWait2 => self.fin_wait_2(env),
            State::TimeWait => self.begin_time_wait(env),
            State::Listen
            | State::SynReceived
            | State::FinWait1
            | State::CloseWait
            | State::Closing
            | State::LastAck => {}
        }
    }

    /// Nothing is owed any more but perhaps a RST, noted after this, or the last ACK.
    fn closed(&mut self, _env: &mut Env<'_, B>) {
        self.timers.disarm_all();
        self.debts = Debts::NONE;
    }

    fn established(&mut self, env: &mut Env<'_, B>) {
        env.counters.established += 1;
        self.timers.disarm(Timer::Life);
        self.handshake_done(env);
    }

    /// RFC 9293 §3.6.1 knows no bound here; with both ways closed by the application nobody would miss it.
    fn fin_wait_2(&mut self, env: &mut Env<'_, B>) {
        if self.flags.contains(Flags::ORPHAN) {
            self.timers
                .arm(Timer::Life, millis(env.profile.fin_wait_2_timeout), env.tick());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_transitions_are_those_of_the_rfc() {
        let table: Vec<String> = State::ALL
            .into_iter()
            .map(|from| {
                let to: Vec<_> = State::ALL
                    .into_iter()
                    .filter(|to| from.may_become(*to))
                    .map(State::name)
                    .collect();
                format!("{} -> {}", from.name(), to.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "closed -> closed syn_sent syn_received",
                "listen -> ",
                "syn_sent -> closed syn_received established",
                "syn_received -> closed established",
                "established -> closed fin_wait_1 close_wait",
                "fin_wait_1 -> closed fin_wait_2 closing time_wait",
                "fin_wait_2 -> closed time_wait",
                "close_wait -> closed last_ack",
                "closing -> closed time_wait",
                "last_ack -> closed",
                "time_wait -> closed",
            ]
        );
    }

    #[test]
    fn numbers_are_places_in_the_list() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
        }
    }
}
