//! A peer that says anything to a server, and reads every answer: whatever it hears has to be well formed.

use std::net::SocketAddr;
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::{
    EmitChecksum, EtherAddr, Expect, FourTuple, IpFields, Link, Packet, PacketKind, SeqNum, Sum, TcpFlags,
    TcpHeader, TcpPacket, emit_tcp, parse, tcp_frame_header_len,
};

use super::super::handlers::Echo;
use super::super::{Plan, World};
use crate::listener::Listen;
use crate::port_number::PortNumber;

/// A server that echoes, and who talks to it.
pub(super) struct Peer {
    pub(super) world: World<Echo, Echo>,
    /// The last segment of the server as it stood on the wire.
    pub(super) last: Vec<u8>,
}

/// A segment of the server, and how many octets it carries.
pub(super) struct Heard {
    pub(super) segment: TcpPacket,
    pub(super) len: u32,
}

impl Peer {
    pub(super) fn new(listen: &Listen) -> Self {
        let plan = Plan {
            pools: 256,
            connections: 16,
            ..Plan::default()
        };
        Self::on(&plan, listen)
    }

    pub(super) fn on(plan: &Plan, listen: &Listen) -> Self {
        let mut world = World::new(plan, |_| Echo::default(), |_| Echo::default());
        world.server.listen(0, listen);
        Self {
            world,
            last: Vec::new(),
        }
    }

    pub(super) fn station(&self) -> EtherAddr {
        self.world.client.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0
    }

    pub(super) fn servers_station(&self) -> EtherAddr {
        self.world.server.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0
    }

    fn queue(&mut self) -> &mut MemQueue {
        &mut self.world.client.shards[0].work.ports[PortNumber::FIRST].queue
    }

    /// A frame; what does not fit on the link is not sent.
    pub(super) fn say_bytes(&mut self, frame: &[u8]) {
        let _sent = self.queue().send_bytes(frame);
    }

    /// A segment from `port`, of IPv4.
    pub(super) fn say(&mut self, port: u16, header: &TcpHeader, payload: &[u8]) {
        let local = SocketAddr::new([10, 0, 0, 2].into(), port);
        let remote = SocketAddr::new([10, 0, 0, 1].into(), 7);
        let Some(tuple) = FourTuple::new(local, remote) else {
            return;
        };
        let link = Link {
            source: self.station(),
            destination: self.servers_station(),
            vlan: None,
        };
        let ip = IpFields {
            ttl: 64,
            traffic_class: 0,
            identification: 0,
        };
        let len = tcp_frame_header_len(tuple.family(), None, &header.options);
        let mut frame = vec![0; len];
        frame.extend_from_slice(payload);
        let sum = EmitChecksum::Software(Sum::of(payload));
        emit_tcp(&mut frame[..len], &link, &tuple, &ip, header, payload.len(), sum);
        self.say_bytes(&frame);
    }

    /// The server turns, after a while; its frames.
    pub(super) fn turn_frames(&mut self, after: Duration) -> Vec<Vec<u8>> {
        // What was said has crossed the wire by then, and so has the answer.
        self.world.clock.advance(after + Duration::from_micros(25));
        let now = self.world.now();
        self.world.server.turn(now);
        self.world.clock.advance(Duration::from_micros(25));
        self.queue().receive_bytes()
    }

    /// The server turns, after a while; its segments.
    pub(super) fn turn(&mut self, after: Duration) -> Vec<Heard> {
        let mut heard = Vec::new();
        for frame in self.turn_frames(after) {
            let packet = well_formed(&frame);
            if let PacketKind::Tcp(segment) = packet.kind {
                let len = u32::from(segment.payload.len);
                self.last = frame;
                heard.push(Heard { segment, len });
            }
        }
        heard
    }

    /// A handshake from `port` with ISN 0; the server's ISN.
    pub(super) fn open(&mut self, port: u16) -> SeqNum {
        let syn = TcpHeader {
            flags: TcpFlags::SYN,
            window: 60_000,
            ..TcpHeader::default()
        };
        self.say(port, &syn, &[]);
        let mut heard = self.turn(Duration::ZERO);
        heard.extend(self.turn(Duration::ZERO));
        let irs = heard.first().expect("a SYN+ACK").segment.header.seq;
        let ack = TcpHeader {
            seq: SeqNum(1),
            ack: irs + 1,
            flags: TcpFlags::ACK,
            window: 60_000,
            ..TcpHeader::default()
        };
        self.say(port, &ack, &[]);
        self.turn(Duration::ZERO);
        irs
    }

    /// All deadlines pass; everything is as at the start.
    pub(super) fn settle(mut self) {
        super::settle(&mut self.world);
    }
}

/// What we send can be read, checksums and all.
pub(super) fn well_formed(frame: &[u8]) -> Packet {
    match parse(frame, &Expect::default()) {
        Ok(packet) => packet,
        Err(why) => panic!("the server sent what is dropped for {why:?}: {frame:02x?}"),
    }
}
