//! The flight of a connection: what is known of what is outstanding, and the cold state of congestion control.
//!
//! It lies in a pool and exists only under load: from the moment at which more than two full segments are outstanding, or
//! something is thought lost, until everything is acknowledged. A request and its answer in a segment each never touch it.
//! Without room in the pool loss is recovered as if there were no SACK (RFC 6582).

use crate::congestion::Model;
use crate::pool::NIL;
use crate::recovery::{Marks, Phase};
use crate::sack::Scoreboard;
use crate::{Buffers, Env, Tcb};

/// What is outstanding.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    pub(crate) scoreboard: Scoreboard,
    /// What the algorithm of congestion control remembers beyond window and threshold.
    pub(crate) congestion: Model,
}

impl<B: Buffers> Tcb<B> {
    /// Makes the record of the flight if there is none; false when the pool is empty.
    pub(crate) fn open_flight(&mut self, env: &mut Env<'_, B>) -> bool {
        if self.flight == NIL
            && let Ok(index) = env.pools.flights.insert(Flight::default())
        {
            self.flight = index;
        }
        self.flight != NIL
    }

    /// All is acknowledged and nothing waits: the record goes, unless congestion control still needs it.
    pub(crate) fn close_flight(&mut self, env: &mut Env<'_, B>) {
        let idle = self.snd.flight() == 0 && !self.has_unsent() && self.recovery.phase == Phase::Open;
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
            env.pools.flights.remove(self.flight);
            self.flight = NIL;
            self.recovery.marks.remove(Marks::SACKED);
        }
    }
}
