//! What is expected, condition by condition: the property that the short way changes nothing would hold for conditions that are
//! too narrow, and finds those that are too wide only when it meets them.

use super::*;
use crate::testing::{Bytes, Established, sack_block};
use crate::{CongestionKind, Profile};

fn profile() -> Profile {
    Profile::default().with(|profile| {
        profile.window_scaling = false;
        profile.receive_buffer = 50_000;
        profile.congestion = CongestionKind::NewReno;
    })
}

/// A connection, and a segment with so many octets that pin so much.
struct Case {
    one: Established,
    header: TcpHeader,
    len: u32,
    space: usize,
}

impl Case {
    fn new() -> Self {
        let one = Established::new(profile());
        Self {
            header: one.next_header(),
            one,
            len: 10,
            space: 74,
        }
    }

    /// One chunk of `len` octets is outstanding, and acknowledged, of a window of 2,001.
    fn answering(len: usize) -> Self {
        let mut case = Self::new();
        let tcb = &mut case.one.tcb;
        tcb.queue.begin_with(Bytes::from(&vec![7; len][..]), len as u32);
        tcb.snd.nxt += len as u32;
        tcb.congestion = crate::congestion::Congestion::new(2_001);
        case.header = case.one.next_header();
        case
    }

    fn is_plain(&mut self) -> bool {
        let (header, len, space) = (self.header.clone(), self.len, self.space);
        self.one
            .with(|tcb, env| tcb.expects_plain(&header, len, space, env))
    }
}

/// Changes a case, in a way that the name tells.
type Change = (&'static str, fn(&mut Case));

#[test]
fn the_next_text_of_a_peer_that_has_acknowledged_all_is_plain() {
    let wnd = |case: &Case| case.one.tcb.rcv.wnd();
    assert!(wnd(&Case::new()) > 1_000);
    let changes: [Change; 8] = [
        ("text", |_| {}),
        ("with PSH", |case| case.header.flags |= TcpFlags::PSH),
        ("a later timestamp", |case| {
            case.header
                .options
                .timestamps
                .as_mut()
                .expect("they are used")
                .value += 1;
        }),
        ("as much as the window", |case| case.len = case.one.tcb.rcv.wnd()),
        ("an ACK is owed", |case| case.one.tcb.debts.insert(Debts::ACK)),
        ("a buffer beyond the bound, and the only one", |case| {
            case.space = 1_000_000
        }),
        ("buffers up to the bound", |case| {
            case.one.tcb.received.charge(99_900);
            case.space = 100;
        }),
        ("neither side uses timestamps", |case| {
            case.one.tcb.timestamps.enabled = false;
            case.header.options.timestamps = None;
        }),
    ];
    for (what, change) in changes {
        let mut case = Case::new();
        change(&mut case);
        assert!(case.is_plain(), "{what}");
    }
}

#[test]
fn anything_else_is_not_plain() {
    let changes: [Change; 28] = [
        ("a closing end", |case| case.one.tcb.state = State::CloseWait),
        ("prediction off", |case| {
            case.one.profile.header_prediction = false
        }),
        ("a FIN", |case| case.header.flags |= TcpFlags::FIN),
        ("urgent data", |case| case.header.flags |= TcpFlags::URG),
        ("no ACK", |case| case.header.flags = TcpFlags::PSH),
        ("a hole before it", |case| case.header.seq += 1),
        ("an old octet", |case| case.header.seq = case.header.seq.back(1)),
        ("an old ACK", |case| case.header.ack = case.header.ack.back(1)),
        ("an ACK of nothing that was sent", |case| case.header.ack += 1),
        ("text that waits to be sent", |case| {
            case.one.tcb.queue.begin_with(Bytes::from(&[1][..]), 1);
        }),
        ("no text", |case| case.len = 0),
        ("more than the window", |case| {
            case.len = case.one.tcb.rcv.wnd() + 1
        }),
        ("a closed window of the peer", |case| case.one.tcb.snd.wnd = 0),
        ("an old timestamp", |case| {
            let timestamps = case.header.options.timestamps.as_mut().expect("they are used");
            timestamps.value = timestamps.value.wrapping_sub(1);
        }),
        ("no timestamp", |case| case.header.options.timestamps = None),
        ("a timestamp that was not agreed", |case| {
            case.one.tcb.timestamps.enabled = false;
        }),
        ("a SACK", |case| {
            let una = case.one.tcb.snd.una;
            case.header.options.sack.push(sack_block(una, una + 1));
        }),
        ("a hole", |case| case.one.tcb.reassembly = 0),
        ("urgent data of ours", |case| case.one.tcb.aside = 0),
        ("a flight", |case| case.one.tcb.flight = 0),
        ("recovery", |case| case.one.tcb.recovery.phase = Phase::Loss),
        ("a probe", |case| {
            case.one.tcb.recovery.marks.insert(Marks::PROBED)
        }),
        ("a probe that repeats", |case| {
            case.one.tcb.recovery.marks.insert(Marks::PROBED_AGAIN);
        }),
        ("something SACKed", |case| {
            case.one.tcb.recovery.marks.insert(Marks::SACKED)
        }),
        ("an orphan", |case| case.one.tcb.flags.insert(Flags::ORPHAN)),
        ("text owed", |case| case.one.tcb.debts.insert(Debts::TEXT)),
        ("buffers beyond the bound", |case| {
            case.one.tcb.received.charge(99_900);
            case.space = 101;
        }),
        ("no room in the pool", |case| {
            case.one.pools.receive = crate::pool::Pool::new(0);
        }),
    ];
    for (what, change) in changes {
        let mut case = Case::new();
        change(&mut case);
        assert!(!case.is_plain(), "{what}");
    }
}

/// RFC 7661: a window of which half was used may grow, and the way that asks for it is taken.
#[test]
fn an_answer_to_less_than_half_of_the_window_is_plain() {
    for (outstanding, plain) in [(1, true), (1_000, true), (1_001, false), (2_001, false)] {
        assert_eq!(Case::answering(outstanding).is_plain(), plain, "{outstanding}");
    }
    let mut half = Case::answering(1_000);
    half.one.tcb.congestion = crate::congestion::Congestion::new(2_000);
    assert!(!half.is_plain());
}

#[test]
fn what_a_plain_segment_acknowledges_leaves_the_queue_and_is_told() {
    let mut case = Case::answering(500);
    let (header, before) = (case.header.clone(), case.one.tcb.rcv.nxt);
    let told = case.one.with(|tcb, env| {
        let payload = crate::testing::Frame::new(b"0123456789");
        tcb.take_plain(&header, payload, env)
    });
    assert_eq!(told, Signals::READABLE | Signals::WRITABLE);
    let tcb = &case.one.tcb;
    assert_eq!((tcb.queue.len(), tcb.snd.una), (0, tcb.snd.nxt));
    assert_eq!(tcb.rcv.nxt, before + 10);
    // Nothing more is outstanding: text alone is told.
    let mut case = Case::new();
    let header = case.header.clone();
    let told = case.one.with(|tcb, env| {
        let payload = crate::testing::Frame::new(b"0123456789");
        tcb.take_plain(&header, payload, env)
    });
    assert_eq!(told, Signals::READABLE);
}
