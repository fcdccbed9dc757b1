//! Fourtuple: a kernel-bypass TCP engine to embed.
//!
//! Poll-mode workers, each pinned to one NIC queue, own a sharded connection table keyed by the four-tuple, run the TCP fast
//! path over zero-copy buffers, and hand accepted connections to application threads through lock-free rings.
//!
//! Three ways to run an application:
//!
//! 1. **On the worker** ([`Handler`]): called between receiving and sending; nothing crosses a core. The fastest.
//! 2. **On threads of its own** ([`Endpoint`]): connections are accepted by credit, received chunks are lent without a copy,
//!    back-pressure closes the TCP window instead of growing memory.
//! 3. **As tasks of a runtime** (`AsyncEndpoint`, feature `async`): `AsyncRead` and `AsyncWrite` on top of 2, so that hyper, axum
//!    and tokio-rustls run as they are.
//!
//! An echo server on the worker:
//!
//! ```no_run
//! struct Echo;
//!
//! impl fourtuple::Handler for Echo {
//!     type State = ();
//!     fn on_readable(&mut self, connection: &mut fourtuple::Connection<'_>, _: &mut ()) {
//!         while let Some(bytes) = connection.receive() {
//!             let _ = connection.send_shared(bytes.into_payload());
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = fourtuple::Config::from_toml("iface = 'veth0'\nip = ['10.99.0.2/24']\nworkers = 2")?;
//!     let _engine = fourtuple::Engine::builder(config)
//!         .listen(fourtuple::Listen::on(7))
//!         .start_with(|_worker| Echo)?;
//!     std::thread::park();
//!     Ok(())
//! }
//! ```
//!
//! The protocol is in `fourtuple-tcp`, headers are in `fourtuple-wire`, NICs behind the contract `fourtuple-nic`. This crate is
//! shards, workers, listeners, endpoints and stats; docs/ARCHITECTURE.md names every file.
#![forbid(unsafe_code)]

#[cfg(feature = "async")]
mod asynchronous;
mod at_port;
pub mod attach;
mod buffer;
pub mod config;
mod conflicts;
mod conn_id;
mod engine;
mod error;
mod handler;
mod handoff;
mod host;
mod idle;
mod links;
mod listener;
mod mesh;
mod options;
mod port_name;
mod port_number;
mod port_plan;
mod records;
mod secrets;
mod shard;
mod shortage;
mod slots;
pub mod stats;
#[cfg(feature = "stepped")]
pub mod stepped;
mod table;
mod tick;
mod watch;
mod wheel;
mod worker;

#[cfg(feature = "async")]
pub use asynchronous::{AsyncEndpoint, AsyncListener, AsyncReadHalf, AsyncStream, AsyncWriteHalf};
pub use at_port::AtPort;
pub use config::{Config, Driver, Fragments, Idle};
pub use conn_id::ConnId;
pub use engine::{Builder, Engine};
pub use error::{ApiMisuse, ConfigError, ConnectError, ConnectionError, StartError};
pub use fourtuple_nic::{MacAddr, NicError, Queue};
pub use fourtuple_tcp::{CongestionKind, Ecn, KeepAlive, Pacing, Profile, State, Status};
pub use fourtuple_wire::{DropReason, FourTuple, Instant};
pub use handler::{Closed, Handler, NoHandler, Trouble};
pub use handoff::{
    Chunk, Connecting, Endpoint, EndpointHandle, EndpointLimits, Handed, Interest, Listener, Ready, Stream,
    StreamError, Token, TxBuffer, Unmoved, Unsent,
};
pub use listener::{AcceptPolicy, Delivery, Listen, ListenerId, SynCookies};
pub use options::ConnectionOption;
pub use port_name::PortName;
pub use secrets::{HandedDown, Secrets};
#[cfg(feature = "staged")]
pub use shard::staged;
pub use shard::{ConnectOptions, Connection, ReceivedBytes, SharedBytes, WorkerCalls};

#[cfg(any(test, fuzzing, feature = "simulation"))]
#[cfg_attr(not(any(test, fuzzing)), allow(dead_code, reason = "the tests' parts of it"))]
mod simulation;

/// The examples of README and of the pages for authors of servers are compiled with the others.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/embedding.md")]
    struct Embedding;
    #[doc = include_str!("../../docs/which-mode.md")]
    struct WhichMode;
    #[doc = include_str!("../../docs/back-pressure.md")]
    struct BackPressure;
    #[doc = include_str!("../../docs/threads-and-ownership.md")]
    struct ThreadsAndOwnership;
    #[cfg(feature = "async")]
    #[doc = include_str!("../../docs/embedding-async.md")]
    struct EmbeddingAsync;
}

/// What the fuzz target calls.
#[cfg(fuzzing)]
pub use simulation::fuzz;

/// What `engine/examples/exchange.rs` counts.
#[cfg(all(feature = "simulation", feature = "async"))]
pub use simulation::exchange;

/// What `scripts/sim` runs.
#[cfg(feature = "simulation")]
pub use simulation::whole;
