//! §3.8.1 and §3.8.3: retransmission, R1, R2, the user timeout (RFC 5482).

use std::time::Duration;

use fourtuple_tcp::{Ending, Signals};

use crate::support::{ACK, End, FIN, RST, Setup, seg};
use crate::{expect, send};

/// Fires until the end; the time it took, and how often the segment went out again.
fn until_given_up(end: &mut End) -> (Duration, usize, bool) {
    let (start, mut again, mut r1) = (end.now, 0, false);
    loop {
        let arrival = end.fire();
        r1 |= arrival.signals.contains(Signals::R1_EXCEEDED);
        if let Some(ended) = arrival.ended {
            assert_eq!(ended, Ending::TimedOut);
            return (end.now.since(start), again, r1);
        }
        again += end.drain().len();
    }
}

// proves: RFC 9293 MUST-20, MUST-21, SHLD-9
#[test]
fn r1_is_told_and_r2_ends_the_connection() {
    let mut end = Setup::default()
        .profile(|profile| profile.r2 = Duration::from_secs(200))
        .established();
    end.write(b"nobody answers");
    end.drain();
    let (lasted, again, r1) = until_given_up(&mut end);
    assert_eq!(lasted.as_secs(), 200);
    assert!(again > 5 && r1);
    expect!(end, seg(RST | ACK));
    assert!(end.tcb.is_closed());
    end.expect_pools_whole();
}

#[test]
fn r1_comes_after_three_retransmissions() {
    let mut end = Setup::default().established();
    end.write(b"x");
    end.drain();
    let told: Vec<_> = (0..5)
        .map(|_| end.fire().signals.contains(Signals::R1_EXCEEDED))
        .collect();
    assert_eq!(told, [false, false, true, false, false]);
}

// proves: RFC 5482
#[test]
fn a_user_timeout_takes_the_place_of_r2() {
    let timeout = Some(Duration::from_millis(2_500));
    let mut end = Setup::default()
        .profile(|profile| profile.user_timeout = timeout)
        .established();
    end.write(b"x");
    end.drain();
    let (lasted, _, _) = until_given_up(&mut end);
    assert!((2_500..2_510).contains(&lasted.as_millis()), "{lasted:?}");
}

#[test]
fn a_lost_fin_is_retransmitted_with_the_text_before_it() {
    let mut end = Setup::default().established();
    end.write(b"end");
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(1).text(b"end"));
    let _ = end.fire();
    let again = expect!(end, seg(ACK | FIN).seq(1).text(b"end"));
    assert!(again.retransmission);
    send!(end, seg(ACK).seq(1).ack(4)).verdict.unwrap();
    let _ = end.fire();
    expect!(end, seg(ACK | FIN).seq(4));
}
