//! An engine that listens from its first frame on: what it is started with, listeners among it.

use fourtuple_nic::{Clock, Queue};

use super::Engine;
use super::start::choose_cores;
use crate::attach::{Attachment, PortQueue, attach};
use crate::config::Config;
use crate::error::{ConfigError, StartError};
use crate::handler::{Handler, NoHandler};
use crate::listener::Listen;

/// What an engine is started with: its [`Config`], and the listeners that are open before it takes the first frame.
///
/// A listener that is opened later, by [`Engine::listen`], resets the clients that came before it; those of a builder never do,
/// so that a server which is started anew loses nobody.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use fourtuple::{Config, Engine, Listen};
/// let config = Config::from_toml("iface = 'veth0'\nip = ['10.99.0.2/24']")?;
/// let engine = Engine::builder(config)
///     .listen(Listen::on(80).for_endpoints())
///     .listen(Listen::on(443).for_endpoints())
///     .start()?;
/// let [http, https] = engine.listeners()[..] else { unreachable!("as many as were given") };
/// # let _ = (http, https);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "nothing runs before one of the `start` functions is called"]
pub struct Builder {
    config: Config,
    listens: Vec<Listen>,
}

impl Builder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            listens: config.listen.clone(),
            config,
        }
    }

    /// Listens on a port, on all workers, before the first frame is taken.
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listens.push(listen);
        self
    }

    /// Starts the engine; its connections all go to endpoints.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start(self) -> Result<Engine<PortQueue>, StartError> {
        self.start_with(|_| NoHandler)
    }

    /// Starts the engine with a handler on each worker; `make` is called once for each, with its number.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start_with<H: Handler<PortQueue>>(
        self,
        make: impl FnMut(u16) -> H,
    ) -> Result<Engine<PortQueue>, StartError> {
        self.validate()?;
        let cores = choose_cores(&self.config)?;
        let attachment = attach(&self.config)?;
        let Self { config, listens } = self;
        open(Engine::start_on_cores(config, attachment, make, cores)?, listens)
    }

    /// Starts the engine on queues that are attached already, one of each port for each worker.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start_on<Q: Queue, H: Handler<Q>, C: Clock + Clone + Sync>(
        self,
        attachment: Attachment<Q, C>,
        make: impl FnMut(u16) -> H,
    ) -> Result<Engine<Q>, StartError> {
        self.validate()?;
        let cores = choose_cores(&self.config)?;
        let Self { config, listens } = self;
        open(Engine::start_on_cores(config, attachment, make, cores)?, listens)
    }

    /// What can be known before anything is attached.
    fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        self.listens
            .iter()
            .try_for_each(|listen| listen.validate(&self.config.ip))
    }
}

/// Opens the listeners, then lets the workers take frames.
fn open<Q: Queue>(mut engine: Engine<Q>, listens: Vec<Listen>) -> Result<Engine<Q>, StartError> {
    for listen in listens {
        let listener = engine.listen(listen)?;
        engine.listeners.push(listener);
    }
    engine.open();
    Ok(engine)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::{Duration, Instant};

    use fourtuple_nic::SystemClock;
    use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, WireConditions};

    use super::*;
    use crate::attach::PortQueues;

    /// Two ports of one wire.
    fn wire() -> [Attachment<MemQueue, SystemClock>; 2] {
        let clock = SystemClock::new();
        let (one, other) = MemPort::pair(MemOptions::default(), WireConditions::default(), clock, 1);
        [one, other].map(|mut port| Attachment::new(vec![PortQueues::new("mem", port.take_queues())], clock))
    }

    fn config(last: u8) -> Config {
        Config {
            ip: vec![format!("10.0.0.{last}/24").parse().expect("an address")],
            max_connections: 64,
            ..Config::default()
        }
    }

    #[test]
    fn a_client_that_was_there_before_the_server_is_not_reset() {
        let [ours, theirs] = wire();
        let client = Engine::start_on(config(1), theirs, |_| NoHandler).expect("a client");
        let client_end = client
            .endpoint(&crate::EndpointLimits::default())
            .expect("an endpoint");
        // Its SYN (behind its ARP request) lies on the wire before the server polls.
        let opening = client_end
            .start_connect("10.0.0.2:7".parse().expect("an address"))
            .expect("a free port");
        let server = Engine::builder(config(2))
            .listen(Listen::on(7).for_endpoints())
            .start_on(ours, |_| NoHandler)
            .expect("a server");
        let server_end = server
            .endpoint(&crate::EndpointLimits::default())
            .expect("an endpoint");
        let started = Instant::now();
        let accepted = loop {
            client_end.step();
            match server.listeners()[0].try_accept(&server_end) {
                Ok(stream) => break stream,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(accepted.local().port(), 7);
        assert!(opening.wait(Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused_before_anything_starts() {
        let refused = |listen: Listen| {
            let [ours, _theirs] = wire();
            Engine::builder(config(1))
                .listen(Listen::on(7))
                .listen(listen)
                .start_on(ours, |_| NoHandler)
                .expect_err("refused")
                .to_string()
        };
        assert!(refused(Listen::on(0)).starts_with("port: 0 can't be listened on"));
        assert!(refused(Listen::on(7)).starts_with("port 7 is listened to already"));
        let elsewhere = Listen {
            address: Some("10.0.0.9".parse().expect("an address")),
            ..Listen::on(8)
        };
        assert!(refused(elsewhere).starts_with("10.0.0.9 is not an address"));
    }
}
