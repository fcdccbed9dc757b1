//! §3.10.7.4, first: the sequence number.

use fourtuple_tcp::State;
use fourtuple_wire::DropReason;

use crate::support::{ACK, FIN, RST, Setup, seg};
use crate::{expect, expect_nothing, send};

/// A receive window of 100 octets: 1..101.
fn narrow() -> Setup {
    Setup::default().profile(|profile| profile.receive_buffer = 100)
}

#[test]
fn the_four_cases_of_the_acceptability_test() {
    let unacceptable = [(0, 0), (101, 0), (0, 1), (101, 1), (200, 10)];
    for (seq, len) in unacceptable {
        let mut end = narrow().established();
        let arrival = send!(end, seg(ACK).seq(seq).ack(1).octets(len));
        assert!(arrival.verdict.is_err(), "{seq} {len}");
        expect!(end, seg(ACK).seq(1).ack(1));
        expect_nothing!(end);
    }
    for (seq, len) in [(1, 0), (100, 0), (1, 1), (100, 1), (0, 2), (100, 50)] {
        let mut end = narrow().established();
        let arrival = send!(end, seg(ACK).seq(seq).ack(1).octets(len));
        assert_eq!(arrival.verdict, Ok(()), "{seq} {len}");
    }
}

#[test]
fn what_lies_outside_the_window_is_cut_off() {
    let mut end = narrow().established();
    send!(end, seg(ACK | FIN).seq(0).ack(1).octets(200))
        .verdict
        .unwrap();
    let read = end.read();
    assert_eq!(read, (1..=100u8).collect::<Vec<_>>());
    assert_eq!(end.state(), State::Established, "the FIN lies outside");
}

#[test]
fn a_segment_that_came_before_is_acknowledged_again() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    assert_eq!(
        send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict,
        Err(DropReason::Duplicate)
    );
    expect!(end, seg(ACK).seq(1).ack(11));
    assert_eq!(end.read().len(), 10);
}

#[test]
fn an_overlap_is_delivered_once() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
    send!(end, seg(ACK).seq(5).ack(1).octets(20)).verdict.unwrap();
    assert_eq!(end.read(), (1..25u8).collect::<Vec<_>>());
}

// proves: RFC 9293 MUST-66
#[test]
fn a_zero_window_heeds_ack_and_reset_and_no_text() {
    let mut end = narrow().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(100)).verdict.unwrap();
    end.write(b"abc");
    expect!(end, seg(ACK).seq(1).ack(101).window(0).text(b"abc"));
    let arrival = send!(end, seg(ACK).seq(101).ack(4).octets(10));
    assert!(
        arrival.signals.contains(fourtuple_tcp::Signals::WRITABLE),
        "the ACK counts"
    );
    assert_eq!(
        end.tcb.status(&end.profile, end.now).unread,
        100,
        "the text does not"
    );
    expect!(end, seg(ACK).seq(4).ack(101).window(0));
    let arrival = send!(end, seg(RST).seq(101));
    assert_eq!(arrival.ended, Some(fourtuple_tcp::Ending::Reset));
}

#[test]
fn bare_acks_outside_the_window_do_not_make_two_ends_talk_for_ever() {
    let mut end = Setup::default().established();
    let mut answered = 0;
    for _ in 0..100 {
        assert!(send!(end, seg(ACK).seq(0).ack(1)).verdict.is_err());
        answered += end.drain().len();
    }
    assert_eq!(answered, usize::from(end.profile.challenge_acks_per_s));
}

#[test]
fn a_fin_behind_text_that_came_before_is_taken_and_one_within_it_is_not() {
    for (seq, len, state) in [
        (1, 10, State::CloseWait),
        (1, 9, State::Established),
        (5, 6, State::CloseWait),
        (5, 20, State::CloseWait),
    ] {
        let mut end = Setup::default().established();
        send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
        let _ = send!(end, seg(ACK | FIN).seq(seq).ack(1).octets(len));
        assert_eq!(end.state(), state, "{seq} {len}");
    }
}

#[test]
fn a_fin_at_the_right_edge_is_taken_and_one_behind_it_is_not() {
    for (len, state) in [(99, State::CloseWait), (100, State::Established)] {
        let mut end = narrow().established();
        send!(end, seg(ACK | FIN).seq(1).ack(1).octets(len))
            .verdict
            .unwrap();
        assert_eq!((end.read().len(), end.state()), (len, state));
    }
}

#[test]
fn what_is_unacceptable_is_told_from_what_came_before() {
    for (segment, reason, duplicates) in [
        (seg(ACK).seq(0).ack(1), DropReason::OutOfWindow, 0),
        (seg(ACK).seq(5).ack(1), DropReason::OutOfWindow, 0),
        (seg(ACK).seq(200).ack(1).octets(10), DropReason::OutOfWindow, 0),
        (seg(ACK).seq(1).ack(1).octets(10), DropReason::Duplicate, 1),
        (seg(ACK).seq(3).ack(1).octets(8), DropReason::Duplicate, 1),
    ] {
        let mut end = narrow().established();
        send!(end, seg(ACK).seq(1).ack(1).octets(10)).verdict.unwrap();
        assert_eq!(send!(end, segment.clone()).verdict, Err(reason), "{segment:?}");
        assert_eq!(end.counters.duplicates_in, duplicates, "{segment:?}");
    }
}

/// Else two ends with closed windows would answer each other for ever.
#[test]
fn a_bare_ack_before_a_closed_window_is_not_answered() {
    let mut end = narrow().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(100)).verdict.unwrap();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(1).ack(101).window(0));
    send!(end, seg(ACK).seq(101).ack(1)).verdict.unwrap();
    expect_nothing!(end);
    let _ = send!(end, seg(ACK).seq(101).ack(1).octets(1));
    expect!(end, seg(ACK).seq(1).ack(101).window(0));
}
