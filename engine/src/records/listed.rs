//! On which lists of its shard a place stands: each list holds a place once, however many records come and go in it.

use super::ConnFlags;
use crate::port_number::PortNumber;

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

    pub(super) fn of(flags: &ConnFlags, port: PortNumber) -> Self {
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
            owes_at: bit(transmit, port.bit()),
        }
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
