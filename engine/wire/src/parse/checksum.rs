//! What a TCP or UDP checksum turned out to be.

use super::ChecksumCheck;
use crate::Sum;
use crate::address::Addresses;

/// A checksum that may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is right, or the port said so.
    Whole,
    /// It is the bare pseudo-header sum, as a kernel peer leaves it.
    Partial,
}

/// Looks at the checksum `field` of the `upper` layer; `None` when it is wrong.
#[inline(always)]
pub(super) fn accept(pseudo: Sum, upper: &[u8], field: u16, check: ChecksumCheck) -> Option<Accepted> {
    match check {
        ChecksumCheck::Trust => Some(Accepted::Whole),
        // Compared first, since it costs nothing, and nearly all frames of a kernel peer are partial. By chance one right
        // checksum in 2¹⁶ looks like it, and nothing is lost then.
        ChecksumCheck::VerifyOrPartial if pseudo.folded() == field => Some(Accepted::Partial),
        ChecksumCheck::Verify | ChecksumCheck::VerifyOrPartial => {
            pseudo.is_right_with(upper).then_some(Accepted::Whole)
        }
    }
}

/// The pseudo-header of a packet's upper layer.
pub(super) fn pseudo(addresses: Addresses, protocol: u8, len: usize) -> Sum {
    // An upper layer never has more octets than an IP packet: the length fits.
    let len = len as u16;
    match addresses {
        Addresses::V4(ends) => Sum::pseudo_v4(ends.source, ends.destination, protocol, len),
        Addresses::V6(ends) => Sum::pseudo_v6(ends.source, ends.destination, protocol, len),
    }
}
