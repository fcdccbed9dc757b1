//! §3.10.7.4, fourth: SYN.

use fourtuple_tcp::State;
use fourtuple_wire::DropReason;

use crate::support::{ACK, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

// proves: RFC 5961 §4.2
#[test]
fn a_syn_in_a_synchronised_state_is_challenged() {
    for segment in [seg(SYN).seq(1), seg(SYN | ACK).seq(1).ack(1), seg(SYN).seq(500)] {
        let mut end = Setup::default().established();
        assert_eq!(send!(end, segment).verdict, Err(DropReason::ChallengedSyn));
        expect!(end, seg(ACK).seq(1).ack(1));
        expect_nothing!(end);
        assert_eq!(end.state(), State::Established);
    }
}

#[test]
fn a_syn_outside_the_window_is_answered_with_an_ack_too() {
    let mut end = Setup::default().established();
    assert!(send!(end, seg(SYN).seq(0)).verdict.is_err());
    expect!(end, seg(ACK).seq(1).ack(1));
    assert_eq!(end.state(), State::Established);
}

#[test]
fn a_syn_within_the_window_of_syn_received_is_challenged() {
    let mut end = Setup::default().syn_received();
    assert_eq!(
        send!(end, seg(SYN).seq(10)).verdict,
        Err(DropReason::ChallengedSyn)
    );
    expect!(end, seg(ACK).seq(1).ack(1));
    assert_eq!(end.state(), State::SynReceived);
}
