//! Any bytes as a script of what a peer does to a server, for the fuzzer (`engine/fuzz`) and its seeds.
//!
//! One function a target: [`run`] is frames at a whole server, the others stand in a file each. `tests` plays the seeds and changes of
//! them without the fuzzer.
//!
//! ```text
//!   script = step*     step = what (1) · argument (1) · [bytes]
//!     what % 4 = 0     the next `argument` bytes are a frame
//!     what % 4 = 1     a frame of a real exchange (number `argument`), three of its bytes changed: place, place, value …
//!     what % 4 = 2     time goes on by argument² milliseconds
//!     what % 4 = 3     a turn at once
//! ```

mod cookies;
mod fragments;
mod frames;
mod icmp;
mod neighbours;
mod peer;
mod sequences;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub use {
    cookies::cookies, fragments::fragments, frames::frames, frames::options, icmp::icmp,
    neighbours::neighbours, sequences::sequences,
};

use std::sync::OnceLock;
use std::time::Duration;

use fourtuple_nic_mem::MemQueue;

use super::handlers::{Client, Echo, Errand};
use super::{Plan, Side, World};
use crate::listener::Listen;
use crate::port_number::PortNumber;
use crate::shard::{Control, Done};

/// Plays a script to a server and checks that nothing is left of it.
///
/// # Panics
/// When something is: that is what it is for.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn run(script: &[u8]) {
    let plan = Plan {
        pools: 256,
        connections: 16,
        ..Plan::default()
    };
    let mut world = World::new(&plan, |_| Echo::default(), |_| Echo::default());
    world.server.listen(0, &Listen::on(7));
    let mut script = script;
    let mut steps = 0;
    while let Some((what, rest)) = take(script, 2) {
        script = rest;
        steps += 1;
        if steps > 256 {
            break;
        }
        let argument = usize::from(what[1]);
        match what[0] % 4 {
            0 => {
                let (frame, rest) = script.split_at(argument.min(script.len()));
                script = rest;
                say(&mut world, frame);
            }
            1 => {
                let frames = exchange();
                let mut frame = frames[argument % frames.len()].clone();
                if let Some((changes, rest)) = take(script, 9) {
                    script = rest;
                    for change in changes.chunks_exact(3) {
                        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % frame.len();
                        frame[place] ^= change[2];
                    }
                }
                fix_checksums(&mut frame);
                say(&mut world, &frame);
            }
            2 => world
                .clock
                .advance(Duration::from_millis((argument * argument) as u64)),
            _ => {}
        }
        turn(&mut world);
    }
    settle(&mut world);
}

/// Lets every deadline pass, ends what has no reason to end, and checks that everything is as at the start.
pub(super) fn settle(world: &mut World<Echo, Echo>) {
    world.run_for(Duration::from_secs(3 * 3600));
    for shard in &mut world.server.shards {
        shard.work.control(Control::AbortAll(Done::of(1)));
    }
    world.run_for(Duration::from_secs(600));
    let server: &mut Side<Echo> = &mut world.server;
    server.assert_as_at_start();
}

fn take(script: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    (script.len() >= len).then(|| script.split_at(len))
}

/// The peer's port sends a frame.
pub(super) fn say(world: &mut World<Echo, Echo>, frame: &[u8]) {
    peer(world).send_bytes(frame);
}

/// The server turns; what it says falls on the floor.
pub(super) fn turn(world: &mut World<Echo, Echo>) {
    world.clock.advance(Duration::from_micros(25));
    let now = world.now();
    world.server.turn(now);
    let _ = peer(world).receive_bytes();
}

fn peer(world: &mut World<Echo, Echo>) -> &mut MemQueue {
    &mut world.client.shards[0].work.ports[PortNumber::FIRST].queue
}

/// The frames of a real exchange, both families, made once.
pub(super) fn exchange() -> &'static [Vec<u8>] {
    static FRAMES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let errands = ["10.0.0.1:7", "[fd00::1]:7"]
            .map(|remote| Errand {
                remote: remote.parse().expect("an address"),
                connections: 2,
                bytes: 3_000,
            })
            .to_vec();
        let (client, outcome) = Client::new(errands);
        let mut client = Some(client);
        let mut world = World::new(
            &Plan::default(),
            |_| Echo::default(),
            |_| client.take().expect("one client"),
        );
        world.server.listen(0, &Listen::on(7));
        world.wire.start_capture();
        world.run_until(Duration::from_secs(10), |_| {
            outcome.lock().is_ok_and(|outcome| outcome.finished == 4)
        });
        world
            .wire
            .captured()
            .into_iter()
            .map(|frame| frame.bytes)
            .collect()
    })
}

/// Makes checksums right again where the frame is IPv4 and TCP, so that a change is seen behind them.
pub(super) fn fix_checksums(frame: &mut [u8]) {
    if frame.len() < 54 || frame[12..14] != [8, 0] || frame[14] != 0x45 || frame[23] != 6 {
        return;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]])).min(frame.len() - 14);
    if total < 40 {
        return;
    }
    frame[24..26].fill(0);
    let sum = fourtuple_wire::Sum::of(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let address = |at: usize| std::net::Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let pseudo = fourtuple_wire::Sum::pseudo_v4(address(26), address(30), 6, (total - 20) as u16);
    frame[50..52].fill(0);
    let sum = pseudo.with(&frame[34..14 + total]).checksum();
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
}
