//! Hand-off: the services on application threads with an endpoint each (`--mode threads=N`).
//!
//! A thread serves many connections: its endpoint tells which of them something happened to, and it serves those. Thousands of
//! idle ones cost nothing. It allocates for a connection, not for what comes over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fourtuple::{Chunk, Endpoint, Engine, Interest, Listener, Queue, Stream, StreamError, Token};

use super::pipe::Pipe;
use super::{Kind, Kit, Session, Site};

/// The threads.
pub(crate) struct Threads {
    threads: Vec<JoinHandle<()>>,
    draining: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Threads {
    /// Starts `count` threads that accept from all listeners.
    pub(crate) fn start<Q: Queue>(
        engine: &Engine<Q>,
        listeners: &[(Listener, Kind)],
        count: u16,
        site: &Site,
    ) -> Result<Self, fourtuple::StartError> {
        let (draining, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut threads = Vec::new();
        for number in 0..count {
            let thread = Thread {
                endpoint: engine.endpoint(&fourtuple::EndpointLimits::default())?,
                listeners: listeners.to_vec(),
                kit: Kit::new(site.clone()),
                clients: Vec::new(),
                vacant: Vec::new(),
                draining: Arc::clone(&draining),
                told: false,
                stop: Arc::clone(&stop),
                start: Instant::now(),
            };
            let name = format!("ft-app-{number}");
            let started = std::thread::Builder::new().name(name).spawn(move || thread.run());
            threads.push(started.map_err(|error| fourtuple::StartError::System {
                what: "an application thread",
                reason: error.to_string(),
            })?);
        }
        Ok(Self {
            threads,
            draining,
            stop,
        })
    }

    /// Tells their sessions that the engine drains.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends them; their connections are closed.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A panic has been printed; the engine goes on.
            let _ = thread.join();
        }
    }
}

struct Thread<Q: Queue> {
    endpoint: Endpoint<Q>,
    listeners: Vec<(Listener, Kind)>,
    kit: Kit<Vec<u8>>,
    /// By their tokens.
    clients: Vec<Option<Client<Q>>>,
    /// Places in `clients`.
    vacant: Vec<usize>,
    draining: Arc<AtomicBool>,
    /// Sessions have heard that the engine drains.
    told: bool,
    stop: Arc<AtomicBool>,
    start: Instant,
}

struct Client<Q: Queue> {
    stream: Stream<Q>,
    session: Session<Chunk<Q>>,
    end: End,
}

/// How far a connection has come to its end.
#[derive(Clone, Copy, Default)]
struct End {
    /// The peer's FIN was received, and the session knows.
    peer_closed: bool,
    /// The session needs it no more, or it is gone.
    over: bool,
}

impl<Q: Queue> Thread<Q> {
    fn run(mut self) {
        for (place, (listener, _)) in self.listeners.iter().enumerate() {
            listener.watch(&self.endpoint, Token(FIRST_LISTENER + place as u64));
        }
        let mut ready = Vec::with_capacity(READY);
        while !self.stop.load(Ordering::Relaxed) {
            if self.draining.load(Ordering::Relaxed) && !std::mem::replace(&mut self.told, true) {
                for place in 0..self.clients.len() {
                    self.serve(place, true);
                }
            }
            self.endpoint.poll(&mut ready, LOOK);
            for told in &ready {
                match told.token.0.checked_sub(FIRST_LISTENER) {
                    Some(place) => self.accept(place as usize),
                    None => self.serve(told.token.0 as usize, false),
                }
            }
        }
    }

    fn accept(&mut self, place: usize) {
        let (listener, kind) = self.listeners[place];
        while let Ok(stream) = listener.try_accept(&self.endpoint) {
            let mut client = Client {
                stream,
                session: Session::None,
                end: End::default(),
            };
            let mut pipe = ThreadPipe::new(&client.stream, &mut client.end, &self.draining, self.start);
            client.session = Session::open(kind, &mut pipe, &mut self.kit);
            let place = self.vacant.pop().unwrap_or(self.clients.len());
            // What came already is told at once.
            client.stream.watch(Token(place as u64), Interest::BOTH);
            if place < self.clients.len() {
                self.clients[place] = Some(client);
            } else {
                self.clients.push(Some(client));
            }
        }
    }

    /// Lets a client's session go on, as far as it can.
    fn serve(&mut self, place: usize, drain: bool) {
        let Some(Some(client)) = self.clients.get_mut(place) else {
            return;
        };
        let mut pipe = ThreadPipe::new(&client.stream, &mut client.end, &self.draining, self.start);
        if client.session.waits() {
            client.session.on_writable(&mut pipe, &mut self.kit);
        }
        client.session.on_readable(&mut pipe, &mut self.kit);
        if pipe.at_end && !std::mem::replace(&mut pipe.end.peer_closed, true) {
            client.session.on_peer_closed(&mut pipe, &mut self.kit);
        }
        if drain {
            client.session.on_drain(&mut pipe);
        }
        if client.end.over {
            // Dropping the stream closes the connection.
            self.clients[place] = None;
            self.vacant.push(place);
        }
    }
}

/// Clients and listeners are told of by numbers: clients by their places, listeners from here on.
const FIRST_LISTENER: u64 = 1 << 32;

/// Told at a time.
const READY: usize = 256;

/// Longest wait: how soon a thread hears that it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A stream for the duration of a call.
struct ThreadPipe<'a, Q: Queue> {
    stream: &'a Stream<Q>,
    end: &'a mut End,
    at_end: bool,
    draining: &'a AtomicBool,
    start: Instant,
}

impl<'a, Q: Queue> ThreadPipe<'a, Q> {
    fn new(stream: &'a Stream<Q>, end: &'a mut End, draining: &'a AtomicBool, start: Instant) -> Self {
        Self {
            stream,
            end,
            at_end: false,
            draining,
            start,
        }
    }

    /// Any error but "not yet" is the end of the connection.
    fn note(&mut self, error: StreamError) {
        if error != StreamError::NotYet {
            self.end.over = true;
        }
    }
}

impl<Q: Queue> Pipe for ThreadPipe<'_, Q> {
    type Received = Chunk<Q>;
    type Held = Chunk<Q>;
    type Prepared = Vec<u8>;

    fn receive(&mut self) -> Option<Chunk<Q>> {
        if self.end.over {
            return None;
        }
        match self.stream.try_recv() {
            Ok(Some(chunk)) => Some(chunk),
            Ok(None) => {
                self.at_end = true;
                None
            }
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    fn bytes(received: &Chunk<Q>) -> &[u8] {
        received
    }

    fn hold(received: Chunk<Q>) -> Chunk<Q> {
        received
    }

    fn send_held(&mut self, held: Chunk<Q>) -> Result<(), Chunk<Q>> {
        if self.end.over {
            return Ok(());
        }
        self.stream.send_chunk(held, Duration::ZERO).map_err(|unsent| {
            self.note(unsent.why);
            unsent.chunk
        })
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        if self.end.over {
            return 0;
        }
        self.stream.try_send(bytes).unwrap_or_else(|error| {
            self.note(error);
            0
        })
    }

    fn prepare(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn send_prepared(&mut self, prepared: &Vec<u8>, from: usize, to: usize) -> usize {
        self.send(&prepared[from..to])
    }

    fn shutdown(&mut self) {
        self.stream.shutdown();
    }

    fn close(&mut self) {
        self.end.over = true;
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
