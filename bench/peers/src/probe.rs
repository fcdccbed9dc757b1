//! Where the host has put two cores: a cache line goes to and fro between them, and both compute at once.
//!
//! | state | a line there and back | computing while the other does |
//! |---|---|---|
//! | NEAR | below 200 ns | as fast as alone |
//! | FAR | above | as fast as alone |
//! | SHARED | below 200 ns | slower: two threads of one physical core |
//! | ONE | – | there is only one core |

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pin;

/// Times that the line goes there and back in one try, and tries: a few milliseconds in all.
const ROUNDS: u32 = 4_000;
const TRIES: usize = 9;

/// The line comes back later than this: FAR.
const NEAR_NS: f64 = 200.0;

/// Computing takes this much longer while the other core computes: SHARED.
const SHARED: f64 = 1.35;

/// Looks at the first two of `cores`.
pub(crate) fn run(cores: &[usize]) -> Value {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    let usable: Vec<usize> = cores
        .iter()
        .copied()
        .filter(|core| known.iter().any(|id| id.id == *core))
        .collect();
    let &[one, other, ..] = usable.as_slice() else {
        return json!({ "state": "ONE" });
    };
    pin(one);
    let round_trip_ns = round_trip(other);
    let slower = slower_together(other);
    json!({
        "state": state(round_trip_ns, slower),
        "round_trip_ns": round_trip_ns,
        "slower_together": slower,
        "cores": [one, other],
    })
}

fn state(round_trip_ns: f64, slower: f64) -> &'static str {
    if round_trip_ns > NEAR_NS {
        "FAR"
    } else if slower > SHARED {
        "SHARED"
    } else {
        "NEAR"
    }
}

/// The least of several tries, in nanoseconds: what delays a try is not distance.
fn round_trip(other: usize) -> f64 {
    let line = AtomicU32::new(0);
    let last = ROUNDS * TRIES as u32 * 2;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(other);
            // Answers each odd number by the next even one.
            let mut expected = 1;
            while expected < last {
                while line.load(Ordering::Acquire) != expected {
                    spin_loop();
                }
                line.store(expected + 1, Ordering::Release);
                expected += 2;
            }
        });
        let mut sent = 1;
        let tries = (0..TRIES).map(|_| {
            let started = Instant::now();
            for _ in 0..ROUNDS {
                line.store(sent, Ordering::Release);
                while line.load(Ordering::Acquire) != sent + 1 {
                    spin_loop();
                }
                sent += 2;
            }
            started.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
        });
        tries.fold(f64::INFINITY, f64::min)
    })
}

/// How much longer the same work takes while the other core works too.
fn slower_together(other: usize) -> f64 {
    let alone = least(work);
    let over = AtomicBool::new(false);
    let together = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(other);
            while !over.load(Ordering::Relaxed) {
                work();
            }
        });
        let together = least(work);
        over.store(true, Ordering::Relaxed);
        together
    });
    together.as_nanos() as f64 / alone.as_nanos().max(1) as f64
}

fn least(act: fn()) -> Duration {
    let time = |_| {
        let started = Instant::now();
        act();
        started.elapsed()
    };
    (0..TRIES).map(time).min().unwrap_or_default()
}

/// Half a millisecond of four independent chains, which fill the core's units.
fn work() {
    let mut chains = [1u64, 2, 3, 4];
    for step in 0..200_000u64 {
        for chain in &mut chains {
            *chain = chain.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
        }
    }
    black_box(chains);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        for (round_trip_ns, slower, expected) in [
            (80.0, 1.0, "NEAR"),
            (80.0, 1.8, "SHARED"),
            (340.0, 1.0, "FAR"),
            (340.0, 1.8, "FAR"),
        ] {
            assert_eq!(state(round_trip_ns, slower), expected);
        }
    }
}
