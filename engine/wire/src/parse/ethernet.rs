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
        // RFC 1122 §2.3.3: Ethernet II is what everybody speaks; 802.2 may be left out.
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

#[cfg(test)]
mod tests {
    use crate::testing::{ether, tcp_v4_frame, verdict};
    use crate::{DropReason, Expect};

    // proves: RFC 1122 §2.3.3
    #[test]
    fn only_ethernet_ii_is_read() {
        for (length, verdict_of_it) in [
            (0x0003, DropReason::LlcFrame),
            (0x05dc, DropReason::LlcFrame),
            (0x05ff, DropReason::LlcFrame),
            (0x0600, DropReason::UnknownEtherType),
            (0x88cc, DropReason::UnknownEtherType),
        ] {
            assert_eq!(
                verdict(&ether(length, &[0xaa; 64])),
                Err(verdict_of_it),
                "{length:#x}"
            );
        }
    }

    #[test]
    fn less_than_a_header_is_truncated() {
        let frame = ether(0x0800, &[]);
        for len in 0..=frame.len() {
            assert_eq!(verdict(&frame[..len]), Err(DropReason::Truncated), "{len} octets");
        }
    }

    #[test]
    fn a_vlan_is_either_ours_or_dropped() {
        let plain = tcp_v4_frame(&[], b"x");
        let tagged = |tpid: u16, tag: u16| {
            let mut frame = plain.clone();
            frame.splice(12..12, [tpid.to_be_bytes(), tag.to_be_bytes()].concat());
            frame
        };
        let wrong = Err(DropReason::WrongVlan);
        for (what, frame, vlan, expected) in [
            ("untagged where no tag is expected", plain.clone(), None, Ok(())),
            ("untagged where a tag is expected", plain.clone(), Some(7), wrong),
            ("our VLAN", tagged(0x8100, 7), Some(7), Ok(())),
            (
                "our VLAN with a priority",
                tagged(0x8100, 0xf007),
                Some(7),
                Ok(()),
            ),
            ("another VLAN", tagged(0x8100, 8), Some(7), wrong),
            ("a tag where none is expected", tagged(0x8100, 7), None, wrong),
            (
                "802.3 where a tag is expected",
                ether(60, &[0xaa; 60]),
                Some(7),
                Err(DropReason::LlcFrame),
            ),
            (
                "two tags, the outer a service tag",
                tagged(0x88a8, 7),
                Some(7),
                wrong,
            ),
        ] {
            let expect = Expect {
                vlan,
                ..Expect::default()
            };
            assert_eq!(crate::parse(&frame, &expect).map(drop), expected, "{what}");
        }
        let expect = Expect {
            vlan: Some(7),
            ..Expect::default()
        };
        let cut = &tagged(0x8100, 7)[..16];
        assert_eq!(crate::parse(cut, &expect), Err(DropReason::Truncated));
        let mut llc = tagged(0x8100, 7);
        llc[16..18].copy_from_slice(&[0, 60]);
        assert_eq!(crate::parse(&llc, &expect), Err(DropReason::LlcFrame));
    }
}
