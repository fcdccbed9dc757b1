//! The flight of a connection: what is known of what is outstanding, and the cold state of congestion control.
//!
//! It lies in a pool and exists only under load: from the moment at which more than two full segments are outstanding, or
//! something is thought lost, until everything is acknowledged. A request and its answer in a segment each never touch it.
//! Without room in the pool loss is recovered as if there were no SACK (RFC 6582), and nothing is undone.

use fourtuple_wire::SeqNum;

use crate::congestion::Model;
use crate::pool::NIL;
use crate::recovery::frto::Frto;
use crate::recovery::prr::Prr;
use crate::recovery::rack::Rack;
use crate::recovery::undo::Undo;
use crate::recovery::{Marks, Phase};
use crate::scoreboard::Scoreboard;
use crate::{Buffers, Env, Tcb};

/// What is outstanding, what recovery knows of it, and what congestion control remembers beyond window and threshold.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) scoreboard: Scoreboard,
    pub(crate) rack: Rack,
    pub(crate) prr: Prr,
    pub(crate) undo: Undo,
    pub(crate) frto: Frto,
    /// When the window was reduced last, in microseconds on a circle of 32 bits.
    pub(crate) reduced_at: u32,
    pub(crate) congestion: Model,
}

impl<B: Buffers> Tcb<B> {
    /// Makes the record of the flight if there is none; false when the pool is empty.
    pub(crate) fn open_flight(&mut self, env: &mut Env<'_, B>) -> bool {
        self.open_flight_up_to(self.snd.nxt, env)
    }

    /// The same, of what was sent before `nxt`.
    pub(crate) fn open_flight_up_to(&mut self, nxt: SeqNum, env: &mut Env<'_, B>) -> bool {
        if self.flight != NIL {
            return true;
        }
        let now_us = env.now.as_micros() as u32;
        let flight = Flight {
            scoreboard: self.scoreboard_up_to(nxt, env),
            rack: Rack::new(self.snd.una, self.rto.srtt_us(), env.now),
            prr: Prr::default(),
            undo: Undo::none(),
            frto: Frto::Off,
            reduced_at: now_us,
            congestion: Model::default(),
        };
        match env.pools.flights.insert(flight) {
            Ok(index) => self.flight = index,
            Err(_full) => return false,
        }
        true
    }

    /// All that is known without a record: the tick of the last sending, and when the segment under measurement was sent.
    fn scoreboard_up_to(&self, nxt: SeqNum, env: &Env<'_, B>) -> Scoreboard {
        let now_us = env.now.as_micros() as u32;
        let tick_us = now_us.wrapping_sub((env.now.as_micros() % 1000) as u32);
        let last = match env.tick().wrapping_sub(self.last_sent) {
            0 => now_us,
            // Some moment of that tick; not after its end.
            ticks => tick_us.wrapping_sub((ticks - 1).saturating_mul(1000)),
        };
        match self.rto.timed_since() {
            Some(first) => Scoreboard::new(self.snd.una, nxt, first, last, false),
            // Nothing is measured: something was sent again.
            None => Scoreboard::new(self.snd.una, nxt, last, last, true),
        }
    }

    /// All is acknowledged and nothing waits: the record goes, unless congestion control still needs it.
    #[inline]
    pub(crate) fn close_flight(&mut self, env: &mut Env<'_, B>) {
        let idle = self.flight != NIL
            && self.snd.flight() == 0
            && !self.has_unsent()
            && self.recovery.phase == Phase::Open;
        if idle
            && let Some(flight) = env.pools.flights.piece(self.flight)
            && flight.congestion.may_go()
        {
            self.drop_flight(env);
        }
    }

    /// The record goes, whatever it holds.
    pub(crate) fn drop_flight(&mut self, env: &mut Env<'_, B>) {
        if self.flight != NIL {
            if let Some(flight) = env.pools.flights.remove(self.flight) {
                flight.scoreboard.give_back(&mut env.pools.long_scoreboards);
            }
            self.flight = NIL;
            self.recovery.marks.remove(Marks::SACKED);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fourtuple_wire::Instant;

    use super::*;
    use crate::testing::Bench;

    // proves: RFC 8985 §6.1
    #[test]
    fn a_record_that_begins_late_takes_nothing_for_sent_earlier_than_its_tick_ended() {
        let una = SeqNum(u32::MAX - 500);
        let now = Instant::from_millis(2_000_000) + Duration::from_micros(700);
        for (last_sent, last) in [
            (2_000_000, 2_000_000_700),
            (1_999_999, 2_000_000_000),
            (1_999_997, 1_999_998_000),
        ] {
            for timed in [None, Some(1_990_000_000u32)] {
                let mut bench = Bench::established(una).queued(4_000, 3_000);
                (bench.now, bench.tcb.last_sent) = (now, last_sent);
                if let Some(timed) = timed {
                    let began = Instant::from_nanos(u64::from(timed) * 1000);
                    bench.tcb.rto.start(una + 1_000, began);
                }
                let mut bench = bench.with_flight();
                let flight = bench.pools.flights.piece_mut(bench.tcb.flight).unwrap();
                let mut all = Vec::new();
                flight
                    .scoreboard
                    .acknowledge(una + 3_000, |delivered| all.push(*delivered));
                assert_eq!(all.len(), 1);
                assert_eq!((all[0].octets, all[0].last), (3_000, last), "{last_sent}");
                assert_eq!(
                    (all[0].first, all[0].again),
                    (timed.unwrap_or(last), timed.is_none())
                );
            }
        }
    }
}
