//! What a TCB tells its algorithm, and when: the samples are made here, and nowhere else.

use super::{AckSample, CongestionKind, Model, Reduction, SendSample};
use crate::recovery::Phase;
use crate::tcb::Flags;
use crate::{Buffers, Env, Pacing, Pools, Profile, Tcb};

/// What an acknowledgment told, besides what the TCB knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AckTold {
    /// Octets acknowledged cumulatively.
    pub(crate) acked: u32,
    /// Those of them for which the window may grow.
    pub(crate) counts: u32,
    /// Octets acknowledged for the first time, cumulatively or selectively.
    pub(crate) delivered: u32,
    /// Octets newly thought lost.
    pub(crate) lost: u32,
    /// Octets outstanding before it.
    pub(crate) flight: u32,
    /// A round-trip time in microseconds of what was sent once; zero for none.
    pub(crate) rtt_us: u32,
    /// When what left last of the newly acknowledged was sent.
    pub(crate) sent_at: Option<fourtuple_wire::Instant>,
    /// The peer echoed a mark.
    pub(crate) ece: bool,
    /// Fast recovery is under way.
    pub(crate) in_recovery: bool,
}

impl<B: Buffers> Tcb<B> {
    /// What the algorithm remembers, if there is a flight.
    pub(crate) fn model<'a>(&self, pools: &'a mut Pools<B>) -> Option<&'a mut Model> {
        pools
            .flights
            .piece_mut(self.flight)
            .map(|flight| &mut flight.congestion)
    }

    /// The window comes down, from what is outstanding now.
    pub(crate) fn reduction(&self, inflate: bool, env: &Env<'_, B>) -> Reduction {
        Reduction {
            kind: env.profile.congestion,
            now: env.now,
            mss: u32::from(self.snd.mss),
            flight: self.snd.flight(),
            una: self.snd.una,
            nxt: self.snd.nxt,
            inflate,
            again: false,
        }
    }

    /// Tells the algorithm of an acknowledgment that had news.
    #[inline]
    pub(crate) fn tell_ack(&mut self, told: &AckTold, env: &mut Env<'_, B>) {
        let sample = AckSample {
            kind: env.profile.congestion,
            now: env.now,
            mss: u32::from(self.snd.mss),
            acked: told.acked,
            counts: told.counts,
            delivered: told.delivered,
            lost: told.lost,
            flight: told.flight,
            pipe: self.pipe(env.pools),
            una: self.snd.una,
            nxt: self.snd.nxt,
            rtt_us: told.rtt_us,
            srtt_us: self.rto.srtt_us(),
            sent_at: told.sent_at,
            ece: told.ece,
            // RFC 7661: a window of which not half was used says nothing about the path.
            app_limited: self.congestion.window() > told.flight.saturating_mul(2),
            in_recovery: told.in_recovery,
            sack: self.flags.contains(Flags::SACK),
        };
        let model = self.model(env.pools);
        self.congestion.on_ack(model, &sample);
    }

    /// Tells the algorithm that fast recovery begins, with `flight` octets outstanding before the ACK that showed it.
    /// `again`: what was sent again was lost, too, a second sign of congestion (RFC 5681 §4.3).
    pub(crate) fn tell_loss(&mut self, flight: u32, inflate: bool, again: bool, env: &mut Env<'_, B>) {
        let reduction = Reduction {
            flight: flight.max(self.snd.flight()),
            again,
            ..self.reduction(inflate, env)
        };
        let model = self.model(env.pools);
        self.congestion.on_loss(model, &reduction);
        self.owe_cwr();
    }

    /// Tells the algorithm of a loss that a tail loss probe repaired, with so much outstanding when that showed: it is over.
    pub(crate) fn tell_tail_loss(&mut self, flight: u32, env: &mut Env<'_, B>) {
        let reduction = Reduction {
            flight,
            ..self.reduction(false, env)
        };
        let model = self.model(env.pools);
        self.congestion.on_loss(model, &reduction);
        self.owe_cwr();
        self.tell_recovered(env);
    }

    /// Tells the algorithm that the retransmission timer ran out.
    pub(crate) fn tell_timeout(&mut self, env: &mut Env<'_, B>) {
        let reduction = self.reduction(false, env);
        let first = self.timers.retransmits == 0;
        let model = self.model(env.pools);
        self.congestion.on_timeout(model, &reduction, first);
        self.owe_cwr();
    }

    /// Tells the algorithm that fast recovery ended.
    pub(crate) fn tell_recovered(&mut self, env: &mut Env<'_, B>) {
        let flight = match self.recovery.phase {
            // RFC 6582 §3.2 step 5: the window was inflated, and comes down to what is outstanding.
            Phase::Fast => self.pipe(env.pools),
            // RFC 6675 §5, RFC 9937 §6.2: with SACK the window ends at ssthresh, whatever is outstanding.
            Phase::Open | Phase::FastSack | Phase::Loss => self.congestion.threshold(),
        };
        let mss = u32::from(self.snd.mss);
        let model = self.model(env.pools);
        self.congestion
            .on_recovered(model, env.profile.congestion, flight, mss);
    }

    /// Tells the algorithm that all is acknowledged that was outstanding when the retransmission timer ran out.
    pub(crate) fn tell_timeout_repaired(&mut self, env: &mut Env<'_, B>) {
        if let Some(model) = self.model(env.pools) {
            self.congestion.on_timeout_repaired(model);
        }
    }

    /// Tells the algorithm, and the pacer, that `len` octets leave; `paced`: they go by the rate.
    #[inline]
    pub(crate) fn tell_sent(&mut self, len: u32, env: &mut Env<'_, B>) {
        if !wants_every_sending(env.profile) && self.flight == crate::pool::NIL {
            return;
        }
        self.tell_sent_to_model(len, env);
    }

    fn tell_sent_to_model(&mut self, len: u32, env: &mut Env<'_, B>) {
        if wants_every_sending(env.profile) && !self.open_flight(env) {
            env.counters.pool_empty += 1;
            return;
        }
        let sample = SendSample {
            kind: env.profile.congestion,
            now: env.now,
            len,
            pipe: self.pipe(env.pools).saturating_sub(len),
            srtt_us: self.rto.srtt_us(),
            app_limited: !self.has_unsent(),
        };
        let (paces, most) = (paces(env.profile), env.profile.max_pacing_rate);
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return;
        };
        let model = &mut flight.congestion;
        model.on_sent(&mut self.congestion, &sample);
        if !paces {
            return;
        }
        let rate = self
            .congestion
            .pacing_rate(Some(model), sample.kind, sample.srtt_us);
        let bound = rate.unwrap_or(u64::MAX).min(most.unwrap_or(u64::MAX));
        if bound == u64::MAX {
            return;
        }
        model.pacer.sent(len, bound, env.now);
        if let Some(wait) = model.pacer.wait(env.now) {
            self.flags.insert(Flags::PACED);
            self.rto.set_pace(wait, env.now);
        }
    }

    /// The pacer holds text back still; when its time has come it does no longer.
    #[inline]
    pub(crate) fn follow_pace(&mut self, env: &mut Env<'_, B>) {
        if self.flags.contains(Flags::PACED) {
            let now = env.now;
            match self.model(env.pools).and_then(|model| model.pacer.wait(now)) {
                Some(wait) => self.rto.set_pace(wait, now),
                None => self.flags.remove(Flags::PACED),
            }
        }
    }

    /// The deadline of the pacer.
    pub(crate) fn on_pace(&mut self, env: &mut Env<'_, B>) {
        if self.flags.contains(Flags::PACED) && self.rto.is_pace_due(env.tick()) {
            // Also when all was sent meanwhile: a moment that is past would be due again in every tick.
            self.follow_pace(env);
            self.consider_text(env);
        }
    }

    /// RFC 3168 §6.1.2: the peer is told of a window that came down for any reason.
    fn owe_cwr(&mut self) {
        if self.flags.contains(Flags::ECN) {
            self.flags.insert(Flags::CWR_OWED);
        }
    }

    /// The peer echoed a mark: the window comes down, once a window of data, unless it did for loss (RFC 3168 §6.1.2).
    pub(crate) fn tell_mark(&mut self, env: &mut Env<'_, B>) {
        if self.recovery.phase != Phase::Open {
            return;
        }
        // What was reduced for is remembered there.
        self.open_flight(env);
        let reduction = self.reduction(false, env);
        let model = self.model(env.pools);
        if self.congestion.on_mark(model, &reduction) {
            env.counters.ecn_reductions += 1;
            self.owe_cwr();
        }
    }
}

/// The algorithm, or the pacer, is told of everything that leaves.
#[inline]
pub(crate) fn wants_every_sending(profile: &Profile) -> bool {
    profile.congestion == CongestionKind::Bbr || paces(profile)
}

/// Segments leave at a rate.
#[inline]
pub(crate) fn paces(profile: &Profile) -> bool {
    match profile.pacing {
        Pacing::On => true,
        Pacing::Off => profile.max_pacing_rate.is_some(),
        Pacing::Auto => profile.congestion == CongestionKind::Bbr || profile.max_pacing_rate.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_wire::{Instant, SeqNum};

    use super::*;
    use crate::testing::{Bytes, TestBuffers};
    use crate::{Path, PoolSizes, Seeds, TcpCounters};

    /// A connection with such a profile, and a pool of so many flights.
    struct Connection {
        profile: Profile,
        pools: Pools<TestBuffers>,
        counters: TcpCounters,
        tcb: Option<Tcb<TestBuffers>>,
    }

    impl Connection {
        fn new(congestion: CongestionKind, flights: u32) -> Self {
            let sizes = PoolSizes {
                send_chunks: 4,
                receive_chunks: 4,
                reassemblies: 1,
                flights,
                long_scoreboards: 1,
                asides: 1,
            };
            let mut connection = Self {
                profile: Profile::default().with(|profile| profile.congestion = congestion),
                pools: Pools::new(&sizes),
                counters: TcpCounters::default(),
                tcb: None,
            };
            let seeds = Seeds {
                iss: SeqNum(7),
                timestamp_offset: 7,
            };
            let path = Path {
                receive_mss: 1000,
                send_mss_limit: 1000,
                default_mss: 536,
            };
            connection.tcb = Some(Tcb::connect(seeds, &path, &mut connection.env()));
            connection
        }

        fn env(&mut self) -> Env<'_, TestBuffers> {
            Env {
                now: Instant::from_millis(10_000),
                profile: &self.profile,
                pools: &mut self.pools,
                counters: &mut self.counters,
            }
        }

        fn with<R>(&mut self, call: impl FnOnce(&mut Tcb<TestBuffers>, &mut Env<'_, TestBuffers>) -> R) -> R {
            let mut tcb = self.tcb.take().unwrap();
            let result = call(&mut tcb, &mut self.env());
            self.tcb = Some(tcb);
            result
        }

        /// The model as it prints itself, if there is a flight.
        fn model(&mut self) -> Option<String> {
            self.with(|tcb, env| tcb.model(env.pools).map(|model| format!("{model:?}")))
        }
    }

    #[test]
    fn bbr_and_the_pacer_are_told_of_everything_that_leaves() {
        use CongestionKind::{Bbr, Cubic};
        for (congestion, pacing, most, told, paced) in [
            (Bbr, Pacing::Off, None, true, false),
            (Bbr, Pacing::Auto, None, true, true),
            (Bbr, Pacing::On, None, true, true),
            (Cubic, Pacing::On, None, true, true),
            (Cubic, Pacing::Auto, None, false, false),
            (Cubic, Pacing::Auto, Some(1_000), true, true),
            (Cubic, Pacing::Off, Some(1_000), true, true),
            (Cubic, Pacing::Off, None, false, false),
        ] {
            let profile = Profile::default().with(|profile| {
                profile.congestion = congestion;
                profile.pacing = pacing;
                profile.max_pacing_rate = most;
            });
            let case = format!("{congestion} {pacing:?} {most:?}");
            assert_eq!(wants_every_sending(&profile), told, "{case}");
            assert_eq!(paces(&profile), paced, "{case}");
        }
    }

    #[test]
    fn what_leaves_makes_a_flight_where_the_algorithm_has_to_know_and_is_told_wherever_there_is_one() {
        for (congestion, opened) in [(CongestionKind::Bbr, true), (CongestionKind::Cubic, false)] {
            let mut connection = Connection::new(congestion, 1);
            connection.with(|tcb, env| tcb.tell_sent(1_000, env));
            assert_eq!(connection.model().is_some(), opened, "{congestion}");
            connection.with(|tcb, env| assert!(tcb.open_flight(env)));
            let before = connection.model();
            connection.with(|tcb, env| tcb.tell_sent(1_000, env));
            assert_ne!(connection.model(), before, "{congestion}");
            assert_eq!(connection.counters.pool_empty, 0);
        }
    }

    #[test]
    fn each_sending_that_finds_the_pool_empty_counts() {
        let mut connection = Connection::new(CongestionKind::Bbr, 0);
        for count in 1..=3 {
            connection.with(|tcb, env| tcb.tell_sent(1_000, env));
            assert_eq!(connection.counters.pool_empty, count);
        }
    }

    #[test]
    fn the_application_is_the_limit_when_nothing_more_waits() {
        for (waits, limited_until) in [(false, 1_000), (true, 0)] {
            let mut connection = Connection::new(CongestionKind::Bbr, 1);
            connection.with(|tcb, env| {
                if waits {
                    tcb.send(Bytes::from(&[7; 100][..]), env).unwrap();
                }
                tcb.tell_sent(1_000, env);
            });
            let model = connection.model().unwrap();
            let told = format!("limited_until: {limited_until},");
            assert!(model.contains(&told), "{waits}: {model}");
        }
    }
}
