//! The bytes of a connection: what a shard reserves, by what it is for.

use crate::Failure;
use crate::ends::{Ends, Service};

/// Prints a row for each part, in bytes and in bytes a connection.
#[expect(clippy::print_stdout, reason = "it is a program")]
pub(crate) fn print(connections: u32) -> Result<(), Failure> {
    let ends = Ends::new(Service::Echo, connections).map_err(|error| Failure::Run(error.to_string()))?;
    let mut sum = 0;
    println!("{connections} connections, IPv4");
    let each = |bytes: usize| bytes as f64 / f64::from(connections);
    for (what, bytes) in ends.server.reserved() {
        sum += bytes;
        println!("{what:<28} {bytes:>14} {:>8.1}", each(bytes));
    }
    println!("{:<28} {sum:>14} {:>8.1}", "all", each(sum));
    Ok(())
}
