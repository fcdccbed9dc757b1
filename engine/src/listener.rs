//! Listening ports as every worker knows them, and the bounds of the two queues of each.

mod words;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use fourtuple_tcp::Profile;
use ipnet::IpNet;
use serde::Deserialize;

use crate::at_port::AtPort;
use crate::error::ConfigError;
use crate::options::{ConnectionOption, changed};

/// A listener's number, the same on every worker.
///
/// ```no_run
/// # fn number(engine: &fourtuple::Engine) {
/// println!("listener {}", engine.listeners()[0].id().index());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub(crate) u16);

impl ListenerId {
    /// The number, for arrays indexed by listener.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Who takes the connections of a listener.
///
/// ```
/// use fourtuple::{Delivery, Listen};
/// assert_eq!(Listen::on(80).delivery, Delivery::Handler);
/// assert_eq!(Listen::on(80).for_endpoints().delivery, Delivery::Endpoints);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Delivery {
    /// The handler on the worker, at once: there is no accept queue.
    Handler,
    /// Endpoints, by credit, from the accept queue.
    Endpoints,
}

/// When a SYN is answered with a cookie in place of a record (RFC 4987 §3.6).
///
/// ```
/// let mut listen = fourtuple::Listen::on(80);
/// listen.syn_cookies = fourtuple::SynCookies::Always;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SynCookies {
    /// When the SYN queue has no room for a record.
    #[default]
    Auto,
    /// Always: no handshake costs memory, and none keeps more than a cookie can.
    Always,
    /// Never: a SYN that finds the SYN queue full is ignored.
    Off,
}

/// Which of the endpoints that accept gets the next connection of a listener.
///
/// An endpoint gets one only when it asked for it: by a waiting [`accept`](crate::Listener::accept), or by
/// [credits](crate::Listener::with_credits) that it keeps posted.
///
/// ```
/// use fourtuple::{AcceptPolicy, Listen};
/// let listen = Listen::on(80).for_endpoints().with_policy(AcceptPolicy::RoundRobin);
/// assert_eq!(listen.policy, AcceptPolicy::RoundRobin);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AcceptPolicy {
    /// The one with the fewest connections; equals take turns.
    #[default]
    LeastLoaded,
    /// Each in turn, whatever they have.
    RoundRobin,
    /// The same one for all connections of a worker, so that a connection's cache lines go between two cores only: of `n` endpoints that
    /// have accepted from this listener worker `w` has number `w` modulo `n`, counted in the order in which they were made. One that does not keep up
    /// holds up the connections of its workers in the accept queue, and those alone.
    Pinned,
}

/// What to listen on and how.
///
/// A passive OPEN (RFC 9293 §3.10.1) touches no connection (MUST-41), and no connection that has the port, whatever its state,
/// stands in its way (MUST-42).
///
/// It begins as [`on`](Self::on) has it; the rest is said by the calls, or by the fields.
///
/// ```
/// use fourtuple::{ConnectionOption, Listen};
/// let listen = Listen::on(443)
///     .for_endpoints()
///     .with_backlog(1024)
///     .with(ConnectionOption::NoDelay(true));
/// assert_eq!(listen.backlog, 1024);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Listen {
    /// The TCP port, 1–65535.
    pub port: u16,
    /// The last of several ports from `port` on, which are one listener with one queue of each kind; `port` alone when `None`.
    pub last_port: Option<u16>,
    /// One of the engine's addresses; all of them when `None`.
    pub address: Option<IpAddr>,
    /// Connections that may wait for an accept, all workers together. 0: only a waiting accept lets a handshake finish.
    pub backlog: u32,
    /// Half-open connections, all workers together (RFC 4987 §3.2).
    pub syn_queue: u32,
    /// When a SYN gets a cookie in place of a record.
    pub syn_cookies: SynCookies,
    /// Connections that TCP Fast Open may let in before their handshake is over (RFC 7413), at a time and all workers together; 0: it
    /// is off. An application that turns it on must bear that the text of a SYN may arrive twice (§6.1).
    pub fast_open: u32,
    /// Who takes the connections.
    pub delivery: Delivery,
    /// Which endpoint takes the next, when endpoints do.
    pub policy: AcceptPolicy,
    /// Options that its connections begin with; those of the engine when `None`.
    pub profile: Option<Profile>,
    /// Options of its connections that differ from those, the last of a kind counts.
    pub options: Vec<ConnectionOption>,
}

impl Listen {
    /// On this port of all addresses, for the handler, with default bounds (`backlog` 128, `syn_queue` 1024).
    pub fn on(port: u16) -> Self {
        Self {
            port,
            last_port: None,
            address: None,
            backlog: 128,
            syn_queue: 1024,
            syn_cookies: SynCookies::default(),
            fast_open: 0,
            delivery: Delivery::Handler,
            policy: AcceptPolicy::default(),
            profile: None,
            options: Vec::new(),
        }
    }

    /// On these ports of all addresses, as one listener.
    pub fn on_ports(ports: RangeInclusive<u16>) -> Self {
        Self {
            last_port: Some(*ports.end()),
            ..Self::on(*ports.start())
        }
    }

    /// The ports it listens on.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.port..=self.last_port.unwrap_or(self.port)
    }

    /// Whether an engine with these addresses can listen so.
    pub(crate) fn validate(&self, ours: &[AtPort<IpNet>]) -> Result<(), ConfigError> {
        let wrong = |problem| {
            Err(ConfigError::Field {
                field: "port",
                problem,
            })
        };
        if self.port == 0 {
            return wrong("0 can't be listened on; choose 1–65535".to_owned());
        }
        let ports = self.ports();
        if ports.is_empty() {
            return wrong(format!("{}-{} is no range of ports", ports.start(), ports.end()));
        }
        match self.address {
            Some(address) if !ours.iter().any(|net| net.addr() == address) => {
                Err(ConfigError::NotOurAddress(address))
            }
            _ => Ok(()),
        }
    }

    /// For endpoints instead of the handler.
    pub fn for_endpoints(mut self) -> Self {
        self.delivery = Delivery::Endpoints;
        self
    }

    /// With this way to choose among endpoints.
    pub fn with_policy(mut self, policy: AcceptPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// On this address of the engine alone.
    pub fn at(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// With so many connections that may wait for an accept.
    pub fn with_backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// With so many half-open connections.
    pub fn with_syn_queue(mut self, connections: u32) -> Self {
        self.syn_queue = connections;
        self
    }

    /// With cookies in place of records at these times.
    pub fn with_syn_cookies(mut self, when: SynCookies) -> Self {
        self.syn_cookies = when;
        self
    }

    /// With TCP Fast Open for so many connections at a time.
    pub fn with_fast_open(mut self, connections: u32) -> Self {
        self.fast_open = connections;
        self
    }

    /// With these options of its connections in place of the engine's.
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// With one option of its connections that differs.
    pub fn with(mut self, option: ConnectionOption) -> Self {
        self.options.push(option);
        self
    }

    /// The options of its connections, where these are the engine's.
    pub(crate) fn profile_over(&self, own: &Profile) -> Profile {
        changed(self.profile.as_ref().unwrap_or(own), &self.options)
    }
}
