//! What is plain, condition by condition: the property that the short way changes nothing would hold for conditions that are too
//! narrow, and finds those that are too wide only when it meets them.

use super::*;
use crate::CongestionKind;
use crate::testing::{Bytes, Established};

/// Nagle's algorithm, timestamps and SACK on; nothing is paced.
fn profile() -> Profile {
    Profile::default().with(|profile| {
        profile.window_scaling = false;
        profile.congestion = CongestionKind::NewReno;
    })
}

/// Changes a connection, in a way that the name tells.
type Change = (&'static str, fn(&mut Established));

/// Whatever makes text something else than plain, whoever asks.
const NEVER: [Change; 9] = [
    ("something outstanding", |one| one.tcb.snd.nxt += 1),
    ("recovery", |one| one.tcb.recovery.phase = Phase::Fast),
    ("the pacer", |one| one.tcb.flags.insert(Flags::PACED)),
    ("a mark to be echoed", |one| one.tcb.flags.insert(Flags::ECN_ECHO)),
    ("a reduction to be told", |one| {
        one.tcb.flags.insert(Flags::CWR_OWED)
    }),
    ("a hole", |one| one.tcb.reassembly = 0),
    ("urgent data", |one| one.tcb.aside = 0),
    ("a flight", |one| one.tcb.flight = 0),
    ("a state that sends nothing", |one| {
        one.tcb.state = State::FinWait2
    }),
];

#[test]
fn text_is_plain_when_one_segment_takes_it_and_nothing_else_is_under_way() {
    let takes = |one: &Established, bytes| one.tcb.takes_plain(bytes, &one.profile);
    let open = || Established::new(profile());
    // The least of a segment, the peer's window and the buffer; nothing is no text.
    let one = open();
    assert_eq!(
        [0, 1, 1000, 1001].map(|bytes| takes(&one, bytes)),
        [false, true, true, false]
    );
    let mut narrow = open();
    narrow.tcb.snd.wnd = 300;
    assert_eq!([300, 301].map(|bytes| takes(&narrow, bytes)), [true, false]);
    let mut small = open();
    small.profile.send_buffer = 200;
    assert_eq!([200, 201].map(|bytes| takes(&small, bytes)), [true, false]);
    let more: [Change; 4] = [
        ("text that is queued", |one| {
            one.tcb.queue.begin_with(Bytes::from(&[1][..]), 1);
        }),
        ("a FIN behind it", |one| one.tcb.flags.insert(Flags::FIN_QUEUED)),
        ("a closing end", |one| one.tcb.state = State::CloseWait),
        ("prediction off", |one| one.profile.header_prediction = false),
    ];
    for (what, change) in NEVER.iter().chain(&more) {
        let mut one = open();
        change(&mut one);
        assert!(!takes(&one, 10), "{what}");
    }
}

#[test]
fn what_is_queued_is_plain_when_it_leaves_as_one_segment() {
    // Octets queued, a FIN behind them, the peer's window, and whether that is plain.
    for (len, fin, wnd, plain) in [
        (10, false, 60_000, true),
        (10, true, 60_000, true),
        (0, true, 60_000, true),
        (0, false, 60_000, false),
        (1000, false, 60_000, true),
        (1001, false, 60_000, false),
        (10, false, 10, true),
        (10, true, 10, false),
        (10, true, 11, true),
        (0, true, 0, false),
    ] {
        for state in [
            State::Established,
            State::CloseWait,
            State::LastAck,
            State::FinWait1,
        ] {
            let mut one = queued(len, fin);
            one.tcb.snd.wnd = wnd;
            one.tcb.state = state;
            assert_eq!(one.tcb.is_plain(), plain, "{len} {fin} {wnd} {state:?}");
        }
    }
    for (what, change) in NEVER {
        let mut one = queued(10, false);
        change(&mut one);
        assert!(!one.tcb.is_plain(), "{what}");
    }
}

/// So many octets queued, and a FIN or not.
fn queued(len: usize, fin: bool) -> Established {
    let mut one = Established::new(profile());
    if len > 0 {
        one.tcb
            .queue
            .begin_with(Bytes::from(&vec![7; len][..]), len as u32);
    }
    if fin {
        one.tcb.flags.insert(Flags::FIN_QUEUED);
    }
    one
}

#[test]
fn plain_text_has_its_timestamps_and_is_asked_about_nothing() {
    let text = |one: &Established| one.tcb.plain_text(&one.profile).map(<[u8]>::len);
    let owing = || {
        let mut one = queued(10, false);
        one.tcb.debts.insert(Debts::TEXT);
        one
    };
    assert_eq!(text(&owing()), Some(10));
    let changes: [Change; 6] = [
        ("no debt", |one| one.tcb.debts = Debts::NONE),
        ("another debt", |one| one.tcb.debts.insert(Debts::KEEPALIVE)),
        ("something outstanding", |one| one.tcb.snd.nxt += 1),
        ("no timestamps", |one| one.tcb.timestamps.enabled = false),
        ("prediction off", |one| one.profile.header_prediction = false),
        ("a model of the path", |one| {
            one.profile.congestion = CongestionKind::Bbr
        }),
    ];
    for (what, change) in changes {
        let mut one = owing();
        change(&mut one);
        assert_eq!(text(&one), None, "{what}");
    }
    let mut with_ack = owing();
    with_ack.tcb.debts.insert(Debts::ACK);
    assert_eq!(text(&with_ack), Some(10));
}

// proves: RFC 9293 MUST-61, RFC 3168 §6.1.4
#[test]
fn a_bare_fin_is_neither_pushed_nor_for_the_network_to_mark() {
    for (len, fin, flags, ect) in [
        (10, false, TcpFlags::ACK | TcpFlags::PSH, true),
        (10, true, TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN, true),
        (0, true, TcpFlags::ACK | TcpFlags::FIN, false),
    ] {
        let mut one = queued(len, fin);
        one.tcb.flags.insert(Flags::ECN);
        one.tcb.debts.insert(Debts::TEXT);
        let sent = one.with(|tcb, env| tcb.send_plain(env));
        assert_eq!((sent.flags, sent.ect), (flags, ect), "{len} {fin}");
    }
}
