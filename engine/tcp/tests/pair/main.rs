//! Two TCBs over a bad link: whatever it loses, delays, reorders or duplicates, the byte streams arrive exactly, both ways,
//! and both connections end in order.

#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

mod bulk;
mod link;
mod sides;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use fourtuple_tcp::{Ending, Path, PoolSizes, Profile};

use link::{LinkProfile, Rng};
use sides::{Pair, Plan, Setup};

const BAD: LinkProfile = LinkProfile {
    loss: 5,
    duplicate: 3,
    reorder: 10,
    delay_us: 2_000,
    jitter_us: 8_000,
    widest: usize::MAX,
};

fn profile() -> Profile {
    // R2 is long, so that only a stuck connection fails; and so is TIME_WAIT, or an end whose FIN is lost again and again
    // while its timeout is long would meet a peer that is gone, which resets it (RFC 9293 §3.10.7.1).
    Profile::default().with(|profile| {
        profile.r2 = Duration::from_secs(3_000);
        profile.msl = Duration::from_secs(1_500);
    })
}

fn setup(seed: u64) -> Setup {
    let plan = Plan {
        total: 60_000,
        chunk: 5_000,
        reads: 70,
        eager_close: true,
    };
    Setup {
        seed,
        profiles: [profile(), profile()],
        path: Path {
            receive_mss: 1460,
            send_mss_limit: 1460,
            default_mss: 536,
        },
        link: LinkProfile::CLEAN,
        plans: [plan.clone(), plan],
        simultaneous_open: false,
        overhead: 300,
        pools: PoolSizes {
            send_chunks: 2_000,
            receive_chunks: 2_000,
            reassemblies: 4,
            flights: 4,
            long_scoreboards: 1,
            asides: 4,
        },
    }
}

/// Runs it and checks the streams and the ends.
fn run(setup: Setup) -> Pair {
    let totals = [setup.plans[0].total, setup.plans[1].total];
    let mut pair = Pair::new(setup);
    pair.run();
    for index in 0..2 {
        let side = &pair.sides[index];
        assert_eq!(side.read, totals[1 - index], "side {index} reads all");
        assert!(side.end_of_file, "side {index} sees the end of file");
        assert_eq!(side.established, 1, "side {index} is established once");
        assert!(
            matches!(side.ended, Some(Ending::Closed | Ending::TimeWait)),
            "{:?}",
            side.ended
        );
    }
    pair
}

#[test]
fn a_clean_link_needs_no_retransmission() {
    for seed in 0..20 {
        let pair = run(setup(seed));
        for side in &pair.sides {
            let counters = &side.counters;
            let sent_again = counters.retransmits_fast + counters.retransmits_rto + counters.retransmits_syn;
            assert_eq!(
                (sent_again, counters.rto_expiries),
                (0, 0),
                "seed {seed}: {counters:?}"
            );
            assert!(
                counters.predicted * 3 > counters.segments_in,
                "prediction takes its part: {counters:?}"
            );
        }
    }
}

#[test]
fn streams_arrive_exactly_over_a_bad_link_with_every_set_of_options() {
    for seed in 0..64 {
        let mut setup = setup(1_000 + seed);
        setup.link = BAD;
        for (index, profile) in setup.profiles.iter_mut().enumerate() {
            let bits = seed >> (3 * index);
            profile.sack = bits & 1 == 0;
            profile.timestamps = bits & 2 == 0;
            profile.window_scaling = bits & 4 == 0;
        }
        run(setup);
    }
}

#[test]
fn streams_arrive_exactly_whatever_the_link_and_the_application_do() {
    for seed in 0..96 {
        let mut rng = Rng::new(seed);
        let mut setup = setup(2_000 + seed);
        setup.link = LinkProfile {
            loss: rng.below(15),
            duplicate: rng.below(10),
            reorder: rng.below(50),
            delay_us: rng.below(50_000),
            jitter_us: rng.below(100_000),
            widest: usize::MAX,
        };
        for index in 0..2 {
            setup.profiles[index].nodelay = rng.chance(50);
            setup.profiles[index].sack = rng.chance(70);
            setup.profiles[index].timestamps = rng.chance(70);
            setup.profiles[index].header_prediction = rng.chance(80);
            setup.plans[index] = Plan {
                total: rng.below(60_000) as usize,
                chunk: 1 + rng.below(9_000) as usize,
                reads: 5 + rng.below(95),
                eager_close: index == 0 || rng.chance(50),
            };
        }
        run(setup);
    }
}

#[test]
fn tiny_buffers_never_stall() {
    for seed in 0..48 {
        let mut rng = Rng::new(seed);
        let mut setup = setup(3_000 + seed);
        setup.link = LinkProfile {
            loss: rng.below(8),
            delay_us: 1_000,
            ..BAD
        };
        setup.overhead = rng.below(2_000) as usize;
        for index in 0..2 {
            setup.profiles[index].receive_buffer = 1 + rng.below(6_000) as u32;
            setup.profiles[index].send_buffer = 1 + rng.below(6_000) as u32;
            setup.plans[index] = Plan {
                total: 6_000,
                chunk: 3_000,
                reads: 10 + rng.below(60),
                eager_close: rng.chance(50) || index == 0,
            };
        }
        run(setup);
    }
}

#[test]
fn empty_pools_slow_a_connection_down_and_never_stop_it() {
    for seed in 0..24 {
        let mut setup = setup(4_000 + seed);
        setup.link = BAD;
        setup.pools = PoolSizes {
            send_chunks: (seed % 3) as u32,
            receive_chunks: 1 + (seed % 4) as u32,
            reassemblies: (seed % 2) as u32,
            flights: (seed % 2) as u32,
            long_scoreboards: 1,
            asides: (seed % 2) as u32,
        };
        for plan in &mut setup.plans {
            plan.total = 20_000;
        }
        run(setup);
    }
}

// proves: RFC 9293 MUST-10
#[test]
fn a_simultaneous_open_makes_one_connection_over_any_link() {
    for seed in 0..48 {
        let mut setup = setup(5_000 + seed);
        setup.simultaneous_open = true;
        setup.link = if seed % 2 == 0 { LinkProfile::CLEAN } else { BAD };
        for plan in &mut setup.plans {
            plan.total = 5_000;
        }
        run(setup);
    }
}

#[test]
fn nothing_to_say_still_opens_and_closes_at_both_ends_at_once() {
    for seed in 0..48 {
        let mut setup = setup(6_000 + seed);
        setup.link = if seed % 2 == 0 { LinkProfile::CLEAN } else { BAD };
        for plan in &mut setup.plans {
            plan.total = 0;
        }
        run(setup);
    }
}

#[test]
fn a_half_closed_connection_carries_the_other_direction_to_its_end() {
    for seed in 0..32 {
        let mut setup = setup(7_000 + seed);
        setup.link = BAD;
        setup.plans[0].total = 10;
        setup.plans[1] = Plan {
            total: 40_000,
            chunk: 2_000,
            reads: 50,
            eager_close: false,
        };
        run(setup);
    }
}

// proves: RFC 4821 §7.7
#[test]
fn streams_arrive_over_a_path_that_swallows_large_segments() {
    for seed in 0..24 {
        let mut rng = Rng::new(seed);
        let mut setup = setup(8_000 + seed);
        setup.link = LinkProfile {
            widest: 524 + rng.below(900) as usize,
            loss: if seed % 3 == 0 { 2 } else { 0 },
            ..LinkProfile::CLEAN
        };
        for profile in &mut setup.profiles {
            profile.timestamps = seed % 2 == 0;
            profile.sack = seed % 4 < 2;
        }
        for plan in &mut setup.plans {
            plan.total = 300_000;
            plan.chunk = 30_000;
        }
        let pair = run(setup);
        let suspected: u64 = pair
            .sides
            .iter()
            .map(|side| side.counters.path_mtu_suspected)
            .sum();
        assert!((2..12).contains(&suspected), "seed {seed}: {suspected}");
    }
}
