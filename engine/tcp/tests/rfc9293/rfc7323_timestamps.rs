//! RFC 7323: timestamps and PAWS.

use fourtuple_wire::DropReason;

use crate::support::{ACK, End, FIN, RST, SYN, Setup, seg};
use crate::{expect, expect_nothing, send};

fn setup() -> Setup {
    let mut setup = Setup::default().profile(|profile| profile.timestamps = true);
    setup.peer_syn = seg(SYN).mss(1000).timestamps(1_000, 0);
    setup
}

/// Our TSval now: the millisecond clock and the offset of the seeds.
fn clock(end: &End) -> u32 {
    (end.now.as_millis() as u32).wrapping_add(7)
}

// proves: RFC 7323 §3.2
#[test]
fn every_segment_has_our_clock_and_echoes_the_peers() {
    let mut end = setup().established();
    end.write(b"x");
    let now = clock(&end);
    expect!(end, seg(ACK).seq(1).text(b"x").timestamps(now, 1_000));
    send!(end, seg(ACK).seq(1).ack(2).octets(5).timestamps(1_010, now))
        .verdict
        .unwrap();
    let _ = end.fire();
    let now = clock(&end);
    expect!(end, seg(ACK).seq(2).ack(6).timestamps(now, 1_010));
}

#[test]
fn no_timestamps_without_agreement() {
    let mut end = Setup::default()
        .profile(|profile| profile.timestamps = true)
        .established();
    end.write(b"x");
    assert_eq!(end.poll().unwrap().header.options.timestamps, None);
}

// proves: RFC 7323 §5.2, §5.3 R1
#[test]
fn paws_an_old_timestamp_is_acknowledged_and_dropped() {
    let mut end = setup().established();
    let arrival = send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(999, 0));
    assert_eq!(arrival.verdict, Err(DropReason::OldTimestamp));
    expect!(end, seg(ACK).seq(1).ack(1));
    assert_eq!((end.counters.paws_drops, end.read().len()), (1, 0));
    // §5.2: a RST is not held to it.
    let arrival = send!(end, seg(RST).seq(1).timestamps(999, 0));
    assert_eq!(arrival.ended, Some(fourtuple_tcp::Ending::Reset));
}

// proves: RFC 7323 §3.2
#[test]
fn a_segment_without_the_option_is_dropped_once_it_was_agreed() {
    let mut end = setup().established();
    assert_eq!(
        send!(end, seg(ACK).seq(1).ack(1).octets(5)).verdict,
        Err(DropReason::OldTimestamp)
    );
    expect_nothing!(end);
}

// proves: RFC 7323 §5.5
#[test]
fn after_24_idle_days_an_old_timestamp_is_taken() {
    let mut end = setup().established();
    let _ = end.pass(25 * 24 * 3600 * 1000);
    assert_eq!(
        send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(5, 0)).verdict,
        Ok(())
    );
    let _ = end.fire();
    assert_eq!(end.poll().unwrap().header.options.timestamps.unwrap().echo, 5);
}

// proves: RFC 7323 §4.3
#[test]
fn the_echo_is_of_the_earliest_segment_that_is_not_acknowledged_and_never_of_one_beyond_a_hole() {
    let mut end = setup().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(1_001, 0))
        .verdict
        .unwrap();
    send!(end, seg(ACK).seq(6).ack(1).octets(5).timestamps(1_002, 0))
        .verdict
        .unwrap();
    let _ = end.fire();
    assert_eq!(
        end.poll().unwrap().header.options.timestamps.unwrap().echo,
        1_001,
        "the ACK was delayed"
    );
    send!(end, seg(ACK).seq(20).ack(1).octets(5).timestamps(1_003, 0))
        .verdict
        .unwrap();
    assert_eq!(
        end.poll().unwrap().header.options.timestamps.unwrap().echo,
        1_001,
        "beyond a hole"
    );
    send!(end, seg(ACK).seq(11).ack(1).octets(9).timestamps(1_004, 0))
        .verdict
        .unwrap();
    assert_eq!(end.poll().unwrap().header.options.timestamps.unwrap().echo, 1_004);
}

// proves: RFC 7323 §4.1 (RTTM)
#[test]
fn a_retransmitted_segment_gives_a_sample_by_its_echo() {
    let mut end = setup().established();
    let before = end.tcb.status(&end.profile, end.now).srtt;
    end.write(b"x");
    end.drain();
    let _ = end.fire();
    end.drain();
    let sent_again = clock(&end);
    let _ = end.pass(100);
    end.drain();
    send!(end, seg(ACK).seq(1).ack(2).timestamps(1_001, sent_again))
        .verdict
        .unwrap();
    let after = end.tcb.status(&end.profile, end.now).srtt;
    assert!(
        after > before + std::time::Duration::from_millis(10),
        "{before:?} {after:?}"
    );
}

// proves: RFC 7323 §3.2
#[test]
fn a_reset_has_them_too() {
    let mut end = setup().established();
    end.abort();
    let now = clock(&end);
    expect!(end, seg(RST | ACK).seq(1).ack(1).timestamps(now, 1_000));
    let mut end = Setup::default().established();
    end.abort();
    assert_eq!(end.poll().unwrap().header.options.timestamps, None, "not agreed");
}

// proves: RFC 5961 §5.2, that what it drops leaves nothing behind
#[test]
fn a_segment_that_is_dropped_for_its_ack_does_not_move_the_timestamp() {
    for forged in [
        seg(ACK).seq(1).ack(9_999).octets(1).timestamps(200_000, 0),
        seg(SYN).seq(1).timestamps(200_000, 0),
        seg(RST).seq(2).timestamps(200_000, 0),
    ] {
        let mut end = setup().established();
        assert!(end.arrives(&forged).verdict.is_err());
        end.drain();
        send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(1_001, 0))
            .verdict
            .unwrap();
        assert_eq!(end.read().len(), 5);
    }
}

/// Its ACK was lost: the sender would take the time since the first sending for a round trip.
#[test]
fn the_answer_to_a_duplicate_echoes_the_duplicate() {
    let mut end = setup().established();
    send!(end, seg(ACK).seq(1).ack(1).octets(10).timestamps(1_200, 0))
        .verdict
        .unwrap();
    let _ = end.pass(100);
    let echoes = |end: &mut End| -> Vec<u32> {
        let sent = end.drain();
        sent.iter()
            .filter_map(|sent| sent.header.options.timestamps)
            .map(|timestamps| timestamps.echo)
            .collect()
    };
    assert_eq!(echoes(&mut end), [1_200]);
    let again = seg(ACK).seq(1).ack(1).octets(10);
    let _ = send!(end, again.clone().timestamps(4_400, 0));
    assert_eq!(echoes(&mut end), [4_400]);
    // Not one whose ACK is of nothing that was sent, nor one from long ago.
    let _ = send!(end, again.clone().ack(5_000).timestamps(5_000, 0));
    let _ = send!(end, again.seq(1u32.wrapping_sub(100_000)).timestamps(5_000, 0));
    assert!(echoes(&mut end).iter().all(|echo| *echo == 4_400));
}

// proves: RFC 5961 §5.2, that what it drops leaves nothing behind
#[test]
fn no_segment_that_a_later_step_drops_moves_the_timestamp() {
    for forged in [
        seg(RST | ACK).seq(2).ack(1),
        seg(SYN | ACK).seq(1).ack(1),
        seg(SYN | ACK).seq(0).ack(1).octets(9),
        seg(FIN).seq(1),
        // Nor what is old: it is challenged, and its answer echoes what was taken.
        seg(ACK).seq(0).ack(1),
    ] {
        let mut end = setup().established();
        let verdict = end.arrives(&forged.clone().timestamps(200_000, 0)).verdict;
        assert!(verdict.is_err(), "{forged:?}");
        for sent in end.drain() {
            assert_eq!(sent.header.options.timestamps.unwrap().echo, 1_000, "{forged:?}");
        }
        send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(1_001, 0))
            .verdict
            .unwrap();
        assert_eq!(end.read().len(), 5);
    }
}

#[test]
fn the_syn_ack_of_a_simultaneous_open_moves_the_timestamp() {
    let mut end = setup().syn_received();
    send!(end, seg(SYN | ACK).seq(0).ack(1).mss(1000).timestamps(1_050, 7))
        .verdict
        .unwrap();
    end.write(b"x");
    let sent = expect!(end, seg(ACK).seq(1).text(b"x"));
    assert_eq!(sent.header.options.timestamps.unwrap().echo, 1_050);
}

// proves: RFC 7323 §4.1 (a segment that is timed by itself gives one sample)
#[test]
fn what_is_timed_is_not_sampled_by_its_echo_too() {
    let mut end = setup().established_after(100);
    let srtt = |end: &End| end.tcb.status(&end.profile, end.now).srtt.as_millis();
    assert_eq!(srtt(&end), 100);
    end.write(b"x");
    end.drain();
    let _ = end.pass(100);
    let echo = clock(&end).wrapping_sub(10);
    send!(end, seg(ACK).seq(1).ack(2).timestamps(1_001, echo))
        .verdict
        .unwrap();
    assert_eq!(srtt(&end), 100, "an echo of ten milliseconds ago says nothing");
}

#[test]
fn segments_of_the_past_are_counted_too() {
    let mut end = setup().established();
    for times in 1..=2 {
        let old = seg(ACK).seq(1).ack(1).octets(5).timestamps(900, 0);
        assert!(end.arrives(&old).verdict.is_err());
        assert_eq!(end.counters.paws_drops, times);
    }
}

// RFC 9293 §3.1: the acknowledgment number counts where the ACK bit is set.
#[test]
fn a_segment_without_ack_does_not_move_the_timestamp_whatever_its_ack_field() {
    let mut end = setup().established();
    let sound = seg(ACK | FIN).seq(1).ack(1).timestamps(200_000, 0);
    let mut header = sound.header(end.irs, end.iss, 60_000);
    header.flags = FIN;
    assert_eq!(end.arrives_raw(&header, b"").verdict, Err(DropReason::NoAck));
    send!(end, seg(ACK).seq(1).ack(1).octets(5).timestamps(1_001, 0))
        .verdict
        .unwrap();
    assert_eq!(end.read().len(), 5);
}
