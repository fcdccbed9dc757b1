//! §3.6: closing, half-closed connections, TIME_WAIT, orphans.

use fourtuple_tcp::{Ending, State};

use crate::support::{ACK, End, FIN, RST, Setup, seg};
use crate::{expect, expect_nothing, send};

#[test]
fn an_orderly_release_from_this_end_delivers_everything_first() {
    let mut end = Setup::default().established();
    end.write_octets(1, 2_500);
    end.close();
    assert_eq!(end.state(), State::FinWait1);
    expect!(end, seg(ACK).seq(1).octets(1_000));
    expect!(end, seg(ACK).seq(1_001).octets(1_000));
    expect!(end, seg(ACK | FIN).seq(2_001).octets(500));
    send!(end, seg(ACK).seq(1).ack(2_501)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait1, "the FIN is not acknowledged");
    send!(end, seg(ACK).seq(1).ack(2_502)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait2);
    End::expect_ended(&send!(end, seg(ACK | FIN).seq(1).ack(2_502)), Ending::TimeWait);
    expect!(end, seg(ACK).seq(2_502).ack(2));
}

#[test]
fn an_orderly_release_from_the_other_end_needs_no_time_wait() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.drain();
    end.close();
    assert_eq!(end.state(), State::LastAck);
    expect!(end, seg(ACK | FIN).seq(1).ack(2));
    End::expect_ended(&send!(end, seg(ACK).seq(2).ack(2)), Ending::Closed);
    assert!(end.tcb.is_closed());
}

// proves: RFC 9293 MAY-1 (half-closed, both ways round)
#[test]
fn a_half_closed_connection_goes_on_receiving() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    // FIN_WAIT_2 without a close of the application has no bound.
    assert_eq!(end.pass(24 * 3600 * 1000).ended, None);
    send!(end, seg(ACK).seq(1).ack(2).text(b"still here"))
        .verdict
        .unwrap();
    assert_eq!(end.read(), b"still here");
    assert_eq!(end.state(), State::FinWait2);
}

#[test]
fn a_half_closed_connection_goes_on_sending() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    expect!(end, seg(ACK).seq(1).ack(2));
    end.write(b"answer");
    expect!(end, seg(ACK).seq(1).ack(2).text(b"answer"));
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(7).ack(2));
    End::expect_ended(&send!(end, seg(ACK).seq(2).ack(8)), Ending::Closed);
}

#[test]
fn fin_wait_2_of_an_orphan_is_bounded() {
    let mut end = Setup::default().established();
    end.close();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    let start = end.now;
    End::expect_ended(&end.pass(100_000), Ending::TimedOut);
    assert_eq!(end.now.since(start).as_millis(), 60_001);
    assert_eq!(end.counters.fin_wait_2_timeouts, 1);
    assert!(end.tcb.is_closed());
}

#[test]
fn close_after_a_half_close_bounds_fin_wait_2_too() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    end.close();
    End::expect_ended(&end.pass(100_000), Ending::TimedOut);
}

// proves: RFC 9293 SHLD-3, RFC 2525 §2.17
#[test]
fn closing_upon_unread_data_aborts() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).text(b"unread"))
        .verdict
        .unwrap();
    end.close();
    expect!(end, seg(RST | ACK).seq(1).ack(7));
    assert!(end.tcb.is_closed());
    assert_eq!(end.counters.unread_aborts, 1);
}

#[test]
fn an_orphan_without_progress_is_reset_after_a_minute() {
    let mut end = Setup::default().window(0).established();
    end.write(b"nobody takes it");
    end.close();
    let start = end.now;
    let mut ended = None;
    while ended.is_none() {
        ended = end.fire().ended;
        // The peer answers each probe; for an orphan that is not progress.
        if ended.is_none() && !end.drain().is_empty() {
            send!(end, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
        }
    }
    assert_eq!(ended, Some(Ending::TimedOut));
    assert_eq!(end.now.since(start).as_secs(), 60);
    expect!(end, seg(RST | ACK));
    assert_eq!(end.counters.orphan_timeouts, 1);
}

// proves: RFC 9293 MUST-13
#[test]
fn time_wait_lasts_two_segment_lifetimes_and_begins_again_with_the_fin() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK | FIN).seq(1).ack(2)).ended.unwrap();
    end.drain();
    assert_eq!(end.next_deadline_ms(), 60_001);
    assert_eq!(end.pass(40_000).ended, None);
    assert!(send!(end, seg(ACK | FIN).seq(1).ack(2)).verdict.is_err());
    expect!(end, seg(ACK).seq(2).ack(2));
    assert_eq!(end.next_deadline_ms(), 60_001);
    let _ = end.pass(60_000);
    assert_eq!(end.state(), State::TimeWait);
    assert_eq!(end.pass(1).ended, None, "its end was told before");
    assert!(end.tcb.is_closed());
}

// proves: RFC 9293 §3.10.3
#[test]
fn what_was_received_stays_readable_after_the_end() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1).text(b"last words"))
        .verdict
        .unwrap();
    end.shutdown();
    end.drain();
    End::expect_ended(&send!(end, seg(ACK).seq(12).ack(2)), Ending::Closed);
    assert_eq!(end.read(), b"last words");
    assert!(end.tcb.at_end());
}

#[test]
fn the_compact_record_waits_for_the_application() {
    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK | FIN).seq(1).ack(2).text(b"unread"))
        .ended
        .unwrap();
    assert!(
        end.with(|tcb, env| tcb.time_wait(env)).is_none(),
        "an ACK is owed"
    );
    end.drain();
    assert!(
        end.with(|tcb, env| tcb.time_wait(env)).is_none(),
        "something is unread"
    );
    end.read();
    end.drain();
    let record = end
        .with(|tcb, env| tcb.time_wait(env))
        .expect("nothing is in its way");
    assert_eq!(record.deadline(end.now), end.tcb.deadline(end.now));
}

#[test]
fn a_zero_window_does_not_keep_a_lone_fin_back_for_ever() {
    let mut end = Setup::default().window(0).established();
    end.shutdown();
    expect_nothing!(end);
    let _ = end.fire();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    send!(end, seg(ACK).seq(1).ack(2).window(0)).verdict.unwrap();
    assert_eq!(end.state(), State::FinWait2);
}

// proves: RFC 9293 SHLD-3
#[test]
fn what_the_application_still_holds_keeps_no_peer_waiting_after_a_close() {
    let mut end = Setup::default()
        .profile(|profile| profile.receive_buffer = 4_000)
        .established();
    send!(end, seg(ACK).seq(1).ack(1).octets(4_000)).verdict.unwrap();
    let _ = end.fire();
    expect!(end, seg(ACK).ack(4_001).window(0));
    let chunk = end.with(|tcb, env| tcb.receive(env)).expect("text");
    end.close();
    expect!(end, seg(FIN | ACK).seq(1).ack(4_001).window(4_000));
    // Whenever it comes home.
    let space = fourtuple_wire::Received::space(&chunk);
    drop(chunk);
    end.with(|tcb, env| tcb.release(space, env));
    expect_nothing!(end);
    // The peer sends what it has, and learns that nobody is there.
    let arrival = send!(end, seg(ACK).seq(4_001).ack(2).octets(100));
    End::expect_ended(&arrival, Ending::Aborted);
    expect!(end, seg(RST | ACK).seq(2));
    end.expect_pools_whole();
}

#[test]
fn an_orphan_in_fin_wait_2_has_the_time_of_that_state() {
    let mut end = Setup::default()
        .profile(|profile| {
            profile.orphan_timeout = std::time::Duration::from_secs(60);
            profile.fin_wait_2_timeout = std::time::Duration::from_secs(5);
        })
        .established();
    end.close();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    send!(end, seg(ACK).seq(1).ack(2)).verdict.unwrap();
    assert_eq!((end.state(), end.next_deadline_ms()), (State::FinWait2, 5_001));
    assert_eq!(end.fire().ended, Some(Ending::TimedOut));
    assert_eq!(end.counters.fin_wait_2_timeouts, 1);
}
