//! `fourtuple demo`: server and generator in one process, two engines joined by a link inside it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fourtuple::attach::{PortQueue, attach_pair};
use fourtuple::{AtPort, Config, ConnectionOption, Engine, Listen};
use fourtuple_loadgen::{Pattern, Plan, Report, Run, ServerCost};
use ipnet::IpNet;

use super::load::{KEPT_ANSWERS, conclude, farewell, plan, profile, room, sources, tell_stats};
use crate::args::Demo;
use crate::attach::{available_cores, engine_config};
use crate::exit::Failure;
use crate::progress::Watcher;
use crate::services::on_worker::Services;
use crate::services::{Kind, Site};
use crate::signals::Signals;
use crate::units::Ports;

/// The server's address.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// Room of the server, as `serve` has it when nothing else is asked for.
const SERVER_ROOM: u32 = 65_536;

/// Bytes of the page that http is asked for, as `serve` has it when nothing else is asked for.
const PAGE: u32 = 1_000;

/// Most addresses of the generator: as many as there are behind the server's in its network.
const MOST_ADDRESSES: u32 = 1 << 14;

/// Connections from one address of the generator: less than it has ports, so that drawing one stays quick.
const FROM_ONE_ADDRESS: u32 = 40_000;

pub(crate) fn run(demo: &Demo) -> Result<(), Failure> {
    let base = engine_config(&demo.engine, 0)?;
    let base_workers = base.workers;
    let (server_cores, generator_cores) = cores(&base);
    let sources = sources(&demo.run, SERVER.into())?;
    let mut server_config = base.clone();
    server_config.ip = vec![net(SERVER)];
    // The way to addresses of --src-range.
    server_config.gateway = vec![Ipv4Addr::from(u32::from(SERVER) + 1).into()];
    server_config.cores = server_cores;
    server_config.stats = demo.run.stats.0;
    server_config.max_connections = room(demo.pattern, demo.run.connections).max(SERVER_ROOM);
    let locals = locals(demo.run.connections, demo.run.src_ports);
    let mut generator_config = base;
    generator_config.ip = locals.iter().copied().map(net).collect();
    generator_config.cores = generator_cores;
    generator_config.max_connections = room(demo.pattern, demo.run.connections);
    generator_config.ephemeral_ports = demo.run.src_ports;
    generator_config.source_range = demo.run.src_range;
    server_config.validate()?;
    generator_config.validate()?;
    let locals = sources.unwrap_or_else(|| locals.into_iter().map(IpAddr::V4).collect());
    let mut plan = plan(demo.pattern, SocketAddr::new(SERVER.into(), 0), locals, &demo.run);
    let kind = kind(&plan);
    plan.target.set_port(kind.port());
    let addresses = plan.locals.len();
    server_config.buffers = buffers(&plan, base_workers);
    let profile = profile(&generator_config, &plan, demo.run.keepalive);
    let keepalive = profile.keepalive;
    let run = Run::new(plan, profile, generator_config.workers)?;
    let signals = Signals::install()?;

    let (server_port, generator_port) = attach_pair(&server_config)?;
    let capacity = server_config.max_connections;
    let mut listen = Listen::on(kind.port());
    if run.plan().fast_open {
        listen.fast_open = run.plan().connections.saturating_mul(2);
    }
    listen.options.push(ConnectionOption::NoDelay(true));
    listen.options.push(ConnectionOption::KeepAlive(keepalive));
    let opening = run.plan().opening.saturating_mul(u32::from(base_workers));
    listen.syn_queue = listen
        .syn_queue
        .max(demo.run.connections.max(opening).saturating_mul(2));
    let server = Engine::builder(server_config)
        .listen(listen)
        .start_on(server_port, |_| Services::new(Arc::new([kind]), Site::Page(PAGE)))?;
    tell_stats(&demo.run, &server);
    let generator: Engine<PortQueue> =
        Engine::start_on(generator_config, generator_port, |worker| run.generator(worker))?;

    let outcome = run.drive(&generator, &mut Watcher::new(signals, run.plan(), Some(&server)));
    let farewell = farewell(run.plan());
    let mut left = generator.drain(farewell);
    let mut cost = ServerCost {
        workers: server.config().workers,
        busy_ns_per_operation: match outcome.counts.operations {
            0 => 0.0,
            operations => outcome.server_busy.as_nanos() as f64 / operations as f64,
        },
        resident_bytes_per_connection: reserved(&server) as f64 / f64::from(capacity),
        left_connections: left,
    };
    let mut notes = vec![match server.stats_address() {
        Some(address) => format!("stats        served at http://{address}/ while it ran"),
        None => {
            "stats        off; --stats 127.0.0.1:9464 serves the server's numbers while it runs".to_owned()
        }
    }];
    if addresses > 1 {
        notes.push(format!(
            "addresses    {addresses} of the generator's were taken: one has no more ports"
        ));
    }
    // While the server still waits for a last ACK that was lost, somebody has to answer it.
    left += server.drain(farewell);
    generator.stop();
    cost.left_connections = left;
    server.stop();
    conclude(
        &run,
        &demo.run,
        &outcome,
        Report::new(run.plan(), &outcome, Some(cost)),
        &notes,
    )
}

/// The service that the pattern talks to.
fn kind(plan: &Plan) -> Kind {
    match plan.pattern {
        _ if plan.speaks_http() => Kind::Http,
        Pattern::RequestResponse | Pattern::ConnectRequestResponse => Kind::Echo,
        Pattern::Stream { reverse: true } => Kind::Chargen,
        Pattern::Stream { reverse: false } | Pattern::Hold | Pattern::Http => Kind::Discard,
    }
}

/// Buffers of each worker: an echo pins what came until it is acknowledged, and all connections have requests under way.
fn buffers(plan: &Plan, workers: u16) -> Option<u32> {
    let frames = match plan.pattern {
        Pattern::RequestResponse | Pattern::ConnectRequestResponse | Pattern::Http => {
            let bytes = plan.response.unwrap_or(plan.size).max(plan.size).max(1);
            u64::from(bytes.div_ceil(FRAME).min(SEND_QUEUE / FRAME))
        }
        // Nothing is sent back, and a window's worth of frames is soon read.
        Pattern::Stream { .. } => 1,
        Pattern::Hold => 0,
    };
    // Those whose answers wait for their ACK are as good as asking.
    let asking = match plan.active {
        Some(active) if plan.connections > KEPT_ANSWERS => active.min(plan.connections),
        _ => plan.connections,
    };
    let pinned = u64::from(asking) * u64::from(plan.pipeline) * frames / u64::from(workers.max(1));
    let wanted = (pinned + pinned / 4 + ENOUGH).min(MOST_BUFFERS);
    (wanted > ENOUGH * 2).then_some(wanted as u32)
}

/// Payload of a full frame, about.
const FRAME: u32 = 1_400;

/// Bytes that a connection may have under way.
const SEND_QUEUE: u32 = 256 << 10;

/// Buffers that a few connections need; twice as many are the port's default.
const ENOUGH: u64 = 2_048;

/// Most buffers: of 2 KiB each, and five times in all.
const MOST_BUFFERS: u64 = 1 << 17;

/// Cores of the server and of the generator: apart, where there are enough.
fn cores(config: &Config) -> (Vec<usize>, Vec<usize>) {
    let available = if config.cores.is_empty() {
        available_cores()
    } else {
        config.cores.clone()
    };
    let workers = usize::from(config.workers);
    let generator = if available.len() >= 2 * workers {
        workers
    } else {
        0
    };
    let some = |from: usize| available.iter().copied().skip(from).take(workers).collect();
    (some(0), some(generator))
}

/// As many addresses as so many connections to one port need.
fn locals(connections: u32, (first_port, last_port): Ports) -> Vec<Ipv4Addr> {
    let first = u32::from(SERVER) + 1;
    let ports = u32::from(last_port - first_port) + 1;
    let from_one = (ports - ports / 3).min(FROM_ONE_ADDRESS);
    (0..connections.div_ceil(from_one).clamp(1, MOST_ADDRESSES))
        .map(|number| Ipv4Addr::from(first + number))
        .collect()
}

fn net(address: Ipv4Addr) -> AtPort<IpNet> {
    // 16 is a prefix length of IPv4.
    IpNet::new_assert(address.into(), 16).into()
}

fn reserved(engine: &Engine<PortQueue>) -> u64 {
    engine
        .blocks()
        .iter()
        .map(|block| block.plain("reserved_bytes").unwrap_or_default())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_several_addresses() {
        let ports = (1_024, 65_535);
        assert_eq!(locals(64, ports), [Ipv4Addr::new(10, 99, 0, 2)]);
        assert_eq!(locals(40_001, ports).len(), 2);
        assert_eq!(locals(1_000_000, ports).len(), 25);
        assert_eq!(
            locals(100, (5_000, 5_049)).len(),
            3,
            "a few ports, more addresses"
        );
        assert_eq!(locals(u32::MAX, (1, 1)).len(), MOST_ADDRESSES as usize);
    }

    #[test]
    fn server_and_generator_share_cores_only_when_they_must() {
        let config = |cores: &[usize], workers| {
            let mut config = Config::default();
            config.cores = cores.to_vec();
            config.workers = workers;
            config
        };
        assert_eq!(cores(&config(&[3, 4], 1)), (vec![3], vec![4]));
        assert_eq!(cores(&config(&[3, 4, 5, 6], 2)), (vec![3, 4], vec![5, 6]));
        assert_eq!(cores(&config(&[3, 4], 2)), (vec![3, 4], vec![3, 4]));
    }
}
