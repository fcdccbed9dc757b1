//! Options and urgent data of single connections: on the worker and by an endpoint's stream, seen on the wire.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue};

use super::{Plan, World};
use crate::error::ApiMisuse;
use crate::handler::{Closed, Handler, NoHandler, Trouble};
use crate::handoff::{Endpoint, EndpointLimits, Listener, pair};
use crate::idle::Sleeper;
use crate::listener::Listen;
use crate::options::ConnectionOption;
use crate::shard::{ConnectOptions, Connection, Control, WorkerCalls};

/// Seen by a handler, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Opens one connection, says something urgent, and tells what it hears.
struct Caller {
    log: Log,
    called: bool,
}

impl Handler<MemQueue> for Caller {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        assert_eq!(connection.send(b"hello"), 5);
        assert_eq!(connection.send_urgent(b"!"), 1);
        assert_eq!(connection.urgent_ahead(), None);
    }

    fn on_urgent(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        let ahead = connection.urgent_ahead();
        self.log.lock().unwrap().push(format!("urgent {ahead:?}"));
    }

    fn on_trouble(&mut self, _: &mut Connection<'_, MemQueue>, trouble: Trouble, (): &mut ()) {
        self.log.lock().unwrap().push(format!("{trouble:?}"));
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            let text = String::from_utf8_lossy(bytes.bytes()).into_owned();
            self.log.lock().unwrap().push(text);
        }
    }

    fn on_closed(&mut self, closed: Closed, (): &mut ()) {
        self.log.lock().unwrap().push(format!("{:?}", closed.outcome));
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if !std::mem::replace(&mut self.called, true) {
            let remote = "10.0.0.1:7".parse().unwrap();
            worker.connect(remote, &ConnectOptions::default()).unwrap();
        }
    }
}

fn caller() -> (Caller, Log) {
    let log = Log::default();
    let caller = Caller {
        log: Arc::clone(&log),
        called: false,
    };
    (caller, log)
}

/// Changes its options when something comes, and answers.
#[derive(Default)]
struct Changing;

impl Handler<MemQueue> for Changing {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
        for option in [
            ConnectionOption::Ttl(33),
            ConnectionOption::Dscp(10),
            ConnectionOption::UserTimeout(Some(Duration::from_secs(2))),
        ] {
            connection.set(option).unwrap();
        }
        connection.send(b"as you like");
        connection.close();
    }
}

/// TTL and type of service of each IPv4 frame that an end sends.
fn listen_in(world: &World<impl Handler<MemQueue>, impl Handler<MemQueue>>) -> Arc<Mutex<Vec<(u8, u8)>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    world.wire.set_filter(End::A, move |frame| {
        if frame[12..14] == [8, 0] {
            into.lock().unwrap().push((frame[22], frame[15]));
        }
        true
    });
    seen
}

#[test]
fn a_handler_changes_the_options_of_one_connection() {
    let (caller, log) = caller();
    let mut caller = Some(caller);
    let plan = Plan::default();
    let mut world = World::new(&plan, |_| Changing, |_| caller.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    let seen = listen_in(&world);
    world.run_until(Duration::from_secs(5), |_| log.lock().unwrap().len() >= 2);
    assert_eq!(*log.lock().unwrap(), ["as you like", "Ok(())"]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.first(), Some(&(64, 0)), "the SYN+ACK");
    assert!(seen.contains(&(33, 40)), "{seen:?}");
    world.run_for(Duration::from_secs(1));
    world.server.assert_as_at_start();
    assert!(
        world.server.shards[0].work.profiles.in_use() <= 2,
        "its options went with it"
    );
}

#[test]
fn a_stream_changes_options_and_says_urgent_things() {
    let (caller, log) = caller();
    let mut caller = Some(caller);
    let mut world = World::new(&Plan::default(), |_| NoHandler, |_| caller.take().unwrap());
    let listen = Listen::on(7).for_endpoints();
    let listener = Listener::new(world.server.listen(0, &listen), 7, listen.backlog);
    let endpoint = endpoint(&mut world);
    let seen = listen_in(&world);
    let mut stream = None;
    world.run_until(Duration::from_secs(5), |_| {
        endpoint.step();
        if stream.is_none() {
            stream = listener.try_accept(&endpoint).ok();
        }
        stream
            .as_ref()
            .is_some_and(|stream| stream.urgent_ahead() == Some(6))
    });
    let stream = stream.unwrap();
    let mut heard = Vec::new();
    world.run_until(Duration::from_secs(5), |_| {
        endpoint.step();
        while let Ok(Some(chunk)) = stream.try_recv() {
            heard.extend_from_slice(&chunk);
        }
        heard.len() == 6
    });
    assert_eq!((heard.as_slice(), stream.urgent_ahead()), (&b"hello!"[..], None));
    stream.set(ConnectionOption::Ttl(44), Duration::ZERO).unwrap();
    assert_eq!(stream.send_urgent(b"now", Duration::ZERO), Ok(3));
    world.run_until(Duration::from_secs(5), |_| {
        endpoint.step();
        log.lock().unwrap().len() == 2
    });
    assert_eq!(*log.lock().unwrap(), ["urgent Some(3)", "now"]);
    assert_eq!(seen.lock().unwrap().last().map(|seen| seen.0), Some(44));
    stream.abort();
    world.run_for(Duration::from_secs(1));
    let late = world.server.shards[0].work.counters.options_refused;
    assert_eq!(late, 0);
}

fn endpoint<C: Handler<MemQueue>>(world: &mut World<NoHandler, C>) -> Endpoint<MemQueue> {
    let sleeper = Arc::new(Sleeper::new().unwrap());
    let (estates, _) = std::sync::mpsc::channel();
    let limits = EndpointLimits::default();
    let (core, ends) = pair(&world.server.sleepers, &limits, Arc::clone(&sleeper), estates);
    for (shard, end) in world.server.shards.iter_mut().zip(ends) {
        shard.work.control(Control::Attach(Box::new(end)));
    }
    Endpoint::new(core, sleeper)
}

/// Opens connections until there are so many, each with options of its own.
struct Different {
    refused: Arc<Mutex<Vec<ApiMisuse>>>,
}

impl Handler<MemQueue> for Different {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        let port = connection.peer().port();
        if let Err(refused) = connection.set(ConnectionOption::ReceiveBuffer(u32::from(port) * 10)) {
            self.refused.lock().unwrap().push(refused);
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }
}

#[test]
fn too_many_different_sets_are_refused_and_room_comes_back() {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let plan = Plan {
        connections: 400,
        pools: 8_192,
        ..Plan::default()
    };
    let errand = super::handlers::Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 300,
        bytes: 0,
    };
    let (client, outcome) = super::handlers::Client::new(vec![errand]);
    let mut client = Some(client);
    let into = Arc::clone(&refused);
    let mut world = World::new(
        &plan,
        move |_| Different {
            refused: Arc::clone(&into),
        },
        |_| client.take().unwrap(),
    );
    let mut listen = Listen::on(7);
    listen.backlog = 400;
    world.server.listen(0, &listen);
    world.run_until(Duration::from_secs(20), |_| outcome.lock().unwrap().opened == 300);
    world.run_for(Duration::from_millis(50));
    let count = refused.lock().unwrap().len();
    assert!((40..60).contains(&count), "{count} of 300");
    assert_eq!(refused.lock().unwrap()[0], ApiMisuse::TooManyOptions);
    // All are over by now.
    world.run_for(Duration::from_secs(1));
    assert!(world.server.shards[0].work.profiles.in_use() <= 2);
}

/// Tries to connect in every turn until it may.
struct Patient {
    quiet: Arc<Mutex<Vec<crate::ConnectError>>>,
    connected: bool,
}

impl Handler<MemQueue> for Patient {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, MemQueue, ()>) {
        if !self.connected {
            match worker.connect("10.0.0.1:7".parse().unwrap(), &ConnectOptions::default()) {
                Ok(_) => self.connected = true,
                Err(why) => self.quiet.lock().unwrap().push(why),
            }
            worker.wake_at(worker.now() + Duration::from_millis(100));
        }
    }
}

// proves: RFC 9293 §3.4.3
#[test]
fn an_engine_in_its_quiet_time_says_nothing_and_then_all() {
    let plan = Plan {
        quiet_until: fourtuple_wire::Instant::from_millis(1_500),
        ..Plan::default()
    };
    let quiet = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&quiet);
    let mut world = World::new(
        &plan,
        |_| super::handlers::Echo::default(),
        move |_| Patient {
            quiet: Arc::clone(&into),
            connected: false,
        },
    );
    world.server.listen(0, &Listen::on(7));
    let said = Arc::new(Mutex::new(Vec::new()));
    for end in [End::A, End::B] {
        let said = Arc::clone(&said);
        world.wire.set_filter(end, move |frame| {
            if frame[12..14] == [8, 0] {
                said.lock().unwrap().push(frame[47]);
            }
            true
        });
    }
    world.run_for(Duration::from_millis(1_400));
    assert!(said.lock().unwrap().is_empty(), "{:?}", said.lock().unwrap());
    let refused = quiet.lock().unwrap().clone();
    assert!(refused.len() > 5 && refused.iter().all(|why| *why == crate::ConnectError::Quiet));
    world.run_until(Duration::from_secs(10), |world| {
        world.server.shards[0].work.counters.accepts == 1
    });
}

// proves: RFC 9293 MUST-20 (a), SHLD-9
#[test]
fn a_peer_that_falls_silent_is_told_before_it_is_given_up() {
    let (caller, log) = caller();
    let mut caller = Some(caller);
    let mut world = World::new(
        &Plan::default(),
        |_| super::handlers::Echo::default(),
        |_| caller.take().unwrap(),
    );
    world.server.listen(0, &Listen::on(7));
    // Its SYN+ACK is the last that is heard of it.
    world
        .wire
        .set_filter(End::A, |frame| frame[12..14] != [8, 0] || frame[47] & 2 != 0);
    world.run_for(Duration::from_secs(20));
    assert_eq!(*log.lock().unwrap(), ["NoAnswer"]);
    world.run_for(Duration::from_secs(180));
    assert_eq!(*log.lock().unwrap(), ["NoAnswer", "Err(TimedOut)"]);
}
