//! What the engine adds to a request's way at a part of its full load: from the moment a frame is there to the moment its
//! answer has left.
//!
//! One thread, with a clock that stands still while the client and the link have their turns: the server's worker polls all the
//! time that goes by, as one on a core of its own does. Requests come at random (Poisson), whatever became of those before
//! (open loop): who finds the worker busy waits, and that counts.
//!
//! A machine that others use takes the thread away meanwhile, for milliseconds at a time, and all that comes then waits. A turn
//! that lasts longer than any work of its own could is such a gap: what gaps took is told, and the latencies of those that
//! came when none had to be made up for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::ends::{Ends, Service};
use crate::scenarios::{BURST, Order, REQUEST};

/// Connections that requests come on.
const CONNECTIONS: usize = 64;

/// A clock that can stand still.
struct Clock {
    began: Instant,
    stood: Duration,
}

impl Clock {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            stood: Duration::ZERO,
        }
    }

    fn now_ns(&self) -> u64 {
        (self.began.elapsed() - self.stood).as_nanos() as u64
    }

    /// Time does not go by meanwhile.
    fn stands<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = act();
        self.stood += began.elapsed();
        result
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Added {
    /// Nanoseconds an exchange of full bursts, which is what full load means.
    pub(crate) full_ns: f64,
    /// From frame in to frame out, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same of requests that no gap held up.
    pub(crate) undisturbed: Histogram<u64>,
    /// The part of the time that gaps took, 0 to 1.
    pub(crate) lost: f64,
}

/// Requests for so long at `part` of full load, 0 to 1.
pub(crate) fn run(part: f64, span: Duration) -> std::io::Result<Added> {
    let mut ends = Ends::new(Service::Echo, CONNECTIONS as u32)?;
    let open = ends.establish(CONNECTIONS as u32);
    let mut order = Order::of(open);
    let full_ns = full_load(&mut ends, &mut order);
    let gap_ns = full_ns / part.clamp(0.001, 1.0);
    let mut latency = Histogram::new_with_bounds(1, 10_000_000_000, 3)
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut undisturbed = latency.clone();
    // What gaps took so far, and whether what came in the last is still made up for.
    let (mut lost_ns, mut behind) = (0, false);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut clock = Clock::new();
    let began = ends.now.as_nanos();
    let end = span.as_nanos() as u64;
    let mut next = 0.0;
    // When each request under way came, and what was asked ahead of its time.
    let mut under_way: VecDeque<u64> = VecDeque::with_capacity(CONNECTIONS);
    let mut ahead = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let now = clock.now_ns();
        if now >= end {
            let lost = lost_ns as f64 / end.max(1) as f64;
            return Ok(Added {
                full_ns,
                latency,
                undisturbed,
                lost,
            });
        }
        if next <= now as f64 && under_way.len() < CONNECTIONS {
            clock.stands(|| {
                if ahead.is_empty() {
                    ends.ask(order.next(1), &REQUEST);
                    ends.client_turns();
                    ahead.extend(ends.client.queue().take_sent());
                }
                let arrived = ends.server.queue();
                ahead.drain(..).for_each(|frame| arrived.arrive(frame));
            });
            under_way.push_back(next as u64);
            next += random.gap(gap_ns);
        }
        ends.now = fourtuple::Instant::from_nanos(began + clock.now_ns());
        ends.server.turn(ends.now);
        let sent = ends.server.queue().unsent();
        let took = clock.now_ns() - now;
        if took > GAP_NS {
            (lost_ns, behind) = (lost_ns + took, true);
        }
        if sent > 0 {
            let now = clock.now_ns();
            for came in under_way.drain(..sent.min(under_way.len())) {
                let added = now.saturating_sub(came).max(1);
                latency.saturating_record(added);
                if !behind {
                    undisturbed.saturating_record(added);
                }
            }
            clock.stands(|| ends.carry_to_client());
        }
        // All that came in a gap is answered, and the next is not due yet.
        behind &= !under_way.is_empty() || next <= clock.now_ns() as f64;
    }
}

/// A turn of so many nanoseconds did not have the processor all the time: the largest, with a full burst, takes some ten thousand.
const GAP_NS: u64 = 20_000;

/// Nanoseconds an exchange when bursts are full.
fn full_load(ends: &mut Ends, order: &mut Order) -> f64 {
    let mut spent = Duration::ZERO;
    let mut exchanges = 0;
    for round in 0..FULL_ROUNDS * 2 {
        ends.ask(order.next(BURST), &REQUEST);
        ends.client_turns();
        let frames = ends.carry_to_server();
        let began = Instant::now();
        ends.server.turn(ends.now);
        if round >= FULL_ROUNDS {
            spent += began.elapsed();
            exchanges += frames;
        }
        ends.carry_to_client();
    }
    spent.as_nanos() as f64 / exchanges.max(1) as f64
}

/// Bursts for the cost at full load, as many before.
const FULL_ROUNDS: usize = 2_000;

/// A linear congruential sequence: every run has the same gaps.
struct Random(u64);

impl Random {
    /// Time to the next of events that come at random, so far apart on average.
    fn gap(&mut self, mean: f64) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // 53 digits, never 0.
        let part = ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -part.ln() * mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_their_mean() {
        let mut random = Random(1);
        let sum: f64 = (0..100_000).map(|_| random.gap(1_000.0)).sum();
        assert!((990.0..1_010.0).contains(&(sum / 100_000.0)), "{sum}");
    }

    #[test]
    fn each_request_has_its_latency() {
        let added = run(0.1, Duration::from_millis(20)).unwrap();
        assert!(!added.latency.is_empty() && added.full_ns > 0.0);
        assert!(added.undisturbed.len() <= added.latency.len());
        assert!((0.0..=1.5).contains(&added.lost), "{}", added.lost);
    }
}
