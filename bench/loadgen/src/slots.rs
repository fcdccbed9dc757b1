//! What the generator knows of each of its connections: one slot a connection at a time, made before the start.

use std::collections::VecDeque;

use fourtuple::{ConnId, Instant};

/// Where a slot's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There is none; it waits in the queue of those to be opened, or for good.
    Vacant,
    /// SYN sent.
    Opening,
    /// Established.
    Open,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) id: Option<ConnId>,
    /// Where its payload starts in the piece that all repeat.
    pub(crate) offset: u32,
    /// Requests under way.
    pub(crate) outstanding: u16,
    /// The oldest of them in the ring of starts.
    pub(crate) oldest: u16,
    /// Bytes of requests that were started and not queued yet.
    pub(crate) unsent: u64,
    /// Bytes queued for sending since it was opened.
    pub(crate) sent: u64,
    /// Bytes received since it was opened.
    pub(crate) received: u64,
    /// Bytes acknowledged since it was opened (stream).
    pub(crate) acknowledged: u64,
    /// Bytes of the operation under way that are there.
    pub(crate) progress: u64,
    /// The answer is there, and the end of the connection is waited for (crr, closed by the server).
    pub(crate) answered: bool,
    /// When something last moved: what the time-out counts from.
    pub(crate) moved: Instant,
    /// The block whose latency is measured ends here (stream).
    pub(crate) probe_end: u64,
    /// And began then.
    pub(crate) probe_start: Instant,
}

impl Slot {
    fn new(offset: u32) -> Self {
        Self {
            place: Place::Vacant,
            id: None,
            offset,
            outstanding: 0,
            oldest: 0,
            unsent: 0,
            sent: 0,
            received: 0,
            acknowledged: 0,
            progress: 0,
            answered: false,
            moved: Instant::ZERO,
            probe_end: 0,
            probe_start: Instant::ZERO,
        }
    }

    /// As new, at another connection's start.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.offset);
    }
}

/// All slots of a worker, and those that wait for a connection.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    vacant: VecDeque<u32>,
    /// `pipeline` a slot: when each request under way started.
    starts: Vec<Instant>,
    pipeline: usize,
    pub(crate) opening: u32,
    pub(crate) open: u32,
    /// Connections that have requests under way.
    pub(crate) active: u32,
    swept: usize,
}

impl Slots {
    /// `apart`: each connection's payload starts at an offset of its own.
    pub(crate) fn new(count: u32, pipeline: u16, apart: bool) -> Self {
        let pipeline = usize::from(pipeline.max(1));
        Self {
            // 7919 is prime: neighbours' payloads lie far apart.
            slots: (0..count)
                .map(|number| Slot::new(if apart { number.wrapping_mul(7_919) } else { 0 }))
                .collect(),
            vacant: (0..count).collect(),
            starts: vec![Instant::ZERO; count as usize * pipeline],
            pipeline,
            opening: 0,
            open: 0,
            active: 0,
            swept: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn at(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// The next slot that wants a connection.
    pub(crate) fn next_vacant(&mut self) -> Option<u32> {
        self.vacant.pop_front()
    }

    /// No slot waits for a connection, and none is being opened.
    pub(crate) fn are_settled(&self) -> bool {
        self.opening == 0 && self.vacant.is_empty()
    }

    /// A slot goes back untried.
    pub(crate) fn untried(&mut self, slot: u32) {
        self.vacant.push_front(slot);
    }

    /// The connection is being opened.
    pub(crate) fn begin(&mut self, slot: u32, id: ConnId, now: Instant) {
        let place = self.at_mut(slot);
        place.clear();
        (place.place, place.id, place.moved) = (Place::Opening, Some(id), now);
        self.opening += 1;
    }

    /// The connection is established; tells when its SYN was sent.
    pub(crate) fn opened(&mut self, slot: u32, now: Instant) -> Option<Instant> {
        let place = self.at_mut(slot);
        if place.place != Place::Opening {
            return None;
        }
        let started = place.moved;
        (place.place, place.moved) = (Place::Open, now);
        self.opening -= 1;
        self.open += 1;
        Some(started)
    }

    /// The slot has no connection any more; it wants another when `again`. Tells what it was.
    pub(crate) fn vacate(&mut self, slot: u32, again: bool) -> Slot {
        let was = *self.at(slot);
        match was.place {
            Place::Vacant => return was,
            Place::Opening => self.opening -= 1,
            Place::Open => self.open -= 1,
        }
        let place = self.at_mut(slot);
        place.clear();
        self.active -= u32::from(was.outstanding > 0);
        if again {
            self.vacant.push_back(slot);
        }
        was
    }

    /// A request starts; `false` when as many as may be are under way.
    pub(crate) fn start(&mut self, slot: u32, now: Instant) -> bool {
        let pipeline = self.pipeline;
        let place = &mut self.slots[slot as usize];
        if usize::from(place.outstanding) >= pipeline {
            return false;
        }
        let at = (usize::from(place.oldest) + usize::from(place.outstanding)) % pipeline;
        if place.outstanding == 0 {
            place.moved = now;
            self.active += 1;
        }
        place.outstanding += 1;
        self.starts[slot as usize * pipeline + at] = now;
        true
    }

    /// The oldest request under way is answered; tells when it started.
    pub(crate) fn answered(&mut self, slot: u32) -> Option<Instant> {
        let pipeline = self.pipeline;
        let place = &mut self.slots[slot as usize];
        if place.outstanding == 0 {
            return None;
        }
        let start = self.starts[slot as usize * pipeline + usize::from(place.oldest)];
        place.oldest = (place.oldest + 1) % pipeline as u16;
        place.outstanding -= 1;
        self.active -= u32::from(place.outstanding == 0);
        Some(start)
    }

    /// When the oldest request under way started.
    pub(crate) fn oldest_start(&self, slot: u32) -> Option<Instant> {
        let place = self.at(slot);
        (place.outstanding > 0)
            .then(|| self.starts[slot as usize * self.pipeline + usize::from(place.oldest)])
    }

    /// The next slots in a walk over all that never ends.
    pub(crate) fn sweep(&mut self, count: usize) -> impl Iterator<Item = u32> + use<> {
        let (from, len) = (self.swept, self.len().max(1));
        let count = count.min(self.len());
        self.swept = (from + count) % len;
        (0..count).map(move |step| ((from + step) % len) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_in_the_order_they_started() {
        let mut slots = Slots::new(2, 3, true);
        for start in 1..=3 {
            assert!(slots.start(1, Instant::from_millis(start)));
        }
        assert!(!slots.start(1, Instant::from_millis(4)), "the pipeline is full");
        assert_eq!(slots.answered(1), Some(Instant::from_millis(1)));
        assert!(slots.start(1, Instant::from_millis(5)));
        for start in [2, 3, 5] {
            assert_eq!(slots.oldest_start(1), Some(Instant::from_millis(start)));
            assert_eq!(slots.answered(1), Some(Instant::from_millis(start)));
        }
        assert_eq!((slots.answered(1), slots.oldest_start(1)), (None, None));
        assert_eq!(slots.answered(0), None, "the other slot has its own");
    }

    #[test]
    fn connections_are_active_from_their_first_request_to_their_last_answer() {
        let mut slots = Slots::new(3, 2, true);
        for slot in [0, 0, 1, 2] {
            slots.start(slot, Instant::ZERO);
        }
        assert_eq!(slots.active, 3);
        slots.answered(0);
        assert_eq!(slots.active, 3, "one more is under way");
        slots.answered(0);
        slots.answered(0);
        slots.answered(1);
        assert_eq!(slots.active, 1);
        slots.answered(2);
        assert_eq!(slots.active, 0);
    }

    #[test]
    fn a_sweep_comes_by_every_slot() {
        let mut slots = Slots::new(5, 1, true);
        let seen: Vec<_> = (0..3).flat_map(|_| slots.sweep(2)).collect();
        assert_eq!(seen, [0, 1, 2, 3, 4, 0]);
        assert_eq!(
            Slots::new(1, 1, true).sweep(64).count(),
            1,
            "none twice in one sweep"
        );
    }

    #[test]
    fn every_slot_is_vacant_at_first_and_only_once() {
        let mut slots = Slots::new(2, 1, true);
        let (one, other) = (slots.next_vacant(), slots.next_vacant());
        assert_eq!((one, other, slots.next_vacant()), (Some(0), Some(1), None));
        slots.untried(1);
        assert_eq!(slots.next_vacant(), Some(1));
        assert_eq!(
            slots.vacate(0, true).place,
            Place::Vacant,
            "what has no connection is not vacated twice"
        );
        assert_eq!(slots.next_vacant(), None);
    }
}
