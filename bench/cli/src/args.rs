//! The command line. Each flag has its environment variable (`FOURTUPLE_` and its name) and its key in the TOML file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use fourtuple::{
    AtPort, CongestionKind, Driver, Ecn, Fragments, Idle, KeepAlive, MacAddr, PortName, SynCookies,
};
use ipnet::IpNet;

use crate::services::Service;
use crate::units::{self, Cores, Ports, Sizes};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "fourtuple", version, about = ABOUT, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ABOUT: &str = "A kernel-bypass TCP engine on DPDK: serve, generate load, try both in one process";
const AFTER: &str = "\
Every flag can also be given as an environment variable (--workers as FOURTUPLE_WORKERS) or as a key of the TOML file that
--config names (workers = 2). A flag beats the environment beats the file. FOURTUPLE_LOG=debug tells more on stderr.

Exit: 0 well, 1 the run failed, 2 usage, 3 this machine or port is not usable, 4 too many errors, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Server and generator in one process, over a link inside it: no NIC, no privilege
    Demo(Demo),
    /// Serve on a port of this machine
    Serve(Serve),
    /// Generate load from a port of this machine
    Load(Load),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

const TALKS_TO: &str = "\
rr and crr talk to an echo service; stream to discard, with --reverse to chargen; hold to any; http to any http service,
and so do rr and crr with sizes that differ (they ask for /bytes/RESP, which `fourtuple serve http` has) or --close server.";

/// What to attach to, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Port")]
pub(crate) struct Attach {
    /// The network interface; again for more
    #[arg(long, value_delimiter = ',')]
    pub(crate) iface: Vec<String>,
    /// Another port, again for more: a PCI address (0000:65:00.0) or a virtual device of DPDK (vdev:net_memif0,role=server,id=0)
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Vec<PortName>,
    /// How to attach to it: af_packet and af_xdp to one that is there, tap makes it
    #[arg(long, value_enum, default_value = "af_packet")]
    pub(crate) driver: DriverWord,
    /// The engine's own address, as 10.99.0.2/24; again for more, v4 or v6; with several ports each says where it lives: the
    /// interface (%v0), the PCI address, or the virtual device without arguments (%net_memif0)
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS/LEN[%PORT]")]
    pub(crate) ip: Vec<AtPort<IpNet>>,
    /// The next hop for what is not on the link; one a family and port
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// The engine's Ethernet address; one a port [default: the port's]
    #[arg(long, value_delimiter = ',', value_name = "MAC[%PORT]")]
    pub(crate) mac: Vec<AtPort<MacAddr>>,
    /// VLAN tag of all frames, 1-4094
    #[arg(long)]
    pub(crate) vlan: Option<u16>,
    /// What becomes of fragments of IP packets: put together, or dropped and counted
    #[arg(
        long,
        value_enum,
        default_value = "reassemble",
        value_name = "WHAT",
        help_heading = "Engine"
    )]
    pub(crate) fragments: FragmentsWord,
    /// Open and accept no connections for one --msl after the start
    #[arg(long, help_heading = "Engine")]
    pub(crate) quiet_time: bool,
    /// Where the keys of sequence numbers and timestamps are kept for the next process of this boot, or off; a file that only its
    /// owner can read [default: /run/fourtuple/secrets for root, else $XDG_RUNTIME_DIR/fourtuple/secrets]
    #[arg(long, value_parser = secrets, value_name = "FILE", help_heading = "Engine")]
    pub(crate) secrets: Option<SecretsFile>,
}

/// How the engine runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct Engine {
    /// Workers: pinned threads with a queue pair each [default: 1, or one for each of --cores]
    #[arg(long)]
    pub(crate) workers: Option<u16>,
    /// Cores to pin the workers to, as 2-5 or 0,2 [default: the first that can be had]
    #[arg(long, value_parser = units::cores)]
    pub(crate) cores: Option<Cores>,
    /// Largest IP packet in bytes [default: the port's]
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// What a worker does when there is nothing to do: poll never sleeps
    #[arg(long, value_enum, default_value = "adaptive")]
    pub(crate) idle: IdleWord,
    /// Maximum segment lifetime: TIME_WAIT lasts twice as long
    #[arg(long, value_parser = units::time, value_name = "TIME", default_value = "30s")]
    pub(crate) msl: Duration,
    /// Congestion control of the connections
    #[arg(long, value_enum, value_name = "ALGORITHM", default_value = "cubic")]
    pub(crate) congestion: CongestionWord,
    /// Explicit congestion notification: asked for (on), used when the peer asks (passive), never (off); dctcp asks by itself
    #[arg(long, value_enum, default_value = "passive")]
    pub(crate) ecn: EcnWord,
    /// Raw words for DPDK's EAL
    #[arg(long, allow_hyphen_values = true, value_name = "WORDS", default_value = "")]
    pub(crate) eal: String,
    /// A TOML file whose keys are these flags' names
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Services: echo (7), discard (9), chargen (19), daytime (13), http (80), on one port or on several: echo:7000-7999.\n\
    http answers every path with a page of --body-size, /bytes/4096 with so many bytes; with --root it serves the files of a \
    folder, read into memory at start.\n\
    When it is ready it prints a line for each: listening echo 10.99.0.2:7 [fd99::2]:7\n\
    SIGTERM and SIGINT drain: no new connections, --drain-timeout for those that are there. A second one ends at once."
)]
pub(crate) struct Serve {
    /// Services, each on its known port or as http:8080 or echo:7000-7999
    #[arg(value_name = "SERVICE[:PORT[-PORT]]")]
    pub(crate) services: Vec<Service>,
    #[command(flatten)]
    pub(crate) attach: Attach,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// Where services run: handler (on the workers), or threads=N (on threads of their own)
    #[arg(long, default_value = "handler", help_heading = "Services")]
    pub(crate) mode: Mode,
    /// The folder whose files http serves; they are read at start, a change needs a restart
    #[arg(long, value_name = "DIR", help_heading = "Services")]
    pub(crate) root: Option<PathBuf>,
    /// Bytes of the page that http serves without --root
    #[arg(long, value_parser = units::bytes, value_name = "BYTES", default_value = "1k", help_heading = "Services")]
    pub(crate) body_size: u32,
    /// Connections that may wait for an accept, each service (threads=N)
    #[arg(long, value_parser = units::count_u32, value_name = "N", default_value = "128", help_heading = "Services")]
    pub(crate) backlog: u32,
    /// Half-open connections, each service
    #[arg(long, value_parser = units::count_u32, value_name = "N", default_value = "1024", help_heading = "Services")]
    pub(crate) syn_queue: u32,
    /// Handshakes without memory (SYN cookies): auto when --syn-queue is full
    #[arg(long, value_enum, default_value = "auto", help_heading = "Services")]
    pub(crate) syn_cookies: SynCookiesWord,
    /// TCP Fast Open: connections that may be in before their handshake is over, each service; 0 is off
    #[arg(long, value_parser = units::count_u32, value_name = "N", default_value = "0", help_heading = "Services")]
    pub(crate) fast_open: u32,
    /// Probe idle connections: after this time, in this interval, so many times; as 60s,10s,6 [default: off]
    #[arg(long, value_parser = keepalive, value_name = "IDLE,INTERVAL,COUNT", help_heading = "Services")]
    pub(crate) keepalive: Option<KeepAlive>,
    /// Connections there is room for; memory for them is taken at start
    #[arg(long, value_parser = units::count_u32, value_name = "N", default_value = "65536", help_heading = "Services")]
    pub(crate) max_connections: u32,
    /// Where the stats endpoint listens, or off
    #[arg(long, value_parser = stats, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    pub(crate) stats: Stats,
    /// How long connections may go on after a signal
    #[arg(long, value_parser = units::time, value_name = "TIME", default_value = "10s")]
    pub(crate) drain_timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = TALKS_TO)]
pub(crate) struct Load {
    /// What an operation is
    #[arg(value_enum)]
    pub(crate) pattern: PatternWord,
    /// Where the target listens, as 10.99.0.1:7 or [fd99::1]:7
    #[arg(value_parser = target, value_name = "TARGET:PORT")]
    pub(crate) target: SocketAddr,
    #[command(flatten)]
    pub(crate) attach: Attach,
    #[command(flatten)]
    pub(crate) engine: Engine,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// What an operation is
    #[arg(value_enum, default_value = "rr")]
    pub(crate) pattern: PatternWord,
    #[command(flatten)]
    pub(crate) engine: Engine,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How much load, for how long, and what is told of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct RunArgs {
    /// Connections at a time, all workers together
    #[arg(short, long, value_parser = units::count_u32, value_name = "N", default_value = "64")]
    pub(crate) connections: u32,
    /// Connections with requests under way at a time, drawn at random, each once before any comes again [default: all]
    /// (rr, http)
    #[arg(long, value_parser = units::count_u32, value_name = "N")]
    pub(crate) active: Option<u32>,
    /// Connections being opened at a time by each worker [default: 64] (not crr)
    #[arg(long, value_parser = units::count_u32, value_name = "N")]
    pub(crate) opening: Option<u32>,
    /// Ask peers that say nothing whether they are still there; of demo both ends do [default: for hold within its time]
    #[arg(long, value_parser = keepalive, value_name = "IDLE,INTERVAL,COUNT")]
    pub(crate) keepalive: Option<KeepAlive>,
    /// How long to measure [default: 10s]
    #[arg(short, long, value_parser = units::time, value_name = "TIME", conflicts_with = "count")]
    pub(crate) duration: Option<Duration>,
    /// How many operations to do, in place of a time
    #[arg(short = 'n', long, value_parser = units::count, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Bytes of a request and of its answer, as 64 or 100:4k (two that differ speak HTTP); of a block of a stream
    /// [default: 64; stream 64Ki; http as few as a request takes, and the page at --path]
    #[arg(short, long, value_parser = units::sizes, value_name = "REQ[:RESP]")]
    pub(crate) size: Option<Sizes>,
    /// What http asks for [default: /, or /bytes/RESP]
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Requests under way at a time on each connection (rr, http)
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) pipeline: u16,
    /// Receive instead of send (stream)
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Operations for so long are done and not counted
    #[arg(long, value_parser = units::time, value_name = "TIME", default_value = "0s")]
    pub(crate) warmup: Duration,
    /// Open the connections evenly over so long (not crr)
    #[arg(long, value_parser = units::time, value_name = "TIME", default_value = "0s")]
    pub(crate) ramp: Duration,
    /// An operation that takes longer has failed
    #[arg(long, value_parser = units::time, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Duration,
    /// Addresses to connect from, in turn, in place of --ip's; the network has to route them here
    #[arg(long, value_parser = network, value_name = "ADDRESS/LEN")]
    pub(crate) src_range: Option<IpNet>,
    /// Local ports to connect from
    #[arg(long, value_parser = units::ports, value_name = "A-B", default_value = "1024-65535")]
    pub(crate) src_ports: Ports,
    /// How crr ends a connection: client and server say whose FIN comes first (server: over HTTP), rst sends a RST
    #[arg(long, value_enum, default_value = "client")]
    pub(crate) close: CloseWord,
    /// TCP Fast Open: send the request with the SYN, once the target gave a cookie (crr)
    #[arg(long)]
    pub(crate) fast_open: bool,
    /// Compare each received byte with what was sent (rr, crr)
    #[arg(long)]
    pub(crate) verify: bool,
    /// What the payload is drawn from
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// Errors allowed, as 0.1%; more end with 4
    #[arg(long, value_parser = units::rate, value_name = "RATE", default_value = "0")]
    pub(crate) max_error_rate: f64,
    /// Print the result as JSON (docs/load-json.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the stats endpoint listens while it runs, or off
    #[arg(long, value_parser = stats, value_name = "ADDRESS:PORT", default_value = "off")]
    pub(crate) stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatternWord {
    /// A request and its answer
    Rr,
    /// A connection: opened, one request and its answer, closed
    Crr,
    /// A block of bytes to the target, with --reverse from it
    Stream,
    /// A connection that is opened and still there at the end
    Hold,
    /// A GET and its answer of status 2xx, over connections that are kept
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CloseWord {
    Client,
    Server,
    Rst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverWord {
    #[value(name = "af_packet")]
    AfPacket,
    #[value(name = "af_xdp")]
    AfXdp,
    Tap,
}

impl From<DriverWord> for Driver {
    fn from(word: DriverWord) -> Self {
        match word {
            DriverWord::AfPacket => Self::AfPacket,
            DriverWord::AfXdp => Self::AfXdp,
            DriverWord::Tap => Self::Tap,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CongestionWord {
    Cubic,
    #[value(name = "newreno")]
    NewReno,
    Bbr,
    Dctcp,
}

impl From<CongestionWord> for CongestionKind {
    fn from(word: CongestionWord) -> Self {
        match word {
            CongestionWord::Cubic => Self::Cubic,
            CongestionWord::NewReno => Self::NewReno,
            CongestionWord::Bbr => Self::Bbr,
            CongestionWord::Dctcp => Self::Dctcp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EcnWord {
    On,
    Off,
    Passive,
}

impl From<EcnWord> for Ecn {
    fn from(word: EcnWord) -> Self {
        match word {
            EcnWord::On => Self::On,
            EcnWord::Off => Self::Off,
            EcnWord::Passive => Self::Passive,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FragmentsWord {
    Reassemble,
    Drop,
}

impl From<FragmentsWord> for Fragments {
    fn from(word: FragmentsWord) -> Self {
        match word {
            FragmentsWord::Reassemble => Self::Reassemble,
            FragmentsWord::Drop => Self::Drop,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdleWord {
    Poll,
    Adaptive,
}

impl From<IdleWord> for Idle {
    fn from(word: IdleWord) -> Self {
        match word {
            IdleWord::Poll => Self::Poll,
            IdleWord::Adaptive => Self::Adaptive,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SynCookiesWord {
    Auto,
    Always,
    Off,
}

impl From<SynCookiesWord> for SynCookies {
    fn from(word: SynCookiesWord) -> Self {
        match word {
            SynCookiesWord::Auto => Self::Auto,
            SynCookiesWord::Always => Self::Always,
            SynCookiesWord::Off => Self::Off,
        }
    }
}

/// Where services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Handler,
    Threads(u16),
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no mode: write handler, or threads=2 with 1 to 256 threads");
        match text.split_once('=') {
            None if text == "handler" => Ok(Self::Handler),
            Some(("threads", count)) => match count.parse() {
                Ok(count) if (1..=256).contains(&count) => Ok(Self::Threads(count)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// Where the stats endpoint listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats(pub(crate) Option<SocketAddr>);

fn stats(text: &str) -> Result<Stats, String> {
    if text == "off" {
        return Ok(Stats(None));
    }
    text.parse()
        .map(|address| Stats(Some(address)))
        .map_err(|_| format!("`{text}` is not an address and port: write 127.0.0.1:9464, [::1]:9464 or off"))
}

/// A file in which secrets are kept, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretsFile(pub(crate) Option<PathBuf>);

fn secrets(text: &str) -> Result<SecretsFile, String> {
    match text {
        "" => Err("name a file, or write off".into()),
        "off" => Ok(SecretsFile(None)),
        file => Ok(SecretsFile(Some(file.into()))),
    }
}

fn target(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not an address and port: write 10.99.0.1:7 or [fd99::1]:7 (names are not looked up)"
        )
    })
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an address with its prefix length: write 10.99.0.2/24 or fd99::2/64")
    })
}

fn keepalive(text: &str) -> Result<KeepAlive, String> {
    let wrong = || format!("`{text}`: write idle time, interval and count, as 60s,10s,6");
    let parts: Vec<_> = text.split(',').collect();
    let [idle, interval, count] = parts[..] else {
        return Err(wrong());
    };
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    Ok(KeepAlive::new(units::time(idle)?, units::time(interval)?, count))
}

/// The command with an environment variable for each flag.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommands(|subcommand| {
        subcommand.mut_args(|arg| match arg.get_long() {
            Some(long) if !matches!(long, "help" | "version") => {
                let variable = format!("FOURTUPLE_{}", long.replace('-', "_").to_uppercase());
                arg.env(variable).hide_env(true)
            }
            _ => arg,
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        let words = std::iter::once("fourtuple").chain(words.split_whitespace());
        Cli::from_arg_matches(&command().try_get_matches_from(words)?)
    }

    #[test]
    fn clap_finds_no_fault_with_it() {
        command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let Command::Serve(serve) = parse("serve echo http:8080").unwrap().command else {
            panic!()
        };
        assert_eq!(
            serve
                .services
                .iter()
                .map(|service| service.first)
                .collect::<Vec<_>>(),
            [7, 8080]
        );
        assert_eq!(
            (serve.mode, serve.backlog, serve.syn_queue),
            (Mode::Handler, 128, 1024)
        );
        assert_eq!(
            (serve.syn_cookies, serve.attach.secrets),
            (SynCookiesWord::Auto, None)
        );
        assert_eq!(
            (serve.max_connections, serve.keepalive, serve.body_size),
            (65_536, None, 1_000)
        );
        assert_eq!(serve.stats, Stats(Some("127.0.0.1:9464".parse().unwrap())));
        assert_eq!(serve.drain_timeout, Duration::from_secs(10));
        assert_eq!(
            (serve.engine.idle, serve.attach.driver),
            (IdleWord::Adaptive, DriverWord::AfPacket)
        );
        let Command::Load(load) = parse("load rr 10.0.0.1:7").unwrap().command else {
            panic!()
        };
        assert_eq!(
            (load.run.connections, load.run.timeout),
            (64, Duration::from_secs(5))
        );
        assert_eq!((load.run.stats, load.run.max_error_rate), (Stats(None), 0.0));
        let Command::Demo(demo) = parse("demo").unwrap().command else {
            panic!()
        };
        assert_eq!(demo.pattern, PatternWord::Rr);
        assert_eq!(
            (demo.engine.congestion, demo.engine.ecn),
            (CongestionWord::Cubic, EcnWord::Passive)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("serve gopher:70", "gopher"),
            ("serve echo:0", "echo:0"),
            ("serve echo --ip 10.99.0.256/24", "10.99.0.256"),
            ("serve echo --frobnicate", "--frobnicate"),
            ("serve echo --mode threads=0", "threads=0"),
            ("serve echo --keepalive 60s", "60s"),
            ("serve echo --mac 1:2", "1:2"),
            ("serve echo --stats 9464", "9464"),
            ("serve echo --congestion vegas", "vegas"),
            ("load rr 10.0.0.1:7 --ecn maybe", "maybe"),
            ("load rr 10.99.0.999:7", "10.99.0.999"),
            ("load rr 10.0.0.1", "10.0.0.1"),
            ("load rr 10.0.0.1:7 -d 5parsecs", "5parsecs"),
            ("load rr 10.0.0.1:7 -d 5s -n 5", "--count"),
            ("load holt 10.0.0.1:7", "holt"),
            ("load rr 10.0.0.1:7 -s 1:2:3", "1:2:3"),
            ("load rr 10.0.0.1:7 --src-ports 9-8", "9-8"),
            ("serve echo:9-8", "9-8"),
            ("demo --iface v0", "--iface"),
        ];
        for (words, named) in cases {
            let error = parse(words).expect_err(words);
            assert_eq!(error.exit_code(), 2, "{words}");
            assert!(error.to_string().contains(named), "{words}: {error}");
        }
    }

    #[test]
    fn flags_may_be_given_again_or_with_commas() {
        let Command::Serve(serve) =
            parse("serve echo --ip 10.0.0.2/24 --ip fd99::2/64 --cores 2-3 --keepalive 60s,10s,6")
                .unwrap()
                .command
        else {
            panic!()
        };
        assert_eq!(serve.attach.ip.len(), 2);
        assert_eq!(serve.engine.cores, Some(Cores(vec![2, 3])));
        assert_eq!(serve.keepalive.unwrap().count, 6);
        let Command::Serve(serve) = parse(
            "serve echo --iface v0 --iface w0 --ip 10.0.0.2/24%v0,10.1.0.2/24%w0 --mac 02:00:00:00:00:01%w0",
        )
        .unwrap()
        .command
        else {
            panic!()
        };
        assert_eq!((serve.attach.iface.len(), serve.attach.mac.len()), (2, 1));
        assert_eq!(serve.attach.ip[1].port.as_deref(), Some("w0"));
    }
}
