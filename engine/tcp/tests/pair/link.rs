//! A link on virtual time: it loses, delays, reorders and duplicates, all from one seed.

use std::time::Duration;

use fourtuple_wire::{Instant, TcpHeader};

/// Small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            rng.next();
        }
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a link does to segments, in percent of them, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub struct LinkProfile {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay_us: u64,
    pub jitter_us: u64,
    /// Segments with more payload than this vanish, and nothing tells why.
    pub widest: usize,
}

impl LinkProfile {
    pub const CLEAN: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        delay_us: 500,
        jitter_us: 0,
        widest: usize::MAX,
    };
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub at: Instant,
    order: u64,
    pub to: usize,
    pub header: TcpHeader,
    pub payload: Vec<u8>,
}

#[derive(Debug)]
pub struct Link {
    pub profile: LinkProfile,
    on_the_way: Vec<InFlight>,
    order: u64,
}

impl Link {
    pub fn new(profile: LinkProfile) -> Self {
        Self {
            profile,
            on_the_way: Vec::new(),
            order: 0,
        }
    }

    pub fn carry(&mut self, to: usize, header: TcpHeader, payload: Vec<u8>, now: Instant, rng: &mut Rng) {
        if rng.chance(self.profile.loss) || payload.len() > self.profile.widest {
            return;
        }
        let copies = if rng.chance(self.profile.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut us = self.profile.delay_us;
            if rng.chance(self.profile.reorder) {
                us += 1 + rng.below(self.profile.jitter_us.max(1));
            }
            self.order += 1;
            let at = now + Duration::from_micros(us);
            let segment = InFlight {
                at,
                order: self.order,
                to,
                header: header.clone(),
                payload: payload.clone(),
            };
            self.on_the_way.push(segment);
        }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.on_the_way.iter().map(|segment| segment.at).min()
    }

    /// The first of those that have arrived.
    pub fn take_arrived(&mut self, now: Instant) -> Option<InFlight> {
        let first = self
            .on_the_way
            .iter()
            .enumerate()
            .filter(|(_, segment)| segment.at <= now)
            .min_by_key(|(_, segment)| (segment.at, segment.order))?;
        let index = first.0;
        Some(self.on_the_way.remove(index))
    }
}
