//! What operators see: counters of each worker and how they leave it.
//!
//! ```text
//!   worker ─ Counters ─► Publisher ═ sequence lock ═► Reader ─► Block ─► Snapshot ─► JSON, OpenMetrics, scoreboard
//!                                                                          └─ served by StatsServer (feature `stats-server`)
//! ```

mod counters;
mod delays;
#[cfg(feature = "stats-server")]
mod exposition;
mod port_range;
mod published;
#[cfg(feature = "stats-server")]
mod scoreboard;
mod sequence_lock;
#[cfg(feature = "stats-server")]
mod server;
mod snapshot;

pub use counters::{ByState, Counters, Dropped, Kind, Metric, PLAIN};
pub use delays::{BOUNDS, Delays};
pub use port_range::PortRange;
pub use published::{Block, PORT, Reader, tcp_metrics};
pub(crate) use published::{Publisher, published};
#[cfg(feature = "stats-server")]
pub use server::{DONE_WITHIN, HEAD_WITHIN, MAX_CONNECTIONS, Source, StatsServer, TURNED_WITHIN};
pub use snapshot::{Facts, SCHEMA, Snapshot, WAKEUP_DELAY};
