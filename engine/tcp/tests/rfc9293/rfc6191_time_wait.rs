//! TIME_WAIT's compact record: RFC 1337, RFC 6191, RFC 9293 §3.6.1.

use std::time::Duration;

use fourtuple_tcp::{TimeWait, TimeWaitArrival};
use fourtuple_wire::{DropReason, SeqNum};

use crate::send;
use crate::support::{ACK, End, FIN, RST, SYN, Seg, Setup, seg};

/// An end in TIME_WAIT: SND.NXT is 2, RCV.NXT 2, TS.Recent 5000 if any; and its record.
fn time_wait(timestamps: bool) -> (End, TimeWait) {
    let mut setup = Setup::default();
    let stamp = |segment: Seg| {
        if timestamps {
            segment.timestamps(5_000, 0)
        } else {
            segment
        }
    };
    setup.profile.timestamps = timestamps;
    setup.peer_syn = stamp(setup.peer_syn);
    let mut end = setup.established();
    end.shutdown();
    end.drain();
    send!(end, stamp(seg(ACK | FIN).seq(1).ack(2))).ended.unwrap();
    end.drain();
    let record = end.with(|tcb, env| tcb.time_wait(env)).unwrap();
    (end, record)
}

fn arrives(end: &End, record: &mut TimeWait, segment: &Seg) -> TimeWaitArrival {
    let header = segment.header(end.irs, end.iss, 60_000);
    record.segment_arrives(&header, segment.payload.len(), &end.profile, || 7, end.now)
}

// proves: RFC 1337 §3 (F1)
#[test]
fn a_reset_is_ignored() {
    let (end, mut record) = time_wait(false);
    for reset in [seg(RST).seq(2), seg(RST | ACK).seq(2).ack(2), seg(RST).seq(50)] {
        assert_eq!(
            arrives(&end, &mut record, &reset),
            TimeWaitArrival::Drop(DropReason::TimeWait)
        );
    }
}

#[test]
fn a_fin_that_comes_again_is_acknowledged_and_the_wait_begins_again() {
    let (mut end, mut record) = time_wait(false);
    end.now = end.now + Duration::from_secs(30);
    let TimeWaitArrival::Acknowledge(ack) = arrives(&end, &mut record, &seg(ACK | FIN).seq(1).ack(2)) else {
        panic!("an ACK")
    };
    assert_eq!((ack.seq, ack.ack, ack.flags), (end.iss + 2, end.irs + 2, ACK));
    assert_eq!(record.deadline(end.now), end.now + Duration::from_secs(60));
}

#[test]
fn late_segments_are_answered_or_dropped_and_never_prolong_the_wait() {
    let (mut end, mut record) = time_wait(false);
    let before = record.deadline(end.now);
    end.now = end.now + Duration::from_secs(30);
    for (what, segment, answered) in [
        ("text from before", seg(ACK).seq(0).ack(2).octets(1), true),
        ("text where the FIN was", seg(ACK).seq(1).ack(2).octets(1), true),
        ("what a peer says that knows all", seg(ACK).seq(2).ack(2), false),
        ("text behind the FIN", seg(ACK).seq(2).ack(2).octets(1), true),
        ("a second FIN", seg(ACK | FIN).seq(2).ack(2), true),
        ("a FIN further on", seg(ACK | FIN).seq(500).ack(2), true),
        ("an ACK further on", seg(ACK).seq(500).ack(2), true),
        ("text without ACK", seg(FIN).seq(2).octets(1), false),
        ("a FIN beyond the window", seg(FIN).seq(70_000), true),
    ] {
        end.now = end.now + Duration::from_secs(1);
        let arrival = arrives(&end, &mut record, &segment);
        let acknowledges = matches!(arrival, TimeWaitArrival::Acknowledge(_));
        assert_eq!(acknowledges, answered, "{what}: {arrival:?}");
    }
    assert_eq!(record.deadline(end.now), before);
}

// proves: RFC 9293 MAY-2, SHLD-4, RFC 6191 §2
#[test]
fn a_new_syn_reopens_when_it_is_beyond_the_old_connection() {
    let table = [
        (false, seg(SYN).seq(2), false, "not beyond RCV.NXT"),
        (false, seg(SYN).seq(3), true, "beyond RCV.NXT"),
        (false, seg(SYN).seq(0), false, "the old SYN"),
        (
            false,
            seg(SYN).seq(3).timestamps(1, 0),
            true,
            "timestamps new: the number decides",
        ),
        (
            true,
            seg(SYN).seq(0).timestamps(5_001, 0),
            true,
            "a later timestamp",
        ),
        (
            true,
            seg(SYN).seq(3).timestamps(4_999, 0),
            false,
            "an earlier one",
        ),
        (
            true,
            seg(SYN).seq(3).timestamps(5_000, 0),
            true,
            "the same: the number decides",
        ),
        (true, seg(SYN).seq(2).timestamps(5_000, 0), false, "the same"),
        (true, seg(SYN).seq(3), true, "none now: the number decides"),
        (
            true,
            seg(SYN | ACK).seq(3).ack(2).timestamps(5_001, 0),
            false,
            "no opening",
        ),
    ];
    for (timestamps, segment, reopens, row) in table {
        let (end, mut record) = time_wait(timestamps);
        let arrival = arrives(&end, &mut record, &segment);
        assert_eq!(arrival == TimeWaitArrival::Reopen, reopens, "{row}: {arrival:?}");
        if !reopens {
            assert!(matches!(arrival, TimeWaitArrival::Acknowledge(_)), "{row}");
        }
    }
}

#[test]
fn reopening_can_be_switched_off() {
    let (mut end, mut record) = time_wait(false);
    end.profile.time_wait_reopen = false;
    assert!(matches!(
        arrives(&end, &mut record, &seg(SYN).seq(9)),
        TimeWaitArrival::Acknowledge(_)
    ));
}

#[test]
fn the_new_iss_is_beyond_the_old_numbers() {
    let (end, record) = time_wait(false);
    let old = end.iss + 2;
    assert_eq!(record.reopening_iss(old + 1), old + 1);
    for candidate in [old, end.iss, SeqNum(old.0.wrapping_sub(1 << 30))] {
        assert!(
            record.reopening_iss(candidate).after(old + 65_535),
            "{candidate:?}"
        );
    }
}

// proves: RFC 5961 §7
#[test]
fn records_that_lost_each_others_sequence_numbers_fall_silent() {
    let (mut end, mut record) = time_wait(false);
    let (mut answers, mut limited) = (0, 0);
    for _ in 0..1_000 {
        match arrives(&end, &mut record, &seg(ACK).seq(900_000).ack(2)) {
            TimeWaitArrival::Acknowledge(_) => answers += 1,
            TimeWaitArrival::Drop(reason) => {
                assert_eq!(reason, DropReason::RateLimited);
                limited += 1;
            }
            TimeWaitArrival::Reopen => panic!("no SYN"),
        }
        end.now = end.now + Duration::from_millis(2);
    }
    assert_eq!((answers, limited), (4, 996));
    // A FIN that comes again is no such thing.
    for _ in 0..3 {
        let answer = arrives(&end, &mut record, &seg(ACK | FIN).seq(1).ack(2));
        assert!(matches!(answer, TimeWaitArrival::Acknowledge(_)));
    }
}

// proves: RFC 5961 §7
#[test]
fn a_connection_in_time_wait_answers_text_always_and_bare_acks_ten_times_a_second() {
    for (text, most) in [(1, 40), (0, 10)] {
        let mut end = Setup::default().established();
        end.shutdown();
        end.drain();
        // What is unread keeps the connection, and no record takes over.
        send!(end, seg(ACK | FIN).seq(1).ack(2).text(b"unread"))
            .ended
            .unwrap();
        end.drain();
        let mut answers = 0;
        for _ in 0..40 {
            let _ = send!(end, seg(ACK).seq(1).ack(2).octets(text));
            answers += end.drain().len();
        }
        assert_eq!(answers, most, "{text}");
    }
}

/// RFC 7323 §2.2, §3.2: as every ACK of the connection, with its window scaled and its timestamps.
#[test]
fn the_answer_has_the_window_of_the_last_ack() {
    let mut setup = Setup::default().profile(|profile| {
        profile.window_scaling = true;
        profile.receive_buffer = 1 << 20;
    });
    setup.peer_syn = seg(SYN).mss(1000).window_scale(2);
    let mut end = setup.established();
    end.shutdown();
    end.drain();
    send!(end, seg(ACK | FIN).seq(1).ack(2)).ended.unwrap();
    let window = end.drain().last().unwrap().header.window;
    assert!(window > 30_000, "{window}: 2²⁰ in units of 32");
    let mut record = end.with(|tcb, env| tcb.time_wait(env)).unwrap();
    let TimeWaitArrival::Acknowledge(ack) = arrives(&end, &mut record, &seg(ACK | FIN).seq(1).ack(2)) else {
        panic!("an ACK")
    };
    assert_eq!(ack.window, window);
}

#[test]
fn the_answer_has_the_timestamps_of_the_last_ack() {
    let (mut end, mut record) = time_wait(true);
    for _ in 0..3 {
        end.now = end.now + Duration::from_secs(1);
        let again = seg(ACK | FIN).seq(1).ack(2).timestamps(5_000, 0);
        let TimeWaitArrival::Acknowledge(ack) = arrives(&end, &mut record, &again) else {
            panic!("an ACK")
        };
        // The clock, and what was added to it from the handshake on.
        let stamps = ack.options.timestamps.unwrap();
        assert_eq!(stamps.value, (end.now.as_millis() as u32).wrapping_add(7));
        assert_eq!(stamps.echo, 5_000);
    }
}

#[test]
fn a_record_that_was_prolonged_says_so_until_it_stands_where_it_belongs() {
    let (mut end, mut record) = time_wait(false);
    let before = record.clone();
    assert!(!record.was_prolonged() && !record.ends_before(&before));
    end.now = end.now + Duration::from_secs(59);
    let _ = arrives(&end, &mut record, &seg(ACK | FIN).seq(1).ack(2));
    assert!(record.was_prolonged() && before.ends_before(&record));
    record.is_in_order();
    assert!(!record.was_prolonged());
    end.now = end.now + Duration::from_secs(59);
    assert!(before.is_over(end.now) && !record.is_over(end.now));
    end.now = end.now + Duration::from_secs(1);
    assert!(record.is_over(end.now));
}

// proves: RFC 9293 §3.10.7.4, first (RFC 7323 §5.3: what is old is acknowledged and dropped)
#[test]
fn a_segment_of_the_past_is_answered_whatever_it_says_and_prolongs_nothing() {
    let (mut end, mut record) = time_wait(true);
    let before = record.deadline(end.now);
    for (segment, answered) in [
        (seg(ACK | FIN).seq(1).ack(2).timestamps(4_999, 0), true),
        (seg(FIN).seq(2).timestamps(4_999, 0), true),
        (seg(FIN).seq(2).timestamps(5_000, 0), false),
    ] {
        end.now = end.now + Duration::from_secs(1);
        let arrival = arrives(&end, &mut record, &segment);
        let acknowledges = matches!(arrival, TimeWaitArrival::Acknowledge(_));
        assert_eq!(acknowledges, answered, "{segment:?}: {arrival:?}");
        assert_eq!(record.deadline(end.now), before);
    }
    let _ = arrives(
        &end,
        &mut record,
        &seg(ACK | FIN).seq(1).ack(2).timestamps(5_000, 0),
    );
    assert_eq!(record.deadline(end.now), end.now + Duration::from_secs(60));
    // Where timestamps were not agreed an option says nothing.
    let (end, mut record) = time_wait(false);
    assert_eq!(
        arrives(&end, &mut record, &seg(FIN).seq(2).timestamps(u32::MAX, 0)),
        TimeWaitArrival::Drop(DropReason::TimeWait)
    );
}
