//! §3.10.7.4, fifth: ACK, and the send window.

use fourtuple_tcp::{Ending, Signals, State};
use fourtuple_wire::DropReason;

use crate::support::{ACK, FIN, RST, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

#[test]
fn a_segment_without_ack_is_dropped() {
    let mut end = Setup::default().established();
    assert_eq!(
        send!(end, seg(FIN).seq(1).octets(3)).verdict,
        Err(DropReason::NoAck)
    );
    expect_nothing!(end);
}

#[test]
fn an_ack_of_the_syn_is_needed_in_syn_received() {
    for ack in [0, 2] {
        let mut end = Setup::default().syn_received();
        let arrival = send!(end, seg(ACK).seq(1).ack(ack));
        let reply = arrival.reply.expect("a RST");
        assert_eq!((reply.flags, reply.seq), (RST, end.iss + ack));
        assert_eq!(end.state(), State::SynReceived);
    }
}

#[test]
fn acknowledged_octets_leave_the_queue_and_make_room() {
    let mut end = Setup::default()
        .profile(|profile| profile.send_buffer = 10)
        .established();
    end.write(b"0123456789");
    expect!(end, seg(ACK).seq(1).ack(1).text(b"0123456789"));
    assert!(end.try_write(b"x").is_err());
    let arrival = send!(end, seg(ACK).seq(1).ack(5));
    assert_eq!(arrival.signals, Signals::WRITABLE);
    assert_eq!(end.tcb.send_room(&end.profile, &end.pools), 4);
    assert!(end.try_write(b"x").is_ok());
}

// proves: RFC 5961 §5.2, RFC 9293 MAY-12
#[test]
fn an_ack_of_what_was_never_sent_or_is_too_old_is_challenged() {
    for ack in [2, 1_000_000, u32::MAX - 60_000] {
        let mut end = Setup::default().established();
        assert_eq!(
            send!(end, seg(ACK).seq(1).ack(ack).octets(5)).verdict,
            Err(DropReason::BadAck),
            "{ack}"
        );
        expect!(end, seg(ACK).seq(1).ack(1));
        assert!(end.read().is_empty());
    }
}

#[test]
fn an_old_ack_within_the_window_is_ignored_and_its_text_taken() {
    let mut end = Setup::default().established();
    assert_eq!(send!(end, seg(ACK).seq(1).ack(0).octets(5)).verdict, Ok(()));
    assert_eq!(end.read().len(), 5);
}

#[test]
fn the_window_follows_only_newer_segments() {
    let window = |end: &crate::support::End| end.tcb.status(&end.profile, end.now).send_window;
    let mut end = Setup::default().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10).window(500))
        .verdict
        .unwrap();
    assert_eq!(window(&end), 500);
    send!(end, seg(ACK).seq(21).ack(1).octets(10).window(700))
        .verdict
        .unwrap();
    assert_eq!(window(&end), 700, "a later segment, though out of order");
    send!(end, seg(ACK).seq(11).ack(1).octets(10).window(600))
        .verdict
        .unwrap();
    assert_eq!(window(&end), 700, "an earlier one");
}

// proves: RFC 9293 MUST-34, SHLD-15
#[test]
fn a_shrinking_window_is_survived_and_nothing_new_is_sent_into_it() {
    let mut end = Setup::default().established();
    end.write_octets(1, 5_000);
    assert_eq!(end.drain().len(), 5);
    end.write_octets(5_001, 1_000);
    assert_eq!(end.drain().len(), 1);
    end.write_octets(6_001, 1_000);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(1_001).window(1_000))
        .verdict
        .unwrap();
    end.write_octets(7_001, 1_000);
    expect_nothing!(end);
    send!(end, seg(ACK).seq(1).ack(7_001).window(1_000))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(7_001).octets(1_000));
}

// proves: RFC 5681 §2 (what is a duplicate acknowledgment)
#[test]
fn only_an_ack_that_says_nothing_else_is_a_duplicate() {
    let sending = |window| {
        let mut end = Setup::default().window(window).established();
        end.write_octets(1, 3_000);
        if window == 0 {
            let _ = end.fire();
        }
        assert!(!end.drain().is_empty());
        end
    };
    for (what, segment, duplicates) in [
        ("a bare one", seg(ACK).seq(1).ack(1), 1),
        ("another window", seg(ACK).seq(1).ack(1).window(50_000), 0),
        ("text", seg(ACK).seq(1).ack(1).octets(5), 0),
        ("a FIN", seg(ACK | FIN).seq(1).ack(1), 0),
    ] {
        let mut end = sending(60_000);
        send!(end, segment).verdict.unwrap();
        assert_eq!(end.counters.duplicate_acks_in, duplicates, "{what}");
    }
    let mut idle = Setup::default().established();
    send!(idle, seg(ACK).seq(1).ack(1)).verdict.unwrap();
    assert_eq!(idle.counters.duplicate_acks_in, 0, "nothing is outstanding");
    let mut closed = sending(0);
    send!(closed, seg(ACK).seq(1).ack(1).window(0)).verdict.unwrap();
    assert_eq!(closed.counters.duplicate_acks_in, 0, "an answer to a probe");
}

/// RFC 6675 §5: each ACK is taken up, in whatever order they come.
#[test]
fn an_ack_that_came_late_still_tells_what_arrived() {
    let mut setup = Setup::default().profile(|profile| profile.sack = true);
    setup.peer_syn = seg(SYN).mss(1000).sack_permitted();
    let mut end = setup.established_after(40);
    end.write_octets(1, 8_000);
    assert_eq!(end.drain().len(), 8);
    let _ = end.pass(40);
    send!(end, seg(ACK).seq(1).ack(2_001)).verdict.unwrap();
    expect_nothing!(end);
    // It left before that one, and tells that all but the third arrived.
    send!(end, seg(ACK).seq(1).ack(1_001).sack(&[(3_001, 8_001)]))
        .verdict
        .unwrap();
    expect!(end, seg(ACK).seq(2_001).octets(1_000));
    assert_eq!(end.counters.fast_recoveries, 1);
}

#[test]
fn the_acknowledgment_of_a_fin_makes_no_room() {
    let mut end = Setup::default().established();
    end.shutdown();
    expect!(end, seg(ACK | FIN).seq(1).ack(1));
    let arrival = send!(end, seg(ACK).seq(1).ack(2));
    assert_eq!((arrival.verdict, arrival.signals), (Ok(()), Signals::default()));
    assert_eq!(end.state(), State::FinWait2);
}

/// §3.10.7.4, fifth, LAST-ACK: with the acknowledgment of our FIN the connection is over, and the rest of the segment with it.
#[test]
fn nothing_of_a_segment_counts_behind_the_last_ack() {
    let mut end = Setup::default().established();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.shutdown();
    end.drain();
    let arrival = send!(end, seg(ACK).seq(2).ack(2).text(b"more"));
    assert_eq!((arrival.verdict, arrival.ended), (Ok(()), Some(Ending::Closed)));

    let mut end = Setup::default().established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK | FIN).seq(1).ack(1)).verdict.unwrap();
    end.drain();
    assert_eq!(end.state(), State::Closing);
    let arrival = send!(end, seg(ACK).seq(2).ack(2).text(b"more"));
    assert_eq!((arrival.verdict, arrival.ended), (Ok(()), Some(Ending::TimeWait)));
}
