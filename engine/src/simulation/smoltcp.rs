//! smoltcp, which somebody else wrote, as the peer in the same process: both families, either opens, either closes first, over a
//! wire that loses, reorders, duplicates and corrupts. Every byte is compared, both ways.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Clock;
use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, VirtualClock, WireConditions};
use fourtuple_wire::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use super::handlers::pattern;
use super::{Plan, Side};
use crate::error::ConnectionError;
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// What one exchange is like.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    ipv6: bool,
    /// We open, and smoltcp listens; else the other way round.
    we_open: bool,
    /// We close first, when everything is sent and received; else smoltcp does.
    we_close: bool,
    bytes: usize,
    seed: u64,
}

/// Sends the pattern, reads it, and closes as the exchange says.
struct Talker {
    exchange: Exchange,
    /// Still to be opened.
    opens: Option<SocketAddr>,
    ended: Arc<Mutex<Option<Result<(), ConnectionError>>>>,
}

#[derive(Default)]
struct Talk {
    sent: usize,
    received: usize,
}

impl Talker {
    fn pump(&self, connection: &mut Connection<'_, MemQueue>, talk: &mut Talk) {
        while talk.sent < self.exchange.bytes {
            let len = (self.exchange.bytes - talk.sent).min(3_000);
            let bytes: Vec<u8> = (talk.sent..talk.sent + len).map(pattern).collect();
            let taken = connection.send(&bytes);
            talk.sent += taken;
            if taken < len {
                return;
            }
        }
        if self.exchange.we_close && talk.received == self.exchange.bytes {
            connection.shutdown();
        }
    }
}

impl Handler<MemQueue> for Talker {
    type State = Talk;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, talk: &mut Talk) {
        self.pump(connection, talk);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, talk: &mut Talk) {
        self.pump(connection, talk);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, talk: &mut Talk) {
        while let Some(bytes) = connection.receive() {
            for byte in bytes.bytes() {
                if *byte != pattern(talk.received) {
                    // A panic here would be the handler's: told by how it ends.
                    connection.abort();
                    return;
                }
                talk.received += 1;
            }
        }
        self.pump(connection, talk);
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, talk: &mut Talk) {
        if talk.received == self.exchange.bytes {
            connection.close();
        } else {
            connection.abort();
        }
    }

    fn on_closed(&mut self, closed: Closed, _: &mut Talk) {
        *self.ended.lock().unwrap() = Some(closed.outcome);
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Talk>) {
        if let Some(remote) = self.opens.take() {
            worker.connect(remote, &ConnectOptions::default()).unwrap();
        }
    }
}

/// A port of the wire as smoltcp's device.
struct Card {
    queue: MemQueue,
    arrived: VecDeque<Vec<u8>>,
}

struct Arrived(Vec<u8>);

struct Leaving<'a>(&'a mut MemQueue);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.send_bytes(&frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Arrived, Leaving<'_>)> {
        self.arrived.extend(self.queue.receive_bytes());
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame), Leaving(&mut self.queue)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.queue))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// smoltcp's end of the exchange.
struct Peer {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    exchange: Exchange,
    sent: usize,
    received: usize,
    closed: bool,
}

impl Peer {
    fn new(queue: MemQueue, exchange: Exchange) -> Self {
        let mut card = Card {
            queue,
            arrived: VecDeque::new(),
        };
        let station = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 0x0b]));
        let mut config = Config::new(station);
        config.random_seed = exchange.seed;
        let start = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(config, &mut card, start);
        interface.update_ip_addrs(|addresses| {
            let nets = [("10.0.0.2", 24), ("fd00::2", 64)];
            for (address, prefix) in nets {
                let address: IpAddr = address.parse().unwrap();
                addresses.push(IpCidr::new(address.into(), prefix)).unwrap();
            }
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 20_000]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        if exchange.we_open {
            socket.listen(7).unwrap();
        } else {
            let remote: IpAddress = if exchange.ipv6 { "fd00::1" } else { "10.0.0.1" }
                .parse::<IpAddr>()
                .unwrap()
                .into();
            socket
                .connect(
                    interface.context(),
                    (remote, 7),
                    50_000 + (exchange.seed % 1_000) as u16,
                )
                .unwrap();
        }
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self {
            card,
            interface,
            sockets,
            handle,
            exchange,
            sent: 0,
            received: 0,
            closed: false,
        }
    }

    /// Takes part; returns when it wants to again, in nanoseconds.
    fn step(&mut self, now: u64) -> u64 {
        let at = smoltcp::time::Instant::from_micros(now as i64 / 1_000);
        self.interface.poll(at, &mut self.card, &mut self.sockets);
        let total = self.exchange.bytes;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        while socket.can_send() && self.sent < total {
            let len = (total - self.sent).min(2_000);
            let bytes: Vec<u8> = (self.sent..self.sent + len).map(pattern).collect();
            self.sent += socket.send_slice(&bytes).unwrap();
        }
        while socket.can_recv() {
            let received = &mut self.received;
            socket
                .recv(|bytes| {
                    for byte in &*bytes {
                        assert_eq!(*byte, pattern(*received), "byte {received}");
                        *received += 1;
                    }
                    (bytes.len(), ())
                })
                .unwrap();
        }
        let all = self.sent == total && self.received == total;
        let theirs_is_over = socket.is_active() && !socket.may_recv() && self.sent > 0;
        if all && !self.closed && (!self.exchange.we_close || theirs_is_over) {
            self.closed = true;
            socket.close();
        }
        self.interface.poll(at, &mut self.card, &mut self.sockets);
        let delay = self.interface.poll_delay(at, &self.sockets);
        delay.map_or(u64::MAX, |delay| now + delay.total_micros() * 1_000)
    }

    fn is_over(&self) -> bool {
        let socket = self.sockets.get::<tcp::Socket<'_>>(self.handle);
        matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait)
    }
}

#[track_caller]
fn run(exchange: Exchange, conditions: WireConditions) {
    let plan = Plan {
        conditions,
        seed: exchange.seed,
        profile: Plan::default()
            .profile
            .with(|profile| profile.max_rto = Duration::from_secs(5)),
        ..Plan::default()
    };
    let clock = VirtualClock::new();
    let mut ends = [MemOptions::default(), MemOptions::default()];
    ends[0].mac.0 = [2, 0, 0, 0, 0, 0x0a];
    ends[1].mac.0 = [2, 0, 0, 0, 0, 0x0b];
    let (mut ours, mut theirs) = MemPort::join(ends, [conditions; 2], &clock, exchange.seed);
    let wire = ours.wire();
    let remote = if exchange.ipv6 {
        "[fd00::2]:7"
    } else {
        "10.0.0.2:7"
    };
    let ended = Arc::new(Mutex::new(None));
    let mut talker = Some(Talker {
        exchange,
        opens: exchange.we_open.then(|| remote.parse().unwrap()),
        ended: Arc::clone(&ended),
    });
    let nets = ["10.0.0.1/24", "fd00::1/64"];
    let mut side = Side::new(&plan, ours.take_queues(), nets, exchange.seed, |_| {
        talker.take().unwrap()
    });
    if !exchange.we_open {
        side.listen(0, &Listen::on(7));
    }
    let mut peer = Peer::new(theirs.take_queues().remove(0), exchange);
    while ended.lock().unwrap().is_none() || !peer.is_over() {
        let now = clock.now_ns();
        assert!(
            now < 600_000_000_000,
            "{exchange:?}: not done; {} sent and {} received by smoltcp, {:?}",
            peer.sent,
            peer.received,
            ended.lock().unwrap()
        );
        let (busy, next) = side.turn(Instant::from_nanos(now));
        let wants = peer.step(now);
        if busy {
            clock.advance(Duration::from_micros(1));
            continue;
        }
        let arrival = wire.next_event_ns().unwrap_or(u64::MAX);
        clock.advance_to(next.as_nanos().min(arrival).min(wants).max(now + 1_000));
    }
    assert_eq!(*ended.lock().unwrap(), Some(Ok(())), "{exchange:?}");
    assert_eq!((peer.sent, peer.received), (exchange.bytes, exchange.bytes));
    let end = clock.now_ns() + 3_000_000_000;
    while clock.now_ns() < end {
        let now = clock.now_ns();
        side.turn(Instant::from_nanos(now));
        peer.step(now);
        clock.advance(Duration::from_millis(1));
    }
    side.assert_as_at_start();
}

/// Both families, either opens, either closes first.
fn every_way(bytes: usize, conditions: WireConditions, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        for way in 0..8 {
            let exchange = Exchange {
                ipv6: way & 1 == 1,
                we_open: way & 2 == 2,
                we_close: way & 4 == 4,
                bytes,
                seed: seed * 8 + way,
            };
            run(exchange, conditions);
        }
    }
}

#[test]
fn an_exchange_with_smoltcp_over_a_perfect_wire() {
    let conditions = WireConditions {
        delay: Duration::from_micros(50),
        ..WireConditions::default()
    };
    every_way(1, conditions, 0..1);
    every_way(200_000, conditions, 1..2);
}

#[test]
fn loss_and_corruption_between_us_and_smoltcp_lose_nothing() {
    let conditions = WireConditions {
        loss: 30_000,
        corrupt: 5_000,
        delay: Duration::from_micros(500),
        ..WireConditions::default()
    };
    every_way(40_000, conditions, 2..6);
}

#[test]
fn reordering_and_duplication_between_us_and_smoltcp_lose_nothing() {
    let conditions = WireConditions {
        duplicate: 50_000,
        reorder: 100_000,
        reorder_by: Duration::from_millis(3),
        delay: Duration::from_micros(500),
        jitter: Duration::from_micros(200),
        ..WireConditions::default()
    };
    every_way(60_000, conditions, 6..10);
}

#[test]
fn everything_at_once_between_us_and_smoltcp_loses_nothing() {
    let conditions = WireConditions {
        loss: 20_000,
        duplicate: 20_000,
        corrupt: 5_000,
        reorder: 50_000,
        reorder_by: Duration::from_millis(5),
        delay: Duration::from_millis(2),
        rate: Some(20_000_000),
        queue_limit: 20,
        ..WireConditions::default()
    };
    every_way(40_000, conditions, 10..14);
}
