//! TCP itself (RFC 9293), sans-IO and generic over payload buffers.
//!
//! A connection is a [`Tcb`]; a half-open one of the listening side a [`SynRecord`]; one that is over and waits for
//! stragglers a [`TimeWait`]. All three take segments (`segment_arrives`), deadlines (`on_deadline`) and, the TCB, calls of
//! the application; what they have to send is a debt that [`Tcb::poll_transmit`] pays when there is a slot (D1).
//! Time, options, cold state and counters are arguments ([`Env`]); four-tuple, addresses and checksums are the engine's.
//!
//! Where to look, by RFC 9293: §3.10.1–6 `calls`, §3.10.7.1 `closed`, §3.10.7.2 `listen` and `syn_record`, §3.10.7.3
//! `segment_arrives/syn_sent`, §3.10.7.4 the other files of `segment_arrives` in the order of the checks, §3.10.8 `deadlines`.
//! By RFC: 6298 `rto`, 2018/6675 `scoreboard`, 6582 `recovery`, 8985 `recovery/rack` and `recovery/tlp`, 9937 `recovery/prr`,
//! 3522/4015 `recovery/undo`, 2883 `dsack`, 5682 `recovery/frto`, 5681/9438/9406/8257 `congestion`, 3168 `ecn`, 7323 `timestamps`,
//! 5961 `challenge`, 6528 `isn`, 4987 `cookie`, 7413 `fast_open`, 6191/1337 `time_wait`, 1191/8201/5927 `path_error`, 4821 `path_mtu`, 6093 `urgent`;
//! §3.8.6 is `window`, `nagle`, `persist` and `delayed_ack`; §3.8.4 `keepalive`.
//!
//! Nothing here allocates after [`Pools::new`], panics for what a peer sends, or reads a clock.
#![forbid(unsafe_code)]

mod aside;
mod audit;
mod calls;
mod challenge;
mod closed;
mod congestion;
mod cookie;
mod counters;
mod deadlines;
mod delayed_ack;
mod dsack;
mod ecn;
mod env;
mod fast_open;
mod flight;
mod isn;
mod keepalive;
mod listen;
mod nagle;
mod options_changed;
mod pacing;
mod path_error;
mod path_mtu;
mod persist;
mod plain;
mod pool;
mod profile;
mod reassembly;
mod receive_queue;
mod recovery;
mod rto;
mod scoreboard;
mod segment_arrives;
mod send_queue;
mod signals;
mod state;
mod status;
mod syn_record;
mod tcb;
#[cfg(test)]
mod testing;
mod text;
mod time_wait;
mod timers;
mod timestamps;
mod train;
mod transmit;
mod urgent;
mod window;

pub use audit::Sequences;
pub use calls::SendRefused;
pub use closed::reset_for;
pub use congestion::{CongestionKind, UnknownCongestion};
pub use cookie::{COOKIE_LIFETIME, CookieCheck, CookieTime, check_cookie, make_cookie, period};
pub use counters::TcpCounters;
pub use ecn::{Ecn, UnknownEcn};
pub use env::{Buffers, Env, PoolSizes, Pools, PoolsInUse};
pub use isn::isn;
pub use listen::{ListenArrival, listen_segment_arrives};
pub use pacing::Pacing;
pub use path_error::PathError;
pub use plain::PlainSegment;
pub use profile::{KeepAlive, Path, Profile};
pub use signals::{Arrival, Ending, Signals};
pub use state::State;
pub use status::Status;
pub use syn_record::{SynArrival, SynDeadline, SynRecord};
pub use tcb::{Seeds, Tcb};
pub use time_wait::{TimeWait, TimeWaitArrival};
pub use transmit::Outgoing;
