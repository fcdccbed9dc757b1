//! The short way between a connection and its endpoint: chunks that are lent, and plain text that comes back, each with one look at the
//! record.
//!
//! What is plain is as in [`plain`](super::plain). Whatever is not goes the way of all other events and commands, which would do the
//! same.

use fourtuple_nic::Queue;
use fourtuple_tcp::{Env, Pools, Signals};
use fourtuple_wire::{Instant, Payload};

use super::ports::Ports;
use super::profiles::Profiles;
use super::work::Work;
use crate::ConnId;
use crate::buffer::{PortBuffers, TxChunk};
use crate::conn_id::SlotRef;
use crate::handoff::{Command, EndpointIndex};
use crate::records::{Owner, Records};
use crate::stats::Counters;
use crate::tick::tick_of;

impl<Q: Queue> Work<Q> {
    /// Bytes came for a connection, and nothing else is to be told of it but perhaps room, as nearly always: its endpoint is lent the
    /// chunks, the first with the room. `false`: some is left to be told, or all.
    #[inline(always)]
    pub(super) fn lend_plainly(&mut self, slot: SlotRef, endpoint: EndpointIndex) -> bool {
        let Some((conn, generation)) = self.records.conn_and_generation_mut(slot) else {
            return false;
        };
        let Some(profile) = self.profiles.get(conn.profile) else {
            return false;
        };
        let Some(mut lender) = self.hub.lender(endpoint) else {
            return false;
        };
        let id = ConnId::new(self.worker, slot, generation);
        let mut env = Env {
            now: self.now,
            profile,
            pools: &mut self.pools,
            counters: &mut self.counters.tcp,
        };
        while conn.tcb.has_unread() {
            if !lender.takes_one() {
                return false;
            }
            let Some(chunk) = conn.tcb.receive(&mut env) else {
                return false;
            };
            // What the endpoint sent and is not queued any more has been acknowledged.
            let queued = conn.tcb.queued_charge();
            let freed = conn.freed.saturating_sub(queued);
            conn.freed -= freed;
            lender.lend(id, chunk, freed);
        }
        conn.signals = Signals::default();
        // As `put_down`: the state stays, and nothing more is owed.
        self.in_hand = None;
        if !conn.flags.transmit
            && let Some(tick) = conn.tick_to_arm(tick_of(self.now))
        {
            self.enter_wheel(slot, tick);
        }
        true
    }

    /// The next command of an endpoint that is more than to send plain text, which is done at once. Each command is one less that is
    /// `left`.
    pub(super) fn next_command(&mut self, left: &mut usize) -> Option<(EndpointIndex, Command<Q>)> {
        let mut sends = Sends {
            now: self.now,
            records: &mut self.records,
            profiles: &self.profiles,
            pools: &mut self.pools,
            counters: &mut self.counters,
            ports: &mut self.ports,
        };
        self.hub.poll_command(left, |endpoint, command| match command {
            Command::Send {
                id,
                payload,
                origin,
                released,
            } => {
                let payload = sends.send(endpoint, id, payload, released)?;
                Some(Command::Send {
                    id,
                    payload,
                    origin,
                    released,
                })
            }
            other => Some(other),
        })
    }
}

/// What it takes to send plain text on a connection, while its endpoint's ring is in hand.
struct Sends<'a, Q: Queue> {
    now: Instant,
    records: &'a mut Records<Q>,
    profiles: &'a Profiles,
    pools: &'a mut Pools<PortBuffers<Q>>,
    counters: &'a mut Counters,
    ports: &'a mut Ports<Q>,
}

impl<Q: Queue> Sends<'_, Q> {
    /// An endpoint sends plain text on a connection of its own, as nearly all sends are; else the payload comes back, and nothing has
    /// changed.
    #[inline(always)]
    fn send(
        &mut self,
        endpoint: EndpointIndex,
        id: ConnId,
        payload: TxChunk<Q::Shared>,
        released: u32,
    ) -> Option<TxChunk<Q::Shared>> {
        let Some((slot, conn)) = self.records.named_conn_mut(id) else {
            return Some(payload);
        };
        let Some(profile) = self.profiles.get(conn.profile) else {
            return Some(payload);
        };
        let len = payload.len();
        if conn.owner != Owner::Endpoint(endpoint) || !conn.tcb.takes_plain(len, profile) {
            return Some(payload);
        }
        let mut env = Env {
            now: self.now,
            profile,
            pools: self.pools,
            counters: &mut self.counters.tcp,
        };
        if released > 0 {
            conn.tcb.release(released as usize, &mut env);
        }
        conn.freed += payload.charge();
        conn.tcb.queue_plain(payload, len, &env);
        // It owes this text now, and is armed when that was sent.
        if !std::mem::replace(&mut conn.flags.transmit, true) {
            self.ports[conn.port].transmit.push_back(slot);
        }
        None
    }
}
