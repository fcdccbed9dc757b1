//! What a wire does to frames in one direction.

use std::time::Duration;

/// Probabilities are given in parts of this: all frames.
pub const PARTS_PER_MILLION: u32 = 1_000_000;

/// What happens to frames in one direction. The default is a perfect wire: everything arrives at once.
///
/// Order is kept, jitter or not, but for frames that are chosen for reordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireConditions {
    /// Frames that never arrive, in parts per million.
    pub loss: u32,
    /// Frames that arrive twice, in parts per million.
    pub duplicate: u32,
    /// Frames of which one random bit is flipped, in parts per million.
    pub corrupt: u32,
    /// Frames that are held back, in parts per million, so that later ones overtake them.
    pub reorder: u32,
    /// The longest time a frame is held back; each time is drawn below it.
    pub reorder_by: Duration,
    /// Time from the last bit sent to arrival.
    pub delay: Duration,
    /// The longest time added to the delay; each time is drawn below it.
    pub jitter: Duration,
    /// Bits of frames per second that the bottleneck passes on; `None` for any number. Preamble, checksum and gap don't
    /// count.
    pub rate: Option<u64>,
    /// Frames that may wait at the bottleneck, the one being passed on among them; beyond it they are dropped.
    pub queue_limit: usize,
    /// Losses that come together.
    pub burst: Option<BurstLoss>,
    /// The largest IP packet that passes, in bytes, where the way is narrower than the ports; longer ones are dropped, and
    /// [`Wire::take_too_big`](crate::Wire::take_too_big) tells of them. `None`: any.
    pub narrow: Option<u16>,
    /// Packets of ECN-capable transports that are marked (RFC 3168, CE), in parts per million.
    pub mark: u32,
    /// Frames at the bottleneck from which on every such packet is marked.
    pub mark_above: usize,
}

/// Losses that come together (Gilbert 1960, Elliott 1963): two states, and a draw for each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstLoss {
    /// From the good state, in which nothing is lost by this, to the bad one, in parts per million.
    pub enter: u32,
    /// From the bad state to the good one, in parts per million.
    pub leave: u32,
    /// Frames that are lost in the bad state, in parts per million.
    pub loss: u32,
}

impl Default for WireConditions {
    fn default() -> Self {
        Self {
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            reorder_by: Duration::from_millis(1),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue_limit: 1000,
            burst: None,
            narrow: None,
            mark: 0,
            mark_above: usize::MAX,
        }
    }
}

/// What happened to frames in one direction so far.
///
/// sent = lost + filtered + too_big + queue_full + (delivered + missed + no_buffer + too_long + in flight − duplicated).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WireCounts {
    /// Frames that left their port.
    pub sent: u64,
    /// Lost by chance, alone or in bursts; or corrupted where a frame has no checksum to show it.
    pub lost: u64,
    /// Lost because the test's filter said so.
    pub filtered: u64,
    /// Dropped because the way is too narrow for them.
    pub too_big: u64,
    /// Dropped because the bottleneck's queue was full.
    pub queue_full: u64,
    /// Marked with CE.
    pub marked: u64,
    /// Copies made of frames.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames that were held back.
    pub reordered: u64,
    /// Put into a receiver's RX ring.
    pub delivered: u64,
    /// Dropped at the receiver: its RX ring was full.
    pub missed: u64,
    /// Dropped at the receiver: its pool was empty.
    pub no_buffer: u64,
    /// Dropped at the receiver: longer than its buffers.
    pub too_long: u64,
    /// Under way now.
    pub in_flight: u64,
}

pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that `bytes` take at `rate` bits per second, rounded up.
pub(crate) fn transmission_ns(bytes: usize, rate: Option<u64>) -> u64 {
    match rate {
        Some(rate) => (bytes as u64).saturating_mul(8_000_000_000).div_ceil(rate.max(1)),
        None => 0,
    }
}
