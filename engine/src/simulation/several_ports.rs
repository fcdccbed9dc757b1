//! Several ports of one engine: each address lives on one of them (RFC 1122 §3.3.4.2), one listener serves all, and a port that
//! stands still holds up nothing of the others.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::{Clock, MacAddr, Queue};
use fourtuple_nic_mem::{End, MemOptions, MemPort, MemQueue, Spread, VirtualClock, Wire};
use fourtuple_wire::{DropReason, Instant};

use super::handlers::{Client, Echo, Errand, Outcome};
use super::{Plan, Side};
use crate::error::ConnectError;
use crate::handler::Handler;
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::records::Owner;
use crate::shard::ConnectOptions;

/// Addresses of the middle and of the end, on each link.
const LINKS: [([&str; 2], [&str; 2]); 2] = [
    (["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00::2/64"]),
    (["10.1.0.1/24", "fd01::1/64"], ["10.1.0.2/24", "fd01::2/64"]),
];

/// An engine with a port on each of two links, and at the other end of each an engine with one.
struct Links<M: Handler<MemQueue>, E: Handler<MemQueue>> {
    middle: Side<M>,
    ends: [Side<E>; 2],
    wires: [Wire; 2],
    clock: VirtualClock,
}

impl<M: Handler<MemQueue>, E: Handler<MemQueue>> Links<M, E> {
    /// The middle's ports are as `change` makes them; it has as many workers as the plan says for servers.
    fn new(
        plan: &Plan,
        change: impl Fn(usize, &mut MemOptions),
        middle: impl FnMut(u16) -> M,
        ends: [E; 2],
    ) -> Self {
        let clock = VirtualClock::new();
        let mut wires = Vec::new();
        let (mut ports, mut sides) = (Vec::new(), Vec::new());
        for (link, ((ours, theirs), end)) in LINKS.into_iter().zip(ends).enumerate() {
            let options = |queues, last| MemOptions {
                queues,
                mac: MacAddr([2, 0, 0, 0, link as u8, last]),
                receive_pool: plan.pools,
                payload_pool: plan.pools,
                transmit_pool: plan.pools,
                ..MemOptions::default()
            };
            let mut near = options(plan.server_workers, 0x0a);
            change(link, &mut near);
            let seed = plan.seed + link as u64;
            let (mut a, mut b) = MemPort::join([near, options(1, 0x0b)], [plan.conditions; 2], &clock, seed);
            wires.push(a.wire());
            ports.push((a.take_queues(), ours));
            let mut end = Some(end);
            sides.push(Side::new(plan, b.take_queues(), theirs, seed + 7, |_| {
                end.take().expect("one worker")
            }));
        }
        Self {
            middle: Side::on_ports(plan, ports, plan.seed, middle),
            ends: sides.try_into().ok().expect("two"),
            wires: wires.try_into().expect("two"),
            clock,
        }
    }

    fn step(&mut self) {
        let now = Instant::from_nanos(self.clock.now_ns());
        let (mut busy, mut next) = self.middle.turn(now);
        for end in &mut self.ends {
            let (end_busy, end_next) = end.turn(now);
            busy |= end_busy;
            next = next.min(end_next);
        }
        if busy {
            self.clock.advance(Duration::from_nanos(500));
            return;
        }
        for wire in &self.wires {
            next = next.min(
                wire.next_event_ns()
                    .map_or(Instant::FAR_FUTURE, Instant::from_nanos),
            );
        }
        // A millisecond at most: a port that stands still is always due.
        let most = now.as_nanos() + 1_000_000;
        self.clock
            .advance_to(next.as_nanos().clamp(now.as_nanos() + 1_000, most));
    }

    #[track_caller]
    fn run_until(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.clock.now_ns() + span.as_nanos() as u64;
        while !done(self) {
            assert!(
                self.clock.now_ns() < end,
                "not done after {span:?} of virtual time"
            );
            self.step();
        }
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.clock.now_ns() + span.as_nanos() as u64;
        while self.clock.now_ns() < end {
            self.step();
        }
    }

    #[track_caller]
    fn assert_as_at_start(&mut self) {
        self.middle.assert_as_at_start();
        self.ends.iter_mut().for_each(Side::assert_as_at_start);
    }
}

fn errand(remote: &str, connections: u32) -> Errand {
    Errand {
        remote: remote.parse().unwrap(),
        connections,
        bytes: 5_000,
    }
}

/// Clients at both ends, with an errand each, and what comes of them.
fn clients(remotes: [&str; 2], connections: u32) -> ([Client; 2], [Arc<Mutex<Outcome>>; 2]) {
    let [one, other] = remotes.map(|remote| Client::new(vec![errand(remote, connections)]));
    ([one.0, other.0], [one.1, other.1])
}

fn finished(outcome: &Arc<Mutex<Outcome>>) -> u32 {
    let outcome = outcome.lock().unwrap();
    assert_eq!(outcome.failed, []);
    outcome.finished
}

#[test]
fn one_listener_serves_both_ports_at_once() {
    for remotes in [
        ["10.0.0.1:7", "10.1.0.1:7"],
        ["10.0.0.1:7", "[fd01::1]:7"],
        ["[fd00::1]:7", "10.1.0.1:7"],
    ] {
        let (clients, outcomes) = clients(remotes, 40);
        let mut links = Links::new(&Plan::default(), |_, _| {}, |_| Echo::default(), clients);
        links.middle.listen(0, &Listen::on(7));
        links.run_until(Duration::from_secs(20), |_| {
            outcomes.iter().all(|outcome| finished(outcome) == 40)
        });
        let shard = &links.middle.shards[0];
        assert_eq!(shard.work.counters.accepts, 80);
        for port in shard.work.ports.iter() {
            assert!(
                port.queue.stats().tx_packets > 200,
                "each answered where it was asked"
            );
        }
        links.run_for(Duration::from_secs(2));
        links.assert_as_at_start();
    }
}

#[test]
fn ports_that_offer_less_or_more_do_as_they_can() {
    let (clients, outcomes) = clients(["10.0.0.1:7", "10.1.0.1:7"], 10);
    let change = |link, options: &mut MemOptions| {
        options.multi_seg = link == 0;
        (options.tx_checksum, options.rx_checksum) = (link == 1, link == 1);
        options.mtu = if link == 0 { 1500 } else { 900 };
    };
    let mut links = Links::new(&Plan::default(), change, |_| Echo::default(), clients);
    links.middle.listen(0, &Listen::on(7));
    links.run_until(Duration::from_secs(20), |_| {
        outcomes.iter().all(|outcome| finished(outcome) == 10)
    });
    let linearised = |port| {
        links.middle.shards[0].work.ports[port]
            .queue
            .stats()
            .tx_linearised
    };
    assert_eq!(linearised(PortNumber::FIRST), 0);
    assert!(linearised(PortNumber::SECOND) > 0);
    links.run_for(Duration::from_secs(2));
    links.assert_as_at_start();
}

#[test]
fn an_address_of_the_other_port_is_not_ours_here() {
    // proves: RFC 1122 §3.3.4.2, the strong end-system model
    let (clients, outcomes) = clients(["10.0.0.1:7", "10.0.0.1:7"], 1);
    let mut links = Links::new(&Plan::default(), |_, _| {}, |_| Echo::default(), clients);
    links.middle.listen(0, &Listen::on(7));
    // The client on the second link sends what is for 10.0.0.1 to the middle's station there, as a router would.
    let station = links.middle.shards[0].work.ports[PortNumber::SECOND]
        .queue
        .promises()
        .mac
        .0;
    let astray = &mut links.ends[1].shards[0].work;
    let gateway = ["10.1.0.1".parse().unwrap()];
    let nets: Vec<ipnet::IpNet> = ["10.1.0.2/24"].map(|net| net.parse().unwrap()).to_vec();
    let port = &mut astray.ports[PortNumber::FIRST];
    port.host.addresses = crate::host::Addresses::new(port.queue.promises().mac.0, &nets, &gateway);
    astray.introduce(PortNumber::FIRST, gateway[0], station);
    links.run_until(Duration::from_secs(5), |_| finished(&outcomes[0]) == 1);
    links.run_for(Duration::from_secs(5));
    assert_eq!(outcomes[1].lock().unwrap().opened, 0);
    let counters = &links.middle.shards[0].work.counters;
    assert!(
        counters.dropped.of(DropReason::NotOurAddress) >= 3,
        "the SYN and its retransmissions"
    );
    assert_eq!(
        (counters.accepts, counters.resets_sent),
        (1, 0),
        "and nothing is said to it"
    );
}

#[test]
fn a_port_that_stands_still_does_not_stop_the_other() {
    let (clients, outcomes) = clients(["10.0.0.1:7", "10.1.0.1:7"], 100);
    let stalled = |link, options: &mut MemOptions| {
        if link == 0 {
            // A frame in some minutes.
            options.line_rate = Some(8);
            options.tx_ring = 4;
        }
    };
    let mut links = Links::new(&Plan::default(), stalled, |_| Echo::default(), clients);
    links.middle.listen(0, &Listen::on(7));
    // SYNs beyond those that may wait for ARP are lost once.
    links.run_until(Duration::from_secs(5), |_| finished(&outcomes[1]) == 100);
    assert_eq!(outcomes[0].lock().unwrap().finished, 0);
    assert_eq!(links.middle.shards[0].work.counters.accepts, 100);
}

#[test]
fn debtors_of_a_port_that_stands_still_cost_the_other_nothing() {
    // The middle opens more connections on the stalled link than its backlog has places for.
    let (client, outcome) = Client::new(vec![errand("10.0.0.2:7", 150), errand("10.1.0.2:7", 50)]);
    let mut client = Some(client);
    let stalled = |link, options: &mut MemOptions| {
        if link == 0 {
            options.line_rate = Some(8);
            options.tx_ring = 4;
        }
    };
    let mut links = Links::new(
        &Plan::default(),
        stalled,
        |_| client.take().unwrap(),
        [Echo::default(), Echo::default()],
    );
    links.ends.iter_mut().for_each(|end| {
        end.listen(0, &Listen::on(7));
    });
    let (end, station) = ("10.0.0.2".parse().unwrap(), [2, 0, 0, 0, 0, 0x0b]);
    links.middle.shards[0]
        .work
        .introduce(PortNumber::FIRST, end, station);
    links.run_until(Duration::from_secs(2), |_| outcome.lock().unwrap().finished == 50);
    let work = &links.middle.shards[0].work;
    assert!(
        work.ports[PortNumber::FIRST].transmit.len() > 50,
        "they wait for their turn"
    );
    assert!(work.ports[PortNumber::SECOND].transmit.is_empty());
    assert!(work.counters.tx_deferred > 0);
}

#[test]
fn a_connection_leaves_by_the_port_on_whose_link_the_peer_is() {
    let remotes = ["10.0.0.2:7", "10.1.0.2:7", "[fd00::2]:7", "[fd01::2]:7"];
    let (client, outcome) = Client::new(remotes.map(|remote| errand(remote, 10)).to_vec());
    let mut client = Some(client);
    let mut links = Links::new(
        &Plan::default(),
        |_, _| {},
        |_| client.take().unwrap(),
        [Echo::default(), Echo::default()],
    );
    links.ends.iter_mut().for_each(|end| {
        end.listen(0, &Listen::on(7));
    });
    links.run_until(Duration::from_secs(20), |_| finished(&outcome) == 40);
    for end in &links.ends {
        assert_eq!(end.shards[0].work.counters.accepts, 20);
    }
    links.run_for(Duration::from_secs(2));
    links.assert_as_at_start();
}

#[test]
fn a_local_address_fixes_the_port() {
    let (client, _) = Client::new(Vec::new());
    let mut client = Some(client);
    let ends = [Echo::default(), Echo::default()];
    let mut links = Links::new(&Plan::default(), |_, _| {}, |_| client.take().unwrap(), ends);
    let work = &mut links.middle.shards[0].work;
    let mut port_from = |local: &str, remote: &str| -> Result<PortNumber, ConnectError> {
        let options = ConnectOptions {
            local: Some(local.parse::<IpAddr>().unwrap()),
            ..ConnectOptions::default()
        };
        let remote: SocketAddr = remote.parse().unwrap();
        let slot = work.connect(remote, &options, Owner::Handler, 0)?;
        Ok(work.records.conn(slot).expect("it was made").port)
    };
    assert_eq!(port_from("10.0.0.1", "10.1.0.2:7"), Ok(PortNumber::FIRST));
    assert_eq!(port_from("10.1.0.1", "10.0.0.2:7"), Ok(PortNumber::SECOND));
    let foreign = "10.2.0.1".parse().unwrap();
    assert_eq!(
        port_from("10.2.0.1", "10.0.0.2:7"),
        Err(ConnectError::BadAddress(foreign))
    );
    // RFC 9293 MUST-46: the broadcast address of either link is no peer.
    assert!(port_from("10.0.0.1", "10.1.0.255:7").is_err());
}

#[test]
fn frames_on_the_wrong_worker_keep_their_port() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let (clients, outcomes) = clients(["10.0.0.1:7", "[fd01::1]:7"], 40);
    let mut links = Links::new(&plan, |_, _| {}, |_| Echo::default(), clients);
    links.middle.listen(0, &Listen::on(7));
    // One port gives everything to worker 0, the other to worker 1, ARP and neighbour discovery too.
    for (worker, wire) in (0..).zip(&links.wires) {
        wire.set_spread(End::A, Spread::AllTo(worker));
    }
    links.run_until(Duration::from_secs(60), |_| {
        outcomes.iter().all(|outcome| finished(outcome) == 40)
    });
    for shard in &links.middle.shards {
        let counters = &shard.work.counters;
        assert!(counters.accepts > 0 && counters.steered_in > 0 && counters.steered_out > 0);
    }
    links.run_for(Duration::from_secs(62));
    links.assert_as_at_start();
}
