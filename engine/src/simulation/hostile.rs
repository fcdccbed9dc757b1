//! Any bytes, at any time: no panic, and when all is over everything is as at the start.

use std::time::Duration;

use fourtuple_nic_mem::Random;
use proptest::prelude::*;

use super::fuzz::{exchange, fix_checksums, say, settle, turn};
use super::handlers::Echo;
use super::{Plan, World};
use crate::listener::Listen;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn mangled_frames_leave_no_trace(
        seed: u64,
        junk in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
    ) {
        let frames = exchange();
        let mut random = Random::new(seed);
        let mut world = World::new(&Plan::default(), |_| Echo::default(), |_| Echo::default());
        world.server.listen(0, &Listen::on(7));
        for round in 0..200 {
            let mut frame = frames[random.below(frames.len() as u64) as usize].clone();
            for _ in 0..random.below(4) {
                let place = random.below(frame.len() as u64) as usize;
                frame[place] ^= 1 << random.below(8);
            }
            if random.below(8) == 0 {
                frame.truncate(random.below(frame.len() as u64) as usize);
            }
            fix_checksums(&mut frame);
            say(&mut world, &frame);
            if let Some(bytes) = junk.get(round) {
                say(&mut world, bytes);
            }
            world.clock.advance(match random.below(20) {
                0 => Duration::from_millis(300),
                1 => Duration::from_secs(3),
                _ => Duration::from_micros(random.below(500)),
            });
            turn(&mut world);
        }
        settle(&mut world);
    }
}
