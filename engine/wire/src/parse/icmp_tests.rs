//! ICMP of both families as received: echo, errors and what they quote, neighbour discovery.

use std::net::Ipv6Addr;

use crate::testing::{
    OUR_PORT, PEER, PEER_PORT, PEER6, US, US6, ether, ipv4, ipv6, naive_sum, pseudo_v6, set_checksum, tcp,
    verdict,
};
use crate::{
    AdvertisementFlags, DropReason, Expect, FourTuple, IcmpError, IcmpErrorKind, Icmpv4Message,
    Icmpv6Message, NeighbourAdvertisement, NeighbourSolicitation, PacketKind, SeqNum, parse,
};

fn v4(head: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut message = [&head[..], body].concat();
    set_checksum(&mut message, 2, &[]);
    ether(0x0800, &ipv4(&[], 0, 1, &message))
}

fn v6_between(source: Ipv6Addr, destination: Ipv6Addr, ttl: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let pseudo = pseudo_v6(source, destination, 58, message.len());
    set_checksum(&mut message, 2, &pseudo);
    ether(0x86dd, &ipv6(source, destination, 58, ttl, &message))
}

fn v6(head: [u8; 8], body: &[u8]) -> Vec<u8> {
    v6_between(PEER6, US6, 255, &[&head[..], body].concat())
}

/// What we sent: a segment from US to PEER, cut behind eight octets of TCP.
fn quoted_v4(protocol: u8, flags_and_offset: u16) -> Vec<u8> {
    let mut quoted = ipv4(&[], flags_and_offset, protocol, &our_segment());
    quoted[12..16].copy_from_slice(&US.octets());
    quoted[16..20].copy_from_slice(&PEER.octets());
    quoted.truncate(28);
    quoted
}

fn quoted_v6(next: u8) -> Vec<u8> {
    ipv6(US6, PEER6, next, 60, &our_segment())
}

fn our_segment() -> Vec<u8> {
    let mut segment = tcp(&[], &[7; 100]);
    segment[..2].copy_from_slice(&OUR_PORT.to_be_bytes());
    segment[2..4].copy_from_slice(&PEER_PORT.to_be_bytes());
    segment
}

#[track_caller]
fn error_of(frame: &[u8]) -> IcmpError {
    match parse(frame, &Expect::default()).map(|packet| packet.kind) {
        Ok(PacketKind::Icmpv4(packet)) => match packet.message {
            Icmpv4Message::Error(error) => error,
            other => panic!("{other:?}"),
        },
        Ok(PacketKind::Icmpv6(packet)) => match packet.message {
            Icmpv6Message::Error(error) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

// proves: RFC 9293 MUST-54 (ICMP messages are received), SHLD-26 and MUST-56 (which are hard), RFC 1122 §3.2.2.1, §3.2.2.4, §3.2.2.5
#[test]
fn errors_over_ipv4_tell_what_happened_to_which_segment() {
    use IcmpErrorKind::{PacketTooBig, ParameterProblem, SourceQuench, TimeExceeded, Unreachable};
    let tuple = FourTuple::new((US, OUR_PORT).into(), (PEER, PEER_PORT).into()).unwrap();
    for (what, head, kind, hard) in [
        (
            "network unreachable",
            [3, 0, 0, 0, 0, 0, 0, 0],
            Unreachable,
            false,
        ),
        ("host unreachable", [3, 1, 0, 0, 0, 0, 0, 0], Unreachable, false),
        (
            "protocol unreachable",
            [3, 2, 0, 0, 0, 0, 0, 0],
            Unreachable,
            true,
        ),
        ("port unreachable", [3, 3, 0, 0, 0, 0, 0, 0], Unreachable, true),
        (
            "fragmentation needed",
            [3, 4, 0, 0, 0, 0, 5, 0x78],
            PacketTooBig { mtu: 1400 },
            false,
        ),
        (
            "the same from an old router",
            [3, 4, 0, 0, 0, 0, 0, 0],
            PacketTooBig { mtu: 0 },
            false,
        ),
        (
            "source route failed",
            [3, 5, 0, 0, 0, 0, 0, 0],
            Unreachable,
            false,
        ),
        ("source quench", [4, 0, 0, 0, 0, 0, 0, 0], SourceQuench, false),
        ("TTL exceeded", [11, 0, 0, 0, 0, 0, 0, 0], TimeExceeded, false),
        (
            "parameter problem",
            [12, 0, 0, 0, 20, 0, 0, 0],
            ParameterProblem { pointer: 20 },
            false,
        ),
    ] {
        let error = error_of(&v4(head, &quoted_v4(6, 0x4000)));
        let expected = IcmpError {
            kind,
            code: head[1],
            tuple,
            seq: SeqNum(0xffff_fffe),
            packet_len: 140,
        };
        assert_eq!(error, expected, "{what}");
        assert_eq!(error.is_hard(), hard, "{what}");
    }
}

// proves: RFC 9293 MUST-54, SHLD-26 and MUST-56, RFC 4443 §3.1, §3.2, §3.3, §3.4
#[test]
fn errors_over_ipv6_tell_the_same() {
    use IcmpErrorKind::{PacketTooBig, ParameterProblem, TimeExceeded, Unreachable};
    let tuple = FourTuple::new((US6, OUR_PORT).into(), (PEER6, PEER_PORT).into()).unwrap();
    for (what, head, kind, hard) in [
        ("no route", [1, 0, 0, 0, 0, 0, 0, 0], Unreachable, false),
        ("prohibited", [1, 1, 0, 0, 0, 0, 0, 0], Unreachable, true),
        (
            "address unreachable",
            [1, 3, 0, 0, 0, 0, 0, 0],
            Unreachable,
            false,
        ),
        ("port unreachable", [1, 4, 0, 0, 0, 0, 0, 0], Unreachable, true),
        (
            "packet too big",
            [2, 0, 0, 0, 0, 1, 0, 0],
            PacketTooBig { mtu: 65536 },
            false,
        ),
        (
            "hop limit exceeded",
            [3, 0, 0, 0, 0, 0, 0, 0],
            TimeExceeded,
            false,
        ),
        (
            "unknown next header",
            [4, 1, 0, 0, 0, 0, 0, 6],
            ParameterProblem { pointer: 6 },
            false,
        ),
    ] {
        let error = error_of(&v6(head, &quoted_v6(6)));
        let expected = IcmpError {
            kind,
            code: head[1],
            tuple,
            seq: SeqNum(0xffff_fffe),
            packet_len: 160,
        };
        assert_eq!(error, expected, "{what}");
        assert_eq!(error.is_hard(), hard, "{what}");
    }
}

#[test]
fn an_error_about_something_else_is_ignored_and_a_cut_one_refused() {
    let unreachable = |body: &[u8]| verdict(&v4([3, 1, 0, 0, 0, 0, 0, 0], body));
    assert_eq!(unreachable(&quoted_v4(6, 0x4000)), Ok(()));
    assert_eq!(
        unreachable(&quoted_v4(17, 0x4000)),
        Err(DropReason::IgnoredIcmp),
        "UDP"
    );
    assert_eq!(
        unreachable(&quoted_v4(6, 0x0001)),
        Err(DropReason::IgnoredIcmp),
        "a later fragment"
    );
    let mut wrong = quoted_v4(6, 0x4000);
    wrong[0] = 0x44;
    assert_eq!(unreachable(&wrong), Err(DropReason::BadIcmp), "header length 16");
    wrong[0] = 0x46;
    assert_eq!(
        unreachable(&wrong),
        Err(DropReason::BadIcmp),
        "only four octets of TCP"
    );
    wrong[0] = 0x65;
    assert_eq!(unreachable(&wrong), Err(DropReason::BadIcmp), "version 6");
    for len in 0..28 {
        let quoted = &quoted_v4(6, 0x4000)[..len];
        assert_eq!(unreachable(quoted), Err(DropReason::BadIcmp), "{len} octets");
    }
    let unreachable = |body: &[u8]| verdict(&v6([1, 3, 0, 0, 0, 0, 0, 0], body));
    assert_eq!(
        unreachable(&quoted_v6(17)),
        Err(DropReason::IgnoredIcmp),
        "UDP over IPv6"
    );
    assert_eq!(
        unreachable(&quoted_v4(6, 0)),
        Err(DropReason::BadIcmp),
        "IPv4 within ICMPv6"
    );
    for len in 0..48 {
        assert_eq!(
            unreachable(&quoted_v6(6)[..len]),
            Err(DropReason::BadIcmp),
            "{len} octets"
        );
    }
}

#[test]
fn echo_names_what_has_to_come_back() {
    let frame = v4([8, 0, 0, 0, 0x12, 0x34, 0, 9], b"ping me");
    let Ok(PacketKind::Icmpv4(packet)) = parse(&frame, &Expect::default()).map(|packet| packet.kind) else {
        panic!("no ICMP");
    };
    let Icmpv4Message::EchoRequest(echo) = packet.message else {
        panic!("no echo");
    };
    assert_eq!((packet.source, packet.destination), (PEER, US));
    assert_eq!((echo.identifier, echo.sequence), (0x1234, 9));
    assert_eq!(echo.payload.of(&frame), b"ping me");
    let frame = v6([128, 0, 0, 0, 0x12, 0x34, 0, 9], b"");
    let Ok(PacketKind::Icmpv6(packet)) = parse(&frame, &Expect::default()).map(|packet| packet.kind) else {
        panic!("no ICMPv6");
    };
    assert!(matches!(packet.message, Icmpv6Message::EchoRequest(echo) if echo.payload.len == 0));
}

// proves: RFC 1122 §3.2.2, §3.2.2.7, RFC 4443 §2.4
#[test]
fn the_rest_is_ignored_and_checksums_are_verified() {
    for (what, frame, expected) in [
        (
            "a redirect",
            v4([5, 1, 0, 0, 10, 9, 0, 9], &quoted_v4(6, 0)),
            DropReason::IgnoredIcmp,
        ),
        (
            "a timestamp request",
            v4([13, 0, 0, 0, 0, 0, 0, 0], &[0; 12]),
            DropReason::IgnoredIcmp,
        ),
        (
            "an information request",
            v4([15, 0, 0, 0, 0, 0, 0, 0], &[]),
            DropReason::IgnoredIcmp,
        ),
        (
            "an echo with a code",
            v4([8, 1, 0, 0, 0, 0, 0, 0], &[]),
            DropReason::IgnoredIcmp,
        ),
        (
            "a router solicitation",
            v6([133, 0, 0, 0, 0, 0, 0, 0], &[]),
            DropReason::IgnoredIcmp,
        ),
        (
            "a router advertisement",
            v6([134, 0, 0, 0, 64, 0, 0, 0], &[0; 8]),
            DropReason::IgnoredIcmp,
        ),
        (
            "a redirect over IPv6",
            v6([137, 0, 0, 0, 0, 0, 0, 0], &[0; 32]),
            DropReason::IgnoredIcmp,
        ),
    ] {
        assert_eq!(verdict(&frame), Err(expected), "{what}");
        let mut wrong = frame;
        *wrong.last_mut().unwrap() ^= 0x10;
        assert_eq!(verdict(&wrong), Err(DropReason::BadIcmp), "{what}, spoiled");
    }
    let short = ether(0x0800, &ipv4(&[], 0, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0]));
    assert_eq!(verdict(&short), Err(DropReason::Truncated));
    assert_eq!(
        naive_sum(&[&[8, 0, 0xf7, 0xff]]),
        0xffff,
        "its checksum would be right"
    );
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn solicited_node_us() -> Ipv6Addr {
    "ff02::1:ff00:2".parse().unwrap()
}

fn neighbour(kind: u8, flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend(options);
    message
}

const LINK: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 0xa];
const TARGET_LINK: [u8; 8] = [2, 1, 2, 0, 0, 0, 0, 0xa];

// proves: RFC 6980 §5
#[test]
fn no_neighbour_discovery_behind_a_fragment_header_is_read() {
    let read = |kind: u8, header: &[u8]| {
        let mut message = if kind == 128 {
            vec![128, 0, 0, 0, 0, 1, 0, 2]
        } else {
            neighbour(kind, 0, US6, &[])
        };
        let pseudo = pseudo_v6(PEER6, US6, 58, message.len());
        set_checksum(&mut message, 2, &pseudo);
        let next = if header.is_empty() { 58 } else { 44 };
        let body = [header, &message].concat();
        verdict(&ether(0x86dd, &ipv6(PEER6, US6, next, 255, &body)))
    };
    let atomic = [58, 0, 0, 0, 0, 0, 0, 9];
    for kind in [135, 136] {
        assert_eq!(read(kind, &[]), Ok(()), "type {kind}");
        assert_eq!(
            read(kind, &atomic),
            Err(DropReason::BadNeighbourDiscovery),
            "type {kind}"
        );
    }
    assert_eq!(read(128, &atomic), Ok(()), "an echo may come so");
}

// proves: RFC 4861 §7.1
#[test]
fn solicitations_are_checked_as_rfc_4861_7_1_1_asks() {
    let any = Ipv6Addr::UNSPECIFIED;
    let plain = neighbour(135, 0, US6, &LINK);
    let with_code = [&[135, 1][..], &plain[2..]].concat();
    let bad = Err(DropReason::BadNeighbourDiscovery);
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let group = neighbour(135, 0, ALL_NODES, &LINK);
    let zero = neighbour(135, 0, US6, &[1, 0, 0, 0, 0, 0, 0, 0]);
    let long = neighbour(135, 0, US6, &[1, 2, 0, 0, 0, 0, 0, 0]);
    let probe = neighbour(135, 0, US6, &nonce);
    let named_probe = neighbour(135, 0, US6, &LINK);
    let group_link = neighbour(135, 0, US6, &[1, 1, 3, 0, 0, 0, 0, 0xa]);
    for (what, source, destination, ttl, message, expected) in [
        (
            "to the group",
            PEER6,
            solicited_node_us(),
            255,
            &plain,
            Ok(Some([2, 0, 0, 0, 0, 0xa])),
        ),
        (
            "to us alone",
            PEER6,
            US6,
            255,
            &plain,
            Ok(Some([2, 0, 0, 0, 0, 0xa])),
        ),
        ("from beyond the link", PEER6, US6, 254, &plain, bad),
        ("with a code", PEER6, US6, 255, &with_code, bad),
        ("for a group", PEER6, US6, 255, &group, bad),
        ("an option of length zero", PEER6, US6, 255, &zero, bad),
        ("an option beyond the end", PEER6, US6, 255, &long, bad),
        (
            "a search for duplicates",
            any,
            solicited_node_us(),
            255,
            &probe,
            Ok(None),
        ),
        ("one that is not to the group", any, US6, 255, &probe, bad),
        (
            "one that names an address",
            any,
            solicited_node_us(),
            255,
            &named_probe,
            bad,
        ),
        (
            "a group as Ethernet address",
            PEER6,
            US6,
            255,
            &group_link,
            Ok(None),
        ),
    ] {
        let frame = v6_between(source, destination, ttl, message);
        let found = parse(&frame, &Expect::default()).map(|packet| match packet.kind {
            PacketKind::Icmpv6(packet) => packet.message,
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|source_link| {
            Icmpv6Message::NeighbourSolicitation(NeighbourSolicitation {
                target: US6,
                source_link,
            })
        });
        assert_eq!(found, expected, "{what}");
    }
    for len in 8..24 {
        let frame = v6_between(PEER6, US6, 255, &plain[..len]);
        assert_eq!(
            verdict(&frame),
            Err(DropReason::BadNeighbourDiscovery),
            "{len} octets"
        );
    }
}

// proves: RFC 4861 §7.1
#[test]
fn advertisements_are_checked_as_rfc_4861_7_1_2_asks() {
    let flags = |router, solicited, overrides| AdvertisementFlags {
        router,
        solicited,
        overrides,
    };
    for (what, destination, bits, options, expected) in [
        (
            "an answer",
            US6,
            0x60,
            &TARGET_LINK[..],
            Some((flags(false, true, true), true)),
        ),
        (
            "of a router",
            US6,
            0xc0,
            &TARGET_LINK,
            Some((flags(true, true, false), true)),
        ),
        (
            "unasked",
            ALL_NODES,
            0x20,
            &TARGET_LINK,
            Some((flags(false, false, true), true)),
        ),
        ("asked for by a group", ALL_NODES, 0x60, &TARGET_LINK, None),
        (
            "without an address",
            US6,
            0x40,
            &[],
            Some((flags(false, true, false), false)),
        ),
        (
            "with a source's address",
            US6,
            0x40,
            &LINK,
            Some((flags(false, true, false), false)),
        ),
        ("with half an option", US6, 0x40, &[2, 1, 0, 0], None),
    ] {
        let frame = v6_between(PEER6, destination, 255, &neighbour(136, bits, PEER6, options));
        let found = parse(&frame, &Expect::default()).map(|packet| match packet.kind {
            PacketKind::Icmpv6(packet) => packet.message,
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|(flags, linked)| {
            Icmpv6Message::NeighbourAdvertisement(NeighbourAdvertisement {
                target: PEER6,
                target_link: linked.then_some([2, 0, 0, 0, 0, 0xa]),
                flags,
            })
        });
        assert_eq!(found, expected.ok_or(DropReason::BadNeighbourDiscovery), "{what}");
    }
}
