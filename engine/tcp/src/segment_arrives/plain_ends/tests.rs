//! What is expected, condition by condition, as of plain text.

use super::*;
use crate::congestion::Congestion;
use crate::testing::{Bytes, Established};
use crate::{CongestionKind, Profile};

/// A connection, and a segment without payload, or with `len` octets of it.
struct Case {
    one: Established,
    header: TcpHeader,
    len: u32,
}

impl Case {
    fn new() -> Self {
        let one = Established::new(Profile::default().with(|profile| {
            profile.window_scaling = false;
            profile.receive_buffer = 50_000;
            profile.congestion = CongestionKind::NewReno;
        }));
        Self {
            header: one.next_header(),
            one,
            len: 0,
        }
    }

    /// The peer's FIN, which acknowledges one chunk of ten octets of a window of 1,000.
    fn fin() -> Self {
        let mut case = Self::new();
        let tcb = &mut case.one.tcb;
        tcb.queue.begin_with(Bytes::from(&[7; 10][..]), 10);
        tcb.snd.nxt += 10;
        tcb.congestion = Congestion::new(1_000);
        case.header = case.one.next_header();
        case.header.flags |= TcpFlags::FIN;
        case
    }

    /// The ACK of our FIN, behind the peer's.
    fn last_ack() -> Self {
        let mut case = Self::new();
        let tcb = &mut case.one.tcb;
        tcb.state = State::LastAck;
        tcb.flags.insert(Flags::FIN_QUEUED.with(Flags::FIN_SENT));
        tcb.snd.nxt += 1;
        case.header = case.one.next_header();
        case
    }

    /// The ACK of our SYN.
    fn opening() -> Self {
        let mut case = Self::new();
        let tcb = &mut case.one.tcb;
        tcb.state = State::SynReceived;
        tcb.snd.nxt += 1;
        case.header = case.one.next_header();
        case
    }

    fn is_end(&mut self) -> bool {
        let header = self.header.clone();
        self.one.with(|tcb, env| tcb.expects_plain_end(&header, env))
    }

    fn is_opening(&mut self) -> bool {
        let (header, len) = (self.header.clone(), self.len);
        self.one
            .with(|tcb, env| tcb.expects_plain_opening(&header, len, env))
    }
}

/// Changes a case, in a way that the name tells.
type Change = (&'static str, fn(&mut Case));

const OF_ALL: [Change; 6] = [
    ("our window is closed", |case| {
        case.one.tcb.rcv.adv = case.one.tcb.rcv.nxt
    }),
    ("prediction off", |case| {
        case.one.profile.header_prediction = false
    }),
    ("a hole before it", |case| case.header.seq += 1),
    ("an old ACK", |case| case.header.ack = case.header.ack.back(1)),
    ("a timestamp that was not agreed", |case| {
        case.one.tcb.timestamps.enabled = false
    }),
    ("a closed window of the peer", |case| case.one.tcb.snd.wnd = 0),
];

#[test]
fn the_usual_end_and_the_usual_beginning_are_plain() {
    assert!(Case::fin().is_end());
    assert!(Case::last_ack().is_end());
    assert!(Case::opening().is_opening());
    let mut text = Case::opening();
    text.len = text.one.tcb.rcv.wnd();
    assert!(text.is_opening(), "as much as the window");
    text.len += 1;
    assert!(!text.is_opening(), "more than the window");
}

#[test]
fn what_is_not_the_next_of_all_is_no_plain_end_and_no_plain_beginning() {
    for (what, change) in OF_ALL {
        let (mut fin, mut last, mut opening) = (Case::fin(), Case::last_ack(), Case::opening());
        for case in [&mut fin, &mut last, &mut opening] {
            change(case);
        }
        assert!(!fin.is_end(), "FIN: {what}");
        assert!(!last.is_end(), "last ACK: {what}");
        assert!(!opening.is_opening(), "{what}");
    }
}

/// RFC 7661: a window of which half was used may grow, and the way that asks for it is taken.
#[test]
fn a_fin_acknowledges_one_chunk_and_less_than_half_of_the_window() {
    for (window, plain) in [(19, false), (20, false), (21, true), (1_000, true)] {
        let mut case = Case::fin();
        case.one.tcb.congestion = Congestion::new(window);
        assert_eq!(case.is_end(), plain, "10 of {window}");
    }
    let mut part = Case::fin();
    part.one.tcb.snd.nxt = part.one.tcb.snd.nxt.back(1);
    part.header.ack = part.one.tcb.snd.nxt;
    assert!(!part.is_end(), "some of the chunk was not sent");
}

#[test]
fn the_last_ack_is_of_our_fin_alone() {
    let changes: [Change; 6] = [
        ("another state", |case| case.one.tcb.state = State::Closing),
        ("the FIN was not sent", |case| {
            case.one.tcb.flags.remove(Flags::FIN_SENT);
        }),
        ("text before it", |case| {
            case.one.tcb.snd.nxt += 1;
            case.header.ack = case.one.tcb.snd.nxt;
        }),
        ("text that waits", |case| {
            case.one.tcb.queue.begin_with(Bytes::from(&[1][..]), 1);
        }),
        ("a window of two octets", |case| {
            case.one.tcb.congestion = Congestion::new(2);
        }),
        ("Fast Open", |case| case.one.tcb.flags.insert(Flags::FAST_OPEN)),
    ];
    for (what, change) in changes {
        let mut case = Case::last_ack();
        change(&mut case);
        assert!(!case.is_end(), "{what}");
    }
    let mut least = Case::last_ack();
    least.one.tcb.congestion = Congestion::new(3);
    assert!(least.is_end());
}

#[test]
fn an_opening_is_the_ack_of_our_syn_alone() {
    let changes: [Change; 7] = [
        ("another state", |case| case.one.tcb.state = State::Established),
        ("a FIN", |case| case.header.flags |= TcpFlags::FIN),
        ("a closed window", |case| case.header.window = 0),
        ("text that went with the SYN", |case| {
            case.one.tcb.snd.nxt += 1;
            case.header.ack = case.one.tcb.snd.nxt;
        }),
        ("text that waits", |case| {
            case.one.tcb.queue.begin_with(Bytes::from(&[1][..]), 1);
        }),
        ("a FIN that waits", |case| {
            case.one.tcb.flags.insert(Flags::FIN_QUEUED)
        }),
        ("more than the window", |case| {
            case.len = case.one.tcb.rcv.wnd() + 1
        }),
    ];
    for (what, change) in changes {
        let mut case = Case::opening();
        change(&mut case);
        assert!(!case.is_opening(), "{what}");
    }
}
