//! ICMP and ICMPv6 answers: echo replies and port unreachable (RFC 792, RFC 1812, RFC 4443).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ip::{IpFields, put_ipv4, put_ipv6};
use super::{ether_len, put_ethernet};
use crate::address::Ends;
use crate::octets::Writer;
use crate::protocol::{IPV4_LEN, IPV6_LEN, ether_type, ip};
use crate::{Echo, Link, Sum};

/// Answers an echo request: its identifier, sequence number and `payload` come back. `ends` are those of the answer.
/// Returns the frame's length, `None` when it does not fit.
pub fn build_icmpv4_echo_reply(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv4Addr>,
    echo: &Echo,
    payload: &[u8],
) -> Option<usize> {
    build_v4(
        buffer,
        link,
        ip,
        ends,
        &Message::echo_reply(V4_ECHO_REPLY, echo, payload),
    )
}

/// Answers an echo request over IPv6, likewise.
pub fn build_icmpv6_echo_reply(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv6Addr>,
    echo: &Echo,
    payload: &[u8],
) -> Option<usize> {
    build_v6(
        buffer,
        link,
        ip,
        ends,
        &Message::echo_reply(V6_ECHO_REPLY, echo, payload),
    )
}

/// Tells that nobody uses the port that `offending`, an IP packet, was sent to. Returns the frame's length, `None` when it
/// does not fit.
///
/// It quotes as much as fits in 576 octets (RFC 1812 §4.3.2.3).
pub fn build_icmpv4_port_unreachable(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv4Addr>,
    offending: &[u8],
) -> Option<usize> {
    let message = Message {
        kind: V4_UNREACHABLE,
        code: V4_PORT,
        rest: [0; 4],
        body: at_most(offending, V4_ERROR_LEN - IPV4_LEN - HEADER_LEN),
    };
    build_v4(buffer, link, ip, ends, &message)
}

/// Tells that nobody uses the port that `offending`, an IPv6 packet, was sent to. Returns the frame's length, `None` when
/// it does not fit.
///
/// It quotes as much as fits in the minimum MTU of 1280 octets (RFC 4443 §3.1).
pub fn build_icmpv6_port_unreachable(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv6Addr>,
    offending: &[u8],
) -> Option<usize> {
    let message = Message {
        kind: V6_UNREACHABLE,
        code: V6_PORT,
        rest: [0; 4],
        body: at_most(offending, V6_ERROR_LEN - IPV6_LEN - HEADER_LEN),
    };
    build_v6(buffer, link, ip, ends, &message)
}

/// A message of either family: eight octets and a body.
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The second half of the header.
    pub(super) rest: [u8; 4],
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    fn echo_reply(kind: u8, echo: &Echo, payload: &'a [u8]) -> Self {
        let [i0, i1] = echo.identifier.to_be_bytes();
        let [s0, s1] = echo.sequence.to_be_bytes();
        Self {
            kind,
            code: 0,
            rest: [i0, i1, s0, s1],
            body: payload,
        }
    }

    /// Octets with the header; `None` when no packet holds them.
    fn len(&self) -> Option<u16> {
        let len = u16::try_from(HEADER_LEN + self.body.len()).ok()?;
        (len <= u16::MAX - IPV4_LEN as u16).then_some(len)
    }

    fn put(&self, writer: &mut Writer<'_>, pseudo: Sum) {
        let [a, b, c, d] = self.rest;
        let sum = pseudo.with(&[self.kind, self.code, 0, 0, a, b, c, d]);
        let [high, low] = sum.with(self.body).checksum().to_be_bytes();
        writer.put([self.kind, self.code, high, low, a, b, c, d]);
        writer.put_slice(self.body);
    }
}

fn build_v4(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv4Addr>,
    message: &Message<'_>,
) -> Option<usize> {
    let len = message.len()?;
    let frame_len = ether_len(link.vlan) + IPV4_LEN + usize::from(len);
    let mut writer = Writer::new(buffer.get_mut(..frame_len)?);
    put_ethernet(&mut writer, link, ether_type::IPV4);
    put_ipv4(&mut writer, ip, ends, ip::ICMPV4, len, true);
    message.put(&mut writer, Sum::default());
    Some(writer.len())
}

pub(super) fn build_v6(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<Ipv6Addr>,
    message: &Message<'_>,
) -> Option<usize> {
    let len = message.len()?;
    let frame_len = ether_len(link.vlan) + IPV6_LEN + usize::from(len);
    let mut writer = Writer::new(buffer.get_mut(..frame_len)?);
    put_ethernet(&mut writer, link, ether_type::IPV6);
    put_ipv6(&mut writer, ip, ends, ip::ICMPV6, len);
    message.put(
        &mut writer,
        Sum::pseudo_v6(ends.source, ends.destination, ip::ICMPV6, len),
    );
    Some(writer.len())
}

fn at_most(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

const HEADER_LEN: usize = 8;
/// Largest ICMP error (RFC 1812 §4.3.2.3).
const V4_ERROR_LEN: usize = 576;
/// Largest ICMPv6 error (RFC 4443 §2.4(c)).
const V6_ERROR_LEN: usize = 1280;
const V4_ECHO_REPLY: u8 = 0;
const V4_UNREACHABLE: u8 = 3;
const V4_PORT: u8 = 3;
const V6_ECHO_REPLY: u8 = 129;
const V6_UNREACHABLE: u8 = 1;
const V6_PORT: u8 = 4;
