//! The sending half of a port: TX rings, and the line on which frames leave them one behind the other.

use std::collections::VecDeque;

use fourtuple_nic::TxFrame;

use crate::conditions::transmission_ns;
use crate::{MemFrame, MemOptions};

/// Frames that the port has taken and not yet sent, of all its queues.
pub(crate) struct Transmitter {
    /// In the order in which they were taken, which is that in which they leave.
    waiting: VecDeque<Waiting>,
    /// Places taken of each TX ring.
    used: Vec<usize>,
    ring: usize,
    line_rate: Option<u64>,
    line_free_at: u64,
    frame_most: usize,
    pub(crate) counts: TxCounts,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TxCounts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    pub(crate) linearised: u64,
}

struct Waiting {
    leaves_at: u64,
    queue: usize,
    frame: MemFrame,
}

impl Transmitter {
    pub(crate) fn new(options: &MemOptions) -> Self {
        Self {
            waiting: VecDeque::with_capacity(options.tx_ring * usize::from(options.queues)),
            used: vec![0; usize::from(options.queues)],
            ring: options.tx_ring,
            line_rate: options.line_rate,
            line_free_at: 0,
            frame_most: options.frame_most(),
            counts: TxCounts::default(),
        }
    }

    /// Takes frames from the front as long as the ring has places; returns how many.
    pub(crate) fn take(&mut self, queue: usize, frames: &mut Vec<MemFrame>, now: u64) -> usize {
        let places = self.used.get(queue).map_or(0, |&used| self.ring - used);
        let taken = places.min(frames.len());
        for frame in frames.drain(..taken) {
            self.counts.linearised += u64::from(frame.linearised());
            if frame.frame_len() > self.frame_most {
                self.counts.errors += 1;
                continue;
            }
            let start = self.line_free_at.max(now);
            self.line_free_at = start + transmission_ns(frame.frame_len(), self.line_rate);
            self.used[queue] += 1;
            self.waiting.push_back(Waiting {
                leaves_at: self.line_free_at,
                queue,
                frame,
            });
        }
        taken
    }

    /// Octets of the longest frame that leaves.
    pub(crate) fn frame_most(&self) -> usize {
        self.frame_most
    }

    /// When the next frame leaves.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.leaves_at)
    }

    /// The next frame, and the time at which it left; its place in the ring is free.
    pub(crate) fn leave(&mut self) -> Option<(u64, MemFrame)> {
        let Waiting {
            leaves_at,
            queue,
            frame,
        } = self.waiting.pop_front()?;
        self.used[queue] -= 1;
        self.counts.packets += 1;
        self.counts.bytes += frame.frame_len() as u64;
        Some((leaves_at, frame))
    }
}
