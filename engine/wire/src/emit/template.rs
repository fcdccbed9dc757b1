//! Headers of segments that differ in sequence number and payload alone: made once, then copied.

use super::tcp::emit_tcp;
use super::{EmitChecksum, IpFields, tcp_options};
use crate::protocol::TCP_LEN;
use crate::sum::fold;
use crate::{FourTuple, Link, SeqNum, Sum, TcpHeader};

/// Octets of the longest headers: Ethernet with a tag, IPv6, TCP with all its options.
const MOST: usize = 118;

/// Octets of those of nearly all segments: untagged, IPv4, timestamps.
const USUAL: usize = super::STAMPED_HEADERS_LEN;

/// The headers of segments that follow one another, each with a payload as long as the others', summed in software.
#[derive(Clone, Debug)]
pub struct HeaderTemplate {
    octets: [u8; MOST],
    len: usize,
    /// Where the TCP header begins.
    tcp: usize,
    /// The sum of what is covered by the checksum, but for sequence number and payload. Never zero.
    rest: u64,
}

impl HeaderTemplate {
    /// Of the segments that [`emit_tcp`](super::emit_tcp) would write with these; `None` when it would not write them.
    pub fn new(
        link: &Link,
        tuple: &FourTuple,
        ip: &IpFields,
        header: &TcpHeader,
        payload_len: usize,
    ) -> Option<Self> {
        let mut octets = [0; MOST];
        let nothing = EmitChecksum::Software(Sum::default());
        let len = emit_tcp(&mut octets, link, tuple, ip, header, payload_len, nothing);
        let tcp = len.checked_sub(TCP_LEN + tcp_options::len(&header.options))?;
        let field = u16::from_ne_bytes([*octets.get(tcp + 16)?, *octets.get(tcp + 17)?]);
        // RFC 1624 §3: what is taken out is added as its complement. A field that was summed is never all ones.
        let rest = u64::from(!field) + u64::from(!header.seq.0.to_be());
        Some(Self {
            octets,
            len,
            tcp,
            rest,
        })
    }

    /// Octets of the headers.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.len
    }

    /// Writes the headers of the segment at `seq` with this sum of its payload to `room`, which is as long as they are.
    #[inline]
    pub fn write(&self, room: &mut [u8], seq: SeqNum, payload: Sum) {
        if let (USUAL, Some(room)) = (self.len, room.first_chunk_mut::<USUAL>()) {
            // Of a length that is known: some registers full, and no call.
            room.copy_from_slice(&self.octets[..USUAL]);
        } else if let Some(room) = room.get_mut(..self.len) {
            room.copy_from_slice(&self.octets[..self.len]);
        }
        let seq = seq.0.to_be_bytes();
        let field = !fold(self.rest + u64::from(u32::from_ne_bytes(seq)) + payload.unfolded());
        if let Some(place) = room.get_mut(self.tcp + 4..self.tcp + 8) {
            place.copy_from_slice(&seq);
        }
        if let Some(place) = room.get_mut(self.tcp + 16..self.tcp + 18) {
            place.copy_from_slice(&field.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{OUR_PORT, PEER, PEER_PORT, PEER6, US, US6};
    use crate::{TcpFlags, TcpOptions, Timestamps, TupleV4, TupleV6};

    fn tuple(v6: bool) -> FourTuple {
        if v6 {
            FourTuple::V6(TupleV6 {
                local: US6,
                remote: PEER6,
                local_port: OUR_PORT,
                remote_port: PEER_PORT,
            })
        } else {
            FourTuple::V4(TupleV4 {
                local: US,
                remote: PEER,
                local_port: OUR_PORT,
                remote_port: PEER_PORT,
            })
        }
    }

    proptest! {
        // Fast path = slow path.
        // proves: RFC 9293 MUST-2
        #[test]
        fn each_segment_is_as_if_it_were_written_by_itself(
            (first, seq, ack, value, echo) in any::<(u32, u32, u32, u32, u32)>(),
            (stamped, v6, tagged, flags, window) in any::<(bool, bool, bool, u8, u16)>(),
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 100), 1..4),
            zeros in any::<bool>(),
        ) {
            let vlan = tagged.then_some(5);
            let link = Link { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2], vlan };
            let (tuple, ip) = (tuple(v6), IpFields { ttl: 64, traffic_class: 2, identification: 0 });
            let mut header = TcpHeader {
                seq: SeqNum(first),
                ack: SeqNum(ack),
                flags: TcpFlags(flags),
                window,
                urgent: 0,
                options: TcpOptions {
                    timestamps: stamped.then_some(Timestamps { value, echo }),
                    ..TcpOptions::default()
                },
            };
            let template = HeaderTemplate::new(&link, &tuple, &ip, &header, 100).unwrap();
            for (number, mut payload) in payloads.into_iter().enumerate() {
                if zeros {
                    payload.fill(0);
                }
                header.seq = SeqNum(seq) + 100 * number as u32;
                let sum = Sum::of(&payload);
                let mut expected = [0; MOST];
                let software = EmitChecksum::Software(sum);
                let len = emit_tcp(&mut expected, &link, &tuple, &ip, &header, 100, software);
                prop_assert_eq!(template.header_len(), len);
                let mut written = [0xaa; MOST];
                template.write(&mut written[..len], header.seq, sum);
                prop_assert_eq!(&written[..len], &expected[..len]);
            }
        }
    }

    #[test]
    fn what_fits_into_no_packet_has_no_template() {
        let link = Link {
            source: [2, 0, 0, 0, 0, 1],
            destination: [2, 0, 0, 0, 0, 2],
            vlan: None,
        };
        let ip = IpFields {
            ttl: 64,
            traffic_class: 0,
            identification: 0,
        };
        assert!(HeaderTemplate::new(&link, &tuple(false), &ip, &TcpHeader::default(), 65_535).is_none());
    }
}
