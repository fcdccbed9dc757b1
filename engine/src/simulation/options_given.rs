//! Options that connections begin with, seen on the wire: the engine's, but for those that a listener names, or who opens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue};
use fourtuple_tcp::KeepAlive;
use fourtuple_wire::Instant;

use super::{Plan, World};
use crate::handler::Handler;
use crate::listener::Listen;
use crate::options::ConnectionOption;
use crate::shard::{ConnectOptions, Connection, WorkerCalls};

/// What an end says, and when: of frames with IPv4 and TCP.
type Said = Arc<Mutex<Vec<(Instant, Vec<u8>)>>>;

/// Opens one connection as it is told, and reads what comes.
struct Opens {
    options: Option<ConnectOptions>,
}

impl Handler<MemQueue> for Opens {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if let Some(options) = self.options.take() {
            worker.connect("10.0.0.1:7".parse().unwrap(), &options).unwrap();
        }
    }
}

/// Says so many bytes, and closes if it is to.
struct Says {
    bytes: usize,
    closes: bool,
}

impl Handler<MemQueue> for Says {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        assert_eq!(connection.send(&vec![7; self.bytes]), self.bytes);
        if self.closes {
            connection.close();
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }
}

/// The engine's own: a TTL that no default has.
fn plan() -> Plan {
    Plan {
        profile: Plan::default().profile.with(|profile| {
            profile.ttl = 21;
            profile.receive_buffer = 20_000;
        }),
        ..Plan::default()
    }
}

/// A connection for so long, between a server and a client with these options. `silent`: nothing of the client arrives behind its handshake.
fn seen(server: Says, listen: &Listen, client: ConnectOptions, span: Duration, silent: bool) -> [Said; 2] {
    let (mut server, mut client) = (
        Some(server),
        Some(Opens {
            options: Some(client),
        }),
    );
    let mut world = World::new(&plan(), |_| server.take().unwrap(), |_| client.take().unwrap());
    world.server.listen(0, listen);
    let said = [End::A, End::B].map(|end| {
        let said = Said::default();
        let (into, clock) = (Arc::clone(&said), world.clock.clone());
        world.wire.set_filter(end, move |frame| {
            let is_tcp = frame[12..14] == [8, 0] && frame[23] == 6;
            let mut said = into.lock().unwrap();
            if is_tcp {
                let now = fourtuple_nic::Clock::now_ns(&clock);
                said.push((Instant::from_nanos(now), frame.to_vec()));
            }
            !(silent && end == End::B && said.len() > 2)
        });
        said
    });
    world.run_for(span);
    said
}

fn flags(frame: &[u8]) -> u8 {
    frame[47]
}

/// TTL, DSCP, window and MSS of a SYN or SYN+ACK.
fn offered(frame: &[u8]) -> (u8, u8, u16, u16) {
    assert_eq!(
        (flags(frame) & 2, frame[54]),
        (2, 2),
        "a SYN, and its MSS comes first"
    );
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (frame[22], frame[15] >> 2, word(48), word(56))
}

fn first(said: &Said) -> (u8, u8, u16, u16) {
    offered(&said.lock().unwrap()[0].1)
}

/// TCP octets of the longest segment, options included.
fn longest(said: &Said) -> usize {
    let said = said.lock().unwrap();
    let len = |frame: &[u8]| usize::from(u16::from_be_bytes([frame[16], frame[17]])) - 40;
    said.iter().map(|(_, frame)| len(frame)).max().unwrap_or(0)
}

const HERE: [ConnectionOption; 4] = [
    ConnectionOption::Ttl(33),
    ConnectionOption::Dscp(46),
    ConnectionOption::MssClamp(700),
    ConnectionOption::ReceiveBuffer(8_192),
];

#[test]
fn a_listener_has_the_engines_options_but_for_those_that_it_names() {
    let says = || Says {
        bytes: 5_000,
        closes: false,
    };
    let span = Duration::from_millis(200);
    let plain = ConnectOptions::new;
    for listen in [Listen::on(7), Listen::on(7).for_endpoints()] {
        let [server, client] = seen(says(), &listen, plain(), span, false);
        let (ttl, dscp, window, mss) = first(&server);
        assert_eq!((ttl, dscp, mss), (21, 0, 1460), "the engine's");
        assert!(window <= 20_000, "{window}");
        assert_eq!(first(&client).0, 21);
        let named = HERE.into_iter().fold(listen, Listen::with);
        let [server, client] = seen(says(), &named, plain(), span, false);
        let (ttl, dscp, window, mss) = first(&server);
        assert_eq!((ttl, dscp, mss), (33, 46, 700), "its own");
        assert!(window <= 8_192, "{window}");
        assert_eq!(first(&client).0, 21, "and nobody else's");
    }
    let clamped = Listen::on(7).with(ConnectionOption::MssClamp(700));
    let [server, _] = seen(says(), &clamped, plain(), span, false);
    assert_eq!(longest(&server), 700);
}

#[test]
fn who_opens_a_connection_says_which_options_it_has() {
    let says = Says {
        bytes: 5_000,
        closes: false,
    };
    let options = HERE.into_iter().fold(ConnectOptions::new(), ConnectOptions::with);
    let span = Duration::from_millis(200);
    let [server, client] = seen(says, &Listen::on(7), options, span, false);
    let (ttl, dscp, window, mss) = first(&client);
    assert_eq!((ttl, dscp, mss), (33, 46, 700));
    assert!(window <= 8_192, "{window}");
    assert_eq!(first(&server).0, 21);
    assert_eq!(longest(&server), 700, "as the client asked");
}

#[test]
fn a_listener_asks_whether_its_clients_are_still_there_if_it_is_to() {
    let count = |listen: &Listen| {
        let quiet = Says {
            bytes: 0,
            closes: false,
        };
        let span = Duration::from_millis(3_500);
        let [server, _] = seen(quiet, listen, ConnectOptions::new(), span, false);
        let said = server.lock().unwrap();
        said.iter()
            .filter(|(at, _)| *at > Instant::from_millis(500))
            .count()
    };
    let keepalive = KeepAlive::after(Duration::from_secs(1));
    let asking = Listen::on(7).with(ConnectionOption::KeepAlive(Some(keepalive)));
    assert_eq!((count(&Listen::on(7)), count(&asking)), (0, 3));
}

#[test]
fn a_closed_connection_is_reset_when_it_has_lingered_as_long_as_it_may() {
    let reset_at = |listen: &Listen| {
        let says = Says {
            bytes: 1_000,
            closes: true,
        };
        let span = Duration::from_secs(5);
        let [server, _] = seen(says, listen, ConnectOptions::new(), span, true);
        let said = server.lock().unwrap();
        let reset = said.iter().find(|(_, frame)| flags(frame) & 4 != 0);
        reset.map(|(at, _)| at.since(Instant::ZERO))
    };
    assert_eq!(reset_at(&Listen::on(7)), None, "a minute, if nothing is said");
    let short = Listen::on(7).with(ConnectionOption::Linger(Duration::from_millis(700)));
    let at = reset_at(&short).expect("a reset");
    assert!(
        (Duration::from_millis(700)..Duration::from_millis(750)).contains(&at),
        "{at:?}"
    );
}
