//! Between workers and application threads (D9, D10): endpoints, and all that crosses to them and back.
//!
//! ```text
//!   worker w                                 endpoint (a handle; any thread, one at a time)
//!   Shard ── Hub ── WorkerEnd ═══ rings ═══ EndpointEnd ── EndpointCore ── Endpoint, Stream, Listener
//!                                                               │
//!   pools ◄── returns ring ◄── step ◄── Home ◄── Chunk dropped on any thread
//! ```
//!
//! The worker's side is [`Hub`]: it never waits, takes no lock, touches no queue with several producers or consumers, and
//! allocates nothing once its endpoints are attached. The endpoint's side is stepped: [`Endpoint::step`] moves messages
//! without blocking; calls that may wait step, look, and sleep on the endpoint's own bell.
//!
//! | file | idea |
//! |---|---|
//! | protocol | the messages |
//! | rings | the rings of one endpoint and one worker, both ends |
//! | hub, slot, credit, lend | the worker's side; an endpoint's place there; who accepts; how many buffers are lent |
//! | core, connection, receiving, sending | the endpoint's side, what it knows of a connection, bytes in, bytes out |
//! | readiness | what became ready of what is watched, by threads and by tasks |
//! | keys | how connections are looked up |
//! | tasks | what tasks ask for beside it (feature `async`) |
//! | parking | calls that wait, and the lock between an endpoint's threads |
//! | endpoint, accept, stream, chunk, tx_buffer | what applications hold |
//! | handle, moving | an endpoint's name, and connections that others give it |
//! | home, estate | how buffers come back, also after their endpoint |
//!
//! What is not here: TCP, the table of connections, the list of connections whose events did not fit (the shard's).

mod accept;
mod chunk;
mod connection;
mod core;
mod credit;
mod endpoint;
mod estate;
mod handle;
mod home;
mod hub;
mod keys;
mod lend;
mod moving;
mod parking;
mod protocol;
mod readiness;
mod receiving;
mod rings;
mod sending;
mod slot;
mod stream;
#[cfg(feature = "async")]
mod tasks;
mod tx_buffer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use accept::Listener;
pub use chunk::Chunk;
pub use endpoint::{Connecting, Endpoint};
pub use handle::EndpointHandle;
pub use moving::{Handed, Unmoved};
pub use readiness::{Interest, Ready, Token};
pub use rings::EndpointLimits;
pub use stream::{Stream, StreamError, Unsent};
pub use tx_buffer::TxBuffer;

pub(crate) use core::pair;
pub(crate) use estate::Estate;
pub(crate) use hub::{Hub, HubLimits, Lender};
#[cfg(feature = "async")]
pub(crate) use parking::Driven;
pub(crate) use protocol::{Command, EndpointIndex, EndpointNumber, Event, Opened, Origin};
pub(crate) use rings::WorkerEnd;
