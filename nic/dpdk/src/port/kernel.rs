//! Ports whose other end is this host's own kernel: packet sockets and taps.

use fourtuple_nic::{MacAddr, NicError};

use super::device::{Device, fresh_name};
use super::ethtool::Carrier;
use super::interface::{Interface, require_packet_socket, require_tap};
use super::{Nature, Port, PortOptions, WaitBy};
use crate::mbuf::Attaching;

/// How frames lie in a packet socket's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ring {
    /// Bytes of one frame with the kernel's header before it.
    frame: u32,
    /// Bytes that the kernel allocates at a time: few enough to be had when memory is fragmented. A multiple of pages, and of
    /// frames, since the driver takes the frames to lie one behind the other.
    block: u32,
}

/// What fits besides the kernel's header is more than a frame of 1518.
const USUAL_RING: Ring = Ring {
    frame: 2048,
    block: 64 << 10,
};

/// For frames of up to 9018; fifteen pages, of which the kernel makes sixteen.
const JUMBO_RING: Ring = Ring {
    frame: 10_240,
    block: 61_440,
};

/// The kernel's header before a frame, the driver's own share of it, and one VLAN tag.
const RING_HEADER: u32 = 66 + 4;

/// Largest IP packet that the driver for packet sockets is told of (a frame of 1518 bytes). It takes what its ring takes.
const TOLD_MTU: u16 = 1500;

/// Largest IP packet that we make a ring of packet sockets for.
const PACKET_MTU_MOST: u16 = 9000;

/// Largest IP packet that DPDK's driver for taps takes (a frame of 1518 bytes).
const TAP_MTU_MOST: u16 = 1500;

impl Ring {
    fn for_mtu(mtu: u16) -> Self {
        if u32::from(mtu) + 18 + RING_HEADER <= USUAL_RING.frame {
            USUAL_RING
        } else {
            JUMBO_RING
        }
    }
}

/// Queues of a tap (the driver's limit), and as many packet sockets: nothing says that more would help.
const QUEUES_MOST: u16 = 16;

/// A port on the interface `name` of the calling thread's network namespace, through one packet socket a queue.
///
/// The kernel spreads frames over the sockets by its own hash, so each frame is steered again in software. Frames longer than the
/// MTU are cut: segmentation offloads of the other side have to be off (`ethtool -K … tso off gso off gro off`).
pub(super) fn af_packet(name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
    let label = format!("af_packet:{name}");
    require_queues(&label, queues)?;
    let interface = Interface::look_up(&label, name)?;
    require_packet_socket(&label)?;
    if !interface.up {
        let reason = format!("the interface is down; `ip link set {name} up`");
        return Err(NicError::Refused { port: label, reason });
    }
    let largest = u16::try_from(interface.mtu)
        .unwrap_or(u16::MAX)
        .min(PACKET_MTU_MOST);
    let mtu = require_mtu(&label, Some(options.mtu.unwrap_or(largest.min(1500))), largest)?;
    let ring = Ring::for_mtu(mtu);
    let arguments = format!(
        "iface={name},qpairs={queues},blocksz={},framesz={},framecnt={},qdisc_bypass=1",
        ring.block,
        ring.frame,
        u32::from(options.descriptors).next_multiple_of(ring.block / ring.frame),
    );
    // The driver wants room for whatever its ring may hold.
    let options = &PortOptions {
        buffer_room: options.buffer_room.max(ring.frame as u16),
        ..options.clone()
    };
    let device = Device::plug(&label, &fresh_name("net_af_packet"), &arguments)?;
    if options.mac.is_some() {
        device.take_all_addresses();
    }
    let nature = Nature {
        kernel_peer: true,
        // The driver reads the payload into the kernel, so it is in the cache by then: attaching costs what copying 1000 bytes does.
        attaching: Attaching::Above(1024),
        mac: Some(options.mac.unwrap_or(interface.mac)),
        mtu,
        descriptors_most: u16::MAX,
        wait: WaitBy::PacketSocket {
            interface: interface.index,
        },
        carrier: Carrier::of(name),
        told_mtu: TOLD_MTU,
        ..Nature::polled(options)
    };
    Port::open(label, device, queues, options, nature)
}

/// A new interface `name` in the calling thread's network namespace: what the kernel sends to it, this port receives.
///
/// The interface goes when the port is closed. The kernel's end keeps the address that the driver gave it; ours differs in
/// the last bit, unless it is chosen.
pub(super) fn tap(name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
    let label = format!("tap:{name}");
    require_queues(&label, queues)?;
    require_tap(&label, name)?;
    let mtu = require_mtu(&label, options.mtu, TAP_MTU_MOST)?;
    ignore_sigio();
    let device = Device::plug(&label, &fresh_name("net_tap"), &format!("iface={name}"))?;
    let nature = Nature {
        kernel_peer: true,
        // The driver writes any chain, but sums its segments as if each had an even length, so a checksum over an odd one is
        // wrong (22.11 to 24.11). It copies into the kernel anyway.
        attaching: Attaching::Never,
        mac: Some(options.mac.unwrap_or_else(|| neighbour(device.mac()))),
        mtu,
        // The driver takes a buffer for each, and uses one unless frames are scattered.
        descriptors_most: 32,
        wait: WaitBy::Interrupt,
        ..Nature::polled(options)
    };
    Port::open(label, device, queues, options, nature)
}

/// The driver has the kernel send a real-time signal for each frame; when its queue overflows, the kernel sends SIGIO instead, of
/// which a process dies that does not handle it.
fn ignore_sigio() {
    // SAFETY: replaces the default action only; a handler of the application's stays.
    unsafe {
        let before = libc::signal(libc::SIGIO, libc::SIG_IGN);
        if before != libc::SIG_DFL && before != libc::SIG_ERR {
            libc::signal(libc::SIGIO, before);
        }
    }
}

fn neighbour(MacAddr([a, b, c, d, e, f]): MacAddr) -> MacAddr {
    MacAddr([a, b, c, d, e, f ^ 1])
}

fn require_queues(label: &str, asked: u16) -> Result<(), NicError> {
    if (1..=QUEUES_MOST).contains(&asked) {
        return Ok(());
    }
    Err(NicError::TooManyQueues {
        port: label.to_owned(),
        asked,
        available: QUEUES_MOST,
    })
}

/// `asked`, or `largest` when nothing was.
pub(super) fn require_mtu(label: &str, asked: Option<u16>, largest: u16) -> Result<u16, NicError> {
    match asked {
        Some(asked) if asked > largest => Err(NicError::Mtu {
            port: label.to_owned(),
            asked,
            largest,
        }),
        asked => Ok(asked.unwrap_or(largest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_beyond_the_interface_is_refused_with_both_figures() {
        assert_eq!(require_mtu("p", None, 1400), Ok(1400));
        assert_eq!(require_mtu("p", Some(1280), 1400), Ok(1280));
        let message = require_mtu("p", Some(9000), 1500).unwrap_err().to_string();
        assert!(message.contains("9000") && message.contains("1500"), "{message}");
    }

    #[test]
    fn a_ring_holds_whole_frames_one_behind_the_other() {
        for (mtu, ring) in [
            (1500, USUAL_RING),
            (1960, USUAL_RING),
            (2000, JUMBO_RING),
            (9000, JUMBO_RING),
        ] {
            assert_eq!(Ring::for_mtu(mtu), ring, "{mtu}");
            assert_eq!(
                (ring.block % ring.frame, ring.block % 4096, ring.frame % 16),
                (0, 0, 0)
            );
            assert!(u32::from(mtu) + 18 + RING_HEADER <= ring.frame);
        }
    }

    #[test]
    fn queues_are_limited() {
        assert!(require_queues("p", 16).is_ok());
        for asked in [0, 17] {
            assert!(matches!(
                require_queues("p", asked),
                Err(NicError::TooManyQueues { available: 16, .. })
            ));
        }
    }

    #[test]
    fn our_end_of_a_tap_has_an_address_of_its_own() {
        assert_eq!(
            neighbour(MacAddr([2, 0, 0, 0, 0, 6])),
            MacAddr([2, 0, 0, 0, 0, 7])
        );
    }
}
