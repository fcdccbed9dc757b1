//! Any steps in any state: no panic, no shrinking window, output that has an end, and pools that are whole again.

use fourtuple_tcp::State;
use proptest::prelude::*;

use crate::steps::{Player, any_step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_in_any_state_do_no_harm(
        state in proptest::sample::select(State::ALL.to_vec()),
        options in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..40),
    ) {
        let mut player = Player::in_state(state, options, true);
        for step in &steps {
            player.play(step);
        }
        player.end.drain();
        player.end.expect_pools_whole();
    }

    /// A connection whose application is gone ends by itself, whatever the peer does, or does not.
    #[test]
    fn an_orphan_always_ends(
        state in proptest::sample::select(State::ALL.to_vec()),
        options in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 0..20),
    ) {
        let mut player = Player::in_state(state, options, true);
        for step in &steps {
            player.play(step);
        }
        player.end.close();
        for _ in 0..400 {
            player.end.drain();
            if player.end.tcb.is_closed() {
                break;
            }
            let _ = player.end.fire();
        }
        player.end.drain();
        prop_assert!(player.end.tcb.is_closed(), "{:?}", player.end.tcb);
        player.end.expect_pools_whole();
    }
}
