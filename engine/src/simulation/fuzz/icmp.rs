//! Any ICMP messages to a host with a connection under way: they are read or dropped, and none ends the connection.
//!
//! ```text
//!   script = step*     step = family · type · code · rest (4) · change of the quote (3) · length of the quote · time
//! ```

use std::time::Duration;

use fourtuple_wire::{SeqNum, Sum, TcpFlags, TcpHeader};

use super::peer::Peer;
use crate::listener::Listen;

const STEP: usize = 12;
const STEPS: usize = 96;
const PORT: u16 = 4_000;

/// Plays a script to a server.
///
/// # Panics
/// When the connection does not live on, or something is left behind.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "public for the fuzzer"))]
pub fn icmp(script: &[u8]) {
    let mut peer = Peer::new(&Listen::on(7));
    let irs = peer.open(PORT);
    let text = TcpHeader {
        seq: SeqNum(1),
        ack: irs + 1,
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 60_000,
        ..TcpHeader::default()
    };
    // Its echo stays unacknowledged: that is what the messages are about.
    peer.say(PORT, &text, &[7; 1_400]);
    peer.turn(Duration::ZERO);
    peer.turn(Duration::ZERO);
    let quoted = peer.last[14..].to_vec();
    for step in script.chunks_exact(STEP).take(STEPS) {
        let mut quote = quoted.clone();
        let place = usize::from(u16::from_be_bytes([step[7], step[8]])) % quote.len().min(40);
        quote[place] ^= step[9];
        quote.truncate(usize::from(step[10]) * 6);
        let message = if step[0] % 2 == 0 {
            message_v4(&peer, step, &quote)
        } else {
            message_v6(&peer, step, &quote)
        };
        peer.say_bytes(&message);
        peer.turn(Duration::from_millis(u64::from(step[11])));
    }
    lives_on(&mut peer, irs);
    peer.settle();
}

fn message_v4(peer: &Peer, step: &[u8], quote: &[u8]) -> Vec<u8> {
    let mut body = step[1..7].to_vec();
    body.splice(2..2, [0, 0]);
    body.extend_from_slice(quote);
    let sum = Sum::of(&body).checksum();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [peer.servers_station(), peer.station()].concat();
    frame.extend_from_slice(&[8, 0]);
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&((20 + body.len()) as u16).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    let sum = Sum::of(&header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&body);
    frame
}

fn message_v6(peer: &Peer, step: &[u8], quote: &[u8]) -> Vec<u8> {
    let mut body = step[1..7].to_vec();
    body.splice(2..2, [0, 0]);
    body.extend_from_slice(quote);
    let address = |last: u8| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last));
    let sum = Sum::pseudo_v6(address(2), address(1), 58, body.len() as u16)
        .with(&body)
        .checksum();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [peer.servers_station(), peer.station()].concat();
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend_from_slice(&(body.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[58, 255]);
    frame.extend_from_slice(&address(2).octets());
    frame.extend_from_slice(&address(1).octets());
    frame.extend_from_slice(&body);
    frame
}

/// The peer acknowledges what comes, says one thing more, and hears it.
fn lives_on(peer: &mut Peer, irs: SeqNum) {
    let mut rcv = irs + 1;
    for round in 0..400u32 {
        let more = TcpHeader {
            seq: SeqNum(1 + 1_400),
            ack: rcv,
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 60_000,
            ..TcpHeader::default()
        };
        // Text that is old is dropped with its acknowledgment, so that goes alone too.
        let ack = TcpHeader {
            seq: more.seq + 10,
            flags: TcpFlags::ACK,
            ..more.clone()
        };
        if round % 4 == 0 {
            peer.say(PORT, &more, &[9; 10]);
            peer.say(PORT, &ack, &[]);
        }
        for heard in peer.turn(Duration::from_millis(50)) {
            let header = &heard.segment.header;
            assert!(!header.flags.contains(TcpFlags::RST), "an ICMP message ended it");
            if header.seq.at_or_before(rcv) && (header.seq + heard.len).after(rcv) {
                rcv = header.seq + heard.len;
            }
        }
        if rcv.distance_from(irs) == 1 + 1_410 {
            return;
        }
    }
    panic!("{} octets of 1410 came", rcv.distance_from(irs) - 1);
}
