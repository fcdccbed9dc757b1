//! Any bytes as a frame: no panic, nothing beyond the frame's end, and what was read means the same when it is written again.

use fourtuple_wire::{
    ChecksumCheck, EmitChecksum, Expect, FourTuple, IpFields, Link, Packet, PacketKind, Span, Sum, TcpPacket,
    emit_tcp, parse, tcp_frame_header_len,
};

/// Reads a frame as every kind of port would.
///
/// # Panics
/// When what was read cannot be.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn frames(frame: &[u8]) {
    // No frame is longer: a span's ends are 16 bits.
    let frame = &frame[..frame.len().min(9_018)];
    let mut verdicts = Vec::new();
    for checksum in [
        ChecksumCheck::Verify,
        ChecksumCheck::VerifyOrPartial,
        ChecksumCheck::Trust,
    ] {
        for vlan in [None, Some(5)] {
            let parsed = parse(frame, &Expect { checksum, vlan });
            if let Ok(packet) = &parsed {
                within(packet, frame);
                if let PacketKind::Tcp(segment) = &packet.kind {
                    again(segment, frame);
                }
            }
            verdicts.push(parsed.is_ok());
        }
    }
    // Who looks at less takes no less.
    for vlan in 0..2 {
        assert!(
            !verdicts[vlan] || verdicts[2 + vlan],
            "partial checksums refuse a right one"
        );
        assert!(
            !verdicts[vlan] || verdicts[4 + vlan],
            "trust refuses what is right"
        );
    }
}

/// Any bytes as the options of a segment that is right otherwise.
///
/// # Panics
/// When what was read cannot be.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn options(options: &[u8]) {
    let options = &options[..options.len().min(40)];
    let padding = options.len().next_multiple_of(4) - options.len();
    let upper_len = 20 + options.len() + padding + 3;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend_from_slice(&((20 + upper_len) as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame.extend_from_slice(&[4, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2]);
    let words = (5 + (options.len() + padding) / 4) as u8;
    frame.extend_from_slice(&[words << 4, 0x12, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend_from_slice(options);
    frame.extend_from_slice(&vec![0; padding]);
    frame.extend_from_slice(b"abc");
    let expect = Expect {
        checksum: ChecksumCheck::Trust,
        vlan: None,
    };
    // RFC 9293 MUST-7: options of any form spoil no segment.
    let packet = parse(&frame, &expect).expect("a segment with odd options is a segment");
    let PacketKind::Tcp(segment) = &packet.kind else {
        panic!("no segment");
    };
    assert_eq!(
        segment.payload.of(&frame),
        b"abc",
        "options take nothing of the payload"
    );
    again(segment, &frame);
    frames(&frame);
}

/// Parts lie within the frame.
fn within(packet: &Packet, frame: &[u8]) {
    let inside = |span: Span| assert!(span.range().end <= frame.len(), "{span:?} of {}", frame.len());
    match &packet.kind {
        PacketKind::Tcp(segment) => inside(segment.payload),
        PacketKind::Udp(datagram) => {
            inside(datagram.payload);
            inside(datagram.ip);
        }
        PacketKind::Arp(_) | PacketKind::Icmpv4(_) | PacketKind::Icmpv6(_) | PacketKind::Fragment(_) => {}
    }
}

/// Written again and read again, a segment says the same.
fn again(segment: &TcpPacket, frame: &[u8]) {
    let (local, remote) = (segment.tuple.local(), segment.tuple.remote());
    let Some(flipped) = FourTuple::new(remote, local) else {
        return;
    };
    let link = Link {
        source: [2, 0, 0, 0, 0, 2],
        destination: [2, 0, 0, 0, 0, 1],
        vlan: None,
    };
    let ip = IpFields {
        ttl: segment.ttl,
        traffic_class: segment.traffic_class,
        identification: 0,
    };
    let payload = segment.payload.of(frame);
    let len = tcp_frame_header_len(flipped.family(), None, &segment.header.options);
    let mut written = vec![0; len];
    written.extend_from_slice(payload);
    let sum = EmitChecksum::Software(Sum::of(payload));
    let count = emit_tcp(
        &mut written[..len],
        &link,
        &flipped,
        &ip,
        &segment.header,
        payload.len(),
        sum,
    );
    if count == 0 {
        // More options than we would ever send together.
        return;
    }
    let packet = super::peer::well_formed(&written);
    let PacketKind::Tcp(read) = &packet.kind else {
        panic!("no segment");
    };
    assert_eq!((&read.tuple, &read.header), (&segment.tuple, &segment.header));
    assert_eq!(read.payload.of(&written), payload);
}
