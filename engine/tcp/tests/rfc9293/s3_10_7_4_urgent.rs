//! §3.10.7.4, sixth, and §3.8.5: urgent data.

use fourtuple_tcp::Signals;

use crate::support::{ACK, Setup, URG, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 9293 MUST-30, MUST-31, MUST-32, MUST-33, MUST-62
#[test]
fn urgent_data_is_told_with_how_much_is_ahead_and_delivered_in_line() {
    let mut end = Setup::default().established();
    let arrival = send!(end, seg(ACK | URG).seq(1).ack(1).urgent(30).octets(10));
    assert!(arrival.signals.contains(Signals::URGENT));
    assert_eq!(
        end.tcb.urgent_ahead(&end.pools),
        Some(30),
        "the pointer may be ahead of the text"
    );
    assert_eq!(end.read().len(), 10);
    assert_eq!(end.tcb.urgent_ahead(&end.pools), Some(20));
    let arrival = send!(end, seg(ACK | URG).seq(11).ack(1).urgent(20).octets(20));
    assert!(
        !arrival.signals.contains(Signals::URGENT),
        "it is the same pointer"
    );
    assert_eq!(end.read().len(), 20);
    assert_eq!(end.tcb.urgent_ahead(&end.pools), None);
}

#[test]
fn a_pointer_that_moves_on_is_told_again_and_one_that_goes_back_is_not() {
    let mut end = Setup::default().established();
    assert!(
        send!(end, seg(ACK | URG).seq(1).ack(1).urgent(5))
            .signals
            .contains(Signals::URGENT)
    );
    assert!(
        !send!(end, seg(ACK | URG).seq(1).ack(1).urgent(3))
            .signals
            .contains(Signals::URGENT)
    );
    assert!(
        send!(end, seg(ACK | URG).seq(1).ack(1).urgent(u16::MAX))
            .signals
            .contains(Signals::URGENT)
    );
}

#[test]
fn a_pointer_that_was_passed_is_forgotten() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | URG).seq(1).ack(1).urgent(5).octets(10))
        .verdict
        .unwrap();
    assert_eq!(end.pools.in_use().asides, 1);
    assert_eq!(end.read().len(), 10);
    assert_eq!(end.pools.in_use().asides, 0);
}

/// RFC 9293 §3.7.4: Nagle's algorithm is passed by urgent data of ours, not of the peer's.
#[test]
fn what_the_peer_has_to_say_hurries_nothing_of_ours() {
    let mut end = Setup::default()
        .profile(|profile| profile.nodelay = false)
        .established();
    send!(end, seg(ACK | URG).seq(1).ack(1).urgent(500))
        .verdict
        .unwrap();
    end.write(b"a");
    expect!(end, seg(ACK).seq(1).text(b"a"));
    end.write(b"b");
    expect_nothing!(end);
}
