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
        }
    }
}

/// What happened to frames in one direction so far.
///
/// sent = lost + filtered + queue_full + (delivered + missed + no_buffer + too_long + in flight − duplicated).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WireCounts {
    /// Frames that left their port.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the test's filter said so.
    pub filtered: u64,
    /// Dropped because the bottleneck's queue was full.
    pub queue_full: u64,
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
