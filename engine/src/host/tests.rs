//! Frames in, answers out: built by hand or by fourtuple-wire, parsed by it, and the answers parsed again.

use std::net::{Ipv4Addr, Ipv6Addr};

use fourtuple_wire::{
    AdvertisementFlags, ArpOperation, ArpPacket, ChecksumCheck, DropReason, Ends, Expect, FourTuple,
    IcmpError, IcmpErrorKind, Icmpv4Message, Icmpv6Message, Instant, NeighbourAdvertisement, Packet,
    PacketKind, SeqNum, Sum, TupleV4, TupleV6, build_arp_announcement, build_arp_reply,
    build_neighbour_advertisement, parse,
};
use ipnet::IpNet;
use proptest::prelude::*;

use super::answer::Answer;
use super::rate_limit::Rate;
use super::*;
use crate::stats::Counters;

const OUR_MAC: EtherAddr = [2, 0, 0, 0, 0, 1];
const PEER_MAC: EtherAddr = [2, 0, 0, 0, 0, 2];
const OUR_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OUR_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 7);
const ALL_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);
const NOW: Instant = Instant::from_millis(5);

fn addresses() -> Addresses {
    let nets: [IpNet; 2] = ["10.0.0.2/24".parse().unwrap(), "fd99::2/64".parse().unwrap()];
    Addresses::new(OUR_MAC, &nets, &["10.0.0.254".parse().unwrap()])
}

fn host() -> Host {
    Host::new(addresses(), &Rates::default(), None)
}

/// The peer's side, which builds questions with the code under test.
fn peer() -> Host {
    let nets: [IpNet; 2] = ["10.0.0.7/24".parse().unwrap(), "fd99::7/64".parse().unwrap()];
    Host::new(Addresses::new(PEER_MAC, &nets, &[]), &Rates::default(), None)
}

fn frame(build: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut out = vec![0; 2000];
    let len = build(&mut out).expect("there is room");
    out.truncate(len);
    out
}

fn read(frame: &[u8]) -> Packet {
    let expect = Expect {
        checksum: ChecksumCheck::Verify,
        vlan: None,
    };
    parse(frame, &expect).unwrap_or_else(|reason| panic!("{reason:?}: {frame:02x?}"))
}

/// The answer to a frame, and the frame that it is.
#[track_caller]
fn ask(host: &mut Host, frame: &[u8]) -> (Answer, Option<Packet>) {
    let mut out = vec![0; 2000];
    let answer = host.answer(&read(frame), frame, NOW, &mut out);
    let reply = answer.reply_len.map(|len| read(&out[..len]));
    (answer, reply)
}

#[track_caller]
fn expect_drop(host: &mut Host, frame: &[u8], reason: DropReason) {
    let (answer, reply) = ask(host, frame);
    assert_eq!((answer.verdict, reply, answer.learned), (Err(reason), None, None));
}

fn link(source: EtherAddr, destination: EtherAddr) -> Link {
    Link {
        source,
        destination,
        vlan: None,
    }
}

fn arp_request(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    frame(|out| build_arp_request(out, &link(PEER_MAC, ETHER_BROADCAST), sender, target))
}

/// An IPv4 packet from scratch.
fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let len = (20 + upper.len()) as u16;
    let mut header = vec![
        0x45,
        0,
        (len >> 8) as u8,
        len as u8,
        0,
        0,
        0x40,
        0,
        64,
        protocol,
        0,
        0,
    ];
    header.extend(source.octets());
    header.extend(destination.octets());
    let checksum = Sum::of(&header).checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header.extend(upper);
    header
}

/// An IPv6 packet from scratch.
fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let len = upper.len() as u16;
    let mut header = vec![0x60, 0, 0, 0, (len >> 8) as u8, len as u8, protocol, 64];
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(upper);
    header
}

fn ethernet(destination: EtherAddr, ether_type: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend(PEER_MAC);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(body);
    frame
}

fn v4_to(ether: EtherAddr, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    ethernet(ether, 0x0800, &ipv4(source, destination, protocol, upper))
}

fn with_checksum(mut message: Vec<u8>, pseudo: Sum) -> Vec<u8> {
    let checksum = pseudo.with(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn icmpv4(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    with_checksum([&[kind, code, 0, 0], rest].concat(), Sum::default())
}

fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    let len = (4 + rest.len()) as u16;
    let message = with_checksum(
        [&[kind, 0, 0, 0], rest].concat(),
        Sum::pseudo_v6(source, destination, 58, len),
    );
    ethernet(OUR_MAC, 0x86dd, &ipv6(source, destination, 58, &message))
}

/// A UDP datagram of 4 octets from port 4000 to port 53.
fn udp_v4(ether: EtherAddr, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    v4_to(
        ether,
        source,
        destination,
        17,
        &[0x0f, 0xa0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4],
    )
}

// proves: RFC 826
#[test]
fn an_arp_request_for_us_is_answered_and_tells_who_asked() {
    let (answer, reply) = ask(&mut host(), &arp_request(PEER_V4, OUR_V4));
    let reply = reply.expect("a reply");
    assert_eq!((reply.ether_source, reply.ether_destination), (OUR_MAC, PEER_MAC));
    let expected = ArpPacket {
        operation: ArpOperation::Reply,
        sender_ether: OUR_MAC,
        sender: OUR_V4,
        target_ether: PEER_MAC,
        target: PEER_V4,
    };
    assert_eq!(reply.kind, PacketKind::Arp(expected));
    let learned = Learned {
        ip: PEER_V4.into(),
        ether: PEER_MAC,
        origin: Origin::Request,
    };
    assert_eq!((answer.verdict, answer.learned), (Ok(()), Some(learned)));
}

#[test]
fn what_arp_tells() {
    let spoken_by = |ether| link(ether, OUR_MAC);
    let reply = |sender, target| frame(|out| build_arp_reply(out, &spoken_by(PEER_MAC), sender, target));
    let announcement = frame(|out| build_arp_announcement(out, PEER_MAC, None, PEER_V4));
    let afar = Ipv4Addr::new(192, 0, 2, 1);
    // Frame, verdict, whether it is answered, how the claim was told.
    let cases = [
        (
            "a request",
            arp_request(PEER_V4, OUR_V4),
            Ok(()),
            true,
            Some(Origin::Request),
        ),
        (
            "RFC 5227 probe",
            arp_request(Ipv4Addr::UNSPECIFIED, OUR_V4),
            Ok(()),
            true,
            None,
        ),
        (
            "asker is not on the link",
            arp_request(afar, OUR_V4),
            Ok(()),
            true,
            None,
        ),
        (
            "a reply",
            reply(PEER_V4, OUR_V4),
            Ok(()),
            false,
            Some(Origin::Reply),
        ),
        ("a reply from beyond", reply(afar, OUR_V4), Ok(()), false, None),
        (
            "an announcement",
            announcement,
            Ok(()),
            false,
            Some(Origin::Announcement),
        ),
        (
            "a reply to another",
            reply(PEER_V4, afar),
            Err(DropReason::BadArp),
            false,
            None,
        ),
        (
            "asks for another",
            arp_request(PEER_V4, afar),
            Err(DropReason::BadArp),
            false,
            None,
        ),
        (
            "claims our address",
            arp_request(OUR_V4, OUR_V4),
            Err(DropReason::BadSource),
            true,
            None,
        ),
        (
            "replies as we would",
            reply(OUR_V4, OUR_V4),
            Err(DropReason::BadSource),
            true,
            None,
        ),
        (
            "claims the broadcast",
            arp_request(ALL_V4, OUR_V4),
            Err(DropReason::BadSource),
            false,
            None,
        ),
        (
            "a reply of nobody",
            reply(Ipv4Addr::UNSPECIFIED, OUR_V4),
            Err(DropReason::BadSource),
            false,
            None,
        ),
    ];
    for (name, frame, verdict, answered, origin) in cases {
        let (answer, _) = ask(&mut host(), &frame);
        let told = answer.learned.map(|learned| learned.origin);
        assert_eq!(
            (answer.verdict, answer.reply_len.is_some(), told),
            (verdict, answered, origin),
            "{name}"
        );
    }
    let elsewhere = frame(|out| build_arp_request(out, &link(PEER_MAC, [2, 0, 0, 0, 0, 9]), PEER_V4, OUR_V4));
    expect_drop(&mut host(), &elsewhere, DropReason::NotOurMac);
    let ourselves = frame(|out| build_arp_request(out, &link(OUR_MAC, ETHER_BROADCAST), PEER_V4, OUR_V4));
    expect_drop(&mut host(), &ourselves, DropReason::BadSource);
}

// proves: RFC 4861 §7.2.3, §7.2.4
#[test]
fn a_solicitation_is_answered_with_an_advertisement() {
    let question = frame(|out| peer().build_solicit(&Solicit::to_all(OUR_V6.into()), out));
    let (answer, reply) = ask(&mut host(), &question);
    let reply = reply.expect("an advertisement");
    assert_eq!((reply.ether_source, reply.ether_destination), (OUR_MAC, PEER_MAC));
    let PacketKind::Icmpv6(icmp) = reply.kind else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (icmp.source, icmp.destination, icmp.hop_limit),
        (OUR_V6, PEER_V6, 255)
    );
    let flags = AdvertisementFlags {
        router: false,
        solicited: true,
        overrides: true,
    };
    let expected = NeighbourAdvertisement {
        target: OUR_V6,
        target_link: Some(OUR_MAC),
        flags,
    };
    assert_eq!(icmp.message, Icmpv6Message::NeighbourAdvertisement(expected));
    let learned = Learned {
        ip: PEER_V6.into(),
        ether: PEER_MAC,
        origin: Origin::Request,
    };
    assert_eq!((answer.verdict, answer.learned), (Ok(()), Some(learned)));
    // A probe in unicast is answered likewise.
    let probe = Solicit {
        ip: OUR_V6.into(),
        station: Some(OUR_MAC),
        claimed: false,
    };
    assert!(
        ask(&mut host(), &frame(|out| peer().build_solicit(&probe, out)))
            .1
            .is_some()
    );
}

#[test]
fn who_looks_for_duplicates_is_answered_before_all() {
    let group = ether_multicast_v6(solicited_node(OUR_V6));
    let search =
        frame(|out| build_neighbour_solicitation(out, &link(PEER_MAC, group), Ipv6Addr::UNSPECIFIED, OUR_V6));
    let (answer, reply) = ask(&mut host(), &search);
    let reply = reply.expect("RFC 4861 §7.2.4");
    assert_eq!(reply.ether_destination, [0x33, 0x33, 0, 0, 0, 1]);
    let PacketKind::Icmpv6(icmp) = reply.kind else {
        panic!("{reply:?}")
    };
    assert_eq!(icmp.destination, answer::ALL_NODES);
    assert!(
        matches!(icmp.message, Icmpv6Message::NeighbourAdvertisement(told) if !told.flags.solicited && told.flags.overrides)
    );
    assert_eq!(answer.learned, None, "it has no address yet");
}

#[test]
fn solicitations_that_are_not_for_us_or_from_nobody() {
    let solicit = |source, target| {
        let group = ether_multicast_v6(solicited_node(target));
        frame(|out| build_neighbour_solicitation(out, &link(PEER_MAC, group), source, target))
    };
    // The same solicited-node group, another address.
    let neighbour = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0x5500, 2);
    expect_drop(
        &mut host(),
        &solicit(PEER_V6, neighbour),
        DropReason::NotOurAddress,
    );
    expect_drop(&mut host(), &solicit(PEER_V6, PEER_V6), DropReason::NotOurAddress);
    expect_drop(&mut host(), &solicit(OUR_V6, OUR_V6), DropReason::BadSource);
    expect_drop(
        &mut host(),
        &solicit(Ipv6Addr::LOCALHOST, OUR_V6),
        DropReason::BadSource,
    );
}

// proves: RFC 4861 §7.2.5
#[test]
fn what_an_advertisement_tells() {
    let advertise = |to: Ipv6Addr, target, solicited, overrides| {
        let ether = if to.is_multicast() {
            ether_multicast_v6(to)
        } else {
            OUR_MAC
        };
        let ends = Ends {
            source: PEER_V6,
            destination: to,
        };
        let flags = AdvertisementFlags {
            router: false,
            solicited,
            overrides,
        };
        frame(|out| build_neighbour_advertisement(out, &link(PEER_MAC, ether), ends, target, flags))
    };
    let told = |origin| {
        Some(Learned {
            ip: PEER_V6.into(),
            ether: PEER_MAC,
            origin,
        })
    };
    let cases = [
        (advertise(OUR_V6, PEER_V6, true, true), told(Origin::Reply)),
        (advertise(OUR_V6, PEER_V6, true, false), told(Origin::WeakReply)),
        (
            advertise(OUR_V6, PEER_V6, false, true),
            told(Origin::Announcement),
        ),
        (
            advertise(answer::ALL_NODES, PEER_V6, false, true),
            told(Origin::Announcement),
        ),
    ];
    for (frame, learned) in cases {
        let (answer, _) = ask(&mut host(), &frame);
        assert_eq!((answer.verdict, answer.learned), (Ok(()), learned));
    }
    // Somebody claims an address of ours: it is defended.
    let (answer, defence) = ask(&mut host(), &advertise(OUR_V6, OUR_V6, true, true));
    assert_eq!(
        (answer.verdict, answer.learned),
        (Err(DropReason::BadSource), None)
    );
    assert_eq!(
        defence.map(|packet| packet.ether_destination),
        Some([0x33, 0x33, 0, 0, 0, 1])
    );
    let afar = "2001:db8::1".parse().unwrap();
    expect_drop(
        &mut host(),
        &advertise(OUR_V6, afar, true, true),
        DropReason::BadNeighbourDiscovery,
    );
    expect_drop(
        &mut host(),
        &advertise(PEER_V6, PEER_V6, true, true),
        DropReason::NotOurAddress,
    );
}

#[test]
fn two_hosts_resolve_each_other() {
    for target in [IpAddr::V4(OUR_V4), IpAddr::V6(OUR_V6)] {
        let (mut host, mut peer) = (host(), peer());
        let mut neighbours = Neighbours::<()>::new(16, &[1; 16]);
        assert_eq!(neighbours.resolve(target, NOW), Resolution::Pending);
        let solicit = neighbours.poll(NOW).expect("a question");
        let question = frame(|out| peer.build_solicit(&solicit, out));
        let mut out = vec![0; ANSWER_ROOM];
        let len = host
            .answer(&read(&question), &question, NOW, &mut out)
            .reply_len
            .expect("an answer");
        let answer = peer.answer(&read(&out[..len]), &out[..len], NOW, &mut [0; ANSWER_ROOM]);
        assert!(neighbours.learn(&answer.learned.expect("a claim"), NOW));
        assert!(matches!(
            neighbours.resolve(target, NOW),
            Resolution::Known(OUR_MAC, _)
        ));
    }
}

#[test]
fn an_echo_comes_back_with_what_it_brought() {
    // proves: RFC 1122 §3.2.2.6, RFC 4443 §4.2
    let rest = [0xab, 0xcd, 0, 9, 1, 2, 3, 4, 5];
    let (answer, reply) = ask(
        &mut host(),
        &v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &rest)),
    );
    assert_eq!(answer.verdict, Ok(()));
    let mut out = vec![0; 200];
    let frame = v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &rest));
    let len = host()
        .answer(&read(&frame), &frame, NOW, &mut out)
        .reply_len
        .unwrap();
    let PacketKind::Icmpv4(icmp) = reply.expect("a reply").kind else {
        panic!()
    };
    let Icmpv4Message::EchoReply(echo) = icmp.message else {
        panic!("{icmp:?}")
    };
    assert_eq!((icmp.source, icmp.destination), (OUR_V4, PEER_V4));
    assert_eq!((echo.identifier, echo.sequence), (0xabcd, 9));
    assert_eq!(echo.payload.of(&out[..len]), [1, 2, 3, 4, 5]);

    let (answer, reply) = ask(&mut host(), &icmpv6(PEER_V6, OUR_V6, 128, &rest));
    assert_eq!(answer.verdict, Ok(()));
    let PacketKind::Icmpv6(icmp) = reply.expect("a reply").kind else {
        panic!()
    };
    assert!(
        matches!(icmp.message, Icmpv6Message::EchoReply(echo) if (echo.identifier, echo.sequence) == (0xabcd, 9))
    );
    assert_eq!((icmp.source, icmp.destination), (OUR_V6, PEER_V6));
}

#[test]
fn an_echo_that_does_not_fit_or_is_no_request() {
    let request = v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &[0; 60]));
    let answer = host().answer(&read(&request), &request, NOW, &mut [0; 60]);
    assert_eq!(
        (answer.verdict, answer.reply_len),
        (Err(DropReason::NoRoom), None)
    );
    let reply = v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(0, 0, &[0; 8]));
    expect_drop(&mut host(), &reply, DropReason::IgnoredIcmp);
    expect_drop(
        &mut host(),
        &icmpv6(PEER_V6, OUR_V6, 129, &[0; 8]),
        DropReason::IgnoredIcmp,
    );
}

// proves: RFC 1122 §3.2.2.1, §4.1.3.1, RFC 4443 §3.1
#[test]
fn udp_has_no_user_and_its_sender_is_told() {
    let datagram = udp_v4(OUR_MAC, PEER_V4, OUR_V4);
    let mut out = vec![0; ANSWER_ROOM];
    let answer = host().answer(&read(&datagram), &datagram, NOW, &mut out);
    assert_eq!(answer.verdict, Err(DropReason::NoUdpUser));
    let reply = &out[..answer.reply_len.expect("port unreachable")];
    // Not about TCP, so the parser knows nothing to do with it: looked at by hand.
    assert_eq!((&reply[0..6], &reply[6..12]), (&PEER_MAC[..], &OUR_MAC[..]));
    assert_eq!(
        (reply[34], reply[35]),
        (3, 3),
        "RFC 1122 §3.2.2.1: destination unreachable, port"
    );
    assert_eq!(&reply[42..], &datagram[14..], "it quotes the datagram");
    assert!(Sum::of(&reply[34..]).is_right());

    let mut upper = vec![0x0f, 0xa0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
    let checksum = Sum::pseudo_v6(PEER_V6, OUR_V6, 17, 12).with(&upper).checksum();
    upper[6..8].copy_from_slice(&checksum.to_be_bytes());
    let datagram = ethernet(OUR_MAC, 0x86dd, &ipv6(PEER_V6, OUR_V6, 17, &upper));
    let answer = host().answer(&read(&datagram), &datagram, NOW, &mut out);
    let reply = &out[..answer.reply_len.expect("port unreachable")];
    assert_eq!(
        (reply[54], reply[55]),
        (1, 4),
        "RFC 4443 §3.1: destination unreachable, port"
    );
    assert_eq!(&reply[62..], &datagram[14..], "it quotes the datagram");
}

#[test]
fn what_goes_to_a_group_or_comes_from_nobody_is_dropped_without_an_answer() {
    // proves: RFC 9293 MUST-57, MUST-63 (beside TCP: RFC 1122 §3.2.2, §3.2.1.3)
    use DropReason::*;
    let limited = Ipv4Addr::BROADCAST;
    let cases = [
        (
            udp_v4(ETHER_BROADCAST, PEER_V4, OUR_V4),
            GroupDestination,
            "unicast IP in a broadcast frame",
        ),
        (
            udp_v4(ETHER_BROADCAST, PEER_V4, limited),
            GroupDestination,
            "limited broadcast",
        ),
        (
            udp_v4(ETHER_BROADCAST, PEER_V4, ALL_V4),
            GroupDestination,
            "the subnet's broadcast",
        ),
        (
            udp_v4(OUR_MAC, PEER_V4, ALL_V4),
            GroupDestination,
            "the subnet's broadcast in a unicast frame",
        ),
        (
            udp_v4([1, 0, 0x5e, 0, 0, 1], PEER_V4, Ipv4Addr::new(224, 0, 0, 1)),
            GroupDestination,
            "multicast",
        ),
        (
            udp_v4(OUR_MAC, ALL_V4, OUR_V4),
            BadSource,
            "from the subnet's broadcast",
        ),
        (udp_v4(OUR_MAC, OUR_V4, OUR_V4), BadSource, "LAND"),
        (
            udp_v4(OUR_MAC, Ipv4Addr::LOCALHOST, OUR_V4),
            BadSource,
            "from 127.0.0.1",
        ),
        (
            udp_v4(OUR_MAC, Ipv4Addr::UNSPECIFIED, OUR_V4),
            BadSource,
            "from 0.0.0.0",
        ),
        (
            udp_v4([2, 0, 0, 0, 0, 9], PEER_V4, OUR_V4),
            NotOurMac,
            "another station",
        ),
        (
            udp_v4(OUR_MAC, PEER_V4, Ipv4Addr::new(10, 0, 0, 3)),
            NotOurAddress,
            "another host",
        ),
        (
            v4_to(OUR_MAC, PEER_V4, ALL_V4, 1, &icmpv4(8, 0, &[0; 8])),
            GroupDestination,
            "smurf",
        ),
        (
            v4_to(OUR_MAC, ALL_V4, OUR_V4, 1, &icmpv4(8, 0, &[0; 8])),
            BadSource,
            "fraggle's cousin",
        ),
        (
            icmpv6(PEER_V6, answer::ALL_NODES, 128, &[0; 8]),
            GroupDestination,
            "an echo to all nodes",
        ),
        (icmpv6(OUR_V6, OUR_V6, 128, &[0; 8]), BadSource, "LAND"),
    ];
    for (frame, reason, why) in cases {
        let (answer, reply) = ask(&mut host(), &frame);
        assert_eq!((answer.verdict, reply), (Err(reason), None), "{why}");
    }
    let mut from_group = udp_v4(OUR_MAC, PEER_V4, OUR_V4);
    from_group[6] |= 1;
    expect_drop(&mut host(), &from_group, BadSource);
}

#[test]
fn datagrams_from_port_0_get_no_error() {
    let from_0 = v4_to(OUR_MAC, PEER_V4, OUR_V4, 17, &[0, 0, 0, 53, 0, 8, 0, 0]);
    let (answer, reply) = ask(&mut host(), &from_0);
    assert_eq!((answer.verdict, reply), (Err(DropReason::NoUdpUser), None));
}

#[test]
fn replies_are_counted_by_what_they_are() {
    let solicit = frame(|out| peer().build_solicit(&Solicit::to_all(OUR_V6.into()), out));
    let frames = [
        arp_request(PEER_V4, OUR_V4),
        solicit,
        v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &[0; 8])),
        icmpv6(PEER_V6, OUR_V6, 128, &[0; 8]),
        udp_v4(OUR_MAC, PEER_V4, OUR_V4),
        udp_v4(OUR_MAC, PEER_V4, ALL_V4),
    ];
    let (mut host, mut counters, mut out) = (host(), Counters::default(), [0; ANSWER_ROOM]);
    for frame in frames {
        let packet = read(&frame);
        host.answer(&packet, &frame, NOW, &mut out)
            .count_reply(&packet, &mut counters);
    }
    assert_eq!(
        (
            counters.neighbour_answers,
            counters.echo_answers,
            counters.icmp_errors_sent
        ),
        (2, 2, 1)
    );
}

// proves: RFC 4443 §2.4
#[test]
fn answers_have_their_rates() {
    let none = Rate {
        per_second: 1,
        burst: 1,
    };
    let rates = Rates {
        resets: none,
        icmp_errors: none,
        echoes: none,
        neighbour_answers: none,
        cookie_checks: none,
    };
    let mut host = Host::new(addresses(), &rates, None);
    let echo = v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &[0; 8]));
    let frames = [
        (arp_request(PEER_V4, OUR_V4), DropReason::RateLimited),
        (echo, DropReason::RateLimited),
        (udp_v4(OUR_MAC, PEER_V4, OUR_V4), DropReason::NoUdpUser),
    ];
    for (frame, reason) in frames {
        let mut out = vec![0; ANSWER_ROOM];
        assert!(
            host.answer(&read(&frame), &frame, NOW, &mut out)
                .reply_len
                .is_some()
        );
        expect_drop(&mut host, &frame, reason);
    }
}

#[test]
fn an_icmp_error_goes_to_the_owner_of_the_segment_it_quotes() {
    let quote = |from: Ipv4Addr| ipv4(from, PEER_V4, 6, &[0, 80, 0x9c, 0x40, 0, 0, 0, 42]);
    let error = |from| icmpv4(3, 4, &[&[0, 0, 0x05, 0x00][..], &quote(from)].concat());
    let router = Ipv4Addr::new(192, 0, 2, 9);
    let (answer, _) = ask(&mut host(), &v4_to(OUR_MAC, router, OUR_V4, 1, &error(OUR_V4)));
    let tuple = TupleV4 {
        local: OUR_V4,
        remote: PEER_V4,
        local_port: 80,
        remote_port: 40_000,
    };
    let expected = IcmpError {
        kind: IcmpErrorKind::PacketTooBig { mtu: 1280 },
        code: 4,
        tuple: FourTuple::V4(tuple),
        seq: SeqNum(42),
        packet_len: 28,
    };
    assert_eq!((answer.verdict, answer.icmp_error), (Ok(()), Some(expected)));
    // One about a segment that another host sent.
    let stray = v4_to(OUR_MAC, router, OUR_V4, 1, &error(Ipv4Addr::new(10, 0, 0, 3)));
    expect_drop(&mut host(), &stray, DropReason::IgnoredIcmp);

    let quoted = ipv6(OUR_V6, PEER_V6, 6, &[0, 80, 0x9c, 0x40, 0, 0, 0, 42]);
    let (answer, _) = ask(
        &mut host(),
        &icmpv6(PEER_V6, OUR_V6, 2, &[&[0, 0, 0x05, 0][..], &quoted].concat()),
    );
    let tuple = TupleV6 {
        local: OUR_V6,
        remote: PEER_V6,
        local_port: 80,
        remote_port: 40_000,
    };
    assert_eq!(
        answer.icmp_error.map(|error| error.tuple),
        Some(FourTuple::V6(tuple))
    );
}

// proves: RFC 5227 §3, RFC 4861 §7.2.6
#[test]
fn addresses_are_announced_twice() {
    let mut host = host();
    let (mut seen, mut searched) = (Vec::new(), Vec::new());
    for millis in [0, 1_000, 2_000, 4_000, 60_000] {
        let now = Instant::from_millis(millis);
        let mut out = vec![0; ANSWER_ROOM];
        while let Some(len) = host.poll_announcement(now, &mut out) {
            let packet = read(&out[..len]);
            let address = match &packet.kind {
                PacketKind::Arp(arp) if arp.sender.is_unspecified() => {
                    searched.push(IpAddr::V4(arp.target));
                    continue;
                }
                PacketKind::Arp(arp) => {
                    assert_eq!((arp.sender, arp.sender_ether), (arp.target, OUR_MAC));
                    IpAddr::V4(arp.sender)
                }
                PacketKind::Icmpv6(icmp) => match icmp.message {
                    Icmpv6Message::NeighbourSolicitation(solicitation) => {
                        assert!(icmp.source.is_unspecified() && solicitation.source_link.is_none());
                        searched.push(IpAddr::V6(solicitation.target));
                        continue;
                    }
                    _ => {
                        assert_eq!(icmp.destination, answer::ALL_NODES);
                        IpAddr::V6(icmp.source)
                    }
                },
                other => panic!("{other:?}"),
            };
            assert!(fourtuple_wire::is_group_ether(&packet.ether_destination));
            assert!(searched.contains(&address), "asked for before it is announced");
            seen.push((millis, address));
        }
    }
    let (v4, v6) = (IpAddr::V4(OUR_V4), IpAddr::V6(OUR_V6));
    assert_eq!(seen, [(0, v4), (0, v6), (2_000, v4), (2_000, v6)]);
    assert_eq!(searched, [v4, v6], "once");
    assert_eq!(host.next_announcement(), Instant::FAR_FUTURE);
}

// proves: RFC 5227 §2.4, RFC 4862 §5.4
#[test]
fn a_claim_of_another_to_our_address_is_counted_and_answered_once_in_ten_seconds() {
    let mut host = host();
    let by_arp = |build: fn(&mut [u8], &Link) -> Option<usize>| {
        frame(|out| build(out, &link(PEER_MAC, ETHER_BROADCAST)))
    };
    let claims = [
        by_arp(|out, link| build_arp_request(out, link, OUR_V4, OUR_V4)),
        by_arp(|out, link| build_arp_request(out, link, OUR_V4, PEER_V4)),
        frame(|out| build_arp_reply(out, &link(PEER_MAC, OUR_MAC), OUR_V4, PEER_V4)),
        frame(|out| {
            let ends = Ends {
                source: OUR_V6,
                destination: answer::ALL_NODES,
            };
            let link = link(PEER_MAC, fourtuple_wire::ether_multicast_v6(answer::ALL_NODES));
            let flags = AdvertisementFlags {
                overrides: true,
                ..AdvertisementFlags::default()
            };
            build_neighbour_advertisement(out, &link, ends, OUR_V6, flags)
        }),
    ];
    let mut defended = Vec::new();
    for (second, claim) in [(1, 0), (2, 1), (5, 2), (10, 3), (12, 3), (13, 0)] {
        let mut out = vec![0; ANSWER_ROOM];
        let now = Instant::from_millis(second * 1000);
        let answer = host.answer(&read(&claims[claim]), &claims[claim], now, &mut out);
        assert_eq!(answer.verdict, Err(DropReason::BadSource));
        assert_eq!(answer.learned, None);
        if let Some(len) = answer.reply_len {
            let packet = read(&out[..len]);
            assert!(fourtuple_wire::is_group_ether(&packet.ether_destination));
            defended.push(second);
        }
    }
    assert_eq!((host.conflicts.count(), defended), (6, vec![1, 12]));
    let own = frame(|out| build_arp_request(out, &link(OUR_MAC, ETHER_BROADCAST), OUR_V4, OUR_V4));
    ask(&mut host, &own);
    assert_eq!(host.conflicts.count(), 6, "our own comes back from some links");
}

#[test]
fn answers_carry_the_ports_tag() {
    let mut host = Host::new(addresses(), &Rates::default(), Some(7));
    let tagged = frame(|out| {
        build_arp_request(
            out,
            &Link {
                vlan: Some(7),
                ..link(PEER_MAC, ETHER_BROADCAST)
            },
            PEER_V4,
            OUR_V4,
        )
    });
    let expect = Expect {
        checksum: ChecksumCheck::Verify,
        vlan: Some(7),
    };
    let mut out = vec![0; ANSWER_ROOM];
    let answer = host.answer(&parse(&tagged, &expect).unwrap(), &tagged, NOW, &mut out);
    assert!(parse(&out[..answer.reply_len.expect("a reply")], &expect).is_ok());
}

/// A question of the link with a few octets changed, or nothing but noise.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        arp_request(PEER_V4, OUR_V4),
        frame(|out| build_arp_reply(out, &link(PEER_MAC, OUR_MAC), PEER_V4, OUR_V4)),
        frame(|out| peer().build_solicit(&Solicit::to_all(OUR_V6.into()), out)),
        v4_to(OUR_MAC, PEER_V4, OUR_V4, 1, &icmpv4(8, 0, &[0; 8])),
        udp_v4(OUR_MAC, PEER_V4, OUR_V4),
        icmpv6(PEER_V6, OUR_V6, 128, &[0; 20]),
    ]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let changed = (known, changes).prop_map(|(mut frame, changes)| {
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame
    });
    prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn any_frames_keep_the_bounds(
        frames in prop::collection::vec((any_frame(), 0u64..1_500), 1..200),
        room in 0usize..1_400,
    ) {
        let mut host = host();
        let mut neighbours = Neighbours::<()>::new(4, &[1; 16]);
        let mut now = 0;
        for (frame, gap) in frames {
            now += gap;
            let at = Instant::from_millis(now);
            let Ok(packet) = parse(&frame, &Expect::default()) else { continue };
            let mut out = vec![0; room];
            let answer = host.answer(&packet, &frame, at, &mut out);
            if let Some(len) = answer.reply_len {
                prop_assert!(len <= room);
                let to: EtherAddr = out[..6].try_into().unwrap();
                prop_assert!(
                    to == answer_goes_to(&packet) || to == [0x33, 0x33, 0, 0, 0, 1] || to == ETHER_BROADCAST
                );
            }
            if let Some(learned) = answer.learned {
                prop_assert!(host.addresses.on_link(learned.ip) && host.addresses.is_peer(learned.ip));
                neighbours.learn(&learned, at);
            }
            while neighbours.poll(at).is_some() {}
            prop_assert!(neighbours.len() <= 4);
        }
    }
}

/// The station that an answer has to go to.
fn answer_goes_to(packet: &Packet) -> EtherAddr {
    match &packet.kind {
        PacketKind::Arp(arp) => arp.sender_ether,
        PacketKind::Icmpv6(icmp) => match icmp.message {
            Icmpv6Message::NeighbourSolicitation(asked) => asked.source_link.unwrap_or(packet.ether_source),
            _ => packet.ether_source,
        },
        PacketKind::Tcp(_) | PacketKind::Udp(_) | PacketKind::Icmpv4(_) | PacketKind::Fragment(_) => {
            packet.ether_source
        }
    }
}

/// Room for every answer but long echoes.
const ANSWER_ROOM: usize = 1280 + 18;
