//! What a packet told about a neighbour, before it is decided whether to believe it.

use std::net::IpAddr;

use fourtuple_wire::EtherAddr;

/// A claim: `ip` is at `ether`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// The neighbour's address, on the link.
    pub(crate) ip: IpAddr,
    /// The station.
    pub(crate) ether: EtherAddr,
    /// How it was told.
    pub(crate) origin: Origin,
}

/// How a claim was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By asking for an address of ours, or by a handshake with one.
    Request,
    /// By an ARP reply, or a solicited advertisement that overrides.
    Reply,
    /// By a solicited advertisement that does not override what is known.
    WeakReply,
    /// By a solicited advertisement that names no station: the one that is known is still there.
    Confirmation,
    /// To everybody, unasked.
    Announcement,
}
