//! §3.9.2.2: ICMP errors, with the checks of RFC 5927; RFC 1191 and RFC 8201.

use fourtuple_tcp::{Arrival, Ending, PathError, Signals};
use fourtuple_wire::DropReason;

use crate::support::{ACK, End, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

/// An error about the segment at this sequence number, counted from the ISS.
fn error(end: &mut End, what: PathError, seq: u32) -> Arrival {
    let seq = end.iss + seq;
    end.with(|tcb, env| tcb.path_error(what, seq, 536, env))
}

// proves: RFC 9293 MUST-54, SHLD-26
#[test]
fn a_hard_error_ends_an_open_that_is_not_answered() {
    let mut end = Setup::default().syn_sent();
    let arrival = error(&mut end, PathError::Hard, 0);
    End::expect_ended(&arrival, Ending::Refused);
    expect_nothing!(end);
}

// proves: RFC 9293 MUST-56, SHLD-20, RFC 5927 §5.2
#[test]
fn a_soft_error_ends_nothing() {
    let mut end = Setup::default().syn_sent();
    let arrival = error(&mut end, PathError::Soft, 0);
    assert_eq!((arrival.verdict, arrival.ended), (Ok(()), None));
    assert_eq!(end.counters.icmp_errors_soft, 1);
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000))
        .verdict
        .unwrap();
    end.drain();
    end.write_octets(1, 100);
    end.drain();
    for (what, told) in [(PathError::Soft, true), (PathError::Hard, false)] {
        let arrival = error(&mut end, what, 1);
        assert_eq!((arrival.verdict, arrival.ended), (Ok(()), None));
        assert_eq!(arrival.signals.contains(Signals::UNREACHABLE), told, "once");
    }
    // proves: RFC 9293 MUST-47, SHLD-25
    assert!(end.tcb.status(&end.profile, end.now).unreachable);
    send!(end, seg(ACK).seq(1).ack(101)).verdict.unwrap();
    assert!(!end.tcb.status(&end.profile, end.now).unreachable);
}

// proves: RFC 5927 §4.1
#[test]
fn an_error_about_nothing_outstanding_is_ignored() {
    let mut end = Setup::default().syn_sent();
    for seq in [1, 2, 1 << 31, u32::MAX] {
        let arrival = error(&mut end, PathError::Hard, seq);
        assert_eq!(
            (arrival.verdict, arrival.ended),
            (Err(DropReason::IgnoredIcmp), None)
        );
    }
    let mut end = Setup::default().established();
    end.write_octets(1, 3_000);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(1_001)).verdict.unwrap();
    for seq in [1, 1_000, 3_001] {
        let arrival = error(&mut end, PathError::TooBig(600), seq);
        assert_eq!(arrival.verdict, Err(DropReason::IgnoredIcmp), "{seq}");
    }
    expect_nothing!(end);
}

// proves: RFC 1191 §3, RFC 9293 SHLD-6, RFC 1191 §6.4, RFC 8201 §4, §5.4
#[test]
fn what_is_too_large_for_the_path_is_sent_again_at_once_in_smaller_segments() {
    let mut end = Setup::default().established();
    end.write_octets(1, 1_500);
    assert_eq!(end.drain().len(), 2);
    let window = end.tcb.status(&end.profile, end.now).cwnd;
    assert_eq!(error(&mut end, PathError::TooBig(700), 1).verdict, Ok(()));
    expect!(end, seg(ACK).seq(1).octets(700));
    expect!(end, seg(ACK).seq(701).octets(700));
    end.drain();
    // No loss, and so no sign of congestion.
    let status = end.tcb.status(&end.profile, end.now);
    assert_eq!((status.mss, status.cwnd), (700, window));
    // The other of the two was too large as well; the news is old.
    assert_eq!(
        error(&mut end, PathError::TooBig(700), 1_001).verdict,
        Err(DropReason::IgnoredIcmp)
    );
    send!(end, seg(ACK).seq(1).ack(1_501)).verdict.unwrap();
    end.write_octets(1_501, 1_000);
    expect!(end, seg(ACK).seq(1_501).octets(700));
}

// proves: RFC 5927 §7.2, RFC 1191 §3 (no less than every path carries)
#[test]
fn a_size_that_no_path_has_is_taken_for_the_least() {
    let mut end = Setup::default().established();
    end.write_octets(1, 900);
    end.drain();
    assert_eq!(error(&mut end, PathError::TooBig(68), 1).verdict, Ok(()));
    expect!(end, seg(ACK).seq(1).octets(536));
    end.drain();
    assert_eq!(
        error(&mut end, PathError::TooBig(68), 1).verdict,
        Err(DropReason::IgnoredIcmp)
    );
    expect_nothing!(end);
}

#[test]
fn the_timestamps_of_a_segment_are_a_part_of_what_its_path_carries() {
    let mut setup = Setup::default().profile(|profile| profile.timestamps = true);
    setup.peer_syn = seg(SYN).mss(1000).timestamps(1_000, 0);
    let mut end = setup.established();
    end.write_octets(1, 2_000);
    end.drain();
    error(&mut end, PathError::TooBig(700), 1).verdict.unwrap();
    let longest = end.drain().iter().map(|sent| sent.payload.len()).max();
    assert_eq!(longest, Some(688));
}
