//! The short way out: an untagged frame with IPv4 and TCP, timestamps the only option, as nearly all segments of a connection are,
//! or the four options that nearly all SYNs have.
//!
//! Constant places behind one length check, and sums of the numbers themselves: nothing is read back. What is not of this shape
//! is left to the way for every frame, which writes the same octets.

use super::{EmitChecksum, IpFields};
use crate::protocol::{ETHER_LEN, IPV4_LEN, TCP_LEN, ether_type, ip};
use crate::sum::fold as folded;
use crate::{FourTuple, Link, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps, TupleV4};

/// Octets of an Ethernet header without a tag, one of IPv4 and one of TCP with timestamps as its only option.
pub const STAMPED_HEADERS_LEN: usize = LEN;

const LEN: usize = TCP + SEGMENT;
/// Octets of the TCP header with timestamps.
const SEGMENT: usize = TCP_LEN + 12;
/// Octets of the TCP header of a SYN with its four options.
const SYN_SEGMENT: usize = TCP_LEN + 20;
const SYN_LEN: usize = TCP + SYN_SEGMENT;
const IP: usize = ETHER_LEN;
const TCP: usize = IP + IPV4_LEN;
const NOP_NOP_TIMESTAMPS: u32 = 0x0101_080a;
const MSS_OPTION: u32 = 0x0204_0000;
const SACK_PERMITTED_TIMESTAMPS: u32 = 0x0402_080a;
const NOP_WINDOW_SCALE: u32 = 0x0103_0300;
const DONT_FRAGMENT: u32 = 0x4000;

/// Writes the headers if they are of one of these shapes and fit; returns how many octets.
#[inline]
pub(super) fn emit(
    buffer: &mut [u8],
    link: &Link,
    tuple: &FourTuple,
    ip: &IpFields,
    header: &TcpHeader,
    payload_len: usize,
    checksum: EmitChecksum,
) -> Option<usize> {
    let FourTuple::V4(tuple) = tuple else { return None };
    if link.vlan.is_some() || payload_len > usize::from(u16::MAX) - IPV4_LEN - SYN_SEGMENT {
        return None;
    }
    if let Some(options) = SynOptions::of(&header.options) {
        let frame = buffer.first_chunk_mut::<SYN_LEN>()?;
        emit_syn(frame, link, tuple, ip, header, &options, payload_len, checksum);
        return Some(SYN_LEN);
    }
    let stamps = only_timestamps(&header.options)?;
    let frame = buffer.first_chunk_mut::<LEN>()?;
    let fields = StampedFields {
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        urgent: header.urgent,
        timestamps: stamps,
    };
    emit_stamped(frame, link, tuple, ip, &fields, payload_len, checksum);
    Some(LEN)
}

/// The fields of a header whose only option are timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StampedFields {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The option.
    pub timestamps: Timestamps,
}

/// Writes the headers of such a segment as [`emit_tcp`](super::emit_tcp) would: with our four-tuple, on a link without a VLAN,
/// before `payload_len` octets, of which there are no more than fit into a packet.
#[inline(always)]
pub fn emit_stamped(
    frame: &mut [u8; STAMPED_HEADERS_LEN],
    link: &Link,
    tuple: &TupleV4,
    ip: &IpFields,
    fields: &StampedFields,
    payload_len: usize,
    checksum: EmitChecksum,
) {
    let segment_len = (SEGMENT + payload_len) as u16;
    put_ether(frame, link);
    put_ip(frame, tuple, ip, segment_len, checksum);
    put_tcp(frame, tuple, fields, segment_len, checksum);
}

/// Octets of the same headers of a SYN with the four options that nearly all have: MSS, SACK permitted, timestamps, window scale.
pub const SYN_HEADERS_LEN: usize = SYN_LEN;

/// These options, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynOptions([u32; 5]);

impl SynOptions {
    /// Those of a header that has these four alone.
    #[inline]
    pub fn of(options: &TcpOptions) -> Option<Self> {
        let (mss, shift, stamps) = (options.mss?, options.window_scale?, options.timestamps?);
        let alone = options.sack_permitted && options.fast_open.is_none() && options.sack.is_empty();
        alone.then_some(Self([
            MSS_OPTION | u32::from(mss),
            SACK_PERMITTED_TIMESTAMPS,
            stamps.value,
            stamps.echo,
            NOP_WINDOW_SCALE | u32::from(shift),
        ]))
    }
}

/// Writes the headers of a SYN, or of a SYN+ACK, with these options, as [`emit_tcp`](super::emit_tcp) would: with our four-tuple, on a link
/// without a VLAN, before `payload_len` octets, of which there are no more than fit into a packet.
#[expect(
    clippy::too_many_arguments,
    reason = "those of emit_tcp, and the options that were looked at before"
)]
#[inline]
pub fn emit_syn(
    frame: &mut [u8; SYN_HEADERS_LEN],
    link: &Link,
    tuple: &TupleV4,
    ip: &IpFields,
    header: &TcpHeader,
    options: &SynOptions,
    payload_len: usize,
    checksum: EmitChecksum,
) {
    let segment_len = (SYN_SEGMENT + payload_len) as u16;
    put_ether(frame, link);
    put_ip(frame, tuple, ip, segment_len, checksum);
    put_syn(frame, tuple, header, &options.0, segment_len, checksum);
}

/// The TCP header of a SYN, or a SYN+ACK, with the options of nearly all.
#[inline(always)]
fn put_syn(
    frame: &mut [u8; SYN_LEN],
    tuple: &TupleV4,
    header: &TcpHeader,
    options: &[u32; 5],
    segment_len: u16,
    checksum: EmitChecksum,
) {
    let ports = u32::from(tuple.local_port) << 16 | u32::from(tuple.remote_port);
    let control =
        ((SYN_SEGMENT as u32 / 4) << 28) | u32::from(header.flags.0) << 16 | u32::from(header.window);
    let fixed = [
        ports,
        header.seq.0,
        header.ack.0,
        control,
        u32::from(header.urgent),
    ];
    let [source, destination] = ends(tuple);
    let pseudo = summed(&[source, destination, u32::from(ip::TCP) + u32::from(segment_len)]);
    let field = match checksum {
        EmitChecksum::Software(payload) => {
            !folded(pseudo + summed(&fixed) + summed(options) + payload.unfolded())
        }
        EmitChecksum::Hardware => folded(pseudo),
    };
    for (place, word) in fixed.iter().chain(options).enumerate() {
        put(frame, TCP + 4 * place, *word);
    }
    put_sum(frame, TCP + 16, field);
}

#[inline(always)]
fn put_ether<const N: usize>(frame: &mut [u8; N], link: &Link) {
    frame[..6].copy_from_slice(&link.destination);
    frame[6..12].copy_from_slice(&link.source);
    frame[12..14].copy_from_slice(&ether_type::IPV4.to_be_bytes());
}

/// The timestamps, if nothing stands beside them.
#[inline]
fn only_timestamps(options: &TcpOptions) -> Option<Timestamps> {
    let alone = options.mss.is_none()
        && options.window_scale.is_none()
        && !options.sack_permitted
        && options.fast_open.is_none()
        && options.sack.is_empty();
    options.timestamps.filter(|_| alone)
}

#[inline(always)]
fn put_ip<const N: usize>(
    frame: &mut [u8; N],
    tuple: &TupleV4,
    ip: &IpFields,
    segment_len: u16,
    checksum: EmitChecksum,
) {
    let first = 0x4500_0000 | u32::from(ip.traffic_class) << 16 | (IPV4_LEN as u32 + u32::from(segment_len));
    let second = u32::from(ip.identification) << 16 | DONT_FRAGMENT;
    let third = u32::from(ip.ttl) << 24 | u32::from(ip::TCP) << 16;
    let [source, destination] = ends(tuple);
    put(frame, IP, first);
    put(frame, IP + 4, second);
    put(frame, IP + 8, third);
    put(frame, IP + 12, source);
    put(frame, IP + 16, destination);
    if let EmitChecksum::Software(_) = checksum {
        let sum = summed(&[first, second, third, source, destination]);
        put_sum(frame, IP + 10, !folded(sum));
    }
}

#[inline(always)]
fn put_tcp(
    frame: &mut [u8; LEN],
    tuple: &TupleV4,
    header: &StampedFields,
    segment_len: u16,
    checksum: EmitChecksum,
) {
    let ports = u32::from(tuple.local_port) << 16 | u32::from(tuple.remote_port);
    let control = ((SEGMENT as u32 / 4) << 28) | u32::from(header.flags.0) << 16 | u32::from(header.window);
    let [source, destination] = ends(tuple);
    let (seq, ack, urgent) = (header.seq.0, header.ack.0, u32::from(header.urgent));
    let (value, echo) = (header.timestamps.value, header.timestamps.echo);
    let pseudo = summed(&[source, destination, u32::from(ip::TCP) + u32::from(segment_len)]);
    let field = match checksum {
        // RFC 9293 §3.1, MUST-2: the sender always makes a checksum.
        EmitChecksum::Software(payload) => {
            let fixed = summed(&[ports, seq, ack, control, urgent]);
            let options = summed(&[NOP_NOP_TIMESTAMPS, value, echo]);
            !folded(pseudo + fixed + options + payload.unfolded())
        }
        EmitChecksum::Hardware => folded(pseudo),
    };
    put(frame, TCP, ports);
    put(frame, TCP + 4, seq);
    put(frame, TCP + 8, ack);
    put(frame, TCP + 12, control);
    put(frame, TCP + 16, urgent);
    put_sum(frame, TCP + 16, field);
    put(frame, TCP + 20, NOP_NOP_TIMESTAMPS);
    put(frame, TCP + 24, value);
    put(frame, TCP + 28, echo);
}

#[inline(always)]
fn ends(tuple: &TupleV4) -> [u32; 2] {
    [u32::from(tuple.local), u32::from(tuple.remote)]
}

/// `at` is a constant within the headers.
#[inline(always)]
fn put<const N: usize>(frame: &mut [u8; N], at: usize, number: u32) {
    frame[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

/// The same for a sum in the machine's own order.
#[inline(always)]
fn put_sum<const N: usize>(frame: &mut [u8; N], at: usize, sum: u16) {
    frame[at..at + 2].copy_from_slice(&sum.to_ne_bytes());
}

/// The ones-complement sum of 32-bit numbers as they are written (RFC 1071 §2(B): in any order of octets, and §2(C): of any
/// width), not folded.
#[inline(always)]
fn summed(numbers: &[u32]) -> u64 {
    numbers.iter().map(|number| u64::from(number.to_be())).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tcp::emit_any;
    use super::*;
    use crate::Sum;
    use crate::testing::{OUR_PORT, PEER, PEER_PORT, US};

    proptest! {
        // Fast path = slow path.
        #[test]
        fn it_writes_as_the_way_for_every_frame_does(
            (seq, ack, value, echo) in any::<(u32, u32, u32, u32)>(),
            (flags, window, urgent, ttl, class, identification) in any::<(u8, u16, u16, u8, u8, u16)>(),
            (syn, mss, shift) in any::<(bool, u16, u8)>(),
            payload in prop::collection::vec(any::<u8>(), 0..100),
            hardware in any::<bool>(),
            destination in any::<[u8; 6]>(),
        ) {
            let link = Link { source: [2, 0, 0, 0, 0, 1], destination, vlan: None };
            let tuple = FourTuple::V4(TupleV4 {
                local: US,
                remote: PEER,
                local_port: OUR_PORT,
                remote_port: PEER_PORT,
            });
            let ip = IpFields { ttl, traffic_class: class, identification };
            let header = TcpHeader {
                seq: SeqNum(seq),
                ack: SeqNum(ack),
                flags: TcpFlags(flags),
                window,
                urgent,
                options: TcpOptions {
                    timestamps: Some(Timestamps { value, echo }),
                    mss: syn.then_some(mss),
                    window_scale: syn.then_some(shift),
                    sack_permitted: syn,
                    ..TcpOptions::default()
                },
            };
            let checksum = if hardware {
                EmitChecksum::Hardware
            } else {
                EmitChecksum::Software(Sum::of(&payload))
            };
            let (mut short, mut long) = ([0xaa; SYN_LEN], [0xbb; SYN_LEN]);
            let expected = if syn { SYN_LEN } else { LEN };
            let len = emit(&mut short, &link, &tuple, &ip, &header, payload.len(), checksum);
            prop_assert_eq!(len, Some(expected));
            let len = emit_any(&mut long, &link, &tuple, &ip, &header, payload.len(), checksum);
            prop_assert_eq!(len, expected);
            prop_assert_eq!(&short[..len], &long[..len]);
        }
    }

    #[test]
    fn any_option_beside_timestamps_is_left_to_the_other_way() {
        let stamps = TcpOptions {
            timestamps: Some(Timestamps { value: 7, echo: 8 }),
            ..TcpOptions::default()
        };
        assert_eq!(only_timestamps(&stamps), stamps.timestamps);
        assert_eq!(only_timestamps(&TcpOptions::default()), None);
        let mut others = [(); 5].map(|()| stamps.clone());
        others[0].mss = Some(1460);
        others[1].window_scale = Some(7);
        others[2].sack_permitted = true;
        others[3].fast_open = Some(crate::FastOpenCookie::REQUEST);
        others[4].sack.push(crate::SackBlock::default());
        for options in others {
            assert_eq!(only_timestamps(&options), None, "{options:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_left_to_the_other_way() {
        let tuple = FourTuple::V4(TupleV4 {
            local: US,
            remote: PEER,
            local_port: OUR_PORT,
            remote_port: PEER_PORT,
        });
        let header = TcpHeader {
            options: TcpOptions {
                timestamps: Some(Timestamps::default()),
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        };
        let link = Link {
            source: [0; 6],
            destination: [0; 6],
            vlan: None,
        };
        let try_len = |room: usize, payload_len| {
            let mut buffer = vec![0; room];
            emit(
                &mut buffer,
                &link,
                &tuple,
                &IpFields::default(),
                &header,
                payload_len,
                EmitChecksum::Hardware,
            )
        };
        let most = usize::from(u16::MAX) - IPV4_LEN - SYN_SEGMENT;
        assert_eq!(try_len(LEN, most), Some(LEN));
        assert_eq!(try_len(LEN, most + 1), None);
        assert_eq!(try_len(LEN - 1, 0), None);
    }
}
