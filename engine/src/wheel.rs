//! The timer wheel of a shard: three levels of 256 slots, in ticks of one millisecond (D6).
//!
//! ```text
//!   level 0   256 × 1 ms        due within 256 ms
//!   level 1   256 × 256 ms      within 65 s
//!   level 2   256 × 65.5 s      within 4.6 h; later ones are looked at again then
//! ```
//!
//! A slot is a list of chunks of `u32` from one pool: arrays, because walking intrusive chains costs six times as much. An
//! entry is never cancelled: when its slot is due the record is asked for its deadline, and re-armed if that is later.
//! Everything is allocated in [`Wheel::new`]. When the pool is exhausted [`Wheel::arm`] says so, and the shard sweeps its
//! records instead until entries came free: late, never lost.

const SLOTS: usize = 256;
const LEVELS: usize = 3;
/// Entries of a chunk: with its link and its length a chunk is 64 bytes.
const CHUNK: usize = 14;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    entries: [u32; CHUNK],
    len: u32,
    next: u32,
}

/// A list of slots that were taken out of the wheel.
#[derive(Clone, Copy, Debug)]
enum Drained {
    Due,
    Cascading,
}

/// Deadlines of records, by `u32` names.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Those that were ever used; room for all is reserved.
    chunks: Vec<Chunk>,
    /// As many there may be.
    limit: usize,
    free: u32,
    heads: [[u32; SLOTS]; LEVELS],
    /// The last chunk of each slot that has one: what is due together joins what is being drained in one step, however much it is.
    tails: [[u32; SLOTS]; LEVELS],
    occupied: [[u64; SLOTS / 64]; LEVELS],
    /// The last tick whose slot was drained completely.
    now: u32,
    /// Slots of level 0, due, that the budget left half drained.
    draining: u32,
    /// Slots of the upper levels that have begun: most of what is in them is due later, so what is due goes first.
    cascading: u32,
    entries: usize,
}

impl Wheel {
    /// A wheel for `capacity` entries that stands at tick `now`.
    ///
    /// Chunks are shared by slots, so in the worst case (every entry in a slot of its own) fewer than `capacity` could fit;
    /// one more chunk a slot makes up for it.
    #[cfg(any(test, feature = "staged"))]
    pub(crate) fn new(capacity: usize, now: u32) -> Self {
        Self::with_ready(capacity, capacity, now)
    }

    /// The same with memory for `ready` entries; for the others it is taken when it is used (ADR 0022).
    pub(crate) fn with_ready(capacity: usize, ready: usize, now: u32) -> Self {
        let chunks_for = |entries: usize| entries.div_ceil(CHUNK) + SLOTS * LEVELS;
        let ready = chunks_for(ready.min(capacity));
        let mut chunks = Vec::with_capacity(chunks_for(capacity));
        chunks.extend((1..=ready as u32).map(|next| Chunk {
            entries: [0; CHUNK],
            len: 0,
            next: if (next as usize) < ready { next } else { NONE },
        }));
        Self {
            limit: chunks_for(capacity),
            chunks,
            free: 0,
            heads: [[NONE; SLOTS]; LEVELS],
            tails: [[NONE; SLOTS]; LEVELS],
            occupied: [[0; SLOTS / 64]; LEVELS],
            now,
            draining: NONE,
            cascading: NONE,
            entries: 0,
        }
    }

    /// Enters `name` for `tick` and returns the tick at which it comes up: never later, and earlier on the upper levels, whose
    /// slots come up when they begin. One that is due already comes up at the next tick. `None` when the pool is exhausted.
    #[must_use]
    pub(crate) fn arm(&mut self, name: u32, tick: u32) -> Option<u32> {
        let (level, slot, comes_up) = self.place(tick);
        let head = self.heads[level][slot];
        let target = match self.chunks.get(head as usize) {
            Some(chunk) if (chunk.len as usize) < CHUNK => head,
            _ => {
                let fresh = self.fresh_chunk(head)?;
                if head == NONE {
                    self.tails[level][slot] = fresh;
                }
                self.heads[level][slot] = fresh;
                self.occupied[level][slot / 64] |= 1 << (slot % 64);
                fresh
            }
        };
        let chunk = &mut self.chunks[target as usize];
        chunk.entries[chunk.len as usize] = name;
        chunk.len += 1;
        self.entries += 1;
        Some(comes_up)
    }

    /// Takes out at most `budget` names whose slot is due at `now`, in `due`. Entries of the upper levels come out when their
    /// slot begins: the caller looks at the deadline and arms them again.
    ///
    /// `true` when the wheel has reached `now`; else the rest is due next turn. A slot full of deadlines that are hours old, as
    /// those of keep-alive are, would hold up all that is due now: three quarters of the budget are for that.
    pub(crate) fn advance(&mut self, now: u32, budget: usize, due: &mut Vec<u32>) -> bool {
        let early = if self.cascading == NONE {
            0
        } else {
            budget.div_ceil(4)
        };
        let mut left = budget - early;
        let reached = self.advance_level_0(now, &mut left, due);
        left += early;
        let cascaded = self.drain(Drained::Cascading, &mut left, due);
        reached && cascaded
    }

    fn advance_level_0(&mut self, now: u32, left: &mut usize, due: &mut Vec<u32>) -> bool {
        if !self.drain(Drained::Due, left, due) {
            return false;
        }
        while (now.wrapping_sub(self.now) as i32) > 0 {
            if self.entries == 0 {
                self.now = now;
                return true;
            }
            self.skip_empty(now);
            if (now.wrapping_sub(self.now) as i32) <= 0 {
                return true;
            }
            self.now = self.now.wrapping_add(1);
            let tick = self.now;
            if tick & 0xffff == 0 {
                self.unhook(2, (tick >> 16) as usize % SLOTS, Drained::Cascading);
            }
            if tick & 0xff == 0 {
                self.unhook(1, (tick >> 8) as usize % SLOTS, Drained::Cascading);
            }
            self.unhook(0, tick as usize % SLOTS, Drained::Due);
            if !self.drain(Drained::Due, left, due) {
                return false;
            }
        }
        true
    }

    /// The next tick at which something may come up, if anything is entered. Never later than the true one.
    pub(crate) fn next_tick(&self) -> Option<u32> {
        if self.draining != NONE || self.cascading != NONE {
            return Some(self.now);
        }
        if self.entries == 0 {
            return None;
        }
        // Within the current round of level 0, else at its end, where the upper levels are looked at.
        let here = self.now as usize % SLOTS;
        let slot = self.next_occupied(here + 1);
        Some(self.now.wrapping_add((slot - here) as u32))
    }

    /// Entries in all, with those that are void.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Bytes that are taken from the system: of all chunks that were touched.
    pub(crate) fn reserved_bytes(&self) -> usize {
        size_of_val(self.chunks.as_slice())
    }

    /// A chunk in front of `next`, if there is one left.
    #[inline(always)]
    fn fresh_chunk(&mut self, next: u32) -> Option<u32> {
        if self.free == NONE {
            self.free = self.unused_chunk()?;
        }
        let fresh = self.free;
        let chunk = self.chunks.get_mut(fresh as usize)?;
        self.free = chunk.next;
        *chunk = Chunk {
            entries: [0; CHUNK],
            len: 0,
            next,
        };
        Some(fresh)
    }

    /// A chunk that was never used, if there is one left.
    #[cold]
    fn unused_chunk(&mut self) -> Option<u32> {
        if self.chunks.len() >= self.limit {
            return None;
        }
        // There is room for it: nothing moves.
        self.chunks.push(Chunk {
            entries: [0; CHUNK],
            len: 0,
            next: NONE,
        });
        Some(self.chunks.len() as u32 - 1)
    }

    /// Level, slot, and the tick at which that slot comes up.
    fn place(&self, tick: u32) -> (usize, usize, u32) {
        let ahead = tick.wrapping_sub(self.now) as i32;
        if ahead <= 0 {
            let next = self.now.wrapping_add(1);
            return (0, next as usize % SLOTS, next);
        }
        match ahead as u32 {
            0..=0xff => (0, tick as usize % SLOTS, tick),
            0x100..=0xffff => (1, (tick >> 8) as usize % SLOTS, tick & !0xff),
            // Beyond the horizon: as far as the wheel reaches, to be looked at again then.
            far => {
                let tick = self.now.wrapping_add(far.min(0xff_0000));
                (2, (tick >> 16) as usize % SLOTS, tick & !0xffff)
            }
        }
    }

    /// Moves over ticks whose slots are empty on all levels, up to the end of this round of level 0.
    fn skip_empty(&mut self, now: u32) {
        let here = self.now as usize % SLOTS;
        if here + 1 >= SLOTS {
            return;
        }
        let next = self.next_occupied(here + 1);
        let skip = ((next - here - 1) as u32).min(now.wrapping_sub(self.now));
        self.now = self.now.wrapping_add(skip);
    }

    /// The first slot of level 0 from `from` on that holds something; [`SLOTS`] when none does in this round.
    fn next_occupied(&self, from: usize) -> usize {
        let (first, within) = (from / 64, from % 64);
        self.occupied[0]
            .iter()
            .enumerate()
            .skip(first)
            .map(|(word, bits)| {
                (
                    word,
                    if word == first {
                        bits & (u64::MAX << within)
                    } else {
                        *bits
                    },
                )
            })
            .find(|(_, bits)| *bits != 0)
            .map_or(SLOTS, |(word, bits)| word * 64 + bits.trailing_zeros() as usize)
    }

    fn list_mut(&mut self, list: Drained) -> &mut u32 {
        match list {
            Drained::Due => &mut self.draining,
            Drained::Cascading => &mut self.cascading,
        }
    }

    /// Puts a slot's chunks at the front of a list that is being drained.
    fn unhook(&mut self, level: usize, slot: usize, list: Drained) {
        let head = self.heads[level][slot];
        if head == NONE {
            return;
        }
        self.heads[level][slot] = NONE;
        self.occupied[level][slot / 64] &= !(1 << (slot % 64));
        let tail = self.tails[level][slot] as usize;
        debug_assert_eq!(self.chunks[tail].next, NONE, "the last chunk of its slot");
        self.chunks[tail].next = *self.list_mut(list);
        *self.list_mut(list) = head;
    }

    /// `true` when all that was unhooked is drained.
    fn drain(&mut self, list: Drained, left: &mut usize, due: &mut Vec<u32>) -> bool {
        while *self.list_mut(list) != NONE {
            let at = *self.list_mut(list) as usize;
            while self.chunks[at].len > 0 {
                if *left == 0 {
                    return false;
                }
                self.chunks[at].len -= 1;
                let name = self.chunks[at].entries[self.chunks[at].len as usize];
                self.entries -= 1;
                *left -= 1;
                due.push(name);
            }
            *self.list_mut(list) = self.chunks[at].next;
            self.chunks[at].next = self.free;
            self.free = at as u32;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs the wheel as a shard does: what comes up early is armed again.
    fn run(
        wheel: &mut Wheel,
        deadlines: &[u32],
        from: u32,
        step: u32,
        until: u32,
        budget: usize,
    ) -> Vec<Option<u32>> {
        let mut fired = vec![None; deadlines.len()];
        let mut now = from;
        let mut due = Vec::new();
        while (until.wrapping_sub(now) as i32) > 0 {
            now = now.wrapping_add(step);
            loop {
                let done = wheel.advance(now, budget, &mut due);
                for name in due.drain(..) {
                    let deadline = deadlines[name as usize];
                    if (now.wrapping_sub(deadline) as i32) >= 0 {
                        assert_eq!(fired[name as usize].replace(now), None, "fired twice");
                    } else {
                        assert!(wheel.arm(name, deadline).is_some());
                    }
                }
                if done {
                    break;
                }
            }
        }
        fired
    }

    #[test]
    fn every_deadline_comes_up_at_its_tick_on_every_level_and_round_the_circle() {
        for start in [0, 0x00ff_fff0, u32::MAX - 100] {
            let spans = [
                0u32, 1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 200_000, 7_200_000,
            ];
            let deadlines: Vec<u32> = spans.iter().map(|span| start.wrapping_add(*span)).collect();
            let mut wheel = Wheel::new(100, start);
            for (name, deadline) in deadlines.iter().enumerate() {
                let comes_up = wheel.arm(name as u32, *deadline).unwrap();
                assert!(comes_up.wrapping_sub(*deadline) as i32 <= 1);
            }
            let fired = run(&mut wheel, &deadlines, start, 1, start.wrapping_add(7_300_000), 3);
            for (span, fired) in spans.iter().zip(fired) {
                let late = fired.expect("fired").wrapping_sub(start.wrapping_add(*span));
                assert!(late <= 1, "span {span} late by {late}");
            }
            assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn an_exhausted_pool_is_told() {
        let mut wheel = Wheel::new(10, 0);
        let taken = (0..100_000).take_while(|n| wheel.arm(*n, 5).is_some()).count();
        assert!((10..100_000).contains(&taken));
        let mut due = Vec::new();
        assert!(wheel.advance(5, usize::MAX, &mut due));
        assert_eq!((due.len(), wheel.len()), (taken, 0));
        assert!(wheel.arm(0, 6).is_some(), "all chunks are free again");
    }

    #[test]
    fn chunks_that_are_not_ready_are_made_when_they_are_needed_and_kept() {
        let (mut wheel, mut full) = (Wheel::with_ready(20_000, 100, 0), Wheel::new(20_000, 0));
        let (ready, place) = (wheel.reserved_bytes(), wheel.chunks.as_ptr());
        assert!(ready < full.reserved_bytes() / 2);
        let fill = |wheel: &mut Wheel| (0..).take_while(|n| wheel.arm(*n, 5).is_some()).count();
        let taken = fill(&mut wheel);
        assert_eq!(
            taken,
            fill(&mut full),
            "as many as in one that has all from the start"
        );
        assert_eq!(
            (wheel.reserved_bytes(), wheel.chunks.as_ptr()),
            (full.reserved_bytes(), place)
        );
        let mut due = Vec::new();
        assert!(wheel.advance(5, usize::MAX, &mut due));
        assert_eq!((due.len(), fill(&mut wheel)), (taken, taken));
    }

    #[test]
    fn a_slot_full_of_far_deadlines_that_begins_holds_up_no_near_one() {
        let (mut wheel, mut due) = (Wheel::new(20_000, 0), Vec::new());
        for name in 0..10_000 {
            wheel.arm(name, 70_000).unwrap();
        }
        assert!(wheel.advance(65_530, 128, &mut due));
        wheel.arm(10_000, 65_540).unwrap();
        let mut turns = 0;
        while !due.contains(&10_000) {
            turns += 1;
            due.clear();
            wheel.advance(65_540, 128, &mut due);
            for name in due.iter().filter(|name| **name < 10_000) {
                wheel.arm(*name, 70_000).unwrap();
            }
        }
        assert!(turns <= 2, "{turns} turns");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_early(spans in prop::collection::vec(0u32..400_000, 1..200), step in 1u32..700, start: u32) {
            let deadlines: Vec<u32> = spans.iter().map(|span| start.wrapping_add(*span)).collect();
            let mut wheel = Wheel::new(spans.len(), start);
            for (name, deadline) in deadlines.iter().enumerate() {
                let comes_up = wheel.arm(name as u32, *deadline).unwrap();
                assert!(comes_up.wrapping_sub(*deadline) as i32 <= 1);
            }
            let fired = run(&mut wheel, &deadlines, start, step, start.wrapping_add(402_000), 7);
            for (span, fired) in spans.iter().zip(fired) {
                let late = fired.expect("fired").wrapping_sub(start.wrapping_add(*span));
                prop_assert!(late <= step + 1, "span {} late by {}", span, late);
            }
        }
    }
}
