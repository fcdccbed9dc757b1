//! An echo server on the worker: `echo IFACE ADDRESS/PREFIX`, as `echo veth0 10.99.0.2/24`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(iface), Some(ip)) = (words.next(), words.next()) else {
        return Err("usage: echo IFACE ADDRESS/PREFIX".into());
    };
    let config = Config {
        iface: vec![iface],
        ip: vec![ip.parse()?],
        ..Config::default()
    };
    let _engine = Engine::builder(config)
        .listen(Listen::on(7))
        .start_with(|_worker| Echo)?;
    eprintln!("listening on port 7");
    loop {
        std::thread::park();
    }
}
