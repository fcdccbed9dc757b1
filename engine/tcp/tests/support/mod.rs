//! What the integration tests share: buffers, one end of a connection on virtual time, segments as the peer would write them.
//!
//! Sequence numbers in [`Seg`] are relative: zero is the SYN of the sender. So every test runs round 2³² too, by [`Setup`].
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part"
)]

mod bottleneck;
mod buffers;
mod end;
mod seg;

pub use bottleneck::{Bottleneck, Link, MSS};
pub use buffers::{Bytes, Frame, TestBuffers};
pub use end::{End, POOLS, Setup, passive_record};
pub use seg::{Seg, Sent, seg};

pub use fourtuple_wire::TcpFlags;

pub const ACK: TcpFlags = TcpFlags::ACK;
pub const SYN: TcpFlags = TcpFlags::SYN;
pub const FIN: TcpFlags = TcpFlags::FIN;
pub const RST: TcpFlags = TcpFlags::RST;
pub const PSH: TcpFlags = TcpFlags::PSH;
pub const URG: TcpFlags = TcpFlags::URG;

/// The peer sends a segment; what became of it.
#[macro_export]
macro_rules! send {
    ($end:expr, $seg:expr) => {
        $end.arrives(&$seg)
    };
}

/// The next segment that goes out is this one, as far as `Seg` says something.
#[macro_export]
macro_rules! expect {
    ($end:expr, $seg:expr) => {
        $end.expect(&$seg)
    };
}

/// Nothing goes out.
#[macro_export]
macro_rules! expect_nothing {
    ($end:expr) => {
        $end.expect_nothing()
    };
}
