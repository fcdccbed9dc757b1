//! Any ARP and neighbour discovery on the link: tables stay bounded, answers well formed, and go to who asked.
//!
//! ```text
//!   script = step*     step = kind · operation or type · sender · target · station · flags · hop limit · time
//! ```

use std::net::Ipv6Addr;
use std::time::Duration;

use fourtuple_wire::Sum;

use super::peer::Peer;
use crate::listener::Listen;

const STEP: usize = 8;
const STEPS: usize = 128;

/// Plays a script to a host.
///
/// # Panics
/// When an answer is not well formed, or something is left behind.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn neighbours(script: &[u8]) {
    let mut peer = Peer::new(&Listen::on(7));
    peer.open(4_000);
    for step in script.chunks_exact(STEP).take(STEPS) {
        let frame = if step[0] % 2 == 0 {
            arp(&peer, step)
        } else {
            discovery(&peer, step)
        };
        peer.say_bytes(&frame);
        peer.turn(Duration::from_millis(u64::from(step[7]) * u64::from(step[7])));
    }
    peer.settle();
}

/// Few, so that they meet: 0 and 255 stand for what may not be.
fn v4(number: u8) -> [u8; 4] {
    match number % 8 {
        0 => [0; 4],
        7 => [255; 4],
        6 => [224, 0, 0, 1],
        last => [10, 0, 0, last],
    }
}

fn v6(number: u8) -> Ipv6Addr {
    match number % 8 {
        0 => Ipv6Addr::UNSPECIFIED,
        7 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
        last => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)),
    }
}

fn station(peer: &Peer, number: u8) -> [u8; 6] {
    match number % 8 {
        0 => peer.servers_station(),
        1 => [0xff; 6],
        2 => [0; 6],
        3 => peer.station(),
        last => [2, 0, 0, 0, 1, last],
    }
}

fn arp(peer: &Peer, step: &[u8]) -> Vec<u8> {
    let to = if step[5] & 1 == 0 {
        [0xff; 6]
    } else {
        peer.servers_station()
    };
    let mut frame = [to, peer.station()].concat();
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, step[1] % 4]);
    frame.extend_from_slice(&station(peer, step[4]));
    frame.extend_from_slice(&v4(step[2]));
    frame.extend_from_slice(&station(peer, step[4] >> 3));
    frame.extend_from_slice(&v4(step[3]));
    if step[6].is_multiple_of(16) {
        frame.truncate(14 + usize::from(step[5]));
    }
    frame
}

fn discovery(peer: &Peer, step: &[u8]) -> Vec<u8> {
    let (source, target) = (v6(step[2]), v6(step[3]));
    let destination = v6(step[3].wrapping_add(step[5] >> 4));
    let mut body = vec![133 + step[1] % 5, step[6] & 1, 0, 0, step[5] << 5, 0, 0, 0];
    body.extend_from_slice(&target.octets());
    if step[5] & 1 != 0 {
        // An option with its length in units of eight octets, which may be wrong.
        body.extend_from_slice(&[1 + (step[5] >> 1 & 1), if step[6] % 16 == 3 { 0 } else { 1 }]);
        body.extend_from_slice(&station(peer, step[4]));
    }
    let sum = Sum::pseudo_v6(source, destination, 58, body.len() as u16)
        .with(&body)
        .checksum();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [peer.servers_station(), peer.station()].concat();
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend_from_slice(&(body.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[58, if step[6] < 16 { step[6] } else { 255 }]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&destination.octets());
    frame.extend_from_slice(&body);
    frame
}
