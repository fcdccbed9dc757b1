//! The bytes of a connection: what a shard reserves, by what it is for, and what the OS has given when they are held.

use crate::Failure;
use crate::ends::{Ends, Service};

/// Prints a row for each part, in bytes and in bytes a connection (a record, where it says so).
#[expect(clippy::print_stdout, reason = "it is a program")]
pub(crate) fn print(connections: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Run(error.to_string());
    println!("{connections} connections, IPv4");
    let row = |what: &str, bytes: usize, by: u32| {
        println!(
            "{what:<34} {bytes:>14} {:>8.1}",
            bytes as f64 / f64::from(by.max(1))
        );
    };
    let before = given_by_the_os();
    let server = Ends::server(Service::Echo, connections).map_err(failed)?;
    let built = given_by_the_os();
    let (parts, options) = (server.reserved(), Ends::server_options(connections));
    for (what, bytes) in &parts {
        row(what, *bytes, connections);
    }
    row("all", parts.iter().map(|part| part.1).sum(), connections);
    for (what, bytes) in parts {
        match what {
            "half-open connections" => row("each half-open connection", bytes, options.half_open),
            "TIME_WAIT records" => row("each TIME_WAIT record", bytes, options.time_wait),
            _ => {}
        }
    }
    row("OS: server built", built.saturating_sub(before), connections);
    let mut ends = Ends::with_server(server, Service::Echo, connections).map_err(failed)?;
    let both = given_by_the_os();
    let open = ends.establish(connections);
    let held = given_by_the_os();
    if open != connections as usize {
        return Err(Failure::Run(format!(
            "{open} of {connections} connections were opened"
        )));
    }
    row(
        "OS: more with all held, both ends",
        held.saturating_sub(both),
        connections,
    );
    Ok(())
}

/// Bytes of this process that are resident or in huge pages; 0 where the OS does not say.
fn given_by_the_os() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("HugetlbPages"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.sum::<usize>() * 1024
}
