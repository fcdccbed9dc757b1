//! Properties over any frame: nothing panics, and what was written is read back.

use std::net::{Ipv4Addr, Ipv6Addr};

use fourtuple_wire::{
    AdvertisementFlags, ChecksumCheck, Echo, EmitChecksum, Ends, Expect, FastOpenCookie, FourTuple,
    Icmpv4Message, Icmpv6Message, IpFields, Link, Packet, PacketKind, SackBlock, SeqNum, Span, Sum, TcpFlags,
    TcpHeader, TcpOptions, TcpPacket, Timestamps, build_arp_announcement, build_arp_reply,
    build_icmpv4_echo_reply, build_icmpv4_port_unreachable, build_icmpv6_echo_reply,
    build_icmpv6_port_unreachable, build_neighbour_advertisement, build_neighbour_solicitation, emit_tcp,
    objection, parse, tcp_frame_header_len,
};
use proptest::prelude::*;

fn expects() -> impl Strategy<Value = Expect> {
    let checksum = prop_oneof![
        Just(ChecksumCheck::Verify),
        Just(ChecksumCheck::VerifyOrPartial),
        Just(ChecksumCheck::Trust)
    ];
    (checksum, vlans()).prop_map(|(checksum, vlan)| Expect { checksum, vlan })
}

fn vlans() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![3 => Just(None), 1 => (1..4095u16).prop_map(Some)]
}

fn links() -> impl Strategy<Value = Link> {
    (any::<[u8; 6]>(), any::<[u8; 6]>(), vlans()).prop_map(|(source, destination, vlan)| Link {
        source,
        destination,
        vlan,
    })
}

fn ips() -> impl Strategy<Value = IpFields> {
    (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(ttl, traffic_class, identification)| IpFields {
        ttl,
        traffic_class,
        identification,
    })
}

fn tuples() -> impl Strategy<Value = FourTuple> {
    let v4 = any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (a.into(), b.into()));
    let v6 = any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (a.into(), b.into()));
    (prop_oneof![v4, v6], 1..=u16::MAX, 1..=u16::MAX).prop_map(
        |((local, remote), local_port, remote_port): ((std::net::IpAddr, std::net::IpAddr), _, _)| {
            FourTuple::new((local, local_port).into(), (remote, remote_port).into()).unwrap()
        },
    )
}

fn options() -> impl Strategy<Value = TcpOptions> {
    let timestamps = any::<(u32, u32)>().prop_map(|(value, echo)| Timestamps { value, echo });
    let block = any::<(u32, u32)>().prop_map(|(left, right)| SackBlock {
        left: SeqNum(left),
        right: SeqNum(right),
    });
    (
        any::<Option<u16>>(),
        any::<Option<u8>>(),
        any::<bool>(),
        prop::option::of(timestamps),
        prop::option::of(prop::collection::vec(any::<[u8; 2]>(), 0..=8)),
        prop::collection::vec(block, 0..=4),
    )
        .prop_map(
            |(mss, window_scale, sack_permitted, timestamps, cookie, sack)| TcpOptions {
                mss,
                window_scale,
                sack_permitted,
                timestamps,
                fast_open: cookie.and_then(|octets| FastOpenCookie::new(octets.as_flattened())),
                sack: sack.into_iter().collect(),
            },
        )
}

fn headers() -> impl Strategy<Value = TcpHeader> {
    let numbers = any::<(u32, u32, u8, u16, u16)>();
    (numbers, options()).prop_map(|((seq, ack, flags, window, urgent), options)| TcpHeader {
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags: TcpFlags(flags),
        window,
        urgent,
        options,
    })
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

prop_compose! {
    /// A whole frame, and all that it was made of.
    fn segments()(
        link in links(), tuple in tuples(), ip in ips(), header in headers(), payload in payloads(),
    ) -> (Vec<u8>, Link, FourTuple, IpFields, TcpHeader, Vec<u8>) {
        let mut frame = vec![0xee; tcp_frame_header_len(tuple.family(), link.vlan, &header.options)];
        let checksum = EmitChecksum::Software(Sum::of(&payload));
        let len = emit_tcp(&mut frame, &link, &tuple, &ip, &header, payload.len(), checksum);
        assert_eq!(len, frame.len());
        frame.extend(&payload);
        (frame, link, tuple, ip, header, payload)
    }
}

/// SACK blocks that fit behind the other options.
fn blocks_that_fit(options: &TcpOptions) -> usize {
    let mss = if options.mss.is_some() { 4 } else { 0 };
    let scale = if options.window_scale.is_some() { 4 } else { 0 };
    let middle = match (options.timestamps.is_some(), options.sack_permitted) {
        (true, _) => 12,
        (false, true) => 4,
        (false, false) => 0,
    };
    let cookie = |cookie: FastOpenCookie| (2 + cookie.octets().len()).next_multiple_of(4);
    let fast_open = options.fast_open.map_or(0, cookie);
    let room = 40 - mss - scale - middle - fast_open;
    options.sack.len().min(room.saturating_sub(4) / 8)
}

fn strict(vlan: Option<u16>) -> Expect {
    Expect {
        checksum: ChecksumCheck::Verify,
        vlan,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // proves: RFC 9293 MUST-2, MUST-3, MUST-69
    #[test]
    fn a_segment_is_read_back_as_it_was_written(
        (frame, link, tuple, ip, header, payload) in segments(),
        padding in 0..60usize,
    ) {
        let mut expected = header;
        let fit = blocks_that_fit(&expected.options);
        expected.options.sack.truncate(fit);
        let start = frame.len() - payload.len();
        prop_assert!(start <= 118 && start % 4 == 2);
        let mut frame = frame;
        frame.resize(frame.len() + padding, 0xee);
        let expected = Packet {
            ether_source: link.source,
            ether_destination: link.destination,
            kind: PacketKind::Tcp(TcpPacket {
                tuple: tuple.reversed(),
                header: expected,
                payload: Span { start: start as u16, len: payload.len() as u16 },
                ttl: ip.ttl,
                traffic_class: ip.traffic_class,
                partial_checksum: false,
            }),
        };
        prop_assert_eq!(parse(&frame, &strict(link.vlan)), Ok(expected));
    }

    #[test]
    fn the_payload_sum_may_be_made_of_any_pieces(
        (frame, link, tuple, ip, header, payload) in segments(),
        cut in any::<prop::sample::Index>(),
    ) {
        let (front, back) = payload.split_at(cut.index(payload.len() + 1));
        let mut written = vec![0; 118];
        let checksum = EmitChecksum::Software(Sum::of(front).with(back));
        let len = emit_tcp(&mut written, &link, &tuple, &ip, &header, payload.len(), checksum);
        prop_assert_eq!(&written[..len], &frame[..len]);
    }

    #[test]
    fn a_buffer_that_is_too_short_is_left_alone(
        (frame, link, tuple, ip, header, payload) in segments(),
        short in any::<prop::sample::Index>(),
    ) {
        let needed = frame.len() - payload.len();
        let mut buffer = vec![0xee; short.index(needed)];
        let checksum = EmitChecksum::Hardware;
        prop_assert_eq!(emit_tcp(&mut buffer, &link, &tuple, &ip, &header, payload.len(), checksum), 0);
        prop_assert!(buffer.iter().all(|&octet| octet == 0xee));
    }

    #[test]
    fn any_bytes_at_all_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        expect in expects(),
    ) {
        check_spans(&bytes, &expect);
    }

    // Random bytes hardly get beyond the EtherType; these do.
    #[test]
    fn nearly_valid_frames_are_read_without_panic(
        (mut frame, link, ..) in segments(),
        changes in prop::collection::vec((0..160usize, any::<u8>()), 0..6),
        protocol in prop_oneof![Just(None), Just(Some(1u8)), Just(Some(17)), Just(Some(58)), Just(Some(0)), Just(Some(43)), Just(Some(60))],
        cut in any::<prop::sample::Index>(),
        checksum in prop_oneof![Just(ChecksumCheck::VerifyOrPartial), Just(ChecksumCheck::Trust)],
    ) {
        let ip = if link.vlan.is_some() { 18 } else { 14 };
        let at = if frame[ip] >> 4 == 4 { ip + 9 } else { ip + 6 };
        if let Some(protocol) = protocol {
            frame[at] = protocol;
        }
        for (at, value) in changes {
            if let Some(octet) = frame.get_mut(at) {
                *octet = value;
            }
        }
        check_spans(&frame, &Expect { checksum, vlan: link.vlan });
        frame.truncate(cut.index(frame.len() + 1));
        check_spans(&frame, &Expect { checksum, vlan: link.vlan });
    }

    // ICMP carries its own checksum, so mutations have to mend it to get anywhere.
    #[test]
    fn any_icmp_body_is_read_without_panic(
        kind in 0..=140u8, code in 0..6u8,
        body in prop::collection::vec(any::<u8>(), 0..120),
        v6 in any::<bool>(),
        shape in 0..4u8,
    ) {
        let mut body = body;
        // A plausible start of a quoted packet now and then.
        if let (Some(first), 1..) = (body.get_mut(4), shape) {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        if let (Some(next), 2..) = (body.get_mut(if v6 { 10 } else { 13 }), shape) {
            *next = 6;
        }
        check_spans(&icmp_frame(kind, code, &body, v6), &strict(None));
    }

    #[test]
    fn echo_replies_carry_back_what_came(
        link in links(), ip in ips(), v4 in any::<(Ipv4Addr, Ipv4Addr)>(), v6 in any::<(Ipv6Addr, Ipv6Addr)>(),
        (identifier, sequence) in any::<(u16, u16)>(), payload in payloads(),
    ) {
        let echo = Echo { identifier, sequence, payload: Span::default() };
        let mut buffer = vec![0xee; 1700];
        let ends = Ends { source: v4.0, destination: v4.1 };
        let len = build_icmpv4_echo_reply(&mut buffer, &link, &ip, ends, &echo, &payload).unwrap();
        let Ok(PacketKind::Icmpv4(reply)) = parse(&buffer[..len], &strict(link.vlan)).map(|p| p.kind) else {
            panic!("no ICMP");
        };
        prop_assert_eq!((reply.source, reply.destination, reply.ttl), (v4.0, v4.1, ip.ttl));
        let Icmpv4Message::EchoReply(read) = reply.message else { panic!("no reply") };
        prop_assert_eq!((read.identifier, read.sequence), (identifier, sequence));
        prop_assert_eq!(read.payload.of(&buffer[..len]), &payload[..]);
        prop_assert_eq!(build_icmpv4_echo_reply(&mut buffer[..len - 1], &link, &ip, ends, &echo, &payload), None);

        let ends = Ends { source: v6.0, destination: v6.1 };
        let len = build_icmpv6_echo_reply(&mut buffer, &link, &ip, ends, &echo, &payload).unwrap();
        let Ok(PacketKind::Icmpv6(reply)) = parse(&buffer[..len], &strict(link.vlan)).map(|p| p.kind) else {
            panic!("no ICMPv6");
        };
        let Icmpv6Message::EchoReply(read) = reply.message else { panic!("no reply") };
        prop_assert_eq!((read.identifier, read.sequence), (identifier, sequence));
        prop_assert_eq!(read.payload.of(&buffer[..len]), &payload[..]);
    }

    // The TCP segment stands for the datagram: an error that quotes TCP is read to the end.
    // proves: RFC 1122 §3.2.2 (a quotation holds the IP header and eight octets at least)
    #[test]
    fn a_quotation_names_the_segment_and_keeps_within_its_bound(
        (frame, link, tuple, ip, header, _) in segments(),
    ) {
        let start = if link.vlan.is_some() { 18 } else { 14 };
        let packet = &frame[start..];
        let mut buffer = vec![0xee; 1400];
        let (len, bound) = match &tuple {
            FourTuple::V4(t) => {
                let ends = Ends { source: t.remote, destination: t.local };
                (build_icmpv4_port_unreachable(&mut buffer, &link, &ip, ends, packet), 576)
            }
            FourTuple::V6(t) => {
                let ends = Ends { source: t.remote, destination: t.local };
                (build_icmpv6_port_unreachable(&mut buffer, &link, &ip, ends, packet), 1280)
            }
        };
        let len = len.unwrap();
        let error_header = start + if bound == 576 { 28 } else { 48 };
        prop_assert_eq!(len, (packet.len() + error_header).min(bound + start));
        let error = match parse(&buffer[..len], &strict(link.vlan)).map(|p| p.kind) {
            Ok(PacketKind::Icmpv4(icmp)) => match icmp.message {
                Icmpv4Message::Error(error) => error,
                other => panic!("{other:?}"),
            },
            Ok(PacketKind::Icmpv6(icmp)) => match icmp.message {
                Icmpv6Message::Error(error) => error,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(error.tuple, tuple);
        prop_assert_eq!(error.seq, header.seq);
        prop_assert_eq!(usize::from(error.packet_len), packet.len());
        prop_assert!(error.is_hard());
    }

    #[test]
    fn address_resolution_is_read_back(
        mut link in links(), v4 in any::<(Ipv4Addr, Ipv4Addr)>(), v6 in any::<(Ipv6Addr, Ipv6Addr)>(),
        (router, solicited, overrides) in any::<(bool, bool, bool)>(),
    ) {
        link.source[0] &= 0xfe;
        link.destination[0] &= 0xfe;
        let expect = strict(link.vlan);
        let mut buffer = [0xee; 128];
        let len = build_arp_reply(&mut buffer, &link, v4.0, v4.1).unwrap();
        let Ok(PacketKind::Arp(arp)) = parse(&buffer[..len], &expect).map(|p| p.kind) else { panic!("no ARP") };
        prop_assert_eq!((arp.sender_ether, arp.target_ether), (link.source, link.destination));
        prop_assert_eq!((arp.sender, arp.target), v4);
        prop_assert_eq!(build_arp_reply(&mut buffer[..len - 1], &link, v4.0, v4.1), None);
        let len = build_arp_announcement(&mut buffer, link.source, link.vlan, v4.0).unwrap();
        let announced = parse(&buffer[..len], &expect).unwrap();
        prop_assert_eq!(announced.ether_destination, [0xff; 6]);
        let PacketKind::Arp(arp) = announced.kind else { panic!("no ARP") };
        prop_assert_eq!((arp.sender, arp.target), (v4.0, v4.0));

        prop_assume!(!v6.0.is_multicast() && !v6.1.is_multicast());
        let len = build_neighbour_solicitation(&mut buffer, &link, v6.0, v6.1).unwrap();
        let Ok(PacketKind::Icmpv6(icmp)) = parse(&buffer[..len], &expect).map(|p| p.kind) else { panic!("no ND") };
        prop_assert_eq!(icmp.destination, v6.1);
        let Icmpv6Message::NeighbourSolicitation(asked) = icmp.message else { panic!("no NS") };
        prop_assert_eq!((asked.target, asked.source_link), (v6.1, Some(link.source)));
        let flags = AdvertisementFlags { router, solicited, overrides };
        let ends = Ends { source: v6.1, destination: v6.0 };
        let len = build_neighbour_advertisement(&mut buffer, &link, ends, v6.1, flags).unwrap();
        let Ok(PacketKind::Icmpv6(icmp)) = parse(&buffer[..len], &expect).map(|p| p.kind) else { panic!("no ND") };
        let Icmpv6Message::NeighbourAdvertisement(told) = icmp.message else { panic!("no NA") };
        prop_assert_eq!((told.target, told.target_link, told.flags), (v6.1, Some(link.source), flags));
    }
}

#[test]
fn a_search_for_duplicates_names_no_address() {
    let target: Ipv6Addr = "fe80::1:2345".parse().unwrap();
    let link = Link {
        source: [2, 0, 0, 0, 0, 1],
        destination: fourtuple_wire::ether_multicast_v6(fourtuple_wire::solicited_node(target)),
        vlan: None,
    };
    let mut buffer = [0; 128];
    let len = build_neighbour_solicitation(&mut buffer, &link, Ipv6Addr::UNSPECIFIED, target).unwrap();
    let Ok(PacketKind::Icmpv6(icmp)) = parse(&buffer[..len], &strict(None)).map(|p| p.kind) else {
        panic!("refused");
    };
    assert!(matches!(icmp.message, Icmpv6Message::NeighbourSolicitation(n) if n.source_link.is_none()));
}

#[test]
fn packets_longer_than_ip_allows_are_not_written() {
    let tuple = FourTuple::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()).unwrap();
    let link = Link {
        source: [2; 6],
        destination: [4; 6],
        vlan: None,
    };
    let mut buffer = vec![0; 70_000];
    let mut emit = |len| {
        let (ip, header) = (IpFields::default(), TcpHeader::default());
        emit_tcp(
            &mut buffer,
            &link,
            &tuple,
            &ip,
            &header,
            len,
            EmitChecksum::Hardware,
        )
    };
    assert_eq!(emit(65_535 - 40), 54);
    assert_eq!(emit(65_535 - 39), 0);
    assert_eq!(emit(usize::MAX), 0);
    let ends = Ends {
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
    };
    let echo = Echo {
        identifier: 0,
        sequence: 0,
        payload: Span::default(),
    };
    let payload = vec![0; 65_508];
    let mut echo = |len| {
        build_icmpv4_echo_reply(
            &mut buffer,
            &link,
            &IpFields::default(),
            ends,
            &echo,
            &payload[..len],
        )
    };
    assert_eq!(echo(65_507), Some(65_549));
    assert_eq!(echo(65_508), None);
}

/// Reads the frame, and looks whether the parts that were found lie within it.
fn check_spans(frame: &[u8], expect: &Expect) {
    let inside = |span: Span| assert!(span.range().end <= frame.len(), "{span:?} of {}", frame.len());
    match parse(frame, expect).map(|packet| packet.kind) {
        Ok(PacketKind::Tcp(tcp)) => inside(tcp.payload),
        Ok(PacketKind::Udp(udp)) => {
            inside(udp.payload);
            inside(udp.ip);
        }
        Ok(PacketKind::Icmpv4(icmp)) => match icmp.message {
            Icmpv4Message::EchoRequest(echo) | Icmpv4Message::EchoReply(echo) => inside(echo.payload),
            Icmpv4Message::Error(_) => {}
        },
        Ok(PacketKind::Icmpv6(icmp)) => match icmp.message {
            Icmpv6Message::EchoRequest(echo) | Icmpv6Message::EchoReply(echo) => inside(echo.payload),
            Icmpv6Message::Error(_)
            | Icmpv6Message::NeighbourSolicitation(_)
            | Icmpv6Message::NeighbourAdvertisement(_) => {}
        },
        Ok(PacketKind::Fragment(fragment)) => {
            inside(fragment.payload);
            inside(fragment.ip);
            assert!(fragment.key.source.is_ipv4() || fragment.named_at < fragment.head_len);
        }
        Ok(PacketKind::Arp(_)) => {}
        Err(_) => {
            if let Some(objection) = objection(frame, expect) {
                inside(objection.ip);
            }
        }
    }
}

/// A frame with an ICMP message of any kind whose checksum is right.
fn icmp_frame(kind: u8, code: u8, body: &[u8], v6: bool) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(body);
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let destination = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let pseudo = if v6 {
        Sum::pseudo_v6(source, destination, 58, message.len() as u16)
    } else {
        Sum::default()
    };
    let checksum = pseudo.with(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![2; 12];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
        frame.extend([source.octets(), destination.octets()].concat());
    } else {
        let mut header = [
            0x45,
            0,
            0,
            20 + message.len() as u8,
            0,
            0,
            0,
            0,
            64,
            1,
            0,
            0,
            10,
            0,
            0,
            1,
            10,
            0,
            0,
            2,
        ];
        let checksum = Sum::of(&header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend([0x08, 0x00]);
        frame.extend(header);
    }
    frame.extend(message);
    frame
}
