//! An echo server on the worker: `echo IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]`, as
//! `echo veth0 10.99.0.2/24,fd99::2/64`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use fourtuple::{Config, Connection, Engine, Handler, Listen};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_readable(&mut self, connection: &mut Connection<'_>, (): &mut ()) {
        // Stops reading when there is no room to send: the window closes, and the peer waits.
        while connection.send_room() >= 2048 {
            let Some(bytes) = connection.receive() else {
                return;
            };
            let _ = connection.send_shared(bytes.into_payload());
        }
        connection.ask_for_room();
    }

    fn on_writable(&mut self, connection: &mut Connection<'_>, state: &mut ()) {
        self.on_readable(connection, state);
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses] = &words[..] else {
        eprintln!("usage: echo IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses) {
        eprintln!("echo: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let _engine = Engine::builder(config)
        .listen(Listen::on(7))
        .start_with(|_worker| Echo)?;
    eprintln!("listening on port 7");
    loop {
        std::thread::park();
    }
}
