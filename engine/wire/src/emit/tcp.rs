//! TCP segments: Ethernet, IP and TCP headers in front of a payload that lies elsewhere.

use super::ip::{IpFields, put_ipv4, put_ipv6};
use super::{common, ether_len, put_ethernet, tcp_options};
use crate::address::Ends;
use crate::octets::{SummingWriter, Writer};
use crate::protocol::{IPV4_LEN, IPV6_LEN, TCP_LEN, ether_type, ip};
use crate::{Family, FourTuple, Link, Sum, TcpHeader, TcpOptions};

/// Who computes the checksums of a frame.
#[derive(Clone, Copy, Debug)]
pub enum EmitChecksum {
    /// They are computed here; the sum is that over the payload alone.
    Software(Sum),
    /// The port fills them in: the TCP field holds the bare pseudo-header sum, the IPv4 header checksum is zero.
    Hardware,
}

/// Octets that [`emit_tcp`] writes: Ethernet, IP and TCP headers with options. At most 118.
#[inline]
pub fn tcp_frame_header_len(family: Family, vlan: Option<u16>, options: &TcpOptions) -> usize {
    let ip_len = match family {
        Family::V4 => IPV4_LEN,
        Family::V6 => IPV6_LEN,
    };
    ether_len(vlan) + ip_len + TCP_LEN + tcp_options::len(options)
}

/// Writes the headers of a segment that leaves with our four-tuple (its source is our local end) at the front of `buffer`;
/// `payload_len` octets are to follow behind. Returns how many octets were written: those of [`tcp_frame_header_len`].
///
/// Zero, and a buffer that must not be sent, when the headers don't fit in `buffer` or the packet would exceed 65535 octets.
#[inline]
pub fn emit_tcp(
    buffer: &mut [u8],
    link: &Link,
    tuple: &FourTuple,
    ip: &IpFields,
    header: &TcpHeader,
    payload_len: usize,
    checksum: EmitChecksum,
) -> usize {
    match common::emit(buffer, link, tuple, ip, header, payload_len, checksum) {
        Some(len) => len,
        None => emit_any(buffer, link, tuple, ip, header, payload_len, checksum),
    }
}

/// The way for every frame; [`common`] only shortens it.
#[inline(never)]
pub(super) fn emit_any(
    buffer: &mut [u8],
    link: &Link,
    tuple: &FourTuple,
    ip: &IpFields,
    header: &TcpHeader,
    payload_len: usize,
    checksum: EmitChecksum,
) -> usize {
    let options_len = tcp_options::len(&header.options);
    let frame_header_len = tcp_frame_header_len(tuple.family(), link.vlan, &header.options);
    let upper_len = payload_len.saturating_add(TCP_LEN + options_len);
    let Some(buffer) = buffer.get_mut(..frame_header_len) else {
        return 0;
    };
    if upper_len > usize::from(u16::MAX) - IPV4_LEN {
        return 0;
    }
    let upper_len = upper_len as u16;
    let (front, segment) = buffer.split_at_mut(frame_header_len - TCP_LEN - options_len);
    put_network(&mut Writer::new(front), link, tuple, ip, upper_len, checksum);
    let pseudo = Sum::pseudo_tcp(tuple, upper_len);
    let sum = put_segment(segment, tuple, header, pseudo);
    let field = match checksum {
        // RFC 9293 §3.1, MUST-2: the sender always makes a checksum.
        EmitChecksum::Software(payload) => sum.followed_by(payload).checksum(),
        EmitChecksum::Hardware => pseudo.folded(),
    };
    if let Some(place) = segment.get_mut(16..18) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    frame_header_len
}

#[inline]
fn put_network(
    writer: &mut Writer<'_>,
    link: &Link,
    tuple: &FourTuple,
    fields: &IpFields,
    upper_len: u16,
    checksum: EmitChecksum,
) {
    match tuple {
        FourTuple::V4(tuple) => {
            let ends = Ends {
                source: tuple.local,
                destination: tuple.remote,
            };
            let in_software = matches!(checksum, EmitChecksum::Software(_));
            put_ethernet(writer, link, ether_type::IPV4);
            put_ipv4(writer, fields, ends, ip::TCP, upper_len, in_software);
        }
        FourTuple::V6(tuple) => {
            let ends = Ends {
                source: tuple.local,
                destination: tuple.remote,
            };
            put_ethernet(writer, link, ether_type::IPV6);
            put_ipv6(writer, fields, ends, ip::TCP, upper_len);
        }
    }
}

/// Writes the TCP header with options and a checksum field of zero, and adds its sum to that of the pseudo-header; `segment`
/// is exactly as long.
#[inline]
fn put_segment(segment: &mut [u8], tuple: &FourTuple, header: &TcpHeader, pseudo: Sum) -> Sum {
    // The options are whole words and at most ten: the data offset fits in its four bits.
    let data_offset = (segment.len() / 4) as u8;
    let mut writer = SummingWriter::new(segment, pseudo);
    writer.put_u16(tuple.local_port());
    writer.put_u16(tuple.remote_port());
    writer.put_u32(header.seq.0);
    writer.put_u32(header.ack.0);
    writer.put_u16(u16::from_be_bytes([data_offset << 4, header.flags.0]));
    writer.put_u16(header.window);
    writer.put_u16(0);
    writer.put_u16(header.urgent);
    tcp_options::put(&mut writer, &header.options);
    writer.sum()
}
