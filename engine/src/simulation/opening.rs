//! What opens leave alone: listeners, connections of the same port, addresses.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_tcp::State;
use fourtuple_wire::{FourTuple, Instant, SeqNum, TcpFlags};

use super::attack::{Arena, Heard};
use super::handlers::{Client, Echo, Errand};
use super::{Plan, World};
use crate::ConnectOptions;
use crate::handler::Handler;
use crate::host::Addresses;
use crate::listener::Listen;
use crate::options::ConnectionOption;
use crate::port_number::PortNumber;
use crate::records::Owner;
use crate::secrets::Secrets;
use crate::shard::Connection;

fn echo_errand(remote: &str, connections: u32) -> Vec<Errand> {
    vec![Errand {
        remote: remote.parse().unwrap(),
        connections,
        bytes: 20_000,
    }]
}

// proves: RFC 9293 MUST-41, MUST-42, §3.10.1
#[test]
fn a_port_can_be_listened_to_while_it_is_in_use_and_others_do_not_notice() {
    let (client, outcome) = Client::new(echo_errand("10.0.0.1:7", 10));
    let mut client = Some(client);
    let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| client.take().unwrap());
    // Opens of its own from port 7 and from port 8, in SYN_SENT.
    for port in [7, 8] {
        let options = ConnectOptions {
            local_port: Some(port),
            ..ConnectOptions::default()
        };
        let work = &mut world.server.shards[0].work;
        let opened = work.connect("10.0.0.2:9".parse().unwrap(), &options, Owner::Handler, 0);
        opened.expect("a free four-tuple");
    }
    let syn_sent =
        |world: &mut World<Echo, Client>| world.server.shards[0].counters().by_state.of(State::SynSent);
    assert_eq!(syn_sent(&mut world), 2);
    world.server.listen(0, &Listen::on(7));
    assert_eq!(syn_sent(&mut world), 2, "they are still there");
    world.run_until(Duration::from_secs(10), |_| outcome.lock().unwrap().opened == 10);
    let before = world.server.shards[0].counters().by_state.of(State::Established);
    world.server.listen(1, &Listen::on(8));
    assert_eq!(
        world.server.shards[0].counters().by_state.of(State::Established),
        before,
        "a passive open changes no connection"
    );
    world.run_until(Duration::from_secs(20), |_| {
        outcome.lock().unwrap().finished == 10
    });
    assert_eq!(outcome.lock().unwrap().failed, []);
}

/// The server has a second address on its link.
fn with_two_addresses<C: crate::handler::Handler<fourtuple_nic_mem::MemQueue>>(world: &mut World<Echo, C>) {
    let nets: Vec<ipnet::IpNet> = ["10.0.0.1/24", "10.0.0.9/24"]
        .map(|net| net.parse().unwrap())
        .to_vec();
    let port = &mut world.server.shards[0].work.ports[PortNumber::FIRST];
    let mac = fourtuple_nic::Queue::promises(&port.queue).mac.0;
    port.host.addresses = Addresses::new(mac, &nets, &[]);
}

// proves: RFC 9293 MUST-43, MUST-45
#[test]
fn a_connection_speaks_from_the_address_it_was_opened_with_and_from_no_other() {
    // Passive: the address that the SYN went to. Any other would be nobody's at the client.
    for remote in ["10.0.0.1:7", "10.0.0.9:7"] {
        let (client, outcome) = Client::new(echo_errand(remote, 5));
        let mut client = Some(client);
        let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| client.take().unwrap());
        with_two_addresses(&mut world);
        world.server.listen(0, &Listen::on(7));
        world.run_until(Duration::from_secs(20), |_| outcome.lock().unwrap().finished == 5);
    }
    // Active: the address that was asked for.
    for local in ["10.0.0.1", "10.0.0.9"] {
        let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| Echo::default());
        with_two_addresses(&mut world);
        world.client.listen(0, &Listen::on(7));
        let options = ConnectOptions {
            local: Some(local.parse().unwrap()),
            local_port: Some(5_000),
            ..ConnectOptions::default()
        };
        let remote = "10.0.0.2:7".parse().unwrap();
        let work = &mut world.server.shards[0].work;
        work.connect(remote, &options, Owner::Handler, 0).unwrap();
        world.run_for(Duration::from_secs(2));
        let tuple = FourTuple::new(remote, format!("{local}:5000").parse().unwrap()).unwrap();
        let peers = &mut world.client.shards[0];
        assert!(peers.work.records.find(&tuple).is_some(), "{local}");
        assert_eq!(peers.counters().by_state.of(State::Established), 1, "{local}");
    }
}

// proves: RFC 9293 MUST-67, MUST-15, SHLD-5, RFC 6691 §2, RFC 1122 §3.3.3
#[test]
fn the_mss_that_is_announced_is_the_mtu_less_the_fixed_headers() {
    let world = World::new(&Plan::default(), |_| Echo::default(), |_| Echo::default());
    let work = &world.server.shards[0].work;
    let mtu = work.ports[PortNumber::FIRST].mtu;
    for (local, remote, headers, default) in [
        ("10.0.0.1:7", "10.0.0.2:9", 40, 536),
        ("[fd00::1]:7", "[fd00::2]:9", 60, 1220),
    ] {
        let tuple = FourTuple::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap();
        let path = work.path(PortNumber::FIRST, &tuple);
        assert_eq!(
            (path.receive_mss, path.send_mss_limit),
            (mtu - headers, mtu - headers)
        );
        assert_eq!(path.default_mss, default);
    }
}

// proves: RFC 9293 MUST-8, MUST-9, SHLD-1, RFC 6528 §3, RFC 7323 §5.4
#[test]
fn sequence_numbers_and_clocks_follow_from_the_four_tuple_by_a_secret() {
    let tuple = |port: u16| {
        let remote = SocketAddr::new("10.0.0.2".parse().unwrap(), port);
        FourTuple::new("10.0.0.1:7".parse().unwrap(), remote).unwrap()
    };
    let seeds = |secrets: &Secrets, port, ms| secrets.seeds(&tuple(port), Instant::from_millis(ms));
    let (ours, theirs) = (Secrets::from_seed(1), Secrets::from_seed(2));
    // One four-tuple: the clock alone, 4 µs a number.
    let (first, later) = (seeds(&ours, 1_000, 0), seeds(&ours, 1_000, 1));
    assert_eq!(later.iss.distance_from(first.iss), 250);
    assert_eq!(later.timestamp_offset, first.timestamp_offset);
    // What one four-tuple has says nothing about the next, nor what one secret makes of it about another.
    let (mut steps, mut offsets, mut between) = (HashSet::new(), HashSet::new(), HashSet::new());
    for port in 1_000..2_000 {
        let here = seeds(&ours, port, 0);
        steps.insert(seeds(&ours, port + 1, 0).iss.distance_from(here.iss));
        offsets.insert(here.timestamp_offset);
        between.insert(seeds(&theirs, port, 0).iss.distance_from(here.iss));
    }
    assert_eq!((steps.len(), offsets.len(), between.len()), (1_000, 1_000, 1_000));
}

// proves: RFC 6056 §3.2, §3.3.3
#[test]
fn ports_towards_each_destination_begin_somewhere_else_in_the_whole_range() {
    let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| Echo::default());
    let work = &mut world.server.shards[0].work;
    let ports: Vec<u16> = (20..220)
        .map(|host| {
            let remote = format!("10.0.0.{host}:9").parse().unwrap();
            let slot = work
                .connect(remote, &ConnectOptions::default(), Owner::Handler, 0)
                .unwrap();
            work.records.tuple(slot).unwrap().local().port()
        })
        .collect();
    assert!(ports.iter().all(|port| *port >= 49_152));
    let successive = ports
        .windows(2)
        .filter(|pair| pair[0].abs_diff(pair[1]) < 16)
        .count();
    assert!(
        successive < 5,
        "{successive} of 199 could be guessed from the one before"
    );
    for quarter in 0..4 {
        let range = 49_152 + quarter * 4_096..=49_152 + quarter * 4_096 + 4_095;
        let within = ports.iter().filter(|port| range.contains(*port)).count();
        assert!(within > 20, "{within} of 200 in {range:?}");
    }
}

/// Answers, and sets its options when it is told to.
struct Obedient;

impl Handler<MemQueue> for Obedient {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            if bytes.bytes() == b"set" {
                connection.set(ConnectionOption::Ttl(3)).unwrap();
                connection.set(ConnectionOption::Dscp(10)).unwrap();
            }
            connection.send(bytes.bytes());
        }
    }
}

// proves: RFC 9293 MUST-48, MUST-49, SHLD-21, SHLD-22, RFC 1122 §3.2.1.6, §3.2.1.7
#[test]
fn time_to_live_and_dscp_of_each_packet_are_those_that_were_set() {
    let mut arena = Arena::new(&Plan::default(), |_| Obedient);
    let profile = Plan::default().profile.with(|profile| {
        profile.ttl = 9;
        profile.dscp = 46;
    });
    arena.world.server.listen(
        0,
        &Listen {
            profile: Some(profile),
            ..Listen::on(7)
        },
    );
    #[track_caller]
    fn all_are(heard: &[Heard], ttl: u8, dscp: u8) {
        assert!(!heard.is_empty());
        assert!(
            heard.iter().all(|heard| (heard.ttl, heard.dscp) == (ttl, dscp)),
            "{heard:?}"
        );
    }
    arena.say(1_000, TcpFlags::SYN, SeqNum(1), SeqNum(0), &[]);
    arena.soon();
    arena.soon();
    all_are(&arena.hear(1_000), 9, 46);
    let mut peer = arena.open(1_001).unwrap();
    for (word, ttl, dscp) in [(&b"as it was"[..], 9, 46), (b"set", 3, 10), (b"still", 3, 10)] {
        arena.say(peer.port, TcpFlags::ACK | TcpFlags::PSH, peer.seq, peer.ack, word);
        peer.seq += word.len() as u32;
        arena.soon();
        arena.soon();
        let heard = arena.hear(peer.port);
        all_are(&heard, ttl, dscp);
        assert!(heard.iter().any(|heard| heard.len == word.len()));
        peer.ack += word.len() as u32;
    }
}
