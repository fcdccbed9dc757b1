//! Peers that keep to no rule, and applications that do as they like: nobody else suffers, and everybody is told.

mod bounds;
mod buffers;
mod cookies;
mod endpoints;
mod fast_open;
mod listeners;
mod neighbour;
mod path;
mod telling;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::{
    ChecksumCheck, EmitChecksum, Expect, FourTuple, IpFields, Link, PacketKind, SeqNum, Sum, TcpFlags,
    TcpHeader, TcpOptions, TcpPacket, Timestamps, emit_tcp, parse, tcp_frame_header_len,
};

use super::{Plan, Side, World};
use crate::handler::{Handler, NoHandler};
use crate::handoff::{Endpoint, EndpointLimits, Listener, Stream, pair};
use crate::idle::Sleeper;
use crate::port_number::PortNumber;
use crate::shard::{Control, Done};

/// A server, and a peer on its link that says what a test wants.
pub(super) struct Arena<H: Handler<MemQueue>> {
    pub(super) world: World<H, NoHandler>,
    heard: Vec<Heard>,
    /// What the next SYN announces.
    mss: Option<u16>,
    /// What every segment says.
    pub(super) timestamps: Option<Timestamps>,
}

/// One segment of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    port: u16,
    pub(super) seq: SeqNum,
    pub(super) flags: u8,
    /// Octets of payload.
    pub(super) len: usize,
    /// Of its IP header.
    pub(super) ttl: u8,
    pub(super) dscp: u8,
}

/// One connection as the peer sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) port: u16,
    pub(super) seq: SeqNum,
    pub(super) ack: SeqNum,
}

impl<H: Handler<MemQueue>> Arena<H> {
    pub(super) fn new(plan: &Plan, server: impl FnMut(u16) -> H) -> Self {
        let mut arena = Self::of_strangers(plan, server);
        let station = arena.world.client.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0;
        for shard in &mut arena.world.server.shards {
            shard
                .work
                .introduce(PortNumber::FIRST, "10.0.0.2".parse().unwrap(), station);
        }
        arena
    }

    /// The server does not know the peer's station, and nobody answers when it asks.
    pub(super) fn of_strangers(plan: &Plan, server: impl FnMut(u16) -> H) -> Self {
        let plan = Plan {
            conditions: Default::default(),
            ..plan.clone()
        };
        Self {
            world: World::new(&plan, server, |_| NoHandler),
            heard: Vec::new(),
            mss: None,
            timestamps: None,
        }
    }

    pub(super) fn say(&mut self, port: u16, flags: TcpFlags, seq: SeqNum, ack: SeqNum, payload: &[u8]) {
        let local: SocketAddr = SocketAddr::new("10.0.0.2".parse().unwrap(), port);
        let tuple = FourTuple::new(local, "10.0.0.1:7".parse().unwrap()).unwrap();
        let header = TcpHeader {
            seq,
            ack,
            flags,
            window: 60_000,
            options: TcpOptions {
                mss: self.mss,
                timestamps: self.timestamps,
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        };
        self.put(&tuple, &header, payload);
    }

    /// One segment as its sender sees it, from any address to any port.
    pub(super) fn put(&mut self, tuple: &FourTuple, header: &TcpHeader, payload: &[u8]) {
        let link = Link {
            source: self.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .promises()
                .mac
                .0,
            destination: self.world.server.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .promises()
                .mac
                .0,
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
        emit_tcp(&mut frame[..len], &link, tuple, &ip, header, payload.len(), sum);
        assert!(
            self.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .send_bytes(&frame)
        );
    }

    /// The server turns, after a while; what it says, whole.
    pub(super) fn answers(&mut self, after: Duration) -> Vec<(TcpPacket, Vec<u8>)> {
        self.world.clock.advance(after);
        let now = self.world.now();
        self.world.server.turn(now);
        let expect = Expect {
            checksum: ChecksumCheck::Verify,
            vlan: None,
        };
        let port = &mut self.world.client.shards[0].work.ports[PortNumber::FIRST];
        let segment = |frame: &Vec<u8>| match parse(frame, &expect).expect("what we send is right").kind {
            PacketKind::Tcp(segment) => {
                let payload = frame[segment.payload.range()].to_vec();
                Some((segment, payload))
            }
            _ => None,
        };
        port.queue.receive_bytes().iter().filter_map(segment).collect()
    }

    /// The server turns, after a while.
    pub(super) fn turn(&mut self, after: Duration) {
        self.world.clock.advance(after);
        let now = self.world.now();
        self.world.server.turn(now);
        for frame in self.world.client.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .receive_bytes()
        {
            if frame[12..14] == [8, 0] && frame[23] == 6 {
                self.heard.push(Heard {
                    port: u16::from_be_bytes([frame[36], frame[37]]),
                    seq: SeqNum(u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]])),
                    flags: frame[47],
                    len: usize::from(u16::from_be_bytes([frame[16], frame[17]]))
                        .saturating_sub(20 + usize::from(frame[46] >> 4) * 4),
                    ttl: frame[22],
                    dscp: frame[15] >> 2,
                });
            }
        }
    }

    pub(super) fn soon(&mut self) {
        self.turn(Duration::from_micros(25));
    }

    /// What the server said to this port since it was last asked.
    pub(super) fn hear(&mut self, port: u16) -> Vec<Heard> {
        let (ours, others) = self.heard.drain(..).partition(|heard| heard.port == port);
        self.heard = others;
        ours
    }

    /// Any IPv4 packet.
    fn say_raw(&mut self, packet: &[u8]) {
        let mut frame = self.world.server.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0
            .to_vec();
        frame.extend_from_slice(
            &self.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .promises()
                .mac
                .0,
        );
        frame.extend_from_slice(&[8, 0]);
        frame.extend_from_slice(packet);
        assert!(
            self.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .send_bytes(&frame)
        );
    }

    /// A SYN, and the rest of the handshake if it is answered.
    pub(super) fn open(&mut self, port: u16) -> Option<Peer> {
        self.open_with_mss(port, 536)
    }

    fn open_with_mss(&mut self, port: u16, mss: u16) -> Option<Peer> {
        let seq = SeqNum(1_000);
        self.mss = (mss != 536).then_some(mss);
        self.say(port, TcpFlags::SYN, seq, SeqNum(0), &[]);
        self.mss = None;
        self.soon();
        self.soon();
        let syn_ack = self.hear(port).into_iter().find(|heard| heard.flags == 0x12)?;
        let peer = Peer {
            port,
            seq: seq + 1,
            ack: syn_ack.seq + 1,
        };
        self.say(port, TcpFlags::ACK, peer.seq, peer.ack, &[]);
        self.soon();
        self.hear(port);
        Some(peer)
    }

    pub(super) fn reset(&mut self, peer: Peer) {
        self.say(peer.port, TcpFlags::RST, peer.seq, peer.ack, &[]);
        self.soon();
    }
}

fn done() -> Done {
    Done::of(1)
}

/// What a handler was told, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// An endpoint of the server, as the engine makes it.
fn endpoint<H: Handler<MemQueue>>(side: &mut Side<H>) -> Endpoint<MemQueue> {
    endpoint_with(side, &EndpointLimits::default())
}

fn endpoint_with<H: Handler<MemQueue>>(side: &mut Side<H>, limits: &EndpointLimits) -> Endpoint<MemQueue> {
    let sleeper = Arc::new(Sleeper::new().unwrap());
    let (estates, _) = std::sync::mpsc::channel();
    let (core, ends) = pair(&side.sleepers, limits, Arc::clone(&sleeper), estates);
    for (shard, end) in side.shards.iter_mut().zip(ends) {
        shard.work.control(Control::Attach(Box::new(end)));
    }
    Endpoint::new(core, sleeper)
}

/// Steps both until a connection is accepted.
fn accept(
    arena: &mut Arena<NoHandler>,
    endpoint: &Endpoint<MemQueue>,
    listener: &Listener,
) -> Option<Stream<MemQueue>> {
    for _ in 0..10 {
        endpoint.step();
        if let Ok(stream) = listener.try_accept(endpoint) {
            return Some(stream);
        }
        arena.soon();
    }
    None
}
