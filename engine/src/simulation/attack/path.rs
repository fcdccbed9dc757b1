//! ICMP errors: packets that are too large for the path.

use fourtuple_wire::{SeqNum, TcpFlags};

use super::super::Plan;
use super::super::handlers::Echo;
use super::Arena;
use crate::listener::Listen;

/// An ICMP error for a segment that the server sent to the peer's `port`.
fn icmp(kind: u8, code: u8, mtu: u16, port: u16, seq: SeqNum, packet_len: u16) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend_from_slice(&mtu.to_be_bytes());
    message.extend_from_slice(&[0x45, 0]);
    message.extend_from_slice(&packet_len.to_be_bytes());
    message.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7]);
    message.extend_from_slice(&port.to_be_bytes());
    message.extend_from_slice(&seq.0.to_be_bytes());
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1]);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(&message);
    packet
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

#[test]
fn the_first_flight_to_a_peer_that_never_asked_for_us_is_whole() {
    let mut arena = Arena::of_strangers(&Plan::default(), |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    let peer = arena.open_with_mss(1_000, 1_000).unwrap();
    for number in 0..6 {
        let seq = peer.seq + number * 1_000;
        arena.say(peer.port, TcpFlags::ACK, seq, peer.ack, &[7; 1_000]);
    }
    for _ in 0..4 {
        arena.soon();
    }
    let heard: usize = arena.hear(peer.port).iter().map(|heard| heard.len).sum();
    assert_eq!(heard, 6_000);
}

#[test]
fn a_packet_too_large_for_the_path_is_sent_again_smaller_whichever_worker_hears_of_it() {
    let plan = Plan {
        server_workers: 2,
        ..Plan::default()
    };
    let mut arena = Arena::new(&plan, |_| Echo::default());
    arena.world.server.listen(0, &Listen::on(7));
    for port in 1_000..1_008 {
        let peer = arena.open_with_mss(port, 1_400).unwrap();
        let payload = vec![7; 1_400];
        arena.say(port, TcpFlags::ACK, peer.seq, peer.ack, &payload);
        for _ in 0..4 {
            arena.soon();
        }
        let heard = arena.hear(port);
        assert_eq!(heard.iter().map(|heard| heard.len).max(), Some(1_400));
        arena.say_raw(&icmp(3, 4, 1_000, port, peer.ack, 1_440));
        for _ in 0..4 {
            arena.soon();
        }
        let again: Vec<_> = arena.hear(port).iter().map(|heard| heard.len).collect();
        assert_eq!(again, [960, 440], "port {port}");
    }
}
