//! The records of a shard: SYN, TCB and TIME_WAIT, of both families, in fixed arenas behind one table (D6, D7).
//!
//! A record and its four-tuple lie together, so that a look-up compares the full key in a line of the record. IPv4 and IPv6
//! records lie in arenas of their own; everything outside this file names them by [`SlotRef`] and sees one kind.

mod conn;
mod listed;

use std::collections::VecDeque;

use fourtuple_nic::{Arena, HugePages, Queue};
use fourtuple_tcp::TimeWait;
use fourtuple_wire::{Family, FourTuple, Instant, TupleV4, TupleV6};

use crate::ConnId;
use crate::conn_id::{SlotKind, SlotRef};
use crate::port_number::PortNumber;
use crate::slots::{Generations, Slots};
use crate::table::Table;
pub(crate) use conn::{Conn, ConnFlags, HalfOpen, NewConn, Owner, Rare};
pub(crate) use listed::List;
use listed::Listed;

/// A record with its key. `A` says how it is aligned.
#[repr(C)]
struct Keyed<K, T, A = u8> {
    record: T,
    key: K,
    aligned: [A; 0],
}

impl<K, T, A> Keyed<K, T, A> {
    fn new(key: K, record: T) -> Self {
        Self {
            record,
            key,
            aligned: [],
        }
    }
}

/// Begins at a cache line.
#[repr(align(64))]
struct Line;

/// The three arenas of one family.
struct FamilyRecords<K, Q: Queue> {
    syn: Slots<Keyed<K, HalfOpen>>,
    tcb: Slots<Keyed<K, Conn<Q>, Line>>,
    time_wait: Slots<Keyed<K, TimeWait>>,
    /// By place of a half-open connection: the tick of the wheel's entry that names it, 0 for none.
    syn_entry: Arena<u32>,
    /// The same by place of a connection, while the place is vacant: entries are never cancelled, the next user takes it over.
    tcb_entry: Arena<u32>,
    /// By vacant place: the lists on which it still stands.
    syn_listed: Arena<Listed>,
    tcb_listed: Arena<Listed>,
}

/// A TIME_WAIT record's place in the order of ends. One that was reopened, and whose place was used again, is void.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    slot: SlotRef,
    generation: u32,
    /// When to look at it, in milliseconds of the engine's clock; it may have been prolonged since.
    due: u32,
}

/// How many records of each kind, both families alike; a family that has no address gets none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordLimits {
    pub(crate) connections: u32,
    pub(crate) half_open: u32,
    pub(crate) time_wait: u32,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

/// All records of a shard and the table that finds them.
pub(crate) struct Records<Q: Queue> {
    pub(crate) table: Table,
    keys: (u64, u64),
    v4: FamilyRecords<TupleV4, Q>,
    v6: FamilyRecords<TupleV6, Q>,
    /// TIME_WAIT records, oldest first.
    time_waits: VecDeque<Waiting>,
    limit: u32,
}

macro_rules! in_family {
    ($self:ident, $slot:expr, |$records:ident| $body:expr) => {
        match $slot.family() {
            Family::V4 => {
                let $records = &$self.v4;
                $body
            }
            Family::V6 => {
                let $records = &$self.v6;
                $body
            }
        }
    };
    (mut $self:ident, $slot:expr, |$records:ident| $body:expr) => {
        match $slot.family() {
            Family::V4 => {
                let $records = &mut $self.v4;
                $body
            }
            Family::V6 => {
                let $records = &mut $self.v6;
                $body
            }
        }
    };
}

trait Key: Copy {
    fn four_tuple(&self) -> FourTuple;
}

impl Key for TupleV4 {
    fn four_tuple(&self) -> FourTuple {
        FourTuple::V4(*self)
    }
}

impl Key for TupleV6 {
    fn four_tuple(&self) -> FourTuple {
        FourTuple::V6(*self)
    }
}

impl<K, Q: Queue> FamilyRecords<K, Q> {
    fn new(limits: &RecordLimits, wanted: bool, pages: &dyn HugePages) -> Self {
        let places = |count| if wanted { count } else { 0 };
        Self {
            syn: Slots::nameless(places(limits.half_open), pages),
            tcb: Slots::new(places(limits.connections), pages),
            time_wait: Slots::nameless(places(limits.time_wait), pages),
            syn_entry: Arena::new(places(limits.half_open) as usize, pages, || 0),
            tcb_entry: Arena::new(places(limits.connections) as usize, pages, || 0),
            syn_listed: Arena::new(places(limits.half_open) as usize, pages, Listed::default),
            tcb_listed: Arena::new(places(limits.connections) as usize, pages, Listed::default),
        }
    }

    /// Puts a connection into the next free place, whose entries on lists and in the wheel are its from now on.
    #[inline(always)]
    fn insert_conn(&mut self, key: K, port: PortNumber, make: impl FnOnce() -> Conn<Q>) -> Option<u32> {
        let index = self.tcb.insert_with(|| Keyed::new(key, make()))?;
        let tick = self.tcb_entry.get_mut(index).map_or(0, std::mem::take);
        let listed = self.tcb_listed.get_mut(index)?;
        if tick != 0 || *listed != Listed::default() {
            let taken = listed.take_over(port);
            let conn = &mut self.tcb.at_mut(index)?.record;
            taken.hand_over(&mut conn.flags);
            (conn.armed_far, conn.flags.armed_far) = (tick, tick != 0);
        }
        Some(index)
    }

    /// Those of half-open connections.
    fn syn_reserved_bytes(&self) -> usize {
        self.syn.reserved_bytes() + self.syn_entry.reserved_bytes() + self.syn_listed.reserved_bytes()
    }

    fn reserved_bytes(&self) -> usize {
        self.syn_reserved_bytes()
            + self.tcb.reserved_bytes()
            + self.time_wait.reserved_bytes()
            + self.tcb_entry.reserved_bytes()
            + self.tcb_listed.reserved_bytes()
    }
}

impl<Q: Queue> Records<Q> {
    /// Reserves and touches everything.
    pub(crate) fn new(limits: &RecordLimits, keys: (u64, u64), pages: &dyn HugePages) -> Self {
        let families = usize::from(limits.v4) + usize::from(limits.v6);
        let entries = (limits.connections + limits.half_open + limits.time_wait) as usize * families;
        Self {
            table: Table::new(entries, keys),
            keys,
            v4: FamilyRecords::new(limits, limits.v4, pages),
            v6: FamilyRecords::new(limits, limits.v6, pages),
            // As many void entries as living ones.
            time_waits: VecDeque::with_capacity(limits.time_wait as usize * families * 2),
            limit: limits.connections,
        }
    }

    /// The record of a four-tuple.
    pub(crate) fn find(&self, tuple: &FourTuple) -> Option<SlotRef> {
        self.find_hashed(self.table.hash(tuple), tuple)
    }

    /// The same with the hash already computed.
    #[inline(never)]
    pub(crate) fn find_hashed(&self, hash: u64, tuple: &FourTuple) -> Option<SlotRef> {
        self.table.find(hash, |slot| self.is_at(slot, tuple))
    }

    /// Entries in the order in which TIME_WAIT records end, with those that are void, and how many it has room for.
    #[cfg(test)]
    pub(crate) fn time_waits_queued(&self) -> (usize, usize) {
        (self.time_waits.len(), self.time_waits.capacity())
    }

    /// The first record that may answer for this hash, whose lines are asked for: a hint (D2). Its key is not looked at, for
    /// that would wait for the line.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<SlotRef> {
        let slot = self.table.find(hash, |_| true)?;
        self.prefetch(slot);
        Some(slot)
    }

    /// Asks for the lines of a place, whether or not a record is there.
    #[inline]
    pub(crate) fn prefetch(&self, slot: SlotRef) {
        in_family!(self, slot, |records| match slot.kind() {
            SlotKind::Syn => records.syn.prefetch::<Q>(slot.index()),
            SlotKind::Tcb => records.tcb.prefetch::<Q>(slot.index()),
            SlotKind::TimeWait => records.time_wait.prefetch::<Q>(slot.index()),
        });
    }

    /// The record of a four-tuple: that at the hint if it is the one, else the table is asked again.
    ///
    /// The hint came from the table in this very stage. Records leave the table with their place, but for connections that wait to be
    /// buried: such a one is no more than its owner's, and a SYN behind it in the same burst has begun another.
    #[inline]
    pub(crate) fn find_hinted(&self, hint: Option<SlotRef>, hash: u64, tuple: &FourTuple) -> Option<SlotRef> {
        if let (Some(slot), FourTuple::V4(key)) = (hint, tuple)
            && slot.is_tcb_v4()
            && self
                .v4
                .tcb
                .at(slot.index())
                .is_some_and(|place| place.key == *key && !place.record.flags.rare.has(Rare::UNLISTED))
        {
            // Nearly all segments are a connection's.
            return hint;
        }
        self.find_any(hint, hash, tuple)
    }

    /// The connection at the hint, if that is the one of this four-tuple.
    #[inline(always)]
    pub(crate) fn hinted_conn_mut(
        &mut self,
        hint: Option<SlotRef>,
        tuple: &FourTuple,
    ) -> Option<(SlotRef, &mut Conn<Q>)> {
        let slot = hint?;
        match tuple {
            FourTuple::V4(key) => self.hinted_conn_v4_mut(hint, key),
            FourTuple::V6(key) if slot.is_tcb_v6() => {
                let place = self.v6.tcb.at_mut(slot.index())?;
                (place.key == *key).then_some((slot, &mut place.record))
            }
            FourTuple::V6(_) => None,
        }
    }

    /// The same of IPv4, where the hint is a connection of IPv4.
    #[inline(always)]
    pub(crate) fn hinted_conn_v4_mut(
        &mut self,
        hint: Option<SlotRef>,
        key: &TupleV4,
    ) -> Option<(SlotRef, &mut Conn<Q>)> {
        let slot = hint.filter(|slot| slot.is_tcb_v4())?;
        let place = self.v4.tcb.at_mut(slot.index())?;
        (place.key == *key).then_some((slot, &mut place.record))
    }

    #[inline(never)]
    fn find_any(&self, hint: Option<SlotRef>, hash: u64, tuple: &FourTuple) -> Option<SlotRef> {
        match hint {
            Some(slot) if self.is_at(slot, tuple) && !self.is_unlisted(slot) => Some(slot),
            // As nearly all SYNs are: there was no candidate, and none has come since.
            None if !self.table.may_have_entered(hash) => None,
            Some(_) | None => self.find_hashed(hash, tuple),
        }
    }

    /// It is a connection that has left the table, and waits to be buried.
    fn is_unlisted(&self, slot: SlotRef) -> bool {
        slot.kind() == SlotKind::Tcb
            && self
                .conn(slot)
                .is_some_and(|conn| conn.flags.rare.has(Rare::UNLISTED))
    }

    /// The record at `slot` is that of `tuple`: kind, family and the full key.
    #[inline(always)]
    pub(crate) fn is_at(&self, slot: SlotRef, tuple: &FourTuple) -> bool {
        match tuple {
            FourTuple::V4(key) => slot.family() == Family::V4 && self.v4.key(slot) == Some(key),
            FourTuple::V6(key) => slot.family() == Family::V6 && self.v6.key(slot) == Some(key),
        }
    }

    /// The four-tuple of the record at `slot`.
    #[inline]
    pub(crate) fn tuple(&self, slot: SlotRef) -> Option<FourTuple> {
        in_family!(self, slot, |records| records.key(slot).map(Key::four_tuple))
    }

    /// The connection of IPv4 at `slot` with its key, for writing.
    #[inline]
    pub(crate) fn conn_v4_mut(&mut self, slot: SlotRef) -> Option<(&mut Conn<Q>, &TupleV4)> {
        if slot.family() != Family::V4 {
            return None;
        }
        let place = self.v4.tcb.at_mut(slot.index())?;
        Some((&mut place.record, &place.key))
    }

    /// The connection at `slot`.
    #[inline]
    pub(crate) fn conn(&self, slot: SlotRef) -> Option<&Conn<Q>> {
        in_family!(self, slot, |records| records
            .tcb
            .at(slot.index())
            .map(|place| &place.record))
    }

    /// The connection at `slot`, for writing.
    #[inline]
    pub(crate) fn conn_mut(&mut self, slot: SlotRef) -> Option<&mut Conn<Q>> {
        in_family!(mut self, slot, |records| records.tcb.at_mut(slot.index()).map(|place| &mut place.record))
    }

    /// The connection at `slot`, for writing, with what tells its generation: not every caller asks.
    #[inline(always)]
    pub(crate) fn conn_and_generations_mut(
        &mut self,
        slot: SlotRef,
    ) -> Option<(&mut Conn<Q>, Generations<'_>)> {
        in_family!(mut self, slot, |records| {
            let (place, generations) = records.tcb.at_mut_and_generations(slot.index())?;
            Some((&mut place.record, generations))
        })
    }

    /// The connection at `slot` with its generation, for writing.
    #[inline]
    pub(crate) fn conn_and_generation_mut(&mut self, slot: SlotRef) -> Option<(&mut Conn<Q>, u32)> {
        in_family!(mut self, slot, |records| {
            let generation = records.tcb.generation(slot.index());
            Some((&mut records.tcb.at_mut(slot.index())?.record, generation))
        })
    }

    /// The connection with this name, unless the name is stale, for writing.
    #[inline]
    pub(crate) fn named_conn_mut(&mut self, id: ConnId) -> Option<(SlotRef, &mut Conn<Q>)> {
        let slot = id.slot();
        let (conn, generation) = self.conn_and_generation_mut(slot)?;
        (generation == id.generation()).then_some((slot, conn))
    }

    /// The connection with this name, unless the name is stale.
    pub(crate) fn named(&self, id: ConnId) -> Option<SlotRef> {
        let slot = id.slot();
        let current = in_family!(self, slot, |records| records.tcb.generation(slot.index()));
        (current == id.generation() && self.conn(slot).is_some()).then_some(slot)
    }

    /// The connection with this name is there and nobody has accepted it.
    pub(crate) fn waits_for_accept(&self, id: ConnId) -> bool {
        self.named(id)
            .and_then(|slot| self.conn(slot))
            .is_some_and(|conn| conn.owner == Owner::Queue)
    }

    /// The name of the connection at `slot`.
    pub(crate) fn name(&self, worker: u16, slot: SlotRef) -> ConnId {
        ConnId::new(
            worker,
            slot,
            in_family!(self, slot, |records| records.tcb.generation(slot.index())),
        )
    }

    /// The half-open connection at `slot`.
    pub(crate) fn half_open_mut(&mut self, slot: SlotRef) -> Option<&mut HalfOpen> {
        in_family!(mut self, slot, |records| records.syn.at_mut(slot.index()).map(|place| &mut place.record))
    }

    /// The TIME_WAIT record at `slot`.
    pub(crate) fn time_wait_mut(&mut self, slot: SlotRef) -> Option<&mut TimeWait> {
        in_family!(mut self, slot, |records| records.time_wait.at_mut(slot.index()).map(|place| &mut place.record))
    }

    /// Enters the connection that `make` gives under a four-tuple that has no record; `None`, and it is not made, when there is no
    /// room. The half-open connection that it comes of, if there is one, has the four-tuple until then, and is gone.
    #[inline(always)]
    pub(crate) fn insert_conn(
        &mut self,
        tuple: &FourTuple,
        port: PortNumber,
        half_open: Option<SlotRef>,
        make: impl FnOnce() -> Conn<Q>,
    ) -> Option<SlotRef> {
        let slot = self.enter_next_conn(tuple, half_open)?;
        match tuple {
            FourTuple::V4(key) => self.v4.insert_conn(*key, port, make)?,
            FourTuple::V6(key) => self.v6.insert_conn(*key, port, make)?,
        };
        Some(slot)
    }

    /// The place of the next connection, which the table leads to from now on.
    fn enter_next_conn(&mut self, tuple: &FourTuple, half_open: Option<SlotRef>) -> Option<SlotRef> {
        if self.connections() >= self.limit {
            return None;
        }
        let index = match tuple {
            FourTuple::V4(_) => self.v4.tcb.next_free(),
            FourTuple::V6(_) => self.v6.tcb.next_free(),
        }?;
        let slot = SlotRef::new(SlotKind::Tcb, tuple.family(), index);
        let entered = match half_open {
            Some(half_open) => self.take_place(tuple, half_open, slot),
            None => self.enter(tuple, slot),
        };
        entered.then_some(slot)
    }

    /// Enters a half-open connection, and tells whether its place stands on the transmit list already; `None` when there is no
    /// room.
    pub(crate) fn insert_half_open(
        &mut self,
        tuple: &FourTuple,
        record: HalfOpen,
    ) -> Option<(SlotRef, bool)> {
        let port = record.port;
        let index = match tuple {
            FourTuple::V4(key) => self.v4.syn.insert(Keyed::new(*key, record)).ok()?,
            FourTuple::V6(key) => self.v6.syn.insert(Keyed::new(*key, record)).ok()?,
        };
        let slot = SlotRef::new(SlotKind::Syn, tuple.family(), index);
        if self.enter(tuple, slot) {
            return Some((slot, self.take_over(slot, port).owes_at != 0));
        }
        in_family!(mut self, slot, |records| {
            records.syn.remove(index);
        });
        None
    }

    /// Enters a TIME_WAIT record for a four-tuple that has no other; `None` when there is no room.
    pub(crate) fn insert_time_wait(&mut self, tuple: &FourTuple, record: TimeWait) -> Option<SlotRef> {
        let index = match tuple {
            FourTuple::V4(key) => self.v4.time_wait.insert(Keyed::new(*key, record)).ok()?,
            FourTuple::V6(key) => self.v6.time_wait.insert(Keyed::new(*key, record)).ok()?,
        };
        let slot = SlotRef::new(SlotKind::TimeWait, tuple.family(), index);
        if self.enter(tuple, slot) {
            self.queue_time_wait(slot);
            return Some(slot);
        }
        in_family!(mut self, slot, |records| {
            records.time_wait.remove(index);
        });
        None
    }

    fn queue_time_wait(&mut self, slot: SlotRef) {
        let (generation, deadline) = in_family!(self, slot, |records| {
            let deadline = records
                .time_wait
                .at(slot.index())
                .map(|place| place.record.deadline());
            (records.time_wait.generation(slot.index()), deadline)
        });
        let due = deadline.unwrap_or_default().as_millis() as u32;
        self.time_waits.push_back(Waiting {
            slot,
            generation,
            due,
        });
    }

    /// Ends the oldest TIME_WAIT record if it is over at `now`, or whatever its time when `early`. `false` when there is none to
    /// end.
    pub(crate) fn end_oldest_time_wait(&mut self, now: Instant, early: bool) -> bool {
        while let Some(waiting) = self.time_waits.front().copied() {
            let slot = waiting.slot;
            if !early && (waiting.due.wrapping_sub(now.as_millis() as u32) as i32) > 0 {
                return false;
            }
            self.time_waits.pop_front();
            let generation = in_family!(self, slot, |records| records.time_wait.generation(slot.index()));
            let deadline = in_family!(self, slot, |records| records
                .time_wait
                .at(slot.index())
                .map(|place| place.record.deadline()));
            match deadline {
                Some(deadline) if generation == waiting.generation => {
                    if early || deadline <= now {
                        self.remove_time_wait(slot);
                        return true;
                    }
                    // It was prolonged by a FIN that came again.
                    self.queue_time_wait(slot);
                    return false;
                }
                Some(_) | None => {}
            }
        }
        false
    }

    /// When the next TIME_WAIT record is to be looked at.
    pub(crate) fn next_time_wait(&self, now: Instant) -> Option<Instant> {
        let ahead = self.time_waits.front()?.due.wrapping_sub(now.as_millis() as u32) as i32;
        Some(Instant::from_millis(
            now.as_millis() + u64::from(ahead.max(0) as u32),
        ))
    }

    /// Takes a record out of the table, so that its four-tuple is free; the record itself stays.
    pub(crate) fn unlist(&mut self, slot: SlotRef) {
        if let Some(tuple) = self.tuple(slot) {
            let hash = self.table.hash_again(&tuple);
            self.table.remove(hash, slot);
        }
    }

    /// Takes a connection out altogether; it is dropped where it lies.
    pub(crate) fn remove_conn(&mut self, slot: SlotRef) {
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let (flags, listed) = (conn.flags, Listed::of(&conn.flags, conn.port));
        let entry = if flags.armed_far {
            Some(conn.armed_far)
        } else {
            flags.armed.then_some(conn.armed)
        };
        if !flags.rare.has(Rare::UNLISTED) {
            self.unlist(slot);
        }
        in_family!(mut self, slot, |records| records.tcb.vacate(slot.index()));
        if listed != Listed::default() {
            self.note_listed(slot, listed);
        }
        if entry.is_some() {
            self.set_entry(slot, entry);
        }
    }

    /// The tick of the wheel's entry that names this place, as far as it is remembered: of half-open connections, and of
    /// places of connections that are vacant.
    pub(crate) fn entry(&self, slot: SlotRef) -> Option<u32> {
        let tick = in_family!(self, slot, |records| match slot.kind() {
            SlotKind::Syn => records.syn_entry.get(slot.index()).copied(),
            SlotKind::Tcb => records.tcb_entry.get(slot.index()).copied(),
            SlotKind::TimeWait => None,
        });
        tick.filter(|tick| *tick != 0)
    }

    /// Remembers it. Tick 0 stands for none, and is taken for the one before.
    pub(crate) fn set_entry(&mut self, slot: SlotRef, tick: Option<u32>) {
        let tick = tick.map_or(0, |tick| if tick == 0 { u32::MAX } else { tick });
        let place = in_family!(mut self, slot, |records| match slot.kind() {
            SlotKind::Syn => records.syn_entry.get_mut(slot.index()),
            SlotKind::Tcb => records.tcb_entry.get_mut(slot.index()),
            SlotKind::TimeWait => None,
        });
        if let Some(place) = place {
            *place = tick;
        }
    }

    /// The wheel came to an entry of this place at the tick `now`.
    pub(crate) fn entry_came_up(&mut self, slot: SlotRef, now: u32) {
        if self
            .entry(slot)
            .is_some_and(|tick| (now.wrapping_sub(tick) as i32) >= 0)
        {
            self.set_entry(slot, None);
        }
    }

    /// The entry of a place that is vacant, or another port's by now, came off a list.
    pub(crate) fn came_off(&mut self, slot: SlotRef, list: List) {
        if let Some(listed) = self.listed_mut(slot) {
            let off = list.bits();
            listed.lists &= !off.lists;
            listed.owes_at &= !off.owes_at;
        }
    }

    fn take_over(&mut self, slot: SlotRef, port: PortNumber) -> Listed {
        self.listed_mut(slot)
            .map(|listed| listed.take_over(port))
            .unwrap_or_default()
    }

    fn note_listed(&mut self, slot: SlotRef, more: Listed) {
        if let Some(listed) = self.listed_mut(slot) {
            listed.lists |= more.lists;
            listed.owes_at |= more.owes_at;
        }
    }

    fn listed_mut(&mut self, slot: SlotRef) -> Option<&mut Listed> {
        in_family!(mut self, slot, |records| match slot.kind() {
            SlotKind::Syn => records.syn_listed.get_mut(slot.index()),
            SlotKind::Tcb => records.tcb_listed.get_mut(slot.index()),
            SlotKind::TimeWait => None,
        })
    }

    /// A half-open connection becomes the connection at `slot`: its entry of the table is that one's.
    fn take_place(&mut self, tuple: &FourTuple, half_open: SlotRef, slot: SlotRef) -> bool {
        let hash = self.table.hash_again(tuple);
        if !self.table.replace(hash, half_open, slot) {
            return false;
        }
        self.leave_half_open(half_open);
        true
    }

    /// Takes a half-open connection out.
    pub(crate) fn remove_half_open(&mut self, slot: SlotRef) -> Option<HalfOpen> {
        self.unlist(slot);
        let half_open =
            in_family!(mut self, slot, |records| records.syn.remove(slot.index()).map(|place| place.record))?;
        if half_open.transmit {
            self.note_listed(slot, List::Transmit(half_open.port).bits());
        }
        Some(half_open)
    }

    /// The same of one that has no entry in the table any more, and that nobody wants.
    fn leave_half_open(&mut self, slot: SlotRef) {
        let owed_at = self
            .half_open_mut(slot)
            .and_then(|half_open| half_open.transmit.then_some(half_open.port));
        in_family!(mut self, slot, |records| records.syn.vacate(slot.index()));
        if let Some(port) = owed_at {
            self.note_listed(slot, List::Transmit(port).bits());
        }
    }

    /// Takes a TIME_WAIT record out; its entry in the order of ends is void from now on.
    pub(crate) fn remove_time_wait(&mut self, slot: SlotRef) -> Option<TimeWait> {
        self.unlist(slot);
        in_family!(mut self, slot, |records| records.time_wait.remove(slot.index()).map(|place| place.record))
    }

    /// Connections of both families.
    pub(crate) fn connections(&self) -> u32 {
        self.v4.tcb.used() + self.v6.tcb.used()
    }

    /// A connection of this family could be entered.
    pub(crate) fn has_room(&self, family: Family) -> bool {
        self.connections() < self.limit
            && match family {
                Family::V4 => self.v4.tcb.has_room(),
                Family::V6 => self.v6.tcb.has_room(),
            }
    }

    /// A TIME_WAIT record of this family could be entered. Records that are reopened leave void entries in the order of ends:
    /// when that is full of them the oldest goes too, for to look for the void ones among all would stop the worker.
    pub(crate) fn has_time_wait_room(&self, family: Family) -> bool {
        let has_place = match family {
            Family::V4 => self.v4.time_wait.has_room(),
            Family::V6 => self.v6.time_wait.has_room(),
        };
        has_place && self.time_waits.len() < self.time_waits.capacity()
    }

    /// Half-open connections of both families.
    pub(crate) fn half_open(&self) -> u32 {
        self.v4.syn.used() + self.v6.syn.used()
    }

    /// TIME_WAIT records of both families.
    pub(crate) fn time_wait(&self) -> u32 {
        self.v4.time_wait.used() + self.v6.time_wait.used()
    }

    /// Places of connections of one family.
    pub(crate) fn capacity(&self, family: Family) -> u32 {
        match family {
            Family::V4 => self.v4.tcb.capacity(),
            Family::V6 => self.v6.tcb.capacity(),
        }
    }

    /// Records of one kind and family, and places for them.
    pub(crate) fn filled(&self, kind: SlotKind, family: Family) -> (u32, u32) {
        let slot = SlotRef::new(kind, family, 0);
        in_family!(self, slot, |records| match kind {
            SlotKind::Syn => (records.syn.used(), records.syn.capacity()),
            SlotKind::Tcb => (records.tcb.used(), records.tcb.capacity()),
            SlotKind::TimeWait => (records.time_wait.used(), records.time_wait.capacity()),
        })
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.table.reserved_bytes()
            + self.v4.reserved_bytes()
            + self.v6.reserved_bytes()
            + self.time_waits.capacity() * size_of::<Waiting>()
    }

    /// Bytes reserved, by what they are for.
    #[cfg(feature = "staged")]
    pub(crate) fn reserved_parts(&self) -> Vec<(&'static str, usize)> {
        let both = |bytes: fn(&FamilyRecords<TupleV4, Q>) -> usize,
                    bytes_v6: fn(&FamilyRecords<TupleV6, Q>) -> usize| {
            bytes(&self.v4) + bytes_v6(&self.v6)
        };
        vec![
            ("table", self.table.reserved_bytes()),
            (
                "connections",
                both(|v4| v4.tcb.reserved_bytes(), |v6| v6.tcb.reserved_bytes()),
            ),
            (
                "their entries and lists",
                both(
                    |v4| v4.tcb_entry.reserved_bytes() + v4.tcb_listed.reserved_bytes(),
                    |v6| v6.tcb_entry.reserved_bytes() + v6.tcb_listed.reserved_bytes(),
                ),
            ),
            (
                "half-open connections",
                both(|v4| v4.syn_reserved_bytes(), |v6| v6.syn_reserved_bytes()),
            ),
            (
                "TIME_WAIT records",
                both(
                    |v4| v4.time_wait.reserved_bytes(),
                    |v6| v6.time_wait.reserved_bytes(),
                ) + self.time_waits.capacity() * size_of::<Waiting>(),
            ),
        ]
    }

    fn enter(&mut self, tuple: &FourTuple, slot: SlotRef) -> bool {
        let hash = self.table.hash_again(tuple);
        let (keys, v4, v6) = (self.keys, &self.v4, &self.v6);
        self.table.insert(hash, slot, |other| {
            let tuple = match other.family() {
                Family::V4 => v4.key(other).map(Key::four_tuple),
                Family::V6 => v6.key(other).map(Key::four_tuple),
            };
            tuple.map_or(0, |tuple| crate::table::hash_tuple(keys, &tuple))
        })
    }
}

impl<K, Q: Queue> FamilyRecords<K, Q> {
    #[inline]
    fn key(&self, slot: SlotRef) -> Option<&K> {
        match slot.kind() {
            SlotKind::Syn => self.syn.at(slot.index()).map(|place| &place.key),
            SlotKind::Tcb => self.tcb.at(slot.index()).map(|place| &place.key),
            SlotKind::TimeWait => self.time_wait.at(slot.index()).map(|place| &place.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic_mem::MemQueue;

    use super::*;
    use crate::buffer::PortBuffers;
    use crate::slots::Place;

    /// What the port's buffer takes beyond the 16 bytes of a real one, the test's port adds.
    const EXTRA: usize = size_of::<fourtuple_tcp::Tcb<PortBuffers<MemQueue>>>() - 192;

    /// The sizes of the design, for IPv4: four lines with the key; half-open connections and TIME_WAIT in little.
    const _: () = assert!(size_of::<Conn<MemQueue>>() - EXTRA + size_of::<TupleV4>() <= 256);
    const _: () = assert!(
        size_of::<Place<Keyed<TupleV4, Conn<MemQueue>, Line>>>()
            == size_of::<Keyed<TupleV4, Conn<MemQueue>, Line>>()
    );
    const _: () = assert!(size_of::<Place<Keyed<TupleV4, HalfOpen>>>() <= 72);
    const _: () = assert!(size_of::<Place<Keyed<TupleV4, TimeWait>>>() <= 48);

    #[test]
    fn a_place_stands_once_on_the_list_of_each_port_whoever_comes_and_goes() {
        let [here, there] = [PortNumber::FIRST, PortNumber::SECOND];
        let flags = ConnFlags {
            transmit: true,
            deliver: true,
            ..ConnFlags::default()
        };
        let mut place = Listed::of(&flags, here);
        // The next user lives on another port: its debts are noted there, whatever becomes of the entry here.
        let mut next = ConnFlags::default();
        place.take_over(there).hand_over(&mut next);
        assert!(!next.transmit && next.deliver);
        // One of the first port after it finds the entry.
        let mut after = ConnFlags::default();
        place.take_over(here).hand_over(&mut after);
        assert!(after.transmit && !after.deliver);
        assert_eq!(place, Listed::default());
    }
}
