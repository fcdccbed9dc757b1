//! `fourtuple-micro`: what each stage of a turn takes, in instructions and in nanoseconds.
//!
//! ```text
//! fourtuple-micro times            nanoseconds and cycles of each stage, natively
//! fourtuple-micro counts           instructions of each stage, under callgrind: the same in every run
//!                 --check          … against the baseline of this compiler and processor; exit 1 when one grew by more than 3 %
//!                 --write          … and makes them the baseline
//! fourtuple-micro memory           bytes that a shard reserves for a connection, by what they are for, and what the OS says
//! fourtuple-micro latency          from frame in to frame out at a part of full load
//! fourtuple-micro wake             how soon a parked application is awake, beside a bare eventfd
//! ```
#![forbid(unsafe_code)]

mod baseline;
mod callgrind;
mod ends;
mod hand_off;
mod latency;
mod lean;
mod memory;
mod meter;
mod scenarios;
mod two_workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::baseline::{Baseline, Counts, Surroundings};
use crate::meter::{Meter, Stage};
use crate::scenarios::Size;

/// What each stage of a turn takes, in instructions and in nanoseconds.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Nanoseconds and cycles of each stage, natively, on one core that nobody else should use.
    Times {
        /// Also with a million connections: takes 3 GiB and some seconds.
        #[arg(long)]
        million: bool,
        /// Machine-readable: a line a stage, with name, operations and nanoseconds.
        #[arg(long)]
        plain: bool,
        /// These of the scenarios alone.
        #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(scenarios::NAMES))]
        only: Vec<String>,
    },
    /// Instructions of each stage, under callgrind.
    Counts {
        /// Fail when a stage takes 3 % more than its baseline. Without a baseline of this compiler and processor one is written.
        #[arg(long)]
        check: bool,
        /// Make these counts the baseline.
        #[arg(long)]
        write: bool,
        /// Where baselines are.
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baselines"))]
        baselines: PathBuf,
    },
    /// Bytes that a shard reserves for a connection, by what they are for.
    Memory {
        /// How many connections it is made for.
        #[arg(short, long, default_value_t = 1_000_000)]
        connections: u32,
    },
    /// Nanoseconds from a request's frame in to its answer's frame out, on one core that nobody else should use.
    Latency {
        /// Requests a second, as a part of what full bursts reach.
        #[arg(long, default_value_t = 0.1)]
        load: f64,
        /// Seconds.
        #[arg(short, long, default_value_t = 2.0)]
        duration: f64,
    },
    /// Nanoseconds until a parked endpoint, and a thread that reads an eventfd, are awake: the first two cores.
    Wake {
        /// How often each is woken.
        #[arg(short, long, default_value_t = 1_000)]
        times: usize,
    },
    /// What runs under callgrind: all scenarios, or one. By hand, with `--toggle-collect='*measured_receive_64*'`, it shows where a
    /// stage's instructions are.
    Stages {
        /// One of them alone.
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(scenarios::NAMES))]
        only: Option<String>,
    },
}

/// Why it ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The measured part failed.
    #[error("{0}")]
    Run(String),
    /// There is no valgrind.
    #[error("valgrind can't be run ({0}): scripts/setup --for test installs it")]
    NoValgrind(String),
    /// A file of baselines.
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, String),
    /// Stages have grown.
    #[error(
        "more instructions than the baseline:\n  {}\nif that is what it costs: fourtuple-micro counts --write",
        .0.join("\n  ")
    )]
    Grown(Vec<String>),
}

#[expect(clippy::print_stderr, reason = "it is a program")]
fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fourtuple-micro: {failure}");
            ExitCode::from(if matches!(failure, Failure::NoValgrind(_)) {
                3
            } else {
                1
            })
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn run(what: &What) -> Result<(), Failure> {
    match what {
        What::Times { million, plain, only } => times(*million, *plain, only),
        What::Counts {
            check,
            write,
            baselines,
        } => counts(*check, *write, baselines),
        What::Memory { connections } => memory::print(*connections),
        What::Latency { load, duration } => latency(*load, *duration),
        What::Wake { times } => wake(*times),
        What::Stages { only } => {
            let size = Size {
                million: false,
                rounds: 1,
            };
            let meter = measure(size, only.as_slice())?;
            for stage in meter.stages() {
                println!("{} {}", stage.name, stage.operations);
            }
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn latency(load: f64, seconds: f64) -> Result<(), Failure> {
    let span = Duration::try_from_secs_f64(seconds).map_err(|error| Failure::Run(error.to_string()))?;
    let added = latency::run(load, span).map_err(|error| Failure::Run(error.to_string()))?;
    println!("full_ns {:.1}", added.full_ns);
    println!("requests {}", added.latency.len());
    for percent in PERCENTS {
        println!("p{percent} {}", added.latency.value_at_quantile(percent / 100.0));
    }
    println!("max {}", added.latency.max());
    println!("lost_percent {:.2}", added.lost * 100.0);
    println!("undisturbed {}", added.undisturbed.len());
    for percent in [50.0, 99.0] {
        println!(
            "undisturbed_p{percent} {}",
            added.undisturbed.value_at_quantile(percent / 100.0)
        );
    }
    Ok(())
}

/// What is told of latencies.
const PERCENTS: [f64; 10] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

#[expect(clippy::print_stdout, reason = "it is a program")]
fn wake(times: usize) -> Result<(), Failure> {
    let wakes = hand_off::wake(times).map_err(|error| Failure::Run(error.to_string()))?;
    for (name, sorted) in [("endpoint", &wakes.endpoint), ("eventfd", &wakes.eventfd)] {
        for percent in [50, 90, 99] {
            println!("{name}_p{percent} {}", sorted[(sorted.len() - 1) * percent / 100]);
        }
    }
    Ok(())
}

fn measure(size: Size, only: &[String]) -> Result<Meter, Failure> {
    let mut meter = Meter::default();
    for name in scenarios::NAMES {
        if only.is_empty() || only.iter().any(|only| only == name) {
            scenarios::run(name, &mut meter, size).map_err(|error| Failure::Run(error.to_string()))?;
        }
    }
    Ok(meter)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn times(million: bool, plain: bool, only: &[String]) -> Result<(), Failure> {
    let meter = measure(Size { million, rounds: 32 }, only)?;
    let clock = cost_of_a_look();
    let cycles_a_ns = tsc_ghz();
    let mut total = 0.0;
    for stage in meter.stages() {
        let nanoseconds = nanoseconds_each(stage, clock);
        if CRR.contains(&stage.name) {
            total += nanoseconds;
        }
        if plain {
            println!("{} {} {nanoseconds:.2}", stage.name, stage.operations);
        } else {
            println!(
                "{:<24} {nanoseconds:>9.1} ns {:>9.0} cycles",
                stage.name,
                nanoseconds * cycles_a_ns
            );
        }
    }
    if total == 0.0 {
        return Ok(());
    }
    if plain {
        println!("crr 0 {total:.2}");
    } else {
        println!(
            "{:<24} {total:>9.1} ns {:>9.0} cycles",
            "crr",
            total * cycles_a_ns
        );
    }
    Ok(())
}

/// The stages that together are connect, one exchange, close, with the client closing first.
const CRR: [&str; 4] = ["syn", "accept_and_answer", "peer_closes", "last_ack"];

fn nanoseconds_each(stage: &Stage, clock: Duration) -> f64 {
    // Most stages are called once for a burst.
    let looks = clock.as_nanos() as f64 / 32.0;
    (stage.time.as_nanos() as f64 / stage.operations.max(1) as f64 - looks).max(0.0)
}

/// What looking at the clock twice takes.
fn cost_of_a_look() -> Duration {
    (0..1000)
        .map(|_| Instant::now().elapsed())
        .min()
        .unwrap_or_default()
}

/// Cycles of the time-stamp counter in a nanosecond: the kernel's bogomips are two a cycle.
fn tsc_ghz() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("bogomips"));
    let bogomips = line.and_then(|line| line.split(':').nth(1)?.trim().parse::<f64>().ok());
    bogomips.unwrap_or(0.0) / 2000.0
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn counts(check: bool, write: bool, baselines: &std::path::Path) -> Result<(), Failure> {
    let (instructions, printed) = callgrind::run(&["stages"])?;
    let operations = printed.lines().filter_map(|line| {
        let (stage, operations) = line.split_once(' ')?;
        Some((stage, operations.parse::<u64>().ok()?))
    });
    let mut now = Counts::new();
    let mut crr = 0.0;
    let file = baseline::file_in(baselines);
    let here = Surroundings::here();
    let before = baseline::read(&file)?;
    let foreign = before
        .as_ref()
        .map_or(Vec::new(), |before| here.differences(&before.with));
    for (stage, operations) in operations {
        let sum = instructions.get(stage).copied().unwrap_or_default();
        let each = sum as f64 / operations.max(1) as f64;
        if CRR.contains(&stage) {
            crr += each;
        }
        now.insert(stage.to_owned(), each);
    }
    now.insert("crr".to_owned(), crr);
    println!(
        "instructions an operation, rustc {}, {}",
        baseline::RUSTC,
        baseline::CPU
    );
    for (stage, count) in &now {
        let was = before.as_ref().and_then(|before| before.counts.get(stage));
        let change = was.map_or(String::new(), |was| {
            format!("  {was:>9.1}  {:>+6.1} %", (count / was - 1.0) * 100.0)
        });
        println!("{stage:<24} {count:>9.1}{change}");
    }
    if env!("MICRO_OPT_LEVEL") != "3" {
        return Err(Failure::Run(
            "this is no release build: its counts mean nothing".to_owned(),
        ));
    }
    if let Some(before) = &before
        && check
        && !write
        && foreign.is_empty()
    {
        let grown = baseline::grown(&before.counts, &now);
        return if grown.is_empty() {
            Ok(())
        } else {
            Err(Failure::Grown(grown))
        };
    }
    if !foreign.is_empty() {
        println!("the baseline is of another machine, and says nothing here:");
        foreign.iter().for_each(|difference| println!("  {difference}"));
    }
    if write || (check && before.is_none()) {
        baseline::write(
            &file,
            &Baseline {
                counts: now,
                with: here,
            },
        )?;
        println!("written to {}", file.display());
    }
    Ok(())
}
