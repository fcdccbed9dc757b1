//! What the kernel's driver says of an interface: how many queues it has, whether it has a carrier, how fast it is.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use fourtuple_nic::Link;

use super::interface;

/// linux/sockios.h
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// linux/ethtool.h
const ETHTOOL_GSET: u32 = 0x01;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// Tells of an interface's link, in the network namespace in which it was made, whichever thread asks.
#[derive(Debug)]
pub(super) struct Carrier {
    socket: OwnedFd,
    interface: String,
}

impl Carrier {
    /// Of `interface`, in the network namespace of the calling thread; `None` when there is no socket to be had.
    pub(super) fn of(interface: &str) -> Option<Self> {
        let socket = interface::open(libc::AF_INET, libc::SOCK_DGRAM, 0).ok()?;
        Some(Self {
            socket,
            interface: interface.to_owned(),
        })
    }

    /// The link now; down when the interface is gone.
    pub(super) fn link(&self) -> Link {
        let flags = interface::ask(&self.socket, &self.interface, libc::SIOCGIFFLAGS);
        // SAFETY: the request fills this member in.
        let up = flags
            .is_ok_and(|answer| i32::from(unsafe { answer.ifr_ifru.ifru_flags }) & libc::IFF_RUNNING != 0);
        Link {
            up,
            megabits: self.megabits(),
        }
    }

    fn megabits(&self) -> Option<u32> {
        /// struct ethtool_cmd
        #[repr(C)]
        #[derive(Default)]
        struct Settings {
            command: u32,
            supported: u32,
            advertising: u32,
            speed: u16,
            unused: [u8; 8],
            max_tx: u32,
            max_rx: u32,
            speed_high: u16,
            unused_too: [u8; 2],
            reserved: [u32; 3],
        }
        let mut settings = Settings {
            command: ETHTOOL_GSET,
            ..Settings::default()
        };
        ethtool(&self.socket, &self.interface, (&raw mut settings).cast()).ok()?;
        let speed = u32::from(settings.speed_high) << 16 | u32::from(settings.speed);
        // All ones: unknown.
        (speed != 0 && speed != u32::MAX && speed != u32::from(u16::MAX)).then_some(speed)
    }
}

/// How many queues `interface` of the calling thread's network namespace receives on now; one when its driver does not say.
pub(super) fn receive_queues(interface: &str) -> u16 {
    /// struct ethtool_channels
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        most: [u32; 4],
        rx: u32,
        tx: u32,
        other: u32,
        combined: u32,
    }
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    let asked = interface::open(libc::AF_INET, libc::SOCK_DGRAM, 0)
        .and_then(|socket| ethtool(&socket, interface, (&raw mut channels).cast()));
    match asked {
        Ok(()) => u16::try_from(channels.rx + channels.combined)
            .unwrap_or(u16::MAX)
            .max(1),
        Err(_) => 1,
    }
}

/// `what` is one of ethtool's structs, which begins with its command.
fn ethtool(socket: &OwnedFd, name: &str, what: *mut libc::c_char) -> io::Result<()> {
    let mut request = interface::request(name);
    request.ifr_ifru.ifru_data = what;
    // SAFETY: an ifreq with a terminated name that points to a struct of the size that its command says (callers).
    let answered = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) } == 0;
    if answered {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_one_queue_and_what_is_not_there_has_no_link() {
        assert_eq!(receive_queues("lo"), 1);
        assert_eq!(receive_queues("nosuch0"), 1);
        let carrier = Carrier::of("nosuch0").expect("a socket");
        assert_eq!(carrier.link(), Link::default());
    }
}
