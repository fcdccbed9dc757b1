//! RACK (RFC 8985 §6): what was sent before something that has arrived since, and is a reordering window late, is lost.
//!
//! Kept is what the segment sent last among those delivered tells: when it was sent, its end, and its round trip. Times come
//! from the scoreboard, in microseconds. That reordering was seen at all outlives the flight (`Marks::REORDERED`).

use fourtuple_wire::{Instant, SeqNum};

use crate::recovery::{AckNews, Marks, Phase};
use crate::scoreboard::{Delivered, Lost, Waiting, is_earlier};
use crate::timers::is_before;
use crate::{Buffers, Env, Tcb};

/// RFC 8985 §5.2, but for what the scoreboard and the TCB hold.
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq; `None` before anything was delivered.
    newest: Option<(u32, SeqNum)>,
    /// RACK.rtt.
    rtt_us: u32,
    /// RACK.fack.
    fack: SeqNum,
    min_rtt: MinRtt,
    /// RACK.dsack_round.
    dsack_round: Option<SeqNum>,
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
}

/// The least round trip of the last minutes: of this span and the one before.
#[derive(Clone, Copy, Debug)]
struct MinRtt {
    now_us: u32,
    before_us: u32,
    since_ms: u32,
}

/// The moment at which an ACK came, and which moment it echoes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    now: Instant,
    /// TSecr, on our clock of milliseconds.
    echo_ms: Option<u32>,
}

/// The sending that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// When, in microseconds on a circle of 32 bits; not after that, where it is not known exactly.
    pub(crate) sent_us: u32,
    pub(crate) exact_rtt_us: Option<u32>,
}

/// What a look at everything outstanding found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) lost: Lost,
    /// Microseconds until the last of those that may still be only late is lost.
    pub(crate) remaining_us: u32,
}

/// RFC 8985 §6.2 step 4: recoveries without a D-SACK after which the window is as narrow as at first.
const PERSIST: u8 = 16;

/// RFC 8985 §3.1: DupThresh, used while no reordering was seen.
const DUP_THRESH: u32 = 3;

/// As long as any round trip that the estimator takes: a minute.
const MAX_WAIT_US: i64 = 60_000_000;

/// How long a least round trip counts, once over: some minutes, as RFC 8985 §6.2 step 1 wants it windowed.
const MIN_RTT_SPAN_MS: u32 = 120_000;

impl Arrived {
    pub(crate) const fn new(now: Instant, echo_ms: Option<u32>) -> Self {
        Self { now, echo_ms }
    }

    const fn us(&self) -> u32 {
        self.now.as_micros() as u32
    }

    /// The peer answers something that was sent before the moment `us`.
    fn echoes_before(&self, us: u32) -> bool {
        let sent = self.now.as_micros() - u64::from(self.us().wrapping_sub(us)).min(self.now.as_micros());
        self.echo_ms
            .is_some_and(|echo| is_before(echo, (sent / 1000) as u32))
    }
}

impl Rack {
    pub(crate) fn new(una: SeqNum, srtt_us: u32, now: Instant) -> Self {
        let least = if srtt_us == 0 { u32::MAX } else { srtt_us };
        Self {
            newest: None,
            rtt_us: 0,
            fack: una,
            min_rtt: MinRtt {
                now_us: least,
                before_us: u32::MAX,
                since_ms: now.as_millis() as u32,
            },
            dsack_round: None,
            reo_wnd_mult: 1,
            reo_wnd_persist: 0,
        }
    }

    /// RACK.min_RTT; `u32::MAX` before the first sample.
    pub(crate) fn min_rtt_us(&self) -> u32 {
        self.min_rtt.now_us.min(self.min_rtt.before_us)
    }

    pub(crate) const fn fack(&self) -> SeqNum {
        self.fack
    }

    /// RFC 8985 §6.2 steps 1 and 2. Which sending it answers; `None` when that can't be told.
    pub(crate) fn on_delivered(&mut self, delivered: &Delivered, arrived: &Arrived) -> Option<Answered> {
        self.fack = self.fack.later(delivered.end);
        // A range of which a part is delivered: sent at its first moment, for all that is known.
        let sent = if delivered.exact {
            delivered.last
        } else {
            delivered.first
        };
        let rtt_us = arrived.us().wrapping_sub(sent).max(1);
        // Step 2: of two sendings it may be the first that is answered.
        if delivered.again && (arrived.echoes_before(sent) || rtt_us < self.min_rtt_us()) {
            return None;
        }
        if delivered.exact && !delivered.again {
            self.min_rtt.take(rtt_us, arrived.now.as_millis() as u32);
        }
        if self
            .newest
            .is_none_or(|newest| is_sent_after((sent, delivered.end), newest))
        {
            self.newest = Some((sent, delivered.end));
            self.rtt_us = rtt_us;
        }
        Some(Answered {
            sent_us: sent,
            exact_rtt_us: (delivered.exact && !delivered.again).then_some(rtt_us),
        })
    }

    /// RFC 8985 §6.2 step 4: each round with a D-SACK widens the window.
    pub(crate) fn on_dsack(&mut self, una: SeqNum, nxt: SeqNum) {
        if self.dsack_round.is_some_and(|round| una.at_or_after(round)) {
            self.dsack_round = None;
        }
        if self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// RFC 8985 §6.2 step 4: sixteen recoveries without a D-SACK narrow it.
    pub(crate) fn on_recovered(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
        }
    }

    /// RFC 8985 §6.2 step 4, RACK_update_reo_wnd.
    fn reo_wnd_us(&self, srtt_us: u32) -> u32 {
        let quarters = u64::from(self.reo_wnd_mult) * u64::from(self.min_rtt_us()) / 4;
        quarters.min(u64::from(srtt_us)) as u32
    }

    /// RFC 8985 §6.2 step 5, for one range: microseconds until it is lost, `None` when nothing sent after it has arrived.
    fn remaining_us(&self, waiting: Waiting, reo_wnd_us: u32, now_us: u32) -> Option<i64> {
        let newest = self.newest?;
        let late = is_sent_after(newest, (waiting.last, waiting.end));
        late.then(|| {
            let age = i64::from(now_us.wrapping_sub(waiting.last));
            i64::from(self.rtt_us) + i64::from(reo_wnd_us) - age
        })
    }
}

impl MinRtt {
    fn take(&mut self, rtt_us: u32, now_ms: u32) {
        if now_ms.wrapping_sub(self.since_ms) > MIN_RTT_SPAN_MS {
            (self.before_us, self.now_us, self.since_ms) = (self.now_us, rtt_us, now_ms);
        }
        self.now_us = self.now_us.min(rtt_us);
    }
}

/// RFC 8985 §6.2, RACK_sent_after: later, or at the same time and further on.
fn is_sent_after(left: (u32, SeqNum), right: (u32, SeqNum)) -> bool {
    is_earlier(right.0, left.0) || (left.0 == right.0 && left.1.after(right.1))
}

impl<B: Buffers> Tcb<B> {
    /// RFC 8985 §6.2 step 4: nothing but what was sent before is waited for while reordering was never seen.
    fn reo_wnd_us(&self, rack: &Rack, sacked_octets: u32) -> u32 {
        let many = sacked_octets >= DUP_THRESH * u32::from(self.snd.mss);
        let in_recovery = self.recovery.phase != Phase::Open;
        if !self.recovery.marks.contains(Marks::REORDERED) && (in_recovery || many) {
            return 0;
        }
        rack.reo_wnd_us(self.rto.srtt_us())
    }

    /// RFC 8985 §6.2 step 5, RACK_detect_loss.
    pub(crate) fn detect_losses(&mut self, env: &mut Env<'_, B>) -> Verdict {
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return Verdict::default();
        };
        let sacked = flight.scoreboard.octets_of(crate::scoreboard::Fate::Sacked);
        let reo_wnd_us = self.reo_wnd_us(&flight.rack, sacked);
        let now_us = env.now.as_micros() as u32;
        let (rack, mut remaining_us) = (&flight.rack, 0);
        let lost = flight
            .scoreboard
            .judge(|waiting| match rack.remaining_us(waiting, reo_wnd_us, now_us) {
                Some(left) if left <= 0 => true,
                Some(left) => {
                    remaining_us = remaining_us.max(left.min(MAX_WAIT_US) as u32);
                    false
                }
                None => false,
            });
        env.counters.rack_losses += u64::from(lost.octets.div_ceil(u32::from(self.snd.mss).max(1)));
        Verdict { lost, remaining_us }
    }

    /// RFC 8985 §6.3: at a timeout the first segment is lost, and what was sent longer ago than a round trip and the window.
    pub(crate) fn lose_on_timeout(&mut self, env: &mut Env<'_, B>) {
        let now_us = env.now.as_micros() as u32;
        let Some(flight) = env.pools.flights.piece_mut(self.flight) else {
            return;
        };
        let bound = u64::from(flight.rack.rtt_us) + u64::from(flight.rack.reo_wnd_us(self.rto.srtt_us()));
        let _octets = flight
            .scoreboard
            .judge(|waiting| u64::from(now_us.wrapping_sub(waiting.last)) >= bound);
        flight.scoreboard.lose_first(u32::from(self.snd.mss));
    }

    /// The reordering timer ran out (RFC 8985 §6.2, step 5): what it waited for is lost now, or nearly.
    pub(crate) fn on_reordering_timeout(&mut self, env: &mut Env<'_, B>) {
        env.counters.rack_timeouts += 1;
        self.arm_rest_of_timeout(env);
        let mut news = AckNews::default();
        self.detect_and_recover(&mut news, env);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_round_trip_counts_for_some_minutes_once_it_is_over() {
        let mut least = MinRtt {
            now_us: 900,
            before_us: u32::MAX,
            since_ms: 5,
        };
        for (rtt_us, now_ms, now_us, before_us) in [
            (700, 6, 700, u32::MAX),
            (800, 5 + MIN_RTT_SPAN_MS, 700, u32::MAX),
            (800, 6 + MIN_RTT_SPAN_MS, 800, 700),
            (850, 6 + 2 * MIN_RTT_SPAN_MS, 800, 700),
            (850, 7 + 2 * MIN_RTT_SPAN_MS, 850, 800),
        ] {
            least.take(rtt_us, now_ms);
            assert_eq!((least.now_us, least.before_us), (now_us, before_us), "{now_ms}");
        }
    }

    // proves: RFC 8985 §6.2
    #[test]
    fn sixteen_recoveries_without_a_duplicate_narrow_the_window_again() {
        let mut rack = Rack::new(SeqNum(0), 0, Instant::ZERO);
        rack.on_dsack(SeqNum(0), SeqNum(1_000));
        for _ in 0..PERSIST {
            assert_eq!(rack.reo_wnd_mult, 2);
            rack.on_recovered();
        }
        assert_eq!(rack.reo_wnd_mult, 1);
    }

    #[test]
    fn an_echo_of_an_earlier_millisecond_answers_an_earlier_sending() {
        let now = Instant::from_millis(100_000);
        let sent = (now.as_micros() - 3_000) as u32;
        for (echo, earlier) in [
            (None, false),
            (Some(99_996), true),
            (Some(99_997), false),
            (Some(99_998), false),
        ] {
            assert_eq!(Arrived::new(now, echo).echoes_before(sent), earlier, "{echo:?}");
        }
    }

    // proves: RFC 8985 §6.2 (steps 1 and 2)
    #[test]
    fn which_sending_was_answered_is_told_and_what_it_proves() {
        let now = Instant::from_millis(100_000);
        let now_us = now.as_micros() as u32;
        let sent_once = Delivered {
            end: SeqNum(1_000),
            octets: 1_000,
            first: now_us - 30_000,
            last: now_us - 20_000,
            exact: true,
            again: false,
        };
        let part = Delivered {
            exact: false,
            ..sent_once
        };
        let sent_again = Delivered {
            again: true,
            ..sent_once
        };
        let soon = Delivered {
            last: now_us - 5_000,
            ..sent_again
        };
        let (earlier, not_earlier) = (Some(99_979), Some(99_980));
        // The least round trip was 10 ms. What is told: the moment of sending and an exact round trip, and the least one then.
        for (delivered, least_us, echo, answered, then_us) in [
            (sent_once, 10_000, None, Some((20_000, Some(20_000))), 10_000),
            (sent_once, 25_000, None, Some((20_000, Some(20_000))), 20_000),
            (sent_once, 10_000, earlier, Some((20_000, Some(20_000))), 10_000),
            (part, 10_000, None, Some((30_000, None)), 10_000),
            (part, 50_000, None, Some((30_000, None)), 50_000),
            (sent_again, 10_000, None, Some((20_000, None)), 10_000),
            (sent_again, 10_000, not_earlier, Some((20_000, None)), 10_000),
            (sent_again, 10_000, earlier, None, 10_000),
            (soon, 10_000, None, None, 10_000),
        ] {
            let mut rack = Rack::new(SeqNum(0), least_us, now);
            let told = rack.on_delivered(&delivered, &Arrived::new(now, echo));
            let told = told.map(|told| (now_us - told.sent_us, told.exact_rtt_us));
            assert_eq!(told, answered, "{delivered:?} {echo:?}");
            assert_eq!(rack.min_rtt_us(), then_us, "{delivered:?} {echo:?}");
            assert_eq!(rack.fack(), SeqNum(1_000), "delivered it is in any case");
        }
    }
}
