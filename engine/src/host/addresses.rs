//! Which addresses are ours, which stand for a group, what lies on the link, and where a packet goes next.
//!
//! Read-mostly: made at start, each worker has its own copy. [`Addresses::admit`] is the check that every IP packet passes
//! before anything else is thought about it (docs: "Identity and demultiplexing"); for the usual one or two addresses it is
//! a handful of comparisons. Nothing allocates after the start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fourtuple_wire::{
    DropReason, EtherAddr, FourTuple, is_group_destination, is_group_ether, is_valid_source, solicited_node,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses of this host on one port.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    mac: EtherAddr,
    v4: Vec<OwnV4>,
    v6: Vec<Ipv6Net>,
    gateway_v4: Option<Ipv4Addr>,
    gateway_v6: Option<Ipv6Addr>,
    /// Ranges all of whose addresses are ours, for a generator with many sources.
    ranges: Vec<IpNet>,
}

/// One IPv4 address of ours with what the checks need of its subnet.
#[derive(Clone, Copy, Debug)]
struct OwnV4 {
    net: Ipv4Net,
    /// None in a /31 and /32 (RFC 3021).
    broadcast: Option<Ipv4Addr>,
    /// The bits that all of the subnet have in common.
    mask: u32,
    /// Its address stands for us alone.
    is_unicast: bool,
}

impl OwnV4 {
    fn new(net: Ipv4Net) -> Self {
        let broadcast = (net.prefix_len() < 31).then(|| net.broadcast());
        Self {
            net,
            broadcast,
            mask: net.netmask().into(),
            is_unicast: !is_group_destination(net.addr().into()) && broadcast != Some(net.addr()),
        }
    }

    /// In its subnet: `net.contains`, without making mask and bounds anew.
    #[inline]
    fn holds(&self, ip: Ipv4Addr) -> bool {
        (u32::from(ip) ^ u32::from(self.net.addr())) & self.mask == 0
    }
}

impl Addresses {
    /// From checked configuration: `nets` are addresses with their prefix lengths; the first gateway of each family counts.
    pub(crate) fn new(mac: EtherAddr, nets: &[IpNet], gateways: &[IpAddr]) -> Self {
        let mut addresses = Self {
            mac,
            v4: Vec::new(),
            v6: Vec::new(),
            gateway_v4: gateways
                .iter()
                .find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }),
            gateway_v6: gateways
                .iter()
                .find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }),
            ranges: Vec::new(),
        };
        for net in nets {
            match *net {
                IpNet::V4(net) => addresses.v4.push(OwnV4::new(net)),
                IpNet::V6(net) => addresses.v6.push(net),
            }
        }
        addresses
    }

    /// Makes every address of `range` ours as well.
    pub(crate) fn own_range(&mut self, range: IpNet) {
        self.ranges.push(range);
    }

    /// Our Ethernet address.
    pub(crate) fn mac(&self) -> EtherAddr {
        self.mac
    }

    /// Our addresses, without the ranges, IPv4 first, in the order given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.v4.iter().map(|own| IpAddr::V4(own.net.addr()));
        v4.chain(self.v6.iter().map(|net| IpAddr::V6(net.addr())))
    }

    /// One of our addresses.
    pub(crate) fn is_ours(&self, ip: IpAddr) -> bool {
        let single = match ip {
            IpAddr::V4(ip) => self.v4.iter().any(|own| own.net.addr() == ip),
            IpAddr::V6(ip) => self.v6.iter().any(|net| net.addr() == ip),
        };
        single || self.ranges.iter().any(|range| range.contains(&ip))
    }

    /// Stands for more than one host: multicast, the limited broadcast, the broadcast of a subnet of ours.
    pub(crate) fn is_group(&self, ip: IpAddr) -> bool {
        is_group_destination(ip) || self.is_subnet_broadcast(ip)
    }

    /// The solicited-node group of one of our addresses (RFC 4291 §2.7.1), which we have to listen to.
    pub(crate) fn is_our_solicited_node(&self, group: Ipv6Addr) -> bool {
        self.v6.iter().any(|net| solicited_node(net.addr()) == group)
            || self.ranges.iter().any(|range| matches!(range, IpNet::V6(_))) && group == solicited_node(group)
    }

    /// Reached without a router.
    pub(crate) fn on_link(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.iter().any(|own| own.holds(ip)),
            // RFC 4861 §5.1: the link-local prefix is always on the link.
            IpAddr::V6(ip) => ip.is_unicast_link_local() || self.v6.iter().any(|net| net.contains(&ip)),
        }
    }

    /// The station to which a packet for `remote` is handed; `None` when there is no way, or `remote` is no single host
    /// (RFC 9293 MUST-46). Who is on the link is spoken to directly, others by a gateway (RFC 1122 §3.3.1.1).
    pub(crate) fn next_hop(&self, remote: IpAddr) -> Option<IpAddr> {
        let plain = match (remote, self.v4.as_slice()) {
            (IpAddr::V4(ip), [own]) => self.is_plain_pair(ip, own.net.addr()),
            _ => false,
        };
        if !plain && (self.is_group(remote) || remote.is_unspecified() || self.is_ours(remote)) {
            None
        } else if self.on_link(remote) {
            Some(remote)
        } else {
            self.gateway_for(remote)
        }
    }

    /// The address of ours from which `remote` is spoken to (RFC 9293 MUST-44): of the longest subnet that holds it, else of
    /// the gateway's subnet, else the first of its family.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let first = match remote {
            IpAddr::V4(_) => self.v4.first().map(|own| IpAddr::V4(own.net.addr())),
            IpAddr::V6(_) => self.v6.first().map(|net| IpAddr::V6(net.addr())),
        };
        let by_gateway = || self.near(self.gateway_for(remote)?);
        let near = self.near(remote).or_else(by_gateway);
        near.map_or(first, |(_, address)| Some(address))
    }

    /// The longest prefix of ours that holds `remote`, and our address in it.
    fn near(&self, remote: IpAddr) -> Option<(u8, IpAddr)> {
        match remote {
            IpAddr::V4(ip) => {
                let nets = self.v4.iter().map(|own| own.net).filter(|net| net.contains(&ip));
                longest(nets.map(|net| (net.prefix_len(), IpAddr::V4(net.addr()))))
            }
            IpAddr::V6(ip) => {
                let nets = self.v6.iter().filter(|net| net.contains(&ip));
                longest(nets.map(|net| (net.prefix_len(), IpAddr::V6(net.addr()))))
            }
        }
    }

    /// The next hop for what is not on the link, of the family of `remote`.
    /// The gateways, of IPv4 and of IPv6.
    pub(crate) fn gateways(&self) -> [Option<IpAddr>; 2] {
        [self.gateway_v4.map(IpAddr::V4), self.gateway_v6.map(IpAddr::V6)]
    }

    fn gateway_for(&self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.gateway_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.gateway_v6.map(IpAddr::V6),
        }
    }

    /// Whether a unicast packet may be looked at: TCP, UDP, echo, ICMP errors. `tuple` is the receiver's view; ports do not
    /// matter here.
    ///
    /// # Errors
    /// The reason for which it is dropped without an answer.
    #[inline]
    pub(crate) fn admit_segment(
        &self,
        ether_destination: EtherAddr,
        tuple: &FourTuple,
    ) -> Result<(), DropReason> {
        match tuple {
            FourTuple::V4(t) if ether_destination == self.mac && self.is_plain_pair(t.remote, t.local) => {
                Ok(())
            }
            FourTuple::V4(t) => self.admit(ether_destination, t.remote.into(), t.local.into()),
            FourTuple::V6(t) => self.admit(ether_destination, t.remote.into(), t.local.into()),
        }
    }

    /// Both addresses are what [`admit`](Self::admit) asks for, as it is seen at once where we have but one of IPv4.
    #[inline]
    fn is_plain_pair(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let [own] = self.v4.as_slice() else { return false };
        destination == own.net.addr()
            && own.is_unicast
            && source != destination
            && own.broadcast != Some(source)
            && self.ranges.is_empty()
            && is_valid_source(IpAddr::V4(source))
    }

    /// As [`admit_segment`](Self::admit_segment), by addresses.
    #[inline]
    pub(crate) fn admit(
        &self,
        ether: EtherAddr,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<(), DropReason> {
        let group_frame = is_group_ether(&ether);
        if ether != self.mac && !group_frame {
            return Err(DropReason::NotOurMac);
        }
        // RFC 1122 §3.2.1.3, RFC 9293 MUST-63: no answer to a source that can't be a host's.
        if !self.is_peer(source) {
            return Err(DropReason::BadSource);
        }
        // RFC 9293 MUST-57; RFC 1122 §3.3.6: a unicast IP address in a group frame is as bad.
        if group_frame || self.is_group(destination) {
            return Err(DropReason::GroupDestination);
        }
        if self.is_ours(destination) {
            Ok(())
        } else {
            Err(DropReason::NotOurAddress)
        }
    }

    /// May be another host's address: unicast, no broadcast of a subnet of ours, not our own (LAND).
    pub(crate) fn is_peer(&self, source: IpAddr) -> bool {
        is_valid_source(source) && !self.is_subnet_broadcast(source) && !self.is_ours(source)
    }

    fn is_subnet_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.iter().any(|own| own.broadcast == Some(ip)),
            IpAddr::V6(_) => false,
        }
    }
}

/// By which of several ports `remote` is spoken to, and from which address (RFC 1122 §3.3.4.3): of the longest prefix that
/// holds it, else the first port with a gateway of its family, else the first with an address of it.
pub(crate) fn route<'a, P>(
    ports: impl Iterator<Item = (P, &'a Addresses)> + Clone,
    remote: IpAddr,
) -> Option<(P, IpAddr)> {
    let near = ports
        .clone()
        .filter_map(|(port, addresses)| Some((addresses.near(remote)?.0, (port, addresses))));
    let by_gateway = || {
        ports
            .clone()
            .find(|(_, addresses)| addresses.gateway_for(remote).is_some())
    };
    let (port, addresses) = longest(near).map(|(_, at)| at).or_else(by_gateway).or_else(|| {
        ports
            .clone()
            .find(|(_, addresses)| addresses.source_for(remote).is_some())
    })?;
    Some((port, addresses.source_for(remote)?))
}

/// What comes with the longest prefix; the first of equals.
fn longest<T>(nets: impl Iterator<Item = (u8, T)>) -> Option<(u8, T)> {
    nets.reduce(|best, net| if net.0 > best.0 { net } else { best })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const MAC: EtherAddr = [2, 0, 0, 0, 0, 1];

    fn addresses() -> Addresses {
        let nets = [
            "10.0.0.2/24",
            "10.0.5.1/16",
            "192.168.9.1/31",
            "fd99::2/64",
            "2001:db8::2/48",
        ];
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        Addresses::new(MAC, &nets, &[ip("10.0.5.254"), ip("fd99::1")])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    // proves: RFC 1122 §3.3.1.1, §3.3.4.3, §3.3.6
    #[test]
    fn where_a_packet_goes_and_from_which_address() {
        // proves: RFC 9293 MUST-44, MUST-46
        let cases = [
            (
                "10.0.0.7",
                Some("10.0.0.7"),
                Some("10.0.0.2"),
                "on the link; the longer of two prefixes",
            ),
            (
                "10.0.9.9",
                Some("10.0.9.9"),
                Some("10.0.5.1"),
                "on the link by the wider subnet",
            ),
            (
                "8.8.8.8",
                Some("10.0.5.254"),
                Some("10.0.5.1"),
                "by the gateway, from its subnet",
            ),
            (
                "192.168.9.0",
                Some("192.168.9.0"),
                Some("192.168.9.1"),
                "RFC 3021: a /31 has no broadcast",
            ),
            ("fd99::9", Some("fd99::9"), Some("fd99::2"), "on the link"),
            (
                "2001:db8:0:7::1",
                Some("2001:db8:0:7::1"),
                Some("2001:db8::2"),
                "on the other link",
            ),
            ("2a00::1", Some("fd99::1"), Some("fd99::2"), "by the gateway"),
            (
                "fe80::5",
                Some("fe80::5"),
                Some("fd99::2"),
                "link-local is always on the link",
            ),
            ("10.0.0.255", None, Some("10.0.0.2"), "a subnet's broadcast"),
            ("224.0.0.1", None, Some("10.0.5.1"), "multicast"),
            ("ff02::1", None, Some("fd99::2"), "multicast"),
            ("0.0.0.0", None, Some("10.0.5.1"), "nobody"),
            ("10.0.0.2", None, Some("10.0.0.2"), "ourselves"),
        ];
        let addresses = addresses();
        for (remote, hop, source, why) in cases {
            assert_eq!(addresses.next_hop(ip(remote)), hop.map(ip), "{remote}: {why}");
            assert_eq!(
                addresses.source_for(ip(remote)),
                source.map(ip),
                "{remote}: {why}"
            );
        }
        let v4_only = Addresses::new(MAC, &["10.0.0.2/24".parse().unwrap()], &[]);
        assert_eq!(v4_only.next_hop(ip("8.8.8.8")), None, "no gateway, no way");
        assert_eq!(
            v4_only.source_for(ip("fd99::1")),
            None,
            "no address of the family"
        );
    }

    #[test]
    fn the_port_is_that_of_the_link_then_that_of_a_gateway() {
        let port = |nets: &[&str], gateways: &[&str]| {
            let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
            let gateways: Vec<IpAddr> = gateways.iter().map(|gateway| ip(gateway)).collect();
            Addresses::new(MAC, &nets, &gateways)
        };
        let ports = [
            port(&["10.0.0.2/16"], &[]),
            port(&["10.0.1.2/24", "fd01::2/64"], &["10.0.1.1"]),
            port(&["192.168.0.2/24", "fd02::2/64"], &["192.168.0.1", "fd02::1"]),
        ];
        let cases = [
            ("10.0.9.9", Some((0, "10.0.0.2")), "on its link"),
            (
                "10.0.1.9",
                Some((1, "10.0.1.2")),
                "on the link of the longer prefix",
            ),
            ("192.168.0.9", Some((2, "192.168.0.2")), "on the last one's link"),
            ("8.8.8.8", Some((1, "10.0.1.2")), "by the first gateway"),
            (
                "2a00::1",
                Some((2, "fd02::2")),
                "by the only gateway of the family",
            ),
            ("fd01::9", Some((1, "fd01::2")), "on its link"),
        ];
        for (remote, expected, why) in cases {
            let found = route(ports.iter().enumerate(), ip(remote));
            assert_eq!(
                found,
                expected.map(|(port, from)| (port, ip(from))),
                "{remote}: {why}"
            );
        }
        let alone = route(ports.iter().take(1).enumerate(), ip("8.8.8.8"));
        assert_eq!(
            alone,
            Some((0, ip("10.0.0.2"))),
            "no gateway: the first with an address"
        );
        assert_eq!(
            route(ports.iter().take(1).enumerate(), ip("fd01::9")),
            None,
            "no address of the family"
        );
    }

    #[test]
    fn what_is_not_from_a_host_to_us_is_dropped_under_its_reason() {
        // proves: RFC 9293 MUST-57, MUST-63
        use DropReason::*;
        let (ours, other, all) = (MAC, [2, 0, 0, 0, 0, 9], [0xff; 6]);
        let cases = [
            (ours, "10.0.0.7", "10.0.0.2", Ok(()), "a neighbour"),
            (ours, "8.8.8.8", "10.0.0.2", Ok(()), "from afar"),
            (ours, "fd99::7", "fd99::2", Ok(()), "IPv6"),
            (other, "10.0.0.7", "10.0.0.2", Err(NotOurMac), "another station"),
            (ours, "10.0.0.7", "10.0.0.3", Err(NotOurAddress), "another host"),
            (ours, "fd99::7", "fd99::3", Err(NotOurAddress), "another host"),
            (
                all,
                "10.0.0.7",
                "10.0.0.2",
                Err(GroupDestination),
                "unicast IP in an Ethernet broadcast",
            ),
            (
                [1, 0, 0x5e, 0, 0, 1],
                "10.0.0.7",
                "10.0.0.2",
                Err(GroupDestination),
                "… or multicast",
            ),
            (
                all,
                "10.0.0.7",
                "255.255.255.255",
                Err(GroupDestination),
                "limited broadcast",
            ),
            (
                ours,
                "10.0.0.7",
                "10.0.0.255",
                Err(GroupDestination),
                "our subnet's broadcast",
            ),
            (ours, "10.0.0.7", "224.0.0.1", Err(GroupDestination), "multicast"),
            (
                [0x33, 0x33, 0, 0, 0, 1],
                "fd99::7",
                "ff02::1",
                Err(GroupDestination),
                "multicast",
            ),
            (ours, "0.0.0.0", "10.0.0.2", Err(BadSource), "0/8"),
            (ours, "0.1.2.3", "10.0.0.2", Err(BadSource), "0/8"),
            (ours, "127.0.0.1", "10.0.0.2", Err(BadSource), "127/8"),
            (ours, "224.1.1.1", "10.0.0.2", Err(BadSource), "multicast"),
            (ours, "240.0.0.1", "10.0.0.2", Err(BadSource), "class E"),
            (
                ours,
                "255.255.255.255",
                "10.0.0.2",
                Err(BadSource),
                "limited broadcast",
            ),
            (
                ours,
                "10.0.0.255",
                "10.0.0.2",
                Err(BadSource),
                "our subnet's broadcast",
            ),
            (ours, "10.0.0.2", "10.0.0.2", Err(BadSource), "LAND"),
            (
                ours,
                "10.0.5.1",
                "10.0.0.2",
                Err(BadSource),
                "another address of ours",
            ),
            (ours, "fd99::2", "fd99::2", Err(BadSource), "LAND"),
            (ours, "::", "fd99::2", Err(BadSource), "unspecified"),
            (ours, "::1", "fd99::2", Err(BadSource), "loopback"),
            (ours, "ff02::1", "fd99::2", Err(BadSource), "multicast"),
            (
                all,
                "0.0.0.0",
                "10.0.0.2",
                Err(BadSource),
                "the old scan: ACK from 0.0.0.0 to all",
            ),
        ];
        let addresses = addresses();
        for (ether, source, destination, expected, why) in cases {
            let verdict = addresses.admit(ether, ip(source), ip(destination));
            assert_eq!(verdict, expected, "{source} to {destination}: {why}");
        }
    }

    #[test]
    fn who_has_one_address_of_ipv4_judges_alike_at_one_look() {
        let sources = [
            "10.0.0.1",
            "10.0.0.7",
            "10.0.0.255",
            "10.0.1.0",
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "8.8.8.8",
            "10.64.0.1",
        ];
        let destinations = [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.255",
            "255.255.255.255",
            "224.0.0.1",
            "10.64.0.9",
        ];
        let nets = [
            "10.0.0.1/24",
            "10.0.0.1/31",
            "10.0.0.1/32",
            "10.0.0.255/24",
            "224.0.0.1/8",
            "10.64.0.9/0",
        ];
        for (net, range) in nets.into_iter().flat_map(|net| [(net, false), (net, true)]) {
            let mut addresses = Addresses::new(MAC, &[net.parse().unwrap()], &[ip("10.0.0.3")]);
            if range {
                addresses.own_range("10.64.0.0/16".parse().unwrap());
            }
            for (source, destination) in sources.into_iter().flat_map(|s| destinations.map(|d| (s, d))) {
                let [remote, local] = [source, destination].map(|ip| SocketAddr::new(ip.parse().unwrap(), 9));
                let tuple = FourTuple::new(local, remote).unwrap();
                for ether in [MAC, [2, 0, 0, 0, 0, 9], [255; 6]] {
                    assert_eq!(
                        addresses.admit_segment(ether, &tuple),
                        addresses.admit(ether, remote.ip(), local.ip()),
                        "{ether:?} {source} to {destination} of {net}"
                    );
                }
            }
            for remote in sources.map(ip) {
                let nobodys =
                    addresses.is_group(remote) || remote.is_unspecified() || addresses.is_ours(remote);
                let IpNet::V4(own) = net.parse().unwrap() else {
                    unreachable!()
                };
                let IpAddr::V4(remote_v4) = remote else {
                    unreachable!()
                };
                let by = if own.contains(&remote_v4) {
                    remote
                } else {
                    ip("10.0.0.3")
                };
                assert_eq!(
                    addresses.next_hop(remote),
                    (!nobodys).then_some(by),
                    "{remote} from {net}"
                );
            }
        }
    }

    #[test]
    fn a_range_is_ours_as_a_whole() {
        let mut addresses = addresses();
        assert!(!addresses.is_ours(ip("10.1.7.9")));
        addresses.own_range("10.1.0.0/16".parse().unwrap());
        addresses.own_range("fd01::/64".parse().unwrap());
        assert!(addresses.is_ours(ip("10.1.7.9")) && addresses.is_ours(ip("fd01::77")));
        assert!(!addresses.is_ours(ip("10.2.0.1")));
        assert!(addresses.is_our_solicited_node(solicited_node("fd01::77".parse().unwrap())));
        assert!(!addresses.is_our_solicited_node("ff02::1".parse().unwrap()));
    }
}
