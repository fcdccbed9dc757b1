//! An endpoint in place of the handler: what a worker takes for an exchange whose echo an application sends, and how soon one
//! that sleeps is awake.
//!
//! The application is stepped on the worker's thread, outside of what is measured: what a cache line takes from core to core is not in
//! the worker's time here. A turn takes in a burst of requests, and sends the answers to the burst before: as under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fourtuple::{Endpoint, EndpointLimits, Interest, Listen, Listener, Ready, Stream, Token};

use crate::ends::{Ends, Service, profile};
use crate::lean::LeanQueue;
use crate::measured;
use crate::meter::Meter;
use crate::scenarios::{self, BURST, Order, REQUEST, ROUNDS, Size};

/// The endpoint's port; the handler has another.
const PORT: u16 = 8;

/// Connections that ask in turn.
const CONNECTIONS: usize = 64;

/// Two ends, the server's connections in the hands of an endpoint.
struct Handed {
    ends: Ends,
    endpoint: Endpoint<LeanQueue>,
    listener: Listener,
    streams: Vec<Stream<LeanQueue>>,
    ready: Vec<Ready>,
}

impl Handed {
    fn new(connections: usize) -> std::io::Result<Self> {
        let mut ends = Ends::new(Service::Echo, connections as u32 * 2)?;
        let mut listen = Listen::on(PORT);
        listen.profile = Some(profile());
        listen.backlog = connections as u32;
        let listener = ends.server.listen_for_endpoints(1, listen);
        let mut handed = Self {
            endpoint: ends.server.endpoint(&EndpointLimits::default())?,
            listener,
            streams: Vec::with_capacity(connections),
            ready: Vec::with_capacity(connections),
            ends,
        };
        handed.ends.client.call(|client, _| {
            client.port = PORT;
            client.open.clear();
        });
        handed.ends.open(connections as u32);
        for _ in 0..TURNS {
            handed.ends.settle();
            handed.accept();
            if handed.streams.len() == connections {
                return Ok(handed);
            }
        }
        let why = format!(
            "{} of {connections} connections were accepted",
            handed.streams.len()
        );
        Err(std::io::Error::other(why))
    }

    fn accept(&mut self) {
        self.endpoint.step();
        while let Ok(stream) = self.listener.try_accept(&self.endpoint) {
            stream.watch(Token(self.streams.len() as u64), Interest::READABLE);
            self.streams.push(stream);
        }
        self.endpoint.step();
    }

    /// The application's part: each chunk goes back as it came.
    fn echo(&mut self) {
        self.endpoint.poll(&mut self.ready, Duration::ZERO);
        for ready in &self.ready {
            let stream = &self.streams[ready.token.0 as usize];
            while let Ok(Some(chunk)) = stream.try_recv() {
                // There is room: the client asks for no more than it reads.
                let _ = stream.send_chunk(chunk, Duration::ZERO);
            }
        }
        self.endpoint.step();
    }
}

/// Exchanges of 64 octets that an endpoint answers, and in turn with them the same that a handler answers: whatever the machine does
/// meanwhile, it does to both.
pub(crate) fn exchanges(meter: &mut Meter, size: Size) -> std::io::Result<()> {
    let mut handed = Handed::new(CONNECTIONS)?;
    let mut order = Order::of(CONNECTIONS);
    let (mut handled, mut order_of_handled) = scenarios::asked(CONNECTIONS as u32)?;
    let (mut asked, warm) = (0, ROUNDS);
    for round in 0..warm + ROUNDS * size.rounds {
        handled.ask(order_of_handled.next(BURST), &REQUEST);
        handled.client_turns();
        let frames = handled.carry_to_server();
        let now = handled.now;
        let server = &mut handled.server;
        if round < warm {
            server.turn(now);
        } else {
            measured!(meter, measured_handled_64, frames, server.turn(now));
        }
        handled.carry_to_client();

        handed.ends.ask(order.next(BURST), &REQUEST);
        handed.ends.client_turns();
        let frames = handed.ends.carry_to_server();
        asked += BURST as u64;
        let now = handed.ends.now;
        let server = &mut handed.ends.server;
        if round < warm {
            server.turn(now);
        } else {
            measured!(meter, measured_handed_off_64, frames, server.turn(now));
        }
        handed.echo();
        handed.ends.carry_to_client();
    }
    handed.ends.settle();
    let answers = handed.ends.client.call(|client, _| client.answers);
    if answers < asked {
        return Err(std::io::Error::other(format!(
            "an endpoint answered {answers} of {asked} requests"
        )));
    }
    Ok(())
}

/// Nanoseconds from what wakes a thread to its first step, sorted.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// From the beginning of the turn that receives to the application's return from its wait.
    pub(crate) endpoint: Vec<u64>,
    /// From the write to an eventfd to the return from its read.
    pub(crate) eventfd: Vec<u64>,
}

/// Wakes a parked endpoint and a thread that reads an eventfd, in turn, each so many times. The waker runs on the first core,
/// the sleepers on the second.
pub(crate) fn wake(times: usize) -> std::io::Result<Wakes> {
    let mut handed = Handed::new(1)?;
    let stream = handed.streams.pop().ok_or_else(nobody)?;
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
    let (started, over) = (Instant::now(), AtomicBool::new(false));
    let (endpoint_woke, eventfd_woke) = (AtomicU64::new(0), AtomicU64::new(0));
    let age = || started.elapsed().as_nanos() as u64;
    let mut wakes = Wakes {
        endpoint: Vec::with_capacity(times),
        eventfd: Vec::with_capacity(times),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !over.load(Ordering::Relaxed) {
                if let Ok(Some(_chunk)) = stream.recv(PATIENCE) {
                    endpoint_woke.store(age(), Ordering::Release);
                }
            }
        });
        scope.spawn(|| {
            pin(1);
            let mut count = [0; 8];
            while !over.load(Ordering::Relaxed) && rustix::io::read(&event, &mut count).is_ok() {
                eventfd_woke.store(age(), Ordering::Release);
            }
        });
        pin(0);
        for _ in 0..times {
            std::thread::sleep(ASLEEP);
            handed.ends.ask(&[0], &REQUEST);
            handed.ends.client_turns();
            handed.ends.carry_to_server();
            endpoint_woke.store(0, Ordering::Relaxed);
            let (now, began) = (handed.ends.now, age());
            handed.ends.server.turn(now);
            wakes
                .endpoint
                .extend(waited(&endpoint_woke).map(|woke| woke - began));
            handed.ends.settle();

            std::thread::sleep(ASLEEP);
            eventfd_woke.store(0, Ordering::Relaxed);
            let began = age();
            let _ = rustix::io::write(&event, &1u64.to_ne_bytes());
            wakes
                .eventfd
                .extend(waited(&eventfd_woke).map(|woke| woke - began));
        }
        over.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&event, &1u64.to_ne_bytes());
    });
    wakes.endpoint.sort_unstable();
    wakes.eventfd.sort_unstable();
    if wakes.endpoint.is_empty() || wakes.eventfd.is_empty() {
        return Err(nobody());
    }
    Ok(wakes)
}

fn nobody() -> std::io::Error {
    std::io::Error::other("nobody woke")
}

/// When it woke; `None` when it did not.
fn waited(woke: &AtomicU64) -> Option<u64> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match woke.load(Ordering::Acquire) {
            0 => std::hint::spin_loop(),
            at => return Some(at),
        }
    }
    None
}

/// Runs on this core from now on, where that is allowed.
fn pin(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}

/// Looks until all connections are accepted.
const TURNS: usize = 1_000;

/// After so long a thread that has nothing to do is asleep.
const ASLEEP: Duration = Duration::from_micros(300);

/// How long a wake-up is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
