//! Loss recovery: fast retransmit and fast recovery with SACK (RFC 6675 §5) and without (RFC 6582), and what follows a
//! retransmission timeout (RFC 5681 §3.1, RFC 6298 §5).
//!
//! | phase | since | what is sent |
//! |---|---|---|
//! | `Open` | nothing is thought lost | new data |
//! | `Fast` | three duplicate ACKs | the first hole at entry and at each partial ACK, new data as the window inflates |
//! | `FastSack` | the scoreboard shows loss | holes before the lost edge, then new data, as the pipe drains |
//! | `Loss` | the timer ran out | everything outstanding then, in slow start, but what is SACKed since |
//!
//! `recover` is SND.NXT when the phase began: an ACK of it ends the phase. `high_rxt` is the end of what was retransmitted.

use fourtuple_wire::{SackBlock, SeqNum, TcpHeader};

use crate::congestion::AckTold;
use crate::sack::{self, DUP_THRESH};
use crate::tcb::{Debts, Flags};
use crate::{Buffers, Env, Pools, Tcb};

/// Where recovery stands.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Recovery {
    pub(crate) recover: SeqNum,
    pub(crate) high_rxt: SeqNum,
    /// Second of the clock in which challenge ACKs were counted last (beside recovery, for the room).
    pub(crate) challenge_second: u8,
    pub(crate) marks: Marks,
    pub(crate) phase: Phase,
    pub(crate) duplicate_acks: u8,
}

/// What is thought of what is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Open,
    Fast,
    FastSack,
    Loss,
}

/// What is so of the flight, for those who need not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    const NONE: Self = Self(0);
    /// Something is SACKed.
    pub(crate) const SACKED: Self = Self(1);

    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline]
    pub(crate) const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl Phase {
    /// Fast recovery, with SACK or without.
    pub(crate) const fn is_fast(self) -> bool {
        match self {
            Self::Open | Self::Loss => false,
            Self::Fast | Self::FastSack => true,
        }
    }
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Self {
        Self {
            recover: iss,
            high_rxt: iss,
            challenge_second: 0,
            marks: Marks::NONE,
            phase: Phase::Open,
            duplicate_acks: 0,
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// What the peer reports to hold out of order.
    pub(crate) fn sacked<'a>(&self, pools: &'a Pools<B>) -> &'a [SackBlock] {
        pools
            .flights
            .piece(self.flight)
            .map_or(&[], |flight| flight.scoreboard.ranges())
    }

    /// Everything not SACKed before this is taken for lost.
    pub(crate) fn lost_edge(&self, pools: &Pools<B>) -> SeqNum {
        match self.recovery.phase {
            Phase::Open | Phase::Fast => self.snd.una,
            Phase::FastSack => sack::lost_edge(self.sacked(pools), self.snd.una, u32::from(self.snd.mss)),
            Phase::Loss => self.recovery.recover,
        }
    }

    /// Octets thought to be in the network.
    #[inline]
    pub(crate) fn pipe(&self, pools: &Pools<B>) -> u32 {
        match self.recovery.phase {
            Phase::Open | Phase::Fast => self.snd.flight(),
            Phase::FastSack | Phase::Loss => {
                let lost = self.lost_edge(pools);
                sack::pipe(
                    self.sacked(pools),
                    self.snd.una,
                    self.snd.nxt,
                    self.recovery.high_rxt,
                    lost,
                )
            }
        }
    }

    /// RFC 6675 §4, NextSeg (1): the next part that is lost and was not retransmitted.
    pub(crate) fn next_lost(&self, pools: &Pools<B>) -> Option<(SeqNum, SeqNum)> {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let edge = self.lost_edge(pools);
        sack::hole_from(
            self.sacked(pools),
            una,
            nxt,
            self.recovery.high_rxt.later(una),
            edge,
        )
    }

    /// RFC 6675 §4, NextSeg (3): a hole below the highest SACKed octet, when there is nothing better to send.
    pub(crate) fn next_suspected(&self, pools: &Pools<B>) -> Option<(SeqNum, SeqNum)> {
        if self.recovery.phase != Phase::FastSack {
            return None;
        }
        let ranges = self.sacked(pools);
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        sack::hole_from(
            ranges,
            una,
            nxt,
            self.recovery.high_rxt.later(una),
            ranges.last()?.left,
        )
    }

    /// Takes the SACK blocks of an ACK up; true when they hold news, or could not be looked at for want of room.
    pub(crate) fn take_sack_blocks(&mut self, header: &TcpHeader, env: &mut Env<'_, B>) -> bool {
        if !self.flags.contains(Flags::SACK) || header.options.sack.is_empty() || self.snd.flight() == 0 {
            return false;
        }
        let mut news = 0;
        for block in &header.options.sack {
            let inside = block.left.after(self.snd.una) && block.left.before(self.snd.nxt);
            if inside && !self.open_flight(env) {
                // A pool without room: loss is recovered as if there were no SACK (RFC 6582).
                env.counters.pool_empty += 1;
                return true;
            }
            if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
                news += flight.scoreboard.add(*block, self.snd.una, self.snd.nxt);
            }
        }
        if news > 0 {
            self.recovery.marks.insert(Marks::SACKED);
        }
        env.counters.sack_blocks_in += u64::from(news > 0);
        news > 0
    }

    /// Nothing counts as SACKed any more.
    fn forget_sacked(&mut self, env: &mut Env<'_, B>) {
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            flight.scoreboard.clear();
        }
        self.recovery.marks.remove(Marks::SACKED);
    }

    /// A duplicate ACK (RFC 5681 §2, RFC 6675 §2), perhaps with news of what is SACKed.
    pub(crate) fn on_duplicate_ack(&mut self, env: &mut Env<'_, B>) {
        env.counters.duplicate_acks_in += 1;
        self.recovery.duplicate_acks = self.recovery.duplicate_acks.saturating_add(1);
        match self.recovery.phase {
            Phase::Open => {
                let ranges = self.sacked(env.pools);
                let mss = u32::from(self.snd.mss);
                let lost = u32::from(self.recovery.duplicate_acks) >= DUP_THRESH
                    || sack::lost_edge(ranges, self.snd.una, mss) != self.snd.una;
                // RFC 6582 §3.2 step 1, RFC 6675 §5, RFC 5681 §4.3: not again for what an earlier recovery covers.
                if lost && self.snd.una.at_or_after(self.recovery.recover) {
                    self.fast_retransmit(env);
                }
            }
            // RFC 6582 §3.2 step 3: each is a segment that left the network.
            Phase::Fast => self.congestion.inflate(u32::from(self.snd.mss)),
            // The pipe shows it.
            Phase::FastSack | Phase::Loss => {}
        }
    }

    /// RFC 5681 §3.2 steps 2–3, RFC 6582 §3.2 step 2, RFC 6675 §5 step 4.
    fn fast_retransmit(&mut self, env: &mut Env<'_, B>) {
        let with_sack = !self.sacked(env.pools).is_empty();
        self.recovery.phase = if with_sack { Phase::FastSack } else { Phase::Fast };
        self.recovery.recover = self.snd.nxt;
        self.recovery.high_rxt = self.snd.una;
        self.tell_loss(!with_sack, env);
        self.debts.insert(Debts::RETRANSMIT);
        env.counters.fast_recoveries += 1;
    }

    /// `acked` octets up to the new SND.UNA were acknowledged; `flight` were outstanding before.
    #[inline]
    pub(crate) fn on_new_ack(&mut self, told: &AckTold, env: &mut Env<'_, B>) {
        let mss = u32::from(self.snd.mss);
        if self.recovery.marks.contains(Marks::SACKED) {
            let empty = env
                .pools
                .flights
                .piece_mut(self.flight)
                .is_none_or(|flight| flight.scoreboard.advance(self.snd.una));
            if empty {
                self.recovery.marks.remove(Marks::SACKED);
            }
        }
        self.recovery.duplicate_acks = 0;
        let recovered = self.snd.una.at_or_after(self.recovery.recover);
        match self.recovery.phase {
            Phase::Open => {
                // A window that is not used says nothing about the path (RFC 7661's concern): it does not grow.
                // `recover` stays close behind, or after 2³¹ octets it would seem to lie ahead.
                self.recovery.recover = self.recovery.recover.later(self.snd.una);
            }
            Phase::Fast | Phase::FastSack if recovered => {
                self.tell_recovered(env);
                self.recovery.phase = Phase::Open;
            }
            Phase::Fast => {
                // RFC 6582 §3.2 step 5, partial acknowledgment: the next hole is the new first octet.
                self.congestion.on_partial_ack(told.acked, mss);
                self.recovery.high_rxt = self.snd.una;
                self.debts.insert(Debts::RETRANSMIT);
            }
            Phase::FastSack => {
                self.recovery.high_rxt = self.recovery.high_rxt.later(self.snd.una);
                // Its SACKs are gone (reneged upon, or covered): nothing else would fill the first hole.
                if !self.recovery.marks.contains(Marks::SACKED) && self.recovery.high_rxt == self.snd.una {
                    self.debts.insert(Debts::RETRANSMIT);
                }
            }
            Phase::Loss => {
                self.recovery.high_rxt = self.recovery.high_rxt.later(self.snd.una);
                if recovered {
                    self.recovery.phase = Phase::Open;
                }
            }
        }
        self.tell_ack(told, env);
        self.close_flight(env);
    }

    /// The retransmission timer ran out with data outstanding (RFC 6298 §5.4–5.6, RFC 5681 §3.1).
    pub(crate) fn begin_loss(&mut self, env: &mut Env<'_, B>) {
        self.tell_timeout(env);
        self.go_back(env);
        env.counters.rto_expiries += 1;
    }

    /// Everything outstanding is to be sent again, from the first octet on.
    pub(crate) fn go_back(&mut self, env: &mut Env<'_, B>) {
        // RFC 2018 §8: the peer may have reneged; its SACKs no longer count.
        self.forget_sacked(env);
        self.recovery.phase = Phase::Loss;
        self.recovery.recover = self.snd.nxt;
        self.recovery.high_rxt = self.snd.una;
        self.recovery.duplicate_acks = 0;
        self.debts.insert(Debts::RETRANSMIT);
    }
}
