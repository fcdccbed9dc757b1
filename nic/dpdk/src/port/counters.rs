//! What the driver can't count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of one queue. Written by the queue's worker only, read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct QueueCounters {
    pub(crate) flattened: Counter,
    pub(crate) linearised: Counter,
    pub(crate) rx_errors: Counter,
    pub(crate) tx_errors: Counter,
    pub(crate) rx_no_buffer: Counter,
    pub(crate) rx_missed: Counter,
    pub(crate) rx_bytes: Counter,
    pub(crate) tx_bytes: Counter,
}

/// A counter with one writer, unless all that write use [`add_shared`](Self::add_shared).
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        if count > 0 {
            // One writer: no read-modify-write is needed, and readers want no order.
            self.0.store(
                self.0.load(Ordering::Relaxed).wrapping_add(count),
                Ordering::Relaxed,
            );
        }
    }

    /// As [`add`](Self::add), for a counter to which several threads add.
    pub(crate) fn add_shared(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
