//! An in-process NIC for tests: two ports on one wire, on virtual time, the same from the same seed.
//!
//! ```text
//!   MemQueue ─ tx_burst ─► TX ring ─ line rate ─► tap ─► loss, bottleneck, marks, corruption, delay, reordering, duplication
//!                                                                                                │
//!   MemQueue ◄─ rx_burst ─ RX ring ◄─ fresh buffer ◄─ spread over the receiver's queues ◄────────┘
//! ```
//! It keeps the contract of `fourtuple-nic` as a real port does: pools of fixed capacity, rings that fill up, frames that
//! hold on to attached payload until they have left, frames that are dropped and counted when a pool or a ring is
//! exhausted. Nothing moves by itself: whoever calls a queue first moves the wire up to the present of its clock.
//!
//! What it is not: fast, or free of locks. One mutex guards a wire, one each pool. It allocates when more
//! frames are under way than ever before, and for frames that are captured; else nothing per frame.
#![forbid(unsafe_code)]

mod buffer;
mod capture;
mod clock;
mod conditions;
mod frame;
mod ip;
mod offload;
mod options;
mod path;
mod pool;
mod port;
mod queue;
mod random;
mod receiver;
mod transmitter;
mod wire;

pub use buffer::{MemBuf, MemShared};
pub use capture::{CapturedFrame, Fate, write_pcap};
pub use clock::{TimeSource, VirtualClock};
pub use conditions::{BurstLoss, PARTS_PER_MILLION, WireConditions, WireCounts};
pub use frame::{MAX_SEGMENTS, MemFrame};
pub use options::{FrameHash, MemOptions, Spread};
pub use port::MemPort;
pub use queue::MemQueue;
pub use random::Random;
pub use wire::{End, Wire};
