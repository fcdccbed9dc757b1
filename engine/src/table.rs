//! The one table of a shard (D7): from a four-tuple to the slot of its SYN, TCB or TIME_WAIT record, both families.
//!
//! ```text
//!   a bucket, one cache line:   12 tags of 8 bits │ passed │ 12 slots of 32 bits
//! ```
//! An entry lies in the bucket that its hash names, or in one of the next when that is full; each bucket that it passed counts it, so that a
//! look-up goes on only from buckets that something passed, and an entry that leaves leaves nothing behind. So nothing ever has to be moved,
//! and the table is as large as it was made: half as large again as what it may hold (ADR 0025). A tag is a part of the hash, and tells most
//! entries apart without a look at their records.
//!
//! The hash is SipHash-1-3 under a secret key, because Toeplitz and CRC are linear and a peer could choose four-tuples that pile up.

use std::cell::Cell;
use std::hash::Hasher;

use fourtuple_nic::{Arena, HugePages, Queue};
use fourtuple_wire::{FourTuple, TupleV4};
use siphasher::sip::SipHasher13;

use crate::conn_id::SlotRef;

/// Four-tuple → slot.
pub(crate) struct Table {
    buckets: Arena<Bucket>,
    keys: (u64, u64),
    capacity: usize,
    len: usize,
    /// A bit for each 64th of all hashes: something was entered since it was last asked to forget.
    entered: u64,
    /// A hash that will be asked for again in this turn.
    known: Cell<Option<(FourTuple, u64)>>,
}

/// Entries of a bucket.
const PLACES: usize = 12;

/// Entries for each bucket when the table is at its capacity: then one of a hundred lies behind the bucket of its hash at first, and eight
/// after long churn, for who finds a place leaves one elsewhere. With nine it would be four, and sixteen.
const FULL: usize = 8;

/// A line of entries.
#[derive(Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// Of each place: eight bits of its hash, or [`EMPTY`].
    tags: [u8; PLACES],
    /// Entries that belong here, or before, and found room only behind.
    passed: u32,
    slots: [u32; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The tag of a place where nothing is.
const EMPTY: u8 = 0;

impl Bucket {
    const NEW: Self = Self {
        tags: [EMPTY; PLACES],
        passed: 0,
        slots: [0; PLACES],
    };

    /// The place with this tag that `is_it` recognises by its slot.
    #[inline(always)]
    fn place(&self, tag: u8, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let mut first = bytes_that_are(tag, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        while first != 0 {
            let place = first.trailing_zeros() as usize / 8;
            if self.slots.get(place).is_some_and(|slot| is_it(*slot)) {
                return Some(place);
            }
            first &= first - 1;
        }
        let rest = u32::from_le_bytes([i, j, k, l]);
        let mut last = bytes_that_are(tag, u64::from(rest)) as u32;
        while last != 0 {
            let place = 8 + last.trailing_zeros() as usize / 8;
            if self.slots.get(place).is_some_and(|slot| is_it(*slot)) {
                return Some(place);
            }
            last &= last - 1;
        }
        None
    }
}

/// The highest bit of each byte that equals `byte`, and no other.
#[inline(always)]
const fn bytes_that_are(byte: u8, of: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differ = of ^ (byte as u64 * 0x0101_0101_0101_0101);
    // Adding carries into the highest bit of what is not zero below it, and never beyond.
    !(((differ & LOW) + LOW) | differ | LOW)
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// A table for at most `capacity` entries under a secret key, reserved and touched (D6).
    pub(crate) fn new(capacity: usize, keys: (u64, u64), pages: &dyn HugePages) -> Self {
        let buckets = capacity.div_ceil(FULL).max(1);
        Self {
            buckets: Arena::new(buckets, pages, || Bucket::NEW),
            keys,
            capacity,
            len: 0,
            entered: 0,
            known: Cell::new(None),
        }
    }

    /// The keyed hash of a four-tuple.
    #[inline]
    pub(crate) fn hash(&self, tuple: &FourTuple) -> u64 {
        hash_tuple(self.keys, tuple)
    }

    /// The same of IPv4.
    #[inline(always)]
    pub(crate) fn hash_v4(&self, tuple: &TupleV4) -> u64 {
        hash_v4(self.keys, tuple)
    }

    /// The same for a four-tuple that may be the one that was remembered.
    pub(crate) fn hash_again(&self, tuple: &FourTuple) -> u64 {
        match self.known.get() {
            Some((known, hash)) if known == *tuple => hash,
            Some(_) | None => self.hash(tuple),
        }
    }

    /// A record of this four-tuple is about to be made, or to go.
    pub(crate) fn remember(&self, tuple: &FourTuple, hash: u64) {
        self.known.set(Some((*tuple, hash)));
    }

    /// Asks for the line that a hash names.
    #[inline(always)]
    pub(crate) fn prefetch<Q: Queue>(&self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.home(hash)) {
            Q::prefetch(bucket);
        }
    }

    /// The slot that `is_it` recognises among the candidates for this hash.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(SlotRef) -> bool) -> Option<SlotRef> {
        let (at, place) = self.search(hash, |raw| is_it(SlotRef::from_u32(raw)))?;
        let raw = self.buckets.get(at)?.slots.get(place)?;
        Some(SlotRef::from_u32(*raw))
    }

    /// All of a burst are looked up now: what is entered from here on, they don't know of.
    pub(crate) fn forget_entered(&mut self) {
        self.entered = 0;
    }

    /// Something may have been entered under this hash since then.
    #[inline]
    pub(crate) fn may_have_entered(&self, hash: u64) -> bool {
        self.entered >> (hash % 64) & 1 != 0
    }

    /// Enters a slot; `false` when the table is at its capacity.
    #[must_use]
    pub(crate) fn insert(&mut self, hash: u64, slot: SlotRef) -> bool {
        if self.len >= self.capacity {
            return false;
        }
        self.entered |= 1 << (hash % 64);
        // A third of all places is empty: one of them is found.
        let mut at = self.home(hash);
        while let Some(bucket) = self.buckets.get_mut(at) {
            if let Some(place) = bucket.place(EMPTY, |_| true) {
                bucket.tags[place] = tag(hash);
                bucket.slots[place] = slot.as_u32();
                self.len += 1;
                return true;
            }
            bucket.passed += 1;
            at = self.behind(at);
        }
        false
    }

    /// The entry of `before` names `after` from now on; `false` when there is none.
    #[must_use]
    pub(crate) fn replace(&mut self, hash: u64, before: SlotRef, after: SlotRef) -> bool {
        let found = self.search(hash, |raw| raw == before.as_u32());
        let Some((at, place)) = found else {
            return false;
        };
        self.buckets[at].slots[place] = after.as_u32();
        true
    }

    /// Takes exactly this slot out.
    pub(crate) fn remove(&mut self, hash: u64, slot: SlotRef) -> bool {
        let Some((found, place)) = self.search(hash, |raw| raw == slot.as_u32()) else {
            return false;
        };
        self.buckets[found].tags[place] = EMPTY;
        self.len -= 1;
        let mut at = self.home(hash);
        while at != found {
            self.buckets[at].passed -= 1;
            at = self.behind(at);
        }
        true
    }

    /// Bucket and place of the entry of this hash that `is_it` recognises.
    #[inline(always)]
    fn search(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<(u32, usize)> {
        let tag = tag(hash);
        let home = self.home(hash);
        let mut at = home;
        loop {
            let bucket = self.buckets.get(at)?;
            if let Some(place) = bucket.place(tag, &mut is_it) {
                return Some((at, place));
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.behind(at);
            if at == home {
                return None;
            }
        }
    }

    /// The bucket that a hash names.
    #[inline(always)]
    fn home(&self, hash: u64) -> u32 {
        (((hash >> 32) * self.buckets.capacity() as u64) >> 32) as u32
    }

    fn behind(&self, bucket: u32) -> u32 {
        let next = bucket + 1;
        if next as usize == self.buckets.capacity() {
            0
        } else {
            next
        }
    }

    /// Entries now.
    #[cfg(any(test, fuzzing, feature = "simulation"))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.buckets.reserved_bytes()
    }
}

/// What a bucket remembers of a hash; the bucket itself is chosen by other bits.
#[inline(always)]
const fn tag(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == EMPTY { 1 } else { tag }
}

/// SipHash-1-3 of a four-tuple and a number under `keys`.
pub(crate) fn hash_tuple_and(keys: (u64, u64), tuple: &FourTuple, number: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    match tuple {
        FourTuple::V4(t) => {
            let mut octets = [0u8; 20];
            octets[..4].copy_from_slice(&t.local.octets());
            octets[4..8].copy_from_slice(&t.remote.octets());
            octets[8..10].copy_from_slice(&t.local_port.to_be_bytes());
            octets[10..12].copy_from_slice(&t.remote_port.to_be_bytes());
            octets[12..].copy_from_slice(&number.to_be_bytes());
            hasher.hash(&octets)
        }
        FourTuple::V6(t) => {
            hasher.write(&t.local.octets());
            hasher.write(&t.remote.octets());
            hasher.write_u32(u32::from(t.local_port) << 16 | u32::from(t.remote_port));
            hasher.write_u64(number);
            hasher.finish()
        }
    }
}

/// SipHash-1-3 of a four-tuple under `keys`.
#[inline]
pub(crate) fn hash_tuple(keys: (u64, u64), tuple: &FourTuple) -> u64 {
    match tuple {
        FourTuple::V4(tuple) => hash_v4(keys, tuple),
        FourTuple::V6(_) => hash_any(keys, tuple),
    }
}

#[inline(always)]
fn hash_v4(keys: (u64, u64), tuple: &TupleV4) -> u64 {
    let addresses = u64::from(u32::from_le_bytes(tuple.local.octets()))
        | u64::from(u32::from_le_bytes(tuple.remote.octets())) << 32;
    let ports = u64::from(tuple.local_port.swap_bytes()) | u64::from(tuple.remote_port.swap_bytes()) << 16;
    sip_13_of_12(keys, addresses, ports)
}

/// SipHash-1-3 of twelve octets, the first eight and the last four as little-endian numbers. The hasher of the library is made
/// for any number of them, which takes half as many instructions again; the tests hold the two together.
#[inline(always)]
fn sip_13_of_12(keys: (u64, u64), first: u64, last: u64) -> u64 {
    let mut v = [
        keys.0 ^ 0x736f_6d65_7073_6575,
        keys.1 ^ 0x646f_7261_6e64_6f6d,
        keys.0 ^ 0x6c79_6765_6e65_7261,
        keys.1 ^ 0x7465_6462_7974_6573,
    ];
    for word in [first, last | 12 << 56] {
        v[3] ^= word;
        sip_round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_round(&mut v);
    sip_round(&mut v);
    sip_round(&mut v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

/// SipHash-1-3 of a four-tuple under `keys`, as the library has it.
#[inline(never)]
fn hash_any(keys: (u64, u64), tuple: &FourTuple) -> u64 {
    let hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    match tuple {
        FourTuple::V4(t) => {
            let mut octets = [0u8; 12];
            octets[..4].copy_from_slice(&t.local.octets());
            octets[4..8].copy_from_slice(&t.remote.octets());
            octets[8..10].copy_from_slice(&t.local_port.to_be_bytes());
            octets[10..].copy_from_slice(&t.remote_port.to_be_bytes());
            hasher.hash(&octets)
        }
        FourTuple::V6(t) => {
            let mut hasher = hasher;
            hasher.write(&t.local.octets());
            hasher.write(&t.remote.octets());
            hasher.write_u32(u32::from(t.local_port) << 16 | u32::from(t.remote_port));
            hasher.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use fourtuple_nic::OrdinaryPages;
    use fourtuple_wire::Family;

    use super::*;
    use crate::conn_id::SlotKind;

    fn tuple(n: u32) -> FourTuple {
        FourTuple::V4(TupleV4 {
            local: std::net::Ipv4Addr::new(10, 0, 0, 1),
            remote: std::net::Ipv4Addr::from(0x0b00_0000 | n >> 8),
            local_port: 80,
            remote_port: 1024 + (n & 0xff) as u16,
        })
    }

    fn slot(n: u32) -> SlotRef {
        SlotRef::new(SlotKind::Tcb, Family::V4, n)
    }

    #[test]
    fn the_short_hash_of_a_four_tuple_is_the_librarys() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random
        };
        for _ in 0..1000 {
            let (keys, addresses, ports) = ((next(), next()), next(), next());
            let tuple = FourTuple::V4(TupleV4 {
                local: std::net::Ipv4Addr::from((addresses >> 32) as u32),
                remote: std::net::Ipv4Addr::from(addresses as u32),
                local_port: (ports >> 48) as u16,
                remote_port: (ports >> 32) as u16,
            });
            assert_eq!(hash_tuple(keys, &tuple), hash_any(keys, &tuple), "{tuple}");
        }
    }

    fn table(capacity: usize) -> Table {
        Table::new(capacity, (1, 2), &OrdinaryPages)
    }

    fn passed(table: &Table) -> u64 {
        table.buckets.iter().map(|bucket| u64::from(bucket.passed)).sum()
    }

    #[test]
    fn what_was_entered_since_is_known_by_its_hash() {
        let mut table = table(64);
        for n in 0..64u64 {
            assert!(table.insert(n * n, slot(n as u32)) && table.may_have_entered(n * n));
        }
        table.forget_entered();
        assert!((0..200).all(|hash| !table.may_have_entered(hash)));
        assert!(!table.insert(5, slot(65)), "at capacity nothing is entered");
        assert!(!table.may_have_entered(5));
    }

    #[test]
    fn bytes_are_found_where_they_are_and_nowhere_else() {
        for (bytes, byte, found) in [
            ([0, 1, 2, 3, 0, 255, 128, 127], 0, vec![0, 4]),
            ([1, 0, 1, 0, 2, 3, 0, 0], 1, vec![0, 2]),
            ([255, 254, 127, 128, 255, 0, 1, 255], 255, vec![0, 4, 7]),
            ([128, 0, 127, 129, 128, 128, 0, 0], 128, vec![0, 4, 5]),
            ([9; 8], 8, vec![]),
        ] {
            let marks = bytes_that_are(byte, u64::from_le_bytes(bytes));
            let expected = found.iter().map(|at| 0x80u64 << (at * 8)).sum::<u64>();
            assert_eq!(marks, expected, "{byte} in {bytes:?}");
        }
    }

    #[test]
    fn churn_at_full_capacity_leaves_nothing_behind() {
        const CAPACITY: u32 = 20_000;
        let mut table = table(CAPACITY as usize);
        let reserved = table.reserved_bytes();
        for n in 0..CAPACITY {
            assert!(table.insert(table.hash(&tuple(n)), slot(n)));
        }
        assert!(
            !table.insert(0, slot(CAPACITY)),
            "at capacity nothing more is taken"
        );
        let full = passed(&table);
        assert!(full < u64::from(CAPACITY) / 20, "{full} entries lie behind");
        for n in CAPACITY..CAPACITY * 40 {
            let gone = n - CAPACITY;
            assert!(table.remove(table.hash(&tuple(gone)), slot(gone)));
            assert!(table.insert(table.hash(&tuple(n)), slot(n)));
        }
        assert_eq!(
            (table.len(), table.reserved_bytes()),
            (CAPACITY as usize, reserved)
        );
        let churned = passed(&table);
        assert!(churned < u64::from(CAPACITY) / 7, "{churned} entries lie behind");
        for n in CAPACITY * 39..CAPACITY * 40 {
            let found = table.find(table.hash(&tuple(n)), |s| s == slot(n));
            assert_eq!(found, Some(slot(n)));
            assert!(table.remove(table.hash(&tuple(n)), slot(n)));
        }
        assert_eq!(table.find(table.hash(&tuple(5)), |s| s == slot(5)), None);
        assert_eq!((table.len(), passed(&table)), (0, 0));
    }

    #[test]
    fn every_entry_is_found_among_others_of_its_hash_wherever_it_had_to_go() {
        use std::collections::BTreeMap;
        // Hashes of few buckets and few tags, so that most lie behind, round the end of the table too.
        for capacity in [1usize, 12, 40, 100] {
            let (mut table, mut model) = (table(capacity), BTreeMap::new());
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            for step in 0..20_000u32 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let which = (random >> 33) as u32 % 150;
                let bucket = [0u64, u64::from(u32::MAX), 1 << 31][which as usize % 3];
                let hash = (bucket << 32) | u64::from(which % 4);
                let name = slot(which);
                match (random >> 60, model.contains_key(&which)) {
                    (0..8, false) => {
                        let fits = model.len() < capacity;
                        assert_eq!(table.insert(hash, name), fits, "step {step}");
                        if fits {
                            model.insert(which, name);
                        }
                    }
                    (8..10, true) => {
                        let after = slot(which + 1000 * (step % 7));
                        assert!(table.replace(hash, model[&which], after));
                        model.insert(which, after);
                    }
                    (10.., true) => {
                        let name = model.remove(&which).unwrap();
                        assert!(table.remove(hash, name) && !table.remove(hash, name));
                    }
                    (_, there) => {
                        let known = model.get(&which).copied();
                        let found = table.find(hash, |s| Some(s) == known);
                        assert_eq!(found.is_some(), there);
                    }
                }
                assert_eq!(table.len(), model.len());
            }
            for (which, name) in model {
                let bucket = [0u64, u64::from(u32::MAX), 1 << 31][which as usize % 3];
                assert!(table.remove((bucket << 32) | u64::from(which % 4), name));
            }
            assert_eq!((table.len(), passed(&table)), (0, 0));
        }
    }
}
