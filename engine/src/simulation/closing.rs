//! The closing side through the API, for handlers and for endpoints: half-closes both ways round, aborts, what a close still
//! sends, TIME_WAIT at its bound, clients behind one address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_nic_mem::{MemQueue, WireConditions};
use fourtuple_tcp::Profile;
use fourtuple_wire::{FourTuple, SeqNum, TcpFlags, TcpHeader, Timestamps};

use super::attack::Arena;
use super::endpoints::endpoint;
use super::handlers::pattern;
use super::{Plan, World};
use crate::error::ConnectionError;
use crate::handler::{Closed, Handler, NoHandler};
use crate::handoff::{EndpointLimits, Listener, Stream, StreamError};
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// What was told, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// More than any window at the beginning.
const SAYS: usize = 60_000;

/// When an end says what it has to say, and how it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// At once; it closes its direction behind that, and listens to the end.
    First,
    /// When the peer has said all; then it closes.
    Last,
    /// At once, and lets go without looking.
    Leaves,
    /// At once, without end, and aborts when some of it was acknowledged.
    Aborts,
    /// Never: it listens.
    Listens,
}

struct Speaker {
    name: &'static str,
    manner: Manner,
    remote: Option<SocketAddr>,
    log: Log,
}

#[derive(Default)]
struct Speech {
    to_say: usize,
    said: usize,
    heard: usize,
}

impl Speaker {
    fn new(name: &'static str, manner: Manner, log: &Log) -> Self {
        Self {
            name,
            manner,
            remote: None,
            log: Arc::clone(log),
        }
    }

    fn calling(self, remote: &str) -> Self {
        Self {
            remote: Some(remote.parse().unwrap()),
            ..self
        }
    }

    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }

    fn say(&self, connection: &mut Connection<'_, MemQueue>, speech: &mut Speech) {
        while speech.said < speech.to_say {
            let len = (speech.to_say - speech.said).min(4096);
            let bytes: Vec<u8> = (speech.said..speech.said + len).map(pattern).collect();
            let taken = connection.send(&bytes);
            speech.said += taken;
            if taken < len {
                return;
            }
        }
        if speech.to_say == 0 {
            return;
        }
        match self.manner {
            Manner::First | Manner::Last => connection.shutdown(),
            Manner::Leaves => connection.close(),
            Manner::Aborts | Manner::Listens => {}
        }
    }
}

impl Handler<MemQueue> for Speaker {
    type State = Speech;

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, speech: &mut Speech) {
        speech.to_say = match self.manner {
            Manner::First | Manner::Leaves => SAYS,
            Manner::Aborts => usize::MAX,
            Manner::Last | Manner::Listens => return,
        };
        self.say(connection, speech);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, speech: &mut Speech) {
        if self.manner == Manner::Aborts {
            connection.abort();
            return;
        }
        self.say(connection, speech);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, speech: &mut Speech) {
        while let Some(bytes) = connection.receive() {
            for byte in bytes.bytes() {
                assert_eq!(*byte, pattern(speech.heard), "byte {}", speech.heard);
                speech.heard += 1;
            }
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, speech: &mut Speech) {
        self.note(&format!("heard {} to the end", speech.heard));
        if self.manner == Manner::Last {
            speech.to_say = SAYS;
            self.say(connection, speech);
        } else {
            connection.close();
        }
    }

    fn on_closed(&mut self, closed: Closed, _: &mut Speech) {
        self.note(&format!("ended {:?}", closed.outcome));
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, Speech>) {
        if let Some(remote) = self.remote.take() {
            worker.connect(remote, &ConnectOptions::default()).unwrap();
        }
    }
}

/// A perfect wire, and one that loses, reorders and duplicates.
fn plans() -> impl Iterator<Item = Plan> {
    let bad = WireConditions {
        loss: 50_000,
        reorder: 30_000,
        reorder_by: Duration::from_micros(300),
        duplicate: 10_000,
        delay: Duration::from_micros(100),
        ..WireConditions::default()
    };
    (0..9).map(move |seed| Plan {
        conditions: if seed == 0 {
            Plan::default().conditions
        } else {
            bad
        },
        seed,
        // TIME_WAIT outlasts the retransmissions of a FIN.
        profile: Profile::default().with(|profile| profile.msl = Duration::from_secs(5)),
        ..Plan::default()
    })
}

const REMOTES: [&str; 2] = ["10.0.0.1:7", "[fd00::1]:7"];

/// Two handlers; what both were told, in the order of the words.
fn talk(plan: &Plan, remote: &str, server: Manner, client: Manner) -> Vec<String> {
    let log = Log::default();
    let mut client = Some(Speaker::new("client", client, &log).calling(remote));
    let mut world = World::new(
        plan,
        |_| Speaker::new("server", server, &log),
        |_| client.take().unwrap(),
    );
    world.server.listen(0, &Listen::on(7));
    world.run_until(Duration::from_secs(120), |_| {
        let ended = log.lock().unwrap();
        ended.iter().filter(|line| line.contains("ended")).count() == 2
    });
    world.run_for(Duration::from_secs(12));
    world.assert_as_at_start();
    let mut told = log.lock().unwrap().clone();
    told.sort();
    told
}

// proves: RFC 9293 MAY-1, §3.10.4
#[test]
fn a_half_close_leaves_the_other_direction_open_whichever_end_began() {
    for plan in plans() {
        for remote in REMOTES {
            for (server, client) in [(Manner::First, Manner::Last), (Manner::Last, Manner::First)] {
                assert_eq!(
                    talk(&plan, remote, server, client),
                    [
                        "client ended Ok(())",
                        "client heard 60000 to the end",
                        "server ended Ok(())",
                        "server heard 60000 to the end"
                    ],
                    "{server:?} {client:?} {remote} seed {}",
                    plan.seed
                );
            }
        }
    }
}

#[test]
fn both_ends_may_half_close_at_once() {
    for plan in plans() {
        let told = talk(&plan, REMOTES[0], Manner::First, Manner::First);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(
            told.iter()
                .all(|line| line.contains("60000") || line.contains("Ok")),
            "{told:?}"
        );
    }
}

// proves: RFC 9293 §3.10.4 (what was sent before a CLOSE is sent)
#[test]
fn letting_go_loses_nothing_that_was_queued() {
    for plan in plans() {
        for (server, client) in [
            (Manner::Leaves, Manner::Listens),
            (Manner::Listens, Manner::Leaves),
        ] {
            let listener = if server == Manner::Listens {
                "server"
            } else {
                "client"
            };
            let told = talk(&plan, REMOTES[1], server, client);
            assert!(
                told.contains(&format!("{listener} heard 60000 to the end")),
                "{told:?}"
            );
            assert!(told.contains(&format!("{listener} ended Ok(())")), "{told:?}");
        }
    }
}

// proves: RFC 9293 MUST-12, §3.10.5
#[test]
fn an_abort_is_told_as_a_reset_and_never_as_the_end_of_file() {
    for remote in REMOTES {
        for (server, client) in [
            (Manner::Aborts, Manner::Listens),
            (Manner::Listens, Manner::Aborts),
        ] {
            let listener = if server == Manner::Listens {
                "server"
            } else {
                "client"
            };
            let told = talk(&Plan::default(), remote, server, client);
            assert!(told.contains(&format!("{listener} ended Err(Reset)")), "{told:?}");
            assert!(!told.iter().any(|line| line.contains("to the end")), "{told:?}");
        }
    }
}

/// The server's stream of an endpoint, as a speaker is.
struct StreamSpeaker {
    stream: Option<Stream<MemQueue>>,
    manner: Manner,
    said: usize,
    heard: usize,
    heard_all: bool,
    ended: Option<StreamError>,
}

impl StreamSpeaker {
    fn new(stream: Stream<MemQueue>, manner: Manner) -> Self {
        Self {
            stream: Some(stream),
            manner,
            said: 0,
            heard: 0,
            heard_all: false,
            ended: None,
        }
    }

    fn step(&mut self) {
        let Some(stream) = &self.stream else { return };
        let speaks = self.manner != Manner::Listens && (self.manner != Manner::Last || self.heard_all);
        if speaks && self.said < SAYS {
            let bytes: Vec<u8> = (self.said..SAYS).map(pattern).collect();
            match stream.try_send(&bytes) {
                Ok(sent) => self.said += sent,
                Err(StreamError::NotYet) => {}
                Err(why) => panic!("{why:?}"),
            }
        }
        if self.said == SAYS {
            match self.manner {
                Manner::First | Manner::Last => stream.shutdown(),
                Manner::Leaves => self.stream = None,
                Manner::Aborts => self.stream.take().into_iter().for_each(Stream::abort),
                Manner::Listens => {}
            }
        }
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(stream) = self
            .stream
            .as_ref()
            .filter(|_| !self.heard_all && self.ended.is_none())
        {
            match stream.try_recv() {
                Ok(Some(chunk)) => {
                    for byte in chunk.iter() {
                        assert_eq!(*byte, pattern(self.heard), "byte {}", self.heard);
                        self.heard += 1;
                    }
                }
                Ok(None) => self.heard_all = true,
                Err(StreamError::NotYet) => return,
                Err(why) => self.ended = Some(why),
            }
        }
    }

    fn is_done(&self) -> bool {
        let said = matches!(self.manner, Manner::Listens) || self.said == SAYS;
        self.stream.is_none() || self.ended.is_some() || (self.heard_all && said)
    }
}

/// An endpoint's stream on the server and a handler on the client; the stream as it was at its end, and what the client was told.
fn talk_to_endpoint(plan: &Plan, server: Manner, client: Manner) -> (StreamSpeaker, Vec<String>) {
    let log = Log::default();
    let mut client = Some(Speaker::new("client", client, &log).calling(REMOTES[0]));
    let mut world = World::new(plan, |_| NoHandler, |_| client.take().unwrap());
    let profile = plan.profile.clone();
    let id = world.server.listen(
        0,
        &Listen {
            profile: Some(profile),
            ..Listen::on(7).for_endpoints()
        },
    );
    let listener = Listener::new(id, 7, 128);
    let (endpoint, _estates) = endpoint(&mut world.server, &EndpointLimits::default());
    let mut speaker = None;
    world.run_until(Duration::from_secs(120), |_| {
        endpoint.step();
        if speaker.is_none() {
            speaker = listener
                .try_accept(&endpoint)
                .ok()
                .map(|stream| StreamSpeaker::new(stream, server));
        }
        let done = speaker.as_mut().is_some_and(|speaker| {
            speaker.step();
            speaker.is_done()
        });
        done && log.lock().unwrap().iter().any(|line| line.contains("ended"))
    });
    let told = log.lock().unwrap().clone();
    (speaker.unwrap(), told)
}

// proves: RFC 9293 MAY-1
#[test]
fn an_endpoint_half_closes_and_is_half_closed_upon() {
    for plan in plans() {
        for (server, client) in [(Manner::First, Manner::Last), (Manner::Last, Manner::First)] {
            let (speaker, told) = talk_to_endpoint(&plan, server, client);
            assert_eq!(
                (speaker.heard, speaker.said, speaker.heard_all),
                (SAYS, SAYS, true)
            );
            assert_eq!(
                told,
                ["client heard 60000 to the end", "client ended Ok(())"],
                "{server:?} {client:?} seed {}",
                plan.seed
            );
        }
    }
}

#[test]
fn a_stream_that_is_dropped_loses_nothing_that_was_queued() {
    for plan in plans() {
        let (_, told) = talk_to_endpoint(&plan, Manner::Leaves, Manner::Listens);
        assert_eq!(told, ["client heard 60000 to the end", "client ended Ok(())"]);
    }
}

// proves: RFC 9293 MUST-12
#[test]
fn an_endpoint_hears_of_an_abort_as_a_reset_and_aborts_likewise() {
    let (speaker, _) = talk_to_endpoint(&Plan::default(), Manner::Listens, Manner::Aborts);
    assert_eq!(
        speaker.ended,
        Some(StreamError::Connection(ConnectionError::Reset))
    );
    assert!(!speaker.heard_all);
    let (_, told) = talk_to_endpoint(&Plan::default(), Manner::Aborts, Manner::Listens);
    assert_eq!(told, ["client ended Err(Reset)"]);
}

/// Closes every connection as soon as it is there.
struct Curt;

impl Handler<MemQueue> for Curt {
    type State = ();
    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        connection.close();
    }
    fn on_readable(&mut self, _: &mut Connection<'_, MemQueue>, (): &mut ()) {}
}

fn curt(connections: u32) -> Arena<Curt> {
    let plan = Plan {
        connections,
        profile: Profile::default().with(|profile| profile.msl = Duration::from_secs(30)),
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Curt);
    let profile = plan.profile.clone();
    arena.world.server.listen(
        0,
        &Listen {
            profile: Some(profile),
            ..Listen::on(7)
        },
    );
    arena
}

/// A client comes and goes; the server closes first. `false`: it was not let in.
fn comes_and_goes(arena: &mut Arena<Curt>, port: u16) -> bool {
    let Some(peer) = arena.open(port) else {
        return false;
    };
    arena.say(port, TcpFlags::ACK | TcpFlags::FIN, peer.seq, peer.ack + 1, &[]);
    arena.soon();
    arena.soon();
    arena.hear(port);
    true
}

/// The same over IPv6.
fn comes_and_goes_v6(arena: &mut Arena<Curt>, port: u16) -> bool {
    let local = SocketAddr::new("fd00::2".parse().unwrap(), port);
    let tuple = FourTuple::new(local, "[fd00::1]:7".parse().unwrap()).unwrap();
    let say = |arena: &mut Arena<Curt>, flags, seq, ack| {
        let header = TcpHeader {
            seq: SeqNum(seq),
            ack,
            flags,
            window: 60_000,
            ..TcpHeader::default()
        };
        arena.put(&tuple, &header, &[]);
        let soon = Duration::from_micros(25);
        let mut answers = arena.answers(soon);
        answers.append(&mut arena.answers(soon));
        answers
    };
    let answers = say(arena, TcpFlags::SYN, 1_000, SeqNum(0));
    let Some((syn_ack, _)) = answers.first() else {
        return false;
    };
    let ack = syn_ack.header.seq + 1;
    say(arena, TcpFlags::ACK, 1_001, ack);
    say(arena, TcpFlags::ACK | TcpFlags::FIN, 1_001, ack + 1);
    true
}

#[test]
fn a_wait_that_begins_again_and_again_holds_up_no_other_of_either_family() {
    let mut arena = curt(16);
    let station = arena.world.client.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .promises()
        .mac
        .0;
    let work = &mut arena.world.server.shards[0].work;
    work.introduce(PortNumber::FIRST, "fd00::2".parse().unwrap(), station);
    let waiting = |arena: &Arena<Curt>| arena.world.server.shards[0].work.records.time_wait();

    assert!(comes_and_goes_v6(&mut arena, 1_000));
    let peer = arena.open(1_000).unwrap();
    let once_more = |arena: &mut Arena<Curt>| {
        arena.say(1_000, TcpFlags::ACK | TcpFlags::FIN, peer.seq, peer.ack + 1, &[]);
        arena.soon();
        arena.soon();
    };
    once_more(&mut arena);
    assert!(comes_and_goes(&mut arena, 1_001));
    assert_eq!(waiting(&arena), 3);
    for round in 0..5 {
        arena.turn(Duration::from_secs(10));
        if round == 2 {
            // Ends before the one that begins again does, as it stands at any time.
            assert!(comes_and_goes_v6(&mut arena, 1_001));
        }
        once_more(&mut arena);
    }
    arena.turn(Duration::from_secs(11));
    once_more(&mut arena);
    arena.soon();
    assert_eq!(
        waiting(&arena),
        2,
        "the last of IPv6, and who asks again and again"
    );
}

#[test]
fn a_server_that_closes_first_refuses_nobody_with_its_time_waits_at_their_bound() {
    let mut arena = curt(16);
    for port in 1_000..1_400 {
        assert!(comes_and_goes(&mut arena, port), "{port}");
    }
    let work = &arena.world.server.shards[0].work;
    assert_eq!(work.records.time_wait(), 16, "the bound");
    assert_eq!(
        work.counters.time_wait_evicted,
        400 - 16,
        "the oldest went, and were counted"
    );
    assert_eq!(work.counters.listen_drops, 0);
    arena.turn(Duration::from_secs(61));
    arena.soon();
    arena.world.server.assert_as_at_start();
}

// proves: RFC 9293 §3.10.7.4, eighth (TIME_WAIT: the peer's FIN once more)
#[test]
fn a_wait_that_began_again_outlasts_those_that_began_later_and_is_still_found() {
    let mut arena = curt(16);
    let peer = arena.open(1_000).unwrap();
    let acknowledges = |arena: &mut Arena<Curt>| {
        arena.say(1_000, TcpFlags::ACK | TcpFlags::FIN, peer.seq, peer.ack + 1, &[]);
        arena.soon();
        arena.soon();
        arena.hear(1_000).iter().any(|heard| heard.flags == 0x10)
    };
    assert!(acknowledges(&mut arena));
    for port in 1_001..1_004 {
        assert!(comes_and_goes(&mut arena, port));
    }
    let waiting = |arena: &Arena<Curt>| arena.world.server.shards[0].work.records.time_wait();
    arena.turn(Duration::from_secs(30));
    // Twice: the record has another place by then.
    assert!(acknowledges(&mut arena) && acknowledges(&mut arena));
    assert_eq!(waiting(&arena), 4);
    arena.turn(Duration::from_secs(31));
    arena.soon();
    assert_eq!(waiting(&arena), 1, "the others are over");
    assert!(acknowledges(&mut arena));
    arena.turn(Duration::from_secs(61));
    arena.soon();
    arena.world.server.assert_as_at_start();
}

#[test]
fn a_port_is_listened_to_again_at_once_whatever_is_in_time_wait() {
    let mut arena = curt(64);
    for port in 1_000..1_020 {
        assert!(comes_and_goes(&mut arena, port));
    }
    assert_eq!(arena.world.server.shards[0].work.records.time_wait(), 20);
    let gone = crate::shard::Done::of(1);
    let work = &mut arena.world.server.shards[0].work;
    work.control(crate::shard::Control::Unlisten(
        crate::ListenerId(0),
        gone.clone(),
    ));
    arena.soon();
    assert!(gone.is_complete());
    assert!(arena.open(2_000).is_none(), "nobody listens");
    arena.world.server.listen(1, &Listen::on(7));
    for port in 2_001..2_020 {
        assert!(comes_and_goes(&mut arena, port), "{port}");
    }
}

/// Behind one address stand clients whose clocks have nothing to do with each other: what one of them said last is no measure
/// for the next (the mistake of `tcp_tw_recycle`).
#[test]
fn clients_behind_one_address_get_in_whatever_their_timestamps_say() {
    let mut arena = curt(4_000);
    let mut value = 0x9e37_79b9_u32;
    for port in 1_000..3_000 {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        arena.timestamps = Some(Timestamps { value, echo: 0 });
        assert!(comes_and_goes(&mut arena, port), "{port} says {value}");
    }
    let counters = &arena.world.server.shards[0].work.counters;
    assert_eq!((counters.accepts, counters.listen_drops), (2_000, 0));
}
