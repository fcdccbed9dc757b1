//! On which lists of its shard a place stands: each list holds a place once, however many records come and go in it.

use super::ConnFlags;
use crate::conn_id::MAX_GENERATION;
use crate::port_number::PortNumber;
use crate::slots::Again;
use crate::tick::before;

/// The shard's lists on which a place still stands that its record has left ([`ConnFlags`] has them while there is one). The
/// next record of the place takes the entries over, but for those on the lists of debtors of other ports than its own: a place
/// stands on each list once, however many come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// A bit for each list of the worker.
    pub(super) lists: u8,
    /// A bit for each port among whose debtors it stands.
    pub(super) owes_at: u8,
}

impl Listed {
    const DELIVER: u8 = 1;
    const RETIRE: u8 = 2;
    const STARVED: u8 = 4;

    /// Where a record stands that leaves its place; `elsewhere`: on the lists of debtors of other ports, what stood before it did.
    pub(super) fn of(flags: &ConnFlags, port: PortNumber, elsewhere: u8) -> Self {
        let ConnFlags {
            transmit,
            deliver,
            retire,
            starved,
            ..
        } = *flags;
        let bit = |stands, bit| if stands { bit } else { 0 };
        Self {
            lists: bit(deliver, Self::DELIVER) | bit(retire, Self::RETIRE) | bit(starved, Self::STARVED),
            owes_at: bit(transmit, port.bit()) | elsewhere,
        }
    }

    /// Of what stands here, that is not on this list.
    pub(super) fn come_off(&mut self, list: List) {
        let off = list.bits();
        self.lists &= !off.lists;
        self.owes_at &= !off.owes_at;
    }

    /// What a new record of this port takes over; the rest stays the place's.
    pub(super) fn take_over(&mut self, port: PortNumber) -> Self {
        let taken = Self {
            lists: self.lists,
            owes_at: self.owes_at & port.bit(),
        };
        self.lists = 0;
        self.owes_at &= !port.bit();
        taken
    }

    pub(super) fn hand_over(self, flags: &mut ConnFlags) {
        flags.transmit |= self.owes_at != 0;
        flags.deliver |= self.lists & Self::DELIVER != 0;
        flags.retire |= self.lists & Self::RETIRE != 0;
        flags.starved |= self.lists & Self::STARVED != 0;
    }
}

/// What a record leaves to the next of its place: the shard still has names of it, which are never taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// The generation of the next; only those of connections are told apart.
    pub(super) generation: u32,
    /// The tick of the wheel's entry that names the place, 0 for none.
    pub(super) entry: u32,
    /// The lists on which it stands.
    pub(super) listed: Listed,
}

impl Left {
    /// In a place that was never used.
    pub(super) const NOTHING: Self = Self {
        generation: 1,
        entry: 0,
        listed: Listed { lists: 0, owes_at: 0 },
    };

    /// The wheel came to an entry of this place at the tick `now`.
    pub(super) fn entry_came_up(&mut self, now: u32) {
        if has_come_up(self.entry, now) {
            self.entry = 0;
        }
    }
}

/// An entry at this tick, if it is one, is not to come any more.
pub(super) fn has_come_up(entry: u32, now: u32) -> bool {
    entry != 0 && !before(now, entry)
}

/// An entry's tick as it is kept: 0 stands for none, and is taken for the one before.
pub(super) fn kept(tick: u32) -> u32 {
    if tick == 0 { u32::MAX } else { tick }
}

/// What a place keeps while there is a connection in it: its generation, and among which other ports' debtors it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own(u32);

impl Own {
    pub(super) fn new(generation: u32, elsewhere: u8) -> Self {
        Self(u32::from(elsewhere) << GENERATION_BITS | generation)
    }

    /// The generation of the place.
    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.0 & MAX_GENERATION
    }

    /// The generation of who has the place next, and when that is: a name is given once, and all places wear alike.
    pub(super) fn next_generation(self) -> (u32, Again) {
        let generation = self.generation() + 1;
        if generation > MAX_GENERATION {
            (self.generation(), Again::Never)
        } else if generation.is_multiple_of(TURNS) {
            (generation, Again::Last)
        } else {
            (generation, Again::First)
        }
    }

    pub(super) fn elsewhere(self) -> u8 {
        (self.0 >> GENERATION_BITS) as u8
    }

    /// It came off the list of debtors of another port.
    pub(super) fn come_off(&mut self, list: List) {
        *self = Self::new(self.generation(), self.elsewhere() & !list.bits().owes_at);
    }
}

/// Generations of a place in a row, a power of two: some seconds for one of few connections at a time that open and close as fast as they
/// can, and the 250th part of all that a place has.
const TURNS: u32 = 1 << 16;

/// What is above them is eight bits, one for each port.
const GENERATION_BITS: u32 = MAX_GENERATION.count_ones();

/// One of the shard's lists.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    /// Of a port's debtors.
    Transmit(PortNumber),
    Deliver,
    Retire,
    Starved,
}

impl List {
    pub(super) const fn bits(self) -> Listed {
        let (lists, owes_at) = match self {
            Self::Transmit(port) => (0, port.bit()),
            Self::Deliver => (Listed::DELIVER, 0),
            Self::Retire => (Listed::RETIRE, 0),
            Self::Starved => (Listed::STARVED, 0),
        };
        Listed { lists, owes_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_wear_alike_and_no_name_is_given_twice() {
        for (generation, next) in [
            (1, (2, Again::First)),
            (TURNS - 2, (TURNS - 1, Again::First)),
            (TURNS - 1, (TURNS, Again::Last)),
            (TURNS, (TURNS + 1, Again::First)),
            (3 * TURNS - 1, (3 * TURNS, Again::Last)),
            (MAX_GENERATION - 1, (MAX_GENERATION, Again::First)),
            (MAX_GENERATION, (MAX_GENERATION, Again::Never)),
        ] {
            for elsewhere in [0, 1, 255] {
                let own = Own::new(generation, elsewhere);
                assert_eq!((own.generation(), own.elsewhere()), (generation, elsewhere));
                assert_eq!(own.next_generation(), next);
            }
        }
    }
}
