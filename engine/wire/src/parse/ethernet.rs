//! Ethernet II with at most one VLAN tag.

use crate::octets::{be16, part};
use crate::protocol::{ETHER_LEN, VLAN_TAG_LEN, ether_type};
use crate::{DropReason, EtherAddr};

/// An Ethernet header.
pub(super) struct Ethernet {
    pub(super) destination: EtherAddr,
    pub(super) source: EtherAddr,
    /// Of what follows the tag, where there is one.
    pub(super) ether_type: u16,
    /// Octets of the header with its tag; the frame has at least as many.
    pub(super) len: usize,
}

pub(super) fn parse(frame: &[u8], vlan: Option<u16>) -> Result<Ethernet, DropReason> {
    let (header, rest) = frame
        .split_first_chunk::<ETHER_LEN>()
        .ok_or(DropReason::Truncated)?;
    let (ether_type, len) = match (be16(header, 12), vlan) {
        (ether_type::VLAN, Some(ours)) => {
            let tag = rest.first_chunk::<VLAN_TAG_LEN>().ok_or(DropReason::Truncated)?;
            if be16(tag, 0) & VLAN_ID != ours {
                return Err(DropReason::WrongVlan);
            }
            (be16(tag, 2), ETHER_LEN + VLAN_TAG_LEN)
        }
        (ether_type::VLAN | ether_type::SERVICE_VLAN, _) => return Err(DropReason::WrongVlan),
        (length, _) if length < ether_type::LOWEST => return Err(DropReason::LlcFrame),
        // A port on a VLAN carries nothing else: what is untagged belongs to another network.
        (_, Some(_)) => return Err(DropReason::WrongVlan),
        (ether_type, None) => (ether_type, ETHER_LEN),
    };
    if ether_type < ether_type::LOWEST {
        return Err(DropReason::LlcFrame);
    }
    Ok(Ethernet {
        destination: part(header, 0),
        source: part(header, 6),
        ether_type,
        len,
    })
}

/// The VLAN within a tag; above it stand priority and drop eligibility.
const VLAN_ID: u16 = 0x0fff;
