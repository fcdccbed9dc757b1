//! Explicit congestion notification (RFC 3168), and DCTCP's accurate echo (RFC 8257 §3.2).
//!
//! ```text
//!   SYN: ECE+CWR ──►                     both ends agreed: data goes out with ECT(0) in its IP header,
//!          ◄── SYN+ACK: ECE              never a retransmission, a probe, a pure ACK, a SYN, a FIN or RST alone
//!   data, ECT(0) ──► marked CE ──►
//!          ◄── ACK: ECE, until …         the window comes down once (`congestion`)
//!   … new data: CWR ──►
//! ```
//! A SYN that is lost is sent again without: some middleboxes drop it (§6.1.1), and then there is no ECN on this connection.
//! The IP header is the engine's: a mark comes in by `segment_arrives_marked`, `Outgoing::ect` asks for ECT(0).

use fourtuple_wire::{TcpFlags, TcpHeader};

use crate::signals::Arrival;
use crate::tcb::{Debts, Flags};
use crate::{Buffers, CongestionKind, Env, Profile, Tcb};

/// Whether a connection uses explicit congestion notification (RFC 9293 §3.8.2, SHLD-8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ecn {
    /// Never.
    Off,
    /// When the peer asks for it; DCTCP asks by itself.
    #[default]
    Passive,
    /// It is asked for, and used when the peer agrees.
    On,
}

/// A word that is none of [`Ecn`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEcn;

impl std::fmt::Display for UnknownEcn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("explicit congestion notification is one of on, off, passive")
    }
}

impl std::error::Error for UnknownEcn {}

impl std::str::FromStr for Ecn {
    type Err = UnknownEcn;

    fn from_str(word: &str) -> Result<Self, UnknownEcn> {
        match word {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "passive" => Ok(Self::Passive),
            _ => Err(UnknownEcn),
        }
    }
}

impl Profile {
    /// Our SYN asks for it.
    pub(crate) fn asks_for_ecn(&self) -> bool {
        match self.ecn {
            Ecn::Off => false,
            Ecn::Passive => self.congestion == CongestionKind::Dctcp,
            Ecn::On => true,
        }
    }

    /// A SYN that asks for it is agreed to.
    pub(crate) fn accepts_ecn(&self) -> bool {
        self.ecn != Ecn::Off
    }
}

/// The bits of an ECN-setup SYN.
pub(crate) const SETUP: TcpFlags = TcpFlags(TcpFlags::ECE.0 | TcpFlags::CWR.0);

/// RFC 3168 §6.1.1: a SYN that asks has both bits.
pub(crate) fn asks(header: &TcpHeader) -> bool {
    header.flags.contains(SETUP)
}

/// RFC 3168 §6.1.1: a SYN+ACK that agrees has ECE alone; both are the SYN's own bits, sent back by something that knows neither.
fn agrees(header: &TcpHeader) -> bool {
    header.flags.contains(TcpFlags::ECE) && !header.flags.contains(TcpFlags::CWR)
}

impl<B: Buffers> Tcb<B> {
    /// The peer's SYN, or its SYN+ACK: whether both agree.
    pub(crate) fn negotiate_ecn(&mut self, header: &TcpHeader, env: &Env<'_, B>) {
        let agreed = if header.flags.contains(TcpFlags::ACK) {
            // RFC 3168 §6.1.1: no ECT after a SYN that did not ask.
            env.profile.asks_for_ecn() && self.rcv.syn_retransmits == 0 && agrees(header)
        } else {
            env.profile.accepts_ecn() && asks(header)
        };
        if agreed {
            self.flags.insert(Flags::ECN);
        } else {
            self.flags.remove(Flags::ECN);
        }
    }

    /// What our SYN or SYN+ACK says of it.
    pub(crate) fn ecn_of_syn(&self, answers: bool, profile: &Profile) -> TcpFlags {
        if answers {
            if self.flags.contains(Flags::ECN) {
                TcpFlags::ECE
            } else {
                TcpFlags::default()
            }
        } else if profile.asks_for_ecn() && self.rcv.syn_retransmits == 0 {
            SETUP
        } else {
            TcpFlags::default()
        }
    }

    /// The peer echoes a mark of a segment of ours.
    pub(crate) fn is_echo(&self, header: &TcpHeader) -> bool {
        self.flags.contains(Flags::ECN)
            && header.flags.contains(TcpFlags::ECE)
            && !header.flags.contains(TcpFlags::SYN)
    }

    /// An acceptable segment with text, marked or not: what our acknowledgments echo from now on.
    pub(crate) fn take_mark(
        &mut self,
        header: &TcpHeader,
        marked: bool,
        arrival: &mut Arrival,
        env: &mut Env<'_, B>,
    ) {
        if !self.flags.contains(Flags::ECN) {
            return;
        }
        env.counters.ce_segments_in += u64::from(marked);
        if env.profile.congestion == CongestionKind::Dctcp {
            self.echo_each(marked, arrival, env);
            return;
        }
        // RFC 3168 §6.1.3: until the peer says that its window came down, of marks before this one.
        if header.flags.contains(TcpFlags::CWR) {
            self.flags.remove(Flags::ECN_ECHO);
        }
        if marked {
            self.flags.insert(Flags::ECN_ECHO);
            self.debts.insert(Debts::ACK);
        }
    }

    /// RFC 8257 §3.2: when marks begin or end, what came before is acknowledged at once, with the echo that it had.
    fn echo_each(&mut self, marked: bool, arrival: &mut Arrival, env: &mut Env<'_, B>) {
        if marked == self.flags.contains(Flags::ECN_ECHO) {
            return;
        }
        if self.rcv.nxt != self.rcv.last_ack_sent && arrival.reply.is_none() {
            let header = self.ack_of_all(env);
            arrival.reply = Some(header);
        }
        if marked {
            self.flags.insert(Flags::ECN_ECHO);
        } else {
            self.flags.remove(Flags::ECN_ECHO);
        }
        self.debts.insert(Debts::ACK);
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::SeqNum;

    use super::*;
    use crate::testing::Bench;

    // proves: RFC 3168 §6.1.1
    #[test]
    fn a_syn_asks_with_both_bits() {
        assert_eq!(SETUP.0, TcpFlags::ECE.0 + TcpFlags::CWR.0);
        for (flags, asked) in [
            (TcpFlags::SYN, false),
            (TcpFlags::SYN | TcpFlags::ECE, false),
            (TcpFlags::SYN | TcpFlags::CWR, false),
            (TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR, true),
        ] {
            let header = TcpHeader {
                flags,
                ..TcpHeader::default()
            };
            assert_eq!(asks(&header), asked, "{flags:?}");
        }
    }

    // proves: RFC 8257 §3.2
    #[test]
    fn a_change_of_marks_acknowledges_at_once_what_is_not_acknowledged_and_only_that() {
        for (marked, unacknowledged, answers) in [(false, 10, false), (true, 0, false), (true, 10, true)] {
            let mut bench = Bench::established(SeqNum(1));
            bench.tcb.rcv.nxt = bench.tcb.rcv.last_ack_sent + unacknowledged;
            let mut arrival = Arrival::new();
            bench.with(|tcb, env| tcb.echo_each(marked, &mut arrival, env));
            let reply = arrival.reply.as_ref();
            assert_eq!(reply.is_some(), answers, "{marked} {unacknowledged}");
            assert!(reply.is_none_or(|header| !header.flags.contains(TcpFlags::ECE)));
            assert_eq!(bench.tcb.flags.contains(Flags::ECN_ECHO), marked);
            assert_eq!(bench.tcb.debts.contains(Debts::ACK), marked);
        }
    }
}
