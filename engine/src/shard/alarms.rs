//! Timers that a handler sets, one a connection: a heap of deadlines in which each connection that has one stands once.
//!
//! A deadline that is put off or taken back costs a write: the entry keeps its time, and is looked at again when it comes up.
//! One that is brought forward rises. So there is never more than an entry a connection, whatever a handler does, and nothing
//! is allocated beyond what the shard reserved at start.
//!
//! The connection holds its deadline and the place of its entry ([`Conn::timer`], [`Conn::timer_place`]).

use fourtuple_nic::Queue;

use crate::conn_id::SlotRef;
use crate::records::Records;
use crate::tick::before;

/// When to look at a connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// In ticks of the wheel (ms).
    due: u32,
    slot: SlotRef,
}

/// The timers of a shard.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// Each entry's is not before that of its parent, which is at `(place - 1) / 2`.
    heap: Vec<Entry>,
    /// Most entries that it ever had: it takes memory when it is used (ADR 0022).
    most: usize,
}

impl Alarms {
    /// Room for one of each of so many connections.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            heap: Vec::with_capacity(connections),
            most: 0,
        }
    }

    /// Bytes that are taken from the system: of all entries that were touched.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.most * size_of::<Entry>()
    }

    /// When to look, if at all.
    #[inline]
    pub(crate) fn next(&self) -> Option<u32> {
        self.heap.first().map(|entry| entry.due)
    }

    /// Something is to be looked at.
    #[inline]
    pub(crate) fn is_due(&self, tick: u32) -> bool {
        self.next().is_some_and(|due| !before(tick, due))
    }

    /// Sets the timer of a handler's connection; the one set before is forgotten.
    pub(crate) fn set<Q: Queue>(&mut self, slot: SlotRef, due: u32, records: &mut Records<Q>) {
        let Some(conn) = records.conn_mut(slot) else {
            return;
        };
        conn.set_timer(Some(due));
        match conn.timer_place() {
            None => {
                self.heap.push(Entry { due, slot });
                self.most = self.most.max(self.heap.len());
                self.rise(self.heap.len() - 1, records);
            }
            Some(place) => {
                if let Some(entry) = self.heap.get_mut(place)
                    && before(due, entry.due)
                {
                    entry.due = due;
                    self.rise(place, records);
                }
            }
        }
    }

    /// The next connection whose time has come; its timer is not set any more.
    pub(crate) fn poll<Q: Queue>(&mut self, tick: u32, records: &mut Records<Q>) -> Option<SlotRef> {
        while self.is_due(tick) {
            let entry = self.heap.first_mut()?;
            let slot = entry.slot;
            match records.conn(slot).and_then(|conn| conn.timer()) {
                // It was put off since.
                Some(due) if before(tick, due) => {
                    entry.due = due;
                    self.sink(0, records);
                }
                timer => {
                    self.remove(0, records);
                    if let Some(conn) = records.conn_mut(slot) {
                        conn.set_timer(None);
                    }
                    if timer.is_some() {
                        return Some(slot);
                    }
                }
            }
        }
        None
    }

    /// The handler has this connection no more: its entry goes.
    pub(crate) fn forget<Q: Queue>(&mut self, slot: SlotRef, records: &mut Records<Q>) {
        let Some(conn) = records.conn_mut(slot) else {
            return;
        };
        conn.set_timer(None);
        if let Some(place) = conn.timer_place() {
            self.remove(place, records);
        }
    }

    fn remove<Q: Queue>(&mut self, place: usize, records: &mut Records<Q>) {
        if place >= self.heap.len() {
            return;
        }
        let gone = self.heap.swap_remove(place);
        if let Some(conn) = records.conn_mut(gone.slot) {
            conn.set_timer_place(None);
        }
        if place < self.heap.len() {
            // What took its place may belong above or below.
            self.sink(place, records);
            self.rise(place, records);
        }
    }

    fn rise<Q: Queue>(&mut self, mut place: usize, records: &mut Records<Q>) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !before(self.heap[place].due, self.heap[parent].due) {
                break;
            }
            self.heap.swap(place, parent);
            self.note(place, records);
            place = parent;
        }
        self.note(place, records);
    }

    fn sink<Q: Queue>(&mut self, mut place: usize, records: &mut Records<Q>) {
        loop {
            let (left, right) = (place * 2 + 1, place * 2 + 2);
            let mut first = place;
            for child in [left, right] {
                if child < self.heap.len() && before(self.heap[child].due, self.heap[first].due) {
                    first = child;
                }
            }
            if first == place {
                break;
            }
            self.heap.swap(place, first);
            self.note(place, records);
            place = first;
        }
        self.note(place, records);
    }

    /// Tells the connection where its entry stands.
    fn note<Q: Queue>(&self, place: usize, records: &mut Records<Q>) {
        if let Some(entry) = self.heap.get(place)
            && let Some(conn) = records.conn_mut(entry.slot)
        {
            conn.set_timer_place(Some(place));
        }
    }

    /// Every entry is its connection's, and none is before its parent: for tests.
    #[cfg(test)]
    pub(crate) fn audit<Q: Queue>(&self, records: &Records<Q>) -> Result<(), &'static str> {
        for (place, entry) in self.heap.iter().enumerate() {
            let Some(conn) = records.conn(entry.slot) else {
                return Err("a timer's entry names a place without a connection");
            };
            if conn.owner != crate::records::Owner::Handler || conn.timer_place() != Some(place) {
                return Err("a timer's entry is not the connection's");
            }
            if conn.timer().is_some_and(|due| before(due, entry.due)) {
                return Err("a timer would come up late");
            }
            if place > 0 && before(entry.due, self.heap[(place - 1) / 2].due) {
                return Err("the heap of timers is out of order");
            }
        }
        Ok(())
    }
}
