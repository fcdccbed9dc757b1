//! Frames in, typed headers out.
//!
//! What TCP and the engine share: the four-tuple, sequence numbers, time, checksums, the TCP header with its options, the
//! two payload traits, and the reasons for which a packet is dropped. Parsing never panics and never allocates; what is
//! wrong with a packet is a [`DropReason`], not an error.
//!
//! No NIC, no state, no policy: whether an address is ours, or a segment acceptable, is decided elsewhere.
#![forbid(unsafe_code)]

mod drop_reason;
mod instant;
mod payload;
mod seq;
mod tcp;
mod tuple;

pub use drop_reason::DropReason;
pub use instant::Instant;
pub use payload::{Payload, Received};
pub use seq::SeqNum;
pub use tcp::{MAX_SACK_BLOCKS, SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};
pub use tuple::{Family, FourTuple, TupleV4, TupleV6};
