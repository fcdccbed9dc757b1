//! Peers that keep to no rule, and applications that do as they like: nobody else suffers, and everybody is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{MemQueue, Random};
use fourtuple_tcp::{KeepAlive, Profile};
use fourtuple_wire::{
    EmitChecksum, FourTuple, IpFields, Link, SeqNum, Sum, TcpFlags, TcpHeader, TcpOptions, emit_tcp,
    tcp_frame_header_len,
};

use super::handlers::Echo;
use super::{Plan, Side, World};
use crate::handler::{Closed, Handler, NoHandler};
use crate::handoff::{Endpoint, EndpointLimits, Listener, Stream, pair};
use crate::idle::Sleeper;
use crate::listener::{Listen, ListenerId};
use crate::records::Owner;
use crate::shard::listeners::{NewListener, deal};
use crate::shard::{ConnectOptions, Connection, Control, Done, PortNumber, WorkerCalls};

/// A server, and a peer on its link that says what a test wants.
pub(super) struct Arena<H: Handler<MemQueue>> {
    pub(super) world: World<H, NoHandler>,
    heard: Vec<Heard>,
    /// What the next SYN announces.
    mss: Option<u16>,
}

/// One segment of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    port: u16,
    pub(super) seq: SeqNum,
    pub(super) flags: u8,
    /// Octets of payload.
    len: usize,
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
        let plan = Plan {
            conditions: Default::default(),
            ..plan.clone()
        };
        let mut world = World::new(&plan, server, |_| NoHandler);
        let station = world.client.shards[0].work.ports[PortNumber::FIRST]
            .queue
            .promises()
            .mac
            .0;
        for shard in &mut world.server.shards {
            shard
                .work
                .learn_neighbour(PortNumber::FIRST, "10.0.0.2".parse().unwrap(), station);
        }
        Self {
            world,
            heard: Vec::new(),
            mss: None,
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
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        };
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
        emit_tcp(&mut frame[..len], &link, &tuple, &ip, &header, payload.len(), sum);
        assert!(
            self.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .send_bytes(&frame)
        );
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

#[test]
fn peers_that_leave_before_they_are_accepted_leave_nothing_in_the_accept_queue() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        backlog: 4,
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    arena.open(999).expect("one that stays");
    for port in 1_000..3_000 {
        let peer = arena.open(port).expect("there is room");
        arena.reset(peer);
    }
    let listener = arena.world.server.shards[0].work.listeners.at(id).unwrap();
    assert_eq!(listener.waiting, 1);
    assert!(
        listener.accept_queue.len() <= 16,
        "{}",
        listener.accept_queue.len()
    );
}

#[test]
fn idle_deadlines_of_connections_that_are_gone_keep_nobody_out() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    let profile = Profile {
        keepalive: Some(KeepAlive::default()),
        ..plan.profile.clone()
    };
    arena.world.server.listen(
        0,
        &Listen {
            profile,
            ..Listen::on(7)
        },
    );
    for round in 0..40_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        let peer = arena.open(port);
        let peer = peer.unwrap_or_else(|| panic!("round {round} is let in"));
        arena.reset(peer);
    }
    let entries = arena.world.server.shards[0].work.wheel.len();
    assert!(entries < 200, "{entries} entries");
}

#[test]
fn peers_that_leave_half_way_keep_nobody_out() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    // More in a second than the wheel has entries.
    for round in 0..20_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        arena.say(port, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
        arena.say(port, TcpFlags::RST, SeqNum(2), SeqNum(0), &[]);
        arena.turn(Duration::from_micros(5));
    }
    arena.heard.clear();
    arena.open(1_000).expect("an honest client gets in");
}

#[test]
fn segments_behind_holes_leave_buffers_for_others() {
    let plan = Plan {
        pools: 256,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    let peers: Vec<Peer> = (1_000..1_010).filter_map(|port| arena.open(port)).collect();
    for n in 0..100 {
        for peer in &peers {
            let seq = peer.seq + 10 + 2 * n;
            arena.say(peer.port, TcpFlags::ACK, seq, peer.ack, b"x");
        }
        arena.soon();
    }
    let free = arena.world.server.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .pool()
        .rx_free;
    assert!(free >= 32, "{free} buffers are free");
    arena.heard.clear();
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    arena.soon();
    arena.soon();
    assert!(!arena.hear(honest.port).is_empty(), "the honest one is heard");
}

/// Sends a greeting when it can.
#[derive(Default)]
struct Greeter {
    greeted: Arc<Mutex<u32>>,
}

impl Greeter {
    fn greet(&mut self, connection: &mut Connection<'_, MemQueue>) {
        if connection.send(b"hello") == 5 {
            *self.greeted.lock().unwrap() += 1;
        }
    }
}

impl Handler<MemQueue> for Greeter {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.greet(connection);
    }
    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.greet(connection);
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn who_found_no_buffer_to_send_hears_when_there_are_some() {
    let greeted = Arc::new(Mutex::new(0));
    let mut arena = Arena::new(&Plan::default(), |_| Greeter {
        greeted: Arc::clone(&greeted),
    });
    arena.world.server.listen(0, &Listen::on(7));
    let queue = &mut arena.world.server.shards[0].work.ports[PortNumber::FIRST].queue;
    let mut all = Vec::new();
    while let Some(blank) = queue.blank() {
        all.push(blank);
    }
    arena.open(1_000).unwrap();
    assert_eq!(*greeted.lock().unwrap(), 0);
    drop(all);
    for _ in 0..10 {
        arena.turn(Duration::from_millis(10));
    }
    assert_eq!(*greeted.lock().unwrap(), 1);
}

/// What a handler was told, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Reads nothing when told, everything at the end of a turn once it may.
struct Late {
    log: Log,
    may: Arc<Mutex<bool>>,
    open: Option<crate::ConnId>,
}

impl Handler<MemQueue> for Late {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.open = Some(connection.id());
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.log.lock().unwrap().push("end of file".into());
        connection.close();
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.open = None;
        self.log.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if let Some(id) = self.open
            && *self.may.lock().unwrap()
        {
            let _ = worker.with(id, |connection, ()| while connection.receive().is_some() {});
        }
    }
}

#[test]
fn who_reads_at_the_end_of_a_turn_hears_of_the_end_of_file() {
    let (log, may) = (Log::default(), Arc::new(Mutex::new(false)));
    let mut arena = Arena::new(&Plan::default(), |_| Late {
        log: Arc::clone(&log),
        may: Arc::clone(&may),
        open: None,
    });
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    arena.say(
        peer.port,
        TcpFlags::ACK | TcpFlags::FIN,
        peer.seq,
        peer.ack,
        b"bye",
    );
    for _ in 0..5 {
        arena.soon();
    }
    assert!(log.lock().unwrap().is_empty());
    *may.lock().unwrap() = true;
    for _ in 0..5 {
        arena.soon();
    }
    assert_eq!(*log.lock().unwrap(), ["end of file"]);
}

/// Half-closes at the first bytes and reads one chunk a call.
#[derive(Default)]
struct Sip {
    log: Log,
    read: usize,
}

impl Handler<MemQueue> for Sip {
    type State = ();
    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.shutdown();
        self.read += connection.receive().map_or(0, |bytes| bytes.bytes().len());
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.log
            .lock()
            .unwrap()
            .push(format!("{:?} after {}", closed.outcome, self.read));
    }
}

#[test]
fn a_connection_that_has_ended_in_order_is_read_to_its_end() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Sip {
        log: Arc::clone(&log),
        read: 0,
    });
    arena.world.server.listen(0, &Listen::on(7));
    let mut peer = arena.open(1_000).unwrap();
    for n in 0..20 {
        let fin = if n == 19 {
            TcpFlags::FIN
        } else {
            TcpFlags::default()
        };
        arena.say(peer.port, TcpFlags::ACK | fin, peer.seq, peer.ack, &[7; 100]);
        peer.seq += 100;
    }
    arena.soon();
    let fin = arena
        .hear(peer.port)
        .into_iter()
        .find(|heard| heard.flags & 1 == 1)
        .expect("a FIN");
    arena.say(peer.port, TcpFlags::ACK, peer.seq + 1, fin.seq + 1, &[]);
    for _ in 0..40 {
        arena.soon();
    }
    assert_eq!(*log.lock().unwrap(), ["Ok(()) after 2000"]);
    arena.world.server.assert_as_at_start();
}

#[test]
fn what_a_drain_aborts_is_told() {
    let (log, may) = (Log::default(), Arc::new(Mutex::new(false)));
    let mut arena = Arena::new(&Plan::default(), |_| Late {
        log: Arc::clone(&log),
        may: Arc::clone(&may),
        open: None,
    });
    arena.world.server.listen(0, &Listen::on(7));
    arena.open(1_000).unwrap();
    arena.world.server.shards[0]
        .work
        .control(Control::AbortAll(done()));
    arena.soon();
    arena.soon();
    assert_eq!(*log.lock().unwrap(), ["Err(Aborted)"]);
    assert!(
        arena.hear(1_000).iter().any(|heard| heard.flags & 4 == 4),
        "and the peer gets a RST"
    );
    arena.world.server.assert_as_at_start();
}

#[test]
fn a_flood_of_syns_from_nowhere_ends_and_breaks_nothing() {
    let plan = Plan {
        connections: 64,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    for round in 0..5_000u32 {
        arena.say(
            1_024 + (round % 60_000) as u16,
            TcpFlags::SYN,
            SeqNum(1),
            SeqNum(0),
            &[],
        );
        arena.turn(Duration::from_micros(5));
    }
    arena.heard.clear();
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    arena.soon();
    arena.soon();
    assert!(!arena.hear(honest.port).is_empty(), "who is in is served");
    for _ in 0..1_600 {
        arena.turn(Duration::from_millis(50));
    }
    assert_eq!(arena.world.server.shards[0].work.records.half_open(), 0);
    arena.open(901).expect("afterwards all is as before");
}

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

#[test]
fn a_listener_that_goes_takes_no_other_with_it() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let other = Listen::on(8).for_endpoints();
    let gone = arena.world.server.listen(0, &other);
    let listen = Listen::on(7).for_endpoints();
    let id = arena.world.server.listen(1, &listen);
    arena.world.server.shards[0]
        .work
        .control(Control::Unlisten(gone, done()));
    let endpoint = endpoint(&mut arena.world.server);
    arena.open(1_000).unwrap();
    let stream = accept(&mut arena, &endpoint, &Listener::new(id, 7, listen.backlog));
    assert!(stream.is_some(), "what waits at the other is accepted");
}

#[test]
fn a_request_for_backlog_that_is_lost_is_made_again() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| NoHandler);
    let listen = Listen {
        backlog: 1,
        ..Listen::on(7).for_endpoints()
    };
    let tell = |arena: &mut Arena<NoHandler>, worker: usize| {
        let new = NewListener {
            id: ListenerId(0),
            share: deal(1, 2, worker as u16),
            syn_share: 16,
            listen: listen.clone(),
        };
        arena.world.server.shards[worker]
            .work
            .control(Control::Listen(Box::new(new), done()));
    };
    // The worker without a share listens first, and asks one that does not know the listener yet.
    tell(&mut arena, 1);
    let steering = Arc::clone(&arena.world.server.shards[0].work.steering);
    let port = (1_000..)
        .find(|port| {
            let local = SocketAddr::new("10.0.0.1".parse().unwrap(), 7);
            let remote = SocketAddr::new("10.0.0.2".parse().unwrap(), *port);
            steering.owner(&FourTuple::new(local, remote).unwrap()) == 1
        })
        .unwrap();
    assert!(arena.open(port).is_none());
    tell(&mut arena, 0);
    arena.turn(Duration::from_secs(1));
    arena.open(port);
    arena.turn(Duration::from_secs(1));
    arena.open(port).expect("the backlog moved to where it is wanted");
}

/// Half-closes when the peer has, and reads nothing.
struct Stubborn(Log);

impl Handler<MemQueue> for Stubborn {
    type State = ();
    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.shutdown();
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn a_connection_that_has_ended_behind_unread_bytes_goes_as_well() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Stubborn(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open(1_000).unwrap();
    arena.say(
        peer.port,
        TcpFlags::ACK | TcpFlags::FIN,
        peer.seq,
        peer.ack,
        b"bye",
    );
    arena.soon();
    arena.say(peer.port, TcpFlags::ACK, peer.seq + 4, peer.ack + 1, &[]);
    for _ in 0..20 {
        arena.turn(Duration::from_millis(100));
    }
    assert_eq!(*log.lock().unwrap(), ["Ok(())"]);
    arena.world.server.assert_as_at_start();
}

#[test]
fn a_peer_that_takes_nothing_holds_up_no_other_connection_of_its_endpoint() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        profile: Profile {
            send_buffer: 4_096,
            ..Profile::default()
        },
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    let listener = Listener::new(id, 7, listen.backlog);
    let endpoint = endpoint(&mut arena.world.server);
    arena.open(1_000).unwrap();
    let greedy = accept(&mut arena, &endpoint, &listener).expect("a stream");
    arena.open(1_001).unwrap();
    let honest = accept(&mut arena, &endpoint, &listener).expect("a stream");
    // The first acknowledges nothing; its application sends for as long as it may.
    for _ in 0..20 {
        while greedy.send(&[1; 1_000], Duration::ZERO).is_ok() {
            endpoint.step();
        }
        arena.soon();
        endpoint.step();
    }
    arena.hear(1_001);
    honest.send(b"hello", Duration::ZERO).expect("room");
    for _ in 0..10 {
        endpoint.step();
        arena.soon();
    }
    assert!(!arena.hear(1_001).is_empty(), "the honest one is served");
}

/// Asks for room with nothing in flight.
struct Asker(Arc<Mutex<u32>>);

impl Handler<MemQueue> for Asker {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.ask_for_room();
    }
    fn on_writable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        *self.0.lock().unwrap() += 1;
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn who_waits_for_a_buffer_is_not_put_off_by_others_that_begin_to() {
    let told = Arc::new(Mutex::new(0));
    let mut arena = Arena::new(&Plan::default(), |_| Asker(Arc::clone(&told)));
    arena.world.server.listen(0, &Listen::on(7));
    let before = arena.world.now();
    for port in 1_000..1_100 {
        arena.open(port).unwrap();
    }
    assert!(arena.world.now() > before + Duration::from_millis(5));
    assert!(*told.lock().unwrap() > 50);
}

#[test]
fn nothing_of_a_listener_that_went_is_left_for_the_next_with_its_number() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen::on(7).for_endpoints();
    let id = arena.world.server.listen(0, &listen);
    arena.say(1_000, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
    arena.soon();
    let work = &mut arena.world.server.shards[0].work;
    assert_eq!(work.records.half_open(), 1);
    let gone = done();
    work.control(Control::Unlisten(id, gone.clone()));
    assert!(!gone.is_complete(), "not before all places were looked at");
    arena.soon();
    assert!(gone.is_complete());
    assert_eq!(arena.world.server.shards[0].work.records.half_open(), 0);
    arena.world.server.assert_as_at_start();
}

/// Closes first.
struct Curt;

impl Handler<MemQueue> for Curt {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.close();
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

#[test]
fn four_tuples_that_are_reopened_again_and_again_cost_no_memory() {
    let plan = Plan {
        connections: 8,
        profile: Profile {
            msl: Duration::from_secs(30),
            ..Profile::default()
        },
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Curt);
    let profile = plan.profile.clone();
    arena.world.server.listen(
        0,
        &Listen {
            profile,
            ..Listen::on(7)
        },
    );
    let room = arena.world.server.shards[0].work.records.time_waits_queued().1;
    let mut seq = SeqNum(1_000);
    for round in 0..400 {
        arena.say(1_000, TcpFlags::SYN, seq, SeqNum(0), &[]);
        arena.soon();
        let syn_ack = arena.hear(1_000).into_iter().find(|heard| heard.flags == 0x12);
        let ack = syn_ack.unwrap_or_else(|| panic!("round {round} is let in")).seq + 1;
        arena.say(1_000, TcpFlags::ACK, seq + 1, ack, &[]);
        arena.soon();
        arena.say(1_000, TcpFlags::ACK | TcpFlags::FIN, seq + 1, ack + 1, &[]);
        arena.soon();
        arena.soon();
        arena.hear(1_000);
        let records = &arena.world.server.shards[0].work.records;
        assert_eq!(records.time_wait(), 1, "round {round}");
        let (queued, now) = records.time_waits_queued();
        assert!(queued <= room && now == room, "{queued} of {now}");
        seq += 10_000;
    }
    arena.turn(Duration::from_secs(61));
    arena.soon();
    arena.world.server.assert_as_at_start();
}

/// `hostile` peers send single bytes to an echo and acknowledge nothing; how many echoes of ten an honest one gets.
fn echoes_beside(hostile: u16) -> usize {
    let mut arena = Arena::new(&Plan::default(), |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let mut honest = arena.open(900).unwrap();
    let mut peers: Vec<Peer> = (1_000..1_000 + hostile)
        .filter_map(|port| arena.open(port))
        .collect();
    assert_eq!(peers.len(), usize::from(hostile));
    for _ in 0..4_000 / usize::from(hostile) {
        for peer in &mut peers {
            arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack, b"x");
            peer.seq += 1;
        }
        arena.soon();
        arena.soon();
    }
    arena.heard.clear();
    let mut echoes = 0;
    for _ in 0..10 {
        arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
        for _ in 0..4 {
            arena.soon();
        }
        let heard = arena.hear(honest.port);
        if heard
            .iter()
            .any(|heard| heard.seq == honest.ack && heard.len == 5)
        {
            echoes += 1;
            honest.seq += 5;
            honest.ack += 5;
        }
    }
    echoes
}

#[test]
fn single_bytes_whose_echoes_one_peer_does_not_take_leave_buffers_for_others() {
    assert_eq!(echoes_beside(1), 10);
}

#[test]
fn single_bytes_whose_echoes_many_peers_do_not_take_leave_buffers_for_others() {
    assert_eq!(echoes_beside(64), 10);
}

#[test]
fn debts_of_records_that_come_and_go_while_nothing_can_be_sent_cost_no_memory() {
    let plan = Plan {
        connections: 16,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let honest = arena.open(900).unwrap();
    let lists = |arena: &Arena<Echo>| {
        let work = &arena.world.server.shards[0].work;
        [
            &work.ports[PortNumber::FIRST].transmit,
            &work.deliver,
            &work.retire,
            &work.starved,
        ]
        .map(|list| list.capacity())
    };
    let before = lists(&arena);
    let mut frames = Vec::new();
    while let Some(frame) = arena.world.server.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .tx_frame()
    {
        frames.push(frame);
    }
    arena.say(honest.port, TcpFlags::ACK, honest.seq, honest.ack, b"hello");
    for round in 0..2_000u32 {
        let port = 1_024 + (round % 60_000) as u16;
        arena.say(port, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
        arena.say(port, TcpFlags::RST, SeqNum(2), SeqNum(0), &[]);
        arena.turn(Duration::from_micros(5));
    }
    assert_eq!(lists(&arena), before);
    assert!(
        arena.world.server.shards[0].work.ports[PortNumber::FIRST]
            .transmit
            .len()
            <= 48
    );
    drop(frames);
    arena.soon();
    arena.soon();
    let heard = arena.hear(honest.port);
    assert!(
        heard.iter().any(|heard| heard.len == 5),
        "the debts of others are paid"
    );
    arena.open(1_000).expect("an honest client gets in");
}

/// Notes what it is told.
struct Witness(Log);

impl Handler<MemQueue> for Witness {
    type State = ();
    fn on_open(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.0.lock().unwrap().push("open".into());
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.0.lock().unwrap().push("readable".into());
    }
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn of_a_connection_that_is_reset_in_its_first_burst_the_handler_hears_nothing() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Witness(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    let (port, seq) = (1_000, SeqNum(1_000));
    arena.say(port, TcpFlags::SYN, seq, SeqNum(0), &[]);
    arena.soon();
    arena.soon();
    let syn_ack = arena.hear(port)[0];
    arena.say(port, TcpFlags::ACK, seq + 1, syn_ack.seq + 1, b"hello");
    arena.say(port, TcpFlags::RST, seq + 6, syn_ack.seq + 1, &[]);
    for _ in 0..5 {
        arena.soon();
    }
    assert!(log.lock().unwrap().is_empty(), "{log:?}");
    arena.world.server.assert_as_at_start();
}

#[test]
fn an_open_that_finds_no_port_costs_little_and_the_last_ports_are_found() {
    let plan = Plan {
        connections: 17_000,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    let work = &mut arena.world.server.shards[0].work;
    let remote = "10.0.0.2:9".parse().unwrap();
    let options = ConnectOptions::default();
    let mut slots = Vec::new();
    while let Ok(slot) = work.connect(remote, &options, Owner::Handler, 0) {
        slots.push(slot);
    }
    assert_eq!(slots.len(), 16_384, "every port was found");
    let before = work.port_cursor;
    assert!(work.connect(remote, &options, Owner::Handler, 0).is_err());
    assert!(work.port_cursor - before <= 256, "and none takes long");
    // One in a hundred comes free, here and there.
    let mut random = Random::new(7);
    for _ in 0..164 {
        let slot = slots.swap_remove(random.below(slots.len() as u64) as usize);
        work.discard(slot);
    }
    let mut found = 0;
    for _ in 0..1_000 {
        if let Ok(slot) = work.connect(remote, &options, Owner::Handler, 0) {
            found += 1;
            work.discard(slot);
        }
    }
    assert!(found > 850, "{found} of 1000 find a port at the first try");
    assert_eq!(work.counters.no_port_left, 2 + 1_000 - found);
}

/// Closes first, and notes how it ends.
struct Closer(Log);

impl Handler<MemQueue> for Closer {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.close();
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.0.lock().unwrap().push(format!("{:?}", closed.outcome));
    }
}

#[test]
fn connections_that_a_handler_closed_and_peers_do_not_are_bounded_in_number_and_time() {
    let log = Log::default();
    let mut arena = Arena::new(&Plan::default(), |_| Closer(Arc::clone(&log)));
    arena.world.server.listen(0, &Listen::on(7));
    arena.world.server.shards[0].work.limits.orphans = 4;
    for port in 1_000..1_010 {
        arena.open(port).unwrap();
    }
    arena.soon();
    let count = |arena: &Arena<Closer>| {
        let work = &arena.world.server.shards[0].work;
        (work.orphans, work.records.connections())
    };
    assert_eq!(count(&arena), (4, 4));
    assert_eq!(*log.lock().unwrap(), ["Err(Aborted)"; 6]);
    for _ in 0..1_300 {
        arena.turn(Duration::from_millis(50));
    }
    assert_eq!(count(&arena), (0, 0));
    assert_eq!(log.lock().unwrap()[6..], ["Err(TimedOut)"; 4]);
    let counters = arena.world.server.shards[0].counters();
    assert_eq!(counters.orphans_reset, 10);
    arena.world.server.assert_as_at_start();
}

/// An ICMP error for a segment that the server sent to the peer's `port`.
fn icmp(kind: u8, code: u8, mtu: u16, port: u16, seq: SeqNum, packet_len: u16) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend_from_slice(&mtu.to_be_bytes());
    message.extend_from_slice(&[0x45, 0]);
    message.extend_from_slice(&packet_len.to_be_bytes());
    message.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7]);
    message.extend_from_slice(&port.to_be_bytes());
    message.extend_from_slice(&seq.0.to_be_bytes());
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1]);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(&message);
    packet
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

#[test]
fn a_packet_too_large_for_the_path_is_sent_again_smaller_whichever_worker_hears_of_it() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    for port in 1_000..1_008 {
        let peer = arena.open_with_mss(port, 1_400).unwrap();
        let payload = vec![7; 1_400];
        arena.say(port, TcpFlags::ACK, peer.seq, peer.ack, &payload);
        for _ in 0..4 {
            arena.soon();
        }
        let heard = arena.hear(port);
        assert_eq!(heard.iter().map(|heard| heard.len).max(), Some(1_400));
        arena.say_raw(&icmp(3, 4, 1_000, port, peer.ack, 1_440));
        for _ in 0..4 {
            arena.soon();
        }
        let again: Vec<_> = arena.hear(port).iter().map(|heard| heard.len).collect();
        assert_eq!(again, [960, 440], "port {port}");
    }
}

#[test]
fn who_holds_all_that_may_be_lent_hears_of_room_to_send() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let listen = Listen {
        profile: Profile {
            send_buffer: 4_096,
            nodelay: true,
            ..Profile::default()
        },
        ..Listen::on(7).for_endpoints()
    };
    let id = arena.world.server.listen(0, &listen);
    let limits = EndpointLimits {
        lent: 4,
        ..EndpointLimits::default()
    };
    let endpoint = endpoint_with(&mut arena.world.server, &limits);
    let mut peer = arena.open(1_000).unwrap();
    let stream = accept(&mut arena, &endpoint, &Listener::new(id, 7, listen.backlog)).expect("a stream");
    let mut held = Vec::new();
    for _ in 0..5 {
        arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack, b"x");
        peer.seq += 1;
        for _ in 0..3 {
            arena.soon();
            endpoint.step();
        }
        held.extend(stream.try_recv().ok().flatten());
    }
    assert_eq!(held.len(), 4, "one stays behind");
    let mut sent = 0;
    while let Ok(count) = stream.send(&[1; 1_000], Duration::ZERO) {
        sent += count as u32;
        endpoint.step();
        arena.soon();
    }
    arena.say(peer.port, TcpFlags::ACK, peer.seq, peer.ack + sent, &[]);
    for _ in 0..5 {
        arena.soon();
        endpoint.step();
    }
    assert!(stream.send(&[1; 1_000], Duration::ZERO).is_ok());
}
