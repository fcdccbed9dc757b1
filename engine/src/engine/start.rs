//! Starting an engine: cores chosen, the port attached, a shard made for each worker, threads started.

use std::sync::atomic::{AtomicBool, AtomicU16};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use fourtuple_nic::{Clock, Queue, Reta, Toeplitz};
use fourtuple_wire::Instant;

use super::{Builder, Engine, WorkerHandle};
use crate::at_port::AtPort;
use crate::attach::{Attachment, PortQueue, PortQueues};
use crate::config::{Config, Fragments};
use crate::conflicts::Conflicts;
use crate::error::{ConfigError, StartError};
use crate::handler::{Handler, NoHandler};
use crate::handoff::Estate;
use crate::host::{Addresses, Host, Rates};
use crate::idle::Sleeper;
use crate::links::{self, Links};
use crate::mesh::{self, Mesh};
use crate::port_plan::PortPlan;
use crate::secrets::Secrets;
use crate::shard::{Limits, PortParts, Shard, ShardParts, Steering};
#[cfg(feature = "stats-server")]
use crate::stats::StatsServer;
use crate::stats::published;
use crate::watch::Watch;
use crate::worker::Worker;

/// Messages of the engine that wait for a worker.
const CONTROL_RING: usize = 256;

/// Most TIME_WAIT records of a worker, however many connections it may have: as many as Linux keeps on a large machine
/// (`tcp_max_tw_buckets`). Beyond it the oldest goes.
const MOST_TIME_WAIT: u32 = 262_144;

/// How late the kernel may end a worker's sleep to save wake-ups: the least that it takes (0 would mean its default of 50 µs).
const SLACK_NS: Option<std::num::NonZeroU64> = std::num::NonZeroU64::new(1);

/// How often the control thread looks after what dropped endpoints left behind, at first.
const ESTATE_STEP: Duration = Duration::from_millis(2);

/// How often it does once nothing has come of that for [`ESTATE_PATIENCE`]: an application may keep a chunk for ever.
const ESTATE_LATE_STEP: Duration = Duration::from_millis(50);

/// Ring by ring, everything that an endpoint leaves is told within this.
const ESTATE_PATIENCE: Duration = Duration::from_secs(1);

impl Engine<PortQueue> {
    /// What to start an engine with, listeners among it.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

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
        Self::builder(config).start_with(make)
    }
}

impl<Q: Queue> Engine<Q> {
    /// Starts an engine on queues that are attached already, one of each port for each worker.
    ///
    /// # Errors
    /// [`StartError`], which says whose fault it is and what to do.
    pub fn start_on<H: Handler<Q>, C: Clock + Clone + Sync>(
        config: Config,
        attachment: Attachment<Q, C>,
        make: impl FnMut(u16) -> H,
    ) -> Result<Self, StartError> {
        Builder::new(config).start_on(attachment, make)
    }

    /// The workers' threads run, and take no frame before the engine is opened.
    pub(super) fn start_on_cores<H: Handler<Q>, C: Clock + Clone + Sync>(
        config: Config,
        attachment: Attachment<Q, C>,
        mut make: impl FnMut(u16) -> H,
        cores: Vec<Option<usize>>,
    ) -> Result<Self, StartError> {
        let mut secrets = Secrets::fresh_for(config.ephemeral_ports)?;
        secrets.count_from_boot(Instant::from_nanos(attachment.clock.now_ns()));
        if let Some(file) = &config.secrets {
            secrets.keep_in(file);
        }
        let secrets = Arc::new(secrets);
        let names: Vec<String> = attachment.ports.iter().map(|port| port.name.clone()).collect();
        let plans = config.plan_ports(&names)?;
        let count = workers_of(&attachment.ports)?;
        let sleepers = (0..count)
            .map(|_| Sleeper::new().map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| StartError::System {
                what: "an event descriptor",
                reason: error.to_string(),
            })?;
        let (publishers, readers): (Vec<_>, Vec<_>) = (0..count).map(|_| published(plans.len())).unzip();
        let started = Instant::from_nanos(attachment.clock.now_ns());
        let clock = attachment.clock.clone();
        let watch = Arc::new(Watch {
            ports: attachment.ports.iter().filter_map(label).collect(),
            addresses: config.ip.iter().map(AtPort::addr).collect(),
            listening: Mutex::default(),
            draining: AtomicBool::new(false),
            readers,
            started,
            clock: Box::new(move || Instant::from_nanos(clock.now_ns())),
            reports: attachment.reports,
        });
        let (estates, left_behind) = channel();
        let control_thread = spawn_control(left_behind, Arc::clone(&watch))?;
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
            open: Arc::new(AtomicBool::new(false)),
            listeners: Vec::new(),
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
        let each = meshes.into_iter().zip(sleepers).zip(cores).zip(publishers);
        let mut queues: Vec<_> = attachment
            .ports
            .into_iter()
            .map(|port| port.queues.into_iter())
            .collect();
        for (number, (((mesh, sleeper), core), publisher)) in each.enumerate() {
            let number = number as u16;
            let of_worker = queues.iter_mut().filter_map(Iterator::next);
            let ports = of_worker
                .zip(&plans)
                .map(|(queue, plan)| engine.port_parts(queue, plan))
                .collect();
            let parts = engine.shard_parts(number, count, ports, mesh, &steering, &secrets, started);
            let shard = Shard::new(parts, make(number), attachment.pages.as_ref());
            let (control, commands) = rtrb::RingBuffer::new(CONTROL_RING);
            let worker = Worker {
                shard,
                clock: attachment.clock.clone(),
                control: commands,
                publisher,
                sleeper: Arc::clone(&sleeper),
                idle: engine.config.idle,
                open: Arc::clone(&engine.open),
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

    /// One worker's part of one port.
    fn port_parts(&self, queue: Q, plan: &PortPlan) -> PortParts<Q> {
        let promises = queue.promises();
        let mac = plan.mac.unwrap_or(promises.mac);
        let mut addresses = Addresses::new(mac.0, &plan.ip, &plan.gateway);
        if let Some(range) = plan.source_range {
            addresses.own_range(range);
        }
        PortParts {
            host: Host::new(addresses, &Rates::default(), self.config.vlan),
            mtu: self.config.mtu.unwrap_or(promises.mtu).min(promises.mtu),
            low_water: queue.pool().rx_capacity / 16,
            queue,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with what the caller has at hand"
    )]
    fn shard_parts(
        &self,
        worker: u16,
        workers: u16,
        ports: Vec<PortParts<Q>>,
        mesh: Mesh<Q>,
        steering: &Arc<Steering>,
        secrets: &Arc<Secrets>,
        started: Instant,
    ) -> ShardParts<Q> {
        let config = &self.config;
        // A worker may come to own more than its share of four-tuples: a quarter more, and some for small numbers.
        let share = config.max_connections.div_ceil(u32::from(workers));
        let connections = if workers == 1 {
            share
        } else {
            (share + share / 4 + 64).min(config.max_connections)
        };
        ShardParts {
            worker,
            workers,
            ports,
            mesh,
            steering: Arc::clone(steering),
            secrets: Arc::clone(secrets),
            limits: Limits {
                connections,
                half_open: connections.min(65_536),
                time_wait: connections.clamp(1_024, MOST_TIME_WAIT),
                // An eighth is left to those that somebody wants, however many close at once to peers that don't answer.
                orphans: (connections - connections / 8).max(1024),
                reassemble: config.fragments == Fragments::Reassemble,
                ephemeral_ports: config.ephemeral_ports,
            },
            v4: config.ip.iter().any(|net| net.addr().is_ipv4()),
            v6: config.ip.iter().any(|net| net.addr().is_ipv6()),
            profile: config.profile(),
            quiet_until: if config.quiet_time {
                started + config.msl
            } else {
                Instant::ZERO
            },
            started,
        }
    }
}

/// What people call a port.
fn label<Q: Queue>(port: &PortQueues<Q>) -> Option<String> {
    Some(port.queues.first()?.promises().name.clone())
}

/// One for each queue of a port: all have as many.
fn workers_of<Q: Queue>(ports: &[PortQueues<Q>]) -> Result<u16, ConfigError> {
    let mut counts = ports.iter().map(|port| port.queues.len());
    match counts.next() {
        Some(first) if first > 0 && counts.all(|count| count == first) => Ok(first as u16),
        _ => Err(ConfigError::Field {
            field: "workers",
            problem: "every port needs one queue for each worker".into(),
        }),
    }
}

/// Steps what dropped endpoints left behind until all their buffers are home (D9), and tells the log of links that come and
/// go. Ends when the engine and its endpoints are gone.
fn spawn_control<Q: Queue>(
    left_behind: Receiver<Estate<Q>>,
    watch: Arc<Watch>,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name("ft-control".to_owned())
        .spawn(move || {
            let mut estates: Vec<Estate<Q>> = Vec::new();
            let mut settled_at = std::time::Instant::now();
            let (mut links, mut conflicts) = (Links::default(), Conflicts::default());
            loop {
                links.look(&watch);
                conflicts.look(&watch);
                let step = if settled_at.elapsed() < ESTATE_PATIENCE {
                    ESTATE_STEP
                } else {
                    ESTATE_LATE_STEP
                };
                let next = left_behind.recv_timeout(if estates.is_empty() { links::EVERY } else { step });
                let before = estates.len();
                match next {
                    Ok(estate) => estates.push(estate),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) if estates.is_empty() => return,
                    Err(RecvTimeoutError::Disconnected) => std::thread::sleep(step),
                }
                estates.retain_mut(|estate| !estate.step());
                if estates.len() != before {
                    settled_at = std::time::Instant::now();
                }
            }
        })
        .map_err(|error| StartError::System {
            what: "the control thread",
            reason: error.to_string(),
        })
}

/// A core for each worker, if this process may use as many.
pub(super) fn choose_cores(config: &Config) -> Result<Vec<Option<usize>>, StartError> {
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
            // Sleeps end when their time is up, not when the kernel finds it convenient; where that is refused, 50 µs later.
            let _ = rustix::thread::set_current_timer_slack(SLACK_NS);
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
