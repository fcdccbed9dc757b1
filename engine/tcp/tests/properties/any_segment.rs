//! Any steps in any state: no panic, no shrinking window, output that has an end, and pools that are whole again.

use fourtuple_tcp::{State, SynArrival};
use fourtuple_wire::SeqNum;
use proptest::prelude::*;

use crate::steps::{Player, any_segment, any_step};
use crate::support::{SYN, Setup, passive_record, seg};

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

    /// Whatever a SYN record takes for the end of its handshake, its TCB takes for that as well.
    #[test]
    fn a_syn_record_and_its_tcb_agree(options in any::<bool>(), segment in any_segment()) {
        let mut setup = Setup::default();
        if options {
            setup.profile.timestamps = true;
            setup.profile.window_scaling = true;
            setup.profile.receive_buffer = 1 << 20;
            setup.peer_syn = seg(SYN).mss(1000).window_scale(2).timestamps(1_000, 0);
        }
        let mut record = passive_record(&setup);
        let header = segment.header(SeqNum(setup.irs) + 1, SeqNum(setup.iss) + 1, SeqNum(setup.iss), (1_000, 0), options);
        let arrival = record.segment_arrives(&header, segment.len, &setup.profile, setup.start);
        if arrival == SynArrival::Establish {
            let mut end = setup.accepted();
            end.tcb = end.with(|_, env| record.establish(env));
            let arrival = end.arrives_raw(&header, &vec![7; segment.len]);
            prop_assert!(arrival.signals.contains(fourtuple_tcp::Signals::ESTABLISHED), "{arrival:?}");
        }
    }
}
