//! Engines that come and go in one process over DPDK's ports, stopped in the middle of everything: nothing is left of them.
#![cfg(feature = "dpdk")]

#[path = "../../nic/dpdk/tests/common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::namespace::Namespace;
use common::{alone, alone_through, eal, skip, soon};
use fourtuple::attach::attach_pair;
use fourtuple::{Chunk, Config, Endpoint, EndpointLimits, Engine, Listen, Listener, NoHandler, Stream};
use fourtuple_nic_dpdk::Eal;

const ROUNDS: usize = 50;
const WAIT: Duration = Duration::from_secs(20);

fn config(ip: &str) -> Config {
    let mut config = Config::default();
    config.ip = vec![ip.parse().unwrap()];
    config.max_connections = 256;
    config.buffers = Some(1023);
    config.msl = Duration::from_millis(100);
    config.stats = Some("127.0.0.1:0".parse().unwrap());
    config
}

/// What a process holds that an engine might leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    ports: u16,
    zones: usize,
    retired_pools: usize,
}

impl Held {
    fn now(eal: &Eal) -> Self {
        let count = |path| std::fs::read_dir(path).unwrap().count();
        Self {
            retired_pools: eal.sweep_pools(),
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            ports: eal.port_count(),
            zones: eal.memory_zones(),
        }
    }
}

/// Kilobytes of this process that are in memory.
fn resident_kb() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap()
}

/// Some rounds so that what is made once is made, then fifty, after which everything is as before.
fn leaves_nothing_behind(eal: &Eal, mut round: impl FnMut(usize)) {
    (0..4).for_each(&mut round);
    let is_settled = |held: &Held| held.retired_pools == 0 && held.ports == 0;
    assert!(soon(|| is_settled(&Held::now(eal))), "{:?}", Held::now(eal));
    let (before, resident) = (Held::now(eal), resident_kb());
    (0..ROUNDS).for_each(&mut round);
    // Control threads end a moment after the last endpoint's estate is settled.
    assert!(
        soon(|| Held::now(eal) == before),
        "{:?} from {before:?}",
        Held::now(eal)
    );
    let grown = resident_kb().saturating_sub(resident);
    assert!(grown < 16 * 1024, "{grown} kB more after {ROUNDS} engines");
}

/// A server's application with connections in the middle of their lives, and a chunk that it keeps.
struct Serving {
    endpoint: Endpoint,
    _idle: Stream,
    _unread: Stream,
    kept: Chunk,
}

fn serve(engine: &Engine) -> (Endpoint, Listener) {
    let listener = engine.listen(Listen::on(7).for_endpoints()).unwrap();
    (engine.endpoint(&EndpointLimits::default()).unwrap(), listener)
}

/// Two connections accepted of three: one has sent a chunk, which is taken and kept, one has sent what nobody reads.
fn accept(endpoint: Endpoint, listener: Listener) -> Serving {
    let first = listener.accept(&endpoint, WAIT).unwrap();
    let second = listener.accept(&endpoint, WAIT).unwrap();
    let kept = first.recv(WAIT).unwrap().unwrap();
    Serving {
        endpoint,
        _idle: first,
        _unread: second,
        kept,
    }
}

/// The engine goes before its endpoint, after it, drained or not; the chunk goes last.
fn end(number: usize, engine: Engine, serving: Serving) {
    let Serving { endpoint, kept, .. } = serving;
    let drain = Duration::from_millis(10);
    match number % 4 {
        0 => {
            engine.stop();
            drop(endpoint);
        }
        1 => {
            drop(endpoint);
            engine.stop();
        }
        2 => {
            engine.drain(drain);
            drop(engine);
            drop(endpoint);
        }
        _ => {
            drop(endpoint);
            engine.drain(drain);
            engine.stop();
        }
    }
    assert_eq!(kept.len(), 1000, "it outlives the engine");
}

#[test]
fn fifty_engines_on_a_ring_pair_stopped_with_live_connections_leave_nothing_behind() {
    alone(
        "fifty_engines_on_a_ring_pair_stopped_with_live_connections_leave_nothing_behind",
        || {
            let eal = eal();
            leaves_nothing_behind(&eal, |number| {
                let (one, other) = attach_pair(&config("10.0.0.1/24")).unwrap();
                let server = Engine::start_on(config("10.0.0.1/24"), one, |_| NoHandler).unwrap();
                let client = Engine::start_on(config("10.0.0.2/24"), other, |_| NoHandler).unwrap();
                let (endpoint, listener) = serve(&server);
                let clients = client.endpoint(&EndpointLimits::default()).unwrap();
                let remote: SocketAddr = "10.0.0.1:7".parse().unwrap();
                let streams: Vec<_> = (0..3).map(|_| clients.connect(remote, WAIT).unwrap()).collect();
                for stream in &streams {
                    stream.send_all(&[7; 1000], WAIT).unwrap();
                }
                let serving = accept(endpoint, listener);
                if number % 2 == 0 {
                    client.stop();
                    end(number, server, serving);
                } else {
                    end(number, server, serving);
                    client.stop();
                }
                drop(streams);
            });
        },
    );
}

#[test]
fn fifty_engines_on_a_packet_socket_stopped_with_live_connections_leave_nothing_behind() {
    const NAME: &str = "fifty_engines_on_a_packet_socket_stopped_with_live_connections_leave_nothing_behind";
    let setup = [
        "link add idv0 type veth peer name idv1",
        "link set lo up",
        "link set idv0 up",
        "link set idv1 up",
        "address add 10.99.0.1/24 dev idv1",
    ];
    let namespace = if common::is_alone() {
        Namespace::entered()
    } else {
        match Namespace::new("id-engines", &setup) {
            Ok(namespace) => namespace,
            Err(reason) => return skip(&reason),
        }
    };
    alone_through(
        NAME,
        |command| namespace.enter(command),
        || {
            let eal = eal();
            leaves_nothing_behind(&eal, |number| {
                let mut config = config("10.99.0.2/24");
                config.iface = vec!["idv0".to_owned()];
                let engine = Engine::start(config).unwrap();
                let (endpoint, listener) = serve(&engine);
                let connect = |_| TcpStream::connect_timeout(&"10.99.0.2:7".parse().unwrap(), WAIT).unwrap();
                let mut streams: Vec<_> = (0..3).map(connect).collect();
                for stream in &mut streams {
                    stream.write_all(&[7; 1000]).unwrap();
                }
                let serving = accept(endpoint, listener);
                end(number, engine, serving);
                if number % 4 >= 2 {
                    // What a drain aborts is told to its peers.
                    for (at, stream) in streams.iter_mut().enumerate() {
                        stream.set_read_timeout(Some(WAIT)).unwrap();
                        let heard = stream.read(&mut [0; 8]);
                        assert!(
                            heard.as_ref().map_or_else(is_reset, |len| *len == 0),
                            "round {number}, connection {at}: {heard:?}"
                        );
                    }
                }
            });
        },
    );
}

fn is_reset(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionReset
}
