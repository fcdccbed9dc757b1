//! Whether a configuration can be: each field against its bounds, and against the others. What is wrong is named with its fix.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use fourtuple_nic::MacAddr;

use super::Config;
use crate::at_port::AtPort;
use crate::conn_id::MAX_WORKERS;
use crate::error::ConfigError;

impl Config {
    /// Checks every field against its bounds and against the others.
    ///
    /// # Errors
    /// [`ConfigError::Field`], which names the field and the fix.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_addresses()?;
        self.validate_threads()?;
        self.validate_link()?;
        self.validate_routes()?;
        self.validate_connections()?;
        self.validate_buffers()
    }

    /// The engine's own, and to which port each belongs.
    fn validate_addresses(&self) -> Result<(), ConfigError> {
        if self.ip.is_empty() {
            return wrong(
                "ip",
                "give the engine an address of its own, as --ip 10.99.0.2/24",
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
            if is_nobodys(ip) {
                return wrong(
                    "ip",
                    format!("{ip} can't be an engine's address; use a unicast address of the link"),
                );
            }
            if self.ip.iter().filter(|other| other.addr() == ip).count() > 1 {
                return wrong("ip", format!("{ip} is given twice; give each address once"));
            }
        }
        Ok(())
    }

    fn validate_threads(&self) -> Result<(), ConfigError> {
        let workers = self.workers;
        if workers == 0 || workers > MAX_WORKERS {
            return wrong("workers", format!("{workers} is not between 1 and {MAX_WORKERS}"));
        }
        let cores = self.cores.len();
        if cores != 0 && cores != usize::from(workers) {
            return wrong(
                "cores",
                format!("{cores} cores for {workers} workers; name one each"),
            );
        }
        Ok(())
    }

    /// What frames look like.
    fn validate_link(&self) -> Result<(), ConfigError> {
        if let Some(mtu) = self.mtu {
            if !(576..=9000).contains(&mtu) {
                return wrong("mtu", format!("{mtu} is not between 576 and 9000 bytes"));
            }
            // RFC 8200 §5: the least that a link of IPv6 carries.
            if mtu < 1280 && self.ip.iter().any(|net| net.addr().is_ipv6()) {
                return wrong(
                    "mtu",
                    format!("{mtu} is too small for IPv6, which needs 1280 bytes"),
                );
            }
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
        Ok(())
    }

    /// Where packets go, and from which addresses beside those of the ports.
    fn validate_routes(&self) -> Result<(), ConfigError> {
        for gateway in &self.gateway {
            if !self.ip.iter().any(|net| net.value.contains(gateway)) {
                return wrong(
                    "gateway",
                    format!("{gateway} is on none of the links given by --ip"),
                );
            }
        }
        if let Some(range) = self.source_range
            && is_nobodys(range.addr())
        {
            let ip = range.addr();
            return wrong(
                "src-range",
                format!("{ip} can't be an engine's address; use a range of unicast addresses"),
            );
        }
        Ok(())
    }

    /// How many there may be, from which ports, and how long they are remembered.
    fn validate_connections(&self) -> Result<(), ConfigError> {
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
        if self.msl > Duration::from_secs(600) {
            return wrong("msl", "more than ten minutes is longer than any segment lives");
        }
        Ok(())
    }

    /// What a connection may hold.
    fn validate_buffers(&self) -> Result<(), ConfigError> {
        for (field, bytes) in [
            ("receive-buffer", self.receive_buffer),
            ("send-buffer", self.send_buffer),
        ] {
            if !BUFFERS.contains(&bytes) {
                let (least, most) = (BUFFERS.start(), BUFFERS.end());
                return wrong(field, format!("{bytes} is not between {least} and {most} bytes"));
            }
        }
        // Less than the send buffer, 0 too, says that it stays as it is.
        if self.send_buffer_most > *BUFFERS.end() {
            return wrong(
                "send-buffer-most",
                format!(
                    "{} is more than {} bytes; 0 keeps the send buffer from growing",
                    self.send_buffer_most,
                    BUFFERS.end()
                ),
            );
        }
        Ok(())
    }
}

/// Bytes that a connection's buffers may have: some segments at least, and what a window can say at most (RFC 7323 §2.3).
const BUFFERS: RangeInclusive<u32> = 4096..=1 << 30;

/// No station can have it.
fn is_nobodys(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()
}

fn wrong(field: &'static str, problem: impl Into<String>) -> Result<(), ConfigError> {
    let problem = problem.into();
    Err(ConfigError::Field { field, problem })
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
        let cases: [(&str, Spoil); 18] = [
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
            ("receive-buffer", |c| c.receive_buffer = 4095),
            ("send-buffer", |c| c.send_buffer = (1 << 30) + 1),
            ("send-buffer-most", |c| c.send_buffer_most = (1 << 30) + 1),
            ("send-buffer-most", |c| c.send_buffer_most = u32::MAX),
            ("msl", |c| c.msl = Duration::from_secs(601)),
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
    fn a_send_buffer_that_does_not_grow_is_as_good_as_one_that_does() {
        for most in [0, 1, 256 * 1024, 1 << 30] {
            let mut config = base();
            config.send_buffer_most = most;
            assert_eq!(config.validate(), Ok(()), "{most}");
        }
        let mut config = base();
        config.send_buffer_most = 2 << 30;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "send-buffer-most: 2147483648 is more than 1073741824 bytes; 0 keeps the send buffer from growing"
        );
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
}
