//! One shard without thread, clock or NIC, for programs that judge the protocol (feature `stepped`, off by default).
//!
//! ```text
//!   inject(IP packet) ──► Ethernet header ──► nic-mem ──► Shard ──► nic-mem ──► header off ──► take() = IP packet
//!                                               turn(now) ▲   ▲ call(now, |worker| …)
//! ```
//! The shard is the one that workers run; only what lies round it is another: the caller says what time it is, gives IP packets
//! and takes them. There is one station on the link, and everybody is reached through it: questions for neighbours are answered
//! here, announcements are dropped. Nothing in it is for production; it may change in any version.

use std::net::IpAddr;
use std::sync::Arc;

use fourtuple_nic::{MacAddr, OrdinaryPages, Queue, Reta, Toeplitz};
use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, VirtualClock, WireConditions};
use fourtuple_tcp::Profile;
use fourtuple_wire::{Instant, Received};
use ipnet::IpNet;

use crate::handler::Handler;
use crate::host::{Addresses, Host, Learned, Origin, Rates};
use crate::idle::Sleeper;
use crate::listener::{Listen, ListenerId};
use crate::mesh::Mesh;
use crate::secrets::Secrets;
use crate::shard::listeners::{NewListener, deal};
use crate::shard::{Connection, Control, Done, Limits, PortParts, Shard, ShardParts, Steering, WorkerCalls};

/// What a stepped shard is made of.
#[derive(Clone, Debug)]
pub struct SteppedOptions {
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Who is asked for everything off the link, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Options of connections that were given none.
    pub profile: Profile,
    /// All secrets are made of it: the same seed, the same sequence numbers and ports.
    pub seed: u64,
    /// The first instant.
    pub started: Instant,
}

/// One shard with a handler, stepped by its owner.
pub struct Stepped<H: Handler<MemQueue>> {
    shard: Shard<MemQueue, H>,
    station: MemQueue,
    clock: VirtualClock,
    mac: MacAddr,
    gateways: Vec<IpAddr>,
}

impl<H: Handler<MemQueue>> std::fmt::Debug for Stepped<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepped").finish_non_exhaustive()
    }
}

impl<H: Handler<MemQueue>> Stepped<H> {
    /// A shard at its first instant, without connections.
    ///
    /// # Errors
    /// What the operating system says when it has no descriptor left.
    pub fn new(options: &SteppedOptions, handler: H) -> std::io::Result<Self> {
        let clock = VirtualClock::new();
        clock.advance_to(options.started.as_nanos());
        let room = ROOM.max(usize::from(options.mtu) + HEADER + VLAN_TAG);
        let buffers = (POOL_BYTES / room) as u32;
        let port = |last| MemOptions {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            mtu: options.mtu,
            receive_pool: buffers,
            payload_pool: buffers,
            transmit_pool: buffers,
            rx_ring: buffers as usize,
            tx_ring: buffers as usize,
            buffer_room: room,
            ..MemOptions::default()
        };
        // What the station sends may be as long as IP allows: to drop it is the shard's affair.
        let station = MemOptions {
            mtu: u16::MAX - 64,
            transmit_pool: STATION_FRAMES,
            ..port(STATION)
        };
        let wire = [WireConditions::default(); 2];
        let (mut ours, mut theirs) = MemPort::join([port(OURS), station], wire, &clock, options.seed);
        let (Some(queue), Some(station)) = (ours.take_queues().pop(), theirs.take_queues().pop()) else {
            return Err(std::io::Error::other("a port without queues"));
        };
        let secrets = Arc::new(Secrets::from_seed(options.seed));
        let sleepers = [Arc::new(Sleeper::new().map_err(std::io::Error::from)?)];
        let Some(mesh) = Mesh::all(&sleepers, MESH_RING).pop() else {
            return Err(std::io::Error::other("a mesh without workers"));
        };
        let mac = queue.promises().mac;
        let addresses = Addresses::new(mac.0, &options.addresses, &options.gateways);
        let parts = ShardParts {
            worker: 0,
            workers: 1,
            ports: vec![PortParts {
                host: Host::new(addresses, &Rates::default(), None),
                mtu: options.mtu,
                low_water: queue.pool().rx_capacity / 16,
                queue,
            }],
            mesh,
            steering: Arc::new(Steering {
                toeplitz: Toeplitz::new(secrets.rss),
                reta: Reta::round_robin(1),
            }),
            limits: Limits {
                connections: CONNECTIONS,
                half_open: CONNECTIONS,
                time_wait: CONNECTIONS,
                orphans: CONNECTIONS,
                reassemble: true,
                ephemeral_ports: (49_152, 65_535),
            },
            secrets,
            v4: true,
            v6: true,
            profile: options.profile.clone(),
            quiet_until: Instant::ZERO,
            started: options.started,
        };
        let mut stepped = Self {
            shard: Shard::new(parts, handler, &OrdinaryPages),
            station,
            clock,
            mac,
            gateways: options.gateways.clone(),
        };
        stepped.introduce(options.started);
        Ok(stepped)
    }

    /// One turn; returns when the next is due if nothing arrives or is called before. Time never goes back.
    pub fn turn(&mut self, now: Instant) -> Instant {
        self.clock.advance_to(now.as_nanos());
        self.shard.turn(now)
    }

    /// The last turn did something.
    pub fn was_busy(&self) -> bool {
        self.shard.was_busy()
    }

    /// Puts an IP packet before the shard; `false` when it is none, or there is no buffer left.
    pub fn inject(&mut self, packet: &[u8]) -> bool {
        let ethertype = match packet.first().map(|octet| octet >> 4) {
            Some(4) => ETHERTYPE_IPV4,
            Some(6) => ETHERTYPE_IPV6,
            Some(_) | None => return false,
        };
        let mut frame = Vec::with_capacity(HEADER + packet.len());
        frame.extend_from_slice(&self.mac.0);
        frame.extend_from_slice(&self.station.promises().mac.0);
        frame.extend_from_slice(&ethertype);
        frame.extend_from_slice(packet);
        self.station.send_bytes(&frame)
    }

    /// The IP packets that the shard has sent since the last call, in their order. What is the link's own affair is not among
    /// them.
    pub fn take(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for frame in self.station.receive_bytes() {
            let Some((header, packet)) = frame.split_at_checked(HEADER) else {
                continue;
            };
            if is_of_the_link(header, packet) {
                self.introduce(now);
            } else {
                packets.push(packet.to_vec());
            }
        }
        packets
    }

    /// Does something as the application would on its worker.
    pub fn call<R>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut H, &mut WorkerCalls<'_, MemQueue, H::State>) -> R,
    ) -> R {
        self.clock.advance_to(now.as_nanos());
        let (handler, work, states) = self.shard.parts();
        work.now = now;
        act(handler, &mut WorkerCalls { work, states })
    }

    /// Listens under this number, which no other listener may have.
    pub fn listen(&mut self, number: u16, listen: &Listen) -> ListenerId {
        let new = NewListener {
            id: ListenerId(number),
            share: deal(listen.backlog, 1, 0),
            syn_share: deal(listen.syn_queue, 1, 0).max(1),
            fast_open_share: listen.fast_open,
            listen: listen.clone(),
        };
        let control = Control::Listen(Box::new(new), Done::of(1));
        self.shard.work.control(control);
        ListenerId(number)
    }

    /// Listens no more; connections stay.
    pub fn unlisten(&mut self, id: ListenerId) {
        self.shard.work.control(Control::Unlisten(id, Done::of(1)));
    }

    /// Everybody is behind the station.
    fn introduce(&mut self, now: Instant) {
        let ether = self.station.promises().mac.0;
        for port in self.shard.work.ports.iter_mut() {
            for gateway in &self.gateways {
                let learned = Learned {
                    ip: *gateway,
                    ether,
                    origin: Origin::Request,
                };
                port.neighbours.learn(&learned, now);
            }
        }
    }
}

impl<Q: Queue> Connection<'_, Q> {
    /// Other options from now on. Those that were agreed on by the handshake stay as they are.
    pub fn set_profile(&mut self, profile: &Profile) {
        let _refused = self.work.set_profile(self.slot, profile);
    }

    /// The next bytes in order, and the buffer space that stays charged to the window for them until it is released.
    pub fn receive_charged(&mut self) -> Option<(Vec<u8>, usize)> {
        self.work
            .with_tcb(self.slot, |tcb, env| {
                let chunk = tcb.receive(env)?;
                Some((chunk.bytes().to_vec(), chunk.space()))
            })
            .flatten()
    }

    /// Gives charged space back to the window.
    pub fn release(&mut self, space: usize) {
        self.work.with_tcb(self.slot, |tcb, env| tcb.release(space, env));
    }
}

/// ARP, and the neighbour discovery of IPv6 (RFC 4861).
fn is_of_the_link(header: &[u8], packet: &[u8]) -> bool {
    match header.get(12..14) {
        Some(ethertype) if ethertype == ETHERTYPE_IPV4 => false,
        Some(ethertype) if ethertype == ETHERTYPE_IPV6 => {
            packet.get(6) == Some(&ICMPV6) && matches!(packet.get(40), Some(&(133..=137)))
        }
        Some(_) | None => true,
    }
}

/// Buffers of each kind, in octets. Plenty for a script, little for a process whose memory is locked.
const POOL_BYTES: usize = 8 << 20;
/// Frames of the station under way, each of which may be as long as IP allows.
const STATION_FRAMES: u32 = 64;
const ROOM: usize = 2048;
const CONNECTIONS: u32 = 1024;
const MESH_RING: usize = 16;
const HEADER: usize = 14;
const VLAN_TAG: usize = 4;
const OURS: u8 = 0x0a;
const STATION: u8 = 0x0b;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
