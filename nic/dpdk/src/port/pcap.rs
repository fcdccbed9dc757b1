//! Ports of capture files and of interfaces through libpcap: `net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap`,
//! `net_pcap0,rx_iface_in=v0,tx_iface=v0`. A file's frames come as fast as they are taken, whenever they were captured.

use std::path::Path;

use fourtuple_nic::NicError;

use super::ethtool::Carrier;
use super::interface::{Interface, require_packet_socket};
use super::{Nature, PortOptions};

/// What names of these devices begin with.
pub(super) const DRIVER: &str = "net_pcap";

/// Checks what the driver would only fail on: files, interfaces, privilege, and as many of each as there are queues.
pub(super) fn require(label: &str, arguments: &str, queues: u16) -> Result<(), NicError> {
    let refused = |reason: String| {
        Err(NicError::Refused {
            port: label.to_owned(),
            reason,
        })
    };
    let both_ways = values(arguments, &["iface"]).count();
    let received = values(arguments, &["rx_pcap", "rx_iface", "rx_iface_in"]).count();
    let sent = values(arguments, &["tx_pcap", "tx_iface"]).count();
    if both_ways == 0 && received == 0 {
        return refused(
            "nothing to receive from is named; write rx_pcap=FILE,tx_pcap=FILE, or rx_iface_in=IFACE,tx_iface=IFACE"
                .to_owned(),
        );
    }
    if both_ways == 0 && sent > 0 && sent != received {
        return refused(format!(
            "{received} to receive from and {sent} to send to: there is one of each for a queue"
        ));
    }
    let available = both_ways.max(received) as u16;
    if queues != available {
        return refused(format!(
            "it has {available} queues and {queues} workers: use --workers {available}, or name as many files or interfaces"
        ));
    }
    for file in values(arguments, &["rx_pcap"]) {
        if let Err(error) = std::fs::File::open(file) {
            return refused(format!("{file} can't be read: {error}"));
        }
    }
    for file in values(arguments, &["tx_pcap"]) {
        let folder = Path::new(file)
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if !folder.unwrap_or(Path::new(".")).is_dir() {
            return refused(format!("{file} can't be written: there is no such folder"));
        }
    }
    for interface in values(arguments, &["iface", "rx_iface", "rx_iface_in", "tx_iface"]) {
        let known = Interface::look_up(label, interface)?;
        require_packet_socket(label)?;
        if !known.up {
            return refused(format!("{interface} is down; `ip link set {interface} up`"));
        }
    }
    Ok(())
}

/// What such a port is like.
pub(super) fn nature(arguments: &str, options: &PortOptions) -> Nature {
    let interface = values(arguments, &["iface", "rx_iface", "rx_iface_in"]).next();
    Nature {
        // What Linux captured of itself has partial checksums, as what it sends has.
        kernel_peer: true,
        carrier: interface.and_then(Carrier::of),
        ..Nature::polled(options)
    }
}

/// The values of `keys` among a device's arguments.
fn values<'a>(arguments: &'a str, keys: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let pairs = arguments
        .split(',')
        .filter_map(|argument| argument.split_once('='));
    pairs
        .filter(|(key, _)| keys.contains(key))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_known_beforehand_is_refused_with_its_reason() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let rows = [
            ("tx_pcap=/tmp/out.pcap".to_owned(), 1, "rx_pcap=FILE"),
            ("rx_pcap=/nowhere/in.pcap".to_owned(), 1, "/nowhere/in.pcap"),
            (
                format!("rx_pcap={here},tx_pcap=/nowhere/out.pcap"),
                1,
                "/nowhere/out.pcap",
            ),
            (format!("rx_pcap={here}"), 2, "--workers 1"),
            (format!("rx_pcap={here},tx_pcap=a,tx_pcap=b"), 1, "one of each"),
            (
                "rx_iface_in=nosuch0,tx_iface=nosuch0".to_owned(),
                1,
                "no such interface",
            ),
        ];
        for (arguments, queues, named) in rows {
            let message = require("p", &arguments, queues).unwrap_err().to_string();
            assert!(message.contains(named), "{arguments}: {message}");
        }
        assert_eq!(
            require("p", &format!("rx_pcap={here},tx_pcap=out.pcap"), 1),
            Ok(())
        );
    }
}
