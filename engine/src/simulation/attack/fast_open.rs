//! TCP Fast Open: cookies that are right, wrong and stolen, and how many may be in before their handshake is over.

use std::net::SocketAddr;
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;
use fourtuple_wire::{
    DropReason, FastOpenCookie, FourTuple, SeqNum, TcpFlags, TcpHeader, TcpOptions, TcpPacket,
};

use super::super::handlers::Echo;
use super::super::{Plan, World};
use super::Arena;
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

const SOON: Duration = Duration::from_micros(25);
const SEQ: SeqNum = SeqNum(u32::MAX - 1);

type Answers = Vec<(TcpPacket, Vec<u8>)>;

fn arena(pending: u32) -> Arena<Echo> {
    let mut arena = Arena::new(&Plan::default(), |_| Echo::default());
    let listen = Listen {
        fast_open: pending,
        ..Listen::on(7)
    };
    arena.world.server.listen(0, &listen);
    arena
}

fn from(port: u16) -> FourTuple {
    let local = SocketAddr::new("10.0.0.2".parse().unwrap(), port);
    FourTuple::new(local, "10.0.0.1:7".parse().unwrap()).unwrap()
}

impl Arena<Echo> {
    /// A SYN with this option and text, and what is said to it.
    fn asks_fast(&mut self, port: u16, cookie: Option<FastOpenCookie>, text: &[u8]) -> Answers {
        let header = TcpHeader {
            seq: SEQ,
            flags: TcpFlags::SYN,
            window: 60_000,
            options: TcpOptions {
                mss: Some(1460),
                fast_open: cookie,
                ..TcpOptions::default()
            },
            ..TcpHeader::default()
        };
        self.put(&from(port), &header, text);
        let mut answers = self.answers(SOON);
        answers.extend(self.answers(SOON));
        answers
    }

    fn says(&mut self, port: u16, flags: TcpFlags, seq: SeqNum, ack: SeqNum) -> Answers {
        let header = TcpHeader {
            seq,
            ack,
            flags,
            window: 60_000,
            ..TcpHeader::default()
        };
        self.put(&from(port), &header, &[]);
        let mut answers = self.answers(SOON);
        answers.extend(self.answers(SOON));
        answers
    }

    /// A cookie as an honest client gets it.
    fn cookie(&mut self) -> FastOpenCookie {
        let answers = self.asks_fast(900, Some(FastOpenCookie::REQUEST), b"too early");
        let header = &answers[0].0.header;
        assert_eq!(header.ack, SEQ + 1, "text without a cookie is not taken");
        self.says(900, TcpFlags::RST, SEQ + 1, SeqNum(0));
        header.options.fast_open.expect("a cookie")
    }
}

#[test]
fn a_good_cookie_has_the_text_echoed_before_the_handshake_ends() {
    let mut arena = arena(8);
    let cookie = arena.cookie();
    let answers = arena.asks_fast(1_000, Some(cookie), b"hello");
    let [(syn_ack, _), (echo, text)] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(syn_ack.header.flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!(syn_ack.header.ack, SEQ + 1 + 5);
    assert_eq!(
        (echo.header.seq, &text[..]),
        (syn_ack.header.seq + 1, &b"hello"[..])
    );
    let counters = arena.world.server.shards[0].counters().clone();
    assert_eq!(
        (counters.fast_opens, counters.fast_opens_pending, counters.accepts),
        (1, 1, 1)
    );
    arena.says(1_000, TcpFlags::ACK, SEQ + 6, echo.header.seq + 5);
    let counters = arena.world.server.shards[0].counters().clone();
    assert_eq!((counters.fast_opens_pending, counters.connections), (0, 1));
    arena.says(1_000, TcpFlags::ACK | TcpFlags::FIN, SEQ + 6, echo.header.seq + 5);
    arena.says(1_000, TcpFlags::ACK, SEQ + 7, echo.header.seq + 6);
    arena.world.server.assert_as_at_start();
}

// proves: RFC 7413 §4.1.2
#[test]
fn a_wrong_cookie_opens_in_the_usual_way_and_gets_a_right_one() {
    let mut arena = arena(8);
    let cookie = arena.cookie();
    let wrong = [
        FastOpenCookie::new(&[0; 8]).unwrap(),
        FastOpenCookie::new(&cookie.octets()[..4]).unwrap(),
        FastOpenCookie::new(&[cookie.octets(), cookie.octets()].concat()).unwrap(),
    ];
    for (n, wrong) in wrong.into_iter().enumerate() {
        let answers = arena.asks_fast(1_000 + n as u16, Some(wrong), b"hello");
        assert_eq!(answers.len(), 1);
        let header = &answers[0].0.header;
        assert_eq!((header.ack, header.options.fast_open), (SEQ + 1, Some(cookie)));
    }
    let counters = arena.world.server.shards[0].counters().clone();
    assert_eq!((counters.fast_opens, counters.fast_open_refused), (0, 3));
    assert_eq!(counters.connections, 0);
}

#[test]
fn off_means_that_the_option_is_not_there() {
    let mut arena = arena(0);
    for cookie in [FastOpenCookie::REQUEST, FastOpenCookie::new(&[7; 8]).unwrap()] {
        let port = 1_000 + cookie.octets().len() as u16;
        let answers = arena.asks_fast(port, Some(cookie), b"hello");
        let header = &answers[0].0.header;
        assert_eq!((header.ack, header.options.fast_open), (SEQ + 1, None));
        // The text comes again behind the ACK, and is not lost or doubled.
        let seq = header.seq;
        let mut ack = TcpHeader {
            seq: SEQ + 1,
            ack: seq + 1,
            flags: TcpFlags::ACK,
            window: 60_000,
            ..TcpHeader::default()
        };
        ack.options.fast_open = None;
        arena.put(&from(port), &ack, b"hello");
        let mut answers = arena.answers(SOON);
        answers.extend(arena.answers(SOON));
        assert!(answers.iter().any(|(_, text)| text == b"hello"));
    }
}

// proves: RFC 7413 §5.1
#[test]
fn so_many_may_be_pending_and_those_that_were_reset_count() {
    let mut arena = arena(2);
    let cookie = arena.cookie();
    let is_open = |answers: &Answers| answers[0].0.header.ack == SEQ + 6;
    let [one, other] = [1_000, 1_001].map(|port| arena.asks_fast(port, Some(cookie), b"hello"));
    assert!(is_open(&one) && is_open(&other));
    let third = arena.asks_fast(1_002, Some(cookie), b"hello");
    assert!(!is_open(&third), "in the usual way");
    // Whoever sends SYNs in another's name has that one send RSTs.
    arena.says(1_000, TcpFlags::RST, SEQ + 6, SeqNum(0));
    assert_eq!(arena.world.server.shards[0].counters().connections, 1);
    let fourth = arena.asks_fast(1_003, Some(cookie), b"hello");
    assert!(!is_open(&fourth), "its place is not free");
    // An ACK makes room.
    arena.says(1_001, TcpFlags::ACK, SEQ + 6, other[0].0.header.seq + 1);
    let fifth = arena.asks_fast(1_004, Some(cookie), b"hello");
    assert!(is_open(&fifth));
    assert!(!is_open(&arena.asks_fast(1_005, Some(cookie), b"hello")));
    arena.answers(Duration::from_secs(61));
    assert!(
        is_open(&arena.asks_fast(1_006, Some(cookie), b"hello")),
        "after a minute"
    );
    let counters = arena.world.server.shards[0].counters().clone();
    assert_eq!(counters.fast_open_refused, 3);
    assert_eq!(counters.dropped.of(DropReason::NoConnection), 0);
}

#[test]
fn those_that_nobody_confirms_leave_nothing() {
    let mut arena = arena(64);
    let cookie = arena.cookie();
    for port in 1_000..1_064 {
        arena.asks_fast(port, Some(cookie), b"hello");
    }
    assert_eq!(arena.world.server.shards[0].counters().fast_opens_pending, 64);
    for _ in 0..4_000 {
        arena.answers(Duration::from_millis(50));
    }
    assert_eq!(arena.world.server.shards[0].counters().fast_opens_pending, 0);
    arena.world.server.assert_as_at_start();
}

/// Opens connections one after the other, each with a request that goes with the SYN if it may.
struct Asker {
    to_open: u32,
    open: bool,
    answers: u32,
}

impl Handler<MemQueue> for Asker {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            assert_eq!(bytes.bytes(), b"request");
            self.answers += 1;
            connection.close();
        }
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        assert!(closed.outcome.is_ok(), "{closed:?}");
        self.open = false;
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if self.open || self.to_open == 0 {
            return;
        }
        self.to_open -= 1;
        self.open = true;
        let options = ConnectOptions {
            fast_open: true,
            ..ConnectOptions::default()
        };
        let id = worker
            .connect("10.0.0.1:7".parse().unwrap(), &options)
            .expect("a connection");
        worker
            .with(id, |connection, ()| assert_eq!(connection.send(b"request"), 7))
            .expect("it is there");
    }
}

// proves: RFC 7413 §4.2.1
#[test]
fn our_client_asks_for_a_cookie_and_then_sends_with_the_syn() {
    for server in [8, 0] {
        let asker = Asker {
            to_open: 10,
            open: false,
            answers: 0,
        };
        let mut asker = Some(asker);
        let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| asker.take().unwrap());
        let listen = Listen {
            fast_open: server,
            ..Listen::on(7)
        };
        world.server.listen(0, &listen);
        world.run_for(Duration::from_secs(5));
        let [ours, theirs] = [
            world.client.shards[0].counters().clone(),
            world.server.shards[0].counters().clone(),
        ];
        let expected = if server > 0 { 9 } else { 0 };
        assert_eq!((ours.fast_opens_sent, theirs.fast_opens), (expected, expected));
        assert_eq!((ours.active_established, theirs.accepts), (10, 10));
        assert_eq!(theirs.tcp.bytes_in, 70, "each request once");
        world.assert_as_at_start();
    }
}
