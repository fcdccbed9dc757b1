//! What a handler may do that concerns no single connection: open connections, look at others, ask to be called again.

use std::net::{IpAddr, SocketAddr};

use fourtuple_nic::Queue;
use fourtuple_tcp::{Env, Profile, Tcb};
use fourtuple_wire::{FourTuple, Instant, is_group_destination};

use super::connection::Connection;
use super::work::Work;
use crate::ConnId;
use crate::attach::PortQueue;
use crate::conn_id::SlotRef;
use crate::error::{ApiMisuse, ConnectError};
use crate::host::route;
use crate::options::{ConnectionOption, changed};
use crate::port_number::PortNumber;
use crate::records::{NewConn, Owner};
use crate::shard::states::States;

/// Ports of its own that a worker looks up for one connection, each a look into the table: some ten microseconds for all. With
/// 99 of 100 ports in use, here and there, one call in thirteen finds none; the whole default range takes 64 calls.
const PORTS_LOOKED_UP: u32 = 256;

/// The worker as its handler sees it in [`on_turn`](crate::Handler::on_turn).
///
/// ```no_run
/// use fourtuple::{ConnectOptions, Handler, WorkerCalls};
///
/// struct Opening {
///     left: u32,
/// }
///
/// impl Handler for Opening {
///     type State = ();
///
///     fn on_readable(&mut self, connection: &mut fourtuple::Connection<'_>, (): &mut ()) {
///         while connection.receive().is_some() {}
///     }
///
///     fn on_turn(&mut self, worker: &mut WorkerCalls<'_>) {
///         while self.left > 0 {
///             match worker.connect(([10, 99, 0, 1], 80).into(), &ConnectOptions::default()) {
///                 Ok(_) => self.left -= 1,
///                 Err(_) => return, // In a later turn.
///             }
///         }
///     }
/// }
/// ```
pub struct WorkerCalls<'a, Q: Queue = PortQueue, S = ()> {
    pub(crate) work: &'a mut Work<Q>,
    pub(crate) states: &'a mut States<S>,
}

impl<Q: Queue, S> std::fmt::Debug for WorkerCalls<'_, Q, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerCalls(worker {})", self.work.worker)
    }
}

/// How to open a connection.
///
/// ```
/// use fourtuple::{ConnectOptions, ConnectionOption};
/// let options = ConnectOptions::new().with_local_port(20).with(ConnectionOption::NoDelay(true));
/// assert_eq!((options.local, options.local_port), (None, Some(20)));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Our address, and with it the port; chosen by the peer's when `None` (RFC 9293 MUST-43, MUST-44): of the port on whose
    /// link the peer is, else of one with a gateway.
    pub local: Option<IpAddr>,
    /// Our port; drawn from the ephemeral range when `None`.
    pub local_port: Option<u16>,
    /// Options that the connection begins with; those of the engine when `None`.
    pub profile: Option<Profile>,
    /// Options of the connection that differ from those, the last of a kind counts.
    pub options: Vec<ConnectionOption>,
    /// On the worker of this connection, as a proxy wants it, whose chunks then go through without a copy. For
    /// [endpoints](crate::Endpoint::start_connect_with); a handler opens on its own worker.
    pub beside: Option<ConnId>,
    /// TCP Fast Open (RFC 7413): what is sent on the connection in the call that opens it, right after
    /// [`connect`](WorkerCalls::connect) and by [`with`](WorkerCalls::with), goes out with the SYN once the server gave us a cookie. The
    /// server may get it twice (§6.1): for requests that bear that.
    pub fast_open: bool,
}

impl ConnectOptions {
    /// As [`Endpoint::connect`](crate::Endpoint::connect) has it: all is chosen.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this address of ours.
    pub fn with_local(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// From this port of ours.
    pub fn with_local_port(mut self, local: u16) -> Self {
        self.local_port = Some(local);
        self
    }

    /// On the worker of this connection.
    pub fn beside(mut self, connection: ConnId) -> Self {
        self.beside = Some(connection);
        self
    }

    /// With TCP Fast Open, or without.
    pub fn with_fast_open(mut self, on: bool) -> Self {
        self.fast_open = on;
        self
    }

    /// With these options in place of the engine's.
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// With one option that differs.
    pub fn with(mut self, option: ConnectionOption) -> Self {
        self.options.push(option);
        self
    }
}

impl<Q: Queue, S: Default> WorkerCalls<'_, Q, S> {
    /// This worker's number.
    pub fn worker(&self) -> u16 {
        self.work.worker
    }

    /// How many workers the engine has.
    pub fn workers(&self) -> u16 {
        self.work.workers
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.work.now
    }

    /// Connections of this worker, in any state.
    pub fn connections(&self) -> u32 {
        self.work.records.connections()
    }

    /// The engine drains: open no more.
    pub fn is_draining(&self) -> bool {
        self.work.draining
    }

    /// Opens a connection; `on_open` or `on_closed` tells how it went.
    ///
    /// # Errors
    /// [`ConnectError`] when it can't even be tried.
    pub fn connect(&mut self, remote: SocketAddr, options: &ConnectOptions) -> Result<ConnId, ConnectError> {
        let slot = self.work.connect(remote, options, Owner::Handler, 0)?;
        Ok(self.work.name(slot))
    }

    /// Calls `act` with a connection of this worker and its state.
    ///
    /// # Errors
    /// [`ApiMisuse::NoSuchConnection`] when it has ended.
    pub fn with<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Connection<'_, Q>, &mut S) -> R,
    ) -> Result<R, ApiMisuse> {
        let slot = self.work.records.named(id).ok_or(ApiMisuse::NoSuchConnection)?;
        let mut connection = Connection {
            work: self.work,
            slot,
        };
        connection.work.called_for = Some(slot);
        let result = act(&mut connection, self.states.at(slot));
        connection.work.called_for = None;
        self.work.see_to_the_end(slot);
        Ok(result)
    }

    /// Asks for a turn at this time at the latest; the earliest asked for counts.
    pub fn wake_at(&mut self, at: Instant) {
        self.work.wake_at = Some(self.work.wake_at.map_or(at, |other| other.min(at)));
    }
}

impl<Q: Queue> Work<Q> {
    /// Active open (RFC 9293 §3.10.1): draws a port so that this worker owns the four-tuple, and owes a SYN.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddr,
        options: &ConnectOptions,
        owner: Owner,
        token: u32,
    ) -> Result<SlotRef, ConnectError> {
        if self.draining {
            return Err(ConnectError::Stopping);
        }
        // RFC 9293 §3.4.3: numbers that a predecessor used may still be under way.
        if self.now < self.quiet_until {
            return Err(ConnectError::Quiet);
        }
        // RFC 9293 §3.9.1.1, MUST-46: no connection to a broadcast or multicast address.
        let bad = ConnectError::BadAddress(remote.ip());
        if remote.port() == 0
            || is_group_destination(remote.ip())
            || self
                .ports
                .iter()
                .any(|port| port.host.addresses.is_group(remote.ip()))
        {
            return Err(bad);
        }
        let (port, local) = match options.local {
            Some(local) => (self.port_of(local).ok_or(ConnectError::BadAddress(local))?, local),
            None => self.route(remote.ip()).ok_or(bad)?,
        };
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConnectError::BadAddress(local));
        }
        // None to an address whose packets would be dropped for it (RFC 1122 §3.2.1.3), our own among them: who has a record is not
        // asked again (`Work::admit`).
        if !self.ports[port].host.addresses.is_peer(remote.ip()) {
            return Err(ConnectError::BadAddress(remote.ip()));
        }
        if !self.records.has_room(if local.is_ipv4() {
            fourtuple_wire::Family::V4
        } else {
            fourtuple_wire::Family::V6
        }) {
            return Err(ConnectError::Limit);
        }
        let tuple = self.draw_port(local, remote, options.local_port)?;
        let profile = if options.options.is_empty() {
            match &options.profile {
                Some(profile) => self.profiles.hold(profile).ok_or(ConnectError::Limit)?,
                None => {
                    self.profiles.keep(0);
                    0
                }
            }
        } else {
            let base = options.profile.as_ref().unwrap_or(&self.profiles[0]);
            let profile = changed(base, &options.options);
            self.profiles.hold(&profile).ok_or(ConnectError::Limit)?
        };
        let (seeds, path) = (self.secrets.seeds(&tuple, self.now), self.path(port, &tuple));
        let (may_ask, may_bring) = if options.fast_open {
            self.fast_open.may_open(&tuple, self.now)
        } else {
            (false, false)
        };
        let new = NewConn {
            owner,
            listener: None,
            port,
            profile,
            token,
        };
        let connect = |env: &mut Env<'_, _>| Tcb::connect(seeds, &path, env);
        let entered = self.enter(&tuple, new, None, connect, |tcb, _| {
            if may_ask {
                tcb.ask_fast_open(may_bring);
            }
        });
        let slot = entered.ok_or(ConnectError::Limit)?;
        self.counters.active_opens += 1;
        self.busy = true;
        // Notes the debt of a SYN and the deadline.
        self.with_tcb(slot, |_, _| ());
        Ok(slot)
    }

    /// The port where an address of ours lives.
    fn port_of(&self, local: IpAddr) -> Option<PortNumber> {
        self.ports
            .numbers()
            .find(|port| self.ports[*port].host.addresses.is_ours(local))
    }

    /// By which port and from which address `remote` is spoken to.
    fn route(&self, remote: IpAddr) -> Option<(PortNumber, IpAddr)> {
        let addresses = self.ports.iter().map(|port| &port.host.addresses);
        route(self.ports.numbers().zip(addresses), remote)
    }

    /// A free four-tuple that this worker owns. Ports are drawn as RFC 6056 §3.3.3 has it: a secret offset for each destination,
    /// and a cursor through the whole range (§3.2). One that is in TIME_WAIT is never drawn.
    ///
    /// A call looks at so many that it costs a turn little; the next goes on behind them, so that all are tried in the end.
    fn draw_port(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        wanted: Option<u16>,
    ) -> Result<FourTuple, ConnectError> {
        let tuple_at = |port| {
            FourTuple::new(SocketAddr::new(local, port), remote).ok_or(ConnectError::BadAddress(local))
        };
        if let Some(port) = wanted {
            let tuple = tuple_at(port)?;
            if self.steering.owner(&tuple) != self.worker || self.records.find(&tuple).is_some() {
                return Err(ConnectError::AddressInUse);
            }
            return Ok(tuple);
        }
        let (first, last) = self.limits.ephemeral_ports;
        let count = u32::from(last - first) + 1;
        let offset = crate::table::hash_tuple(self.secrets.ports, &tuple_at(0)?) as u32 % count;
        let mut looked_up = 0;
        for _ in 0..count.min(PORTS_LOOKED_UP * u32::from(self.workers)) {
            self.port_cursor = self.port_cursor.wrapping_add(1);
            let port = u32::from(first) + (offset.wrapping_add(self.port_cursor)) % count;
            let tuple = tuple_at(port as u16)?;
            if self.workers > 1 && self.steering.owner(&tuple) != self.worker {
                continue;
            }
            if self.records.find(&tuple).is_none() {
                return Ok(tuple);
            }
            looked_up += 1;
            if looked_up == PORTS_LOOKED_UP {
                break;
            }
        }
        self.counters.no_port_left += 1;
        Err(ConnectError::NoPortLeft(remote))
    }
}
