//! The one table of a shard (D7): from a four-tuple to the slot of its SYN, TCB or TIME_WAIT record, both families.
//!
//! `hashbrown::HashTable` of [`SlotRef`]s at fixed capacity. The hash is SipHash-1-3 under a secret key, because Toeplitz and
//! CRC are linear and a peer could choose four-tuples that pile up. The table is made for twice the entries that it may
//! hold, so that erased places never fill a probe window and it never rehashes; `rehashes` counts, and a churn test holds it
//! at zero.

use std::cell::Cell;
use std::hash::Hasher;

use fourtuple_wire::{FourTuple, TupleV4};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::conn_id::SlotRef;

/// Four-tuple → slot.
pub(crate) struct Table {
    slots: HashTable<u32>,
    keys: (u64, u64),
    capacity: usize,
    rehashes: u64,
    /// A bit for each 64th of all hashes: something was entered since it was last asked to forget.
    entered: u64,
    /// A hash that will be asked for again in this turn.
    known: Cell<Option<(FourTuple, u64)>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.slots.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// A table for at most `capacity` entries under a secret key.
    pub(crate) fn new(capacity: usize, keys: (u64, u64)) -> Self {
        let mut slots = HashTable::with_capacity(capacity.saturating_mul(2));
        // Touched at start (D6): filling half of it writes to every group; clearing keeps the memory.
        for entry in 0..capacity as u32 {
            slots.insert_unique(u64::from(entry).wrapping_mul(0x9e37_79b9_7f4a_7c15), entry, |_| 0);
        }
        slots.clear();
        Self {
            slots,
            keys,
            capacity,
            rehashes: 0,
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

    /// The slot that `is_it` recognises among the candidates for this hash. `is_it` may prefetch and refuse them all.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(SlotRef) -> bool) -> Option<SlotRef> {
        self.slots
            .find(hash, |raw| is_it(SlotRef::from_u32(*raw)))
            .map(|raw| SlotRef::from_u32(*raw))
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
    pub(crate) fn insert(&mut self, hash: u64, slot: SlotRef, hash_of: impl Fn(SlotRef) -> u64) -> bool {
        if self.slots.len() >= self.capacity {
            return false;
        }
        self.entered |= 1 << (hash % 64);
        let moved = Cell::new(0);
        self.slots.insert_unique(hash, slot.as_u32(), |raw| {
            moved.set(moved.get() + 1);
            hash_of(SlotRef::from_u32(*raw))
        });
        self.rehashes += moved.get();
        true
    }

    /// The entry of `before` names `after` from now on; `false` when there is none.
    #[must_use]
    pub(crate) fn replace(&mut self, hash: u64, before: SlotRef, after: SlotRef) -> bool {
        let entry = self.slots.find_mut(hash, |raw| *raw == before.as_u32());
        entry.map(|raw| *raw = after.as_u32()).is_some()
    }

    /// Takes exactly this slot out.
    pub(crate) fn remove(&mut self, hash: u64, slot: SlotRef) -> bool {
        match self.slots.find_entry(hash, |raw| *raw == slot.as_u32()) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Entries now.
    #[cfg(any(test, fuzzing, feature = "simulation"))]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.slots.allocation_size()
    }

    /// Entries that were moved since the start; stays zero.
    #[cfg(test)]
    fn rehashes(&self) -> u64 {
        self.rehashes
    }
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

    #[test]
    fn what_was_entered_since_is_known_by_its_hash() {
        let mut table = Table::new(64, (1, 2));
        for n in 0..64u64 {
            assert!(table.insert(n * n, slot(n as u32), |_| 0) && table.may_have_entered(n * n));
        }
        table.forget_entered();
        assert!((0..200).all(|hash| !table.may_have_entered(hash)));
        assert!(
            !table.insert(5, slot(65), |_| 0),
            "at capacity nothing is entered"
        );
        assert!(!table.may_have_entered(5));
    }

    #[test]
    fn churn_at_full_capacity_never_rehashes() {
        const CAPACITY: u32 = 20_000;
        let mut table = Table::new(CAPACITY as usize, (1, 2));
        for n in 0..CAPACITY {
            assert!(table.insert(table.hash(&tuple(n)), slot(n), |_| unreachable!()));
        }
        assert!(
            !table.insert(0, slot(CAPACITY), |_| 0),
            "at capacity nothing more is taken"
        );
        for n in CAPACITY..CAPACITY * 40 {
            let gone = n - CAPACITY;
            assert!(table.remove(table.hash(&tuple(gone)), slot(gone)));
            assert!(table.insert(table.hash(&tuple(n)), slot(n), |_| 0));
        }
        assert_eq!((table.len(), table.rehashes()), (CAPACITY as usize, 0));
        let last = CAPACITY * 40 - 1;
        assert_eq!(
            table.find(table.hash(&tuple(last)), |s| s == slot(last)),
            Some(slot(last))
        );
        assert_eq!(table.find(table.hash(&tuple(5)), |s| s == slot(5)), None);
    }
}
