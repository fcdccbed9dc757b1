//! RFC 5961 §7: challenge ACKs are limited, per connection.

use crate::send;
use crate::support::{RST, SYN, Setup, seg};

#[test]
fn challenge_acks_are_limited_by_the_second() {
    let mut end = Setup::default()
        .profile(|profile| profile.challenge_acks_per_s = 3)
        .established();
    let challenged = |end: &mut crate::support::End| {
        let mut sent = 0;
        for at in 0..10 {
            let doubtful = if at % 2 == 0 {
                seg(RST).seq(9)
            } else {
                seg(SYN).seq(9)
            };
            assert!(send!(end, doubtful).verdict.is_err());
            sent += end.drain().len();
        }
        sent
    };
    assert_eq!(challenged(&mut end), 3);
    assert_eq!(end.counters.challenge_acks_limited, 7);
    let _ = end.pass(1_000);
    assert_eq!(challenged(&mut end), 3);
}

// proves: RFC 5961 §7
#[test]
fn a_second_is_one_however_its_doubtful_segments_are_spread() {
    let mut end = Setup {
        start: fourtuple_wire::Instant::from_millis(5_000_000),
        ..Setup::default()
    }
    .profile(|profile| profile.challenge_acks_per_s = 3)
    .established();
    let mut sent = Vec::new();
    for _ in 0..20 {
        assert!(send!(end, seg(RST).seq(9)).verdict.is_err());
        sent.push(end.drain().len());
        let _ = end.pass(100);
    }
    let each: [usize; 10] = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(sent, [each, each].concat());
    assert_eq!(end.counters.challenge_acks, 6);
    assert_eq!(end.counters.challenge_acks_limited, 14);
}
