//! A whole world from one seed: hosts with workers and endpoints, applications on both, links between them, and all that can
//! go wrong, on virtual time and stepped in an order that the seed draws (D11). For `scripts/sim`.
//!
//! ```text
//!   seed ─► plan: hosts, links, conversations, faults
//!                    │
//!   step: faults that are due ─► every shard and endpoint in a drawn order, a check behind each turn
//!         ─► routers speak ─► frames are looked at ─► ledger: was anything wrong? ─► time goes on
//!                    │
//!   until all is calm and every conversation is over ─► endpoints go ─► everything is as at the beginning
//! ```
//! | file | idea |
//! |---|---|
//! | draw, plan, script, extras, faults | what a seed means |
//! | world, host | time, order, links; one host, its beginning and its end |
//! | on_worker, on_endpoint, player | applications, and the script that each plays |
//! | ledger | what applications did and heard: bytes, causes |
//! | ends | how a connection may end, and how long nothing may happen |
//! | hands | connections that change hands |
//! | whose | which connection is which, when a port is used again |
//! | checks | what must hold of a shard behind every turn, and when all is over |
//! | frames | frames in words; the ICMP of routers |
//!
//! The same seed gives the same run, to the last frame: [`Report::digest`] shows it.

mod checks;
mod draw;
mod ends;
mod extras;
mod faults;
mod frames;
mod hands;
mod host;
mod ledger;
mod on_endpoint;
mod on_worker;
mod plan;
mod player;
mod script;
mod whose;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use on_worker::PlannedPanic;
use plan::WorldPlan;
use world::World;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What is left out of a world, to see whether it fails without it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// By bit: conversations.
    pub conversations: u64,
    /// Nothing goes wrong on links or with hosts.
    pub faults: bool,
    /// Nobody has what is beyond a conversation's script.
    pub extras: bool,
}

/// Seeds that failed once, and with what left out: they are run whatever else is.
pub const KEPT: &[(u64, Without)] = &[
    // An endpoint that sent left no buffer to a handler.
    (26_253, Without::EXTRAS),
    // An endpoint was dropped with connections that it had not accepted.
    (72_347, Without::EXTRAS),
    (91_490, Without::EXTRAS),
    // Who dawdled closed when TIME_WAIT was over.
    (74_858, Without::EXTRAS),
    // A key of RSS had so low a rank that a worker had no port to open from.
    (42_440, Without::EXTRAS),
    // Two sides with full windows waited for each other: a window was taken for an old one by its segment's number alone.
    (37_237, Without::EXTRAS),
    // Who took over a connection with a grown queue had credit for more than the queue would take.
    (1_086, Without::NOTHING),
    (1_225, Without::NOTHING),
    (1_462, Without::NOTHING),
    // Two hosts whose echoes held all receive buffers: who had read everything was refused what was next, for what it had sent itself.
    (27_122, Without::NOTHING),
    // What came in, was handed out and was reset within one turn.
    (12_103, Without::NOTHING),
    (37_207, Without::NOTHING),
    (50_358, Without::NOTHING),
    // The last ACK was lost, and a reader that dawdled heard of the RST first.
    (48_781, Without::NOTHING),
    // One stream of an endpoint took all that could be lent, again and again, and another one's bytes waited.
    (90_997, Without::NOTHING),
    // Who opens fast is refused for what ends its acceptor, or by a RST of the round before.
    (52_334, Without::NOTHING),
    (52_873, Without::NOTHING),
];

impl Without {
    /// Everything is there.
    pub const NOTHING: Self = Self {
        conversations: 0,
        faults: false,
        extras: false,
    };
    /// The world as it was before there were extras.
    const EXTRAS: Self = Self {
        extras: true,
        ..Self::NOTHING
    };
}

/// What a world came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rounds in which everybody was stepped.
    pub steps: u64,
    /// Frames that left a port.
    pub frames: u64,
    /// Bytes that applications read.
    pub bytes: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Virtual time.
    pub spans: Duration,
    /// A number made of every frame and its time.
    pub digest: u64,
    /// The last segments and events, when they were asked for.
    pub journal: Vec<String>,
}

/// What was wrong with a world.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The step at which it was found.
    pub step: u64,
    /// The virtual time.
    pub at: Duration,
    /// What was wrong, and where.
    pub what: String,
    /// The last segments and events before, when they were asked for.
    pub journal: Vec<String>,
}

impl Failure {
    /// It went on for longer than any world does.
    pub fn is_endless(&self) -> bool {
        self.step > world::STEPS_MOST
    }
}

/// Runs the world of a seed; with `journal`, what happened last comes along.
///
/// # Errors
/// What was wrong first: a check that failed, or a panic.
pub fn run(seed: u64, without: &Without, journal: bool) -> Result<Report, Box<Failure>> {
    let mut world = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let plan = WorldPlan::draw(seed, without);
        world.insert(World::new(plan, journal)).run()
    }));
    let what = match result {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(what)) => what,
        Err(panic) => format!("panic: {}", message(panic.as_ref())),
    };
    let (step, at, journal) = match &mut world {
        Some(world) => {
            let mut lines: Vec<_> = world.journal.take().unwrap_or_default().into();
            if journal {
                lines.extend(catch_unwind(AssertUnwindSafe(|| world.counts())).unwrap_or_default());
            }
            (world.steps, Duration::from_nanos(world.now()), lines)
        }
        None => (0, Duration::ZERO, Vec::new()),
    };
    // What is half done may not drop well.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(world)));
    Err(Box::new(Failure {
        seed,
        step,
        at,
        what,
        journal,
    }))
}

/// The plan of a seed, in words.
pub fn plan(seed: u64, without: &Without) -> String {
    format!("{:#?}", WorldPlan::draw(seed, without))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        panic.downcast_ref::<&str>().copied().unwrap_or("without words")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as a debug build does in some seconds; `scripts/sim` does thousands.
    #[test]
    fn worlds_hold() {
        for seed in 0..40 {
            if let Err(failure) = run(seed, &Without::default(), false) {
                panic!("seed {seed}: {}", failure.what);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run_to_the_last_frame() {
        for seed in [3, 17, 29] {
            let first = run(seed, &Without::default(), false).expect("it holds");
            let mut again = run(seed, &Without::default(), true).expect("it holds");
            assert!(!std::mem::take(&mut again.journal).is_empty());
            assert_eq!(first, again, "seed {seed}");
            assert!(first.frames > 0);
        }
    }
}
