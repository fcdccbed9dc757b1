//! SYN cookies under attack: floods, replayed and forged ACKs, cookies of other times and places.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{End, MemQueue, Spread};
use fourtuple_tcp::COOKIE_LIFETIME;
use fourtuple_wire::{DropReason, FourTuple, SeqNum, TcpFlags, TcpHeader, TcpOptions, TcpPacket, Timestamps};

use super::super::Plan;
use super::super::handlers::Echo;
use super::{Arena, accept, endpoint};
use crate::handler::{Handler, NoHandler};
use crate::handoff::Listener;
use crate::listener::{Listen, SynCookies};
use crate::port_number::PortNumber;
use crate::stats::Counters;

const SOON: Duration = Duration::from_micros(25);

/// A client that keeps to the rules.
#[derive(Clone, Copy, Debug)]
struct Client {
    tuple: FourTuple,
    seq: SeqNum,
    ack: SeqNum,
    /// The last timestamp of the server, if it was offered any.
    echo: Option<u32>,
}

impl Client {
    /// Of the client's address of this family, to the server's port 7.
    fn on(port: u16, v6: bool) -> Self {
        let (local, remote): (IpAddr, &str) = if v6 {
            ("fd00::2".parse().unwrap(), "[fd00::1]:7")
        } else {
            ("10.0.0.2".parse().unwrap(), "10.0.0.1:7")
        };
        Self {
            tuple: FourTuple::new(SocketAddr::new(local, port), remote.parse().unwrap()).unwrap(),
            seq: SeqNum(u32::from(port) << 12),
            ack: SeqNum(0),
            echo: v6.then_some(0),
        }
    }

    fn header(&self, flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            seq: self.seq,
            ack: self.ack,
            flags,
            window: 500,
            options: TcpOptions {
                timestamps: self.echo.map(|echo| Timestamps { value: 77, echo }),
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        }
    }

    fn syn(&self) -> TcpHeader {
        let mut header = self.header(TcpFlags::SYN);
        header.options.mss = Some(1400);
        header.options.window_scale = Some(7);
        header.options.sack_permitted = true;
        header
    }

    /// Takes the answer to its SYN.
    fn take(&mut self, answers: &[(TcpPacket, Vec<u8>)]) -> bool {
        let ours = |(packet, _): &&(TcpPacket, Vec<u8>)| packet.tuple == self.tuple;
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        let Some((packet, _)) = answers
            .iter()
            .filter(ours)
            .find(|(packet, _)| packet.header.flags == syn_ack)
        else {
            return false;
        };
        assert_eq!(packet.header.ack, self.seq + 1);
        self.seq += 1;
        self.ack = packet.header.seq + 1;
        self.echo = packet.header.options.timestamps.map(|stamps| stamps.value);
        true
    }

    /// Everything that the server said to it.
    fn heard(&self, answers: &[(TcpPacket, Vec<u8>)]) -> Vec<TcpHeader> {
        let ours = |(packet, _): &&(TcpPacket, Vec<u8>)| packet.tuple == self.tuple;
        answers
            .iter()
            .filter(ours)
            .map(|(packet, _)| packet.header.clone())
            .collect()
    }
}

impl<H: Handler<MemQueue>> Arena<H> {
    /// A SYN, and the server's answer to it.
    fn asks(&mut self, client: &mut Client) -> bool {
        self.put(&client.tuple, &client.syn(), &[]);
        let mut answers = self.answers(SOON);
        answers.extend(self.answers(SOON));
        client.take(&answers)
    }

    /// The ACK of the handshake, with what it carries; what the server says to that.
    fn acks(&mut self, client: &Client, payload: &[u8]) -> Vec<(TcpPacket, Vec<u8>)> {
        self.put(&client.tuple, &client.header(TcpFlags::ACK), payload);
        let mut answers = self.answers(SOON);
        answers.extend(self.answers(SOON));
        answers
    }

    fn counters(&mut self) -> Counters {
        self.world.server.shards[0].counters().clone()
    }

    fn connections(&mut self) -> u64 {
        self.world
            .server
            .shards
            .iter_mut()
            .map(|shard| shard.counters().connections)
            .sum()
    }

    /// The server knows where the client's address of the other family is, too.
    fn introduce(&mut self) {
        let queue = &self.world.client.shards[0].work.ports[PortNumber::FIRST].queue;
        let station = queue.promises().mac.0;
        for shard in &mut self.world.server.shards {
            let ip = "fd00::2".parse().unwrap();
            shard.work.introduce(PortNumber::FIRST, ip, station);
        }
    }
}

fn listen(syn_cookies: SynCookies, syn_queue: u32) -> Listen {
    Listen {
        syn_cookies,
        syn_queue,
        ..Listen::on(7)
    }
}

fn arena(syn_cookies: SynCookies, syn_queue: u32) -> Arena<Echo> {
    let mut arena = Arena::new(&Plan::default(), |_| Echo::default());
    arena.introduce();
    arena.world.server.listen(0, &listen(syn_cookies, syn_queue));
    arena
}

/// A SYN of nobody: the `n`th of a flood.
fn nobody(n: u32) -> (FourTuple, TcpHeader) {
    let mixed = n.wrapping_mul(0x9e37_79b9) ^ 0x5bd1;
    let address = Ipv4Addr::new(198, 18 + (n & 1) as u8, (mixed >> 16) as u8, (mixed >> 8) as u8);
    let local = SocketAddr::new(address.into(), 1_024 + (mixed % 60_000) as u16);
    let header = TcpHeader {
        seq: SeqNum(mixed),
        flags: TcpFlags::SYN,
        window: 1_000,
        ..TcpHeader::default()
    };
    (
        FourTuple::new(local, "10.0.0.1:7".parse().unwrap()).unwrap(),
        header,
    )
}

fn flipped(tuple: &FourTuple) -> FourTuple {
    FourTuple::new(tuple.remote(), tuple.local()).unwrap()
}

fn resets(heard: &[TcpHeader]) -> usize {
    heard
        .iter()
        .filter(|header| header.flags.contains(TcpFlags::RST))
        .count()
}

#[test]
fn a_flood_of_a_hundred_thousand_syns_keeps_no_honest_client_out() {
    let mut arena = arena(SynCookies::Auto, 64);
    let (mut honest, mut served) = (0, 0);
    for round in 0..5_000u32 {
        for n in 0..20 {
            let (tuple, header) = nobody(round * 20 + n);
            arena.put(&tuple, &header, &[]);
        }
        arena.answers(SOON);
        if round % 25 == 24 {
            honest += 1;
            let mut client = Client::on(2_000 + (round / 25) as u16, honest % 2 == 0);
            assert!(arena.asks(&mut client), "round {round}: the SYN is answered");
            let answers = arena.acks(&client, b"hello");
            let echoed = answers
                .iter()
                .any(|(packet, text)| packet.tuple == client.tuple && text == b"hello");
            served += u32::from(echoed);
            client.seq += 5;
            arena.put(&client.tuple, &client.header(TcpFlags::RST), &[]);
            arena.answers(SOON);
        }
    }
    assert_eq!((honest, served), (200, 200));
    let counters = arena.counters();
    assert_eq!(counters.syn_queue, 64, "as many records as there may be");
    assert_eq!(counters.cookies_accepted, 200);
    assert_eq!(counters.syns_received, 100_200);
    assert_eq!(counters.cookies_sent, 100_200 - 64);
    assert_eq!(counters.syn_queue_overflows, 100_200 - 64);
    assert_eq!((counters.listen_drops, counters.cookies_failed), (0, 0));
    for _ in 0..1_600 {
        arena.answers(Duration::from_millis(50));
    }
    arena.world.server.assert_as_at_start();
}

#[test]
fn always_means_no_record_at_all() {
    let mut arena = arena(SynCookies::Always, 64);
    for v6 in [false, true] {
        let mut client = Client::on(2_000, v6);
        assert!(arena.asks(&mut client));
        assert_eq!(arena.counters().syn_queue, 0);
        assert_eq!(
            client.echo.is_some(),
            v6,
            "timestamps are answered where they were offered"
        );
        let answers = arena.acks(&client, b"data in the ACK of the handshake");
        assert!(
            answers
                .iter()
                .any(|(_, text)| text == b"data in the ACK of the handshake")
        );
    }
    let counters = arena.counters();
    assert_eq!((counters.cookies_sent, counters.cookies_accepted), (2, 2));
    assert_eq!((counters.accepts, counters.tcp.passive_opens), (2, 2));
}

#[test]
fn off_means_silence_when_the_queue_is_full_and_room_when_it_is_not() {
    let mut arena = arena(SynCookies::Off, 1);
    let (tuple, header) = nobody(1);
    arena.put(&tuple, &header, &[]);
    arena.answers(SOON);
    let mut client = Client::on(2_000, false);
    assert!(!arena.asks(&mut client), "ignored");
    let counters = arena.counters();
    assert_eq!(counters.dropped.of(DropReason::SynQueueFull), 1);
    assert_eq!(
        (
            counters.listen_drops,
            counters.syn_queue_overflows,
            counters.cookies_sent
        ),
        (1, 1, 0)
    );
    let mut reset = header;
    reset.flags = TcpFlags::RST;
    reset.seq += 1;
    arena.put(&tuple, &reset, &[]);
    arena.answers(SOON);
    assert!(arena.asks(&mut client), "its retransmission gets in");
    arena.acks(&client, b"");
    assert_eq!(arena.connections(), 1);
}

#[test]
fn a_cookie_of_another_place_or_time_makes_no_connection() {
    let mut arena = arena(SynCookies::Always, 64);
    arena.world.server.listen(1, &Listen::on(8));
    let mut client = Client::on(2_000, false);
    assert!(arena.asks(&mut client));
    let moved = |change: &dyn Fn(&mut Client)| {
        let mut other = client;
        change(&mut other);
        other
    };
    let to =
        |local: &str, remote: &str| FourTuple::new(local.parse().unwrap(), remote.parse().unwrap()).unwrap();
    let elsewhere = [
        (
            "another port of the client",
            moved(&|c| c.tuple = to("10.0.0.2:2001", "10.0.0.1:7")),
        ),
        (
            "another client",
            moved(&|c| c.tuple = to("10.0.0.3:2000", "10.0.0.1:7")),
        ),
        (
            "another listener",
            moved(&|c| c.tuple = to("10.0.0.2:2000", "10.0.0.1:8")),
        ),
        (
            "the other family",
            moved(&|c| c.tuple = to("[fd00::2]:2000", "[fd00::1]:7")),
        ),
        ("half the circle away", moved(&|c| c.ack += 1 << 31)),
    ];
    for (what, other) in elsewhere {
        let answers = arena.acks(&other, b"");
        assert_eq!(
            resets(&other.heard(&answers)),
            1,
            "{what} is answered as RFC 9293 §3.10.7.2 says"
        );
        assert_eq!(arena.connections(), 0, "{what}");
    }
    // A segment behind the ACK that was lost: nothing is said, or the client's connection would end.
    let astray = [
        moved(&|c| c.seq += 1400),
        moved(&|c| c.ack += 1),
        moved(&|c| c.ack = c.ack.back(1)),
    ];
    for other in astray {
        assert!(arena.acks(&other, b"second").is_empty());
        assert_eq!(arena.connections(), 0);
    }
    assert_eq!(arena.counters().dropped.of(DropReason::CookieAstray), 3);
    // The listener of port 8 sent none: nothing was looked at there.
    assert_eq!(arena.counters().cookies_failed, 7);
    let answers = arena.acks(&client, b"first");
    assert!(
        answers.iter().any(|(_, text)| text == b"first"),
        "and when it comes, all is well"
    );
    assert_eq!(arena.connections(), 1);
}

#[test]
fn an_ack_that_comes_again_makes_no_second_connection_and_an_old_one_none() {
    let mut arena = arena(SynCookies::Always, 64);
    let mut client = Client::on(2_000, false);
    assert!(arena.asks(&mut client));
    arena.acks(&client, b"");
    arena.acks(&client, b"");
    assert_eq!((arena.connections(), arena.counters().cookies_accepted), (1, 1));
    arena.put(&client.tuple, &client.header(TcpFlags::RST), &[]);
    arena.answers(SOON);
    assert_eq!(arena.connections(), 0);
    // Others come all the time: that cookies are about is no reason to take an old one.
    let mut waited = Duration::ZERO;
    let mut port = 3_000;
    while waited <= COOKIE_LIFETIME {
        arena.asks(&mut Client::on(port, false));
        port += 1;
        arena.answers(Duration::from_secs(8));
        waited += Duration::from_secs(8);
    }
    let answers = arena.acks(&client, b"");
    assert_eq!(resets(&client.heard(&answers)), 1);
    assert_eq!((arena.connections(), arena.counters().cookies_accepted), (0, 1));
}

#[test]
fn where_no_cookie_was_sent_lately_none_is_looked_at() {
    let mut arena = arena(SynCookies::Always, 64);
    let mut client = Client::on(2_000, false);
    // Before the first, and long after the last.
    client.ack = SeqNum(1);
    arena.acks(&client, b"");
    let mut asked = Client::on(2_001, false);
    assert!(arena.asks(&mut asked));
    for _ in 0..20 {
        arena.answers(Duration::from_secs(8));
    }
    arena.acks(&asked, b"");
    let counters = arena.counters();
    assert_eq!((counters.cookies_failed, counters.resets_sent), (0, 2));
    assert_eq!(arena.connections(), 0);
}

#[test]
fn no_ack_that_we_did_not_make_makes_a_connection() {
    let mut arena = arena(SynCookies::Always, 64);
    let mut asked = Client::on(2_000, false);
    assert!(arena.asks(&mut asked));
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut any = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2_000 {
        for _ in 0..16 {
            let mut forged = Client::on(1_024 + (any() % 60_000) as u16, any() % 2 == 0);
            if forged.tuple == asked.tuple {
                continue;
            }
            (forged.seq, forged.ack) = (SeqNum(any() as u32), SeqNum(any() as u32));
            forged.echo = (any() % 2 == 0).then(|| any() as u32);
            let mut header = forged.header(TcpFlags::ACK);
            if any() % 4 == 0 {
                header.flags |= TcpFlags::FIN | TcpFlags::PSH;
            }
            arena.put(&forged.tuple, &header, &b"forged"[..(any() % 7) as usize]);
        }
        arena.answers(SOON);
    }
    let counters = arena.counters();
    assert_eq!(
        (counters.connections, counters.cookies_accepted, counters.accepts),
        (0, 0, 0)
    );
    assert!(counters.cookies_failed > 31_000, "{}", counters.cookies_failed);
    assert!(counters.resets_sent <= 1_100, "{}: limited", counters.resets_sent);
    arena.acks(&asked, b"");
    assert_eq!(arena.connections(), 1, "the one that we did make");
}

#[test]
fn the_client_of_a_cookie_that_asked_again_gets_in_by_either_answer() {
    for by_cookie in [true, false] {
        let mut arena = arena(SynCookies::Auto, 1);
        let (tuple, header) = nobody(1);
        arena.put(&tuple, &header, &[]);
        arena.answers(SOON);
        let asking = Client::on(2_000, false);
        let mut first = asking;
        assert!(arena.asks(&mut first), "by a cookie");
        let mut reset = header;
        reset.flags = TcpFlags::RST;
        reset.seq += 1;
        arena.put(&tuple, &reset, &[]);
        arena.answers(SOON);
        // The answer was late: it asks again, and there is room for a record now.
        let mut second = asking;
        assert!(arena.asks(&mut second));
        assert_eq!(arena.counters().syn_queue, 1);
        assert_ne!(first.ack, second.ack);
        let client = if by_cookie { first } else { second };
        let answers = arena.acks(&client, b"hello");
        assert_eq!(resets(&client.heard(&answers)), 0);
        assert!(answers.iter().any(|(_, text)| text == b"hello"));
        let counters = arena.counters();
        assert_eq!((counters.syn_queue, counters.connections), (0, 1));
        assert_eq!(counters.cookies_accepted, u64::from(by_cookie));
    }
}

#[test]
fn a_full_accept_queue_ignores_the_ack_of_a_cookie_and_takes_it_when_it_comes_again() {
    let mut arena = Arena::new(&Plan::default(), |_| NoHandler);
    let wanted = Listen {
        backlog: 1,
        ..listen(SynCookies::Always, 64).for_endpoints()
    };
    let id = arena.world.server.listen(0, &wanted);
    let endpoint = endpoint(&mut arena.world.server);
    let [mut one, mut other] = [2_000, 2_001].map(|port| Client::on(port, false));
    assert!(arena.asks(&mut one) && arena.asks(&mut other));
    arena.acks(&one, b"");
    assert!(arena.acks(&other, b"hello").is_empty(), "not a word, and no RST");
    let counters = arena.counters();
    assert_eq!(
        (
            counters.connections,
            counters.listen_overflows,
            counters.listen_drops
        ),
        (1, 1, 1)
    );
    assert_eq!(counters.dropped.of(DropReason::AcceptQueueFullAck), 1);
    let mut third = Client::on(2_002, false);
    assert!(!arena.asks(&mut third), "a SYN is ignored, too");
    let listener = Listener::new(id, 7, 1);
    let taken = accept(&mut arena, &endpoint, &listener);
    assert!(taken.is_some());
    let mut answers = arena.acks(&other, b"hello");
    answers.extend(arena.answers(Duration::from_millis(60)));
    assert_eq!(
        other.heard(&answers).last().map(|header| header.ack),
        Some(other.seq + 5)
    );
    assert_eq!(arena.connections(), 2);
}

#[test]
fn every_refusal_on_the_listening_side_has_its_reason() {
    let mut arena = arena(SynCookies::Off, 2);
    for n in 0..10 {
        let (tuple, header) = nobody(n);
        arena.put(&tuple, &header, &[]);
        arena.answers(SOON);
    }
    let done = super::done();
    arena.world.server.shards[0]
        .work
        .control(crate::shard::Control::Drain(done));
    arena.asks(&mut Client::on(2_000, false));
    let counters = arena.counters();
    let of = |reason| counters.dropped.of(reason);
    assert_eq!(
        (of(DropReason::SynQueueFull), of(DropReason::NotAccepting)),
        (8, 1)
    );
    assert_eq!(counters.listen_drops, 9);
}

#[test]
fn what_reopens_time_wait_gets_a_record_or_nothing() {
    // The next ISS has to be beyond the old connection's numbers, and a cookie can't be chosen.
    let mut arena = arena(SynCookies::Auto, 1);
    let mut client = Client::on(2_000, false);
    assert!(arena.asks(&mut client));
    // The server's handler echoes and keeps the connection; it closes when the client does, so let the server close first.
    arena.acks(&client, b"");
    let slot = arena.world.server.shards[0]
        .work
        .records
        .find(&flipped(&client.tuple))
        .expect("a connection");
    arena.world.server.shards[0].work.close(slot, false);
    let answers = arena.answers(SOON);
    let fin = client
        .heard(&answers)
        .into_iter()
        .find(|header| header.flags.contains(TcpFlags::FIN));
    client.ack = fin.expect("the server's FIN").seq + 1;
    arena.put(&client.tuple, &client.header(TcpFlags::ACK | TcpFlags::FIN), &[]);
    for _ in 0..3 {
        arena.answers(SOON);
    }
    let counters = arena.counters();
    assert_eq!(
        (counters.time_wait, counters.connections),
        (1, 0),
        "{:?}",
        counters.by_state
    );
    let (tuple, header) = nobody(1);
    arena.put(&tuple, &header, &[]);
    arena.answers(SOON);
    let mut again = Client::on(2_000, false);
    again.seq += 100_000;
    assert!(!arena.asks(&mut again), "the queue is full");
    let counters = arena.counters();
    assert_eq!((counters.time_wait, counters.cookies_sent), (1, 0));
    assert_eq!(counters.dropped.of(DropReason::SynQueueFull), 1);
}

#[test]
fn on_several_workers_a_cookie_is_judged_where_it_was_made() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.introduce();
    arena.world.server.listen(0, &listen(SynCookies::Always, 64));
    // The port gives all to one worker: half of them are the other's.
    arena.world.wire.set_spread(End::A, Spread::AllTo(0));
    for port in 2_000..2_064 {
        let mut client = Client::on(port, port % 2 == 0);
        assert!(arena.asks(&mut client), "{port}");
        let mut answers = arena.acks(&client, b"hello");
        answers.extend(arena.answers(SOON));
        assert!(answers.iter().any(|(_, text)| text == b"hello"), "{port}");
    }
    let accepted: Vec<_> = (arena.world.server.shards.iter_mut())
        .map(|shard| shard.counters().cookies_accepted)
        .collect();
    assert!(accepted.iter().all(|count| *count > 10), "{accepted:?}");
    assert_eq!(accepted.iter().sum::<u64>(), 64);
}

#[test]
fn a_flood_that_gets_cookies_does_not_allocate() {
    let mut arena = arena(SynCookies::Auto, 4);
    let mut now = arena.world.now();
    let mut flood = |arena: &mut Arena<Echo>, rounds: std::ops::Range<u32>| {
        let mut allocated = 0;
        for round in rounds {
            let (tuple, header) = nobody(round);
            arena.put(&tuple, &header, &[]);
            now = now + SOON;
            arena.world.clock.advance_to(now.as_nanos());
            let counted = allocation_counter::measure(|| {
                arena.world.server.turn(now);
            });
            allocated += counted.count_total;
            arena.world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .receive_bytes();
        }
        allocated
    };
    flood(&mut arena, 0..100);
    assert_eq!(flood(&mut arena, 100..1_100), 0);
    assert!(arena.counters().cookies_sent > 1_000);
}
