//! Ports on an interface of the kernel through AF_XDP: frames leave the kernel before its network stack sees them.
//!
//! ```text
//!   interface ─ queue i ─ XDP program of libxdp ─► socket i ─► queue i of the port, no copy but the kernel's
//!                           no socket for the queue: on to the kernel's stack
//! ```
//!
//! One ethdev a queue: DPDK's driver takes several queues only of interfaces with *combined* channels, which veth has not.
//! Frames lie in the receive pool itself (UMEM), which is registered with the kernel as one piece. The driver keeps
//! [`FILL`] of its buffers for the kernel and forgets them when it is closed, and copies frames to be sent into others.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::{fs, mem, ptr};

use fourtuple_nic::NicError;

use super::claim::{self, Claim};
use super::device::{Device, fresh_name};
use super::devices::Devices;
use super::ethtool::{self, Carrier};
use super::interface::{self, Interface};
use super::kernel::require_mtu;
use super::{L2_BYTES, Nature, Port, PortOptions, WaitBy};
use crate::mbuf::Attaching;
use crate::pool::HEADROOM;

/// Buffers that the driver hands to the kernel for each queue, whatever is asked (XSK_RING_CONS__DEFAULT_NUM_DESCS).
const FILL: u32 = 2048;

/// Buffers that frames on their way out may take: what the ring of completed ones holds (XSK_RING_CONS__DEFAULT_NUM_DESCS).
pub(super) const SENDING: u32 = 2048;

/// Bytes that the kernel leaves free before each frame (XDP_PACKET_HEADROOM), beyond the pool's own headroom.
pub(super) const XDP_HEADROOM: u16 = 256;

/// Largest IP packet: buffer, its headers and both headrooms lie in one page (4096 bytes; UMEM chunks are no larger).
const MTU_MOST: u16 = 4096 - 64 - dpdk_sys::SHIM_MBUF_SIZE as u16 - HEADROOM - XDP_HEADROOM - L2_BYTES;

/// A port on the interface `name` of the calling thread's network namespace, with one AF_XDP socket a queue.
pub(super) fn af_xdp(name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
    let label = format!("af_xdp:{name}");
    let interface = Interface::look_up(&label, name)?;
    require_xdp(&label)?;
    let refused = |reason: String| NicError::Refused {
        port: label.clone(),
        reason,
    };
    if !interface.up {
        return Err(refused(format!("the interface is down; `ip link set {name} up`")));
    }
    let available = ethtool::receive_queues(name);
    if queues == 0 || queues > available {
        return Err(NicError::TooManyQueues {
            port: label,
            asked: queues,
            available,
        });
    }
    if queues < available {
        return Err(refused(format!(
            "the interface receives on {available} queues and {queues} would be served, so that frames on the others were lost; \
             use --workers {available}, or give it as many: `ethtool -L {name} combined {queues}` (a veth, both ends: `rx \
             {queues} tx {queues}`)"
        )));
    }
    let largest = u16::try_from(interface.mtu).unwrap_or(u16::MAX).min(MTU_MOST);
    let mtu = require_mtu(&label, Some(options.mtu.unwrap_or(largest.min(1500))), largest)?;
    quieten();
    let claim = Claim::take(&label, name, interface.index)?;
    let mut devices: Option<Devices> = None;
    for queue in 0..queues {
        let arguments = format!("iface={name},start_queue={queue},queue_count=1");
        let device = Device::plug(&label, &fresh_name("net_af_xdp"), &arguments)?;
        match &mut devices {
            None => devices = Some(device.into()),
            Some(devices) => devices.push(device),
        }
    }
    let Some(devices) = devices else {
        return Err(refused("a port has at least one queue".to_owned()));
    };
    if options.mac.is_some() {
        devices.take_all_addresses();
    }
    let nature = Nature {
        kernel_peer: true,
        // The driver takes one segment a frame, and copies it.
        attaching: Attaching::Never,
        mac: Some(options.mac.unwrap_or(interface.mac)),
        mtu,
        // Rings of more are refused.
        descriptors_most: FILL as u16,
        wait: WaitBy::XdpSocket,
        carrier: Carrier::of(name),
        claim: Some(claim),
        umem: true,
        ..Nature::polled(options)
    };
    let own_buffers = PortOptions {
        rx_buffers: options.rx_buffers.saturating_add(FILL + SENDING),
        ..options.clone()
    };
    Port::open(label, devices, queues, &own_buffers, nature).map_err(|error| explain(error, name))
}

/// What usually is the matter when the kernel refuses a socket.
fn explain(error: NicError, name: &str) -> NicError {
    match error {
        NicError::Refused { port, reason }
            if reason.contains("xsk socket") || reason.contains("xdp socket") =>
        {
            NicError::Refused {
                port,
                reason: format!(
                    "the kernel gives no AF_XDP socket on it: another XDP program holds the interface (`ip link show {name}` \
                     shows it, `ip link set {name} xdp off` removes it), another process holds the queue, its MTU is too large \
                     for XDP, or it is a veth whose other end sends on more queues than it receives on ({reason})"
                ),
            }
        }
        other => other,
    }
}

/// Whether this process may make AF_XDP sockets and attach the program that feeds them.
fn require_xdp(port: &str) -> Result<(), NicError> {
    let not_permitted = |which: &str| NicError::NotPermitted {
        port: port.to_owned(),
        remedy: format!(
            "AF_XDP needs {which}: run as root, or `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep` the program"
        ),
    };
    if let Err(error) = interface::open(libc::AF_XDP, libc::SOCK_RAW, 0) {
        return Err(match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => NicError::Refused {
                port: port.to_owned(),
                reason: "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS); use --driver af_packet".to_owned(),
            },
            _ => not_permitted("CAP_NET_RAW"),
        });
    }
    let held = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    match missing(&held) {
        Some(which) => Err(not_permitted(which)),
        None => Ok(()),
    }
}

/// The first capability that is not among the effective ones of a `/proc/PID/status`; `None` also when it does not tell.
fn missing(status: &str) -> Option<&'static str> {
    // linux/capability.h
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    const BPF: u64 = 1 << 39;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let held = u64::from_str_radix(line.trim(), 16).ok()?;
    if held & NET_ADMIN == 0 {
        Some("CAP_NET_ADMIN")
    } else if held & (BPF | SYS_ADMIN) == 0 {
        Some("CAP_BPF")
    } else {
        None
    }
}

/// The AF_XDP sockets that this process has open, in order.
pub(super) fn sockets() -> Vec<RawFd> {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut found: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&fd| is_xdp(fd))
        .collect();
    found.sort_unstable();
    found
}

fn is_xdp(fd: RawFd) -> bool {
    let mut domain: libc::c_int = 0;
    let mut len = size_of_val(&domain) as libc::socklen_t;
    // SAFETY: writes at most `len` bytes to `domain`, and fails on what is no socket.
    let told = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut len,
        )
    };
    told == 0 && domain == libc::AF_XDP
}

/// Keeps libxdp and libbpf from writing to stderr. They come with DPDK's driver, so they are asked for by name.
fn quieten() {
    for function in [c"libbpf_set_print", c"libxdp_set_print"]
        .into_iter()
        .filter_map(claim::loaded)
    {
        // SAFETY: both functions take the new print function (null: print nothing) and return the old one, in every release.
        unsafe {
            let set: unsafe extern "C" fn(*const c_void) -> *mut c_void = mem::transmute(function);
            set(ptr::null());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_missing_capability_is_named() {
        let status = |held: &str| format!("Name:\tx\nCapEff:\t{held}\nCapBnd:\t0\n");
        assert_eq!(missing(&status("000001fffeffffff")), None);
        assert_eq!(missing(&status("0000000000000000")), Some("CAP_NET_ADMIN"));
        assert_eq!(missing(&status("0000000000003000")), Some("CAP_BPF"));
        assert_eq!(missing(&status("0000008000003000")), None);
        assert_eq!(missing(""), None, "the kernel will tell");
    }

    #[test]
    fn only_sockets_of_the_family_are_found() {
        let _other = interface::open(libc::AF_INET, libc::SOCK_DGRAM, 0).expect("a socket");
        let before = sockets();
        let Ok(socket) = interface::open(libc::AF_XDP, libc::SOCK_RAW, 0) else {
            return;
        };
        assert!(!before.contains(&socket.as_raw_fd()));
        assert!(sockets().contains(&socket.as_raw_fd()));
    }

    #[test]
    fn a_buffer_with_all_that_goes_before_it_fits_into_a_page() {
        assert_eq!(MTU_MOST, 3502);
    }
}
