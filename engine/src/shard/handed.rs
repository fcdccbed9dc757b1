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
use crate::handoff::{Command, EndpointIndex, Lender, Origin};
use crate::records::{Conn, Owner, Rare, Records};
use crate::stats::Counters;

/// Bytes came for a connection, and nothing else is to be told of it but perhaps room, as nearly always: its endpoint is lent the
/// chunks, the first with the room. `false`: some is left to be told, or all.
#[inline(always)]
pub(super) fn lend_plainly<Q: Queue>(
    conn: &mut Conn<Q>,
    id: ConnId,
    lender: Option<Lender<'_, Q>>,
    pools: &mut Pools<PortBuffers<Q>>,
) -> bool {
    let Some(mut lender) = lender else {
        return false;
    };
    loop {
        if !lender.takes_one() {
            return false;
        }
        let Some(chunk) = conn.tcb.receive_plain(pools) else {
            return false;
        };
        // What the endpoint sent and is not queued any more has been acknowledged.
        let freed = conn.freed.saturating_sub(conn.tcb.queued_charge());
        conn.freed -= freed;
        lender.lend(id, chunk, freed);
        if !conn.tcb.has_unread() {
            conn.signals = Signals::default();
            return true;
        }
    }
}

impl<Q: Queue> Work<Q> {
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
                let payload = sends.send(endpoint, id, payload, origin, released)?;
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
        origin: Origin,
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
        conn.tcb.queue_plain(payload, len, &env);
        if origin.is_received() {
            conn.flags.rare.note(Rare::SENDS_ON);
        }
        // Nothing else is queued.
        conn.freed += conn.tcb.queued_charge();
        // It owes this text now, and is armed when that was sent.
        if !std::mem::replace(&mut conn.flags.transmit, true) {
            self.ports[conn.port].transmit.push_back(slot);
        }
        None
    }
}
