//! Two shards joined by lean ports: the server whose stages are measured, and the client that gives it work.

use fourtuple::staged::{Staged, StagedOptions};
use fourtuple::{Closed, ConnId, ConnectOptions, Connection, Handler, Instant, Listen, Profile, WorkerCalls};
use fourtuple_nic::OrdinaryPages;

use crate::lean::{LeanQueue, carry};

/// What the server does with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends it back.
    Echo,
    /// Sends it back and closes first.
    EchoAndClose,
    /// Reads it.
    Discard,
    /// Sends as much as there is room for.
    Chargen,
}

/// The measured end's application.
#[derive(Debug)]
pub(crate) struct Server(Service);

impl Server {
    pub(crate) fn of(service: Service) -> Self {
        Self(service)
    }
}

/// Octets of a chunk that chargen sends.
const CHUNK: [u8; 1448] = [7; 1448];

impl Handler<LeanQueue> for Server {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, LeanQueue>, (): &mut ()) {
        if self.0 == Service::Chargen {
            self.on_writable(connection, &mut ());
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, LeanQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            if matches!(self.0, Service::Echo | Service::EchoAndClose) {
                // The client asks for no more than it reads.
                let _ = connection.send_shared(bytes.into_payload());
            }
        }
        if self.0 == Service::EchoAndClose {
            connection.close();
        }
    }

    fn on_writable(&mut self, connection: &mut Connection<'_, LeanQueue>, (): &mut ()) {
        while connection.send_room() >= CHUNK.len() {
            if connection.send(&CHUNK) < CHUNK.len() {
                return;
            }
        }
        connection.ask_for_room();
    }
}

/// What the client is to do in its next turn, and what came of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) to_open: u32,
    opened: u32,
    /// Addresses that it has.
    hosts: u32,
    pub(crate) open: Vec<ConnId>,
    pub(crate) ended: u64,
    pub(crate) answers: u64,
    pub(crate) received: u64,
    /// Sent by each connection when it opens.
    greeting: &'static [u8],
    /// The client closes when it has its answer.
    closes: bool,
    /// The TCP port that it opens connections to.
    pub(crate) port: u16,
}

impl Client {
    /// With so many addresses.
    pub(crate) fn of(hosts: u32) -> Self {
        Self {
            to_open: 0,
            opened: 0,
            hosts,
            open: Vec::new(),
            ended: 0,
            answers: 0,
            received: 0,
            greeting: &[],
            closes: false,
            port: PORT,
        }
    }
}

impl Handler<LeanQueue> for Client {
    type State = ();

    fn on_open(&mut self, connection: &mut Connection<'_, LeanQueue>, (): &mut ()) {
        self.open.push(connection.id());
        if !self.greeting.is_empty() {
            connection.send(self.greeting);
        }
    }

    fn on_readable(&mut self, connection: &mut Connection<'_, LeanQueue>, (): &mut ()) {
        while let Some(bytes) = connection.receive() {
            self.received += bytes.bytes().len() as u64;
            self.answers += 1;
        }
        if self.closes {
            connection.close();
        }
    }

    fn on_closed(&mut self, _: Closed, (): &mut ()) {
        self.ended += 1;
    }

    fn on_turn(&mut self, worker: &mut WorkerCalls<'_, LeanQueue, ()>) {
        for _ in 0..std::mem::take(&mut self.to_open) {
            // In turn, so that the first of each come early: they find out where the others' neighbours are.
            let host = self.opened % self.hosts;
            self.opened = self.opened.wrapping_add(1);
            let [high, low] = (host as u16 + FIRST_CLIENT).to_be_bytes();
            let options = ConnectOptions::new().with_local([10, 0, high, low].into());
            if worker
                .connect(([10, 0, 0, 1], self.port).into(), &options)
                .is_err()
            {
                return;
            }
        }
    }
}

/// The server's TCP port.
const PORT: u16 = 7;

/// Connections from one address of the client: less than there are ports, so that drawing one stays quick.
const FROM_ONE: u32 = 40_000;

/// The last two octets of the client's first address.
const FIRST_CLIENT: u16 = 2;

/// Connections that are opened at a time.
const OPENED_AT_ONCE: u32 = 256;

/// What one turn of virtual time takes.
const STEP_NS: u64 = 500;

/// The server and the client.
pub(crate) struct Ends {
    pub(crate) server: Staged<LeanQueue, Server>,
    pub(crate) client: Staged<LeanQueue, Client>,
    pub(crate) now: Instant,
}

impl Ends {
    /// Room for so many connections at both ends.
    pub(crate) fn new(service: Service, connections: u32) -> std::io::Result<Self> {
        let server = Self::server(service, connections)?;
        Self::with_server(server, service, connections)
    }

    /// A server with room for so many connections.
    pub(crate) fn server(service: Service, connections: u32) -> std::io::Result<Staged<LeanQueue, Server>> {
        Staged::new(
            &Self::server_options(connections),
            LeanQueue::new(1),
            Server(service),
            &OrdinaryPages,
        )
    }

    /// A client for this server, with as much room.
    pub(crate) fn with_server(
        server: Staged<LeanQueue, Server>,
        service: Service,
        connections: u32,
    ) -> std::io::Result<Self> {
        let hosts = connections.div_ceil(FROM_ONE).max(1);
        let client = Staged::new(
            &Self::client_options(connections, hosts),
            LeanQueue::new(2),
            Client::of(hosts),
            &OrdinaryPages,
        )?;
        let mut ends = Self {
            server,
            client,
            now: Instant::from_millis(1_000),
        };
        ends.server.listen(0, &Self::listen());
        // The first finds out where the server is, the next where each of the client's addresses is: only a few frames wait for
        // that. Who sends as it opens would not let it settle.
        if service != Service::Chargen {
            ends.open(1);
            ends.settle();
            ends.open(hosts - 1);
            ends.settle();
        }
        Ok(ends)
    }

    /// What a server with room for so many is made of.
    pub(crate) fn server_options(connections: u32) -> StagedOptions {
        options(vec![net([10, 0, 0, 1])], 1, connections)
    }

    /// What a client with room for so many is made of, and with so many addresses.
    pub(crate) fn client_options(connections: u32, hosts: u32) -> StagedOptions {
        let addresses = (FIRST_CLIENT..FIRST_CLIENT + hosts as u16).map(|host| {
            let [high, low] = host.to_be_bytes();
            net([10, 0, high, low])
        });
        options(addresses.collect(), 2, connections)
    }

    /// What the server listens on.
    pub(crate) fn listen() -> Listen {
        let mut listen = Listen::on(PORT);
        listen.profile = Some(profile());
        listen.syn_queue = 65_536;
        listen
    }

    /// What the client sent comes to the server; returns how many frames.
    pub(crate) fn carry_to_server(&mut self) -> usize {
        self.now = Instant::from_nanos(self.now.as_nanos() + STEP_NS);
        carry(self.client.queue(), self.server.queue())
    }

    /// What the server sent comes to the client, which takes turns until it has read it.
    pub(crate) fn carry_to_client(&mut self) -> usize {
        let frames = carry(self.server.queue(), self.client.queue());
        self.client_turns();
        frames
    }

    /// One turn of the client, and more while frames wait to be received.
    pub(crate) fn client_turns(&mut self) {
        self.client.turn(self.now);
        while self.client.queue().waiting() > 0 {
            self.client.turn(self.now);
        }
    }

    /// Until neither end has anything to say.
    pub(crate) fn settle(&mut self) {
        self.client_turns();
        loop {
            let mut frames = self.carry_to_server();
            self.server.turn(self.now);
            while self.server.queue().waiting() > 0 {
                self.server.turn(self.now);
            }
            frames += self.carry_to_client();
            if frames == 0 {
                return;
            }
        }
    }

    /// The client opens so many in its next turn.
    pub(crate) fn open(&mut self, count: u32) {
        self.client.call(|client, _| client.to_open = count);
    }

    /// Opens connections until there are so many; returns how many there are then.
    pub(crate) fn establish(&mut self, connections: u32) -> usize {
        let there = self.client.call(|client, _| client.open.len());
        let mut left = connections.saturating_sub(there as u32);
        while left > 0 {
            let some = left.min(OPENED_AT_ONCE);
            self.open(some);
            self.settle();
            left -= some;
        }
        // The last delayed acknowledgments and the timers of handshakes.
        self.now = Instant::from_nanos(self.now.as_nanos() + 1_000_000_000);
        self.settle();
        self.client.call(|client, _| client.open.len())
    }

    /// Each new connection sends this at once, and is closed by the client when it has its answer.
    pub(crate) fn greet(&mut self, greeting: &'static [u8], closes: bool) {
        self.client.call(|client, _| {
            client.greeting = greeting;
            client.closes = closes;
        });
    }

    /// These of the client's connections send these octets.
    pub(crate) fn ask(&mut self, which: &[usize], octets: &[u8]) {
        self.client.call(|client, worker| {
            for place in which {
                let _ = worker.with(client.open[*place], |connection, ()| connection.send(octets));
            }
        });
    }
}

fn net(address: [u8; 4]) -> ipnet::IpNet {
    // 16 is a prefix length of IPv4.
    ipnet::IpNet::new_assert(address.into(), 16)
}

fn options(addresses: Vec<ipnet::IpNet>, seed: u64, connections: u32) -> StagedOptions {
    StagedOptions {
        addresses,
        profile: profile(),
        seed,
        connections,
        // As an engine has them.
        half_open: connections.clamp(OPENED_AT_ONCE, 65_536),
        time_wait: connections.clamp(1_024, 262_144),
        ephemeral_ports: (1024, 65_535),
    }
}

/// As a server has it that answers at once: timestamps, SACK and window scale.
pub(crate) fn profile() -> Profile {
    Profile::default().with(|profile| profile.nodelay = true)
}
