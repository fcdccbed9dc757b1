//! Where the engine meets a NIC: the only file that knows which one (feature `dpdk`).
//!
//! Everything else is generic over [`Queue`]. Applications see [`PortQueue`] as the default of every type that has buffers in
//! it, so that none of them names it.

use std::any::Any;

use fourtuple_nic::{Clock, HugePages, NicError, OrdinaryPages, PortReport, Queue};

/// Queues of the ports with what goes with them: a clock, memory, and what a thread needs before it polls.
#[non_exhaustive]
pub struct Attachment<Q: Queue, C: Clock + Clone> {
    /// The ports, at least one and at most eight, with as many queues each as there are workers.
    pub ports: Vec<PortQueues<Q>>,
    /// The clock that the workers read.
    pub clock: C,
    /// Where tables and records lie.
    pub pages: Box<dyn HugePages + Send>,
    /// Called on each worker's thread before its first turn; what it returns lives as long as the thread polls.
    pub enter_thread: fn() -> Result<Box<dyn Any>, NicError>,
    /// What the ports tell of themselves; asked by threads for control and stats, never by workers.
    pub reports: Reports,
}

/// Asks ports for reports; those that are closed tell none.
pub type Reports = Box<dyn Fn() -> Vec<PortReport> + Send + Sync>;

/// One port's queues.
#[derive(Debug)]
#[non_exhaustive]
pub struct PortQueues<Q: Queue> {
    /// What addresses name the port by ([`PortName::short_name`](crate::PortName::short_name)).
    pub name: String,
    /// One for each worker.
    pub queues: Vec<Q>,
}

impl<Q: Queue, C: Clock + Clone> Attachment<Q, C> {
    /// These ports with ordinary memory, threads that need nothing, and no reports.
    pub fn new(ports: Vec<PortQueues<Q>>, clock: C) -> Self {
        Self {
            ports,
            clock,
            pages: Box::new(OrdinaryPages),
            enter_thread: || Ok(Box::new(())),
            reports: Box::new(Vec::new),
        }
    }
}

impl<Q: Queue> PortQueues<Q> {
    /// A port's queues, one for each worker, and its name.
    pub fn new(name: impl Into<String>, queues: Vec<Q>) -> Self {
        Self {
            name: name.into(),
            queues,
        }
    }
}

impl<Q: Queue, C: Clock + Clone> std::fmt::Debug for Attachment<Q, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field(
                "ports",
                &self.ports.iter().map(|port| &port.name).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

/// Both ends of a link inside this process.
pub type AttachedPair = (Attachment<PortQueue, PortClock>, Attachment<PortQueue, PortClock>);

#[cfg(feature = "dpdk")]
pub use with_dpdk::{PortClock, PortQueue, attach, attach_pair};

#[cfg(not(feature = "dpdk"))]
pub use without_dpdk::{PortClock, PortQueue, attach, attach_pair};

#[cfg(feature = "dpdk")]
mod with_dpdk {
    use std::any::Any;

    use fourtuple_nic::{MacAddr, NicError};
    use fourtuple_nic_dpdk::{
        DpdkQueue, Eal, EalOptions, Port, PortOptions, Reporter, TransparentHugePages, TscClock,
    };

    use super::{AttachedPair, Attachment, PortQueues};
    use crate::config::{Config, Driver};
    use crate::error::{ConfigError, StartError};
    use crate::port_name::PortName;

    /// Queues of real ports.
    pub type PortQueue = DpdkQueue;
    /// The time-stamp counter.
    pub type PortClock = TscClock;

    /// Attaches to the ports that the configuration names: to all of them, or to none.
    ///
    /// # Errors
    /// When one of them is not there, or this process may not use it.
    pub fn attach(config: &Config) -> Result<Attachment<PortQueue, PortClock>, StartError> {
        let names: Vec<PortName> = config.port_names().collect();
        if names.is_empty() {
            let problem =
                "name one at least, as --iface veth0, --port 0000:65:00.0 or --port vdev:SPEC".to_owned();
            return Err(ConfigError::Field {
                field: "port",
                problem,
            }
            .into());
        }
        let short_names: Vec<String> = names.iter().map(|name| name.short_name().to_owned()).collect();
        let plans = config.plan_ports(&short_names)?;
        let eal = start_eal(config)?;
        let mut ports = Vec::with_capacity(names.len());
        for (name, plan) in names.iter().zip(&plans) {
            let options = port_options(config, plan.mac);
            // A failure drops those that are attached already, which closes them.
            let port = match (name, config.driver) {
                (PortName::Interface(iface), Driver::AfPacket) => {
                    eal.af_packet(iface, config.workers, &options)?
                }
                (PortName::Interface(iface), Driver::AfXdp) => eal.af_xdp(iface, config.workers, &options)?,
                (PortName::Interface(iface), Driver::Tap) => eal.tap(iface, config.workers, &options)?,
                (PortName::Virtual(specification), _) => eal.vdev(specification, config.workers, &options)?,
                (PortName::Pci(address), _) => eal.pci(address, config.workers, &options)?,
            };
            ports.push((port, name.short_name()));
        }
        Ok(attachment(&eal, ports))
    }

    /// Two engines' ends of a link inside this process, with as many queues each as `config` has workers.
    ///
    /// # Errors
    /// When the EAL can't be started.
    pub fn attach_pair(config: &Config) -> Result<AttachedPair, StartError> {
        let eal = start_eal(config)?;
        let (one, other) = eal.ring_pair(config.workers, &port_options(config, None))?;
        Ok((
            attachment(&eal, vec![(one, "ring0")]),
            attachment(&eal, vec![(other, "ring1")]),
        ))
    }

    fn start_eal(config: &Config) -> Result<Eal, NicError> {
        let extra = config.eal.split_whitespace().map(str::to_owned).collect();
        // An EAL that runs already serves whoever asks for nothing of their own.
        if config.eal.is_empty()
            && let Some(running) = Eal::running()
        {
            return Ok(running);
        }
        let pci = config.port_names().filter_map(|name| match name {
            PortName::Pci(address) => Some(address),
            PortName::Interface(_) | PortName::Virtual(_) => None,
        });
        let shares = |name: PortName| match name {
            PortName::Virtual(specification) => specification.starts_with("net_virtio_user"),
            PortName::Interface(_) | PortName::Pci(_) => false,
        };
        Eal::start(&EalOptions {
            pci: pci.collect(),
            shared_memory: config.port_names().any(shares),
            extra,
            ..EalOptions::default()
        })
    }

    fn port_options(config: &Config, mac: Option<MacAddr>) -> PortOptions {
        let wanted = config.buffers.unwrap_or(PortOptions::default().rx_buffers);
        PortOptions {
            mtu: config.mtu,
            mac,
            rx_buffers: wanted,
            payload_buffers: wanted / 2,
            tx_buffers: wanted,
            ..PortOptions::default()
        }
    }

    fn attachment(eal: &Eal, attached: Vec<(Port, &str)>) -> Attachment<PortQueue, PortClock> {
        let (ports, reporters): (Vec<_>, Vec<_>) = attached
            .into_iter()
            .map(|(mut port, name)| {
                let reporter = port.reporter();
                (PortQueues::new(name, port.take_queues()), reporter)
            })
            .unzip();
        Attachment {
            ports,
            clock: TscClock::new(eal),
            pages: Box::new(TransparentHugePages),
            enter_thread,
            reports: Box::new(move || reporters.iter().filter_map(Reporter::report).collect()),
        }
    }

    fn enter_thread() -> Result<Box<dyn Any>, NicError> {
        match Eal::running() {
            Some(eal) => Ok(Box::new(eal.register_thread()?)),
            None => Ok(Box::new(())),
        }
    }
}

#[cfg(not(feature = "dpdk"))]
mod without_dpdk {
    use fourtuple_nic::{NicError, SystemClock};
    use fourtuple_nic_mem::MemQueue;

    use super::{AttachedPair, Attachment};
    use crate::config::Config;
    use crate::error::StartError;

    /// Queues of the in-process NIC for tests.
    pub type PortQueue = MemQueue;
    /// The operating system's clock.
    pub type PortClock = SystemClock;

    /// Without DPDK there is no port to attach to.
    ///
    /// # Errors
    /// Always: build with the feature `dpdk`.
    pub fn attach(config: &Config) -> Result<Attachment<PortQueue, PortClock>, StartError> {
        let port = config
            .port_names()
            .next()
            .map_or_else(|| "port".to_owned(), |name| name.to_string());
        let reason = "this build has no ports; build with the feature `dpdk`".to_owned();
        Err(NicError::Refused { port, reason }.into())
    }

    /// Without DPDK there is no link to attach to.
    ///
    /// # Errors
    /// Always: build with the feature `dpdk`.
    pub fn attach_pair(config: &Config) -> Result<AttachedPair, StartError> {
        Ok((attach(config)?, attach(config)?))
    }
}
