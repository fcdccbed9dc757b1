//! The records of a shard: SYN, TCB and TIME_WAIT, of both families, in fixed arenas behind one table (D6, D7).
//!
//! A record and its four-tuple lie together, so that a look-up compares the full key in a line of the record. IPv4 and IPv6
//! records lie in arenas of their own; everything outside this file names them by [`SlotRef`] and sees one kind.

mod conn;
mod listed;
mod time_waits;

use fourtuple_nic::{HugePages, Queue};
use fourtuple_tcp::TimeWait;
use fourtuple_wire::{Family, FourTuple, Instant, TupleV4, TupleV6};

use crate::ConnId;
use crate::conn_id::{SlotKind, SlotRef};
use crate::slots::{Again, Place, Slots};
use crate::table::Table;
pub(crate) use conn::{Conn, ConnFlags, HalfOpen, NewConn, Owner, Rare};
use listed::{Left, has_come_up};
pub(crate) use listed::{List, Own};
use time_waits::TimeWaits;

/// A record with its key, and what its place keeps beside it. `A` says how it is aligned.
#[repr(C)]
struct Keyed<K, T, O = (), A = u8> {
    record: T,
    key: K,
    own: O,
    aligned: [A; 0],
}

impl<K, T, O: Default, A> Keyed<K, T, O, A> {
    fn new(key: K, record: T) -> Self {
        Self {
            record,
            key,
            own: O::default(),
            aligned: [],
        }
    }
}

/// Begins at a cache line.
#[repr(align(64))]
struct Line;

/// The three arenas of one family.
struct FamilyRecords<K, Q: Queue> {
    syn: Slots<Keyed<K, HalfOpen>, Left>,
    tcb: Slots<Keyed<K, Conn<Q>, Own, Line>, Left>,
    time_wait: TimeWaits<K>,
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
    v4: FamilyRecords<TupleV4, Q>,
    v6: FamilyRecords<TupleV6, Q>,
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
            syn: Slots::new(places(limits.half_open), Left::NOTHING, pages),
            tcb: Slots::new(places(limits.connections), Left::NOTHING, pages),
            time_wait: TimeWaits::new(places(limits.time_wait), pages),
        }
    }

    /// Puts a connection into the next free place, whose entries on lists and in the wheel are its from now on.
    #[inline(always)]
    fn insert_conn(&mut self, key: K, make: impl FnOnce() -> Conn<Q>) -> Option<u32> {
        let (index, left) = self.tcb.insert_with(|| Keyed::new(key, make()))?;
        let place = self.tcb.at_mut(index)?;
        place.own = place.record.take_over(left);
        Some(index)
    }

    fn reserved_bytes(&self) -> usize {
        self.syn.reserved_bytes() + self.tcb.reserved_bytes() + self.time_wait.reserved_bytes()
    }

    /// The generation of a connection's place.
    #[inline]
    fn generation(&self, index: u32) -> u32 {
        match self.tcb.place(index) {
            Some(Place::Taken(place)) => place.own.generation(),
            Some(Place::Vacant { left, .. }) => left.generation,
            None => 0,
        }
    }
}

impl<Q: Queue> Records<Q> {
    /// Reserves and touches everything.
    pub(crate) fn new(limits: &RecordLimits, keys: (u64, u64), pages: &dyn HugePages) -> Self {
        let families = usize::from(limits.v4) + usize::from(limits.v6);
        let entries = (limits.connections + limits.half_open + limits.time_wait) as usize * families;
        Self {
            table: Table::new(entries, keys, pages),
            v4: FamilyRecords::new(limits, limits.v4, pages),
            v6: FamilyRecords::new(limits, limits.v6, pages),
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

    /// Places of TIME_WAIT records from the oldest to the newest, with those that are empty, and how many there are.
    #[cfg(test)]
    pub(crate) fn time_waits_queued(&self) -> (u32, u32) {
        let (v4, v6) = (&self.v4.time_wait, &self.v6.time_wait);
        (v4.span() + v6.span(), v4.capacity() + v6.capacity())
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

    /// The connection at `slot` with what its place keeps, for writing.
    #[inline(always)]
    pub(crate) fn conn_and_own_mut(&mut self, slot: SlotRef) -> Option<(&mut Conn<Q>, &Own)> {
        in_family!(mut self, slot, |records| {
            let place = records.tcb.at_mut(slot.index())?;
            Some((&mut place.record, &place.own))
        })
    }

    /// The connection at `slot` with its generation, for writing.
    #[inline]
    pub(crate) fn conn_and_generation_mut(&mut self, slot: SlotRef) -> Option<(&mut Conn<Q>, u32)> {
        let (conn, own) = self.conn_and_own_mut(slot)?;
        Some((conn, own.generation()))
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
        let current = in_family!(self, slot, |records| records.generation(slot.index()));
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
            in_family!(self, slot, |records| records.generation(slot.index())),
        )
    }

    /// The half-open connection at `slot`.
    pub(crate) fn half_open_mut(&mut self, slot: SlotRef) -> Option<&mut HalfOpen> {
        in_family!(mut self, slot, |records| records.syn.at_mut(slot.index()).map(|place| &mut place.record))
    }

    /// The TIME_WAIT record at `slot`.
    pub(crate) fn time_wait_mut(&mut self, slot: SlotRef) -> Option<&mut TimeWait> {
        in_family!(mut self, slot, |records| records.time_wait.at_mut(slot.index()))
    }

    /// Enters the connection that `make` gives under a four-tuple that has no record; `None`, and it is not made, when there is no
    /// room. The half-open connection that it comes of, if there is one, has the four-tuple until then, and is gone.
    #[inline(always)]
    pub(crate) fn insert_conn(
        &mut self,
        tuple: &FourTuple,
        half_open: Option<SlotRef>,
        make: impl FnOnce() -> Conn<Q>,
    ) -> Option<SlotRef> {
        let slot = self.enter_next_conn(tuple, half_open)?;
        match tuple {
            FourTuple::V4(key) => self.v4.insert_conn(*key, make)?,
            FourTuple::V6(key) => self.v6.insert_conn(*key, make)?,
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
        let (index, left) = match tuple {
            FourTuple::V4(key) => self.v4.syn.insert(Keyed::new(*key, record)).ok()?,
            FourTuple::V6(key) => self.v6.syn.insert(Keyed::new(*key, record)).ok()?,
        };
        let slot = SlotRef::new(SlotKind::Syn, tuple.family(), index);
        let entered = self.enter(tuple, slot);
        in_family!(mut self, slot, |records| {
            if entered {
                let place = records.syn.at_mut(index)?;
                return Some((slot, place.record.take_over(left)));
            }
            records.syn.remove(index, |_| left);
        });
        None
    }

    /// Enters a TIME_WAIT record for a four-tuple that has no other; `None` when there is no room.
    pub(crate) fn insert_time_wait(&mut self, tuple: &FourTuple, record: TimeWait) -> Option<SlotRef> {
        let index = match tuple {
            FourTuple::V4(key) => self.v4.time_wait.insert(*key, record)?,
            FourTuple::V6(key) => self.v6.time_wait.insert(*key, record)?,
        };
        let slot = SlotRef::new(SlotKind::TimeWait, tuple.family(), index);
        if self.enter(tuple, slot) {
            return Some(slot);
        }
        in_family!(mut self, slot, |records| {
            records.time_wait.remove(index);
        });
        None
    }

    /// Ends the oldest TIME_WAIT record if it is over at `now`; `false` when it is not, and there is nothing to do. One that was
    /// prolonged by a FIN that came again goes behind those that began after it.
    pub(crate) fn end_due_time_wait(&mut self, now: Instant) -> bool {
        let Some((slot, record)) = self.oldest_time_wait() else {
            return false;
        };
        let (prolonged, over) = (record.was_prolonged(), record.is_over(now));
        if prolonged {
            self.put_back_time_wait(slot);
        } else if over {
            self.remove_time_wait(slot);
        }
        prolonged || over
    }

    /// Ends the oldest TIME_WAIT record of this family, whatever its time; `false` when there is none.
    pub(crate) fn evict_time_wait(&mut self, family: Family) -> bool {
        let oldest = match family {
            Family::V4 => self.v4.time_wait.oldest().map(|(index, _)| index),
            Family::V6 => self.v6.time_wait.oldest().map(|(index, _)| index),
        };
        let Some(index) = oldest else {
            return false;
        };
        self.remove_time_wait(SlotRef::new(SlotKind::TimeWait, family, index));
        true
    }

    /// When the next TIME_WAIT record is to be looked at.
    pub(crate) fn next_time_wait(&self, now: Instant) -> Option<Instant> {
        let (_, record) = self.oldest_time_wait()?;
        if record.was_prolonged() {
            return Some(now);
        }
        Some(record.deadline(now).max(now))
    }

    /// The oldest of both families that has to be looked at first.
    fn oldest_time_wait(&self) -> Option<(SlotRef, &TimeWait)> {
        let slot = |family, index| SlotRef::new(SlotKind::TimeWait, family, index);
        let v4 = self.v4.time_wait.oldest();
        let v4 = v4.map(|(index, record)| (slot(Family::V4, index), record));
        let v6 = self.v6.time_wait.oldest();
        let v6 = v6.map(|(index, record)| (slot(Family::V6, index), record));
        // One that was prolonged says nothing of those behind it: it goes first, of either family.
        match (v4, v6) {
            (Some(v4), _) if v4.1.was_prolonged() => Some(v4),
            (Some(v4), Some(v6)) if v6.1.was_prolonged() || v6.1.ends_before(v4.1) => Some(v6),
            (None, v6) => v6,
            (v4, _) => v4,
        }
    }

    /// The oldest of its family goes behind all others, and the table leads to where it lies now.
    fn put_back_time_wait(&mut self, slot: SlotRef) {
        let Some(tuple) = self.tuple(slot) else {
            return;
        };
        let hash = self.table.hash(&tuple);
        if let Some(record) = self.time_wait_mut(slot) {
            record.is_in_order();
        }
        let index = in_family!(mut self, slot, |records| records.time_wait.put_back());
        if let Some(index) = index {
            let place = SlotRef::new(SlotKind::TimeWait, slot.family(), index);
            let moved = self.table.replace(hash, slot, place);
            debug_assert!(moved, "the table has every record");
        }
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
        if !conn.flags.rare.has(Rare::UNLISTED) {
            self.unlist(slot);
        }
        in_family!(mut self, slot, |records| {
            if let Some(place) = records.tcb.at(slot.index()) {
                let (left, again) = place.record.leaves(place.own);
                records.tcb.vacate(slot.index(), left, again);
            }
        });
    }

    /// The wheel came to an entry of this place at the tick `now`.
    pub(crate) fn entry_came_up(&mut self, slot: SlotRef, now: u32) {
        in_family!(mut self, slot, |records| match slot.kind() {
            SlotKind::Syn => match records.syn.place_mut(slot.index()) {
                Some(Place::Taken(place)) if has_come_up(place.record.entry, now) => place.record.entry = 0,
                Some(Place::Vacant { left, .. }) => left.entry_came_up(now),
                Some(Place::Taken(_)) | None => {}
            },
            SlotKind::Tcb => {
                // A connection that is there knows its entries itself.
                if let Some(Place::Vacant { left, .. }) = records.tcb.place_mut(slot.index()) {
                    left.entry_came_up(now);
                }
            }
            SlotKind::TimeWait => {}
        });
    }

    /// The entry of a place that is vacant, or another port's by now, came off a list.
    pub(crate) fn came_off(&mut self, slot: SlotRef, list: List) {
        in_family!(mut self, slot, |records| match slot.kind() {
            SlotKind::Syn => match records.syn.place_mut(slot.index()) {
                Some(Place::Taken(place)) => place.record.elsewhere &= !list.bits().owes_at,
                Some(Place::Vacant { left, .. }) => left.listed.come_off(list),
                None => {}
            },
            SlotKind::Tcb => match records.tcb.place_mut(slot.index()) {
                Some(Place::Taken(place)) => place.own.come_off(list),
                Some(Place::Vacant { left, .. }) => left.listed.come_off(list),
                None => {}
            },
            SlotKind::TimeWait => {}
        });
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
        in_family!(mut self, slot, |records| {
            let place = records.syn.remove(slot.index(), |place| place.record.leaves())?;
            Some(place.record)
        })
    }

    /// The same of one that has no entry in the table any more, and that nobody wants.
    fn leave_half_open(&mut self, slot: SlotRef) {
        in_family!(mut self, slot, |records| {
            if let Some(left) = records.syn.at(slot.index()).map(|place| place.record.leaves()) {
                records.syn.vacate(slot.index(), left, Again::First);
            }
        });
    }

    /// Takes a TIME_WAIT record out.
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

    /// A TIME_WAIT record of this family could be entered. Records that are reopened leave empty places among the others: when there is
    /// none behind these the oldest goes too, for to look for the empty ones among all would stop the worker.
    pub(crate) fn has_time_wait_room(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.time_wait.has_room(),
            Family::V6 => self.v6.time_wait.has_room(),
        }
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
        self.table.reserved_bytes() + self.v4.reserved_bytes() + self.v6.reserved_bytes()
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
                "half-open connections",
                both(|v4| v4.syn.reserved_bytes(), |v6| v6.syn.reserved_bytes()),
            ),
            (
                "TIME_WAIT records",
                both(
                    |v4| v4.time_wait.reserved_bytes(),
                    |v6| v6.time_wait.reserved_bytes(),
                ),
            ),
        ]
    }

    fn enter(&mut self, tuple: &FourTuple, slot: SlotRef) -> bool {
        let hash = self.table.hash_again(tuple);
        self.table.insert(hash, slot)
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

    use super::listed::Listed;
    use super::*;
    use crate::buffer::PortBuffers;
    use crate::port_number::PortNumber;

    /// What the port's buffer takes beyond the 16 bytes of a real one, the test's port adds.
    const EXTRA: usize = size_of::<fourtuple_tcp::Tcb<PortBuffers<MemQueue>>>() - 192;

    /// The sizes of the design, for IPv4: four lines with the key; half-open connections and TIME_WAIT in little.
    const _: () =
        assert!(size_of::<Conn<MemQueue>>() - EXTRA + size_of::<TupleV4>() + size_of::<Own>() <= 256);
    const _: () = assert!(
        size_of::<Place<Keyed<TupleV4, Conn<MemQueue>, Own, Line>, Left>>()
            == size_of::<Keyed<TupleV4, Conn<MemQueue>, Own, Line>>()
    );
    const _: () = assert!(size_of::<Place<Keyed<TupleV4, HalfOpen>, Left>>() == 64);
    const _: () = assert!(size_of::<Option<Keyed<TupleV4, TimeWait>>>() == 32);
    const _: () = assert!(size_of::<Option<Keyed<TupleV6, TimeWait>>>() == 56);

    #[test]
    fn a_place_stands_once_on_the_list_of_each_port_whoever_comes_and_goes() {
        let [here, there] = [PortNumber::FIRST, PortNumber::SECOND];
        let flags = ConnFlags {
            transmit: true,
            deliver: true,
            ..ConnFlags::default()
        };
        let mut place = Listed::of(&flags, here, 0);
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
