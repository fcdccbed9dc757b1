//! Keeps bursts out of a device whose memory comes and goes with its other end.
//!
//! ```text
//!   worker, each burst             go-between (memif/go_between.rs)
//!     lane := busy                   open := false
//!     open? ── no ─► nothing         wait until no lane is busy
//!     burst                          the driver unmaps
//!     lane := free                   … the other end comes back …
//!                                    open := true
//! ```
//! Either the worker sees that the gate is closed, or the go-between sees that its lane is busy: both write before they read,
//! sequentially consistent (Dekker). Two writes a burst, 20 cycles; no worker ever waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dpdk_sys::rte_eth_stats;

/// How often the lanes are looked at; a burst takes some microseconds, unless its worker is preempted.
const LOOK_AGAIN: Duration = Duration::from_micros(50);

/// Open while the other end is there.
#[derive(Debug)]
pub(crate) struct Gate {
    open: AtomicBool,
    lanes: Vec<Lane>,
    /// The driver's counters at their highest: it shows none while there is no other end.
    counted: [AtomicU64; 4],
}

/// Written by the worker of one queue only; a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane(AtomicBool);

/// A burst may run as long as this lives.
pub(crate) struct Passage<'a>(Option<&'a Lane>);

impl Gate {
    /// A closed gate with a lane for each of `queues`.
    pub(crate) fn new(queues: u16) -> Self {
        Self {
            open: AtomicBool::new(false),
            lanes: (0..queues).map(|_| Lane::default()).collect(),
            counted: Default::default(),
        }
    }

    /// Lets a burst of `queue` in; `None` while the gate is closed.
    #[inline]
    pub(crate) fn enter(&self, queue: u16) -> Option<Passage<'_>> {
        let lane = &self.lanes[usize::from(queue)];
        // Pairs with `close`: this store and the load below are not reordered.
        lane.0.store(true, Ordering::SeqCst);
        let passage = Passage(Some(lane));
        self.open.load(Ordering::SeqCst).then_some(passage)
    }

    /// The device has its memory: bursts may run.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Returns when no burst runs, and none will until the gate is opened.
    pub(crate) fn close(&self) {
        // Pairs with `enter`: this store and the loads below are not reordered.
        self.open.store(false, Ordering::SeqCst);
        for lane in &self.lanes {
            // Pairs with the Release of `Passage::drop`: what the burst did is done.
            while lane.0.load(Ordering::SeqCst) {
                thread::sleep(LOOK_AGAIN);
            }
        }
    }

    /// The counters with none smaller than it ever was.
    pub(crate) fn highest(&self, mut counters: rte_eth_stats) -> rte_eth_stats {
        let now = [
            &mut counters.ipackets,
            &mut counters.opackets,
            &mut counters.ibytes,
            &mut counters.obytes,
        ];
        for (now, highest) in now.into_iter().zip(&self.counted) {
            *now = highest.fetch_max(*now, Ordering::Relaxed).max(*now);
        }
        counters
    }
}

impl Passage<'_> {
    /// For ports that have no gate.
    pub(crate) const FREE: Self = Self(None);
}

impl Drop for Passage<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lane) = self.0 {
            lane.0.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn no_burst_runs_while_the_gate_is_closed() {
        let gate = Gate::new(2);
        let inside = AtomicU32::new(0);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for queue in 0..2 {
                let (gate, inside, over) = (&gate, &inside, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        if let Some(_passage) = gate.enter(queue) {
                            inside.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            for _ in 0..2000 {
                gate.open();
                thread::yield_now();
                gate.close();
                assert_eq!(inside.load(Ordering::Relaxed), 0);
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn counters_never_fall() {
        let gate = Gate::new(1);
        let seen = rte_eth_stats {
            ipackets: 7,
            obytes: 9,
            ..rte_eth_stats::default()
        };
        gate.highest(seen);
        let without_peer = gate.highest(rte_eth_stats::default());
        assert_eq!((without_peer.ipackets, without_peer.obytes), (7, 9));
    }
}
