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

#[cfg(test)]
mod tests {
    use crate::DropReason;
    use crate::testing::{ether, verdict};

    const REQUEST: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0xa, 10, 9, 0, 1, 0, 0, 0, 0, 0, 0, 10, 9, 0, 2,
    ];

    #[test]
    fn every_fixed_field_has_to_be_right() {
        assert_eq!(verdict(&ether(0x0806, &REQUEST)), Ok(()));
        for (what, at, value) in [
            ("hardware that is not Ethernet", 1, 6),
            ("a protocol that is not IPv4", 2, 0x86),
            ("hardware addresses of eight octets", 4, 8),
            ("protocol addresses of sixteen octets", 5, 16),
            ("a reverse request", 7, 3),
            ("operation zero", 7, 0),
            ("a sender that is a group", 8, 1),
        ] {
            let mut body = REQUEST;
            body[at] = value;
            assert_eq!(verdict(&ether(0x0806, &body)), Err(DropReason::BadArp), "{what}");
        }
        for len in 0..28 {
            assert_eq!(
                verdict(&ether(0x0806, &REQUEST[..len])),
                Err(DropReason::Truncated)
            );
        }
    }
}
