//! Any handshakes at a listener that answers with cookies alone: only who heard a cookie gets in.
//!
//! ```text
//!   script = step*     step = what · port · options · change of the sequence · change of the acknowledgment (2) · length · time
//! ```

use std::collections::HashMap;
use std::time::Duration;

use fourtuple_wire::{SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use super::peer::Peer;
use crate::listener::{Listen, SynCookies};

const STEP: usize = 8;
const STEPS: usize = 128;

/// Plays a script to a listener.
///
/// # Panics
/// When somebody gets in who should not, or something is left behind.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn cookies(script: &[u8]) {
    let mut peer = Peer::new(&Listen {
        syn_cookies: SynCookies::Always,
        ..Listen::on(7)
    });
    // What the server said last to each port: its sequence number, and TSval.
    let mut said: HashMap<u16, Vec<(SeqNum, u32)>> = HashMap::new();
    let mut accepted = 0;
    for step in script.chunks_exact(STEP).take(STEPS) {
        let port = 4_000 + u16::from(step[1] % 4);
        let seq = SeqNum(u32::from(step[1]) * 1_000);
        let known = said.entry(port).or_default();
        let (cookie, tsval) = known.last().copied().unwrap_or_default();
        let change = u32::from(u16::from_be_bytes([step[4], step[5]]));
        let header = match step[0] % 4 {
            0 | 1 => TcpHeader {
                seq,
                flags: TcpFlags::SYN,
                window: 60_000,
                options: syn_options(step[2]),
                ..TcpHeader::default()
            },
            2 => TcpHeader {
                seq: seq + 1 + u32::from(step[3]) % 3,
                ack: SeqNum(cookie.0.wrapping_add(1) ^ change.rotate_left(u32::from(step[3]))),
                flags: TcpFlags::ACK,
                window: 60_000,
                options: TcpOptions {
                    timestamps: (step[2] & 1 != 0).then_some(Timestamps {
                        value: 1_000,
                        echo: tsval ^ u32::from(step[2] >> 4),
                    }),
                    ..TcpOptions::default()
                },
                ..TcpHeader::default()
            },
            _ => {
                peer.turn(Duration::from_secs(u64::from(step[7])));
                continue;
            }
        };
        peer.say(port, &header, &vec![1; usize::from(step[6])]);
        for heard in peer.turn(Duration::ZERO) {
            let header = &heard.segment.header;
            if header.flags.contains(TcpFlags::SYN | TcpFlags::ACK) {
                let tsval = header.options.timestamps.map_or(0, |timestamps| timestamps.value);
                said.entry(heard.segment.tuple.local_port())
                    .or_default()
                    .push((header.seq, tsval));
            }
        }
        let now = peer.world.server.shards[0].counters().accepts;
        if now > accepted {
            accepted = now;
            let heard_it = said[&port].iter().any(|(cookie, _)| *cookie + 1 == header.ack);
            assert!(heard_it, "an acknowledgment of no cookie opened: {header:?}");
        }
    }
    peer.settle();
}

fn syn_options(bits: u8) -> TcpOptions {
    TcpOptions {
        mss: (bits & 1 != 0).then_some(u16::from(bits) * 12),
        window_scale: (bits & 2 != 0).then_some(bits >> 4),
        sack_permitted: bits & 4 != 0,
        timestamps: (bits & 8 != 0).then_some(Timestamps { value: 900, echo: 0 }),
        ..TcpOptions::default()
    }
}
