//! What an engine is started with: the same words in the builder, in TOML and as flags of the command.

mod validate;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use fourtuple_nic::MacAddr;
use fourtuple_tcp::{CongestionKind, Ecn, Profile};
use ipnet::IpNet;
use serde::Deserialize;

use crate::at_port::AtPort;
use crate::error::ConfigError;
use crate::listener::Listen;
use crate::port_name::PortName;

pub use words::parse_span;
use words::{by_name, one_or_more, span};

/// Everything an engine is started with. Unknown keys of TOML are refused by name.
///
/// ```
/// let config = fourtuple::Config::from_toml(r#"
///     iface = "veth0"
///     driver = "af_packet"
///     ip = ["10.99.0.2/24", "fd99::2/64"]
///     workers = 2
/// "#).unwrap();
/// assert_eq!(config.workers, 2);
/// assert!(fourtuple::Config::from_toml("wrokers = 2").is_err());
/// ```
///
/// In code it begins with [`Config::default`], and its fields are set:
///
/// ```
/// let mut config = fourtuple::Config::default();
/// config.iface = vec!["veth0".to_owned()];
/// config.ip = vec!["10.99.0.2/24".parse().unwrap()];
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Config {
    /// Network interfaces to attach to; in TOML one may stand by itself.
    #[serde(deserialize_with = "one_or_more")]
    pub iface: Vec<String>,
    /// How to attach to interfaces.
    pub driver: Driver,
    /// Other ports to attach to: virtual devices and PCI devices.
    #[serde(deserialize_with = "one_or_more")]
    pub port: Vec<PortName>,
    /// The engine's own addresses with their prefix lengths; with several ports each says to which it belongs.
    #[serde(deserialize_with = "one_or_more")]
    pub ip: Vec<AtPort<IpNet>>,
    /// Next hops for what is not on the link, at most one a family and port: the port on whose link it is.
    #[serde(deserialize_with = "one_or_more")]
    pub gateway: Vec<IpAddr>,
    /// Ethernet addresses, at most one a port; a port without one has the device's own.
    #[serde(deserialize_with = "one_or_more")]
    pub mac: Vec<AtPort<MacAddr>>,
    /// Largest IP packet in bytes, 576–9000, of all ports; a port's own when `None`.
    pub mtu: Option<u16>,
    /// VLAN tag of all frames, 1–4094.
    pub vlan: Option<u16>,
    /// Workers; one queue pair each.
    pub workers: u16,
    /// Cores to pin the workers to, in order; chosen when empty.
    pub cores: Vec<usize>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// Raw words for the EAL.
    pub eal: String,
    /// Port buffers of each worker in each direction; the port's default when `None`.
    pub buffers: Option<u32>,
    /// Connections of the whole engine.
    pub max_connections: u32,
    /// Local ports of connections opened from here, first and last.
    pub ephemeral_ports: (u16, u16),
    /// Addresses that are the engine's own beside those of `ip`, all of the range: for a generator with many sources, which the
    /// network has to route here. None of them is chosen unless it is asked for.
    pub source_range: Option<IpNet>,
    /// How long a TIME_WAIT record is kept is twice this.
    #[serde(deserialize_with = "span")]
    pub msl: Duration,
    /// Congestion control of connections that are given no other: `cubic`, `newreno`, `bbr` or `dctcp`.
    #[serde(deserialize_with = "by_name")]
    pub congestion: CongestionKind,
    /// Explicit congestion notification of connections that are given no other: `on`, `off` or `passive`.
    #[serde(deserialize_with = "by_name")]
    pub ecn: Ecn,
    /// Stay silent for one MSL after start (RFC 9293 §3.4.3).
    pub quiet_time: bool,
    /// A file that only its owner can read, in which the keys of sequence numbers and timestamps are kept for the next engine of
    /// this boot: a peer that has connections of this one in TIME_WAIT then takes those of the next. Where it can't be kept, and when
    /// `None`, each engine begins anew.
    pub secrets: Option<PathBuf>,
    /// What becomes of fragments of IP packets.
    pub fragments: Fragments,
    /// Where the stats endpoint listens; none when `None`.
    pub stats: Option<SocketAddr>,
    /// Listeners that are open before the first frame is taken, before those of a [builder](crate::Builder::listen). In TOML a table each,
    /// `[[listen]]`; its keys are the fields of [`Listen`], `port` also as `"8000-8003"`, and the options of its connections that are
    /// not those of this configuration: `nodelay = true`, `keepalive = "60s,10s,6"`, `user-timeout = "30s"` and so on, named as those of
    /// [`ConnectionOption`](crate::ConnectionOption) are.
    pub listen: Vec<Listen>,
    /// Bytes of buffer space a connection may hold for the application (receive window).
    pub receive_buffer: u32,
    /// Bytes a connection may hold for sending, whatever its path.
    pub send_buffer: u32,
    /// To how many bytes that grows with the congestion window, while half of the worker's buffers are free; it does not where this is
    /// `send_buffer` or less.
    pub send_buffer_most: u32,
}

/// How to attach to an interface.
///
/// ```
/// use fourtuple::{Config, Driver};
/// let config = Config::from_toml("iface = 'eth1'\nip = ['10.99.0.2/24']\ndriver = 'af_xdp'")?;
/// assert_eq!(config.driver, Driver::AfXdp);
/// # Ok::<(), fourtuple::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Driver {
    /// A packet socket on an existing interface; needs CAP_NET_RAW.
    #[default]
    AfPacket,
    /// AF_XDP sockets on an existing interface, past the kernel's stack; needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
    AfXdp,
    /// A TAP interface that is created under the name given; needs CAP_NET_ADMIN.
    Tap,
}

/// What becomes of fragments of IP packets.
///
/// ```
/// let mut config = fourtuple::Config::default();
/// config.fragments = fourtuple::Fragments::Drop;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fragments {
    /// They are put together, bounded in number, memory and time.
    #[default]
    Reassemble,
    /// They are dropped, and counted.
    Drop,
}

/// What a worker does when there is nothing to do.
///
/// ```
/// let config = fourtuple::Config::from_toml("iface = 'eth1'\nip = ['10.99.0.2/24']\nidle = 'poll'")?;
/// assert_eq!(config.idle, fourtuple::Idle::Poll);
/// # Ok::<(), fourtuple::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Idle {
    /// Polls for ever: lowest delay, a whole core.
    Poll,
    /// Polls for a while, then sleeps until woken, until the next deadline, or for a nap of at most a millisecond.
    #[default]
    Adaptive,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            iface: Vec::new(),
            driver: Driver::default(),
            port: Vec::new(),
            ip: Vec::new(),
            gateway: Vec::new(),
            mac: Vec::new(),
            mtu: None,
            vlan: None,
            workers: 1,
            cores: Vec::new(),
            idle: Idle::default(),
            eal: String::new(),
            buffers: None,
            max_connections: 65_536,
            ephemeral_ports: (49_152, 65_535),
            source_range: None,
            msl: Duration::from_secs(30),
            congestion: CongestionKind::default(),
            ecn: Ecn::default(),
            quiet_time: false,
            fragments: Fragments::default(),
            secrets: None,
            stats: None,
            listen: Vec::new(),
            receive_buffer: 256 * 1024,
            send_buffer: 256 * 1024,
            send_buffer_most: 4 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Reads TOML.
    ///
    /// # Errors
    /// [`ConfigError::Toml`] with the line and the unknown or misspelt key.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::Toml(error.to_string().trim_end().to_owned()))
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Toml`] when it can't be read or does not parse.
    pub fn from_file(path: &FilePath) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Toml(format!("{}: {error}", path.display())))?;
        Self::from_toml(&text)
    }

    /// Options that connections have unless they are given others: this engine's buffers, MSL, congestion control and ECN, and
    /// TCP's defaults.
    pub fn profile(&self) -> Profile {
        Profile::default().with(|profile| {
            profile.msl = self.msl;
            profile.congestion = self.congestion;
            profile.ecn = self.ecn;
            profile.receive_buffer = self.receive_buffer;
            profile.send_buffer = self.send_buffer;
            profile.send_buffer_most = self.send_buffer_most;
        })
    }

    /// The ports to attach to, interfaces first.
    pub fn port_names(&self) -> impl Iterator<Item = PortName> {
        let interfaces = self.iface.iter().cloned().map(PortName::Interface);
        interfaces.chain(self.port.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_says_what_the_builder_says() {
        let config = Config::from_toml(
            "iface = 'v0'\ndriver = 'tap'\nip = ['10.0.0.2/24']\nmac = '02:00:00:00:00:01'\nmsl = '100ms'\nidle = 'poll'\ncongestion = 'bbr'\necn = 'on'",
        )
        .unwrap();
        assert_eq!((config.congestion, config.ecn), (CongestionKind::Bbr, Ecn::On));
        let unknown = Config::from_toml("congestion = 'vegas'").unwrap_err();
        assert!(
            unknown.to_string().contains("cubic, newreno, bbr, dctcp"),
            "{unknown}"
        );
        assert_eq!(
            (config.driver, config.idle, config.msl),
            (Driver::Tap, Idle::Poll, Duration::from_millis(100))
        );
        assert_eq!(config.mac, ["02:00:00:00:00:01".parse().unwrap()]);
        let error = Config::from_toml("adress = 1").unwrap_err().to_string();
        assert!(error.contains("adress"), "{error}");
    }

    #[test]
    fn toml_lists_listeners_as_the_builder_does() {
        use crate::listener::{AcceptPolicy, SynCookies};
        let text = "ip = '10.0.0.2/24'\ncongestion = 'bbr'\n[[listen]]\nport = 80\n\
                    [[listen]]\nport = '8000-8003'\naddress = '10.0.0.2'\nbacklog = 9\nsyn-queue = 8\nsyn-cookies = 'always'\n\
                    fast-open = 7\ndelivery = 'endpoints'\npolicy = 'round-robin'\n";
        let config = Config::from_toml(text).unwrap();
        assert_eq!(config.congestion, CongestionKind::Bbr);
        let first = Listen::on(80);
        let second = Listen {
            address: Some("10.0.0.2".parse().unwrap()),
            backlog: 9,
            syn_queue: 8,
            syn_cookies: SynCookies::Always,
            fast_open: 7,
            policy: AcceptPolicy::RoundRobin,
            ..Listen::on_ports(8000..=8003).for_endpoints()
        };
        assert_eq!(config.listen, [first, second]);
        for (wrong, named) in [
            ("port = 80\nbacklogs = 1", "backlogs"),
            ("backlog = 1", "port"),
            ("port = '80-'", "80-"),
            ("port = 80\npolicy = 'best'", "round-robin"),
        ] {
            let error = Config::from_toml(&format!("[[listen]]\n{wrong}"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
