//! The interface by which this machine reaches the world is not taken from it.

use crate::exit::Failure;

/// Refuses an interface that carries the default route of either family.
pub(crate) fn refuse(iface: &str) -> Result<(), Failure> {
    // A system without these files, or without a family, has no route in it.
    let v4 = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    if in_v4(&v4, iface) || in_v6(&v6, iface) {
        return Err(Failure::Unusable(format!(
            "{iface} carries this machine's default route, and taking it would cut the machine off; use another interface, or \
             make one: ip link add v0 type veth peer name v1"
        )));
    }
    Ok(())
}

/// In the table of `/proc/net/route`: interface, destination, gateway, flags, …, mask as the eighth.
fn in_v4(table: &str, iface: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        matches!(fields[..], [name, "00000000", _, _, _, _, _, "00000000", ..] if name == iface)
    })
}

/// In the table of `/proc/net/ipv6_route`: destination, its length, …, flags as the ninth, interface.
fn in_v6(table: &str, iface: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[..] {
            [destination, "00", _, _, _, _, _, _, flags, name] => {
                let rejects = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & RTF_REJECT != 0);
                name == iface && !rejects && destination.bytes().all(|byte| byte == b'0')
            }
            _ => false,
        }
    })
}

/// The route says that there is none (linux/route.h).
const RTF_REJECT: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found_and_no_other() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth1\t0000630A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                  eth2\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        assert!(in_v4(v4, "eth0"));
        assert!(!in_v4(v4, "eth1"), "a link's own route");
        assert!(!in_v4(v4, "eth2"), "half of everything is not everything");
        assert!(!in_v4(v4, "eth"));
        let zeros = "0".repeat(32);
        let v6 = format!(
            "{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo\n\
             fd990000000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001 eth1\n"
        );
        assert!(in_v6(&v6, "eth0"));
        assert!(!in_v6(&v6, "lo"), "unreachable");
        assert!(!in_v6(&v6, "eth1"));
        assert!(!in_v4("", "eth0") && !in_v6("nonsense", "eth0"));
    }
}
