//! From flags to an engine's configuration, and what is refused before anything is touched.

use fourtuple::{Config, Secrets, StartError};

use crate::args;
use crate::default_route;
use crate::exit::Failure;

/// The configuration that the flags describe, checked.
pub(crate) fn config(
    attach: &args::Attach,
    engine: &args::Engine,
    stats: args::Stats,
    max_connections: u32,
) -> Result<Config, Failure> {
    let mut config = engine_config(engine, max_connections)?;
    config.iface = attach.iface.clone();
    config.driver = attach.driver.into();
    config.port = attach.port.clone();
    config.ip = attach.ip.clone();
    config.gateway = attach.gateway.clone();
    config.mac = attach.mac.clone();
    config.vlan = attach.vlan;
    config.fragments = attach.fragments.into();
    config.quiet_time = attach.quiet_time;
    config.secrets = match &attach.secrets {
        Some(asked) => asked.0.clone(),
        None => Secrets::usual_file(),
    };
    config.stats = stats.0;
    if config.port_names().next().is_none() {
        return Err(Failure::Usage(
            "--iface or --port: name what to attach to, as --iface v0, --port 0000:65:00.0 or --port vdev:SPEC".into(),
        ));
    }
    config.validate()?;
    config
        .iface
        .iter()
        .try_for_each(|iface| default_route::refuse(iface))?;
    Ok(config)
}

/// The part of it that does not concern the port.
pub(crate) fn engine_config(engine: &args::Engine, max_connections: u32) -> Result<Config, Failure> {
    let cores = engine
        .cores
        .as_ref()
        .map_or_else(Vec::new, |cores| cores.0.clone());
    let workers = engine.workers.unwrap_or(cores.len().max(1) as u16);
    let available = available_cores();
    if !available.is_empty() && usize::from(workers) > available.len() {
        return Err(StartError::TooManyWorkers {
            asked: workers,
            available,
        }
        .into());
    }
    let mut config = Config::default();
    config.workers = workers;
    config.cores = cores;
    config.mtu = engine.mtu;
    config.idle = engine.idle.into();
    config.msl = engine.msl;
    config.congestion = engine.congestion.into();
    config.ecn = engine.ecn.into();
    config.eal = engine.eal.clone();
    config.max_connections = max_connections;
    Ok(config)
}

/// Cores that this process may use; empty when the system does not tell.
pub(crate) fn available_cores() -> Vec<usize> {
    core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect()
}
