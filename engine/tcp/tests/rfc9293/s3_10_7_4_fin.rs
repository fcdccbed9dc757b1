//! §3.10.7.4, eighth: FIN, in each state.

use fourtuple_tcp::{Ending, PoolSizes, PoolsInUse, Signals, State};

use crate::support::{ACK, FIN, POOLS, Setup, seg};
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

#[test]
fn one_in_order_needs_no_memory() {
    let pools = PoolSizes {
        reassemblies: 0,
        ..POOLS
    };
    let mut end = Setup {
        pools,
        ..Setup::default()
    }
    .established();
    send!(end, seg(ACK | FIN).seq(1).ack(1).text(b"last"))
        .verdict
        .unwrap();
    assert_eq!((end.state(), end.counters.pool_empty), (State::CloseWait, 0));
}

#[test]
fn nothing_stands_behind_one() {
    let mut end = Setup::default().established();
    // Text that waits beyond where the peer ends, which no honest one sends.
    send!(end, seg(ACK).seq(21).ack(1).octets(10)).verdict.unwrap();
    end.drain();
    assert_eq!(end.pools.in_use().receive_chunks, 1);
    send!(end, seg(ACK | FIN).seq(1).ack(1).octets(10))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(1).ack(12));
    assert_eq!((end.state(), end.read().len()), (State::CloseWait, 10));
    let (status, in_use) = (end.tcb.status(&end.profile, end.now), end.pools.in_use());
    assert_eq!((status.charged, in_use), (0, PoolsInUse::default()));
    // Nor is a second one remembered.
    let _ = send!(end, seg(ACK | FIN).seq(50).ack(1));
    assert_eq!(end.pools.in_use(), PoolsInUse::default());
    assert_eq!(end.state(), State::CloseWait);
}
