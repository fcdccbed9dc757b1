//! Fragments: an IP packet that is larger than the link takes, cut into pieces (RFC 791 §3.2, RFC 8200 §4.5), and the head
//! of one that was put together again.

use super::put_head_v4_sum;
use crate::FragmentPacket;
use crate::octets::part;
use crate::protocol::{IPV4_LEN, IPV6_LEN, ip};

/// The pieces of a frame, one a call.
#[derive(Debug)]
pub struct Fragments<'a> {
    frame: &'a [u8],
    /// Where the IP header starts, and what is to be cut.
    ip: usize,
    payload: usize,
    v6: bool,
    /// Octets of payload in each but the last.
    each: usize,
    identification: u32,
    at: usize,
}

impl<'a> Fragments<'a> {
    /// Cuts a frame as this crate builds them, whose IP header (without options or extension headers) starts at octet `ip`,
    /// into fragments of at most `mtu` octets. `None` when it is no such frame, or nothing fits.
    pub fn new(frame: &'a [u8], ip: usize, mtu: u16, identification: u32) -> Option<Self> {
        let v6 = frame.get(ip)? >> 4 == 6;
        let header = if v6 { IPV6_LEN } else { IPV4_LEN };
        let overhead = if v6 { IPV6_LEN + FRAGMENT_LEN } else { IPV4_LEN };
        let each = usize::from(mtu).checked_sub(overhead)? / 8 * 8;
        let payload = ip + header;
        (each > 0 && payload < frame.len()).then_some(Self {
            frame,
            ip,
            payload,
            v6,
            each,
            identification,
            at: 0,
        })
    }

    /// Writes the next one into `out`; returns its length, `None` when there is no other or it does not fit.
    pub fn build_next(&mut self, out: &mut [u8]) -> Option<usize> {
        let rest = self
            .frame
            .get(self.payload + self.at..)
            .filter(|rest| !rest.is_empty())?;
        let piece = rest.get(..self.each).unwrap_or(rest);
        let more = piece.len() < rest.len();
        let head = self.frame.get(..self.payload)?;
        let extra = if self.v6 { FRAGMENT_LEN } else { 0 };
        let len = head.len() + extra + piece.len();
        let room = out.get_mut(..len)?;
        room[..head.len()].copy_from_slice(head);
        room[head.len() + extra..].copy_from_slice(piece);
        if self.v6 {
            self.head_v6(room, piece.len(), more);
        } else {
            self.head_v4(room, piece.len(), more);
        }
        self.at += piece.len();
        Some(len)
    }

    fn head_v4(&self, room: &mut [u8], len: usize, more: bool) {
        let field = (self.at / 8) as u16 | if more { MORE_FRAGMENTS } else { 0 };
        let header = &mut room[self.ip..self.payload];
        header[2..4].copy_from_slice(&((IPV4_LEN + len) as u16).to_be_bytes());
        header[4..6].copy_from_slice(&(self.identification as u16).to_be_bytes());
        header[6..8].copy_from_slice(&field.to_be_bytes());
        put_head_v4_sum(header);
    }

    fn head_v6(&self, room: &mut [u8], len: usize, more: bool) {
        let field = self.at as u16 | u16::from(more);
        let header = &mut room[self.ip..];
        let next = std::mem::replace(&mut header[6], ip::FRAGMENT);
        header[4..6].copy_from_slice(&((FRAGMENT_LEN + len) as u16).to_be_bytes());
        let fragment = &mut header[IPV6_LEN..IPV6_LEN + FRAGMENT_LEN];
        fragment[..2].copy_from_slice(&[next, 0]);
        fragment[2..4].copy_from_slice(&field.to_be_bytes());
        fragment[4..8].copy_from_slice(&self.identification.to_be_bytes());
    }
}

/// Writes what stands before the fragmentable part of a packet of which all fragments have come: Ethernet and IP header of the
/// first of them, with the lengths of the whole. Returns how many octets; `None` when there is no such packet, or no room.
pub fn build_whole_head(
    first: &[u8],
    fragment: &FragmentPacket,
    payload_len: usize,
    traffic_class: u8,
    out: &mut [u8],
) -> Option<usize> {
    let (ip, head) = (usize::from(fragment.ip.start), usize::from(fragment.head_len));
    let room = out.get_mut(..ip + head)?;
    room.copy_from_slice(first.get(..ip + head)?);
    let header = &mut room[ip..];
    if fragment.key.source.is_ipv6() {
        let rest = u16::try_from(head.checked_sub(IPV6_LEN)? + payload_len).ok()?;
        let [_, flow] = part::<2, _>(header.first_chunk::<IPV6_LEN>()?, 0);
        header[..2].copy_from_slice(&[0x60 | (traffic_class >> 4), (traffic_class << 4) | (flow & 0x0f)]);
        header[4..6].copy_from_slice(&rest.to_be_bytes());
        *header.get_mut(usize::from(fragment.named_at))? = fragment.next;
    } else {
        header.first_chunk::<IPV4_LEN>()?;
        let total = u16::try_from(head + payload_len).ok()?;
        header[1] = traffic_class;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[6..8].fill(0);
        put_head_v4_sum(header);
    }
    Some(ip + head)
}

/// Octets of a fragment header of IPv6.
const FRAGMENT_LEN: usize = 8;
const MORE_FRAGMENTS: u16 = 0x2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PEER6, US6, ether, ipv4, ipv6, tcp_v4_frame, tcp_v6_frame};
    use crate::{Expect, PacketKind, parse};

    /// Cuts a frame, reads the pieces, and puts them together by the head of the first.
    fn round_trip(frame: &[u8], mtu: u16) -> usize {
        let mut fragments = Fragments::new(frame, 14, mtu, 0x0102_0304).unwrap();
        let (mut whole, mut payload, mut count) = (vec![0; 100], Vec::new(), 0);
        let mut head = None;
        let mut out = [0; 2000];
        while let Some(len) = fragments.build_next(&mut out) {
            assert!(len <= usize::from(mtu) + 14);
            count += 1;
            let Ok(PacketKind::Fragment(fragment)) =
                parse(&out[..len], &Expect::default()).map(|packet| packet.kind)
            else {
                panic!("fragment {count} of {len} octets is read as one");
            };
            assert_eq!(fragment.offset as usize, payload.len());
            assert_eq!(fragment.key.identification & 0xffff, 0x0304);
            payload.extend_from_slice(fragment.payload.of(&out[..len]));
            if head.is_none() {
                head = Some((out[..len].to_vec(), fragment));
            }
            if !fragment.more {
                break;
            }
        }
        assert_eq!(fragments.build_next(&mut out), None);
        let (first, fragment) = head.unwrap();
        let len = build_whole_head(
            &first,
            &fragment,
            payload.len(),
            fragment.traffic_class,
            &mut whole,
        );
        whole.truncate(len.unwrap());
        whole.extend(payload);
        assert_eq!(
            parse(&whole, &Expect::default()),
            parse(frame, &Expect::default())
        );
        count
    }

    #[test]
    fn pieces_make_the_whole_again() {
        assert_eq!(round_trip(&tcp_v4_frame(&[], &[7; 3000]), 1500), 3);
        assert_eq!(round_trip(&tcp_v6_frame(6, &[], &[7; 3000]), 1280), 3);
        assert_eq!(round_trip(&tcp_v6_frame(6, &[], &[7; 1300]), 1280), 2);
        assert_eq!(round_trip(&tcp_v4_frame(&[], &[7; 100]), 68), 3);
    }

    #[test]
    fn what_stands_before_the_fragment_header_stays() {
        let part = [
            &[44, 0, 1, 4, 0, 0, 0, 0][..],
            &[17, 0, 0, 8, 0, 0, 0, 1],
            b"12345678",
        ]
        .concat();
        let frame = ether(0x86dd, &ipv6(PEER6, US6, 0, 64, &part));
        let Ok(PacketKind::Fragment(fragment)) = parse(&frame, &Expect::default()).map(|packet| packet.kind)
        else {
            panic!("a fragment");
        };
        let mut out = [0; 100];
        let len = build_whole_head(&frame, &fragment, 16, 0xb8, &mut out).unwrap();
        assert_eq!((len, out[14 + 40], out[14 + 5]), (14 + 48, 17, 24));
        assert_eq!((out[14], out[15] >> 4), (0x6b, 8));
    }

    #[test]
    fn no_packet_is_longer_than_its_length_field_can_say() {
        let frame = ether(0x0800, &ipv4(&[], 1, 17, &[0; 8]));
        let Ok(PacketKind::Fragment(fragment)) = parse(&frame, &Expect::default()).map(|packet| packet.kind)
        else {
            panic!("a fragment");
        };
        let mut out = [0; 100];
        assert_eq!(build_whole_head(&frame, &fragment, 65_516, 0, &mut out), None);
        assert!(build_whole_head(&frame, &fragment, 65_515, 0, &mut out).is_some());
        assert!(Fragments::new(&[0x45; 30], 14, 20, 0).is_none());
        assert!(Fragments::new(&[], 14, 1500, 0).is_none());
    }
}
