//! The thread that watches a run: connect, warm up, measure, finish. It sleeps between looks; workers never wait for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fourtuple::stats::Block;
use fourtuple::{Engine, Profile, Queue};
use hdrhistogram::Histogram;

use crate::generator::Generator;
use crate::plan::{Limit, Pattern, Plan, PlanError};
use crate::recorder::{Counts, histogram};
use crate::shared::{Failure, Phase, Shared};

/// A run: generators for the workers of one engine, and what watches them.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    profile: Profile,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connections are opened.
    Connecting,
    /// Operations are done and not counted.
    WarmingUp,
    /// Operations count.
    Measuring,
}

/// Numbers of a run under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Time since the stage began.
    pub elapsed: Duration,
    /// What was counted since the measuring began.
    pub counts: Counts,
    /// Operations a second since the last look.
    pub operations_per_s: f64,
    /// Connections that are open.
    pub open: u32,
}

/// Who looks on while a run goes.
pub trait Watch {
    /// Some times a second.
    fn on_progress(&mut self, progress: &Progress) {
        let _ = progress;
    }

    /// The run is to end now, with what there is.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Busy time of the server's workers since their start, where it is known.
    fn server_busy(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was to do.
    Complete,
    /// The watcher said so.
    Interrupted,
    /// No connection could be opened.
    Unreachable(String),
    /// Nothing moved any more.
    Stalled(String),
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// Measured time, the longest of all workers.
    pub measured: Duration,
    /// What all workers counted.
    pub counts: Counts,
    /// Latencies of all operations, in nanoseconds.
    pub latency_ns: Histogram<u64>,
    /// Busy time of the generator's busiest worker within the measured time.
    pub client_busy: Duration,
    /// Busy time of the server's workers within the measured time.
    pub server_busy: Duration,
}

impl Default for Outcome {
    /// Nothing was done, and that was all there was to do.
    fn default() -> Self {
        Self {
            ending: Ending::Complete,
            measured: Duration::ZERO,
            counts: Counts::default(),
            latency_ns: histogram(),
            client_busy: Duration::ZERO,
            server_busy: Duration::ZERO,
        }
    }
}

impl Run {
    /// For an engine with so many workers. `profile` is what its connections are opened with.
    ///
    /// # Errors
    /// [`PlanError`], which names the field and the fix.
    pub fn new(plan: Plan, profile: Profile, workers: u16) -> Result<Self, PlanError> {
        plan.validate()?;
        Ok(Self {
            plan: Arc::new(plan),
            shared: Arc::new(Shared::new(workers)),
            profile,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The handler of one worker.
    pub fn generator<Q: Queue>(&self, worker: u16) -> Generator<Q> {
        Generator::new(
            Arc::clone(&self.plan),
            Arc::clone(&self.shared),
            self.profile.clone(),
            worker,
        )
    }

    /// Runs to the end on `engine`, whose handlers came from [`generator`](Self::generator).
    pub fn drive<Q: Queue>(&self, engine: &Engine<Q>, watch: &mut dyn Watch) -> Outcome {
        let mut driver = Driver {
            run: self,
            watch,
            blocks: &|| engine.blocks(),
            since: Instant::now(),
            looked: (Instant::now(), 0),
            client_busy: Vec::new(),
            server_busy: Duration::ZERO,
        };
        let ending = driver.all_stages();
        driver.outcome(ending)
    }
}

struct Driver<'a> {
    run: &'a Run,
    watch: &'a mut dyn Watch,
    blocks: &'a dyn Fn() -> Vec<Block>,
    /// When the stage began.
    since: Instant,
    /// The last look, and the operations that were done then.
    looked: (Instant, u64),
    client_busy: Vec<Duration>,
    server_busy: Duration,
}

impl Driver<'_> {
    fn all_stages(&mut self) -> Ending {
        if let Err(ending) = self.connect() {
            return ending;
        }
        if !self.run.plan.warmup.is_zero() {
            self.run.shared.enter(Phase::WarmUp);
            self.since = Instant::now();
            let warmup = self.run.plan.warmup;
            while self.since.elapsed() < warmup {
                if let Err(ending) = self.look(Stage::WarmingUp, warmup.saturating_sub(self.since.elapsed()))
                {
                    return ending;
                }
            }
        }
        self.settle();
        self.client_busy = busy_of(&(self.blocks)());
        self.server_busy = self.watch.server_busy();
        self.run.shared.enter(Phase::Measure);
        self.since = Instant::now();
        self.measure().err().unwrap_or(Ending::Complete)
    }

    /// Waits until all connections are open, or no more will be.
    fn connect(&mut self) -> Result<(), Ending> {
        let shared = &self.run.shared;
        let (mut best, mut moved) = (0, Instant::now());
        loop {
            if shared
                .workers
                .iter()
                .all(|worker| worker.ready.load(Ordering::Relaxed))
            {
                // None that is held: all were tried, once.
                return if self.run.plan.pattern == Pattern::Hold && shared.open() == 0 {
                    Err(Ending::Unreachable(self.unreachable()))
                } else {
                    Ok(())
                };
            }
            let open = shared.open();
            if open > best {
                (best, moved) = (open, Instant::now());
            }
            // Failures are retried: one that stands for longer than an operation may take is the target's answer.
            let refused = best == 0
                && matches!(
                    self.failure(),
                    Some(Failure::Peer(fourtuple::ConnectionError::Refused))
                )
                && moved.elapsed() > REFUSED_FOR;
            let patience = self.run.plan.timeout + SLACK;
            let ramped = best == 0 || self.since.elapsed() > self.run.plan.ramp + patience;
            if refused || (ramped && moved.elapsed() > patience) {
                return if best == 0 {
                    Err(Ending::Unreachable(self.unreachable()))
                } else {
                    Ok(())
                };
            }
            self.look(Stage::Connecting, SLACK)?;
        }
    }

    fn measure(&mut self) -> Result<(), Ending> {
        let (mut best, mut moved) = (0, Instant::now());
        loop {
            match self.run.plan.limit {
                Limit::Time(span) => {
                    let left = span.saturating_sub(self.since.elapsed());
                    if left.is_zero() {
                        return Ok(());
                    }
                    self.look(Stage::Measuring, left)?;
                }
                Limit::Operations(_) => {
                    let shared = &self.run.shared;
                    if shared
                        .workers
                        .iter()
                        .all(|worker| worker.done.load(Ordering::Relaxed))
                    {
                        return Ok(());
                    }
                    let counts = shared.counts();
                    if counts.operations + counts.sent + counts.received > best {
                        (best, moved) = (counts.operations + counts.sent + counts.received, Instant::now());
                    }
                    if shared.open() == 0 && moved.elapsed() > self.run.plan.timeout + SLACK * 4 {
                        return Err(Ending::Stalled(self.unreachable()));
                    }
                    self.look(Stage::Measuring, SHORT_LOOK)?;
                }
            }
        }
    }

    /// Sleeps a little, and tells how it goes.
    fn look(&mut self, stage: Stage, most: Duration) -> Result<(), Ending> {
        std::thread::sleep(most.min(LOOK));
        if self.watch.is_interrupted() {
            return Err(Ending::Interrupted);
        }
        let (last, before) = self.looked;
        let span = last.elapsed();
        if span >= TELL {
            let counts = self.run.shared.counts();
            self.looked = (Instant::now(), counts.operations);
            self.watch.on_progress(&Progress {
                stage,
                elapsed: self.since.elapsed(),
                counts,
                operations_per_s: counts.operations.saturating_sub(before) as f64 / span.as_secs_f64(),
                open: self.run.shared.open(),
            });
        }
        Ok(())
    }

    fn outcome(self, ending: Ending) -> Outcome {
        let shared = Arc::clone(&self.run.shared);
        let measured = shared.phase() == Phase::Measure;
        shared.enter(Phase::Finish);
        let until = Instant::now() + GRACE;
        while !shared.workers.iter().all(|worker| worker.is_finished()) && Instant::now() < until {
            std::thread::sleep(SHORT_LOOK);
        }
        let span = self.since.elapsed();
        self.part(&shared);
        let (mut client_busy, mut server_busy) = (Duration::ZERO, Duration::ZERO);
        if measured {
            self.settle();
            let after = busy_of(&(self.blocks)());
            let each = after
                .iter()
                .zip(&self.client_busy)
                .map(|(after, before)| after.saturating_sub(*before));
            client_busy = each.max().unwrap_or_default();
            server_busy = self.watch.server_busy().saturating_sub(self.server_busy);
        }
        let (mut counts, mut latency_ns, mut longest) = (Counts::default(), histogram(), Duration::ZERO);
        for worker in &shared.workers {
            let Some(finished) = worker.take() else {
                continue;
            };
            counts.add(&finished.recorder.counts);
            // Both have the same bounds.
            let _ = latency_ns.add(&finished.recorder.latency_ns);
            longest = longest.max(finished.measured);
        }
        let measured = longest.min(span);
        Outcome {
            ending,
            measured,
            counts,
            latency_ns,
            client_busy,
            server_busy,
        }
    }

    /// Until held connections are closed, as long as some close.
    fn part(&self, shared: &Shared) {
        if self.run.plan.pattern != Pattern::Hold {
            return;
        }
        let (mut least, mut moved) = (u32::MAX, Instant::now());
        while let open @ 1.. = shared.open() {
            if open < least {
                (least, moved) = (open, Instant::now());
            }
            if moved.elapsed() > GRACE {
                return;
            }
            std::thread::sleep(SHORT_LOOK);
        }
    }

    /// Until the workers' counters of before now are published.
    fn settle(&self) {
        std::thread::sleep(PUBLISHED);
    }

    fn failure(&self) -> Option<Failure> {
        self.run.shared.workers.iter().find_map(|worker| worker.failure())
    }

    fn unreachable(&self) -> String {
        describe(self.run.plan.target, self.failure())
    }
}

fn describe(target: SocketAddr, failure: Option<Failure>) -> String {
    match failure {
        Some(Failure::NotTried(why)) => format!("{target} can't be reached: {why}"),
        Some(Failure::Peer(fourtuple::ConnectionError::Refused)) => {
            format!("{target} refuses connections: is the service running on that port?")
        }
        Some(Failure::Peer(why)) => format!("{target} can't be reached: {why}"),
        Some(Failure::Closed) => {
            format!("{target} closes connections at once: is it the service that the pattern needs?")
        }
        Some(Failure::NotHttp) => {
            format!("{target} answers with something that is not HTTP/1.1: is it an http service?")
        }
        Some(Failure::Status) => {
            format!("{target} answers with a status that is not 2xx: does it have what --path names?")
        }
        Some(Failure::NoAnswer) | None => {
            format!(
                "{target} does not answer: check the address, the link and --ip, and firewalls on the way"
            )
        }
    }
}

fn busy_of(blocks: &[Block]) -> Vec<Duration> {
    blocks
        .iter()
        .map(|block| Duration::from_nanos(block.plain("busy_ns").unwrap_or_default()))
        .collect()
}

/// Between looks.
const LOOK: Duration = Duration::from_millis(20);

/// Between looks for the end of a counted run.
const SHORT_LOOK: Duration = Duration::from_millis(1);

/// Between tellings.
const TELL: Duration = Duration::from_millis(200);

/// A target that refuses is believed after this.
const REFUSED_FOR: Duration = Duration::from_millis(500);

/// Beyond the time-out, for the sweep that finds it.
const SLACK: Duration = Duration::from_millis(250);

/// For workers to hand over what they counted.
const GRACE: Duration = Duration::from_secs(2);

/// Workers publish once a millisecond.
const PUBLISHED: Duration = Duration::from_millis(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_names_the_target() {
        let target = "10.0.0.1:7".parse().unwrap();
        let failures = [
            None,
            Some(Failure::NoAnswer),
            Some(Failure::Closed),
            Some(Failure::NotHttp),
            Some(Failure::Status),
            Some(Failure::Peer(fourtuple::ConnectionError::Refused)),
            Some(Failure::Peer(fourtuple::ConnectionError::TimedOut)),
            Some(Failure::NotTried(fourtuple::ConnectError::Limit)),
        ];
        for failure in failures {
            assert!(
                describe(target, failure).starts_with("10.0.0.1:7 "),
                "{failure:?}"
            );
        }
    }
}
