//! Errors, named by whose fault they are.

use std::net::{IpAddr, SocketAddr};

use fourtuple_nic::NicError;

/// The operator's configuration can't work. The message names the field and the fix.
///
/// ```
/// let error = fourtuple::Config::from_toml("iface = 'eth1'\nip = ['10.99.0.2/24']\nwrokers = 2").unwrap_err();
/// assert!(error.to_string().contains("wrokers"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field's value can't be used.
    #[error("{field}: {problem}")]
    Field {
        /// The field, by its name in TOML and as a flag.
        field: &'static str,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// The TOML text does not parse, or holds an unknown key.
    #[error("{0}")]
    Toml(String),
    /// The same listening port was asked for twice.
    #[error("port {0} is listened to already; give each service a port of its own")]
    PortTaken(u16),
    /// An address to listen on is none of the engine's.
    #[error("{0} is not an address of this engine; add it with --ip")]
    NotOurAddress(IpAddr),
}

/// The engine could not start.
///
/// ```no_run
/// use fourtuple::{Config, Engine, StartError};
/// # fn start(config: Config) {
/// match Engine::builder(config).start() {
///     Ok(engine) => println!("{} addresses", engine.listening().len()),
///     Err(StartError::Config(why)) => eprintln!("mend the configuration: {why}"),
///     Err(why) => eprintln!("this machine or port: {why}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port or this machine is at fault.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// More workers than usable cores.
    #[error("{asked} workers need {asked} cores, usable are {available:?}; use --workers {} or fewer", available.len())]
    TooManyWorkers {
        /// How many were asked for.
        asked: u16,
        /// The cores that can be had.
        available: Vec<usize>,
    },
    /// A core was named that this process may not use.
    #[error("core {asked} can't be used; usable are {available:?}")]
    NoSuchCore {
        /// The core.
        asked: usize,
        /// The cores that can be had.
        available: Vec<usize>,
    },
    /// The stats endpoint could not bind.
    #[error(
        "stats endpoint {address}: {reason}; choose another with --stats ADDRESS:PORT or switch it off with --stats off"
    )]
    Stats {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// A thread or descriptor could not be made.
    #[error("the operating system refused {what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A connection ended, or could not be opened, for a reason that lies with the peer or the path.
///
/// ```
/// use fourtuple::{ConnectionError, StreamError};
/// let error = std::io::Error::from(StreamError::Connection(ConnectionError::Reset));
/// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer sent a RST.
    #[error("connection reset by peer")]
    Reset,
    /// The peer refused the connection.
    #[error("connection refused")]
    Refused,
    /// The peer did not answer for too long.
    #[error("connection timed out")]
    TimedOut,
    /// This end aborted the connection.
    #[error("connection aborted")]
    Aborted,
}

/// A call that the state of the connection or engine does not allow: the caller's fault, or too late.
///
/// ```
/// use fourtuple::{ApiMisuse, StreamError};
/// let error = std::io::Error::from(StreamError::Misuse(ApiMisuse::SendClosed));
/// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The connection is gone.
    #[error("no such connection: it has ended")]
    NoSuchConnection,
    /// The sending side was shut down already.
    #[error("the sending side is shut down")]
    SendClosed,
    /// The engine has stopped, or the endpoint was dropped.
    #[error("the engine has stopped, or the endpoint was dropped")]
    Stopped,
    /// The connection is this stream's no more: it was aborted by another who holds the stream, or it is another endpoint's, because a
    /// [move](crate::Stream::move_to) that seemed to take too long was carried out after all.
    #[error("the connection was let go: it was aborted here, or given to another endpoint")]
    LetGo,
    /// The connections of its worker have as many different sets of options as there may be.
    #[error("too many different sets of options; give connections the same ones")]
    TooManyOptions,
}

/// A connection could not be opened.
///
/// ```
/// use fourtuple::{ConnectError, StreamError};
/// let error = std::io::Error::from(StreamError::Connect(ConnectError::AddressInUse));
/// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The remote address is none that can be connected to (RFC 9293 MUST-46), or no local address of its family exists.
    #[error("{0} can't be connected to from the addresses of this engine")]
    BadAddress(IpAddr),
    /// No ephemeral port is left for this remote address and port, or so few that one call found none: another goes on where
    /// it stopped.
    #[error("no free local port was found for {0}; try again, add addresses or widen the port range")]
    NoPortLeft(SocketAddr),
    /// The four-tuple is in use or in TIME_WAIT.
    #[error("the address is in use")]
    AddressInUse,
    /// The worker holds as many connections as it may.
    #[error("the connection limit of the worker is reached")]
    Limit,
    /// The engine says nothing yet: its quiet time is not over.
    #[error("the engine stays quiet for one MSL after its start; try again later")]
    Quiet,
    /// The engine drains or has stopped.
    #[error("the engine is stopping")]
    Stopping,
}
