//! Header prediction is an optimisation only: with it and without it every step tells and sends the same.

use fourtuple_tcp::State;
use proptest::prelude::*;

use crate::steps::{AnySegment, Player, Step, any_step, honest_step};
use crate::support::{ACK, FIN};

fn compare(state: State, options: bool, steps: &[Step]) -> u64 {
    compare_from(|prediction| Player::in_state(state, options, prediction), steps)
}

fn compare_from(begin: impl Fn(bool) -> Player, steps: &[Step]) -> u64 {
    let (mut fast, mut slow) = (begin(true), begin(false));
    for step in steps {
        let (fast_told, fast_sent) = fast.play(step);
        let (slow_told, slow_sent) = slow.play(step);
        assert_eq!(format!("{fast_told:?}"), format!("{slow_told:?}"), "{step:?}");
        assert_eq!(format!("{fast_sent:?}"), format!("{slow_sent:?}"), "{step:?}");
        assert_eq!(
            format!("{:?}", fast.end.tcb),
            format!("{:?}", slow.end.tcb),
            "{step:?}"
        );
        assert_eq!(
            fast.end.tcb.deadline(fast.end.now),
            slow.end.tcb.deadline(slow.end.now),
            "{step:?}"
        );
        assert_eq!(fast.end.pools.in_use(), slow.end.pools.in_use(), "{step:?}");
    }
    assert_eq!(slow.end.counters.predicted, 0);
    let predicted = fast.end.counters.predicted;
    fast.end.counters.predicted = 0;
    assert_eq!(fast.end.counters, slow.end.counters);
    predicted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn with_and_without_prediction_honest_peers_see_the_same(
        options in any::<bool>(),
        steps in proptest::collection::vec(honest_step(), 1..60),
    ) {
        compare(State::Established, options, &steps);
    }

    #[test]
    fn with_and_without_prediction_any_peer_sees_the_same(
        state in proptest::sample::select(State::ALL.to_vec()),
        options in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..40),
    ) {
        compare(state, options, &steps);
    }

    #[test]
    fn with_and_without_prediction_whoever_ends_a_handshake_sees_the_same(
        options in any::<bool>(),
        first in prop_oneof![honest_step(), any_step()],
        steps in proptest::collection::vec(prop_oneof![honest_step(), any_step()], 0..20),
    ) {
        let steps: Vec<Step> = std::iter::once(first).chain(steps).collect();
        compare_from(|prediction| Player::accepting(options, prediction), &steps);
    }
}

/// As of the prediction: the property would hold for trains that nobody takes.
#[test]
fn much_text_leaves_in_trains() {
    let mut player = Player::in_state(State::Established, true, true);
    player.end.try_write(&[7; 20_000]).expect("room");
    let ones: usize = (0..3).map(|_| player.end.poll_train(15).len()).sum();
    // The third makes more than two outstanding; ten segments are the initial window (RFC 6928).
    assert_eq!(ones, 10);
    assert!(player.end.poll_train(15).is_empty());
}

/// The property would hold for a fast path that is never taken; it is taken.
#[test]
fn prediction_takes_an_honest_exchange() {
    let mut steps = Vec::new();
    for _ in 0..100 {
        steps.extend([
            Step::Write(64),
            Step::Poll,
            Step::InOrder {
                len: 64,
                acked: 64,
                window: 60_000,
            },
            Step::Read,
        ]);
    }
    assert_eq!(compare(State::Established, true, &steps), 100);
    assert_eq!(compare(State::Established, false, &steps), 100);
}

/// The same of how connections begin and end.
#[test]
fn prediction_takes_a_plain_beginning_and_a_plain_end() {
    let bare = Step::Segment(AnySegment::bare());
    let fin = Step::Segment(AnySegment {
        flags: (ACK | FIN).0,
        ..AnySegment::bare()
    });
    for options in [true, false] {
        for len in [0, 64] {
            let opening = Step::InOrder {
                len,
                acked: 1,
                window: 60_000,
            };
            assert_eq!(
                compare(State::SynReceived, options, std::slice::from_ref(&opening)),
                1,
                "{len} octets"
            );
            let passive = compare_from(|prediction| Player::accepting(options, prediction), &[opening]);
            assert_eq!(passive, 1, "{len} octets");
        }
        let asked = [
            Step::InOrder {
                len: 64,
                acked: 0,
                window: 60_000,
            },
            Step::Read,
            Step::Write(64),
            Step::Poll,
        ];
        for close in [Step::Shutdown, Step::Close] {
            let end = [fin.clone(), close, Step::Poll, bare.clone(), bare.clone()];
            let steps: Vec<Step> = asked.iter().cloned().chain(end).collect();
            assert_eq!(
                compare(State::Established, options, &steps),
                3,
                "text, FIN and the last ACK"
            );
        }
    }
}
