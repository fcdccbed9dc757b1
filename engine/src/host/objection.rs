//! ICMP errors about packets that can't be used: to whom they are sent, and how often (RFC 1122 §3.2.2, RFC 4443 §2.4).

use std::net::IpAddr;

use fourtuple_wire::{
    DropReason, Ends, EtherAddr, Instant, IpFields, Refusal, build_icmp_error, is_group_ether,
};

use super::Host;

/// A packet that is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    /// The station that sent its frame, and the one or the group it was for.
    pub(crate) ether: Ends<EtherAddr>,
    /// Its addresses.
    pub(crate) ends: Ends<IpAddr>,
    /// Why.
    pub(crate) refusal: Refusal,
    /// The packet itself, for quotation.
    pub(crate) ip: &'a [u8],
}

impl Host {
    /// Writes the ICMP error about `refused` into `out`; `None` when there is to be none. Only packets to us alone, from
    /// somebody who can be told, are spoken of.
    pub(crate) fn build_refusal(
        &mut self,
        refused: &Refused<'_>,
        now: Instant,
        out: &mut [u8],
    ) -> Option<usize> {
        let Refused {
            ether,
            ends,
            refusal,
            ip,
        } = *refused;
        if is_group_ether(&ether.source) || ether.source == self.addresses.mac() {
            return None;
        }
        self.addresses
            .admit(ether.destination, ends.source, ends.destination)
            .ok()?;
        // RFC 4443 §2.4(f), RFC 1812 §4.3.2.8.
        if !self.limits.icmp_errors.try_take(now) {
            return None;
        }
        let answer = Ends {
            source: ends.destination,
            destination: ends.source,
        };
        let link = self.link_to(ether.source);
        build_icmp_error(out, &link, &IpFields::default(), answer, refusal, ip)
    }
}

/// Reasons for which a packet may have to be spoken of.
pub(crate) const fn may_ask_for_an_error(reason: DropReason) -> bool {
    matches!(
        reason,
        DropReason::UnknownProtocol
            | DropReason::BadIpHeader
            | DropReason::SourceRoute
            | DropReason::BadFragment
    )
}
