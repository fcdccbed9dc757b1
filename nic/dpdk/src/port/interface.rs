//! What the kernel says of a network interface, and whether this process may open it: asked before a driver is, since a
//! driver only says that it failed.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use fourtuple_nic::{MacAddr, NicError};

/// An interface of the network namespace that the calling thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) mac: MacAddr,
    pub(super) mtu: u32,
    pub(super) up: bool,
}

impl Interface {
    /// Looks `name` up; `port` is what the operator called it.
    pub(super) fn look_up(port: &str, name: &str) -> Result<Self, NicError> {
        let unknown = || NicError::Unknown {
            port: port.to_owned(),
            remedy: format!("`ip link` shows those that are here: {}", names().join(", ")),
        };
        let wide = CString::new(name).map_err(|_| unknown())?;
        // SAFETY: a NUL-terminated string.
        let index = unsafe { libc::if_nametoindex(wide.as_ptr()) };
        if index == 0 {
            return Err(unknown());
        }
        let failed = |error: io::Error| NicError::Refused {
            port: port.to_owned(),
            reason: format!("the kernel does not describe it: {error}"),
        };
        let socket = open(libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(failed)?;
        let answer = |request| ask(&socket, name, request).map_err(failed);
        let (mtu, flags, hardware) = (
            answer(libc::SIOCGIFMTU)?,
            answer(libc::SIOCGIFFLAGS)?,
            answer(libc::SIOCGIFHWADDR)?,
        );
        // SAFETY: each answer's union holds the member that its request fills in.
        let (mtu, flags, octets) = unsafe {
            (
                mtu.ifr_ifru.ifru_mtu,
                flags.ifr_ifru.ifru_flags,
                hardware.ifr_ifru.ifru_hwaddr.sa_data,
            )
        };
        let mut mac = [0u8; 6];
        for (octet, &told) in mac.iter_mut().zip(&octets) {
            *octet = told as u8;
        }
        let up = i32::from(flags) & libc::IFF_UP != 0;
        Ok(Self {
            index,
            mac: MacAddr(mac),
            mtu: u32::try_from(mtu).unwrap_or(0),
            up,
        })
    }
}

/// Names of all interfaces, sorted.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether this process may open packet sockets.
pub(super) fn require_packet_socket(port: &str) -> Result<(), NicError> {
    match open(libc::AF_PACKET, libc::SOCK_RAW, 0) {
        Ok(_) => Ok(()),
        Err(_) => Err(NicError::NotPermitted {
            port: port.to_owned(),
            remedy: "packet sockets need CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` the program"
                .to_owned(),
        }),
    }
}

/// Whether this process may create the tap interface `name`, which must not exist yet.
pub(super) fn require_tap(port: &str, name: &str) -> Result<(), NicError> {
    let refused = |reason: String| NicError::Refused {
        port: port.to_owned(),
        reason,
    };
    let short = (1..libc::IFNAMSIZ).contains(&name.len());
    if !short || name.contains(['/', ',', '=', ' ']) {
        return Err(refused(format!(
            "`{name}` is no interface name: at most 15 letters and digits"
        )));
    }
    let device = match std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        Ok(device) => device,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(tap_not_permitted(port)),
        Err(error) => {
            return Err(refused(format!(
                "/dev/net/tun can't be opened ({error}); `modprobe tun` provides it"
            )));
        }
    };
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_MULTI_QUEUE) as libc::c_short;
    // SAFETY: an ifreq with a terminated name; the interface it creates is gone when `device` is closed below.
    let created = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &mut request) } == 0;
    if created {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM) => Err(tap_not_permitted(port)),
        Some(libc::EBUSY | libc::EINVAL) => Err(refused(format!(
            "an interface of that name exists already; `ip link del {name}`, or choose another name"
        ))),
        _ => Err(refused(format!("the kernel does not create it: {error}"))),
    }
}

fn tap_not_permitted(port: &str) -> NicError {
    NicError::NotPermitted {
        port: port.to_owned(),
        remedy: "creating an interface needs CAP_NET_ADMIN and /dev/net/tun: run as root, or `setcap cap_net_admin+ep` the \
                 program"
            .to_owned(),
    }
}

/// The index of the interface that `socket` is bound to, if it is a packet socket.
pub(super) fn bound_to(socket: i32) -> Option<u32> {
    // SAFETY: a zeroed sockaddr_ll is a value; the call writes at most `len` bytes, and fails on what is no socket.
    unsafe {
        let mut address: libc::sockaddr_ll = mem::zeroed();
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let named = libc::getsockname(socket, (&raw mut address).cast(), &mut len) == 0;
        let packet = i32::from(address.sll_family) == libc::AF_PACKET;
        (named && packet).then_some(address.sll_ifindex as u32)
    }
}

/// Frames that the kernel dropped at a packet socket because its ring was full, since this was asked last: asking resets it.
pub(super) fn dropped_since(socket: RawFd) -> u64 {
    // SAFETY: tpacket_stats is plain bits; the call writes at most `len` bytes, and fails on what is no packet socket.
    unsafe {
        let mut counted: libc::tpacket_stats = mem::zeroed();
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        let place = (&raw mut counted).cast();
        let told = libc::getsockopt(
            socket,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            place,
            &raw mut len,
        );
        if told == 0 { u64::from(counted.tp_drops) } else { 0 }
    }
}

/// A socket, closed on exec.
pub(super) fn open(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a descriptor that was opened is owned by nobody else.
    unsafe {
        let socket = libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol);
        if socket < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(socket))
        }
    }
}

/// A request about `name`.
pub(super) fn request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain bits, for which all zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // One byte less than there is, so that the name stays terminated.
    for (place, &byte) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.as_bytes())
    {
        *place = byte as libc::c_char;
    }
    request
}

/// What the kernel answers to one of the requests that fill an ifreq in.
pub(super) fn ask(socket: &OwnedFd, name: &str, what: libc::Ioctl) -> io::Result<libc::ifreq> {
    let mut request = request(name);
    // SAFETY: an ifreq with a terminated name, which these requests fill in.
    let answered = unsafe { libc::ioctl(socket.as_raw_fd(), what, &mut request) } == 0;
    if answered {
        Ok(request)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_and_a_strange_name_is_not() {
        let loopback = Interface::look_up("af_packet:lo", "lo").unwrap();
        assert_eq!((loopback.index > 0, loopback.mac), (true, MacAddr::default()));
        assert!(loopback.mtu >= 1500);
        let error = Interface::look_up("af_packet:nosuch0", "nosuch0").unwrap_err();
        assert!(matches!(&error, NicError::Unknown { .. }));
        let message = error.to_string();
        assert!(message.contains("nosuch0") && message.contains("lo"), "{message}");
    }

    #[test]
    fn a_name_that_the_kernel_would_refuse_is_refused_here() {
        for name in ["", "a-name-that-is-far-too-long", "a/b", "a,b"] {
            assert!(
                matches!(require_tap("tap", name), Err(NicError::Refused { .. })),
                "{name}"
            );
        }
    }
}
