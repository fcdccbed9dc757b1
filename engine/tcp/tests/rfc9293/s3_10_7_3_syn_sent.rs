//! §3.10.7.3: SEGMENT ARRIVES in SYN_SENT.

use fourtuple_tcp::{Ending, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, FIN, RST, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

#[test]
fn an_ack_of_something_else_is_answered_with_a_reset() {
    for ack in [0, 2, 100, u32::MAX] {
        for flags in [ACK, SYN | ACK] {
            let mut end = Setup::default().syn_sent();
            let arrival = send!(end, seg(flags).seq(0).ack(ack));
            let reply = arrival.reply.expect("a RST");
            assert_eq!((reply.flags, reply.seq), (RST, end.iss + ack));
            assert_eq!(
                (arrival.verdict, end.state()),
                (Err(DropReason::BadAck), State::SynSent)
            );
            expect_nothing!(end);
        }
    }
}

#[test]
fn a_reset_that_acknowledges_the_syn_refuses() {
    let mut end = Setup::default().syn_sent();
    let arrival = send!(end, seg(RST | ACK).seq(0).ack(1));
    assert_eq!(
        (arrival.ended, end.state()),
        (Some(Ending::Refused), State::Closed)
    );
    expect_nothing!(end);
    assert!(end.tcb.is_closed());
}

#[test]
fn any_other_reset_is_dropped() {
    for reset in [seg(RST).seq(0), seg(RST | ACK).seq(0).ack(2)] {
        let mut end = Setup::default().syn_sent();
        let arrival = send!(end, reset);
        assert!(arrival.verdict.is_err() && arrival.reply.is_none() && arrival.ended.is_none());
        assert_eq!(end.state(), State::SynSent);
    }
}

#[test]
fn a_segment_without_syn_is_dropped() {
    let mut end = Setup::default().syn_sent();
    assert_eq!(
        send!(end, seg(ACK).seq(0).ack(1)).verdict,
        Err(DropReason::BadAck)
    );
    assert_eq!(send!(end, seg(FIN).seq(0)).verdict, Err(DropReason::NoAck));
    assert_eq!(end.state(), State::SynSent);
    expect_nothing!(end);
}

#[test]
fn data_and_fin_with_the_syn_ack_are_taken() {
    let mut end = Setup::default().syn_sent();
    let arrival = send!(end, seg(SYN | ACK | FIN).seq(0).ack(1).mss(1000).text(b"hi"));
    assert!(
        arrival
            .signals
            .contains(Signals::ESTABLISHED | Signals::READABLE | Signals::PEER_CLOSED)
    );
    expect!(end, seg(ACK).seq(1).ack(4));
    assert_eq!((end.read(), end.state()), (b"hi".to_vec(), State::CloseWait));
}

#[test]
fn data_queued_before_goes_out_with_the_ack() {
    let mut end = Setup::default().connecting();
    end.write(b"early");
    expect!(end, seg(SYN).seq(0));
    expect_nothing!(end);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(1).text(b"early"));
    expect_nothing!(end);
}

#[test]
fn a_syn_with_data_is_answered_and_its_data_comes_again() {
    let mut end = Setup::default().syn_sent();
    send!(end, seg(SYN).seq(0).mss(1000).text(b"early"))
        .verdict
        .unwrap();
    expect!(end, seg(SYN | ACK).seq(0).ack(1));
    send!(end, seg(ACK).seq(1).ack(1).text(b"early")).verdict.unwrap();
    assert_eq!(end.read(), b"early");
}
