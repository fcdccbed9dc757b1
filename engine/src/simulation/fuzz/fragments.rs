//! Any fragments: a packet comes out of them where a plain model of the rules says so, octet by octet, and no other does.
//!
//! ```text
//!   script = step*     step = packet · offset · length · flags · change · time
//!     packet           one of eight: four of each family, of different lengths
//!     offset, length   of the fragment, in units of eight octets
//!     flags            1: it says the other thing of whether more follow · 2: `change` alters an octet · 4: it may pass the end
//!     time             squared, in milliseconds: how long nothing comes before it
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use fourtuple_wire::{DropReason, Expect, Icmpv4Message, Icmpv6Message, Instant, PacketKind, Sum, parse};

use super::super::Plan;
use super::peer::Peer;
use crate::listener::Listen;

/// Cuts echo requests as a script says, and checks what comes back.
///
/// # Panics
/// When an echo is not answered that should be, or another is; when something is left behind.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn fragments(script: &[u8]) {
    let mut peer = Peer::on(&Plan::default(), &Listen::on(7));
    let mut models: [Model; PACKETS] = std::array::from_fn(|_| Model::default());
    for step in script.chunks_exact(STEP).take(STEPS) {
        let time = u64::from(step[5]);
        let heard = peer.turn_frames(Duration::from_millis(time * time));
        let now = peer.world.now();
        let told = models.iter_mut().map(|model| u32::from(model.expire(now))).sum();
        check(&heard, None, told);

        let number = usize::from(step[0]) % PACKETS;
        let (v6, piece) = (number >= PACKETS / 2, cut(number, step));
        let frame = if v6 {
            frame_v6(&peer, number, &piece)
        } else {
            frame_v4(&peer, number, &piece)
        };
        peer.say_bytes(&frame);
        let heard = peer.turn_frames(Duration::ZERO);
        let now = peer.world.now();
        let whole = if piece.start == 0 && !piece.more {
            // No fragment (RFC 6946 §4): what is under way is left alone.
            Some(piece.octets)
        } else {
            models[number].take(piece, now)
        };
        check(&heard, whole.and_then(|octets| answer_to(v6, &octets)), 0);
    }
    peer.settle();
}

/// A part of a packet's fragmentable part.
#[derive(Clone, PartialEq, Eq)]
struct Piece {
    start: usize,
    octets: Vec<u8>,
    more: bool,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.octets.len()
    }
}

/// What is known of a packet, and the rules of RFC 815, RFC 5722 and RFC 8200 §4.5, without thought for time or memory.
#[derive(Default)]
struct Model {
    pieces: Vec<Piece>,
    spoiled: bool,
    due: Option<Instant>,
}

impl Model {
    /// Its time may be over; true when that is to be told.
    fn expire(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let told = !self.spoiled && self.pieces.iter().any(|piece| piece.start == 0);
        *self = Self::default();
        told
    }

    /// The packet, if this was all that was missing.
    fn take(&mut self, piece: Piece, now: Instant) -> Option<Vec<u8>> {
        // A fragment but the last is whole units (RFC 791 §3.2): else it counts for nothing.
        if piece.more && !piece.octets.len().is_multiple_of(8) {
            return None;
        }
        self.due.get_or_insert(now + Duration::from_secs(60));
        if self.spoiled || self.pieces.contains(&piece) {
            return None;
        }
        self.pieces.push(piece);
        let end = self.pieces.iter().find(|piece| !piece.more).map(Piece::end);
        if self.contradicts(end) {
            (self.spoiled, self.pieces) = (true, Vec::new());
            return None;
        }
        let octets: usize = self.pieces.iter().map(|piece| piece.octets.len()).sum();
        if end != Some(octets) {
            return None;
        }
        let mut pieces = std::mem::take(self).pieces;
        pieces.sort_by_key(|piece| piece.start);
        Some(pieces.into_iter().flat_map(|piece| piece.octets).collect())
    }

    fn contradicts(&self, end: Option<usize>) -> bool {
        let overlaps = self.pieces.iter().enumerate().any(|(number, piece)| {
            let others = self.pieces.iter().skip(number + 1);
            others
                .into_iter()
                .any(|other| piece.start < other.end() && other.start < piece.end())
        });
        let ends = self.pieces.iter().filter(|piece| !piece.more).count();
        overlaps || ends > 1 || end.is_some_and(|end| self.pieces.iter().any(|piece| piece.end() > end))
    }
}

/// The echo request that a packet is when nobody changes it.
fn request(number: usize) -> Vec<u8> {
    let v6 = number >= PACKETS / 2;
    let len = LENGTHS[number % LENGTHS.len()];
    let mut octets = vec![if v6 { 128 } else { 8 }, 0, 0, 0, 0, number as u8, 0, 1];
    octets.extend((octets.len()..len).map(|at| (at * 7 + at / 256 + number) as u8));
    let sum = pseudo(v6, len).with(&octets).checksum();
    octets[2..4].copy_from_slice(&sum.to_be_bytes());
    octets
}

fn cut(number: usize, step: &[u8]) -> Piece {
    let (whole, flags) = (request(number), step[3]);
    let units = whole.len() / 8 + 1;
    let start = usize::from(step[1]) % (units + 2) * 8;
    let asked = start + (1 + usize::from(step[2]) % units) * 8;
    let end = if flags & 4 == 0 && start < whole.len() {
        asked.min(whole.len())
    } else {
        asked
    };
    let mut octets: Vec<u8> = (start..end)
        .map(|at| whole.get(at).copied().unwrap_or(0))
        .collect();
    if flags & 2 != 0 {
        let at = usize::from(step[4]) % octets.len();
        octets[at] ^= step[4] | 1;
    }
    Piece {
        start,
        octets,
        more: (end != whole.len()) != (flags & 1 != 0),
    }
}

/// What stands behind type, code and checksum of the echo reply; `None` when the packet asks for none.
fn answer_to(v6: bool, octets: &[u8]) -> Option<Vec<u8>> {
    let asks = octets.len() >= 8
        && octets[..2] == [if v6 { 128 } else { 8 }, 0]
        && pseudo(v6, octets.len()).with(octets).is_right();
    asks.then(|| octets[4..].to_vec())
}

/// Exactly this echo reply came, and so many times that a packet was given up.
fn check(heard: &[Vec<u8>], reply: Option<Vec<u8>>, expired: u32) {
    let (mut replies, mut told) = (Vec::new(), 0);
    for frame in heard {
        let upper = if frame[12..14] == [8, 0] { 34 } else { 54 };
        match parse(frame, &Expect::default()).map(|packet| packet.kind) {
            Ok(PacketKind::Icmpv4(icmp)) if matches!(icmp.message, Icmpv4Message::EchoReply(_)) => {
                let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                replies.push(frame[upper + 4..end].to_vec());
            }
            Ok(PacketKind::Icmpv6(icmp)) if matches!(icmp.message, Icmpv6Message::EchoReply(_)) => {
                replies.push(frame[upper + 4..].to_vec());
            }
            // Announcements of the server's addresses.
            Ok(PacketKind::Arp(_) | PacketKind::Icmpv6(_)) => {}
            // Errors about packets that are no segments: nothing to whom they came.
            Err(DropReason::IgnoredIcmp) => {
                told += u32::from([[11, 1], [3, 1]].contains(&[frame[upper], frame[upper + 1]]));
            }
            other => panic!("{other:?} of {frame:02x?}"),
        }
    }
    assert_eq!(replies, Vec::from_iter(reply), "echo replies");
    assert_eq!(
        told, expired,
        "packets of which it is told that they were given up"
    );
}

fn pseudo(v6: bool, len: usize) -> Sum {
    if v6 {
        Sum::pseudo_v6(PEER6, US6, 58, len as u16)
    } else {
        Sum::default()
    }
}

fn frame_v4(peer: &Peer, number: usize, piece: &Piece) -> Vec<u8> {
    let mut frame = [peer.servers_station(), peer.station()].concat();
    frame.extend_from_slice(&[8, 0, 0x45, 0]);
    frame.extend_from_slice(&((20 + piece.octets.len()) as u16).to_be_bytes());
    frame.extend_from_slice(&[7, number as u8]);
    frame.extend_from_slice(&((piece.start / 8) as u16 | u16::from(piece.more) << 13).to_be_bytes());
    frame.extend_from_slice(&[64, 1, 0, 0]);
    frame.extend_from_slice(&Ipv4Addr::new(10, 0, 0, 2).octets());
    frame.extend_from_slice(&Ipv4Addr::new(10, 0, 0, 1).octets());
    let sum = Sum::of(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&piece.octets);
    frame
}

fn frame_v6(peer: &Peer, number: usize, piece: &Piece) -> Vec<u8> {
    let mut frame = [peer.servers_station(), peer.station()].concat();
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend_from_slice(&((8 + piece.octets.len()) as u16).to_be_bytes());
    frame.extend_from_slice(&[44, 64]);
    frame.extend_from_slice(&PEER6.octets());
    frame.extend_from_slice(&US6.octets());
    frame.extend_from_slice(&[58, 0]);
    frame.extend_from_slice(&(piece.start as u16 | u16::from(piece.more)).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 7, number as u8]);
    frame.extend_from_slice(&piece.octets);
    frame
}

const PEER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const US6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// Half of them over IPv4.
const PACKETS: usize = 8;
/// Octets of the echo requests: of a few fragments and of many; all in a frame, as are their answers.
const LENGTHS: [usize; PACKETS / 2] = [24, 83, 256, 1_001];
const STEP: usize = 6;
/// As many as there is room for, so that nothing gives way.
const STEPS: usize = 64;
