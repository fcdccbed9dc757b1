//! The `fourtuple` command.
//!
//! | file | idea |
//! |---|---|
//! | args | the command line |
//! | config_file | the TOML file of `--config` |
//! | units | numbers and times as people write and read them |
//! | exit | exit codes and the line that goes with each |
//! | attach | from flags to an engine's configuration |
//! | default_route | the interface that is not taken |
//! | signals | SIGINT and SIGTERM |
//! | progress, table | what people see of a run |
//! | commands/ | serve, load, demo |
//! | services/ | echo, discard, chargen, daytime, http, in both modes |
#![forbid(unsafe_code)]

mod args;
mod attach;
mod commands;
mod config_file;
mod default_route;
mod exit;
mod progress;
mod services;
mod signals;
mod table;
mod units;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::FromArgMatches;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use exit::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "fourtuple: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run() -> Result<(), Failure> {
    log()?;
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = config_file::apply(args::command(), &words)?;
    let parsed = command
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // Help goes to stdout with 0, what is wrong to stderr with 2.
        Err(error) => error.exit(),
    };
    match &cli.command {
        Command::Demo(demo) => commands::demo::run(demo),
        Command::Serve(serve) => commands::serve::run(serve),
        Command::Load(load) => commands::load::run(load),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut args::command(), "fourtuple", &mut text);
            Ok(std::io::stdout().write_all(&text)?)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(args::command()).render(&mut text)?;
            Ok(std::io::stdout().write_all(&text)?)
        }
    }
}

/// Logs to stderr, warnings and worse unless `FOURTUPLE_LOG` says otherwise.
fn log() -> Result<(), Failure> {
    let filter = match std::env::var("FOURTUPLE_LOG") {
        Ok(words) => EnvFilter::try_new(&words).map_err(|error| {
            Failure::Usage(format!(
                "FOURTUPLE_LOG=`{words}`: {error}; write debug, info, warn or error"
            ))
        })?,
        Err(_) => EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
