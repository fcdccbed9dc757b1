//! Loss recovery: what an ACK says of loss, and what follows.
//!
//! | phase | since | what is sent |
//! |---|---|---|
//! | `Open` | nothing is thought lost | new text |
//! | `FastSack` | RACK found loss (RFC 8985) | what is lost, then new text, as proportional rate reduction lets it (RFC 9937) |
//! | `Fast` | three duplicate ACKs, without SACK (RFC 6582) | the first hole at entry and at each partial ACK, new text as the window inflates |
//! | `Loss` | the timer ran out (RFC 5681 §3.1) | what is lost, in slow start |
//!
//! `recover` is SND.NXT when the phase began: an ACK of it ends the phase. Without a flight (its pool was empty) `high_rxt`
//! is the end of what was sent again, and everything before `recover` counts as lost after a timeout.
//!
//! `rack` says what is lost, `tlp` probes for it, `prr` lets it go, `undo` and `frto` find out that it was not.

pub(crate) mod frto;
pub(crate) mod prr;
pub(crate) mod rack;
mod tlp;
pub(crate) mod undo;

use fourtuple_wire::{Instant, SackBlock, SeqNum, TcpHeader};

use crate::congestion::AckTold;
use crate::pool::NIL;
use crate::recovery::frto::Frto;
use crate::recovery::prr::{Progress, Prr};
use crate::recovery::rack::{Arrived, Verdict};
use crate::recovery::undo::Undo;
use crate::scoreboard::{Delivered, FEW, is_earlier};
use crate::tcb::{Debts, Flags};
use crate::timers::{Retransmit, Timer};
use crate::{Buffers, Env, Pools, Tcb};

/// RFC 5681 §3.2: duplicate ACKs that stand for a loss, where there is no SACK.
const DUP_THRESH: u8 = 3;

/// Where recovery stands.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Recovery {
    pub(crate) recover: SeqNum,
    /// Without a flight: the end of what was sent again. While `Marks::PROBED`: TLP.end_seq.
    pub(crate) high_rxt: SeqNum,
    /// Second of the clock, modulo 256, in which challenge ACKs were counted last (beside recovery, for the room).
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
    /// A tail loss probe is outstanding.
    pub(crate) const PROBED: Self = Self(2);
    /// It sent the last segment again.
    pub(crate) const PROBED_AGAIN: Self = Self(4);
    /// No round trip was measured since the last probe.
    pub(crate) const UNMEASURED: Self = Self(8);
    /// RACK.reordering_seen.
    pub(crate) const REORDERED: Self = Self(16);
    /// Something is SACKed, or a probe is outstanding.
    pub(crate) const OF_PROBES_OR_SACKED: Self = Self(1 | 2 | 4);
    /// Any of what keeps a probe from being sent.
    const NO_PROBE: Self = Self(1 | 2 | 8);

    #[inline]
    pub(crate) const fn contains(self, any: Self) -> bool {
        self.0 & any.0 != 0
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

/// What an ACK told, as far as it is known yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckNews {
    /// Octets by which SND.UNA advanced.
    pub(crate) acked: u32,
    /// Octets newly SACKed.
    pub(crate) sacked: u32,
    /// Octets that it reports for the first time, either way; without a flight `acked`.
    pub(crate) delivered: u32,
    /// Octets newly taken for lost.
    pub(crate) lost: u32,
    /// Octets outstanding before it.
    pub(crate) flight: u32,
    /// Fast recovery was under way when it came.
    pub(crate) in_recovery: bool,
    /// The peer echoed a mark (RFC 3168).
    pub(crate) ece: bool,
    /// When what left last of that was sent, in microseconds on a circle of 32 bits.
    pub(crate) sent_us: Option<u32>,
    /// The least exact round trip that it tells, from times of sending; zero when none.
    pub(crate) rtt_us: u32,
    /// A duplicate that the peer received (RFC 2883).
    pub(crate) dsack: Option<SackBlock>,
    /// It reports octets that were never sent again; after a timeout only of those that were sent before it.
    pub(crate) original: bool,
    /// Octets that were sent again are among those that it acknowledged cumulatively.
    pub(crate) again: bool,
    /// RACK.fack before it, so that the order of its blocks does not matter.
    prior_fack: Option<SeqNum>,
    /// It filled a hole below RACK.fack with what was never sent again.
    reordered: bool,
    /// It had SACKs that there was no room for.
    pub(crate) refused: bool,
    /// It is a duplicate ACK without SACK.
    pub(crate) repeats: bool,
}

impl AckNews {
    /// Of an ACK that is not looked at yet.
    #[inline]
    pub(crate) fn of(flight: u32, phase: Phase, ece: bool) -> Self {
        Self {
            flight,
            in_recovery: phase.is_fast(),
            ece,
            ..Self::default()
        }
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

/// Takes up what `Scoreboard` tells of an ACK.
struct Listener<'a> {
    rack: &'a mut rack::Rack,
    arrived: Arrived,
    sent_before: Option<SeqNum>,
    news: &'a mut AckNews,
}

impl Listener<'_> {
    fn on_delivered(&mut self, delivered: &Delivered) {
        let news = &mut *self.news;
        let prior_fack = *news.prior_fack.get_or_insert(self.rack.fack());
        news.reordered |= delivered.end.before(prior_fack) && !delivered.again;
        news.delivered += delivered.octets;
        let timely = self.sent_before.is_none_or(|nxt| delivered.end.at_or_before(nxt));
        news.original |= !delivered.again && timely;
        let Some(answered) = self.rack.on_delivered(delivered, &self.arrived) else {
            return;
        };
        news.sent_us = match news.sent_us {
            Some(other) if !is_earlier(other, answered.sent_us) => Some(other),
            Some(_) | None => Some(answered.sent_us),
        };
        if let Some(rtt_us) = answered.exact_rtt_us {
            news.rtt_us = if news.rtt_us == 0 {
                rtt_us
            } else {
                news.rtt_us.min(rtt_us)
            };
        }
    }
}

impl<B: Buffers> Tcb<B> {
    /// Octets thought to be in the network (RFC 6675 §4, SetPipe).
    #[inline]
    pub(crate) fn pipe(&self, pools: &Pools<B>) -> u32 {
        if self.recovery.phase == Phase::Open && !self.recovery.marks.contains(Marks::SACKED) {
            return self.snd.flight();
        }
        match (pools.flights.piece(self.flight), self.recovery.phase) {
            (Some(flight), Phase::Open | Phase::FastSack | Phase::Loss) => flight.scoreboard.pipe(),
            // RFC 6582: the window is inflated instead.
            (_, Phase::Open | Phase::Fast | Phase::FastSack) => self.snd.flight(),
            (None, Phase::Loss) => {
                let behind = self.snd.nxt.distance_from(self.recovery.recover);
                behind
                    + self
                        .recovery
                        .high_rxt
                        .later(self.snd.una)
                        .distance_from(self.snd.una)
            }
        }
    }

    /// RFC 6675 §4, NextSeg (1): the next part that is lost.
    pub(crate) fn next_lost(&self, pools: &Pools<B>) -> Option<(SeqNum, SeqNum)> {
        match (pools.flights.piece(self.flight), self.recovery.phase) {
            (_, Phase::Open | Phase::Fast) => None,
            (Some(flight), Phase::FastSack | Phase::Loss) => flight.scoreboard.next_lost(),
            (None, Phase::FastSack | Phase::Loss) => {
                let from = self.recovery.high_rxt.later(self.snd.una);
                from.before(self.recovery.recover)
                    .then_some((from, self.recovery.recover))
            }
        }
    }

    /// Where the first SACKed octet stands; SND.NXT when none is.
    pub(crate) fn first_sacked(&self, pools: &Pools<B>) -> SeqNum {
        pools
            .flights
            .piece(self.flight)
            .and_then(|flight| flight.scoreboard.first_sacked())
            .unwrap_or(self.snd.nxt)
    }

    /// When and what an ACK echoes, on our clock.
    fn arrived(&self, header: &TcpHeader, env: &Env<'_, B>) -> Arrived {
        let echo = header.options.timestamps.filter(|_| self.timestamps.enabled);
        let echo_ms = echo.map(|timestamps| timestamps.echo.wrapping_sub(self.timestamps.offset));
        Arrived::new(env.now, echo_ms)
    }

    /// Takes the SACK blocks of an ACK up (RFC 2018 §4, RFC 2883 §4).
    pub(crate) fn take_sack_blocks(&mut self, header: &TcpHeader, news: &mut AckNews, env: &mut Env<'_, B>) {
        let blocks = &header.options.sack;
        if !self.flags.contains(Flags::SACK) || blocks.is_empty() {
            return;
        }
        news.dsack = self.duplicate_in(header);
        env.counters.dsacks_in += u64::from(news.dsack.is_some());
        let first = usize::from(news.dsack.is_some());
        for block in &blocks[first..] {
            let inside = block.left.after(self.snd.una) && block.left.before(self.snd.nxt);
            if !inside {
                continue;
            }
            if !self.open_flight(env) {
                // A pool without room: loss is recovered as if there were no SACK (RFC 6582).
                env.counters.pool_empty += 1;
                news.refused = true;
                return;
            }
            let arrived = self.arrived(header, env);
            let many_holes = self.may_have_many_holes();
            if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
                if many_holes {
                    flight.scoreboard.make_sure(&mut env.pools.long_scoreboards);
                }
                let mut listener = Listener {
                    rack: &mut flight.rack,
                    arrived,
                    sent_before: flight.frto.sent_before(),
                    news,
                };
                let sacked = flight
                    .scoreboard
                    .sack(*block, |delivered| listener.on_delivered(delivered));
                news.sacked += sacked;
                self.note_reordering(news);
            }
        }
        if news.sacked > 0 {
            self.recovery.marks.insert(Marks::SACKED);
            env.counters.sack_blocks_in += 1;
        }
    }

    /// RFC 8985 §6.2 step 3.
    fn note_reordering(&mut self, news: &AckNews) {
        if news.reordered {
            self.recovery.marks.insert(Marks::REORDERED);
        }
    }

    /// RFC 2883 §4: the first block is a duplicate's when it lies below the acknowledgment, or within the second.
    fn duplicate_in(&self, header: &TcpHeader) -> Option<SackBlock> {
        let blocks = &header.options.sack;
        let first = *blocks.first()?;
        let within = blocks.get(1).is_some_and(|second| {
            second.left.at_or_before(first.left) && first.right.at_or_before(second.right)
        });
        let oldest = self.snd.una.back(self.snd.max_wnd());
        let sane = first.left.before(first.right)
            && first.right.at_or_before(self.snd.nxt)
            && first.left.at_or_after(oldest);
        (sane && (first.right.at_or_before(header.ack) || within)).then_some(first)
    }

    /// A duplicate ACK (RFC 5681 §2, RFC 6675 §2). Without SACK the third stands for a loss.
    pub(crate) fn on_duplicate_ack(&mut self, news: &AckNews, env: &mut Env<'_, B>) {
        env.counters.duplicate_acks_in += 1;
        self.recovery.duplicate_acks = self.recovery.duplicate_acks.saturating_add(1);
        match self.recovery.phase {
            Phase::Open if news.sacked == 0 && !self.recovery.marks.contains(Marks::SACKED) => {
                // RFC 6582 §3.2 step 1, RFC 5681 §4.3: not again for what an earlier recovery covers.
                let lost = self.recovery.duplicate_acks >= DUP_THRESH;
                if lost && self.snd.una.at_or_after(self.recovery.recover) {
                    self.fast_retransmit(env);
                }
            }
            // RFC 6582 §3.2 step 3: each is a segment that left the network.
            Phase::Fast => self.congestion.inflate(u32::from(self.snd.mss)),
            // The scoreboard shows it.
            Phase::Open | Phase::FastSack | Phase::Loss => {}
        }
    }

    /// RFC 5681 §3.2 steps 2–3, RFC 6582 §3.2 step 2: without SACK.
    fn fast_retransmit(&mut self, env: &mut Env<'_, B>) {
        self.begin_episode(env);
        self.recovery.phase = Phase::Fast;
        self.tell_loss(0, true, false, env);
        self.debts.insert(Debts::RETRANSMIT);
        env.counters.fast_recoveries += 1;
    }

    /// What every recovery and timeout begins with: it may turn out to be none.
    fn begin_episode(&mut self, env: &mut Env<'_, B>) {
        self.forget_probe();
        // Its record may be missing: then nothing is undone.
        let _opened = self.open_flight(env);
        if let Some(flight) = env.pools.flights.piece_mut(self.flight)
            && self.recovery.phase == Phase::Open
        {
            flight.undo = flight.undo.begin(
                self.congestion.window(),
                self.congestion.threshold(),
                self.snd.una,
            );
        }
        self.recovery.recover = self.snd.nxt;
        self.recovery.high_rxt = self.snd.una;
    }

    /// RACK found loss (RFC 8985 §6.2 step 5): recovery with SACK begins (RFC 6675 §5 step 4, RFC 9937 §6.1).
    fn begin_recovery(&mut self, news: &AckNews, env: &mut Env<'_, B>) {
        // Recovery without SACK has reduced already; its peer tells more now.
        let mut used = 0;
        if self.recovery.phase == Phase::Open {
            // With nothing new to send the ACKs before this one let nothing go, in a burst or not: RFC 9937 §6.1 leaves them out.
            if self.has_unsent() {
                used = self.used_window(env.pools);
            }
            self.begin_episode(env);
            self.tell_loss(news.flight, false, false, env);
            env.counters.fast_recoveries += 1;
        }
        self.recovery.phase = Phase::FastSack;
        self.begin_rate_reduction(used, news, env);
    }

    /// The part of the window that was used in the last round trip.
    fn used_window(&self, pools: &Pools<B>) -> u32 {
        let flight = pools.flights.piece(self.flight);
        let used = flight.map_or(0, |flight| flight.congestion.used());
        used.min(self.congestion.window())
    }

    /// What was `used` of the window, and has left the network by ACKs of this burst before any of them let something go, is
    /// delivered in this episode.
    fn begin_rate_reduction(&mut self, used: u32, news: &AckNews, env: &mut Env<'_, B>) {
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            // RFC 9937 §6.1: without what was SACKed before this ACK.
            let sacked = flight.scoreboard.octets_of(crate::scoreboard::Fate::Sacked);
            let unknown = self.snd.flight().saturating_sub(sacked);
            flight.prr = Prr::begin(unknown.saturating_add(news.delivered), used);
            flight.reduced_at = env.now.as_micros() as u32;
        }
    }

    /// `news.acked` octets up to the new SND.UNA were acknowledged.
    #[inline]
    pub(crate) fn on_new_ack(&mut self, header: &TcpHeader, news: &mut AckNews, env: &mut Env<'_, B>) {
        self.advance_scoreboard(header, news, env);
        self.recovery.duplicate_acks = 0;
        if self.recovery.marks.contains(Marks::PROBED) {
            self.on_ack_of_probe(header.ack, news, env);
        }
        match self.recovery.phase {
            Phase::Open => {
                // `recover` stays close behind, or after 2³¹ octets it would seem to lie ahead.
                self.recovery.recover = self.recovery.recover.later(self.snd.una);
            }
            Phase::Fast if self.snd.una.before(self.recovery.recover) => {
                // RFC 6582 §3.2 step 5, partial acknowledgment: the next hole is the new first octet.
                self.congestion
                    .on_partial_ack(news.acked, u32::from(self.snd.mss));
                self.recovery.high_rxt = self.snd.una;
                self.debts.insert(Debts::RETRANSMIT);
            }
            Phase::Loss => self.recovery.high_rxt = self.recovery.high_rxt.later(self.snd.una),
            // What follows is told by all of the ACK (`after_ack`).
            Phase::Fast | Phase::FastSack => {}
        }
    }

    /// Congestion control hears of an ACK that reported something, when recovery is done with it.
    #[inline]
    pub(crate) fn tell_news(&mut self, news: &AckNews, env: &mut Env<'_, B>) {
        if news.acked == 0 && news.sacked == 0 {
            return;
        }
        // RFC 7661: a window of which not half was used says nothing about the path; and without a model there is nothing that
        // would be remembered.
        if self.flight == NIL && self.congestion.window() > news.flight.saturating_mul(2) {
            return;
        }
        self.tell_news_to_model(news, env);
    }

    fn tell_news_to_model(&mut self, news: &AckNews, env: &mut Env<'_, B>) {
        let sent_at = news.sent_us.map(|sent_us| moment_of(sent_us, env.now));
        let in_recovery = self.recovery.phase.is_fast();
        let counts = match (in_recovery, news.in_recovery) {
            (true, _) => 0,
            (false, false) => news.acked,
            // It ends recovery: what left since that began is acknowledged as at any other time (RFC 5681 §3.1), whether by an ACK of
            // its own or by this one.
            (false, true) => self.snd.una.distance_from(self.recovery.recover).min(news.acked),
        };
        let told = AckTold {
            acked: news.acked,
            counts,
            delivered: news.delivered,
            lost: news.lost,
            flight: news.flight,
            rtt_us: news.rtt_us,
            sent_at,
            ece: news.ece,
            in_recovery,
        };
        self.tell_ack(&told, env);
    }

    /// The scoreboard follows SND.UNA.
    #[inline]
    fn advance_scoreboard(&mut self, header: &TcpHeader, news: &mut AckNews, env: &mut Env<'_, B>) {
        if self.flight == NIL {
            news.delivered = news.acked;
            return;
        }
        self.advance_flight(header, news, env);
    }

    fn advance_flight(&mut self, header: &TcpHeader, news: &mut AckNews, env: &mut Env<'_, B>) {
        let arrived = self.arrived(header, env);
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            news.delivered = news.acked;
            return;
        };
        let mut again = false;
        let mut listener = Listener {
            rack: &mut flight.rack,
            arrived,
            sent_before: flight.frto.sent_before(),
            news,
        };
        flight.scoreboard.acknowledge(self.snd.una, |delivered| {
            again |= delivered.again;
            listener.on_delivered(delivered);
        });
        flight.scoreboard.shorten(&mut env.pools.long_scoreboards);
        news.again = again;
        flight.undo.on_advance(self.snd.una);
        if self.recovery.marks.contains(Marks::SACKED) && flight.scoreboard.first_sacked().is_none() {
            self.recovery.marks.remove(Marks::SACKED);
        }
        self.note_reordering(news);
    }

    /// All of an ACK is taken up: whether something is lost, or was not, and what may be sent.
    pub(crate) fn after_ack(&mut self, header: &TcpHeader, news: &mut AckNews, env: &mut Env<'_, B>) {
        if let Some(block) = news.dsack
            && let Some(flight) = env.pools.flights.piece_mut(self.flight)
        {
            flight.rack.on_dsack(self.snd.una, self.snd.nxt);
            self.undo_by_dsack(block, env);
        }
        if self.recovery.phase == Phase::Open && !self.recovery.marks.contains(Marks::SACKED) {
            return;
        }
        let echo = header.options.timestamps.filter(|_| self.timestamps.enabled);
        if let Some(timestamps) = echo.filter(|_| news.again && self.recovery.phase != Phase::Open) {
            self.undo_by_timestamp(timestamps.echo, env);
        }
        if self.recovery.phase == Phase::Loss && self.check_timeout(news, env) {
            self.restart_retransmit(env);
        }
        if self.recovery.phase != Phase::Open && self.snd.una.at_or_after(self.recovery.recover) {
            self.end_recovery(env);
        }
        self.detect_and_recover(news, env);
    }

    /// An ACK of `recover` ends the phase.
    fn end_recovery(&mut self, env: &mut Env<'_, B>) {
        if self.recovery.phase == Phase::Loss {
            self.tell_timeout_repaired(env);
        } else {
            self.tell_recovered(env);
        }
        self.recovery.phase = Phase::Open;
        self.debts.remove(Debts::RETRANSMIT);
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            flight.rack.on_recovered();
            flight.undo.on_ended(self.snd.nxt);
            flight.frto = Frto::Off;
        }
    }

    /// Whether more is lost now; then recovery begins, or goes on, and the window follows.
    fn detect_and_recover(&mut self, news: &mut AckNews, env: &mut Env<'_, B>) {
        if !self.flags.contains(Flags::SACK) || self.snd.flight() == 0 {
            return;
        }
        let Verdict { lost, remaining_us } = self.detect_losses(env);
        news.lost = lost.octets;
        let any_lost = lost.octets > 0 || self.next_unsent_loss(env.pools);
        match self.recovery.phase {
            Phase::Open | Phase::Fast if any_lost => self.begin_recovery(news, env),
            Phase::FastSack => self.lose_again(lost.retransmission, news, env),
            Phase::Open | Phase::Fast | Phase::Loss => {}
        }
        if self.recovery.phase == Phase::FastSack {
            self.follow_rate_reduction(news, env);
        }
        if remaining_us > 0 && (self.recovery.phase != Phase::Fast) {
            self.arm_reordering(remaining_us, env);
        } else if self.timers.is_armed(Timer::Retransmit)
            && self.timers.retransmit() == Retransmit::Probe
            && !self.may_probe()
        {
            self.arm_rest_of_timeout(env);
        }
    }

    /// Something was found lost in an episode that is over, and not sent again: it begins the next one.
    fn next_unsent_loss(&self, pools: &Pools<B>) -> bool {
        self.recovery.phase == Phase::Open
            && pools
                .flights
                .piece(self.flight)
                .is_some_and(|flight| flight.scoreboard.next_lost().is_some())
    }

    /// RFC 5681 §4.3: the loss of what was sent again is a second sign of congestion, once for each round of it.
    fn lose_again(&mut self, sent_at: Option<u32>, news: &AckNews, env: &mut Env<'_, B>) {
        let reduced_at = env
            .pools
            .flights
            .piece(self.flight)
            .map_or(0, |flight| flight.reduced_at);
        if sent_at.is_some_and(|at| !is_earlier(at, reduced_at)) {
            env.counters.lost_retransmits += 1;
            self.tell_loss(news.flight, false, true, env);
            self.begin_rate_reduction(0, news, env);
        }
    }

    /// RFC 9937 §6.2: the window after this ACK.
    fn follow_rate_reduction(&mut self, news: &AckNews, env: &mut Env<'_, B>) {
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return;
        };
        let progress = Progress {
            delivered: news.delivered,
            pipe: flight.scoreboard.pipe(),
            safe: news.acked > 0 && news.lost == 0,
            threshold: self.congestion.threshold(),
            mss: u32::from(self.snd.mss),
        };
        if news.delivered > 0 || news.lost > 0 {
            let window = flight.prr.window(&progress);
            self.congestion.set_window(env.profile.congestion, window);
        }
    }

    /// Text goes out: the flight begins when it gets large, and remembers its time and end.
    // RFC 8985 §6.1: each sending, the first and any other.
    #[inline]
    pub(crate) fn on_text_sent(&mut self, seq: SeqNum, end: SeqNum, again: bool, env: &mut Env<'_, B>) {
        if !again && self.snd.flight() > 2 * u32::from(self.snd.mss) {
            // Without room it is looked for again when something is lost.
            let _opened = self.open_flight_up_to(seq, env);
        }
        if self.flight != NIL {
            self.note_sending(seq, end, again, env);
        }
    }

    /// New text up to `end` goes out, and nothing is thought lost.
    #[inline]
    pub(crate) fn note_sent(&mut self, end: SeqNum, env: &mut Env<'_, B>) {
        let quantum = self.rto.srtt_us() / QUANTA;
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            flight.scoreboard.sent(end, env.now.as_micros() as u32, quantum);
        }
    }

    /// So much is outstanding that honest SACKs may leave more holes than a scoreboard has ranges of its own: a peer that
    /// SACKs single octets of little gets no more.
    fn may_have_many_holes(&self) -> bool {
        self.snd.flight() / u32::from(self.snd.mss) >= FEW as u32 / 2
    }

    fn note_sending(&mut self, seq: SeqNum, end: SeqNum, again: bool, env: &mut Env<'_, B>) {
        let many_holes = self.may_have_many_holes();
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return;
        };
        if many_holes {
            flight.scoreboard.make_sure(&mut env.pools.long_scoreboards);
        }
        let (now, octets) = (env.now.as_micros() as u32, end.distance_from(seq));
        let quantum = self.rto.srtt_us() / QUANTA;
        if again {
            flight.scoreboard.sent_again(seq, end, now, quantum);
            let stamp = self.timestamps.enabled.then(|| self.timestamps.value(env.now));
            flight.undo.on_sent_again(octets, stamp);
        } else {
            flight.scoreboard.sent(end, now, quantum);
        }
        if self.recovery.phase == Phase::FastSack {
            flight.prr.on_sent(octets);
        }
    }

    /// The retransmission timer ran out with text outstanding (RFC 6298 §5.4–5.6, RFC 5681 §3.1, RFC 8985 §6.3).
    pub(crate) fn begin_loss(&mut self, env: &mut Env<'_, B>) {
        let first = self.recovery.phase == Phase::Open;
        env.counters.rto_expiries += 1;
        let with_sack = self.flags.contains(Flags::SACK);
        self.begin_episode(env);
        self.tell_timeout(env);
        self.recovery.phase = Phase::Loss;
        self.recovery.duplicate_acks = 0;
        self.debts.insert(Debts::RETRANSMIT);
        // RFC 2018 §8: a peer that SACKed what it asks for has reneged.
        let reneged = self.first_sacked(env.pools) == self.snd.una;
        if !with_sack || reneged {
            self.lose_all(env);
        } else {
            self.lose_on_timeout(env);
        }
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            // RFC 5682 §2.1 step 1: not for a timeout in recovery.
            flight.frto = if first {
                Frto::Waiting(self.snd.nxt)
            } else {
                Frto::Off
            };
        }
    }

    /// Everything outstanding is to be sent again, from the first octet on, for no reason of the path's.
    pub(crate) fn go_back(&mut self, env: &mut Env<'_, B>) {
        self.forget_probe();
        self.lose_all(env);
        self.recovery.phase = Phase::Loss;
        self.recovery.recover = self.snd.nxt;
        self.recovery.high_rxt = self.snd.una;
        self.recovery.duplicate_acks = 0;
        self.debts.insert(Debts::RETRANSMIT);
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            (flight.undo, flight.frto) = (Undo::none(), Frto::Off);
        }
    }

    fn lose_all(&mut self, env: &mut Env<'_, B>) {
        if let Some(flight) = env.pools.flights.piece_mut(self.flight) {
            flight.scoreboard.lose_all();
        }
        self.recovery.marks.remove(Marks::SACKED);
    }
}

/// The last moment up to `now` of so many microseconds on their circle of 32 bits.
fn moment_of(us: u32, now: Instant) -> Instant {
    let now_us = now.as_micros();
    let ago = u64::from((now_us as u32).wrapping_sub(us));
    Instant::from_nanos(now_us.saturating_sub(ago) * 1000)
}

/// What is sent within this part of a round trip has one time: finer than the reordering window needs, a quarter of it.
const QUANTA: u32 = 16;

#[cfg(test)]
mod tests;
