//! The engine: workers started, told what to do, watched, drained and stopped.

mod builder;
mod start;

pub use builder::Builder;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fourtuple_nic::Queue;
use fourtuple_tcp::Profile;

use crate::at_port::AtPort;
use crate::attach::PortQueue;
use crate::config::Config;
use crate::error::{ConfigError, StartError};
use crate::handoff::{Endpoint, EndpointLimits, Estate, Listener, pair};
use crate::idle::Sleeper;
use crate::listener::{Listen, ListenerId};
use crate::shard::listeners::{NewListener, deal};
use crate::shard::{Control, Done};
#[cfg(feature = "stats-server")]
use crate::stats::StatsServer;
use crate::stats::{Block, Reader, Snapshot};
use crate::watch::Watch;

/// How long the engine waits for its workers to do what it says.
const OBEY: Duration = Duration::from_secs(5);

/// How long it waits for aborted connections to become fewer: an endpoint that is not stepped keeps its own for ever.
const ABORTED: Duration = Duration::from_secs(1);

/// How long the workers go on after the last RST, to answer challenges: a round trip to peers that are not far away.
const CHALLENGES: Duration = Duration::from_millis(200);

/// How often it looks whether they have.
const LOOK: Duration = Duration::from_micros(200);

/// Most listeners of an engine.
const MAX_LISTENERS: u16 = 4096;

/// A running engine. Dropping it stops it.
///
/// ```no_run
/// # struct Echo;
/// # impl fourtuple::Handler for Echo {
/// #     type State = ();
/// #     fn on_readable(&mut self, connection: &mut fourtuple::Connection<'_>, _: &mut ()) {
/// #         while let Some(bytes) = connection.receive() {
/// #             let _ = connection.send_shared(bytes.into_payload());
/// #         }
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = fourtuple::Config::from_toml("iface = 'veth0'\nip = ['10.99.0.2/24']\nworkers = 2")?;
/// let engine = fourtuple::Engine::builder(config)
///     .listen(fourtuple::Listen::on(7))
///     .start_with(|_worker| Echo)?;
/// # drop(engine);
/// # Ok(())
/// # }
/// ```
pub struct Engine<Q: Queue = PortQueue> {
    config: Config,
    workers: Vec<WorkerHandle<Q>>,
    watch: Arc<Watch>,
    next_listener: AtomicU16,
    stop: Arc<AtomicBool>,
    sleepers: Vec<Arc<Sleeper>>,
    /// The workers poll; until then they only do as they are told.
    open: Arc<AtomicBool>,
    /// Those that the builder was given.
    listeners: Vec<Listener>,
    estates: Mutex<Sender<Estate<Q>>>,
    control_thread: Option<JoinHandle<()>>,
    #[cfg(feature = "stats-server")]
    stats: Option<StatsServer>,
}

struct WorkerHandle<Q: Queue> {
    control: Mutex<rtrb::Producer<Control<Q>>>,
    sleeper: Arc<Sleeper>,
    thread: Option<JoinHandle<()>>,
    core: Option<usize>,
}

impl<Q: Queue> std::fmt::Debug for Engine<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ports", &self.watch.ports)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl<Q: Queue> Engine<Q> {
    /// Options that connections have unless they are given others: this engine's buffers and MSL, and TCP's defaults.
    pub fn profile(&self) -> Profile {
        self.config.profile()
    }

    /// Lets the workers take frames.
    fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// The listeners that the builder was given, in that order.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Listens on a port, on all workers. Returns when all of them do. Clients that came before are reset; a [`Builder`] opens
    /// listeners before the first frame is taken.
    ///
    /// # Errors
    /// [`ConfigError`] when the port is taken or the address is none of ours.
    pub fn listen(&self, listen: Listen) -> Result<Listener, ConfigError> {
        listen.validate(&self.config.ip)?;
        let ports = listen.ports();
        let mut listening = self
            .watch
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = listening
            .values()
            .filter(|(address, taken)| *address == listen.address && taken.end() >= ports.start())
            .map(|(_, taken)| *taken.start().max(ports.start()))
            .find(|port| ports.contains(port))
        {
            return Err(ConfigError::PortTaken(port));
        }
        let from = self.next_listener.load(Ordering::Relaxed);
        let Some(id) = free_number(from, |id| listening.contains_key(&id)) else {
            let problem = format!("{MAX_LISTENERS} listeners are as many as there can be");
            return Err(ConfigError::Field {
                field: "port",
                problem,
            });
        };
        self.next_listener.store(id.0 + 1, Ordering::Relaxed);
        listening.insert(id, (listen.address, ports));
        let workers = self.workers.len() as u16;
        let done = Done::of(workers);
        for (worker, handle) in self.workers.iter().enumerate() {
            let worker = worker as u16;
            let new = NewListener {
                id,
                share: deal(listen.backlog, workers, worker),
                syn_share: deal(listen.syn_queue, workers, worker).max(1),
                fast_open_share: deal(listen.fast_open, workers, worker),
                listen: listen.clone(),
            };
            handle.tell(Control::Listen(Box::new(new), done.clone()));
        }
        obeyed(&done);
        Ok(Listener::new(id, listen.port, listen.backlog))
    }

    /// Stops listening. Connections that were accepted stay; those that wait for an accept are reset.
    pub fn unlisten(&self, id: ListenerId) {
        let mut listening = self
            .watch
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening.remove(&id).is_none() {
            return;
        }
        let done = Done::of(self.workers.len() as u16);
        for handle in &self.workers {
            handle.tell(Control::Unlisten(id, done.clone()));
        }
        obeyed(&done);
    }

    /// A handle by which an application thread takes connections and keeps messages moving.
    ///
    /// # Errors
    /// [`StartError::System`] when the process may open no more descriptors.
    pub fn endpoint(&self, limits: &EndpointLimits) -> Result<Endpoint<Q>, StartError> {
        let sleeper = Sleeper::new().map(Arc::new).map_err(|error| StartError::System {
            what: "an event descriptor",
            reason: error.to_string(),
        })?;
        let estates = self
            .estates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (core, ends) = pair(&self.sleepers, limits, Arc::clone(&sleeper), estates);
        for (handle, end) in self.workers.iter().zip(ends) {
            handle.tell(Control::Attach(Box::new(end)));
        }
        Ok(Endpoint::new(core, sleeper))
    }

    /// What each worker published last.
    pub fn blocks(&self) -> Vec<Block> {
        self.watch.readers.iter().map(Reader::read).collect()
    }

    /// The numbers of all workers and their sum, as `/api/v1/stats` serves them.
    pub fn snapshot(&self) -> Snapshot {
        self.watch.snapshot()
    }

    /// Where the stats endpoint listens, if it was asked for.
    #[cfg(feature = "stats-server")]
    pub fn stats_address(&self) -> Option<SocketAddr> {
        self.stats.as_ref().map(StatsServer::address)
    }

    /// What the engine was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What people call each port, as `af_packet:veth0`.
    pub fn port_names(&self) -> &[String] {
        &self.watch.ports
    }

    /// The cores that the workers are pinned to, in order of the workers.
    pub fn cores(&self) -> Vec<Option<usize>> {
        self.workers.iter().map(|handle| handle.core).collect()
    }

    /// The engine takes no more connections and asks those that it has to finish.
    pub fn is_draining(&self) -> bool {
        self.watch.draining.load(Ordering::Relaxed)
    }

    /// Stops accepting, lets connections finish until `deadline` from now, then resets those that are left. Returns how many had
    /// to be reset.
    pub fn drain(&self, deadline: Duration) -> u64 {
        self.watch.draining.store(true, Ordering::Relaxed);
        self.tell_all(Control::Drain);
        let until = std::time::Instant::now() + deadline;
        while std::time::Instant::now() < until && self.connections() > 0 {
            std::thread::sleep(LOOK * 5);
        }
        let left = self.connections();
        // Half-open ones, too, whose peers may believe in them.
        self.tell_all(Control::AbortAll);
        self.aborted(left);
        if left > 0 {
            // A peer that misses a segment asks once more before it believes a RST (RFC 5961 §3): somebody has to answer.
            std::thread::sleep(CHALLENGES);
        }
        left
    }

    /// Waits until the connections are gone, as long as they become fewer.
    fn aborted(&self, mut left: u64) {
        let mut fewer_at = std::time::Instant::now();
        while left > 0 && fewer_at.elapsed() < ABORTED {
            std::thread::sleep(LOOK * 5);
            let now = self.connections();
            if now < left {
                fewer_at = std::time::Instant::now();
            }
            left = now;
        }
    }

    /// Stops the workers and detaches the port. Connections that are left end without a word: [`drain`](Self::drain) first.
    pub fn stop(mut self) {
        self.join();
    }

    /// Connections now, as last published.
    pub fn connections(&self) -> u64 {
        // A worker that sleeps published before it did; one that turns is a millisecond behind at most.
        self.blocks()
            .iter()
            .filter_map(|block| block.plain("connections"))
            .sum()
    }

    /// Addresses and ports that are listened on.
    pub fn listening(&self) -> Vec<(ListenerId, Vec<SocketAddr>)> {
        let listening = self
            .watch
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening
            .iter()
            .map(|(id, (address, ports))| {
                let ours = self.config.ip.iter().map(AtPort::addr);
                let addresses = ours.filter(|ip| address.is_none_or(|only| only == *ip));
                let each = addresses.flat_map(|ip| ports.clone().map(move |port| SocketAddr::new(ip, port)));
                (*id, each.collect())
            })
            .collect()
    }

    fn tell_all(&self, message: impl Fn(Done) -> Control<Q>) {
        let done = Done::of(self.workers.len() as u16);
        for handle in &self.workers {
            handle.tell(message(done.clone()));
        }
        obeyed(&done);
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Release);
        for handle in &mut self.workers {
            handle.sleeper.wake_if_sleeping();
            if let Some(thread) = handle.thread.take() {
                // A panic has ended the process already.
                let _ = thread.join();
            }
        }
    }
}

impl<Q: Queue> Drop for Engine<Q> {
    fn drop(&mut self) {
        self.join();
        // The control thread ends when nobody can leave an estate any more and all are settled, or the workers are gone.
        drop(self.control_thread.take());
    }
}

impl<Q: Queue> WorkerHandle<Q> {
    /// Says something to the worker; waits while its ring is full, which an application may.
    fn tell(&self, mut message: Control<Q>) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        while let Err(rtrb::PushError::Full(back)) = control.push(message) {
            if control.is_abandoned() {
                return;
            }
            message = back;
            self.sleeper.wake_if_sleeping();
            std::thread::sleep(LOOK);
        }
        self.sleeper.wake_if_sleeping();
    }
}

/// The first number from `from` on, round the circle, that no listener has: one that went is used again last.
fn free_number(from: u16, taken: impl Fn(ListenerId) -> bool) -> Option<ListenerId> {
    (0..MAX_LISTENERS)
        .map(|ahead| ListenerId((from % MAX_LISTENERS + ahead) % MAX_LISTENERS))
        .find(|id| !taken(*id))
}

/// Waits until all workers have done what they were told.
fn obeyed(done: &Done) {
    let until = std::time::Instant::now() + OBEY;
    while !done.is_complete() && std::time::Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Instant;

    use fourtuple_nic::SystemClock;
    use fourtuple_nic_mem::{MemOptions, MemPort, MemQueue, WireConditions};

    use super::*;
    use crate::attach::{Attachment, PortQueues};
    use crate::config::Idle;

    /// An engine with one worker on threads and real time, whose port has no descriptor to wait on, and the port's other end.
    fn engine(idle: Idle) -> (Engine<MemQueue>, MemPort) {
        let clock = SystemClock::new();
        let (mut port, other) = MemPort::pair(MemOptions::default(), WireConditions::default(), clock, 1);
        let attachment = Attachment::new(vec![PortQueues::new("mem", port.take_queues())], clock);
        let config = Config {
            ip: vec!["10.0.0.1/24".parse().unwrap()],
            idle,
            max_connections: 64,
            ..Config::default()
        };
        let engine = Engine::start_on(config, attachment, |_| crate::NoHandler).expect("an engine");
        (engine, other)
    }

    #[track_caller]
    fn until(done: impl Fn() -> bool, why: &str) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(60), "{why}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_worker_that_polls_never_sleeps() {
        let (engine, _other) = engine(Idle::Poll);
        let turns = || engine.blocks()[0].plain("turns").unwrap();
        until(|| turns() > 10_000, "it turns");
        let block = &engine.blocks()[0];
        assert_eq!(
            (block.plain("sleeps"), block.plain("idle_ns")),
            (Some(0), Some(0))
        );
        assert_eq!(block.wakeup_delay().total(), 0);
    }

    #[test]
    fn an_idle_worker_naps_where_its_port_cannot_wake_it_and_tells_how_late_it_woke() {
        let (engine, _other) = engine(Idle::Adaptive);
        until(
            || engine.blocks()[0].wakeup_delay().total() >= 20,
            "it naps and wakes when its time is up",
        );
        let block = &engine.blocks()[0];
        assert!(block.wakeup_delay().total() <= block.plain("sleeps").unwrap());
        assert!(block.wakeup_delay().sum_ns() > 0);
        // A millisecond each, and what the system adds.
        assert!(block.plain("idle_ns").unwrap() / block.plain("sleeps").unwrap() >= 900_000);
        let listener = engine.listen(Listen::on(7)).expect("a sleeping worker hears");
        engine.unlisten(listener.id());
        assert!(engine.listening().is_empty());
    }

    #[test]
    fn listeners_that_come_and_go_never_run_out_of_numbers() {
        let mut next = 0;
        for n in 0..70_000u32 {
            let id = free_number(next, |id| id == ListenerId(3)).unwrap();
            assert!(id.0 < MAX_LISTENERS && id != ListenerId(3), "the {n}th");
            assert!(n > 4_000 || id.0 >= next, "as late as can be");
            next = id.0 + 1;
        }
        assert_eq!(free_number(5, |_| true), None);
    }
}
