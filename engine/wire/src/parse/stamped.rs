//! Text as nearly all segments bring it: an untagged frame with IPv4, TCP with timestamps as its only option, and octets behind.
//!
//! It is not written down anywhere, but read where it lies: once to see that it is of this shape and right, by constant places behind
//! one length check, and once more when its turn comes. What it says is what the way for every frame would say; what is not
//! of this shape, or is wrong in any way, is left to that.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::{ChecksumCheck, Expect};
use crate::emit::STAMPED_HEADERS_LEN;
use crate::octets::{be16, be32, part};
use crate::protocol::{ETHER_LEN, IPV4_LEN, TCP_LEN, ether_type, ip, tcp_option};
use crate::sum::fold;
use crate::{CE, ECN_MASK, EtherAddr, SeqNum, Sum, TcpFlags, TcpHeader, TcpOptions, Timestamps, TupleV4};

/// A view of such a frame's headers.
#[derive(Clone, Copy, Debug)]
pub struct StampedText<'a>(&'a [u8; LEN]);

impl<'a> StampedText<'a> {
    /// The view of a frame that is of this shape, and that every check finds right.
    #[inline(always)]
    pub fn read(frame: &'a [u8], expect: &Expect) -> Option<Self> {
        let head = frame.first_chunk::<LEN>()?;
        let total_len = usize::from(be16(head, IP + 2));
        let shaped = word(head, ETHER_TYPE, [0xff, 0xff, 0xff, 0]) == IPV4_OF_20
            && word(head, IP + 6, [!DONT_FRAGMENT, 0xff, 0, 0xff]) == WHOLE_TCP
            && head[TCP + 12] == HEADER_OF_32
            && word(head, TCP + TCP_LEN, [0xff; 4]) == NOP_NOP_TIMESTAMPS
            && total_len > LEN - ETHER_LEN;
        if !shaped || expect.vlan.is_some() {
            return None;
        }
        let segment = frame.get(TCP..IP + total_len)?;
        let view = Self(head);
        let (remote, local) = view.addresses();
        if be16(head, TCP) == 0 || be16(head, TCP + 2) == 0 {
            return None;
        }
        let right = match expect.checksum {
            ChecksumCheck::Trust => true,
            ChecksumCheck::Verify => {
                let header = |at: usize| u64::from(u32::from_ne_bytes(part(head, IP + at)));
                let ends = u64::from(remote) + u64::from(local);
                fold(header(0) + header(4) + header(8) + ends) == 0xffff
                    && Sum::pseudo_of_words(remote, local, ip::TCP, segment.len() as u16)
                        .is_right_with(segment)
            }
            // Nearly all of these are partial.
            ChecksumCheck::VerifyOrPartial => false,
        };
        right.then_some(view)
    }

    /// The view of a frame that was [read](Self::read) before, and has not changed since.
    #[inline(always)]
    pub fn again(frame: &'a [u8]) -> Option<Self> {
        frame.first_chunk::<LEN>().map(Self)
    }

    /// The peer's address and ours, as they stand there.
    #[inline(always)]
    fn addresses(self) -> (u32, u32) {
        let address = |at| u32::from_ne_bytes(part(self.0, at));
        (address(IP + 12), address(IP + 16))
    }

    /// The station that the frame is for.
    #[inline(always)]
    pub fn ether_destination(self) -> EtherAddr {
        part(self.0, 0)
    }

    /// The four-tuple as the receiver sees it.
    #[inline(always)]
    pub fn tuple(self) -> TupleV4 {
        let (remote, local) = self.addresses();
        TupleV4 {
            local: Ipv4Addr::from(local.to_ne_bytes()),
            remote: Ipv4Addr::from(remote.to_ne_bytes()),
            local_port: be16(self.0, TCP + 2),
            remote_port: be16(self.0, TCP),
        }
    }

    /// The header with its option.
    #[inline(always)]
    pub fn header(self) -> TcpHeader {
        TcpHeader {
            seq: SeqNum(be32(self.0, TCP + 4)),
            ack: SeqNum(be32(self.0, TCP + 8)),
            flags: TcpFlags(self.0[TCP + 13]),
            window: be16(self.0, TCP + 14),
            urgent: be16(self.0, TCP + 18),
            options: TcpOptions {
                timestamps: Some(Timestamps {
                    value: be32(self.0, TCP + TCP_LEN + 4),
                    echo: be32(self.0, TCP + TCP_LEN + 8),
                }),
                ..TcpOptions::default()
            },
        }
    }

    /// Where the text lies in the frame; it is not empty.
    #[inline(always)]
    pub fn text(self) -> Range<usize> {
        LEN..ETHER_LEN + usize::from(be16(self.0, IP + 2))
    }

    /// The network marked it: Congestion Experienced (RFC 3168 §5).
    #[inline(always)]
    pub fn is_marked(self) -> bool {
        self.0[IP + 1] & ECN_MASK == CE
    }
}

const LEN: usize = STAMPED_HEADERS_LEN;
const ETHER_TYPE: usize = 12;
/// Where the IP header starts.
const IP: usize = ETHER_LEN;
const TCP: usize = IP + IPV4_LEN;

/// The type of the frame, version and length of the header.
const IPV4_OF_20: u32 = u32::from_ne_bytes([(ether_type::IPV4 >> 8) as u8, ether_type::IPV4 as u8, 0x45, 0]);
/// Flags and offset, and the protocol.
const WHOLE_TCP: u32 = u32::from_ne_bytes([0, 0, 0, ip::TCP]);
const DONT_FRAGMENT: u8 = 0x40;
/// The data offset, with all reserved bits zero.
const HEADER_OF_32: u8 = 0x80;
const NOP_NOP_TIMESTAMPS: u32 = u32::from_ne_bytes([
    tcp_option::NO_OPERATION,
    tcp_option::NO_OPERATION,
    tcp_option::TIMESTAMPS,
    10,
]);

/// Four octets as they stand there, with the bits that count.
#[inline(always)]
fn word(head: &[u8; LEN], at: usize, mask: [u8; 4]) -> u32 {
    u32::from_ne_bytes(part(head, at)) & u32::from_ne_bytes(mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::parse_any;
    use crate::testing::{ether, ipv4, pseudo_v4, set_checksum, tcp, tcp_v4_frame, tcp_v6_frame};
    use crate::{FourTuple, Packet, PacketKind};

    const STAMPS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];

    const VERIFIED: Expect = Expect {
        checksum: ChecksumCheck::Verify,
        vlan: None,
    };

    /// What the view says is what the way for every frame says; whether there is a view.
    fn agrees(frame: &[u8], expect: &Expect) -> bool {
        let Some(view) = StampedText::read(frame, expect) else {
            return false;
        };
        let Ok(Packet {
            ether_destination,
            kind: PacketKind::Tcp(segment),
            ..
        }) = parse_any(frame, expect)
        else {
            panic!("a view of what is no segment: {frame:?}");
        };
        let again = StampedText::again(frame).expect("it was read before");
        assert_eq!(FourTuple::V4(again.tuple()), segment.tuple);
        assert_eq!(again.header(), segment.header);
        assert!(view.tuple() == again.tuple() && view.header() == again.header());
        assert_eq!(view.text(), segment.payload.range());
        assert_eq!(view.is_marked(), segment.is_marked());
        assert_eq!(view.ether_destination(), ether_destination);
        assert!(!view.text().is_empty() && !segment.partial_checksum);
        true
    }

    #[test]
    fn it_takes_text_with_timestamps_and_nothing_else() {
        let takes = |frame: &[u8]| agrees(frame, &VERIFIED);
        assert!(takes(&tcp_v4_frame(&STAMPS, b"t")));
        assert!(
            takes(&[tcp_v4_frame(&STAMPS, b"text"), vec![0; 6]].concat()),
            "padded"
        );
        assert!(!takes(&tcp_v4_frame(&STAMPS, b"")), "no text");
        assert!(!takes(&tcp_v4_frame(&[], b"text")), "no timestamps");
        assert!(
            !takes(&tcp_v4_frame(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1], b"text")),
            "in another order"
        );
        assert!(!takes(&tcp_v6_frame(6, &[], b"text")));
        let of_a_kernel = Expect {
            checksum: ChecksumCheck::VerifyOrPartial,
            vlan: None,
        };
        assert!(!agrees(&tcp_v4_frame(&STAMPS, b"text"), &of_a_kernel));
        let tagged = Expect {
            vlan: Some(7),
            ..VERIFIED
        };
        assert!(!agrees(&tcp_v4_frame(&STAMPS, b"text"), &tagged));
    }

    #[test]
    fn text_that_the_network_marked_is_told_apart() {
        let mut segment = tcp(&STAMPS, b"text");
        let pseudo = pseudo_v4(6, segment.len());
        set_checksum(&mut segment, 16, &pseudo);
        let mut packet = ipv4(&[], 0x4000, 6, &segment);
        for (traffic_class, marked) in [
            (0, false),
            (1, false),
            (2, false),
            (3, true),
            (0xff, true),
            (0xfc, false),
        ] {
            packet[1] = traffic_class;
            set_checksum(&mut packet[..20], 10, &[]);
            let frame = ether(0x0800, &packet);
            assert!(agrees(&frame, &VERIFIED));
            let view = StampedText::again(&frame).expect("it is long enough");
            assert_eq!(view.is_marked(), marked, "{traffic_class:#x}");
        }
    }

    // proves: RFC 9293 MUST-3 (also for text that is read where it lies)
    #[test]
    fn no_octet_of_a_frame_leads_the_two_ways_apart() {
        let frame = tcp_v4_frame(&STAMPS, b"payload");
        for checksum in [ChecksumCheck::Verify, ChecksumCheck::Trust] {
            let expect = Expect { checksum, vlan: None };
            for (at, value) in (0..frame.len()).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value))) {
                let mut changed = frame.clone();
                changed[at] = value;
                let viewed = agrees(&changed, &expect);
                // What the checksums of IP and TCP cover may not change, and lies behind the Ethernet header.
                let covered = at >= ETHER_LEN && value != frame[at];
                assert!(
                    !viewed || !covered || checksum == ChecksumCheck::Trust,
                    "octet {at} is {value:#x}"
                );
            }
        }
    }

    proptest! {
        // Fast path = slow path, for frames that are nearly of this shape.
        #[test]
        fn it_says_what_the_way_for_every_frame_says(
            stamped in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((0..90usize, any::<u8>()), 0..3),
            cut in 0..4usize,
            trusted in any::<bool>(),
        ) {
            let mut frame = tcp_v4_frame(if stamped { &STAMPS } else { &[] }, &payload);
            for (at, value) in changes {
                if let Some(octet) = frame.get_mut(at) {
                    *octet = value;
                }
            }
            frame.truncate(frame.len() - cut);
            let checksum = if trusted { ChecksumCheck::Trust } else { ChecksumCheck::Verify };
            agrees(&frame, &Expect { checksum, vlan: None });
        }
    }
}
