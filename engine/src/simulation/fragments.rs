//! Packets in fragments: echo, TCP and UDP inside, whichever worker they come to; floods that never end; errors that are told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{MemQueue, WireConditions};
use fourtuple_wire::{
    EmitChecksum, Expect, FourTuple, Fragments, Icmpv6Message, IpFields, Link, Packet, PacketKind, SeqNum,
    Sum, TcpFlags, TcpHeader, emit_tcp, parse, tcp_frame_header_len,
};

use super::handlers::{Client, Echo, Errand, pattern};
use super::{Plan, World};
use crate::handler::{Handler, NoHandler};
use crate::host::{Added, Reassembler};
use crate::listener::Listen;
use crate::options::ConnectionOption;
use crate::port_number::PortNumber;

/// A server, and a peer that writes frames.
struct Peer<C: Handler<MemQueue> = NoHandler> {
    world: World<Echo, C>,
    /// What came back, put together.
    heard: Vec<Vec<u8>>,
    pieces: Reassembler<Vec<u8>>,
    /// Frames longer than this are wrong.
    mtu: usize,
    number: u32,
}

impl Peer {
    fn new(plan: &Plan) -> Self {
        Self::with(plan, NoHandler)
    }
}

impl<C: Handler<MemQueue>> Peer<C> {
    /// With an application of its own beside what it writes.
    fn with(plan: &Plan, client: C) -> Self {
        let mut client = Some(client);
        let mut world = World::new(plan, |_| Echo::default(), |_| client.take().unwrap());
        let listen = Listen::on(7).with(ConnectionOption::NoDelay(true));
        world.server.listen(0, &listen);
        let mut peer = Self {
            world,
            heard: Vec::new(),
            pieces: Reassembler::new(64),
            mtu: 1500,
            number: 0,
        };
        let station = peer.link().source;
        for shard in &mut peer.world.server.shards {
            for remote in ["10.0.0.2", "fd00::2"] {
                shard
                    .work
                    .introduce(PortNumber::FIRST, remote.parse().unwrap(), station);
            }
        }
        peer
    }

    fn queue(&mut self) -> &mut MemQueue {
        &mut self.world.client.shards[0].work.ports[PortNumber::FIRST].queue
    }

    fn link(&mut self) -> Link {
        let destination = self.world.server.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0;
        Link {
            source: self.queue().promises().mac.0,
            destination,
            vlan: None,
        }
    }

    fn say(&mut self, frame: &[u8]) {
        assert!(self.queue().send_bytes(frame));
    }

    /// Says a frame in fragments of at most so many octets; the order is turned round when `backwards`.
    fn say_cut(&mut self, frame: &[u8], mtu: u16, backwards: bool) {
        let mut pieces = self.cut(frame, mtu);
        if backwards {
            pieces.reverse();
        }
        for piece in pieces {
            self.say(&piece);
        }
    }

    fn cut(&mut self, frame: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        self.number += 1;
        let mut fragments = Fragments::new(frame, 14, mtu, self.number).unwrap();
        let mut room = [0; 9000];
        let mut pieces = Vec::new();
        while let Some(len) = fragments.build_next(&mut room) {
            pieces.push(room[..len].to_vec());
        }
        pieces
    }

    /// Turns both workers of the server until what was said is answered.
    fn listen(&mut self) {
        for _ in 0..8 {
            self.world.clock.advance(Duration::from_micros(25));
            let now = self.world.now();
            self.world.server.turn(now);
            for frame in self.queue().receive_bytes() {
                assert!(frame.len() <= self.mtu + 14, "{} octets", frame.len());
                self.hear(frame);
            }
        }
    }

    fn hear(&mut self, frame: Vec<u8>) {
        let now = self.world.now();
        let Ok(PacketKind::Fragment(fragment)) = read(&frame).map(|packet| packet.kind) else {
            if !is_of_the_link(&frame) {
                self.heard.push(frame);
            }
            return;
        };
        let added = self
            .pieces
            .add(PortNumber::FIRST, &fragment, frame, |frame| frame, now);
        if let Added::Whole(place) = added {
            let mut room = vec![0; 70_000];
            let (_, len) = self.pieces.linearise(place, |frame| frame, &mut room).unwrap();
            room.truncate(len);
            self.pieces.discard(place);
            self.heard.push(room);
        }
    }

    fn segment(&mut self, tuple: &FourTuple, header: &TcpHeader, payload: &[u8]) -> Vec<u8> {
        let link = self.link();
        let len = tcp_frame_header_len(tuple.family(), None, &header.options);
        let mut frame = vec![0; len];
        frame.extend_from_slice(payload);
        let sum = EmitChecksum::Software(Sum::of(payload));
        emit_tcp(
            &mut frame[..len],
            &link,
            tuple,
            &IpFields::default(),
            header,
            payload.len(),
            sum,
        );
        frame
    }

    /// An ICMP message of this type with `len` octets behind its header.
    fn icmp(&mut self, v6: bool, kind: u8, len: usize) -> Vec<u8> {
        let body: Vec<u8> = (0..len).map(pattern).collect();
        let message = [&[kind, 0, 0, 0, 0, 7, 0, 9][..], &body].concat();
        self.packet(v6, if v6 { 58 } else { 1 }, message, 2)
    }

    fn udp(&mut self, v6: bool, len: usize) -> Vec<u8> {
        let whole = (8 + len) as u16;
        let mut datagram = [40_000u16, 53, whole, 0].map(u16::to_be_bytes).concat();
        datagram.extend((0..len).map(pattern));
        self.packet(v6, 17, datagram, 6)
    }

    /// A packet to the server, the checksum of its upper layer at octet `at` of that.
    fn packet(&mut self, v6: bool, protocol: u8, mut upper: Vec<u8>, at: usize) -> Vec<u8> {
        let link = self.link();
        let mut frame = [link.destination, link.source].concat();
        let len = upper.len() as u16;
        if v6 {
            let (source, destination) = ("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap());
            let sum = Sum::pseudo_v6(source, destination, protocol, len).with(&upper);
            upper[at..at + 2].copy_from_slice(&sum.checksum().to_be_bytes());
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        } else {
            let (source, destination) = ("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
            let pseudo = match protocol {
                1 => Sum::default(),
                _ => Sum::pseudo_v4(source, destination, protocol, len),
            };
            let sum = pseudo.with(&upper).checksum();
            upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((len + 20).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
            let sum = Sum::of(&frame[14..34]).checksum();
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        frame.extend(upper);
        frame
    }

    fn counted(&mut self, count: impl Fn(&crate::stats::Counters) -> u64) -> u64 {
        let shards = &mut self.world.server.shards;
        shards.iter_mut().map(|shard| count(shard.counters())).sum()
    }

    fn hold_accounts(&mut self) {
        for shard in &mut self.world.server.shards {
            let counters = shard.counters();
            let verdicts = counters.consumed + counters.steered_out + counters.dropped.sum();
            assert_eq!(counters.rx_packets + counters.steered_in, verdicts);
        }
    }
}

fn read(frame: &[u8]) -> Result<Packet, fourtuple_wire::DropReason> {
    parse(frame, &Expect::default())
}

/// The server announces itself, by ARP and by neighbour discovery.
fn is_of_the_link(frame: &[u8]) -> bool {
    match read(frame).map(|packet| packet.kind) {
        Ok(PacketKind::Arp(_)) => true,
        Ok(PacketKind::Icmpv6(icmp)) => matches!(
            icmp.message,
            Icmpv6Message::NeighbourSolicitation(_) | Icmpv6Message::NeighbourAdvertisement(_)
        ),
        Ok(_) | Err(_) => false,
    }
}

fn two_workers() -> Plan {
    Plan {
        server_workers: 2,
        ..Plan::default()
    }
}

// proves: RFC 1122 §3.3.2, RFC 8200 §4.5
#[test]
fn an_echo_larger_than_the_link_is_answered_in_fragments() {
    for (v6, len, mtu, backwards) in [
        (false, 4_000, 1500, false),
        (true, 4_000, 1500, true),
        (false, 65_507, 1500, false),
        (true, 60_000, 1480, false),
        (false, 1_000, 68, true),
    ] {
        let mut peer = Peer::new(&two_workers());
        let request = peer.icmp(v6, if v6 { 128 } else { 8 }, len);
        for part in peer.cut(&request, mtu).chunks(20) {
            let mut part = part.to_vec();
            if backwards {
                part.reverse();
            }
            part.iter().for_each(|piece| peer.say(piece));
            peer.listen();
        }
        assert_eq!(peer.heard.len(), 1, "{len} octets, v6 {v6}");
        let reply = peer.heard[0].clone();
        assert!(read(&reply).is_ok(), "its checksums are right");
        let header = if v6 { 54 } else { 34 };
        assert_eq!(reply[header], if v6 { 129 } else { 0 });
        assert_eq!(reply[header + 4..], request[header + 4..]);
        assert_eq!(peer.counted(|counters| counters.reassembled), 1);
        assert_eq!(peer.counted(|counters| counters.fragments_held), 0);
        peer.hold_accounts();
    }
}

#[test]
fn segments_in_fragments_reach_the_worker_that_owns_them() {
    for v6 in [false, true] {
        let (ours, theirs) = if v6 {
            ("fd00::1", "fd00::2")
        } else {
            ("10.0.0.1", "10.0.0.2")
        };
        let (ours, theirs): (IpAddr, IpAddr) = (ours.parse().unwrap(), theirs.parse().unwrap());
        let mut peer = Peer::new(&two_workers());
        let mut owners = [0; 2];
        for port in 1_000..1_012 {
            let tuple = FourTuple::new(SocketAddr::new(theirs, port), SocketAddr::new(ours, 7)).unwrap();
            let mut header = TcpHeader {
                seq: SeqNum(u32::MAX - 1_000),
                flags: TcpFlags::SYN,
                window: 60_000,
                ..TcpHeader::default()
            };
            header.options.mss = Some(4_000);
            let syn = peer.segment(&tuple, &header, &[]);
            // RFC 7112: over IPv6 the first holds the whole header.
            let small = if v6 { 88 } else { 68 };
            peer.say_cut(&syn, small, false);
            peer.listen();
            let Some(PacketKind::Tcp(answer)) = peer.heard.pop().map(|frame| read(&frame).unwrap().kind)
            else {
                panic!("port {port}: no SYN+ACK");
            };
            header.options.mss = None;
            (header.seq, header.ack) = (header.seq + 1, answer.header.seq + 1);
            header.flags = TcpFlags::ACK;
            // The handshake's ACK and its first text, all in one packet; cut within the header, too.
            let text: Vec<u8> = (0..3_001).map(pattern).collect();
            header.flags = TcpFlags::ACK | TcpFlags::PSH;
            let data = peer.segment(&tuple, &header, &text);
            peer.say_cut(&data, if port % 2 == 0 { 1500 } else { 576 }, port % 3 == 0);
            peer.listen();
            let mut echoed = Vec::new();
            for frame in std::mem::take(&mut peer.heard) {
                if let Ok(PacketKind::Tcp(segment)) = read(&frame).map(|packet| packet.kind) {
                    echoed.extend_from_slice(segment.payload.of(&frame));
                }
            }
            assert_eq!(echoed, text, "port {port}, v6 {v6}");
            let worker = peer.world.server.shards[0]
                .work
                .steering
                .owner(&answer.tuple.reversed());
            owners[usize::from(worker)] += 1;
            // A RST in fragments ends it.
            header.seq += 3_001;
            header.flags = TcpFlags::RST;
            let reset = peer.segment(&tuple, &header, &[0; 100]);
            peer.say_cut(&reset, small, false);
            peer.listen();
            peer.heard.clear();
        }
        assert!(owners.iter().all(|owned| *owned > 0), "{owners:?}");
        peer.hold_accounts();
        peer.world.server.assert_as_at_start();
    }
}

#[test]
fn a_datagram_in_fragments_is_told_that_nobody_uses_its_port() {
    for v6 in [false, true] {
        let mut peer = Peer::new(&Plan::default());
        let datagram = peer.udp(v6, 3_000);
        peer.say_cut(&datagram, 1500, false);
        peer.listen();
        assert_eq!(peer.heard.len(), 1);
        let error = &peer.heard[0];
        let message = if v6 { &error[54..56] } else { &error[34..36] };
        assert_eq!(message, if v6 { [1, 4] } else { [3, 3] });
    }
}

// proves: RFC 1122 §3.3.2 (time exceeded), RFC 8200 §4.5
#[test]
fn who_sends_no_more_than_a_beginning_is_told_after_a_minute() {
    for v6 in [false, true] {
        let mut peer = Peer::new(&Plan::default());
        let datagram = peer.udp(v6, 3_000);
        let pieces = peer.cut(&datagram, 1500);
        peer.say(&pieces[0]);
        let other = peer.cut(&datagram, 1500);
        peer.say(&other[1]);
        peer.listen();
        assert_eq!(peer.counted(|counters| counters.fragments_held), 2);
        peer.world.clock.advance(Duration::from_secs(59));
        peer.listen();
        assert_eq!(peer.heard.len(), 0);
        peer.world.clock.advance(Duration::from_secs(1));
        peer.listen();
        // About the one whose first fragment had come.
        assert_eq!(peer.heard.len(), 1);
        let error = &peer.heard[0];
        let (message, quoted) = if v6 {
            (&error[54..56], &error[62..])
        } else {
            (&error[34..36], &error[42..])
        };
        assert_eq!(message, if v6 { [3, 1] } else { [11, 1] });
        assert_eq!(quoted[..100], pieces[0][14..114]);
        assert_eq!(peer.counted(|counters| counters.reassembly_expired), 2);
        peer.world.server.assert_as_at_start();
    }
}

#[test]
fn they_are_dropped_and_counted_if_the_operator_wants_that() {
    let mut peer = Peer::new(&Plan {
        reassemble: false,
        ..two_workers()
    });
    let request = peer.icmp(false, 8, 4_000);
    peer.say_cut(&request, 1500, false);
    peer.listen();
    assert_eq!(peer.heard.len(), 0);
    let dropped = peer.counted(|counters| counters.dropped.of(fourtuple_wire::DropReason::Fragment));
    assert_eq!(dropped, 3);
    peer.hold_accounts();
}

#[test]
fn overlaps_and_floods_hurt_nobody_else() {
    let mut peer = Peer::new(&two_workers());
    let request = peer.icmp(false, 8, 4_000);
    let mut answered = 0;
    for round in 0..200u16 {
        // Teardrop, tiny first fragments, and packets that never end.
        let lie = peer.icmp(false, 8, 1_000);
        let mut pieces = peer.cut(&lie, 260);
        let (teardrop, tiny) = (pieces[1].clone(), pieces[0].clone());
        for (at, field) in [(20, 0x2001u16), (20, 0x2000 | (round % 30 + 1))] {
            let mut piece = teardrop.clone();
            piece[at..at + 2].copy_from_slice(&field.to_be_bytes());
            piece[24..26].fill(0);
            let sum = Sum::of(&piece[14..34]).checksum();
            piece[24..26].copy_from_slice(&sum.to_be_bytes());
            pieces.push(piece);
        }
        pieces.push(tiny);
        for piece in pieces.iter().skip(1) {
            peer.say(piece);
        }
        let endless = peer.cut(&lie, 260);
        peer.say(&endless[2]);
        peer.say_cut(&request, 1500, round % 2 == 0);
        peer.listen();
        answered += peer.heard.len();
        peer.heard.clear();
    }
    assert_eq!(answered, 200, "every honest packet is answered");
    assert!(peer.counted(|counters| counters.reassembly_spoiled) > 100);
    assert!(peer.counted(|counters| counters.fragments_held) <= 128);
    peer.hold_accounts();
    peer.world.clock.advance(Duration::from_secs(61));
    peer.listen();
    peer.world.server.assert_as_at_start();
}

/// The same IPv4 packet from another source.
fn from_source(frame: &[u8], source: [u8; 4]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[26..30].copy_from_slice(&source);
    frame[24..26].fill(0);
    let sum = Sum::of(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn a_flood_of_first_fragments_from_everywhere_costs_no_connection_and_no_honest_packet() {
    let (client, outcome) = Client::new(vec![Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 40,
        bytes: 200_000,
    }]);
    let plan = Plan {
        conditions: WireConditions {
            delay: Duration::from_millis(1),
            ..WireConditions::default()
        },
        ..two_workers()
    };
    let mut peer = Peer::with(&plan, client);
    let datagram = peer.udp(false, 2_000);
    let beginning = peer.cut(&datagram, 1500).swap_remove(0);
    let request = peer.icmp(false, 8, 3_000);
    let (mut strangers, mut sent) = (0u32, 0u64);
    let done = |outcome: &std::sync::Mutex<super::handlers::Outcome>| {
        let outcome = outcome.lock().unwrap();
        outcome.finished + outcome.failed.len() as u32 == 40
    };
    // Only three SYNs wait for the link's answer; the others come again after a second.
    peer.world
        .run_until(Duration::from_secs(5), |_| outcome.lock().unwrap().opened == 40);
    assert!(!done(&outcome), "most have only begun");
    while !done(&outcome) {
        for _ in 0..40 {
            strangers += 1;
            let [_, high, middle, low] = strangers.to_be_bytes();
            let frame = from_source(&beginning, [198 + high, middle, low, 1]);
            peer.say(&frame);
        }
        // Fewer than are answered a second.
        peer.say_cut(&request, 1500, sent.is_multiple_of(2));
        sent += 1;
        peer.world.run_for(Duration::from_micros(20));
        assert!(sent < 1_000, "{:?}", outcome.lock().unwrap());
        assert!(peer.counted(|counters| counters.fragments_held) <= 128);
    }
    peer.world.run_for(Duration::from_millis(10));
    let failed = std::mem::take(&mut outcome.lock().unwrap().failed);
    assert!(failed.is_empty(), "{failed:?}");
    let answered = peer.counted(|counters| counters.echo_answers);
    assert!(sent > 10, "{sent} honest packets among {strangers}");
    assert_eq!(answered, sent, "of {strangers} packets that were begun");
    assert!(peer.counted(|counters| counters.reassembly_evicted) > u64::from(strangers / 2));
    peer.hold_accounts();
    peer.world.run_for(Duration::from_secs(61));
    assert_eq!(peer.counted(|counters| counters.fragments_held), 0);
    peer.world.assert_as_at_start();
}

// proves: RFC 1122 §3.2.2.1, RFC 4443 §3.4, RFC 5095 §3
#[test]
fn what_is_not_understood_is_told_at_a_bounded_rate() {
    let mut peer = Peer::new(&Plan::default());
    let tunnel = peer.packet(false, 47, vec![0; 20], 0);
    peer.say(&tunnel);
    peer.listen();
    assert_eq!(peer.heard.pop().map(|error| [error[34], error[35]]), Some([3, 2]));
    for (next, first, expected) in [
        (47, [0; 8], [4, 1, 0, 0, 0, 6]),
        (43, [17, 0, 0, 1, 0, 0, 0, 0], [4, 0, 0, 0, 0, 42]),
        (60, [17, 0, 0x80, 0, 1, 2, 0, 0], [4, 2, 0, 0, 0, 42]),
    ] {
        let mut upper = first.to_vec();
        upper.extend([0; 16]);
        let mut frame = peer.packet(true, next, upper, 22);
        frame[54..54 + 8].copy_from_slice(&first);
        peer.say(&frame);
        peer.listen();
        let error = peer.heard.pop().expect("an error");
        let told = [error[54], error[55], error[58], error[59], error[60], error[61]];
        assert_eq!(told, expected, "next header {next}");
    }
    for _ in 0..300 {
        peer.say(&tunnel);
        peer.listen();
    }
    let told = peer.heard.len();
    assert!(
        (40..200).contains(&told),
        "{told} of 300 in {:?}",
        peer.world.now()
    );
}
