//! `fourtuple-peers`: what `scripts/bench` sets beside our figures. Each command prints one JSON object.
//!
//! ```text
//! fourtuple-peers probe                          how near the two cores are to each other now
//! fourtuple-peers epoll-serve 10.0.0.1:7         an echo server on Linux's TCP: one thread, level-triggered epoll
//! fourtuple-peers epoll-ask 10.0.0.1:7 -c 64     its client: requests, or with --connect a connection for each
//! fourtuple-peers smoltcp -c 64                  two smoltcp interfaces in memory on one core
//! fourtuple-peers plot REPORT.json FOLDER        the plots of a report
//! ```
#![forbid(unsafe_code)]

mod epoll;
mod plot;
mod probe;
mod smol;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What `scripts/bench` sets beside our figures.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How near two cores are to each other now.
    Probe {
        /// The two.
        #[arg(long, value_delimiter = ',', default_value = "0,1")]
        cores: Vec<usize>,
    },
    /// An echo server on Linux's TCP.
    EpollServe {
        /// Where it listens.
        at: SocketAddr,
        /// The core it runs on.
        #[arg(long, default_value_t = 0)]
        core: usize,
    },
    /// A client of an echo server on Linux's TCP.
    EpollAsk {
        /// Where the server is.
        at: SocketAddr,
        /// Connections.
        #[arg(short, default_value_t = 64)]
        connections: usize,
        /// Seconds.
        #[arg(short, default_value_t = 2.0)]
        duration: f64,
        /// Octets of a request.
        #[arg(short, default_value_t = 64)]
        size: usize,
        /// A connection for each request, one at a time.
        #[arg(long)]
        connect: bool,
        /// The core it runs on.
        #[arg(long, default_value_t = 1)]
        core: usize,
    },
    /// Two smoltcp interfaces in memory.
    Smoltcp {
        /// Connections.
        #[arg(short, default_value_t = 64)]
        connections: usize,
        /// Seconds.
        #[arg(short, default_value_t = 1.0)]
        duration: f64,
        /// Bulk in one direction instead of requests.
        #[arg(long)]
        bulk: bool,
    },
    /// Draws the plots of a report.
    Plot {
        /// What `scripts/bench` wrote.
        report: PathBuf,
        /// Where the plots go.
        folder: PathBuf,
    },
}

/// Why it ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The kernel refused something.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
    /// A peer did not do its part.
    #[error("{0}")]
    Peer(String),
    /// A report can't be read, or a plot not be drawn.
    #[error("{path}: {1}", path = .0.display())]
    Plot(PathBuf, String),
}

#[expect(clippy::print_stderr, clippy::print_stdout, reason = "it is a program")]
fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(Some(found)) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fourtuple-peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> Result<Option<serde_json::Value>, Failure> {
    match what {
        What::Probe { cores } => Ok(Some(probe::run(&cores))),
        What::EpollServe { at, core } => epoll::serve(at, core),
        What::EpollAsk {
            at,
            connections,
            duration,
            size,
            connect,
            core,
        } => {
            let load = epoll::Load {
                connections,
                duration,
                size,
                core,
            };
            if connect {
                epoll::connect_each(at, &load).map(Some)
            } else {
                epoll::ask(at, &load).map(Some)
            }
        }
        What::Smoltcp {
            connections,
            duration,
            bulk,
        } => smol::run(connections, duration, bulk).map(Some),
        What::Plot { report, folder } => plot::all(&report, &folder).map(|()| None),
    }
}

/// Runs on this core from now on, where that is allowed.
fn pin(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}
