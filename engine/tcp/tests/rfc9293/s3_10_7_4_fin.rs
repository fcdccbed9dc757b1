//! §3.10.7.4, eighth: FIN, in each state.

use fourtuple_tcp::{Ending, Signals, State};

use crate::support::{ACK, FIN, Setup, seg};
use crate::{expect, expect_nothing, send};

#[test]
fn in_established_it_is_acknowledged_and_told() {
    let mut end = Setup::default().established();
    let arrival = send!(end, seg(ACK | FIN).seq(1).ack(1).text(b"last"));
    assert!(arrival.signals.contains(Signals::PEER_CLOSED | Signals::READABLE));
    expect!(end, seg(ACK).seq(1).ack(6));
    assert!(!end.tcb.at_end(), "not before the text was taken");
    assert_eq!(end.read(), b"last");
    assert!(end.tcb.at_end());
    assert_eq!(end.state(), State::CloseWait);
}

#[test]
fn in_fin_wait_1_with_our_fin_acknowledged_it_leads_to_time_wait() {
    let mut end = Setup::default().established();
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    let arrival = send!(end, seg(ACK | FIN).seq(1).ack(2));
    assert_eq!(
        (arrival.ended, end.state()),
        (Some(Ending::TimeWait), State::TimeWait)
    );
    expect!(end, seg(ACK).seq(2).ack(2));
}

#[test]
fn in_fin_wait_1_without_it_leads_to_closing_and_then_to_time_wait() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    let arrival = send!(end, seg(ACK | FIN).seq(1).ack(1));
    assert_eq!((arrival.ended, end.state()), (None, State::Closing));
    expect!(end, seg(ACK).seq(2).ack(2));
    let arrival = send!(end, seg(ACK).seq(2).ack(2));
    assert_eq!(
        (arrival.ended, end.state()),
        (Some(Ending::TimeWait), State::TimeWait)
    );
    expect_nothing!(end);
}

#[test]
fn in_fin_wait_2_it_leads_to_time_wait() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait2);
    let arrival = send!(end, seg(ACK | FIN).seq(1).ack(2));
    assert!(arrival.signals.contains(Signals::PEER_CLOSED));
    assert_eq!(
        (arrival.ended, end.state()),
        (Some(Ending::TimeWait), State::TimeWait)
    );
}

#[test]
fn one_that_comes_again_is_acknowledged_again() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.drain();
    let arrival = send!(end, seg(ACK | FIN).seq(1).ack(1));
    assert!(arrival.verdict.is_err() && arrival.signals.is_empty());
    expect!(end, seg(ACK).seq(1).ack(2));
    assert_eq!(end.state(), State::CloseWait);
}
