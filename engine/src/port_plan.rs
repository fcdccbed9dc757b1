//! Which part of a configuration is each port's: addresses, gateways, Ethernet address (RFC 1122 §3.3.4.2: an address belongs
//! to one port).

use std::net::IpAddr;

use fourtuple_nic::MacAddr;
use ipnet::IpNet;

use crate::at_port::AtPort;
use crate::config::Config;
use crate::error::ConfigError;
use crate::host::{Addresses, route};
use crate::port_name::PortName;
use crate::port_number::MAX_PORTS;

/// What one port is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortPlan {
    /// The engine's addresses on its link, at least one.
    pub(crate) ip: Vec<IpNet>,
    /// Next hops on its link.
    pub(crate) gateway: Vec<IpAddr>,
    /// Its Ethernet address, if it is not the device's own.
    pub(crate) mac: Option<MacAddr>,
    /// All of these addresses are ours as well.
    pub(crate) source_range: Option<IpNet>,
}

impl Config {
    /// Deals addresses, gateways and Ethernet addresses to the ports of these short names, in their order.
    ///
    /// # Errors
    /// [`ConfigError::Field`]: too many ports or one twice, a name of none of them, an address that may be of several ports,
    /// a port without an address.
    pub(crate) fn plan_ports(&self, names: &[String]) -> Result<Vec<PortPlan>, ConfigError> {
        let wrong = |field, problem| Err(ConfigError::Field { field, problem });
        if names.len() > MAX_PORTS {
            let problem = format!("{} ports are more than the {MAX_PORTS} there can be", names.len());
            return wrong("port", problem);
        }
        if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            let problem = format!("{} is given twice; give each port once", names[twice]);
            return wrong("port", problem);
        }
        let mut plans = vec![
            PortPlan {
                ip: Vec::new(),
                gateway: Vec::new(),
                mac: None,
                source_range: None,
            };
            names.len()
        ];
        for net in &self.ip {
            plans[place_of(net, "ip", names)?].ip.push(net.value);
        }
        for mac in &self.mac {
            let place = place_of(mac, "mac", names)?;
            if plans[place].mac.replace(mac.value).is_some() {
                let problem = format!("{mac} is the second for {}; give it one", names[place]);
                return wrong("mac", problem);
            }
        }
        for gateway in &self.gateway {
            let on_link = |plan: &&mut PortPlan| plan.ip.iter().any(|net| net.contains(gateway));
            if let Some(plan) = plans.iter_mut().find(on_link) {
                plan.gateway.push(*gateway);
            }
        }
        if let Some(range) = self.source_range {
            let on_link = |plan: &PortPlan| plan.ip.iter().any(|net| net.contains(&range.addr()));
            match plans.iter().position(on_link) {
                Some(place) => plans[place].source_range = Some(range),
                // Routed here from afar: there is but one way to answer.
                None if plans.len() == 1 => plans[0].source_range = Some(range),
                None => {
                    let problem = format!(
                        "{range} is on the link of none of {}; use one port",
                        names.join(", ")
                    );
                    return wrong("src-range", problem);
                }
            }
        }
        if let Some(bare) = plans.iter().position(|plan| plan.ip.is_empty()) {
            let name = &names[bare];
            let problem = format!("{name} has no address; give it one, as --ip 10.99.0.2/24%{name}");
            return wrong("ip", problem);
        }
        Ok(plans)
    }
}

impl Config {
    /// The engine's addresses from which `remote` can be spoken to: those of the port that [`connect`](crate::WorkerCalls)
    /// would choose. A generator with many sources takes turns between them.
    pub fn sources_for(&self, remote: IpAddr) -> Vec<IpAddr> {
        let names: Vec<_> = self
            .port_names()
            .map(|port| port.short_name().to_owned())
            .collect();
        let plans = self.plan_ports(&names).unwrap_or_default();
        let addresses: Vec<_> = plans
            .iter()
            .map(|plan| Addresses::new([0; 6], &plan.ip, &plan.gateway))
            .collect();
        let Some((place, _)) = route(addresses.iter().enumerate(), remote) else {
            return Vec::new();
        };
        let of_family = addresses[place]
            .iter()
            .filter(|ip| ip.is_ipv4() == remote.is_ipv4());
        of_family.collect()
    }
}

/// The place of the port that something belongs to.
fn place_of<T>(at: &AtPort<T>, field: &'static str, names: &[String]) -> Result<usize, ConfigError>
where
    AtPort<T>: std::fmt::Display,
{
    let wrong = |problem| Err(ConfigError::Field { field, problem });
    match &at.port {
        None if names.len() == 1 => Ok(0),
        None => {
            let first = names.first().map_or("NAME", String::as_str);
            wrong(format!(
                "{at} may belong to any of {}; say to which, as {at}%{first}",
                names.join(", ")
            ))
        }
        Some(port) => {
            // `65:00.0` and `vdev:net_memif0` are names too, in the words of --port.
            let spelt_out = port.parse::<PortName>().map(|name| name.short_name().to_owned());
            let is_it = |name: &String| name == port || spelt_out.as_ref() == Ok(name);
            names.iter().position(is_it).map_or_else(
                || {
                    wrong(format!(
                        "{at}: no port is called {port}; there is {}",
                        names.join(", ")
                    ))
                },
                Ok,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ip: &[&str]) -> Config {
        Config {
            ip: ip.iter().map(|net| net.parse().unwrap()).collect(),
            gateway: vec!["10.1.0.9".parse().unwrap(), "fd00::9".parse().unwrap()],
            ..Config::default()
        }
    }

    fn plan(config: &Config, names: &[&str]) -> Result<Vec<PortPlan>, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        config.plan_ports(&names).map_err(|error| error.to_string())
    }

    #[test]
    fn each_port_gets_what_names_it_and_the_gateways_of_its_link() {
        let mut config = config(&["10.0.0.2/24%v0", "10.1.0.2/24%0000:65:00.0", "fd00::2/64%65:00.0"]);
        config.mac = vec!["02:00:00:00:00:07%v0".parse().unwrap()];
        let plans = plan(&config, &["v0", "0000:65:00.0"]).unwrap();
        assert_eq!(plans[0].ip, ["10.0.0.2/24".parse().unwrap()]);
        assert_eq!(plans[1].ip.len(), 2);
        assert_eq!((plans[0].gateway.len(), plans[1].gateway.len()), (0, 2));
        assert!(plans[0].mac.is_some() && plans[1].mac.is_none());
    }

    #[test]
    fn one_port_needs_no_name_and_may_have_it() {
        assert_eq!(
            plan(&config(&["10.0.0.2/24", "10.1.0.2/24%v0"]), &["v0"]).unwrap()[0]
                .ip
                .len(),
            2
        );
    }

    #[test]
    fn sources_are_those_of_the_port_that_reaches_the_target() {
        let mut config = config(&[
            "10.0.0.2/24%v0",
            "10.1.0.2/24%w0",
            "10.1.0.3/24%w0",
            "fd00::2/64%w0",
        ]);
        config.iface = vec!["v0".into(), "w0".into()];
        let from = |remote: &str| config.sources_for(remote.parse().unwrap()).len();
        assert_eq!(
            (
                from("10.0.0.9"),
                from("10.1.0.9"),
                from("8.8.8.8"),
                from("fd00::9")
            ),
            (1, 2, 2, 1)
        );
    }

    #[test]
    fn what_is_not_clear_is_refused_with_what_to_write() {
        let cases: [(&[&str], &[&str], &str); 6] = [
            (
                &["10.0.0.2/24"],
                &["v0", "w0"],
                "ip: 10.0.0.2/24 may belong to any of v0, w0; say to which, as 10.0.0.2/24%v0",
            ),
            (
                &["10.0.0.2/24%x0"],
                &["v0", "w0"],
                "ip: 10.0.0.2/24%x0: no port is called x0; there is v0, w0",
            ),
            (
                &["10.0.0.2/24%x0"],
                &["v0"],
                "ip: 10.0.0.2/24%x0: no port is called x0; there is v0",
            ),
            (
                &["10.0.0.2/24%v0"],
                &["v0", "w0"],
                "ip: w0 has no address; give it one, as --ip 10.99.0.2/24%w0",
            ),
            (
                &["10.0.0.2/24%v0"],
                &["v0", "v0"],
                "port: v0 is given twice; give each port once",
            ),
            (
                &["10.0.0.2/24%a"],
                &["a", "b", "c", "d", "e", "f", "g", "h", "i"],
                "port: 9 ports are more than the 8 there can be",
            ),
        ];
        for (ip, names, expected) in cases {
            assert_eq!(plan(&config(ip), names).unwrap_err(), expected);
        }
        let mut config = config(&["10.0.0.2/24%v0", "10.1.0.2/24%w0"]);
        config.mac = vec!["02:00:00:00:00:07".parse().unwrap()];
        assert!(
            plan(&config, &["v0", "w0"])
                .unwrap_err()
                .starts_with("mac: 02:00:00:00:00:07 may belong")
        );
    }
}
