//! §3.10.7.4, second: RST.

use fourtuple_tcp::{Ending, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, End, FIN, RST, Setup, passive_record, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 MUST-12
#[test]
fn a_reset_at_rcv_nxt_ends_the_connection_and_is_no_end_of_file() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).text(b"unread"))
        .verdict
        .unwrap();
    end.write(b"unsent");
    let arrival = send!(end, seg(RST).seq(7));
    End::expect_ended(&arrival, Ending::Reset);
    assert!(!arrival.signals.contains(Signals::PEER_CLOSED) && !end.tcb.at_end());
    assert_eq!(end.state(), State::Closed);
    assert!(!end.tcb.has_unread(), "queues are flushed");
    expect_nothing!(end);
    assert_eq!(end.pools.in_use(), fourtuple_tcp::PoolsInUse::default());
}

// proves: RFC 9293 SHLD-2
#[test]
fn a_reset_may_hold_text_which_nobody_reads() {
    let mut end = Setup::default().established();
    let arrival = send!(end, seg(RST | ACK).seq(1).ack(1).text(b"because"));
    End::expect_ended(&arrival, Ending::Reset);
    assert!(!arrival.signals.contains(Signals::READABLE) && !end.tcb.has_unread());
    assert_eq!(end.pools.in_use(), fourtuple_tcp::PoolsInUse::default());
}

// proves: RFC 5961 §3.2
#[test]
fn a_reset_elsewhere_in_the_window_is_challenged() {
    for seq in [2, 50, 60_000] {
        let mut end = Setup::default().established();
        let arrival = send!(end, seg(RST).seq(seq));
        assert_eq!(arrival.verdict, Err(DropReason::ChallengedReset), "{seq}");
        expect!(end, seg(ACK).seq(1).ack(1));
        assert_eq!(end.state(), State::Established);
    }
}

#[test]
fn a_reset_outside_the_window_is_dropped_in_silence() {
    for seq in [0, 60_001, u32::MAX] {
        let mut end = Setup::default().established();
        assert_eq!(
            send!(end, seg(RST).seq(seq)).verdict,
            Err(DropReason::OutOfWindow),
            "{seq}"
        );
        expect_nothing!(end);
        assert_eq!(end.state(), State::Established);
    }
}

#[test]
fn a_reset_in_syn_received_of_an_active_open_refuses() {
    let mut end = Setup::default().syn_received();
    End::expect_ended(&send!(end, seg(RST).seq(1)), Ending::Refused);
}

#[test]
fn a_reset_is_told_in_each_state_that_may_lose_by_it() {
    let half_closed = |end: &mut End| {
        end.shutdown();
        end.drain();
    };
    let closed_by_peer = |end: &mut End| {
        send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
        end.drain();
    };
    let mut end = Setup::default().established();
    half_closed(&mut end);
    End::expect_ended(&send!(end, seg(RST).seq(1)), Ending::Reset);

    let mut end = Setup::default().established();
    closed_by_peer(&mut end);
    End::expect_ended(&send!(end, seg(RST).seq(2)), Ending::Reset);

    let mut end = Setup::default().established();
    closed_by_peer(&mut end);
    half_closed(&mut end);
    assert_eq!(end.state(), State::LastAck);
    End::expect_ended(&send!(end, seg(RST).seq(2)), Ending::Closed);

    let mut end = Setup::default().established();
    closed_by_peer(&mut end);
    end.write(b"the last words");
    half_closed(&mut end);
    End::expect_ended(&send!(end, seg(RST).seq(2)), Ending::Reset);
}

// proves: RFC 9293 MUST-11
#[test]
fn a_reset_in_syn_received_of_a_passive_open_is_no_refusal() {
    let setup = Setup::default();
    let record = passive_record(&setup);
    let mut end = setup.accepted();
    end.tcb = end.with(|_, env| record.establish(env));
    assert_eq!(end.state(), State::SynReceived);
    End::expect_ended(&send!(end, seg(RST).seq(1)), Ending::Reset);
    assert_eq!(end.counters.resets_in, 1);
}
