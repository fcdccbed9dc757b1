//! Two engines and the link between them.

use std::net::SocketAddr;
use std::time::Duration;

use fourtuple::attach::{Attachment, PortQueues};
use fourtuple::{
    AsyncEndpoint, AsyncListener, AsyncStream, Config, EndpointLimits, Engine, Listen, NoHandler,
};
use fourtuple_nic::SystemClock;
use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, WireConditions};
use tokio::runtime::{Builder, Runtime};

pub(crate) type MemStream = AsyncStream<MemQueue>;
pub(crate) type MemEndpoint = AsyncEndpoint<MemQueue>;
pub(crate) type MemListener = AsyncListener<MemQueue>;

/// A server at 10.0.0.1 that listens on port 7, and a client.
pub(crate) struct Engines {
    pub(crate) server: Engine<MemQueue>,
    pub(crate) client: Engine<MemQueue>,
    pub(crate) listener: fourtuple::Listener,
}

impl Engines {
    pub(crate) fn start() -> Self {
        let clock = SystemClock::new();
        let options = MemOptions {
            receive_pool: 16_384,
            payload_pool: 16_384,
            transmit_pool: 16_384,
            rx_ring: 4096,
            tx_ring: 4096,
            ..MemOptions::default()
        };
        let (one, other) = MemPort::pair(options, WireConditions::default(), clock, 1);
        let start = |mut port: MemPort, ip: &str| {
            let attachment = Attachment::new(vec![PortQueues::new("mem", port.take_queues())], clock);
            let mut config = Config::default();
            config.ip = vec![ip.parse().unwrap()];
            config.max_connections = 4096;
            config.msl = Duration::from_millis(10);
            Engine::start_on(config, attachment, |_| NoHandler).expect("an engine")
        };
        let (server, client) = (start(one, "10.0.0.1/24"), start(other, "10.0.0.2/24"));
        let listen = Listen::on(7)
            .for_endpoints()
            .with_backlog(2048)
            .with_syn_queue(2048);
        let listener = server.listen(listen).expect("a port");
        Self {
            server,
            client,
            listener,
        }
    }

    /// An endpoint of each, driven by the runtime that this is called in.
    pub(crate) fn endpoints(&self) -> (MemEndpoint, MemEndpoint) {
        let make = |engine: &Engine<MemQueue>| {
            let endpoint = engine.endpoint(&EndpointLimits::default()).expect("an endpoint");
            AsyncEndpoint::new(endpoint).expect("a runtime")
        };
        (make(&self.server), make(&self.client))
    }

    /// The server's listener, and the client's endpoint.
    pub(crate) fn ends(&self) -> (MemListener, MemEndpoint) {
        let (server, client) = self.endpoints();
        (server.listener(self.listener), client)
    }

    /// One connection, both of its ends: the client's first.
    pub(crate) async fn connection(&self) -> (MemStream, MemStream) {
        let (listener, client) = self.ends();
        let (opened, accepted) = tokio::join!(client.connect(remote()), listener.accept());
        (opened.expect("it is opened"), accepted.expect("it is accepted").0)
    }

    /// Waits until both engines have no connection but those in TIME_WAIT.
    pub(crate) fn until_empty(&self) {
        while self.server.connections() + self.client.connections() > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub(crate) fn remote() -> SocketAddr {
    ([10, 0, 0, 1], 7).into()
}

/// A runtime of each kind.
pub(crate) fn runtimes() -> [Runtime; 2] {
    [
        one_thread(),
        Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap(),
    ]
}

pub(crate) fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Bytes that no shift leaves alike.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}
