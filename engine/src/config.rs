//! What an engine is started with: the same words in the builder, in TOML and as flags of the command.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use fourtuple_nic::MacAddr;
use fourtuple_tcp::{CongestionKind, Ecn, Profile};
use ipnet::IpNet;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::at_port::AtPort;
use crate::error::ConfigError;
use crate::listener::Listen;
use crate::port_name::PortName;

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
        Profile {
            msl: self.msl,
            congestion: self.congestion,
            ecn: self.ecn,
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            send_buffer_most: self.send_buffer_most,
            ..Profile::default()
        }
    }

    /// The ports to attach to, interfaces first.
    pub fn port_names(&self) -> impl Iterator<Item = PortName> {
        let interfaces = self.iface.iter().cloned().map(PortName::Interface);
        interfaces.chain(self.port.iter().cloned())
    }

    /// Checks every field against its bounds and against the others.
    ///
    /// # Errors
    /// [`ConfigError::Field`], which names the field and the fix.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, problem: String| Err(ConfigError::Field { field, problem });
        if self.ip.is_empty() {
            return wrong(
                "ip",
                "give the engine an address of its own, as --ip 10.99.0.2/24".into(),
            );
        }
        let names: Vec<_> = self
            .port_names()
            .map(|port| port.short_name().to_owned())
            .collect();
        if !names.is_empty() {
            self.plan_ports(&names)?;
        }
        for net in &self.ip {
            let ip = net.addr();
            if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
                return wrong(
                    "ip",
                    format!("{ip} can't be an engine's address; use a unicast address of the link"),
                );
            }
            if self.ip.iter().filter(|other| other.addr() == ip).count() > 1 {
                return wrong("ip", format!("{ip} is given twice; give each address once"));
            }
        }
        if self.workers == 0 || self.workers > crate::conn_id::MAX_WORKERS {
            return wrong(
                "workers",
                format!(
                    "{} is not between 1 and {}",
                    self.workers,
                    crate::conn_id::MAX_WORKERS
                ),
            );
        }
        if !self.cores.is_empty() && self.cores.len() != usize::from(self.workers) {
            return wrong(
                "cores",
                format!(
                    "{} cores for {} workers; name one each",
                    self.cores.len(),
                    self.workers
                ),
            );
        }
        if let Some(mtu) = self.mtu
            && !(576..=9000).contains(&mtu)
        {
            return wrong("mtu", format!("{mtu} is not between 576 and 9000 bytes"));
        }
        if let Some(mtu) = self.mtu
            // RFC 8200 §5: the least that a link of IPv6 carries.
            && mtu < 1280
            && self.ip.iter().any(|net| net.addr().is_ipv6())
        {
            return wrong(
                "mtu",
                format!("{mtu} is too small for IPv6, which needs 1280 bytes"),
            );
        }
        if let Some(vlan) = self.vlan
            && !(1..=4094).contains(&vlan)
        {
            return wrong("vlan", format!("{vlan} is not between 1 and 4094"));
        }
        let no_station = |mac: &&AtPort<MacAddr>| mac.value.is_group() || mac.value.0 == [0; 6];
        if let Some(mac) = self.mac.iter().find(no_station) {
            return wrong(
                "mac",
                format!("{mac} is no station's address; clear the lowest bit of the first byte"),
            );
        }
        for gateway in &self.gateway {
            if !self.ip.iter().any(|net| net.value.contains(gateway)) {
                return wrong(
                    "gateway",
                    format!("{gateway} is on none of the links given by --ip"),
                );
            }
        }
        if self.max_connections == 0 || self.max_connections > 1 << 28 {
            return wrong(
                "max-connections",
                format!("{} is not between 1 and 268435456", self.max_connections),
            );
        }
        let (first, last) = self.ephemeral_ports;
        if first == 0 || first > last {
            return wrong(
                "ephemeral-ports",
                format!("{first}-{last} is no range of ports from 1 to 65535"),
            );
        }
        if let Some(range) = self.source_range {
            let ip = range.addr();
            if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
                return wrong(
                    "src-range",
                    format!("{ip} can't be an engine's address; use a range of unicast addresses"),
                );
            }
        }
        for (field, bytes) in [
            ("receive-buffer", self.receive_buffer),
            ("send-buffer", self.send_buffer),
        ] {
            if !(4096..=1 << 30).contains(&bytes) {
                return wrong(field, format!("{bytes} is not between 4096 and 1073741824 bytes"));
            }
        }
        if self.msl > Duration::from_secs(600) {
            return wrong(
                "msl",
                "more than ten minutes is longer than any segment lives".into(),
            );
        }
        Ok(())
    }
}

/// A list, or what would be its only entry.
fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMore<T>(PhantomData<T>);

    // By hand, so that the words in which a value is refused are those of its own type.
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(text.into_deserializer())?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    from.deserialize_any(OneOrMore(PhantomData))
}

/// One of several words.
fn by_name<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text).map_err(serde::de::Error::custom)
}

/// Reads a time as people write it: `30s`, `100ms`, `5us`, `2m`, `2h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is wrong and how to write it.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write it as 30s, 100ms or 500us");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Config {
        Config {
            ip: vec!["10.0.0.2/24".parse().unwrap()],
            ..Config::default()
        }
    }

    // proves: RFC 8200 §5
    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 13] = [
            ("ip", |c| c.ip.clear()),
            ("ip", |c| c.ip = vec!["224.0.0.1/4".parse().unwrap()]),
            ("ip", |c| c.ip.push("10.0.0.2/8".parse().unwrap())),
            ("workers", |c| c.workers = 0),
            ("cores", |c| c.cores = vec![1, 2]),
            ("mtu", |c| c.mtu = Some(100)),
            ("mtu", |c| {
                c.ip = vec!["fd00::2/64".parse().unwrap()];
                c.mtu = Some(1279);
            }),
            ("vlan", |c| c.vlan = Some(4095)),
            ("mac", |c| c.mac = vec!["ff:ff:ff:ff:ff:ff".parse().unwrap()]),
            ("gateway", |c| c.gateway = vec!["10.9.9.9".parse().unwrap()]),
            ("max-connections", |c| c.max_connections = 0),
            ("ephemeral-ports", |c| c.ephemeral_ports = (2, 1)),
            ("src-range", |c| {
                c.source_range = Some("224.0.0.0/8".parse().unwrap())
            }),
        ];
        assert_eq!(base().validate(), Ok(()));
        for (expected, spoil) in cases {
            let mut config = base();
            spoil(&mut config);
            match config.validate() {
                Err(ConfigError::Field { field, .. }) => assert_eq!(field, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

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

    #[test]
    fn several_ports_have_an_address_each() {
        let text = "iface = ['v0', 'w0']\nport = 'vdev:net_memif0,id=0'";
        let with = |ip: &str| {
            Config::from_toml(&format!("{text}\nip = {ip}"))
                .unwrap()
                .validate()
        };
        assert_eq!(
            with("['10.0.0.2/24%v0', '10.1.0.2/24%w0', 'fd00::2/64%net_memif0']"),
            Ok(())
        );
        assert!(with("['10.0.0.2/24%v0', '10.1.0.2/24%w0']").is_err());
        assert!(with("'10.0.0.2/24'").is_err());
    }

    #[test]
    fn toml_refuses_a_value_in_the_words_of_its_type() {
        for (text, named) in [
            ("port = 'eth0'", "an interface is named by --iface"),
            ("port = ['65:00.0', 'eth0']", "an interface is named by --iface"),
            ("ip = ['10.0.0.2']", "prefix length"),
            ("mac = '1:2'", "not a MAC address"),
            ("iface = 7", "a text or a list of texts"),
        ] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("100ms", 100),
            ("2", 2_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)));
        }
        for wrong in ["", "s", "5 s", "-1s", "1d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
