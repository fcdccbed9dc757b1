//! An echo server that sends back as urgent what came as urgent, to the byte: `urgent IFACE ADDRESS/PREFIX...`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that tells what comes")]

use std::process::ExitCode;
use std::time::Duration;

use fourtuple::{Config, Connection, Engine, Handler, Listen};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_urgent(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        println!(
            "{}: urgent, {:?} bytes ahead",
            connection.peer(),
            connection.urgent_ahead()
        );
    }

    fn on_readable(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        while connection.send_room() >= 16 * 1024 {
            // Asked before they are taken: it is counted from the first of them.
            let ahead = connection.urgent_ahead().map(|ahead| ahead as usize);
            let Some(received) = connection.receive() else {
                return;
            };
            let bytes = received.bytes();
            let urgent = ahead.filter(|ahead| *ahead <= bytes.len()).unwrap_or(0);
            if urgent > 0 {
                connection.send_urgent(&bytes[..urgent]);
            }
            connection.send(&bytes[urgent..]);
        }
        connection.ask_for_room();
    }

    fn on_writable(&mut self, connection: &mut Connection<'_>, state: &mut ()) {
        self.on_readable(connection, state);
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses @ ..] = &words[..] else {
        eprintln!("usage: urgent IFACE ADDRESS/PREFIX...");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses) {
        eprintln!("urgent: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses
        .iter()
        .map(|address| address.parse())
        .collect::<Result<_, _>>()?;
    let engine = Engine::start_with(config, |_worker| Echo)?;
    engine.listen(Listen::on(7))?;
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
