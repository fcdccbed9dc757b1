//! A hostile station on the link: it claims the addresses of others and ours, asks in the name of thousands, redirects, and
//! announces itself as a router. Nobody's traffic moves, and tables stay bounded (RFC 826, RFC 1122 §3.2.2.2, RFC 4861 §8.1,
//! §6.1.2, RFC 5227 §2.4, RFC 6583).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{End, WireConditions};
use fourtuple_wire::{
    AdvertisementFlags, ETHER_BROADCAST, Ends, EtherAddr, Link, Sum, build_arp_reply, build_arp_request,
    build_neighbour_advertisement, build_neighbour_solicitation,
};

use super::super::handlers::{Client, Echo, Errand, Outcome};
use super::super::{Plan, World};
use crate::listener::Listen;
use crate::port_number::PortNumber;

/// Enough that each of four workers has some.
const CONNECTIONS: u32 = 12;
const EVIL: EtherAddr = [2, 0, 0, 0, 6, 6];
const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const US6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const FRIEND6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn frame(build: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut frame = vec![0; 200];
    let len = build(&mut frame).expect("room");
    frame.truncate(len);
    frame
}

/// Everything that says a friend, or our own address, were at the evil station, or the way to one led by it.
fn lies(ours: EtherAddr) -> Vec<Vec<u8>> {
    let to_us = Link {
        source: EVIL,
        destination: ours,
        vlan: None,
    };
    let to_all = Link {
        destination: ETHER_BROADCAST,
        ..to_us
    };
    let claim = |solicited| AdvertisementFlags {
        router: true,
        solicited,
        overrides: true,
    };
    let ends = Ends {
        source: FRIEND6,
        destination: US6,
    };
    let mut redirect = vec![5, 1, 0, 0];
    redirect.extend_from_slice(&[10, 0, 0, 66]);
    redirect.extend_from_slice(&[
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    redirect.extend_from_slice(&[0, 7, 0xc0, 0, 0, 0, 0, 1]);
    let mut redirect6 = vec![137, 0, 0, 0, 0, 0, 0, 0];
    redirect6.extend_from_slice(&FRIEND6.octets());
    redirect6.extend_from_slice(&FRIEND6.octets());
    redirect6.extend_from_slice(&[2, 1, 2, 0, 0, 0, 6, 6]);
    let router = vec![
        134, 0, 0, 0, 64, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 6, 6,
    ];
    vec![
        frame(|out| build_arp_request(out, &to_all, FRIEND, FRIEND)),
        frame(|out| build_arp_reply(out, &to_us, FRIEND, US)),
        frame(|out| build_arp_request(out, &to_all, FRIEND, US)),
        frame(|out| build_arp_reply(out, &to_us, US, US)),
        frame(|out| build_neighbour_advertisement(out, &to_us, ends, FRIEND6, claim(false))),
        frame(|out| build_neighbour_advertisement(out, &to_us, ends, FRIEND6, claim(true))),
        frame(|out| build_neighbour_solicitation(out, &to_us, FRIEND6, US6)),
        frame(|out| build_neighbour_advertisement(out, &to_us, ends, US6, claim(true))),
        icmp_v4(ours, redirect),
        icmp_v6(ours, redirect6),
        icmp_v6(ours, router),
    ]
}

fn icmp_v4(ours: EtherAddr, mut message: Vec<u8>) -> Vec<u8> {
    let sum = Sum::of(&message).checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 1, 0, 0]);
    packet.extend_from_slice(&FRIEND.octets());
    packet.extend_from_slice(&US.octets());
    let sum = Sum::of(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    [&ours[..], &EVIL, &[8, 0], &packet, &message].concat()
}

fn icmp_v6(ours: EtherAddr, mut message: Vec<u8>) -> Vec<u8> {
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66);
    let len = message.len() as u16;
    let sum = Sum::pseudo_v6(router, US6, 58, len).with(&message).checksum();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[58, 255]);
    packet.extend_from_slice(&router.octets());
    packet.extend_from_slice(&US6.octets());
    [&ours[..], &EVIL, &[0x86, 0xdd], &packet, &message].concat()
}

/// A host on the link that nobody knows asks for us.
fn stranger(ours: EtherAddr, number: u32) -> Vec<u8> {
    let [_, _, high, low] = number.to_be_bytes();
    let link = Link {
        source: [2, 0, 1, 0, high, low],
        destination: ours,
        vlan: None,
    };
    if number.is_multiple_of(8) {
        let host = Ipv4Addr::new(10, 0, 0, 3 + (number % 250) as u8);
        frame(|out| build_arp_request(out, &link, host, US))
    } else {
        let host = Ipv6Addr::new(0xfd00, 0, 0, 0, 1, 0, 0, number as u16);
        frame(|out| build_neighbour_solicitation(out, &link, host, US6))
    }
}

fn is_tcp(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame[23] == 6,
        [0x86, 0xdd] => frame[20] == 6,
        _ => false,
    }
}

type Server = World<Echo, Client>;

/// Connections that have just begun over a path of a tenth of a second, as many of each family, on four workers.
fn begun() -> (Server, Arc<Mutex<Outcome>>) {
    let plan = Plan {
        conditions: WireConditions {
            delay: Duration::from_millis(50),
            ..WireConditions::default()
        },
        server_workers: 4,
        ..Plan::default()
    };
    let errands = ["10.0.0.1:7", "[fd00::1]:7"].map(|remote| Errand {
        remote: remote.parse().unwrap(),
        connections: CONNECTIONS / 2,
        bytes: 1_000_000,
    });
    let (client, outcome) = Client::new(errands.to_vec());
    let mut client = Some(client);
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(5), |world| {
        world
            .server
            .shards
            .iter_mut()
            .map(|shard| shard.counters().accepts)
            .sum::<u64>()
            == u64::from(CONNECTIONS)
    });
    (world, outcome)
}

// proves: RFC 1122 §3.2.2.2, RFC 4861 §7.2.5
#[test]
fn a_station_that_lies_about_others_takes_none_of_their_traffic() {
    let (mut world, outcome) = begun();
    let stolen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&stolen);
    world.wire.set_filter(End::A, move |frame| {
        let taken = frame[..6] == EVIL && is_tcp(frame);
        count.fetch_add(u64::from(taken), Ordering::Relaxed);
        true
    });
    let ours = world.server.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .promises()
        .mac
        .0;
    let lies = lies(ours);
    let (mut rounds, mut strangers) = (0, 0);
    while outcome.lock().unwrap().finished < CONNECTIONS {
        rounds += 1;
        assert!(rounds < 1_000, "{:?}", outcome.lock().unwrap());
        let queue = &mut world.client.shards[0].work.ports[PortNumber::FIRST].queue;
        for lie in &lies {
            assert!(queue.send_bytes(lie));
        }
        for _ in 0..50 {
            strangers += 1;
            assert!(queue.send_bytes(&stranger(ours, strangers)));
        }
        world.run_for(Duration::from_millis(5));
    }
    assert!(outcome.lock().unwrap().failed.is_empty());
    assert_eq!(stolen.load(Ordering::Relaxed), 0, "segments to the evil station");
    assert!(rounds > 80 && strangers > 4_000, "{rounds} rounds");
    let counters = world.server.shards[0].counters().clone();
    assert!(counters.neighbours <= 1_024, "{} neighbours", counters.neighbours);
    assert!(
        counters.neighbours_disbelieved > rounds,
        "{}",
        counters.neighbours_disbelieved
    );
    assert!(
        counters.address_conflicts >= rounds,
        "{}",
        counters.address_conflicts
    );
    // At most one question a second to each of two friends, whatever is claimed of them; and the first, to everybody.
    assert!(
        counters.neighbour_solicits <= 6 + rounds / 100,
        "{}",
        counters.neighbour_solicits
    );
    world.wire.clear_filter(End::A);
    world.run_for(Duration::from_secs(10));
    world.assert_as_at_start();
}
