//! Any segments of one peer at a TCB and what comes before and after it: handshakes, text, closing, TIME_WAIT.
//!
//! ```text
//!   script = step*     step = what · flags · sequence · acknowledgment · length · window · options · time
//! ```
//! Numbers are near those that matter (`OFFSETS`), so that most steps get somewhere. What the server says is held against what
//! it may say: it acknowledges only what was sent, its window never shrinks, its text stays within the peer's.

use std::time::Duration;

use fourtuple_wire::{SackBlock, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use super::peer::{Heard, Peer};
use crate::listener::Listen;

const STEP: usize = 8;
const STEPS: usize = 128;
const PORT: u16 = 4_000;

/// Distances from the number that would be right.
const OFFSETS: [i32; 16] = [
    0,
    0,
    0,
    0,
    1,
    -1,
    100,
    -100,
    1_460,
    -1_460,
    0x7fff,
    0x1_0000,
    1 << 30,
    -(1 << 30),
    i32::MAX,
    i32::MIN,
];

/// Plays a script to a server and holds what it says against the rules.
///
/// # Panics
/// When a rule is broken, or something is left behind.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn sequences(script: &[u8]) {
    let mut talk = Talk {
        peer: Peer::new(&Listen::on(7)),
        nxt: SeqNum(1),
        rcv: SeqNum(0),
        said: vec![(SeqNum(0), 1)],
        edge: None,
        theirs: None,
    };
    for step in script.chunks_exact(STEP).take(STEPS) {
        talk.step(step);
    }
    talk.peer.settle();
}

struct Talk {
    peer: Peer,
    /// The next sequence number of an honest peer.
    nxt: SeqNum,
    /// And the next that it expects.
    rcv: SeqNum,
    /// All that was ever said: where, and how long in sequence space.
    said: Vec<(SeqNum, u32)>,
    /// The furthest right edge that was offered to the server.
    edge: Option<SeqNum>,
    /// The right edge that the server offered last, and the connection that it was.
    theirs: Option<SeqNum>,
}

impl Talk {
    fn step(&mut self, step: &[u8]) {
        match step[0] % 8 {
            // An honest segment: text and flags in their place.
            0..=2 => self.say(step[1] & 0x1b | TcpFlags::ACK.0, 0, 0, step),
            // A SYN of a new connection.
            3 => self.say(
                TcpFlags::SYN.0 | step[1] & 0x28,
                OFFSETS[usize::from(step[2] % 16)],
                0,
                step,
            ),
            // Anything.
            4 | 5 => {
                let (seq, ack) = (
                    OFFSETS[usize::from(step[2] % 16)],
                    OFFSETS[usize::from(step[3] % 16)],
                );
                self.say(step[1], seq, ack, step);
            }
            // Time goes on.
            6 => {
                let heard = self
                    .peer
                    .turn(Duration::from_millis(u64::from(step[7]) * u64::from(step[6])));
                self.hear(heard);
            }
            _ => {}
        }
        // Several segments may come in one burst.
        if !step[7].is_multiple_of(4) {
            let heard = self.peer.turn(Duration::from_micros(u64::from(step[7]) * 100));
            self.hear(heard);
        }
    }

    fn say(&mut self, flags: u8, seq: i32, ack: i32, step: &[u8]) {
        let flags = TcpFlags(flags);
        let seq = self.nxt + seq as u32;
        let ack = self.rcv + ack as u32;
        let payload = vec![step[4]; usize::from(step[4]) * 6];
        let window = u16::from(step[5]) << 8;
        let mut options = TcpOptions::default();
        if step[6] & 1 != 0 {
            options.timestamps = Some(Timestamps {
                value: u32::from(step[7]) * 1_000,
                echo: u32::from(step[6]),
            });
        }
        if step[6] & 2 != 0 {
            options.mss = Some(u16::from(step[4]) * 6);
            options.sack_permitted = true;
        }
        if step[6] & 4 != 0 && !flags.contains(TcpFlags::SYN) {
            options.sack.push(SackBlock {
                left: ack + OFFSETS[usize::from(step[2] % 16)] as u32,
                right: ack + u32::from(step[3]) * 10,
            });
        }
        let header = TcpHeader {
            seq,
            ack,
            flags,
            window,
            urgent: u16::from(step[3]),
            options,
        };
        let len = header.seq_len(payload.len());
        self.said.push((seq, len));
        let edge = ack + u32::from(window);
        if self
            .edge
            .is_none_or(|before| edge.after(before) && edge.distance_from(self.rcv) < 1 << 30)
        {
            self.edge = Some(edge);
        }
        if seq == self.nxt && !flags.contains(TcpFlags::RST) {
            self.nxt += len;
        }
        self.peer.say(PORT, &header, &payload);
    }

    fn hear(&mut self, heard: Vec<Heard>) {
        for Heard { segment, len } in heard {
            let header = &segment.header;
            if header.flags.contains(TcpFlags::ACK) {
                let honest = self
                    .said
                    .iter()
                    .any(|(start, len)| header.ack.distance_from(*start) <= *len);
                assert!(honest, "acknowledges what nobody said: {header:?}");
            }
            if header.flags.contains(TcpFlags::RST) {
                continue;
            }
            if header.flags.contains(TcpFlags::SYN) {
                // A connection of its own: all begins anew.
                if header.seq + 1 != self.rcv {
                    self.edge = None;
                    self.theirs = None;
                }
                (self.rcv, self.nxt) = (header.seq + 1, header.ack);
                continue;
            }
            let end = header.seq + header.seq_len(len as usize);
            if let (Some(edge), true) = (self.edge, len > 0) {
                // One octet may probe a window that is shut.
                assert!(
                    !end.after(edge + 2),
                    "beyond the window, which ends at {edge:?}: {header:?}, {len}"
                );
            }
            let offered = header.ack + u32::from(header.window);
            if let Some(before) = self.theirs {
                assert!(
                    !offered.before(before),
                    "the window shrank: {before:?}, then {header:?}"
                );
            }
            self.theirs = Some(offered);
            if header.seq.at_or_before(self.rcv) && end.after(self.rcv) {
                self.rcv = end;
            }
        }
    }
}
