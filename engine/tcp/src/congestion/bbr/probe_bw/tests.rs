//! Each rule of the cycle by hand: on a path of 1,000,000 octets a second and 100 ms, a product of 100,000 octets.

use std::time::Duration;

use super::super::Bounds;
use super::super::path::MaxBandwidth;
use super::super::tests::{KIND, MSS, PHASES, START_MS, ack, known};
use super::*;

const NOTHING: RateSample = RateSample {
    has_data: false,
    rate: 0,
    delivered: 0,
    prior_delivered: 0,
    tx_in_flight: 0,
    lost: 0,
    app_limited: false,
};

fn at(ms: u64) -> AckSample {
    AckSample::of(KIND, MSS, START_MS + ms)
}

/// Down began at the start, and waits for 2,500 ms, or for rounds.
fn waiting(phase: Phase) -> (Bbr, Congestion) {
    let (mut bbr, hot) = known(phase);
    bbr.probing.began = Some(at(0).now);
    bbr.probing.wait_ms = 2_500;
    (bbr, hot)
}

// proves: draft-ietf-ccwg-bbr §5.3.3.8.3 (PickProbeWait: two to three seconds, a round less or not)
#[test]
fn the_wait_for_the_next_probe_is_drawn_by_lot_and_not_by_the_clock_alone() {
    // The bits of a clock may all be set or none: connections that begin together are told apart by what they delivered.
    for nanos in [0, u64::MAX >> 8, 1_700_000_000_000_000_000] {
        let (mut thirds, mut rounds) = ([0; 3], [0; 2]);
        for segments in 0..300u64 {
            let (mut bbr, _) = known(Phase::Up);
            bbr.sampler.delivered = segments * u64::from(MSS);
            bbr.start_down(Instant::from_nanos(nanos));
            let wait_ms = bbr.probing.wait_ms as usize;
            assert!((2_000..3_000).contains(&wait_ms), "{wait_ms}");
            thirds[(wait_ms - 2_000) * 3 / 1_000] += 1;
            rounds[bbr.rounds.since_probe as usize] += 1;
        }
        assert!(
            thirds.iter().all(|&share| (60..140).contains(&share)),
            "{thirds:?}"
        );
        assert!(
            rounds.iter().all(|&share| (100..200).contains(&share)),
            "{rounds:?}"
        );
    }
    // And those that delivered as much by when they begin.
    let mut waits: Vec<u64> = (0..300)
        .map(|ms| dice(Instant::from_millis(ms), 1_000_000))
        .collect();
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), 300);
}

#[test]
fn down_begins_a_cycle() {
    let (mut bbr, _) = known(Phase::Up);
    (bbr.losses.in_round, bbr.probing.up_step) = (true, 1_000);
    bbr.start_down(at(7).now);
    assert_eq!((bbr.phase, bbr.probing.began), (Phase::Down, Some(at(7).now)));
    assert_eq!(bbr.probing.ack_phase, AckPhase::ProbeStopping);
    assert_eq!((bbr.losses.in_round, bbr.probing.up_step), (false, 0));
}

// proves: draft-ietf-ccwg-bbr §5.3.3.8.3 (IsTimeToProbeBW), §5.3.3.9 (HasElapsedInPhase)
#[test]
fn it_probes_when_the_wait_is_over_or_newreno_had_grown() {
    for (ms, since_probe, window, due) in [
        (2_500, 0, 100_000, false),
        (2_501, 0, 100_000, true),
        (5_000, 0, 100_000, true),
        // As many rounds as segments of the product or the window, 63 at most.
        (1, 62, 100_000, false),
        (1, 63, 100_000, true),
        (1, 19, 20_000, false),
        (1, 20, 20_000, true),
        (1, 64, 100_000, true),
    ] {
        for phase in [Phase::Down, Phase::Cruise] {
            let (mut bbr, mut hot) = waiting(phase);
            bbr.bounds = Bounds {
                bandwidth_short: 1,
                inflight_short: 1,
                inflight_long: u32::MAX,
            };
            (bbr.rounds.since_probe, hot.window) = (since_probe, window);
            // Too much is outstanding for Cruise.
            let sample = AckSample {
                pipe: 200_000,
                ..at(ms)
            };
            bbr.advance_cycle(&hot, &sample, &NOTHING);
            let expected = if due { Phase::Refill } else { phase };
            assert_eq!(bbr.phase, expected, "{ms} ms, {since_probe} rounds, {window}");
            let short = if due { u32::MAX } else { 1 };
            assert_eq!(bbr.bounds.inflight_short, short, "Refill forgets it");
        }
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (IsTimeToCruise, InflightWithHeadroom)
#[test]
fn down_is_over_when_the_queue_is_empty_and_there_is_room_for_others() {
    for (long, pipe, cruises) in [
        (80_000, 68_000, true),
        (80_000, 68_001, false),
        (u32::MAX, 100_000, true),
        (u32::MAX, 100_001, false),
        (200_000, 100_001, false),
    ] {
        let (mut bbr, hot) = waiting(Phase::Down);
        bbr.bounds.inflight_long = long;
        let sample = AckSample { pipe, ..at(1) };
        bbr.advance_cycle(&hot, &sample, &NOTHING);
        let expected = if cruises { Phase::Cruise } else { Phase::Down };
        assert_eq!(bbr.phase, expected, "{pipe} of {long}");
    }
    // A probe that is due comes before.
    let (mut bbr, hot) = waiting(Phase::Down);
    bbr.advance_cycle(&hot, &at(9_000), &NOTHING);
    assert_eq!(bbr.phase, Phase::Refill);
    for (long, left) in [
        (u32::MAX, u32::MAX),
        (80_000, 68_000),
        (6_000, 5_000),
        (4_500, 4_000),
        (1, 4_000),
    ] {
        bbr.bounds.inflight_long = long;
        assert_eq!(bbr.inflight_with_headroom(MSS), left, "of {long}");
    }
}

#[test]
fn before_the_pipe_was_full_there_is_no_cycle() {
    let (mut bbr, hot) = waiting(Phase::Startup);
    bbr.full_pipe.reached = false;
    (bbr.rounds.started, bbr.probing.ack_phase) = (true, AckPhase::ProbeStopping);
    bbr.advance_cycle(&hot, &at(9_000), &NOTHING);
    assert_eq!(bbr.probing.ack_phase, AckPhase::ProbeStopping);
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (IsTimeToGoDown)
#[test]
fn up_is_over_when_the_pipe_is_full_or_what_had_been_too_much_is_outstanding() {
    // Whether the last probe had met loss, outstanding, the window, whether the pipe is full; over, and by precaution.
    for (too_high, pipe, window, app_limited, full, over, precaution) in [
        (false, 80_000, 70_000, false, true, true, false),
        (false, 80_000, 70_000, false, false, false, false),
        (true, 79_999, 70_000, false, false, false, false),
        (true, 80_000, 70_000, false, false, true, true),
        (true, 80_001, 70_000, false, false, true, true),
        // The bound keeps the rate from growing, not the path: its count begins anew.
        (false, 70_000, 80_000, false, true, false, false),
        (false, 70_000, 90_000, false, true, false, false),
        (false, 70_000, 79_999, false, true, true, false),
        (false, 70_000, 80_000, true, true, true, false),
    ] {
        let (mut bbr, mut hot) = known(Phase::Up);
        bbr.bounds.inflight_long = 80_000;
        (bbr.probing.too_high, bbr.full_pipe.now, hot.window) = (too_high, full, window);
        let sample = AckSample {
            app_limited,
            ..ack(pipe)
        };
        let case = format!("{too_high} {pipe} {window} {app_limited} {full}");
        bbr.advance_cycle(&hot, &sample, &NOTHING);
        assert_eq!(bbr.phase, if over { Phase::Down } else { Phase::Up }, "{case}");
        assert_eq!(bbr.probing.precautionary, precaution, "{case}");
        assert_eq!(bbr.probing.too_high, too_high && !over, "{case}");
        assert_eq!(bbr.full_pipe.now, full && over, "{case}");
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.3.3 (a round of Refill), §5.3.3.9 (RaiseInflightLongtermSlope)
#[test]
fn refill_lasts_a_round_and_the_growth_of_up_doubles_each_round() {
    let (mut bbr, mut hot) = known(Phase::Refill);
    hot.window = 64_000;
    bbr.advance_cycle(&hot, &ack(0), &NOTHING);
    assert_eq!(bbr.phase, Phase::Refill);
    bbr.rounds.started = true;
    bbr.advance_cycle(&hot, &ack(0), &NOTHING);
    assert_eq!((bbr.phase, bbr.probing.sampling), (Phase::Up, true));
    assert_eq!(bbr.probing.ack_phase, AckPhase::ProbeStarting);
    let mut steps = vec![bbr.probing.up_step];
    for _ in 0..40 {
        bbr.steepen(&hot, MSS);
        steps.push(bbr.probing.up_step);
    }
    assert_eq!(
        steps[..8],
        [64_000, 32_000, 16_000, 8_000, 4_000, 2_000, 1_000, 1_000]
    );
    assert_eq!(bbr.probing.up_rounds, 30);
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (ProbeInflightLongtermUpward)
#[test]
fn the_long_term_bound_grows_by_a_segment_for_each_step_that_is_acknowledged() {
    let (mut bbr, mut hot) = known(Phase::Up);
    bbr.bounds.inflight_long = 50_000;
    (hot.window, bbr.probing.up_step) = (50_000, 1_500);
    let delivered = |bbr: &mut Bbr, hot: &Congestion, octets: u32, flight: u32, app_limited: bool| {
        let sample = AckSample {
            flight,
            app_limited,
            ..AckSample::of(KIND, octets, START_MS)
        };
        bbr.raise_long_term(hot, &sample);
        (bbr.bounds.inflight_long, bbr.probing.up_acked)
    };
    assert_eq!(delivered(&mut bbr, &hot, 4_000, 50_000, false), (52_000, 1_000));
    // The window is below the bound now, or is not used.
    assert_eq!(delivered(&mut bbr, &hot, 4_000, 50_000, false), (52_000, 1_000));
    hot.window = 60_000;
    assert_eq!(delivered(&mut bbr, &hot, 4_000, 59_000, false), (52_000, 1_000));
    assert_eq!(delivered(&mut bbr, &hot, 4_000, 60_000, true), (52_000, 1_000));
    // It is above it, and used.
    assert_eq!(delivered(&mut bbr, &hot, 499, 59_001, false), (52_000, 1_499));
    assert_eq!(delivered(&mut bbr, &hot, 1, 59_001, false), (53_000, 0));
    assert_eq!(bbr.probing.up_step, 1_500);
    bbr.rounds.started = true;
    assert_eq!(delivered(&mut bbr, &hot, 3_100, 60_000, false), (55_000, 100));
    assert_eq!((bbr.probing.up_step, bbr.probing.up_rounds), (60_000, 1));
    // No step, no growth; never beyond any window.
    bbr.rounds.started = false;
    bbr.probing.up_step = 0;
    assert_eq!(delivered(&mut bbr, &hot, 1_000, 60_000, false), (55_000, 1_100));
    (bbr.probing.up_step, hot.window) = (1, MAX_WINDOW);
    assert_eq!(
        delivered(&mut bbr, &hot, 1 << 29, MAX_WINDOW, false),
        (MAX_WINDOW, 0)
    );
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (AdaptLongTermModel: which samples are those of a probe)
#[test]
fn what_acks_are_of_changes_with_the_round() {
    use AckPhase::{Init, ProbeFeedback, ProbeStarting, ProbeStopping, Refilling};
    for (before, after) in [
        (Init, Init),
        (Refilling, Refilling),
        (ProbeStarting, ProbeFeedback),
        (ProbeFeedback, ProbeFeedback),
        (ProbeStopping, Init),
    ] {
        for started in [false, true] {
            let (mut bbr, hot) = known(Phase::Cruise);
            (bbr.rounds.started, bbr.probing.ack_phase, bbr.probing.sampling) = (started, before, true);
            assert!(!bbr.adapt_long_term(&hot, &ack(0), &NOTHING));
            assert_eq!(bbr.probing.ack_phase, if started { after } else { before });
            assert_eq!(bbr.probing.sampling, !(started && before == ProbeStopping));
        }
    }
}

// proves: draft-ietf-ccwg-bbr §5.5.6 (AdvanceMaxBwFilter, once a cycle)
#[test]
fn the_end_of_a_probe_forgets_the_bandwidth_of_the_cycle_before_the_last() {
    for phase in PHASES {
        for app_limited in [false, true] {
            let (mut bbr, hot) = known(phase);
            bbr.bandwidth = MaxBandwidth::of(2_000_000, 1_000_000);
            (bbr.rounds.started, bbr.probing.ack_phase) = (true, AckPhase::ProbeStopping);
            let rate = RateSample {
                app_limited,
                ..NOTHING
            };
            bbr.adapt_long_term(&hot, &ack(0), &rate);
            let forgets = phase.in_cycle() && !app_limited;
            let expected = if forgets { 1_000_000 } else { 2_000_000 };
            assert_eq!(bbr.bandwidth.max(), expected, "{phase:?} {app_limited}");
        }
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.3.6 (precautionary probing: acceleration)
#[test]
fn a_probe_that_stopped_by_precaution_and_met_no_loss_is_followed_by_the_next_at_once() {
    for phase in [Phase::Down, Phase::Cruise, Phase::ProbeRtt, Phase::Drain] {
        for (precautionary, too_high) in [(true, false), (true, true), (false, false), (false, true)] {
            let (mut bbr, hot) = known(phase);
            (bbr.rounds.started, bbr.probing.ack_phase) = (true, AckPhase::ProbeStopping);
            (bbr.probing.precautionary, bbr.probing.too_high) = (precautionary, too_high);
            let again = phase.in_cycle() && precautionary && !too_high;
            assert_eq!(bbr.adapt_long_term(&hot, &ack(0), &NOTHING), again);
            let expected = if again { Phase::Refill } else { phase };
            assert_eq!(bbr.phase, expected, "{phase:?} {precautionary} {too_high}");
        }
    }
}

// proves: draft-ietf-ccwg-bbr §5.3.3.9 (the bound is raised by what was safe)
#[test]
fn what_was_outstanding_without_many_losses_raises_the_long_term_bound() {
    // Octets lost since it left, of 90,000; newly lost; whether there is SACK.
    for (lost, newly, sack, long, after) in [
        (0, 0, true, 80_000, 90_000),
        (0, 0, false, 80_000, 90_000),
        (1_800, 1_000, true, 80_000, 90_000),
        (1_801, 0, true, 80_000, 80_000),
        (1_000, 1_000, false, 80_000, 80_000),
        (0, 0, true, 95_000, 95_000),
        (0, 0, true, u32::MAX, u32::MAX),
        (1_801, 0, true, u32::MAX, u32::MAX),
    ] {
        let (mut bbr, hot) = known(Phase::Cruise);
        bbr.bounds.inflight_long = long;
        bbr.probing.up_step = 1;
        let rate = RateSample {
            has_data: true,
            tx_in_flight: 90_000,
            lost,
            ..NOTHING
        };
        let sample = AckSample {
            lost: newly,
            sack,
            ..ack(0)
        };
        bbr.adapt_long_term(&hot, &sample, &rate);
        assert_eq!(bbr.bounds.inflight_long, after, "{lost} {newly} {sack} {long}");
        assert_eq!(bbr.probing.up_acked, 0, "only Up looks for more");
    }
    let (mut bbr, hot) = known(Phase::Up);
    (bbr.bounds.inflight_long, bbr.probing.up_step) = (80_000, 1_000);
    bbr.adapt_long_term(&hot, &ack(0), &NOTHING);
    assert_eq!(bbr.bounds.inflight_long, 81_000);
}

// proves: draft-ietf-ccwg-bbr §5.5.10.2 (HandleInflightTooHigh)
#[test]
fn too_many_losses_set_the_bound_no_lower_than_cubic_would() {
    for (phase, inflight, window, app_limited, long, then) in [
        (Phase::Cruise, 80_000, 100_000, false, 80_000, Phase::Cruise),
        (Phase::Cruise, 60_000, 100_000, false, 70_000, Phase::Cruise),
        (Phase::Refill, 30_000, 50_000, false, 35_000, Phase::Refill),
        (Phase::Up, 80_000, 100_000, false, 80_000, Phase::Down),
        (Phase::Up, 80_000, 100_000, true, u32::MAX, Phase::Down),
        (Phase::Cruise, u32::MAX, 100_000, false, MAX_WINDOW, Phase::Cruise),
    ] {
        let (mut bbr, mut hot) = known(phase);
        (bbr.probing.sampling, hot.window) = (true, window);
        let now = ack(0).now + Duration::from_millis(1);
        bbr.inflight_was_too_high(&hot, inflight, app_limited, now);
        assert_eq!(bbr.bounds.inflight_long, long, "{phase:?} {inflight} {window}");
        assert_eq!(bbr.phase, then);
        assert_eq!((bbr.probing.sampling, bbr.probing.too_high), (false, true));
        assert_eq!(bbr.undo.phase, (phase == Phase::Up).then_some(Phase::Up));
    }
}

#[test]
fn a_window_without_room_for_a_segment_is_the_limit() {
    let hot = Congestion::new(10 * MSS);
    for (flight, app_limited, limited) in [
        (9_000, false, false),
        (9_001, false, true),
        (10_000, false, true),
        (10_000, true, false),
        (0, false, false),
        (u32::MAX, false, true),
    ] {
        let sample = AckSample {
            flight,
            app_limited,
            ..ack(0)
        };
        assert_eq!(
            is_window_limited(&hot, &sample),
            limited,
            "{flight} {app_limited}"
        );
    }
}
