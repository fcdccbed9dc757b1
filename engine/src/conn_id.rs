//! Names of connections and of the places that hold their records.
//!
//! ```text
//!   ConnId (64 bits)   worker 10 · family 1 · index 29 · generation 24
//!   SlotRef (32 bits)                kind 2 · family 1 · index 29
//! ```
//!
//! A [`ConnId`] is what applications and endpoints hold; its generation makes a stale one an error and never another user's
//! connection (D7). A [`SlotRef`] is what the table and the timer wheel hold.

use std::fmt;

use fourtuple_wire::Family;

const INDEX_BITS: u32 = 29;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

/// Generations that a slot goes through before it is retired.
pub(crate) const MAX_GENERATION: u32 = (1 << 24) - 1;

/// Workers that a [`ConnId`] can tell apart.
pub(crate) const MAX_WORKERS: u16 = 1 << 10;

/// A connection's name: valid until the connection is gone, an error ever after.
///
/// ```no_run
/// # fn told(stream: &fourtuple::Stream) {
/// let id = stream.id();
/// println!("connection {} of worker {}", id.as_u64(), id.worker());
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

impl ConnId {
    /// Nobody's: no connection has generation 0.
    pub(crate) const BLANK: Self = Self(0);

    pub(crate) fn new(worker: u16, slot: SlotRef, generation: u32) -> Self {
        let family = u64::from(slot.family() == Family::V6);
        Self(
            u64::from(worker & (MAX_WORKERS - 1)) << 54
                | family << 53
                | u64::from(slot.index()) << 24
                | u64::from(generation & MAX_GENERATION),
        )
    }

    /// The worker that owns the connection.
    pub fn worker(self) -> u16 {
        (self.0 >> 54) as u16
    }

    pub(crate) fn generation(self) -> u32 {
        self.0 as u32 & MAX_GENERATION
    }

    pub(crate) fn slot(self) -> SlotRef {
        let family = if self.0 >> 53 & 1 == 1 {
            Family::V6
        } else {
            Family::V4
        };
        SlotRef::new(SlotKind::Tcb, family, (self.0 >> 24) as u32 & INDEX_MASK)
    }

    /// The name as one number, for logs and keys of maps.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.slot().family() == Family::V6 { 6 } else { 4 };
        write!(
            f,
            "w{}v{family}#{}.{}",
            self.worker(),
            self.slot().index(),
            self.generation()
        )
    }
}

/// What kind of record a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// A half-open connection of the listening side.
    Syn,
    /// A connection.
    Tcb,
    /// A connection that is over, kept for 2 MSL.
    TimeWait,
}

/// A place in one of the six arenas of a shard: kind, family, index.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SlotRef(u32);

impl SlotRef {
    /// Most places that an arena may have.
    #[cfg(test)]
    pub(crate) const MAX_INDEX: u32 = INDEX_MASK;

    #[inline]
    pub(crate) fn new(kind: SlotKind, family: Family, index: u32) -> Self {
        let kind = match kind {
            SlotKind::Syn => 0,
            SlotKind::Tcb => 1,
            SlotKind::TimeWait => 2,
        };
        let family = u32::from(family == Family::V6);
        Self(kind << 30 | family << INDEX_BITS | (index & INDEX_MASK))
    }

    /// A connection of IPv4.
    #[inline]
    pub(crate) fn is_tcb_v4(self) -> bool {
        self.0 >> INDEX_BITS == 0b010
    }

    /// A connection of IPv6.
    #[inline]
    pub(crate) fn is_tcb_v6(self) -> bool {
        self.0 >> INDEX_BITS == 0b011
    }

    #[inline]
    pub(crate) fn kind(self) -> SlotKind {
        match self.0 >> 30 {
            0 => SlotKind::Syn,
            1 => SlotKind::Tcb,
            _ => SlotKind::TimeWait,
        }
    }

    #[inline]
    pub(crate) fn family(self) -> Family {
        if self.0 >> INDEX_BITS & 1 == 1 {
            Family::V6
        } else {
            Family::V4
        }
    }

    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.0 & INDEX_MASK
    }

    #[inline]
    pub(crate) fn as_u32(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) fn from_u32(raw: u32) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for SlotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}#{}", self.kind(), self.family(), self.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_back_what_it_was_made_of() {
        for family in [Family::V4, Family::V6] {
            for kind in [SlotKind::Syn, SlotKind::Tcb, SlotKind::TimeWait] {
                for index in [0, 1, SlotRef::MAX_INDEX] {
                    let slot = SlotRef::new(kind, family, index);
                    assert_eq!((slot.kind(), slot.family(), slot.index()), (kind, family, index));
                    assert_eq!(slot.is_tcb_v4(), (kind, family) == (SlotKind::Tcb, Family::V4));
                    assert_eq!(SlotRef::from_u32(slot.as_u32()), slot);
                    let id = ConnId::new(1023, SlotRef::new(SlotKind::Tcb, family, index), MAX_GENERATION);
                    assert_eq!((id.worker(), id.generation()), (1023, MAX_GENERATION));
                    assert_eq!((id.slot().family(), id.slot().index()), (family, index));
                }
            }
        }
    }
}
