//! §3.8.4: keep-alive.

use std::time::Duration;

use fourtuple_tcp::{Ending, KeepAlive, State};
use fourtuple_wire::Instant;

use crate::support::{ACK, End, FIN, RST, Setup, seg};
use crate::{expect, expect_nothing, send};

const KEEPALIVE: KeepAlive = KeepAlive::new(Duration::from_secs(10), Duration::from_secs(2), 3);

fn setup() -> Setup {
    Setup::default().profile(|profile| profile.keepalive = Some(KEEPALIVE))
}

// proves: RFC 9293 MUST-25
#[test]
fn it_is_off_by_default() {
    let end = Setup::default().established();
    assert_eq!(end.tcb.deadline(end.now), Instant::FAR_FUTURE);
}

// proves: RFC 9293 MAY-5, MUST-24, MUST-26, MUST-27, SHLD-12
#[test]
fn an_idle_connection_is_probed_and_an_answer_suffices() {
    let mut end = setup().established();
    let _ = end.pass(9_000);
    send!(end, seg(ACK).seq(1).ack(1).octets(1)).verdict.unwrap();
    let _ = end.pass(9_999);
    end.drain();
    assert_eq!(
        end.counters.keepalive_probes, 0,
        "what arrives restarts the idle time"
    );
    let _ = end.pass(2);
    expect!(end, seg(ACK).seq(0).ack(2));
    send!(end, seg(ACK).seq(2).ack(1)).verdict.unwrap();
    let _ = end.pass(9_999);
    expect_nothing!(end);
}

// proves: RFC 9293 MUST-29
#[test]
fn unanswered_probes_end_it_but_not_the_first() {
    let mut end = setup().established();
    for probe in 0..3 {
        assert_eq!(end.fire().ended, None, "{probe}");
        expect!(end, seg(ACK).seq(0).ack(1));
    }
    End::expect_ended(&end.fire(), Ending::TimedOut);
    expect!(end, seg(RST | ACK));
    assert_eq!(end.counters.keepalive_timeouts, 1);
}

#[test]
fn a_peer_that_rebooted_answers_with_a_reset() {
    let mut end = setup().established();
    let _ = end.fire();
    expect!(end, seg(ACK).seq(0).ack(1));
    End::expect_ended(&send!(end, seg(RST).seq(1)), Ending::Reset);
}

#[test]
fn a_probe_of_the_peer_is_answered() {
    let mut end = Setup::default().established();
    assert!(send!(end, seg(ACK).seq(0).ack(1)).verdict.is_err());
    expect!(end, seg(ACK).seq(1).ack(1));
}

// proves: RFC 9293 MAY-5
#[test]
fn a_half_closed_connection_is_probed_and_not_ended() {
    let mut end = setup().established();
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait2);
    for _ in 0..3 {
        assert_eq!(end.fire().ended, None);
        expect!(end, seg(ACK).seq(1).ack(1));
        send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    }
    assert_eq!(end.state(), State::FinWait2);
    assert_eq!(end.counters.fin_wait_2_timeouts, 0);
}

#[test]
fn it_has_no_part_in_a_connection_that_was_closed() {
    let deadlines = |setup: Setup| {
        let mut end = setup.established();
        end.close();
        end.drain();
        let mut all = Vec::new();
        for segment in [
            seg(ACK).seq(1).ack(2),
            seg(ACK).seq(1).ack(2),
            seg(ACK | FIN).seq(1).ack(2),
            seg(ACK | FIN).seq(1).ack(2),
        ] {
            let _ = end.pass(50);
            let _ = send!(end, segment);
            end.drain();
            all.push((end.state(), end.next_deadline_ms()));
        }
        all
    };
    assert_eq!(deadlines(setup()), deadlines(Setup::default()));
}
