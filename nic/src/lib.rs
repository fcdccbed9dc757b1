//! The contract between Fourtuple's engine and a NIC.
//!
//! The engine is generic over [`Queue`] by static dispatch and knows nothing else of a NIC. `fourtuple-nic-dpdk`
//! keeps the contract with DPDK, `fourtuple-nic-mem` with an in-process wire on virtual time.
//!
//! What is here: [`Queue`] (one worker's pair of RX and TX descriptor rings of one port), the three buffer types
//! ([`RxBuf`], [`Shared`], [`TxFrame`]), what a port [promises](Promises), [`Toeplitz`] and [`Reta`] (who owns a
//! four-tuple), [`Clock`], [`Arena`] and [`HugePages`] (memory fixed at start).
//!
//! What is not here: protocols, threads, engines. Nothing in this crate is unsafe; what needs `unsafe` (prefetch,
//! huge pages, the time-stamp counter) comes through the contract's traits from the crate that may use it.
#![forbid(unsafe_code)]

mod arena;
mod buffer;
mod clock;
mod error;
mod promises;
mod queue;
mod report;
mod rss;

pub use arena::{Arena, HugePages, OrdinaryPages};
pub use buffer::{RxBuf, RxChecksum, Shared, TxChecksum, TxFrame};
pub use clock::{Clock, SystemClock};
pub use error::NicError;
pub use promises::{MacAddr, Promises};
pub use queue::{PoolGauge, PortStats, Queue};
pub use report::{Link, PortReport};
pub use rss::{RETA_SIZE, RSS_KEY_LEN, Reta, Toeplitz};
