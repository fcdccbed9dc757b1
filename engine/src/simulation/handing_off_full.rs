//! A connection changes hands with more queued than its send buffer holds, for its window had let that grow (ADR 0021), and then the path
//! fails: the endpoint hears of room only when there is some. A chunk that finds none would hold up the commands of all its other
//! connections.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue, WireConditions};

use super::endpoints::endpoint;
use super::handlers::{Client, Errand, pattern};
use super::{Plan, World};
use crate::handler::Handler;
use crate::handoff::{EndpointHandle, EndpointLimits, Stream, StreamError};
use crate::listener::Listen;
use crate::shard::{Connection, Shard};

/// Of the whole stream, so much is sent before the window counts as grown.
const WARM: usize = 200_000;
const TOTAL: usize = 600_000;
const SEND_BUFFER: u32 = 8_000;

/// Sends until the queue takes no more, and gives the connection away then; the mark says how much went.
struct Filler {
    to: Arc<OnceLock<EndpointHandle<MemQueue>>>,
    sent: usize,
}

impl Filler {
    fn fill(&mut self, connection: &mut Connection<'_, MemQueue>) {
        loop {
            let bytes: Vec<u8> = (self.sent..self.sent + 4_096).map(pattern).collect();
            let taken = connection.send(&bytes);
            self.sent += taken;
            if taken < bytes.len() {
                break;
            }
        }
        let conn = connection.work.records.conn(connection.slot).unwrap();
        if self.sent >= WARM && conn.tcb.queued_charge() > 4 * SEND_BUFFER {
            let to = self.to.get().expect("an endpoint");
            assert_eq!(connection.hand_off(to, self.sent as u64), Ok(()));
        }
    }
}

impl Handler<MemQueue> for Filler {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.fill(connection);
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        self.fill(connection);
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, (): &mut ()) {
        while connection.receive().is_some() {}
    }
}

/// Sends the rest in small pieces, and takes what comes.
fn go_on(stream: &mut Stream<MemQueue>, sent: &mut usize) {
    while *sent < TOTAL {
        let piece: Vec<u8> = (*sent..TOTAL.min(*sent + 100)).map(pattern).collect();
        match stream.try_send(&piece) {
            Ok(0) | Err(StreamError::NotYet) => break,
            Ok(taken) => *sent += taken,
            Err(error) => panic!("{error}"),
        }
    }
    if *sent == TOTAL {
        stream.shutdown();
    }
    while let Ok(Some(_)) = stream.try_recv() {}
}

#[test]
fn a_connection_that_is_handed_off_with_a_grown_queue_never_holds_up_its_endpoint() {
    let plan = Plan::default();
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 1,
        bytes: TOTAL,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let to = Arc::new(OnceLock::new());
    let filler = |_| Filler {
        to: Arc::clone(&to),
        sent: 0,
    };
    let mut world = World::new(&plan, filler, |_| client.take().unwrap());
    let mut profile = plan.profile.clone();
    profile.send_buffer = SEND_BUFFER;
    let listen = Listen {
        profile: Some(profile),
        ..Listen::on(7)
    };
    world.server.listen(0, &listen);
    let (endpoint, left_behind) = endpoint(&mut world.server, &EndpointLimits::default());
    to.set(endpoint.handle()).expect("set once");
    let (mut stream, mut sent, mut dark_until) = (None, 0, None);
    world.run_until(Duration::from_secs(600), |world| {
        endpoint.step();
        let set = |conditions| {
            world.wire.set_conditions(End::A, conditions);
            world.wire.set_conditions(End::B, conditions);
        };
        if let Ok(handed) = endpoint.take_handed(Duration::ZERO) {
            sent = handed.mark as usize;
            stream = Some(handed.stream);
            set(WireConditions {
                loss: 1_000_000,
                ..plan.conditions
            });
            dark_until = Some(world.now() + Duration::from_secs(2));
        }
        if dark_until.take_if(|until| world.now() >= *until).is_some() {
            set(plan.conditions);
        }
        if let Some(stream) = &mut stream {
            go_on(stream, &mut sent);
        }
        assert!(
            !world.server.shards.iter().any(Shard::has_held_commands),
            "a command waits at {sent} bytes"
        );
        outcome.lock().unwrap().finished == 1
    });
    assert_eq!(outcome.lock().unwrap().received, TOTAL as u64);
    drop(stream);
    drop(endpoint);
    let mut estate = left_behind.try_recv().ok();
    for _ in 0..2_000 {
        estate.take_if(|estate| estate.step());
        world.run_for(Duration::from_millis(1));
    }
    assert!(estate.is_none(), "every buffer came home");
    world.assert_as_at_start();
}
