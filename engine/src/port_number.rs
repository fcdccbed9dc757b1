//! Which port of an engine: what records, the mesh and the shard call it by.

/// Most ports of an engine. Connections keep their port's number in a byte, and a worker polls all ports in every turn.
pub(crate) const MAX_PORTS: usize = 8;

/// Which port of this engine, the same on all workers: 0 to [`MAX_PORTS`] − 1. Who holds the ports makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortNumber(u8);

impl PortNumber {
    /// There always is one.
    pub(crate) const FIRST: Self = Self(0);

    /// In tests there are two.
    #[cfg(test)]
    pub(crate) const SECOND: Self = Self(1);

    /// A bit of its own in a byte.
    pub(crate) const fn bit(self) -> u8 {
        1 << self.0
    }

    /// The number of the port at this place.
    pub(crate) const fn nth(place: u8) -> Self {
        Self(place)
    }

    /// The place of the port with this number.
    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}
