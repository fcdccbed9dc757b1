//! What is predicted, at its edges, and what the short way tells.

use fourtuple_wire::{SeqNum, TcpHeader};

use super::*;
use crate::testing::{Established, Frame, sack_block};
use crate::{CongestionKind, Profile};

/// Five hundred octets are outstanding, in one chunk of many; segments have no timestamps.
fn sending() -> Established {
    let mut one = Established::new(Profile::default().with(|profile| {
        profile.window_scaling = false;
        profile.timestamps = false;
        profile.congestion = CongestionKind::NewReno;
    }));
    one.send(500);
    one
}

fn is_predicted(one: &mut Established, header: &TcpHeader, len: usize) -> bool {
    let payload = (len > 0).then(|| Frame::new(&vec![7; len]));
    one.with(|tcb, env| tcb.is_predicted(&Segment::new(header, payload), env))
}

#[test]
fn new_acknowledgments_and_text_in_order_are_predicted_within_open_windows() {
    let una = |one: &Established| one.tcb.snd.una;
    // Octets beyond SND.UNA that are acknowledged, octets of text, and whether that is what is expected.
    for (acked, len, predicted) in [
        (500, 0, true),
        (1, 0, true),
        (0, 10, true),
        (500, 10, true),
        (0, 0, false),
        (501, 0, false),
        (501, 10, false),
    ] {
        let mut one = sending();
        let mut header = one.next_header();
        header.ack = una(&one) + acked;
        assert_eq!(is_predicted(&mut one, &header, len), predicted, "{acked} {len}");
    }
    let mut one = sending();
    let mut header = one.next_header();
    header.ack = header.ack.back(501);
    assert!(!is_predicted(&mut one, &header, 10), "an old ACK");
    for (wnd, len, predicted) in [(10, 10, true), (10, 11, false), (0, 0, false), (1, 0, true)] {
        let mut one = sending();
        one.tcb.rcv.adv = one.tcb.rcv.nxt + wnd;
        let header = one.next_header();
        assert_eq!(
            is_predicted(&mut one, &header, len),
            predicted,
            "our window: {wnd} {len}"
        );
    }
    for (wnd, predicted) in [(1, true), (0, false)] {
        let mut one = sending();
        one.tcb.snd.wnd = wnd;
        let header = one.next_header();
        assert_eq!(
            is_predicted(&mut one, &header, 0),
            predicted,
            "the peer's window: {wnd}"
        );
    }
}

#[test]
fn what_says_more_is_not_predicted() {
    type Change = (&'static str, fn(&mut Established, &mut TcpHeader));
    let changes: [Change; 10] = [
        ("a closing end", |one, _| one.tcb.state = State::CloseWait),
        ("a FIN", |_, header| header.flags |= TcpFlags::FIN),
        ("a hole before it", |_, header| header.seq += 1),
        ("a timestamp that was not agreed", |_, header| {
            header.options.timestamps = Some(fourtuple_wire::Timestamps { value: 1, echo: 1 });
        }),
        ("none though they were agreed", |one, _| {
            one.tcb.timestamps.enabled = true
        }),
        ("a SACK", |_, header| {
            header.options.sack.push(sack_block(SeqNum(1), SeqNum(2)));
        }),
        ("a hole", |one, _| one.tcb.reassembly = 0),
        ("something SACKed", |one, _| {
            one.tcb.recovery.marks.insert(Marks::SACKED)
        }),
        ("recovery", |one, _| one.tcb.recovery.phase = Phase::Loss),
        ("an orphan", |one, _| one.tcb.flags.insert(Flags::ORPHAN)),
    ];
    for (what, change) in changes {
        let mut one = sending();
        let mut header = one.next_header();
        change(&mut one, &mut header);
        assert!(!is_predicted(&mut one, &header, 0), "{what}");
    }
}

#[test]
fn a_payload_of_nothing_is_no_text() {
    let mut one = sending();
    let header = one.next_header();
    let arrival = one.with(|tcb, env| tcb.segment_arrives(&header, Some(Frame::new(b"")), env));
    assert_eq!(one.counters.predicted, 1);
    assert_eq!((arrival.verdict, arrival.signals), (Ok(()), Signals::WRITABLE));
    assert!(one.tcb.received.is_empty());
}
