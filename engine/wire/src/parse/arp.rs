//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use crate::address::is_group_ether;
use crate::octets::{be16, be32, part};
use crate::protocol::ether_type;
use crate::{ArpOperation, ArpPacket, DropReason};

pub(super) fn parse(body: &[u8]) -> Result<ArpPacket, DropReason> {
    let body = body.first_chunk::<28>().ok_or(DropReason::Truncated)?;
    let ethernet = be16(body, 0) == 1 && body[4] == 6;
    let ipv4 = be16(body, 2) == ether_type::IPV4 && body[5] == 4;
    let operation = match be16(body, 6) {
        1 => ArpOperation::Request,
        2 => ArpOperation::Reply,
        _ => return Err(DropReason::BadArp),
    };
    let sender_ether = part(body, 8);
    // RFC 1812 §3.3.2: an ARP reply that claims a group address is not to be believed.
    if !ethernet || !ipv4 || is_group_ether(&sender_ether) {
        return Err(DropReason::BadArp);
    }
    Ok(ArpPacket {
        operation,
        sender_ether,
        sender: Ipv4Addr::from(be32(body, 14)),
        target_ether: part(body, 18),
        target: Ipv4Addr::from(be32(body, 24)),
    })
}
