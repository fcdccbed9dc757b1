//! The engine: workers started, told what to do, watched, drained and stopped.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fourtuple_nic::{Clock, Queue, Reta, Toeplitz};
use fourtuple_tcp::Profile;
use fourtuple_wire::Instant;

use crate::attach::{Attachment, PortQueue, attach};
use crate::config::Config;
use crate::error::{ConfigError, StartError};
use crate::handler::{Handler, NoHandler};
use crate::handoff::{Endpoint, EndpointLimits, Estate, Listener, pair};
use crate::host::{Addresses, Host, Rates};
use crate::idle::Sleeper;
use crate::listener::{Listen, ListenerId};
use crate::mesh::{self, Mesh};
use crate::secrets::Secrets;
use crate::shard::listeners::{NewListener, deal};
use crate::shard::{Control, Done, Limits, Shard, ShardParts, Steering};
#[cfg(feature = "stats-server")]
use crate::stats::StatsServer;
use crate::stats::{Block, Reader, Snapshot, published};
use crate::watch::Watch;
use crate::worker::Worker;

/// Messages of the engine that wait for a worker.
const CONTROL_RING: usize = 256;

/// How long the engine waits for its workers to do what it says.
const OBEY: Duration = Duration::from_secs(5);

/// How often it looks whether they have.
const LOOK: Duration = Duration::from_micros(200);

/// How often the control thread looks after what dropped endpoints left behind.
const ESTATE_STEP: Duration = Duration::from_millis(2);

/// Most listeners of an engine.
const MAX_LISTENERS: usize = 4096;

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
/// let engine = fourtuple::Engine::start_with(config, |_worker| Echo)?;
/// engine.listen(fourtuple::Listen::on(7))?;
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
    estates: Mutex<Sender<Estate<Q>>>,
    control_thread: Option<JoinHandle<()>>,
    profile: Profile,
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
            .field("port", &self.watch.port)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl Engine<PortQueue> {
    /// Starts an engine whose connections all go to endpoints.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, |_| NoHandler)
    }

    /// Starts an engine with a handler on each worker; `make` is called once for each, with its number.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start_with<H: Handler<PortQueue>>(
        config: Config,
        make: impl FnMut(u16) -> H,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let cores = choose_cores(&config)?;
        let attachment = attach(&config)?;
        Self::start_on_cores(config, attachment, make, cores)
    }
}

impl<Q: Queue> Engine<Q> {
    /// Starts an engine on queues that are attached already, one worker each.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start_on<H: Handler<Q>, C: Clock + Clone + Sync>(
        config: Config,
        attachment: Attachment<Q, C>,
        make: impl FnMut(u16) -> H,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let cores = choose_cores(&config)?;
        Self::start_on_cores(config, attachment, make, cores)
    }

    fn start_on_cores<H: Handler<Q>, C: Clock + Clone + Sync>(
        config: Config,
        attachment: Attachment<Q, C>,
        mut make: impl FnMut(u16) -> H,
        cores: Vec<Option<usize>>,
    ) -> Result<Self, StartError> {
        let secrets = Arc::new(Secrets::fresh()?);
        let count = attachment.queues.len() as u16;
        let sleepers = (0..count)
            .map(|_| Sleeper::new().map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| StartError::System {
                what: "an event descriptor",
                reason: error.to_string(),
            })?;
        let (publishers, readers): (Vec<_>, Vec<_>) = (0..count).map(|_| published()).unzip();
        let started = Instant::from_nanos(attachment.clock.now_ns());
        let clock = attachment.clock.clone();
        let watch = Arc::new(Watch {
            port: attachment
                .queues
                .first()
                .map_or_else(String::new, |queue| queue.promises().name.clone()),
            addresses: config.ip.iter().map(ipnet::IpNet::addr).collect(),
            listening: Mutex::default(),
            draining: AtomicBool::new(false),
            readers,
            started,
            clock: Box::new(move || Instant::from_nanos(clock.now_ns())),
        });
        let (estates, left_behind) = channel();
        let control_thread = spawn_control(left_behind)?;
        let mut engine = Self {
            workers: Vec::new(),
            #[cfg(feature = "stats-server")]
            stats: config
                .stats
                .map(|at| StatsServer::start(at, Arc::clone(&watch) as _))
                .transpose()?,
            watch,
            next_listener: AtomicU16::new(0),
            stop: Arc::new(AtomicBool::new(false)),
            profile: profile(&config),
            sleepers: sleepers.clone(),
            estates: Mutex::new(estates),
            control_thread: Some(control_thread),
            config,
        };
        let steering = Arc::new(Steering {
            toeplitz: Toeplitz::new(secrets.rss),
            reta: Reta::round_robin(count),
        });
        let meshes = Mesh::all(&sleepers, mesh::RING);
        let each = attachment
            .queues
            .into_iter()
            .zip(meshes)
            .zip(sleepers)
            .zip(cores)
            .zip(publishers);
        for (number, ((((queue, mesh), sleeper), core), publisher)) in each.enumerate() {
            let number = number as u16;
            let parts = engine.shard_parts(number, count, queue, mesh, &steering, &secrets, started);
            let shard = Shard::new(parts, make(number), attachment.pages.as_ref());
            let (control, commands) = rtrb::RingBuffer::new(CONTROL_RING);
            let worker = Worker {
                shard,
                clock: attachment.clock.clone(),
                control: commands,
                publisher,
                sleeper: Arc::clone(&sleeper),
                idle: engine.config.idle,
                stop: Arc::clone(&engine.stop),
            };
            let thread = spawn(number, core, worker, attachment.enter_thread)?;
            let control = Mutex::new(control);
            engine.workers.push(WorkerHandle {
                control,
                sleeper,
                thread: Some(thread),
                core,
            });
        }
        Ok(engine)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with what the caller has at hand"
    )]
    fn shard_parts(
        &self,
        worker: u16,
        workers: u16,
        queue: Q,
        mesh: Mesh<Q>,
        steering: &Arc<Steering>,
        secrets: &Arc<Secrets>,
        started: Instant,
    ) -> ShardParts<Q> {
        let config = &self.config;
        let promises = queue.promises();
        let mac = config.mac.unwrap_or(promises.mac);
        let mtu = config.mtu.unwrap_or(promises.mtu).min(promises.mtu);
        let addresses = Addresses::new(mac.0, &config.ip, &config.gateway);
        // A worker may come to own more than its share of four-tuples: a quarter more, and some for small numbers.
        let share = config.max_connections.div_ceil(u32::from(workers));
        let connections = if workers == 1 {
            share
        } else {
            (share + share / 4 + 64).min(config.max_connections)
        };
        let rx_buffers = queue.pool().rx_capacity;
        ShardParts {
            worker,
            workers,
            queue,
            host: Host::new(addresses, &Rates::default(), config.vlan),
            mtu,
            mesh,
            steering: Arc::clone(steering),
            secrets: Arc::clone(secrets),
            limits: Limits {
                connections,
                half_open: connections.min(65_536),
                time_wait: connections.max(1024),
                orphans: (connections / 2).max(1024),
                ephemeral_ports: config.ephemeral_ports,
                low_water: rx_buffers / 16,
            },
            v4: config.ip.iter().any(|net| net.addr().is_ipv4()),
            v6: config.ip.iter().any(|net| net.addr().is_ipv6()),
            profile: self.profile.clone(),
            quiet_until: if config.quiet_time {
                started + config.msl
            } else {
                Instant::ZERO
            },
            started,
        }
    }

    /// Options that connections have unless they are given others: this engine's buffers and MSL, and TCP's defaults.
    pub fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Listens on a port, on all workers. Returns when all of them do.
    ///
    /// # Errors
    /// [`ConfigError`] when the port is taken or the address is none of ours.
    pub fn listen(&self, listen: Listen) -> Result<Listener, ConfigError> {
        if listen.port == 0 {
            let problem = "0 can't be listened on; choose 1–65535".to_owned();
            return Err(ConfigError::Field {
                field: "port",
                problem,
            });
        }
        if let Some(address) = listen.address
            && !self.config.ip.iter().any(|net| net.addr() == address)
        {
            return Err(ConfigError::NotOurAddress(address));
        }
        let mut listening = self
            .watch
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening
            .values()
            .any(|taken| *taken == (listen.address, listen.port))
        {
            return Err(ConfigError::PortTaken(listen.port));
        }
        if listening.len() >= MAX_LISTENERS {
            let problem = format!("{MAX_LISTENERS} listeners are as many as there can be");
            return Err(ConfigError::Field {
                field: "port",
                problem,
            });
        }
        let id = ListenerId(self.next_listener.fetch_add(1, Ordering::Relaxed));
        listening.insert(id, (listen.address, listen.port));
        let workers = self.workers.len() as u16;
        let done = Done::of(workers);
        for (worker, handle) in self.workers.iter().enumerate() {
            let worker = worker as u16;
            let new = NewListener {
                id,
                share: deal(listen.backlog, workers, worker),
                syn_share: deal(listen.syn_queue, workers, worker).max(1),
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

    /// What people call the port, as `af_packet:veth0`.
    pub fn port_name(&self) -> &str {
        &self.watch.port
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
        if left > 0 {
            self.tell_all(Control::AbortAll);
            let until = std::time::Instant::now() + Duration::from_secs(1);
            while std::time::Instant::now() < until && self.connections() > 0 {
                std::thread::sleep(LOOK * 5);
            }
        }
        left
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
            .map(|(id, (address, port))| {
                let ours = self.config.ip.iter().map(ipnet::IpNet::addr);
                let addresses = ours.filter(|ip| address.is_none_or(|only| only == *ip));
                (*id, addresses.map(|ip| SocketAddr::new(ip, *port)).collect())
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

/// Steps what dropped endpoints left behind until all their buffers are home (D9). Ends when the engine and its endpoints are
/// gone.
fn spawn_control<Q: Queue>(left_behind: Receiver<Estate<Q>>) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name("ft-control".to_owned())
        .spawn(move || {
            let mut estates: Vec<Estate<Q>> = Vec::new();
            loop {
                let next = if estates.is_empty() {
                    left_behind.recv().map_err(|_| RecvTimeoutError::Disconnected)
                } else {
                    left_behind.recv_timeout(ESTATE_STEP)
                };
                match next {
                    Ok(estate) => estates.push(estate),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) if estates.is_empty() => return,
                    Err(RecvTimeoutError::Disconnected) => std::thread::sleep(ESTATE_STEP),
                }
                estates.retain_mut(|estate| !estate.step());
            }
        })
        .map_err(|error| StartError::System {
            what: "the control thread",
            reason: error.to_string(),
        })
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

/// Waits until all workers have done what they were told.
fn obeyed(done: &Done) {
    let until = std::time::Instant::now() + OBEY;
    while !done.is_complete() && std::time::Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

/// Options that connections have unless they are given others.
fn profile(config: &Config) -> Profile {
    Profile {
        msl: config.msl,
        receive_buffer: config.receive_buffer,
        send_buffer: config.send_buffer,
        ..Profile::default()
    }
}

/// A core for each worker, if this process may use as many.
fn choose_cores(config: &Config) -> Result<Vec<Option<usize>>, StartError> {
    let available: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    if available.is_empty() {
        // The system does not tell: workers run unpinned.
        return Ok(vec![None; usize::from(config.workers)]);
    }
    if let Some(asked) = config.cores.iter().find(|core| !available.contains(core)) {
        return Err(StartError::NoSuchCore {
            asked: *asked,
            available,
        });
    }
    if !config.cores.is_empty() {
        return Ok(config.cores.iter().copied().map(Some).collect());
    }
    if usize::from(config.workers) > available.len() {
        return Err(StartError::TooManyWorkers {
            asked: config.workers,
            available,
        });
    }
    Ok(available
        .into_iter()
        .map(Some)
        .take(usize::from(config.workers))
        .collect())
}

/// Starts a worker's thread, pinned.
fn spawn<Q: Queue, H: Handler<Q>, C: Clock>(
    number: u16,
    core: Option<usize>,
    worker: Worker<Q, H, C>,
    enter: fn() -> Result<Box<dyn std::any::Any>, fourtuple_nic::NicError>,
) -> Result<JoinHandle<()>, StartError> {
    let refused = |reason: String| StartError::System {
        what: "a worker's thread",
        reason,
    };
    let (entered, answer) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("ft-worker-{number}"))
        .spawn(move || {
            if let Some(id) = core {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            let guard = enter();
            let failed = guard.as_ref().err().cloned();
            let proceed = failed.is_none();
            let _ = entered.send(failed);
            if !proceed {
                return;
            }
            let run = std::panic::AssertUnwindSafe(|| worker.run());
            if std::panic::catch_unwind(run).is_err() {
                // D12: never a half-dead engine. The panic's own message has been printed.
                tracing::error!(
                    worker = number,
                    "a worker panicked: this is a defect of the engine, please report it"
                );
                std::process::exit(1);
            }
            drop(guard);
        })
        .map_err(|error| refused(error.to_string()))?;
    match answer.recv() {
        Ok(None) => Ok(thread),
        Ok(Some(error)) => Err(error.into()),
        Err(error) => Err(refused(error.to_string())),
    }
}
