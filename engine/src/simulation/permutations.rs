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
use crate::port_number::PortNumber;
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
fn client_frames(bytes: usize) -> (Vec<Vec<u8>>, u32) {
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
    let segments: Vec<_> = world
        .wire
        .captured()
        .into_iter()
        .filter(|frame| frame.bytes[12..14] == [8, 0])
        .collect();
    let syn_ack = segments
        .iter()
        .find(|frame| frame.from == End::A)
        .expect("a SYN+ACK");
    let iss = u32::from_be_bytes([
        syn_ack.bytes[38],
        syn_ack.bytes[39],
        syn_ack.bytes[40],
        syn_ack.bytes[41],
    ]);
    (
        segments
            .into_iter()
            .filter(|frame| frame.from == End::B)
            .map(|frame| frame.bytes)
            .collect(),
        iss,
    )
}

/// Plays frames to a fresh server in the given bursts.
fn play(
    frames: &[Vec<u8>],
    captured_iss: u32,
    order: &[usize],
    cuts: u32,
) -> (Vec<String>, World<Notes, Echo>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let plan = Plan {
        conditions: Default::default(),
        ..Plan::default()
    };
    let mut world = World::new(&plan, |_| Notes(Arc::clone(&notes)), |_| Echo::default());
    let profile = Profile::default().with(|profile| profile.msl = Duration::from_millis(1));
    world.server.listen(
        0,
        &Listen {
            profile: Some(profile),
            ..Listen::on(7)
        },
    );
    let client = |world: &mut World<Notes, Echo>, frame: &[u8]| {
        assert!(
            world.client.shards[0].work.ports[PortNumber::FIRST]
                .queue
                .send_bytes(frame)
        );
    };
    let turn = |world: &mut World<Notes, Echo>| {
        world.clock.advance(Duration::from_micros(10));
        let now = world.now();
        world.server.turn(now);
    };
    // The SYN has a turn of its own: its answer says by how much this server's sequence numbers differ from those of the
    // captured exchange.
    client(&mut world, &frames[0]);
    turn(&mut world);
    let answers = world.client.shards[0].work.ports[PortNumber::FIRST]
        .queue
        .receive_bytes();
    let syn_ack = answers
        .iter()
        .find(|frame| frame[12..14] == [8, 0])
        .expect("a SYN+ACK");
    let iss = u32::from_be_bytes([syn_ack[38], syn_ack[39], syn_ack[40], syn_ack[41]]);
    for (place, frame) in order.iter().enumerate() {
        let mut frame = frames[*frame].clone();
        let ack = u32::from_be_bytes([frame[42], frame[43], frame[44], frame[45]]);
        let moved = ack.wrapping_sub(captured_iss).wrapping_add(iss);
        frame[42..46].copy_from_slice(&moved.to_be_bytes());
        super::fuzz::fix_checksums(&mut frame);
        client(&mut world, &frame);
        if cuts >> place & 1 == 1 {
            turn(&mut world);
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
    let (frames, iss) = client_frames(5_000);
    assert!(frames.len() >= 5, "SYN, ACK, data, FIN: {}", frames.len());
    let straight: Vec<usize> = (1..frames.len()).collect();
    let (one_by_one, _) = play(&frames, iss, &straight, u32::MAX);
    assert_eq!(one_by_one, ["open", "end of file after 5000"]);
    for cuts in 0..1u32 << straight.len().min(8) {
        let (noted, _) = play(&frames, iss, &straight, cuts);
        assert_eq!(noted, one_by_one, "bursts {cuts:b}");
    }
}

#[test]
fn any_order_of_the_segments_gives_the_same_in_one_burst_and_one_by_one() {
    let (frames, iss) = client_frames(3_000);
    let places: Vec<usize> = (1..frames.len()).collect();
    assert!((3..=6).contains(&places.len()), "{}", places.len());
    for order in permutations(&places) {
        let (one_by_one, _) = play(&frames, iss, &order, u32::MAX);
        let (one_burst, _) = play(&frames, iss, &order, 0);
        assert_eq!(one_burst, one_by_one, "{order:?}");
        assert_eq!(
            one_burst.last().map(String::as_str),
            Some("end of file after 3000"),
            "{order:?}"
        );
    }
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let rest: Vec<usize> = of
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .map(|(_, item)| *item)
            .collect();
        all.extend(permutations(&rest).into_iter().map(|mut order| {
            order.insert(0, *first);
            order
        }));
    }
    all
}

// proves: RFC 9293 §3.10.7.2 (a connection that was reset is none to the SYN behind it)
#[test]
fn the_same_syn_twice_behind_a_reset_begins_one_connection_in_any_grouping() {
    let (mut frames, iss) = client_frames(3_000);
    // A RST at RCV.NXT: behind the text of the handshake's ACK, if it has any.
    let mut reset = frames[1].clone();
    let headers = 14 + 20 + usize::from(reset[46] >> 4) * 4;
    let text = usize::from(u16::from_be_bytes([reset[16], reset[17]])) + 14 - headers;
    let seq = u32::from_be_bytes([reset[38], reset[39], reset[40], reset[41]]).wrapping_add(text as u32);
    reset[38..42].copy_from_slice(&seq.to_be_bytes());
    reset.truncate(headers);
    reset[16..18].copy_from_slice(&(headers as u16 - 14).to_be_bytes());
    reset[47] = 0x04;
    super::fuzz::fix_checksums(&mut reset);
    frames.push(reset);
    let order = [1, frames.len() - 1, 0, 0];
    for cuts in 0..1u32 << order.len() {
        let (noted, world) = play(&frames, iss, &order, cuts);
        // What opens and is reset within one turn is no news.
        if cuts & 1 == 1 {
            assert_eq!(noted, ["open", "closed Err(Reset)"], "bursts {cuts:b}");
        }
        assert_eq!(
            world.server.shards[0].work.records.half_open(),
            1,
            "bursts {cuts:b}"
        );
    }
}
