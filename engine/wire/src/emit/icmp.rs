//! ICMP and ICMPv6 answers: echo replies and errors (RFC 792, RFC 1812, RFC 4443).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    build_v4(
        buffer,
        link,
        ip,
        ends,
        &Message::error_v4(V4_UNREACHABLE, V4_PORT, offending),
    )
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
    build_v6(
        buffer,
        link,
        ip,
        ends,
        &Message::error_v6(V6_UNREACHABLE, V6_PORT, 0, offending),
    )
}

/// Why an IP packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody here speaks its protocol (RFC 1122 §3.2.2.1; IPv4).
    ProtocolUnreachable,
    /// Its other fragments did not come in time (RFC 792, RFC 4443 §3.3).
    ReassemblyTimeout,
    /// A header, option or field of it was not understood (RFC 4443 §3.4; IPv6).
    ParameterProblem {
        /// What about it.
        code: u8,
        /// Octet of the packet at which it lies.
        pointer: u32,
    },
}

/// Tells why `offending`, an IP packet, is refused. Returns the frame's length; `None` when it does not fit, or the family of
/// `ends` does not say such a thing.
///
/// It quotes as much as RFC 1812 §4.3.2.3 and RFC 4443 §2.4(c) have room for.
pub fn build_icmp_error(
    buffer: &mut [u8],
    link: &Link,
    ip: &IpFields,
    ends: Ends<IpAddr>,
    refusal: Refusal,
    offending: &[u8],
) -> Option<usize> {
    match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (kind, code) = match refusal {
                Refusal::ProtocolUnreachable => (V4_UNREACHABLE, V4_PROTOCOL),
                Refusal::ReassemblyTimeout => (V4_TIME_EXCEEDED, REASSEMBLY),
                Refusal::ParameterProblem { .. } => return None,
            };
            let message = Message::error_v4(kind, code, offending);
            build_v4(buffer, link, ip, Ends { source, destination }, &message)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (kind, code, rest) = match refusal {
                Refusal::ProtocolUnreachable => return None,
                Refusal::ReassemblyTimeout => (V6_TIME_EXCEEDED, REASSEMBLY, 0),
                Refusal::ParameterProblem { code, pointer } => (V6_PARAMETER_PROBLEM, code, pointer),
            };
            let message = Message::error_v6(kind, code, rest, offending);
            build_v6(buffer, link, ip, Ends { source, destination }, &message)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
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

    fn error_v4(kind: u8, code: u8, offending: &'a [u8]) -> Self {
        Self {
            kind,
            code,
            rest: [0; 4],
            body: at_most(offending, V4_ERROR_LEN - IPV4_LEN - HEADER_LEN),
        }
    }

    fn error_v6(kind: u8, code: u8, rest: u32, offending: &'a [u8]) -> Self {
        Self {
            kind,
            code,
            rest: rest.to_be_bytes(),
            body: at_most(offending, V6_ERROR_LEN - IPV6_LEN - HEADER_LEN),
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
const V4_PROTOCOL: u8 = 2;
const V4_PORT: u8 = 3;
const V4_TIME_EXCEEDED: u8 = 11;
/// The code of time exceeded, of both families, when fragments did not come.
const REASSEMBLY: u8 = 1;
const V6_ECHO_REPLY: u8 = 129;
const V6_UNREACHABLE: u8 = 1;
const V6_PORT: u8 = 4;
const V6_TIME_EXCEEDED: u8 = 3;
const V6_PARAMETER_PROBLEM: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PEER, PEER6, US, US6, ipv4, ipv6, naive_sum, pseudo_v6};

    const LINK: Link = Link {
        source: [2, 0, 0, 0, 0, 0xb],
        destination: [2, 0, 0, 0, 0, 0xa],
        vlan: None,
    };
    const IP: IpFields = IpFields {
        ttl: 64,
        traffic_class: 0,
        identification: 0,
    };

    fn told(ends: Ends<IpAddr>, refusal: Refusal, offending: &[u8]) -> Option<Vec<u8>> {
        let mut frame = vec![0; 1500];
        let len = build_icmp_error(&mut frame, &LINK, &IP, ends, refusal, offending)?;
        frame.truncate(len);
        Some(frame)
    }

    // proves: RFC 1122 §3.2.2.1
    #[test]
    fn over_ipv4_a_protocol_is_unreachable_and_fragments_come_too_late() {
        let ends = Ends {
            source: US.into(),
            destination: PEER.into(),
        };
        let offending = ipv4(&[], 0, 47, &[7; 1000]);
        for (refusal, kind, code) in [
            (Refusal::ProtocolUnreachable, 3, 2),
            (Refusal::ReassemblyTimeout, 11, 1),
        ] {
            let frame = told(ends, refusal, &offending).unwrap();
            let message = &frame[34..];
            assert_eq!(frame.len() - 14, 576);
            assert_eq!(message[..2], [kind, code]);
            assert_eq!(message[4..8], [0; 4]);
            assert_eq!(message[8..], offending[..576 - 28]);
            assert_eq!(naive_sum(&[message]), 0xffff);
        }
        let problem = Refusal::ParameterProblem { code: 1, pointer: 6 };
        assert_eq!(told(ends, problem, &offending), None, "IPv6 alone says so");
    }

    // proves: RFC 4443 §2.4(c), §3.3, §3.4
    #[test]
    fn over_ipv6_a_parameter_is_pointed_at_and_fragments_come_too_late() {
        let ends = Ends {
            source: US6.into(),
            destination: PEER6.into(),
        };
        let offending = ipv6(PEER6, US6, 47, 64, &[7; 1400]);
        let problem = Refusal::ParameterProblem {
            code: 1,
            pointer: 0x0102_0304,
        };
        for (refusal, head, rest) in [
            (problem, [4, 1], [1, 2, 3, 4]),
            (Refusal::ReassemblyTimeout, [3, 1], [0; 4]),
        ] {
            let frame = told(ends, refusal, &offending).unwrap();
            let message = &frame[54..];
            assert_eq!(frame.len() - 14, 1280);
            assert_eq!((&message[..2], &message[4..8]), (&head[..], &rest[..]));
            assert_eq!(message[8..], offending[..1280 - 48]);
            assert_eq!(
                naive_sum(&[&pseudo_v6(US6, PEER6, 58, message.len()), message]),
                0xffff
            );
        }
        assert_eq!(
            told(ends, Refusal::ProtocolUnreachable, &offending),
            None,
            "IPv4 alone says so"
        );
        let mixed = Ends {
            source: US.into(),
            destination: PEER6.into(),
        };
        assert_eq!(told(mixed, Refusal::ReassemblyTimeout, &offending), None);
    }
}
