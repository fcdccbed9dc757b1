//! D2: any grouping of a connection's segments into bursts gives what one segment a turn gives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourtuple_nic_mem::{End, MemQueue};
use fourtuple_tcp::Profile;
use fourtuple_wire::Instant;

use super::handlers::{Client, Echo, Errand, pattern};
use super::{Plan, World};
use crate::handler::{Closed, Handler};
use crate::listener::Listen;
use crate::shard::Connection;

/// Notes what it is told.
#[derive(Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Handler<MemQueue> for Notes {
    type State = usize;

    fn on_open(&mut self, _: &mut Connection<'_, MemQueue>, _: &mut usize) {
        self.0.lock().unwrap().push("open".into());
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, MemQueue>, received: &mut usize) {
        while let Some(bytes) = connection.receive() {
            for byte in bytes.bytes() {
                assert_eq!(*byte, pattern(*received));
                *received += 1;
            }
        }
    }

    fn on_peer_closed(&mut self, connection: &mut Connection<'_, MemQueue>, received: &mut usize) {
        self.0
            .lock()
            .unwrap()
            .push(format!("end of file after {received}"));
        connection.close();
    }

    fn on_closed(&mut self, closed: Closed, _: &mut usize) {
        self.0
            .lock()
            .unwrap()
            .push(format!("closed {:?}", closed.outcome));
    }
}

/// Frames that a real client sends: SYN, the handshake's ACK, data, FIN, as captured from the wire.
fn client_frames(bytes: usize) -> Vec<Vec<u8>> {
    let plan = Plan::default();
    let errand = Errand {
        remote: "10.0.0.1:7".parse().unwrap(),
        connections: 1,
        bytes,
    };
    let (client, outcome) = Client::new(vec![errand]);
    let mut client = Some(client);
    let mut world = World::new(&plan, |_| Echo::default(), |_| client.take().unwrap());
    world.server.listen(0, &Listen::on(7));
    world.wire.start_capture();
    world.run_until(Duration::from_secs(10), |_| outcome.lock().unwrap().finished == 1);
    world
        .wire
        .captured()
        .into_iter()
        .filter(|frame| frame.from == End::B && frame.bytes[12..14] == [8, 0])
        .map(|frame| frame.bytes)
        .collect()
}

/// Plays frames to a fresh server in the given bursts.
fn play(frames: &[Vec<u8>], order: &[usize], cuts: u32) -> (Vec<String>, World<Notes, Echo>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let plan = Plan {
        conditions: Default::default(),
        ..Plan::default()
    };
    let mut world = World::new(&plan, |_| Notes(Arc::clone(&notes)), |_| Echo::default());
    let profile = Profile {
        msl: Duration::from_millis(1),
        ..Profile::default()
    };
    world.server.listen(
        0,
        &Listen {
            profile,
            ..Listen::on(7)
        },
    );
    for (place, frame) in order.iter().enumerate() {
        assert!(world.client.shards[0].work.queue.send_bytes(&frames[*frame]));
        if cuts >> place & 1 == 1 {
            world.clock.advance(Duration::from_micros(10));
            let now = world.now();
            world.server.turn(now);
        }
    }
    for _ in 0..4 {
        world.clock.advance(Duration::from_micros(10));
        let now: Instant = world.now();
        world.server.turn(now);
    }
    let notes = notes.lock().unwrap().clone();
    (notes, world)
}

#[test]
fn any_grouping_into_bursts_is_as_good_as_one_packet_a_turn() {
    // The server's sequence numbers differ between worlds only by their seed, which is the same; the ACKs of the captured frames
    // fit as long as the server's ISN does. It depends on time through a 4 µs clock, so the first frame comes at the same time.
    let frames = client_frames(40);
    assert!(frames.len() >= 3, "SYN, ACK or data, FIN: {}", frames.len());
    let straight: Vec<usize> = (0..frames.len()).collect();
    let (one_by_one, _) = play(&frames, &straight, u32::MAX);
    assert_eq!(
        one_by_one.first().map(String::as_str),
        Some("open"),
        "{one_by_one:?}"
    );
    for cuts in 0..1u32 << frames.len().min(6) {
        // The SYN has a turn of its own: its answer is what the rest acknowledges.
        let (noted, _) = play(&frames, &straight, cuts | 1);
        assert_eq!(noted, one_by_one, "bursts {cuts:b}");
    }
}
