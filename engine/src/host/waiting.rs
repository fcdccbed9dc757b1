//! Frames that wait until their next hop is resolved: a few for each, not many in all.
//!
//! Room for all is reserved at start; nothing is allocated afterwards.

use std::collections::VecDeque;

use fourtuple_wire::EtherAddr;

/// Frames that wait for entry `u16` of the neighbour table, and those that may go now.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    /// Oldest first.
    waiting: VecDeque<(u16, W)>,
    ready: VecDeque<(EtherAddr, W)>,
}

impl<W> Waiting<W> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(IN_ALL),
            ready: VecDeque::with_capacity(IN_ALL),
        }
    }

    /// Lets a frame wait; returns the oldest one of the same entry when it had to give way.
    ///
    /// # Errors
    /// The frame, when too many wait in all.
    pub(super) fn push(&mut self, entry: u16, frame: W) -> Result<Option<W>, W> {
        let of_entry = self.waiting.iter().filter(|waiting| waiting.0 == entry).count();
        // RFC 1122 §2.3.2.2 and RFC 4861 §7.2.2: on overflow the newest is kept.
        let given_way = if of_entry >= EACH {
            self.take_oldest(entry)
        } else {
            None
        };
        if self.waiting.len() + self.ready.len() >= IN_ALL {
            return Err(frame);
        }
        self.waiting.push_back((entry, frame));
        Ok(given_way)
    }

    /// What waited for `entry` may go to `ether`, in order.
    pub(super) fn release(&mut self, entry: u16, ether: EtherAddr) {
        while let Some(frame) = self.take_oldest(entry) {
            self.ready.push_back((ether, frame));
        }
    }

    /// Drops what waits for `entry`; returns how many.
    pub(super) fn drop_all(&mut self, entry: u16) -> u64 {
        let mut dropped = 0;
        while self.take_oldest(entry).is_some() {
            dropped += 1;
        }
        dropped
    }

    /// The next frame that may go.
    pub(super) fn poll_ready(&mut self) -> Option<(EtherAddr, W)> {
        self.ready.pop_front()
    }

    /// Frames held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.ready.len()
    }

    fn take_oldest(&mut self, entry: u16) -> Option<W> {
        let at = self.waiting.iter().position(|waiting| waiting.0 == entry)?;
        self.waiting.remove(at).map(|(_, frame)| frame)
    }
}

/// Frames that may wait for one next hop: Linux keeps three as well (`unres_qlen`, before it counted bytes).
pub(super) const EACH: usize = 3;
/// Frames that may wait in all: two bursts, so that a scan of the subnet can't drain a pool.
pub(super) const IN_ALL: usize = 64;
