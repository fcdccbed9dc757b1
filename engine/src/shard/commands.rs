//! What endpoints ask for: send, close, connect, credit; and their buffers that come home. Drained with a budget, even while
//! their event rings are full (D10).

use fourtuple_nic::Queue;
use fourtuple_tcp::SendRefused;
use fourtuple_wire::Payload;

use super::calls::ConnectOptions;
use super::limits::{COMMAND_BUDGET, RETURN_BUDGET};
use super::scan::Act;
use super::work::Work;
use crate::ConnId;
use crate::buffer::TxChunk;
use crate::conn_id::SlotRef;
use crate::handoff::{Command, EndpointIndex, Event, Opened};
use crate::port_number::PortNumber;
use crate::records::{Owner, Rare};

impl<Q: Queue> Work<Q> {
    /// Executes what endpoints asked for.
    pub(crate) fn commands(&mut self) {
        let came_home = self.hub.poll_returns(RETURN_BUDGET);
        self.busy |= came_home > 0;
        let mut left = COMMAND_BUDGET;
        while let Some((endpoint, command)) = self.next_command(&mut left) {
            if let Err(command) = self.execute(endpoint, command) {
                self.hub.hold(endpoint, command);
            }
        }
        self.busy |= left < COMMAND_BUDGET;
        self.counters.commands += (COMMAND_BUDGET - left) as u64;
        self.counters.tx_copied_bytes += self.hub.take_copied();
        while let Some(endpoint) = self.hub.poll_gone() {
            self.busy = true;
            self.scans.begin(Act::Leave(endpoint), None);
        }
        let first = PortNumber::FIRST;
        self.hub.refill_blanks(&mut self.ports[first].queue);
    }

    /// Gives a command back that can't be executed now.
    fn execute(&mut self, endpoint: EndpointIndex, command: Command<Q>) -> Result<(), Command<Q>> {
        match command {
            Command::Send {
                id,
                payload,
                origin,
                released,
            } => {
                if released > 0 {
                    self.release_for(id, released);
                }
                if origin.is_received()
                    && let Some(conn) = self
                        .owned(endpoint, id)
                        .and_then(|slot| self.records.conn_mut(slot))
                {
                    conn.flags.rare.note(Rare::SENDS_ON);
                }
                return self
                    .send_for(endpoint, id, payload, false)
                    .map_err(|payload| Command::Send {
                        id,
                        payload,
                        origin,
                        released: 0,
                    });
            }
            Command::SendUrgent(id, chunk) => {
                return self
                    .send_for(endpoint, id, chunk, true)
                    .map_err(|chunk| Command::SendUrgent(id, chunk));
            }
            Command::Release(id, space) => self.release_for(id, space),
            Command::Shutdown(id) => {
                if let Some(slot) = self.owned(endpoint, id) {
                    self.with_tcb(slot, |tcb, env| tcb.shutdown(env));
                }
            }
            Command::Close { id, unread } => {
                if let Some(slot) = self.owned(endpoint, id) {
                    self.let_go(slot, unread);
                }
            }
            // RFC 9293 §3.6.1: bytes that crossed a close make it a RST, also when nobody owns the connection any more.
            Command::Abort(id) => match self.records.named(id) {
                Some(slot) if self.is_orphan(slot) => self.close(slot, true),
                _ => {
                    if let Some(slot) = self.owned(endpoint, id) {
                        self.let_go(slot, true);
                    }
                }
            },
            Command::Set(id, change) => {
                if let Some(slot) = self.owned(endpoint, id)
                    && self.set_option(slot, change).is_err()
                {
                    self.counters.options_refused += 1;
                }
            }
            Command::Connect {
                token,
                remote,
                options,
            } => {
                let owner = Owner::Endpoint(endpoint);
                let default = ConnectOptions::default();
                let chosen = options.as_deref().unwrap_or(&default);
                if let Err(why) = self.connect(remote.into(), chosen, owner, token)
                    && self
                        .hub
                        .try_opened(endpoint, Opened::ConnectRefused { token, why })
                        .is_err()
                {
                    return Err(Command::Connect {
                        token,
                        remote,
                        options,
                    });
                }
            }
            Command::Move { id, to } => return self.begin_move(endpoint, id, to),
            Command::Take(id) => self.take_moved(endpoint, id),
            Command::Look(id, mut status) => {
                let Some(slot) = self.owned(endpoint, id) else {
                    return Ok(());
                };
                *status = self.with_tcb(slot, |tcb, env| tcb.status(env.profile, env.now));
                if let Err(Event::Seen(id, status)) = self.hub.try_event(endpoint, Event::Seen(id, status)) {
                    return Err(Command::Look(id, status));
                }
            }
            Command::Credit(listener, count) => self.hub.on_credit(endpoint, listener, count),
            Command::Withdraw(listener, count) => self.hub.on_withdraw(endpoint, listener, count),
        }
        Ok(())
    }

    /// An endpoint gave buffer space of this connection back.
    fn release_for(&mut self, id: ConnId, space: u32) {
        // Also of a connection that moved on while its chunks were in the application's hands.
        if let Some(slot) = self.on_an_endpoint(id) {
            self.with_tcb(slot, |tcb, env| tcb.release(space as usize, env));
        }
    }

    /// The connection with this name, if it is this endpoint's.
    pub(super) fn owned(&mut self, endpoint: EndpointIndex, id: ConnId) -> Option<SlotRef> {
        let slot = self.records.named(id).filter(|slot| {
            self.records.conn(*slot).is_some_and(|conn| match conn.owner {
                Owner::Endpoint(owner) => owner == endpoint,
                // Who had it may still speak for it, until the other has it.
                Owner::Moving(_) => conn.token == u32::from(endpoint.0),
                Owner::Queue | Owner::Handler | Owner::Orphan => false,
            })
        });
        self.counters.stale_commands += u64::from(slot.is_none());
        slot
    }

    /// The connection with this name, if it is any endpoint's.
    fn on_an_endpoint(&mut self, id: ConnId) -> Option<SlotRef> {
        let slot = self.records.named(id).filter(|slot| {
            self.records.conn(*slot).is_some_and(|conn| match conn.owner {
                Owner::Endpoint(_) | Owner::Moving(_) => true,
                Owner::Queue | Owner::Handler | Owner::Orphan => false,
            })
        });
        self.counters.stale_commands += u64::from(slot.is_none());
        slot
    }

    fn is_orphan(&self, slot: SlotRef) -> bool {
        self.records
            .conn(slot)
            .is_some_and(|conn| conn.owner == Owner::Orphan)
    }

    fn send_for(
        &mut self,
        endpoint: EndpointIndex,
        id: ConnId,
        chunk: TxChunk<Q::Shared>,
        urgent: bool,
    ) -> Result<(), TxChunk<Q::Shared>> {
        let Some(slot) = self.owned(endpoint, id) else {
            return Ok(());
        };
        let charge = chunk.charge();
        let sent = self.with_tcb(slot, |tcb, env| {
            if urgent {
                tcb.send_urgent(chunk, env)
            } else {
                tcb.send(chunk, env)
            }
        });
        match sent {
            Some(Ok(())) => {
                if let Some(conn) = self.records.conn_mut(slot) {
                    conn.freed += charge;
                }
                Ok(())
            }
            Some(Err(SendRefused::Full(chunk))) => Err(chunk),
            Some(Err(SendRefused::Closed(_))) | None => Ok(()),
        }
    }

    /// The owner has no more interest: unread bytes make it a RST, else FIN, and then an orphan.
    pub(crate) fn let_go(&mut self, slot: SlotRef, abort: bool) {
        self.close(slot, abort);
        self.orphan(slot);
    }
}
