//! The way between two ports in one direction: loss, narrowness, the bottleneck, marks, corruption, delay, reordering,
//! duplication.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::conditions::{WireCounts, nanos, transmission_ns};
use crate::{Fate, Random, WireConditions, ip};

/// Says of each frame whether it may pass.
pub(crate) type Filter = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Frames under way in one direction.
pub(crate) struct Path {
    pub(crate) conditions: WireConditions,
    pub(crate) filter: Option<Filter>,
    pub(crate) counts: WireCounts,
    random: Random,
    /// In the bad state of burst loss.
    in_burst: bool,
    /// Frames that were too big, and not told of yet.
    too_big: Vec<Vec<u8>>,
    /// When the frames leave the bottleneck that are at it or wait for it.
    bottleneck: VecDeque<u64>,
    bottleneck_free_at: u64,
    /// Arrival of the last frame that keeps its order.
    last_arrival: u64,
    flying: BinaryHeap<Reverse<Flying>>,
    /// How many were ever under way: frames that arrive at the same time arrive in this order.
    order: u64,
    /// Storage of frames that have arrived, used again.
    spare: Vec<Vec<u8>>,
    /// Octets of the longest frame.
    frame_most: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrives_at: u64,
    order: u64,
    bytes: Vec<u8>,
}

impl Path {
    pub(crate) fn new(conditions: WireConditions, random: Random, frame_most: usize) -> Self {
        Self {
            conditions,
            filter: None,
            counts: WireCounts::default(),
            random,
            in_burst: false,
            too_big: Vec::new(),
            bottleneck: VecDeque::with_capacity(EXPECTED_UNDER_WAY),
            bottleneck_free_at: 0,
            last_arrival: 0,
            flying: BinaryHeap::with_capacity(EXPECTED_UNDER_WAY),
            order: 0,
            spare: Vec::with_capacity(EXPECTED_UNDER_WAY),
            frame_most,
        }
    }

    /// Empty storage for a frame.
    pub(crate) fn storage(&mut self) -> Vec<u8> {
        self.spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(self.frame_most))
    }

    /// Gives storage back.
    pub(crate) fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare.push(bytes);
    }

    /// A frame has left its port at `now`, which never goes back.
    pub(crate) fn enter(&mut self, bytes: Vec<u8>, now: u64) -> Fate {
        self.counts.sent += 1;
        let fate = self.judge(&bytes, now);
        match fate {
            Fate::Delivered => self.fly(bytes, now),
            Fate::TooBig if self.too_big.len() < TOO_BIG_KEPT => self.too_big.push(bytes),
            Fate::Lost | Fate::Filtered | Fate::TooBig | Fate::QueueFull => self.recycle(bytes),
        }
        fate
    }

    fn judge(&mut self, bytes: &[u8], now: u64) -> Fate {
        if self.filter.as_mut().is_some_and(|passes| !passes(bytes)) {
            self.counts.filtered += 1;
            return Fate::Filtered;
        }
        if self.random.happens(self.conditions.loss) || self.is_lost_in_burst() {
            self.counts.lost += 1;
            return Fate::Lost;
        }
        let too_big = |most: u16| ip::packet_len(bytes).is_some_and(|len| len > usize::from(most));
        if self.conditions.narrow.is_some_and(too_big) {
            self.counts.too_big += 1;
            return Fate::TooBig;
        }
        while self.bottleneck.front().is_some_and(|&leaves_at| leaves_at <= now) {
            self.bottleneck.pop_front();
        }
        if self.conditions.rate.is_some() && self.bottleneck.len() >= self.conditions.queue_limit {
            self.counts.queue_full += 1;
            return Fate::QueueFull;
        }
        Fate::Delivered
    }

    fn is_lost_in_burst(&mut self) -> bool {
        let Some(burst) = self.conditions.burst else {
            self.in_burst = false;
            return false;
        };
        let turns = if self.in_burst { burst.leave } else { burst.enter };
        self.in_burst ^= self.random.happens(turns);
        self.in_burst && self.random.happens(burst.loss)
    }

    fn fly(&mut self, mut bytes: Vec<u8>, now: u64) {
        let mut leaves_at = now;
        let crowded = self.conditions.rate.is_some() && self.bottleneck.len() >= self.conditions.mark_above;
        if (crowded || self.random.happens(self.conditions.mark)) && ip::mark_congestion(&mut bytes) {
            self.counts.marked += 1;
        }
        if self.conditions.rate.is_some() {
            leaves_at = self.bottleneck_free_at.max(now) + transmission_ns(bytes.len(), self.conditions.rate);
            self.bottleneck_free_at = leaves_at;
            self.bottleneck.push_back(leaves_at);
        }
        if self.random.happens(self.conditions.corrupt) && !bytes.is_empty() {
            if ip::is_arp(&bytes) {
                // It has no checksum but the frame's, which would have shown it.
                self.counts.lost += 1;
                return self.recycle(bytes);
            }
            let bit = self.random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.counts.corrupted += 1;
        }
        let arrives_at = self.arrival(leaves_at);
        if self.random.happens(self.conditions.duplicate) {
            let mut copy = self.storage();
            copy.extend_from_slice(&bytes);
            self.counts.duplicated += 1;
            self.launch(bytes, arrives_at);
            self.launch(copy, arrives_at);
        } else {
            self.launch(bytes, arrives_at);
        }
    }

    fn arrival(&mut self, leaves_at: u64) -> u64 {
        let mut arrives_at = leaves_at.saturating_add(nanos(self.conditions.delay));
        if !self.conditions.jitter.is_zero() {
            arrives_at = arrives_at.saturating_add(self.random.below(nanos(self.conditions.jitter)));
        }
        if self.random.happens(self.conditions.reorder) {
            self.counts.reordered += 1;
            let held_back = self
                .random
                .below(nanos(self.conditions.reorder_by))
                .saturating_add(1);
            return arrives_at.saturating_add(held_back);
        }
        self.last_arrival = self.last_arrival.max(arrives_at);
        self.last_arrival
    }

    /// A frame from somewhere on the way: it arrives after the delay, whatever happens to others.
    pub(crate) fn inject(&mut self, bytes: &[u8], now: u64) {
        let mut copy = self.storage();
        copy.extend_from_slice(bytes);
        self.counts.sent += 1;
        self.launch(copy, now.saturating_add(nanos(self.conditions.delay)));
    }

    /// Frames that were too big since this was last asked, the first of many.
    pub(crate) fn take_too_big(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.too_big)
    }

    fn launch(&mut self, bytes: Vec<u8>, arrives_at: u64) {
        self.counts.in_flight += 1;
        self.order += 1;
        self.flying.push(Reverse(Flying {
            arrives_at,
            order: self.order,
            bytes,
        }));
    }

    /// When the next frame arrives.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.flying.peek().map(|Reverse(flying)| flying.arrives_at)
    }

    /// The next frame; its storage is to be given back.
    pub(crate) fn arrive(&mut self) -> Option<Vec<u8>> {
        let Reverse(flying) = self.flying.pop()?;
        self.counts.in_flight -= 1;
        Some(flying.bytes)
    }
}

/// Frames under way for which there is room from the start; more cost an allocation the first time.
const EXPECTED_UNDER_WAY: usize = 1024;

/// Frames that were too big and are kept until somebody asks; of more nobody is told, as of those beyond a router's rate.
const TOO_BIG_KEPT: usize = 32;
