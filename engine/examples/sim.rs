//! `scripts/sim`: worlds from seeds, one after the other, on every core; before them those that failed once.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that tells what it found"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fourtuple::whole::{Failure, KEPT, PlannedPanic, Report, Without, plan, run};

/// What was asked for.
struct Asked {
    seeds: u64,
    from: u64,
    jobs: usize,
    minutes: Option<f64>,
    replay: Option<u64>,
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("sim: {wrong} (scripts/sim --help)");
            return ExitCode::from(2);
        }
    };
    // Worlds contain handlers that panic by plan, and their failures are told below.
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<PlannedPanic>().is_none() {
            eprintln!("sim: {panic}");
        }
    }));
    match asked.replay {
        Some(seed) => replay(seed),
        None => sweep(&asked),
    }
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        seeds: 1_000,
        from: 0,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        minutes: None,
        replay: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} takes a number"))?;
        match name.as_str() {
            "--seeds" => asked.seeds = count(&value)?,
            "--from" => asked.from = count(&value)?,
            "--jobs" => asked.jobs = count(&value)?.max(1) as usize,
            "--minutes" => {
                asked.minutes = Some(value.parse().map_err(|_| format!("`{value}` is no number"))?)
            }
            "--replay" => asked.replay = Some(count(&value)?),
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    Ok(asked)
}

/// 5000, 20k, 1M.
fn count(text: &str) -> Result<u64, String> {
    let (digits, times) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is no number"))?;
    number.checked_mul(times).ok_or(format!("`{text}` is too much"))
}

/// What all worlds came to together.
#[derive(Default)]
struct Totals {
    steps: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
    virtual_ms: AtomicU64,
}

impl Totals {
    fn add(&self, report: &Report) {
        self.steps.fetch_add(report.steps, Ordering::Relaxed);
        self.frames.fetch_add(report.frames, Ordering::Relaxed);
        self.bytes.fetch_add(report.bytes, Ordering::Relaxed);
        self.connections.fetch_add(report.connections, Ordering::Relaxed);
        self.virtual_ms
            .fetch_add(report.spans.as_millis() as u64, Ordering::Relaxed);
    }
}

fn sweep(asked: &Asked) -> ExitCode {
    let start = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (stop, totals) = (AtomicBool::new(false), Totals::default());
    let kept = KEPT
        .iter()
        .filter_map(|(seed, without)| run(*seed, without, false).err());
    let failures: Mutex<Vec<Box<Failure>>> = Mutex::new(kept.inspect(|failure| tell(failure)).collect());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..asked.jobs)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= asked.seeds {
                            break;
                        }
                        match run(asked.from + at, &Without::default(), false) {
                            Ok(report) => totals.add(&report),
                            Err(failure) => {
                                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                                tell(&failure);
                                failures.push(failure);
                                stop.fetch_or(failures.len() >= FAILURES, Ordering::Relaxed);
                            }
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut told = start;
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
            let elapsed = start.elapsed();
            if asked
                .minutes
                .is_some_and(|minutes| elapsed.as_secs_f64() > minutes * 60.0)
            {
                stop.store(true, Ordering::Relaxed);
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let done = done.load(Ordering::Relaxed);
                // Those in hand may be any of the last.
                let surely = done.saturating_sub(asked.jobs as u64);
                eprintln!(
                    "sim: {done} of {} seeds, {:.0}/s, {} connections; all below {} are done",
                    asked.seeds,
                    done as f64 / elapsed.as_secs_f64(),
                    totals.connections.load(Ordering::Relaxed),
                    asked.from + surely
                );
            }
        }
    });
    finish(
        asked,
        done.into_inner(),
        start.elapsed(),
        &totals,
        failures.into_inner(),
    )
}

fn finish<E>(
    asked: &Asked,
    done: u64,
    took: Duration,
    totals: &Totals,
    failures: Result<Vec<Box<Failure>>, E>,
) -> ExitCode {
    let failures = failures.unwrap_or_default();
    let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{done} seeds from {} in {:.1} s, {:.0}/s: {} connections, {} MB read, {} frames, {} steps, {:.1} virtual hours",
        asked.from,
        took.as_secs_f64(),
        done as f64 / took.as_secs_f64(),
        of(&totals.connections),
        of(&totals.bytes) / 1_000_000,
        of(&totals.frames),
        of(&totals.steps),
        of(&totals.virtual_ms) as f64 / 3.6e6
    );
    for failure in &failures {
        println!(
            "FAILED seed {}: scripts/sim --replay {}",
            failure.seed, failure.seed
        );
    }
    if done < asked.seeds {
        // Every seed that was begun was done.
        println!(
            "what is left: scripts/sim --from {} --seeds {}",
            asked.from + done,
            asked.seeds - done
        );
    }
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tell(failure: &Failure) {
    println!(
        "seed {} failed at step {}, {:.6} s of virtual time: {}\n    scripts/sim --replay {}",
        failure.seed,
        failure.step,
        failure.at.as_secs_f64(),
        failure.what,
        failure.seed
    );
}

/// Runs one seed, makes what fails smaller, and prints what happened last.
fn replay(seed: u64) -> ExitCode {
    let whole = Without::default();
    let report = match run(seed, &whole, true) {
        Ok(mut report) => {
            std::mem::take(&mut report.journal)
                .iter()
                .for_each(|line| println!("{line}"));
            println!("seed {seed} passes: {report:?}");
            return ExitCode::SUCCESS;
        }
        Err(failure) => failure,
    };
    tell(&report);
    // A world that does not end takes too long to be made smaller.
    let smaller = if report.is_endless() { whole } else { shrink(seed) };
    let Err(failure) = run(seed, &smaller, true) else {
        println!("it passed when it was run again: the run depends on more than the seed");
        return ExitCode::FAILURE;
    };
    println!(
        "\n== the plan, with {smaller:?} left out\n{}",
        plan(seed, &smaller)
    );
    println!("\n== the last {} segments and events", failure.journal.len());
    failure.journal.iter().for_each(|line| println!("{line}"));
    println!();
    tell(&failure);
    ExitCode::FAILURE
}

/// Leaves out what the failure does not need, conversation by conversation, then the faults, then the extras.
fn shrink(seed: u64) -> Without {
    let mut smallest = Without::default();
    for conversation in 0..24 {
        let candidate = Without {
            conversations: smallest.conversations | 1 << conversation,
            ..smallest
        };
        if run(seed, &candidate, false).is_err() {
            smallest = candidate;
        }
    }
    let candidates: [fn(&mut Without); 2] =
        [|without| without.faults = true, |without| without.extras = true];
    for leave_out in candidates {
        let mut candidate = smallest;
        leave_out(&mut candidate);
        if run(seed, &candidate, false).is_err() {
            smallest = candidate;
        }
    }
    smallest
}

/// After so many the sweep ends.
const FAILURES: usize = 5;
