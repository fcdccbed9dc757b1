//! What each step of recovery asks and does, on a connection whose fields are set by hand.

use std::time::Duration;

use super::*;
use crate::CongestionKind;
use crate::flight::Flight;
use crate::recovery::rack::Rack;
use crate::scoreboard::Fate;
use crate::testing::{Bench, TestBuffers};

const UNA: SeqNum = SeqNum(u32::MAX - 2_500);

fn flight(bench: &mut Bench) -> &mut Flight {
    bench.pools.flights.piece_mut(bench.tcb.flight).unwrap()
}

/// What is on its way: where ranges of one time end, behind `UNA`.
fn on_its_way(bench: &mut Bench) -> Vec<u32> {
    let mut ends = Vec::new();
    flight(bench).scoreboard.judge(|waiting| {
        ends.push(waiting.end.distance_from(UNA));
        false
    });
    ends
}

/// Ten segments outstanding, sent a millisecond apart; SACK is agreed on.
fn outstanding() -> Bench {
    let mut bench = Bench::established(UNA).queued(20_000, 0).with_flight();
    bench.tcb.flags.insert(Flags::SACK);
    for _ in 0..10 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.tcb.snd.nxt += 1_000;
        bench.with(|tcb, env| tcb.note_sent(tcb.snd.nxt, env));
    }
    bench
}

/// An ACK of `UNA` with SACK blocks, counted from there.
fn ack_with(blocks: &[(i32, i32)]) -> TcpHeader {
    let mut header = TcpHeader {
        ack: UNA,
        ..TcpHeader::default()
    };
    let at = |offset: i32| SeqNum(UNA.0.wrapping_add_signed(offset));
    for (left, right) in blocks {
        header.options.sack.push(SackBlock {
            left: at(*left),
            right: at(*right),
        });
    }
    header
}

fn take_sack(bench: &mut Bench, blocks: &[(i32, i32)]) -> AckNews {
    let mut news = AckNews::default();
    bench.with(|tcb, env| tcb.take_sack_blocks(&ack_with(blocks), &mut news, env));
    news
}

#[test]
fn sets_of_marks_have_what_they_are_named_for() {
    for (mark, of_probes_or_sacked, no_probe) in [
        (Marks::SACKED, true, true),
        (Marks::PROBED, true, true),
        (Marks::PROBED_AGAIN, true, false),
        (Marks::UNMEASURED, false, true),
        (Marks::REORDERED, false, false),
    ] {
        assert_eq!(
            Marks::OF_PROBES_OR_SACKED.contains(mark),
            of_probes_or_sacked,
            "{mark:?}"
        );
        assert_eq!(Marks::NO_PROBE.contains(mark), no_probe, "{mark:?}");
    }
}

fn told(sent_before: Option<SeqNum>, all: &[Delivered]) -> AckNews {
    let now = Instant::from_millis(100_000);
    let mut rack = Rack::new(SeqNum(0), 1_000, now);
    let mut news = AckNews::default();
    let mut listener = Listener {
        rack: &mut rack,
        arrived: Arrived::new(now, None),
        sent_before,
        news: &mut news,
    };
    for delivered in all {
        listener.on_delivered(delivered);
    }
    news
}

fn segment(end: u32, sent_us: u32, again: bool) -> Delivered {
    Delivered {
        end: SeqNum(end),
        octets: 1_000,
        first: sent_us,
        last: sent_us,
        exact: true,
        again,
    }
}

// proves: RFC 5682 §3.1 (step 3b)
#[test]
fn only_what_was_sent_once_and_before_the_timeout_tells_that_it_was_spurious() {
    for (again, end, nxt_at_timeout, original) in [
        (false, 1_000, None, true),
        (true, 1_000, None, false),
        (false, 1_000, Some(1_000), true),
        (false, 2_000, Some(1_000), false),
        (true, 1_000, Some(1_000), false),
        (true, 2_000, Some(1_000), false),
    ] {
        let news = told(nxt_at_timeout.map(SeqNum), &[segment(end, 99_950_000, again)]);
        assert_eq!(news.original, original, "{again} {end} {nxt_at_timeout:?}");
    }
}

#[test]
fn of_all_that_an_ack_tells_of_the_last_sending_and_the_least_round_trip_count() {
    let (early, late) = (
        segment(1_000, 99_950_000, false),
        segment(2_000, 99_960_000, false),
    );
    for order in [[early, late], [late, early]] {
        let news = told(None, &order);
        assert_eq!(
            (news.sent_us, news.rtt_us, news.delivered),
            (Some(99_960_000), 40_000, 2_000)
        );
    }
}

// proves: RFC 6675 §4 (SetPipe)
#[test]
fn without_a_record_the_pipe_after_a_timeout_is_what_was_sent_again_and_what_was_new() {
    let mut bench = Bench::established(UNA).queued(10_000, 10_000);
    bench.tcb.recovery.phase = Phase::Loss;
    bench.tcb.recovery.recover = UNA + 8_000;
    for (high_rxt, pipe) in [(UNA + 1_000, 3_000), (UNA, 2_000), (UNA.back(5), 2_000)] {
        bench.tcb.recovery.high_rxt = high_rxt;
        assert_eq!(bench.tcb.pipe(&bench.pools), pipe);
    }
}

// proves: RFC 2018 §5
#[test]
fn blocks_count_where_sack_is_agreed_on_and_within_what_is_outstanding() {
    let fresh = |agreed: bool| {
        let mut bench = Bench::established(UNA).queued(10_000, 10_000);
        if agreed {
            bench.tcb.flags.insert(Flags::SACK);
        }
        bench
    };
    let mut bench = fresh(false);
    assert_eq!(take_sack(&mut bench, &[(2_000, 3_000)]).sacked, 0);
    assert_eq!((bench.tcb.flight, bench.counters.sack_blocks_in), (NIL, 0));
    for outside in [(0, 1_000), (-500, 1_000), (10_000, 11_000), (11_000, 12_000)] {
        let mut bench = fresh(true);
        assert_eq!(take_sack(&mut bench, &[outside]).sacked, 0);
        assert_eq!(bench.tcb.flight, NIL, "{outside:?} needs no record");
    }
    let mut bench = fresh(true);
    assert_eq!(take_sack(&mut bench, &[(2_000, 3_000)]).sacked, 1_000);
    assert!(bench.tcb.recovery.marks.contains(Marks::SACKED));
    assert_eq!((bench.tcb.flight, bench.counters.sack_blocks_in), (0, 1));
}

// proves: RFC 2883 §4
#[test]
fn a_first_block_below_the_acknowledgment_or_within_the_second_is_a_duplicates() {
    let mut bench = Bench::established(UNA).queued(10_000, 10_000);
    bench.tcb.snd.max_window = 5_000;
    let table: [(&[(i32, i32)], bool); 12] = [
        (&[], false),
        (&[(-4_000, -3_000)], true),
        (&[(-5_000, -3_000)], true),
        (&[(-5_001, -3_000)], false),
        (&[(-1_000, 0)], true),
        (&[(-1_000, 1)], false),
        (&[(-3_000, -4_000)], false),
        (&[(-3_000, -3_000)], false),
        (&[(2_000, 3_000)], false),
        (&[(2_000, 3_000), (1_000, 4_000)], true),
        (&[(2_000, 3_000), (2_001, 4_000)], false),
        (&[(9_000, 10_001), (8_000, 11_000)], false),
    ];
    for (blocks, duplicate) in table {
        let found = bench.tcb.duplicate_in(&ack_with(blocks));
        assert_eq!(found.is_some(), duplicate, "{blocks:?}");
    }
}

// proves: RFC 5681 §3.2
#[test]
fn a_third_duplicate_stands_for_a_loss_only_while_nothing_is_sacked() {
    for (sacked_before, sacked_now, phase) in [
        (false, 0, Phase::Fast),
        (true, 0, Phase::Open),
        (false, 1_000, Phase::Open),
        (true, 1_000, Phase::Open),
    ] {
        let mut bench = outstanding();
        bench.tcb.recovery.duplicate_acks = 2;
        if sacked_before {
            bench.tcb.recovery.marks.insert(Marks::SACKED);
        }
        let news = AckNews {
            sacked: sacked_now,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.on_duplicate_ack(&news, env));
        assert_eq!(bench.tcb.recovery.phase, phase, "{sacked_before} {sacked_now}");
    }
}

// proves: RFC 6582 §3.2 (step 5)
#[test]
fn a_partial_ack_sends_the_next_hole_again_and_an_ack_of_all_does_not() {
    for (acked, again, window) in [(3_000, true, 58_000), (10_000, false, 60_000)] {
        let mut bench = Bench::established(UNA).queued(10_000, 10_000);
        bench.tcb.recovery.phase = Phase::Fast;
        bench.tcb.recovery.recover = UNA + 10_000;
        bench.tcb.snd.una = UNA + acked;
        let mut news = AckNews {
            acked,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.on_new_ack(&ack_with(&[]), &mut news, env));
        assert_eq!(bench.tcb.debts.contains(Debts::RETRANSMIT), again);
        assert_eq!(bench.tcb.congestion.window(), window);
    }
}

// proves: RFC 5681 §3.1
#[test]
fn a_window_of_which_half_was_used_grows_without_a_record_too() {
    for (flight, window) in [(1_999, 4_000), (2_000, 6_000), (3_000, 6_000), (4_000, 6_000)] {
        let mut bench = Bench::established(UNA);
        bench.tcb.congestion.set_window(CongestionKind::NewReno, 4_000);
        let news = AckNews {
            acked: 2_000,
            delivered: 2_000,
            flight,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.tell_news(&news, env));
        assert_eq!(bench.tcb.congestion.window(), window, "{flight}");
    }
}

// proves: RFC 5681 §3.1 (what left after recovery began counts as at any other time)
#[test]
fn the_ack_that_ends_recovery_lets_the_window_grow_by_what_left_since() {
    for (since, grown) in [(0, 0), (300, 300), (5_000, 1_000)] {
        let mut bench = Bench::established(UNA);
        bench.tcb.recovery.recover = UNA.back(since);
        let news = AckNews {
            acked: 1_000,
            delivered: 1_000,
            flight: 60_000,
            in_recovery: true,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.tell_news(&news, env));
        assert_eq!(bench.tcb.congestion.window(), 60_000 + grown, "{since}");
    }
}

// proves: RFC 3522 §3.2
#[test]
fn an_old_echo_undoes_recovery_only_in_an_ack_of_what_was_sent_again() {
    let mut bench = outstanding();
    bench.tcb.recovery.phase = Phase::FastSack;
    bench.tcb.recovery.recover = bench.tcb.snd.nxt;
    bench.tcb.timestamps.enabled = true;
    let mut undo = Undo::none().begin(10_000, 10_000, UNA);
    undo.on_sent_again(1_000, Some(500));
    flight(&mut bench).undo = undo;
    let mut header = ack_with(&[]);
    header.options.timestamps = Some(fourtuple_wire::Timestamps { value: 1, echo: 499 });
    for (again, undos) in [(false, 0), (true, 1)] {
        let mut news = AckNews {
            again,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.after_ack(&header, &mut news, env));
        assert_eq!(bench.counters.undos, undos, "{again}");
    }
}

#[test]
fn what_was_lost_in_an_episode_that_is_over_begins_the_next_where_sack_is_agreed_on() {
    for (agreed, phase) in [(false, Phase::Open), (true, Phase::FastSack)] {
        let mut bench = outstanding();
        if !agreed {
            bench.tcb.flags.remove(Flags::SACK);
        }
        flight(&mut bench).scoreboard.lose_first(1_000);
        bench.with(|tcb, env| tcb.detect_and_recover(&mut AckNews::default(), env));
        assert_eq!(bench.tcb.recovery.phase, phase);
        assert_eq!(bench.counters.fast_recoveries, u64::from(agreed));
    }
}

#[test]
fn recovery_without_sack_goes_on_with_it_when_more_is_found_lost() {
    let mut bench = outstanding();
    bench.now = bench.now + Duration::from_millis(40);
    assert_eq!(take_sack(&mut bench, &[(9_000, 10_000)]).sacked, 1_000);
    bench.tcb.recovery.phase = Phase::Fast;
    let mut news = AckNews::default();
    bench.with(|tcb, env| tcb.detect_and_recover(&mut news, env));
    assert_eq!((news.lost, bench.tcb.recovery.phase), (9_000, Phase::FastSack));
    assert_eq!(bench.counters.fast_recoveries, 0, "it is the same episode");
    // Nothing more is lost: what is not sent yet begins none.
    let mut bench = outstanding();
    flight(&mut bench).scoreboard.lose_first(1_000);
    bench.tcb.recovery.phase = Phase::Fast;
    bench.with(|tcb, env| tcb.detect_and_recover(&mut AckNews::default(), env));
    assert_eq!(bench.tcb.recovery.phase, Phase::Fast);
}

// proves: RFC 8985 §7.2 (nothing SACKed), RFC 8985 §8
#[test]
fn a_probe_that_is_out_of_place_leaves_its_timer_to_the_timeout() {
    let (probe, timeout) = (Retransmit::Probe, Retransmit::Timeout);
    // The timeout is a second, from now; what is armed here is seven milliseconds.
    for (armed, what, sacked, then, left) in [
        (true, probe, true, timeout, Some(1_001)),
        (true, probe, false, probe, Some(8)),
        (true, timeout, true, timeout, Some(8)),
        (true, timeout, false, timeout, Some(8)),
        (false, probe, true, probe, None),
    ] {
        let mut bench = outstanding();
        let tick = bench.now.as_millis() as u32;
        bench.tcb.progress_at = tick;
        bench.tcb.timers.arm_retransmit(what, 7, tick);
        if !armed {
            bench.tcb.timers.disarm(Timer::Retransmit);
        }
        if sacked {
            bench.tcb.recovery.marks.insert(Marks::SACKED);
        }
        bench.with(|tcb, env| tcb.detect_and_recover(&mut AckNews::default(), env));
        assert_eq!(bench.tcb.timers.retransmit(), then, "{what:?} {sacked}");
        assert_eq!(bench.tcb.timers.earliest(tick), left, "{what:?} {sacked}");
    }
}

// proves: RFC 9937 §6.2 (SafeACK)
#[test]
fn a_further_segment_goes_only_for_an_ack_that_advances_and_shows_no_loss() {
    for (acked, delivered, lost, window) in [
        (1_000, 1_000, 0, 12_000),
        (0, 1_000, 0, 11_000),
        (1_000, 1_000, 1_000, 11_000),
        (0, 1_000, 1_000, 11_000),
        (0, 0, 1_000, 10_000),
        (0, 0, 0, 12_345),
    ] {
        let mut bench = outstanding();
        let kind = CongestionKind::NewReno;
        bench.tcb.congestion.set_window(kind, 40_000);
        bench.with(|tcb, env| tcb.tell_loss(40_000, false, false, env));
        assert_eq!(bench.tcb.congestion.threshold(), 20_000);
        bench.tcb.congestion.set_window(kind, 12_345);
        let prr = &mut flight(&mut bench).prr;
        *prr = Prr::begin(20_000, 0);
        prr.on_sent(1_000);
        let news = AckNews {
            acked,
            delivered,
            lost,
            ..AckNews::default()
        };
        bench.with(|tcb, env| tcb.follow_rate_reduction(&news, env));
        assert_eq!(
            bench.tcb.congestion.window(),
            window,
            "{acked} {delivered} {lost}"
        );
    }
}

// proves: RFC 8985 §6.1
#[test]
fn what_leaves_within_a_sixteenth_of_a_round_trip_has_one_time() {
    for (later_us, ends) in [(1_000, &[2_000][..]), (1_001, &[1_000, 2_000])] {
        let mut bench = Bench::established(UNA).queued(2_000, 0).with_flight();
        bench.tcb.rto.sample(16_000, &bench.profile);
        assert_eq!(bench.tcb.rto.srtt_us(), 16_000);
        let begun = bench.now;
        let at = [begun, begun + Duration::from_micros(later_us)];
        for (now, end) in at.into_iter().zip([UNA + 1_000, UNA + 2_000]) {
            bench.now = now;
            bench.with(|tcb, env| tcb.note_sent(end, env));
        }
        assert_eq!(on_its_way(&mut bench), ends, "new");
        bench.tcb.snd.nxt = UNA + 2_000;
        let begun = bench.now + Duration::from_millis(40);
        let at = [begun, begun + Duration::from_micros(later_us)];
        for (now, seq) in at.into_iter().zip([UNA, UNA + 1_000]) {
            bench.now = now;
            bench.with(|tcb, env| tcb.on_text_sent(seq, seq + 1_000, true, env));
        }
        assert_eq!(on_its_way(&mut bench), ends, "again");
    }
}

#[test]
fn half_as_many_segments_as_a_record_has_ranges_may_leave_more_holes_than_it_holds() {
    for (outstanding, many) in [
        (1_000, false),
        (31_999, false),
        (32_000, true),
        (32_999, true),
        (64_000, true),
    ] {
        let bench: Bench = Bench::established(UNA).queued(64_000, outstanding);
        assert_eq!(bench.tcb.may_have_many_holes(), many, "{outstanding}");
    }
}

// proves: RFC 2018 §8, RFC 8985 §6.3
#[test]
fn a_timeout_keeps_what_is_sacked_unless_it_is_the_first_octet() {
    for (block, sacked) in [((2_000, 3_000), 1_000), ((0, 0), 0)] {
        let mut bench = outstanding();
        take_sack(&mut bench, &[block]);
        bench.with(|tcb: &mut Tcb<TestBuffers>, env| tcb.begin_loss(env));
        assert_eq!(flight(&mut bench).scoreboard.octets_of(Fate::Sacked), sacked);
        assert_eq!(bench.tcb.recovery.marks.contains(Marks::SACKED), sacked > 0);
    }
    let mut reneged = outstanding();
    take_sack(&mut reneged, &[(1_000, 3_000)]);
    reneged.tcb.snd.una = UNA + 1_000;
    flight(&mut reneged).scoreboard.acknowledge(UNA + 1_000, |_| ());
    reneged.with(|tcb, env| tcb.begin_loss(env));
    let board = &flight(&mut reneged).scoreboard;
    assert_eq!(
        (board.octets_of(Fate::Sacked), board.next_lost()),
        (0, Some((UNA + 1_000, UNA + 10_000)))
    );
}

#[test]
fn a_moment_on_the_circle_of_microseconds_is_the_last_of_its_name() {
    let circle = 1u64 << 32;
    for now_us in [5_000_000, circle + 700, 3 * circle + 5_000_000] {
        let now = Instant::from_nanos(now_us * 1000 + 999);
        for ago in [0u64, 1, 600, 4_000_000] {
            let us = (now_us - ago) as u32;
            assert_eq!(
                moment_of(us, now),
                Instant::from_nanos((now_us - ago) * 1000),
                "{now_us} {ago}"
            );
        }
    }
    // Before the clock began there is nothing.
    assert_eq!(moment_of(7, Instant::from_millis(0)), Instant::ZERO);
}
