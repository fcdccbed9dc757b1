//! Budgets of a turn and bounds of a shard. Every bound has a counter and a defined behaviour when it is hit.

/// Frames taken from one port in a turn: long enough for the prefetches to pay, short enough to keep delays small.
pub(crate) const RX_BUDGET: usize = 32;

/// Frames of one port taken from other workers in a turn.
pub(crate) const MESH_BUDGET: usize = 32;

/// Commands of endpoints executed in a turn.
pub(crate) const COMMAND_BUDGET: usize = 64;

/// Chunks of endpoints that come home in a turn.
pub(crate) const RETURN_BUDGET: usize = 256;

/// Deadlines looked at in a turn.
pub(crate) const TIMER_BUDGET: usize = 128;

/// Connections looked at in a turn while the wheel's pool is exhausted.
pub(crate) const SWEEP_BUDGET: u32 = 256;

/// Places that scans look at in a turn: some 40 µs, or as many of 256 connections aborted.
pub(crate) const SCAN_BUDGET: u32 = 4096;

/// Connections whose owner is told something in a turn.
pub(crate) const DELIVER_BUDGET: usize = 256;

/// Frames built and not yet taken by their port. The worker builds no more for it until it takes some.
pub(crate) const TX_BACKLOG: usize = 64;

/// Segments that one connection sends in a turn before others get theirs.
pub(crate) const SEGMENTS_A_CONNECTION: usize = 16;

/// The same where no other waits for its turn at the port: as many as may wait there. The longer a burst, the less often two cores
/// hand a ring's lines to each other.
pub(crate) const SEGMENTS_ALONE: usize = TX_BACKLOG;

/// Payload up to here is copied behind the headers: attaching costs more than copying (measured: 33 cycles and a second
/// buffer against 69 for 1400 hot bytes).
pub(crate) const COPY_UP_TO: usize = 500;

/// Low-water marks that make the mark below which buffers are scarce and shared out: a quarter of all.
pub(crate) const SCARCE_MARKS: u32 = 4;

/// Buffers to send copies from are scarce below this part of all: as those of received data are.
pub(crate) const SCARCE_PART: u32 = 4;

/// Low-water marks above which buffers are plenty: half of all. Only then send queues grow with the windows of their paths, so that
/// what has grown never makes buffers scarce by itself.
pub(crate) const PLENTY_MARKS: u32 = 2 * SCARCE_MARKS;

/// The same of the buffers to send copies from.
pub(crate) const PLENTY_PART: u32 = 2;

/// While they are scarce one connection may pin this part of what is free. Peers that take nothing then share what is left of
/// the pool with each other, and hardly any of it is theirs at the low-water mark (Choudhury and Hahne, "Dynamic queue length
/// thresholds for shared-memory packet switches", 1998).
pub(crate) const SHARE_OF_FREE: u32 = 64;

/// What one shard may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections of one worker.
    pub(crate) connections: u32,
    /// Half-open connections of all its listeners.
    pub(crate) half_open: u32,
    /// TIME_WAIT records.
    pub(crate) time_wait: u32,
    /// Connections that nobody reads or writes any more: let go by their endpoint, or closed by their handler.
    pub(crate) orphans: u32,
    /// Fragments are put together; else they are dropped.
    pub(crate) reassemble: bool,
    /// First and last ephemeral port.
    pub(crate) ephemeral_ports: (u16, u16),
}
