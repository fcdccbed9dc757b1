//! `fourtuple demo`: server and generator in one process, two engines joined by a link inside it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fourtuple::attach::{PortQueue, attach_pair};
use fourtuple::{AtPort, Config, Engine, Listen};
use fourtuple_loadgen::{Report, Run, ServerCost};
use ipnet::IpNet;

use super::load::{PORTS, conclude, plan, profile, room, tell_stats};
use crate::args::{Demo, PatternWord, RunArgs};
use crate::attach::{available_cores, engine_config};
use crate::exit::Failure;
use crate::progress::Watcher;
use crate::services::Kind;
use crate::services::on_worker::Services;
use crate::signals::Signals;

/// The server's address.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// Room of the server, as `serve` has it when nothing else is asked for.
const SERVER_ROOM: u32 = 65_536;

/// Connections from one address of the generator: less than it has ports, so that drawing one stays quick.
const FROM_ONE_ADDRESS: u32 = 40_000;

/// How long connections may take to close at the end.
const FAREWELL: Duration = Duration::from_millis(500);

pub(crate) fn run(demo: &Demo) -> Result<(), Failure> {
    let base = engine_config(&demo.engine, 0)?;
    let (server_cores, generator_cores) = cores(&base);
    let server_config = Config {
        ip: vec![net(SERVER)],
        cores: server_cores,
        stats: demo.run.stats.0,
        max_connections: room(demo.pattern, demo.run.connections).max(SERVER_ROOM),
        buffers: buffers(demo.pattern, &demo.run, base.workers),
        ..base.clone()
    };
    let locals = locals(demo.run.connections);
    let generator_config = Config {
        ip: locals.iter().copied().map(net).collect(),
        cores: generator_cores,
        max_connections: room(demo.pattern, demo.run.connections),
        ephemeral_ports: PORTS,
        ..base
    };
    server_config.validate()?;
    generator_config.validate()?;
    let kind = match (demo.pattern, demo.run.reverse) {
        (PatternWord::Rr | PatternWord::Crr, _) => Kind::Echo,
        (PatternWord::Stream, false) => Kind::Discard,
        (PatternWord::Stream, true) => Kind::Chargen,
    };
    let target = SocketAddr::new(SERVER.into(), kind.port());
    let plan = plan(
        demo.pattern,
        target,
        locals.into_iter().map(IpAddr::V4).collect(),
        &demo.run,
    );
    let run = Run::new(
        plan,
        profile(&generator_config, &demo.run),
        generator_config.workers,
    )?;
    let signals = Signals::install()?;

    let (server_port, generator_port) = attach_pair(&server_config)?;
    let capacity = server_config.max_connections;
    let server: Engine<PortQueue> =
        Engine::start_on(server_config, server_port, |_| Services::new(Arc::new([kind]), 0))?;
    let mut listen = Listen::on(kind.port());
    listen.profile = server.profile();
    listen.profile.nodelay = true;
    listen.syn_queue = listen.syn_queue.max(demo.run.connections.saturating_mul(2));
    server.listen(listen)?;
    tell_stats(&demo.run, &server);
    let generator: Engine<PortQueue> =
        Engine::start_on(generator_config, generator_port, |worker| run.generator(worker))?;

    let outcome = run.drive(&generator, &mut Watcher::new(signals, run.plan(), Some(&server)));
    generator.drain(FAREWELL);
    let cost = ServerCost {
        workers: server.config().workers,
        busy_ns_per_operation: match outcome.counts.operations {
            0 => 0.0,
            operations => outcome.server_busy.as_nanos() as f64 / operations as f64,
        },
        resident_bytes_per_connection: reserved(&server) as f64 / f64::from(capacity),
    };
    let notes = [match server.stats_address() {
        Some(address) => format!("stats        served at http://{address}/ while it ran"),
        None => {
            "stats        off; --stats 127.0.0.1:9464 serves the server's numbers while it runs".to_owned()
        }
    }];
    generator.stop();
    server.drain(FAREWELL);
    server.stop();
    conclude(
        &run,
        &demo.run,
        &outcome,
        Report::new(run.plan(), &outcome, Some(cost)),
        &notes,
    )
}

/// Buffers of each worker: an echo pins what came until it is acknowledged, and all connections have requests under way.
fn buffers(pattern: PatternWord, run: &RunArgs, workers: u16) -> Option<u32> {
    let frames = match pattern {
        PatternWord::Rr | PatternWord::Crr => {
            u64::from(run.size.unwrap_or(64).div_ceil(FRAME).min(SEND_QUEUE / FRAME))
        }
        // Nothing is sent back, and a window's worth of frames is soon read.
        PatternWord::Stream => 1,
    };
    let pinned = u64::from(run.connections) * u64::from(run.pipeline) * frames / u64::from(workers.max(1));
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
fn locals(connections: u32) -> Vec<Ipv4Addr> {
    let first = u32::from(SERVER) + 1;
    (0..connections.div_ceil(FROM_ONE_ADDRESS).max(1))
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
        assert_eq!(locals(64), [Ipv4Addr::new(10, 99, 0, 2)]);
        assert_eq!(locals(40_001).len(), 2);
        assert_eq!(locals(1_000_000).len(), 25);
    }

    #[test]
    fn server_and_generator_share_cores_only_when_they_must() {
        let config = |cores: &[usize], workers| Config {
            cores: cores.to_vec(),
            workers,
            ..Config::default()
        };
        assert_eq!(cores(&config(&[3, 4], 1)), (vec![3], vec![4]));
        assert_eq!(cores(&config(&[3, 4, 5, 6], 2)), (vec![3, 4], vec![5, 6]));
        assert_eq!(cores(&config(&[3, 4], 2)), (vec![3, 4], vec![3, 4]));
    }
}
