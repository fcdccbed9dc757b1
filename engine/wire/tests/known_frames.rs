//! Frames captured from Linux 6 on both ends of a veth pair, TCP checksum offload off: they are read as what they are,
//! and what we build for the same purpose is the same octet for octet.

use std::net::{Ipv4Addr, Ipv6Addr};

use fourtuple_wire::{
    AdvertisementFlags, ArpOperation, ChecksumCheck, DropReason, EmitChecksum, Ends, Expect, Icmpv6Message,
    IpFields, Link, Packet, PacketKind, SeqNum, Sum, TcpFlags, TcpHeader, TcpOptions, TcpPacket, Timestamps,
    build_arp_reply, build_arp_request, build_icmpv4_port_unreachable, build_icmpv6_port_unreachable,
    build_neighbour_advertisement, build_neighbour_solicitation, emit_tcp, ether_multicast_v6, parse,
    solicited_node, tcp_frame_header_len,
};

const SYN: &str = "02000000000b02000000000a08004500003cbafc400040066bab0a0900010a090002a9321f902c0dabb400000000a002faf0956f0000020405b40402080aad1255f1000000000103030a";
const SYN_ACK: &str = "02000000000a02000000000b08004500003c00004000400626a80a0900020a0900011f90a9327371d41b2c0dabb5a012fe88e19a0000020405b40402080abdf1aaacad1255f10103030a";
const ACK: &str = "02000000000b02000000000a080045000034bafd400040066bb20a0900010a090002a9321f902c0dabb57371d41c8010003f0eb400000101080aad1255f1bdf1aaac";
const PING: &str = "02000000000b02000000000a080045000039bafe400040066bac0a0900010a090002a9321f902c0dabb57371d41c8018003f0ed600000101080aad1255f1bdf1aaac70696e6721";
const FIN: &str = "02000000000b02000000000a080045000034bb00400040066baf0a0900010a090002a9321f902c0dabba7371d4208011003f0eaa00000101080aad1255f1bdf1aaac";
const RST: &str = "02000000000a02000000000b08004500002800004000400626bc0a0900020a0900011f91e03c00000000ea992dde5014000083760000";
const UDP: &str =
    "02000000000b02000000000a08004500001f650440004011c1b50a0900010a090002831f270f000b5c30756470";
const UNREACHABLE: &str = "02000000000a02000000000b080045c0003b2a7e000040013b700a0900020a0900010303112e000000004500001f650440004011c1b50a0900010a090002831f270f000b5c30756470";
const ARP_REQUEST: &str =
    "ffffffffffff02000000000a0806000108000604000102000000000a0a0900010000000000000a090002";
const ARP_REPLY: &str =
    "02000000000a02000000000b0806000108000604000202000000000b0a09000202000000000a0a090001";
const SYN6: &str = "02000000000b02000000000a86dd6006e58a00280640fd090000000000000000000000000001fd090000000000000000000000000002979e1f90f907674c00000000a002fd20be6b0000020405a00402080ae69a9450000000000103030a";
const PING6: &str = "02000000000b02000000000a86dd6006e58a00250640fd090000000000000000000000000001fd090000000000000000000000000002979e1f90f907674d881dbd33801800404b0300000101080ae69a945099b4c01070696e6721";
const UDP6: &str = "02000000000b02000000000a86dd60050f81000b1140fd090000000000000000000000000001fd090000000000000000000000000002d16b270f000b27e2756470";
const UNREACHABLE6: &str = "02000000000a02000000000b86dd6007e235003b3a40fd090000000000000000000000000002fd090000000000000000000000000001010483ba0000000060050f81000b1140fd090000000000000000000000000001fd090000000000000000000000000002d16b270f000b27e2756470";
const DUPLICATE_SEARCH: &str = "3333ff00000a02000000000a86dd6000000000203aff00000000000000000000000000000000ff0200000000000000000001ff00000a87001fbf00000000fe80000000000000000000fffe00000a0e01f22cce938e8a";
const SOLICITATION: &str = "3333ff00000202000000000a86dd6000000000203afffd090000000000000000000000000001ff0200000000000000000001ff00000287007d7c00000000fd090000000000000000000000000002010102000000000a";
const ADVERTISEMENT: &str = "02000000000a02000000000b86dd6000000000203afffd090000000000000000000000000002fd09000000000000000000000000000188001c7660000000fd090000000000000000000000000002020102000000000b";
const LISTENER_REPORT: &str = "33330000001602000000000a86dd600000000038000100000000000000000000000000000000ff0200000000000000000000000000163a000502000001008f006d650000000204000000ff0200000000000000000001ff00000a04000000ff0200000000000000000001ff000001";
const ROUTER_SOLICITATION: &str = "33330000000202000000000a86dd6000000000103afffe80000000000000000000fffe00000aff02000000000000000000000000000285007b1a00000000010102000000000a";

const A: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const A4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const A_TO_B: Link = Link {
    source: A,
    destination: B,
    vlan: None,
};
const B_TO_A: Link = Link {
    source: B,
    destination: A,
    vlan: None,
};

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read(frame: &[u8]) -> Result<Packet, DropReason> {
    parse(frame, &Expect::default())
}

#[track_caller]
fn tcp(frame: &[u8]) -> TcpPacket {
    match read(frame).map(|packet| packet.kind) {
        Ok(PacketKind::Tcp(tcp)) => tcp,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_syn_of_linux() {
    let frame = bytes(SYN);
    let packet = read(&frame).unwrap();
    assert_eq!((packet.ether_source, packet.ether_destination), (A, B));
    let segment = tcp(&frame);
    assert_eq!(segment.tuple.local(), (B4, 8080).into());
    assert_eq!(segment.tuple.remote(), (A4, 43314).into());
    assert_eq!(
        (segment.payload.len, segment.ttl, segment.traffic_class),
        (0, 64, 0)
    );
    let expected = TcpHeader {
        seq: SeqNum(739_093_428),
        ack: SeqNum(0),
        flags: TcpFlags::SYN,
        window: 64240,
        urgent: 0,
        options: TcpOptions {
            mss: Some(1460),
            window_scale: Some(10),
            sack_permitted: true,
            timestamps: Some(Timestamps {
                value: 2_903_660_017,
                echo: 0,
            }),
            ..TcpOptions::default()
        },
    };
    assert_eq!(segment.header, expected);
}

// proves: RFC 9293 MUST-2, MUST-4, MUST-14 and MUST-49 (what is sent carries them), octet for octet as Linux sends it
#[test]
fn segments_are_written_as_linux_writes_them() {
    for (what, hex) in [
        ("SYN", SYN),
        ("SYN+ACK", SYN_ACK),
        ("ACK", ACK),
        ("data", PING),
        ("FIN", FIN),
        ("RST", RST),
        ("SYN over IPv6", SYN6),
        ("data over IPv6", PING6),
    ] {
        let mut frame = bytes(hex);
        if frame[12] == 0x86 {
            // Linux draws a flow label; ours is zero.
            frame[15] &= 0xf0;
            frame[16..18].fill(0);
        }
        let packet = read(&frame).unwrap();
        let segment = tcp(&frame);
        let payload = segment.payload.of(&frame);
        let link = Link {
            source: packet.ether_source,
            destination: packet.ether_destination,
            vlan: None,
        };
        let ip = IpFields {
            ttl: segment.ttl,
            traffic_class: segment.traffic_class,
            identification: u16::from_be_bytes([frame[18], frame[19]]),
        };
        let tuple = segment.tuple.reversed();
        let mut written = vec![0xee; tcp_frame_header_len(tuple.family(), None, &segment.header.options)];
        let checksum = EmitChecksum::Software(Sum::of(payload));
        let len = emit_tcp(
            &mut written,
            &link,
            &tuple,
            &ip,
            &segment.header,
            payload.len(),
            checksum,
        );
        assert_eq!(len, written.len(), "{what}");
        written.extend(payload);
        assert_eq!(written, frame, "{what}");
    }
}

#[test]
fn arp_is_read_and_written_as_linux_does() {
    let Ok(PacketKind::Arp(request)) = read(&bytes(ARP_REQUEST)).map(|packet| packet.kind) else {
        panic!("no ARP");
    };
    assert_eq!(request.operation, ArpOperation::Request);
    assert_eq!(
        (request.sender_ether, request.sender, request.target),
        (A, A4, B4)
    );
    let mut buffer = [0xee; 64];
    let everybody = Link {
        destination: [0xff; 6],
        ..A_TO_B
    };
    let len = build_arp_request(&mut buffer, &everybody, A4, B4).unwrap();
    assert_eq!(buffer[..len], bytes(ARP_REQUEST));
    let len = build_arp_reply(&mut buffer, &B_TO_A, B4, A4).unwrap();
    assert_eq!(buffer[..len], bytes(ARP_REPLY));
}

#[test]
fn neighbour_discovery_is_read_and_written_as_linux_does() {
    let mut buffer = [0xee; 128];
    let group = Link {
        destination: ether_multicast_v6(solicited_node(B6)),
        ..A_TO_B
    };
    let len = build_neighbour_solicitation(&mut buffer, &group, A6, B6).unwrap();
    assert_eq!(buffer[..len], bytes(SOLICITATION));
    let ends = Ends {
        source: B6,
        destination: A6,
    };
    let flags = AdvertisementFlags {
        router: false,
        solicited: true,
        overrides: true,
    };
    let len = build_neighbour_advertisement(&mut buffer, &B_TO_A, ends, B6, flags).unwrap();
    assert_eq!(buffer[..len], bytes(ADVERTISEMENT));
    let Ok(PacketKind::Icmpv6(search)) = read(&bytes(DUPLICATE_SEARCH)).map(|packet| packet.kind) else {
        panic!("no ICMPv6");
    };
    assert!(search.source.is_unspecified());
    assert!(matches!(search.message, Icmpv6Message::NeighbourSolicitation(n) if n.source_link.is_none()));
}

#[test]
fn a_datagram_for_nobody_is_answered_as_linux_does() {
    let ip = IpFields {
        ttl: 64,
        traffic_class: 0xc0,
        identification: 0x2a7e,
    };
    let mut buffer = [0xee; 128];
    let frame = bytes(UDP);
    let Ok(PacketKind::Udp(datagram)) = read(&frame).map(|packet| packet.kind) else {
        panic!("no UDP");
    };
    let ends = Ends {
        source: B4,
        destination: A4,
    };
    let len = build_icmpv4_port_unreachable(&mut buffer, &B_TO_A, &ip, ends, datagram.ip.of(&frame)).unwrap();
    // Linux leaves DF clear on its own errors, and so the header checksum differs.
    let mut expected = bytes(UNREACHABLE);
    expected[20] = 0x40;
    expected[24..26].copy_from_slice(&[0xfb, 0x6f]);
    assert_eq!(buffer[..len], expected);

    let frame = bytes(UDP6);
    let Ok(PacketKind::Udp(datagram)) = read(&frame).map(|packet| packet.kind) else {
        panic!("no UDP over IPv6");
    };
    let ends = Ends {
        source: B6,
        destination: A6,
    };
    let ip = IpFields::default();
    let len = build_icmpv6_port_unreachable(&mut buffer, &B_TO_A, &ip, ends, datagram.ip.of(&frame)).unwrap();
    let mut expected = bytes(UNREACHABLE6);
    expected[15..18].fill(0);
    assert_eq!(buffer[..len], expected);
}

#[test]
fn what_else_a_linux_host_says_is_well_formed_and_ignored() {
    for (what, hex) in [
        ("an error about UDP", UNREACHABLE),
        ("the same over IPv6", UNREACHABLE6),
        (
            "a multicast listener report behind a hop-by-hop header",
            LISTENER_REPORT,
        ),
        ("a router solicitation", ROUTER_SOLICITATION),
    ] {
        assert_eq!(read(&bytes(hex)), Err(DropReason::IgnoredIcmp), "{what}");
    }
}

#[test]
fn a_port_that_fills_in_checksums_gets_the_pseudo_header_sum() {
    for hex in [PING, PING6] {
        let frame = bytes(hex);
        let segment = tcp(&frame);
        let payload = segment.payload.of(&frame);
        let mut written = vec![0xee; 128];
        let len = emit_tcp(
            &mut written,
            &A_TO_B,
            &segment.tuple.reversed(),
            &IpFields::default(),
            &segment.header,
            payload.len(),
            EmitChecksum::Hardware,
        );
        written.truncate(len);
        written.extend(payload);
        if written[12] == 0x08 {
            assert_eq!(written[24..26], [0, 0], "the port makes the IPv4 header checksum");
            written[24..26].copy_from_slice(&[0, 0]);
            let header = Sum::of(&written[14..34]).checksum();
            written[24..26].copy_from_slice(&header.to_be_bytes());
        }
        // What is left for the port to do is what a kernel leaves to it.
        let expect = Expect {
            checksum: ChecksumCheck::VerifyOrPartial,
            vlan: None,
        };
        let Ok(PacketKind::Tcp(read)) = parse(&written, &expect).map(|packet| packet.kind) else {
            panic!("not accepted as partial");
        };
        assert!(read.partial_checksum);
        assert_eq!(read.header, segment.header);
    }
}
