//! Options that change while a connection lives.

use std::time::Duration;

use fourtuple_tcp::{Ending, KeepAlive, Profile};

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

fn change(end: &mut End, change: impl FnOnce(&mut Profile)) {
    let before = end.profile.receive_buffer;
    change(&mut end.profile);
    end.with(|tcb, env| tcb.options_changed(before, env));
}

// proves: RFC 9293 MUST-17
#[test]
fn switching_nagle_off_sends_what_it_held() {
    let mut end = Setup::default()
        .profile(|profile| profile.nodelay = false)
        .established();
    end.write_octets(1, 10);
    expect!(end, seg(ACK).seq(1).len(10));
    end.write_octets(11, 10);
    expect_nothing!(end);
    change(&mut end, |profile| profile.nodelay = true);
    expect!(end, seg(ACK).seq(11).len(10));
}

// proves: RFC 9293 MUST-21, RFC 5482 §3
#[test]
fn a_user_timeout_holds_for_what_is_outstanding_already() {
    let mut end = Setup::default().established();
    end.write_octets(1, 10);
    end.drain();
    change(&mut end, |profile| {
        profile.user_timeout = Some(Duration::from_secs(3))
    });
    let start = end.now;
    let told = loop {
        let told = end.fire();
        end.drain();
        if told.ended.is_some() {
            break told;
        }
    };
    End::expect_ended(&told, Ending::TimedOut);
    let after = end.now.since(start);
    assert!((2_900..3_100).contains(&after.as_millis()), "{after:?}");
}

#[test]
fn a_longer_user_timeout_spares_a_connection() {
    let mut end = Setup::default()
        .profile(|profile| profile.user_timeout = Some(Duration::from_secs(3)))
        .established();
    end.write_octets(1, 10);
    end.drain();
    let _ = end.pass(2_500);
    end.drain();
    change(&mut end, |profile| {
        profile.user_timeout = Some(Duration::from_secs(60))
    });
    for _ in 0..3 {
        assert_eq!(end.fire().ended, None);
        end.drain();
    }
    send!(end, seg(ACK).seq(1).ack(11)).verdict.unwrap();
}

// proves: RFC 9293 MUST-24, MUST-27
#[test]
fn keep_alive_is_switched_on_and_off() {
    let mut end = Setup::default().established();
    let keepalive = KeepAlive::new(Duration::from_secs(5), Duration::from_secs(1), 2);
    change(&mut end, |profile| profile.keepalive = Some(keepalive));
    let _ = end.pass(5_001);
    expect!(end, seg(ACK).seq(0).ack(1));
    change(&mut end, |profile| profile.keepalive = None);
    assert_eq!(end.pass(100_000).ended, None);
    expect_nothing!(end);
}

#[test]
fn a_clamp_makes_segments_smaller_and_a_larger_buffer_the_window_wider() {
    let mut end = Setup::default().established();
    change(&mut end, |profile| profile.mss_clamp = Some(400));
    end.write_octets(1, 1_000);
    expect!(end, seg(ACK).seq(1).len(400));
    let window = end.tcb.status(&end.profile, end.now).receive_window;
    change(&mut end, |profile| profile.receive_buffer = 10 * 60_000);
    end.drain();
    assert!(end.tcb.status(&end.profile, end.now).receive_window > window);
}

#[test]
fn an_option_that_has_nothing_to_do_with_windows_sends_nothing() {
    // More than the window of a SYN+ACK can say.
    let mut setup = Setup::default().profile(|profile| profile.receive_buffer = 300_000);
    setup.profile.window_scaling = true;
    setup.peer_syn = seg(SYN).mss(1000).window_scale(7);
    let mut end = setup.accepted();
    change(&mut end, |profile| profile.nodelay = !profile.nodelay);
    change(&mut end, |profile| profile.send_buffer *= 2);
    expect_nothing!(end);
    change(&mut end, |profile| profile.receive_buffer = 600_000);
    expect!(end, seg(ACK).seq(1).ack(1));
}

#[test]
fn a_clamp_from_the_start_is_announced() {
    let mut setup = Setup::default();
    setup.profile.mss_clamp = Some(500);
    let mut end = setup.connecting();
    assert_eq!(end.poll().unwrap().header.options.mss, Some(500));
}
