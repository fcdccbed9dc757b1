//! Ports: attached to the running EAL, closed when the last of port handle and queues is gone.
//!
//! Order at the end, by the order of fields in [`Inner`]: the device is stopped and closed, then the rings are emptied, then
//! the pools retire. No step finds a buffer that a later one still needs.

mod claim;
mod counters;
mod device;
mod devices;
mod ethtool;
mod gate;
mod interface;
mod kernel;
mod memif;
mod offered;
mod options;
mod pcap;
mod pci;
mod report;
mod rings;
mod xdp;

use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

use fourtuple_nic::{MacAddr, NicError, PortStats, Promises};

use crate::eal::Eal;
use crate::mbuf::Attaching;
use crate::pool::{Layout, Pool};
use crate::queue::DpdkQueue;
use claim::Claim;
use counters::{Counter, QueueCounters};
use device::Device;
use devices::Devices;
use ethtool::Carrier;
pub(crate) use gate::{Gate, Passage};
use offered::Offered;
pub use options::PortOptions;
pub(crate) use pci::require_usable;
pub use report::Reporter;

/// Ethernet header with one VLAN tag.
const L2_BYTES: u16 = 18;

/// Where a device reads our buffers itself: a copy of cold payload costs more than the 55 cycles of attaching.
const ATTACH_ABOVE: Attaching = Attaching::Above(512);

/// An attached port. Its queues keep it open.
#[derive(Debug)]
pub struct Port {
    inner: Arc<Inner>,
    queues: Vec<DpdkQueue>,
}

/// What a kind of port knows of itself that its driver does not say.
struct Nature {
    kernel_peer: bool,
    /// How payload is best attached, if the driver takes chains at all.
    attaching: Attaching,
    mac: Option<MacAddr>,
    mtu: u16,
    descriptors_most: u16,
    wait: WaitBy,
    link: Option<Arc<rings::Link>>,
    /// The kernel's interface that the port lies on; a driver over one knows nothing of its link.
    carrier: Option<Carrier>,
    /// What keeps others from the interface meanwhile.
    claim: Option<Claim>,
    /// Largest MTU that the driver is told of: some take longer frames than they say.
    told_mtu: u16,
    /// The driver counts bytes, so that we need not.
    counts_bytes: bool,
    /// Received frames lie where the driver has the kernel write them, in the receive pool (`xdp.rs`).
    umem: bool,
    /// Shut while the other end is not there.
    gate: Option<Arc<Gate>>,
    /// The other end is a program that may stop reading for good.
    may_stall: bool,
}

/// How a worker may sleep until frames arrive.
#[derive(Clone, Copy, Debug)]
enum WaitBy {
    /// Not at all.
    Polling,
    /// DPDK's receive interrupts.
    Interrupt,
    /// The packet socket that the driver opened on this interface.
    PacketSocket { interface: u32 },
    /// The AF_XDP socket that the driver opened for the queue.
    XdpSocket,
}

/// What all queues of a port hold together.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Parts the device from its other end before the device is closed.
    go_between: OnceLock<memif::GoBetween>,
    devices: Devices,
    _link: Option<Arc<rings::Link>>,
    pools: Vec<QueuePools>,
    counters: Vec<QueueCounters>,
    promises: Promises,
    attaching: Attaching,
    carrier: Option<Carrier>,
    _claim: Option<Claim>,
    counts_bytes: bool,
    umem: bool,
    /// The packet socket of each queue, where the port is made of those: the kernel counts in them what it drops.
    packet_sockets: Vec<RawFd>,
    gate: Option<Arc<Gate>>,
    may_stall: bool,
}

/// The pools of one worker at this port.
#[derive(Debug)]
pub(crate) struct QueuePools {
    pub(crate) receive: Pool,
    pub(crate) payload: Pool,
    pub(crate) transmit: Pool,
}

impl Eal {
    /// Two ports in this process joined back to back, each with `queues` queue pairs; what queue `i` of one sends, queue `i`
    /// of the other receives.
    ///
    /// # Errors
    /// [`NicError::TooManyQueues`] above 16 queues, [`NicError::NoMemory`].
    pub fn ring_pair(&self, queues: u16, options: &PortOptions) -> Result<(Port, Port), NicError> {
        rings::pair(queues, options)
    }

    /// A port on the network interface `name`, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`NicError::Unknown`] for the interface, [`NicError::NotPermitted`] without CAP_NET_RAW, [`NicError::TooManyQueues`],
    /// [`NicError::Mtu`], [`NicError::NoMemory`], [`NicError::Refused`] when the interface is down.
    pub fn af_packet(&self, name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
        kernel::af_packet(name, queues, options)
    }

    /// A new network interface `name`, whose other end this port is, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`NicError::NotPermitted`] without CAP_NET_ADMIN, [`NicError::TooManyQueues`], [`NicError::Mtu`],
    /// [`NicError::NoMemory`], [`NicError::Refused`] when such an interface exists.
    pub fn tap(&self, name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
        kernel::tap(name, queues, options)
    }

    /// A port on the network interface `name`, in the network namespace of the calling thread, through AF_XDP: the kernel's
    /// stack does not see the frames.
    ///
    /// # Errors
    /// As [`af_packet`](Self::af_packet), and [`NicError::NotPermitted`] without CAP_NET_ADMIN or CAP_BPF,
    /// [`NicError::Refused`] when another XDP program holds the interface or it has more queues.
    pub fn af_xdp(&self, name: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
        xdp::af_xdp(name, queues, options)
    }

    /// Any virtual device of DPDK: `net_memif,role=server,id=0` and so on, as for the EAL's `--vdev`. It gets a name of its
    /// own.
    ///
    /// # Errors
    /// [`NicError`] with what the driver said.
    pub fn vdev(&self, specification: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
        let (driver, arguments) = specification.split_once(',').unwrap_or((specification, ""));
        let label = format!("vdev:{specification}");
        if memif::is_meant(driver) {
            return memif::open(label, arguments, queues, options);
        }
        let pcap = driver.starts_with(pcap::DRIVER);
        if pcap {
            pcap::require(&label, arguments, queues)?;
        }
        let device = Device::plug(&label, &device::fresh_name(driver), arguments)?;
        let nature = if pcap {
            pcap::nature(arguments, options)
        } else {
            Nature {
                may_stall: true,
                ..Nature::polled(options)
            }
        };
        Port::open(label, device, queues, options, nature)
    }

    /// A PCI device that is bound to a driver for user space (`dpdk-devbind.py -b vfio-pci 0000:01:00.0`). The EAL must have been
    /// started with PCI: [`EalOptions::pci`](crate::EalOptions::pci). Frames are steered in software.
    ///
    /// # Errors
    /// [`NicError`] with what the driver said.
    pub fn pci(&self, address: &str, queues: u16, options: &PortOptions) -> Result<Port, NicError> {
        let label = format!("pci:{address}");
        pci::require_usable(address)?;
        pci::require_bus(&label, self.words())?;
        let device = Device::take_over(&label, address)?;
        if options.mac.is_some() {
            device.take_all_addresses();
        }
        Port::open(label, device, queues, options, Nature::polled(options))
    }
}

impl Nature {
    /// Nothing is known beyond what the driver tells.
    fn polled(options: &PortOptions) -> Self {
        Self {
            kernel_peer: false,
            attaching: ATTACH_ABOVE,
            mac: options.mac,
            mtu: options.mtu.unwrap_or(1500),
            descriptors_most: u16::MAX,
            wait: WaitBy::Polling,
            link: None,
            carrier: None,
            claim: None,
            told_mtu: u16::MAX,
            counts_bytes: true,
            umem: false,
            gate: None,
            may_stall: false,
        }
    }
}

impl Port {
    /// Sets up and starts a device that was plugged in.
    fn open(
        label: String,
        devices: impl Into<Devices>,
        queues: u16,
        options: &PortOptions,
        nature: Nature,
    ) -> Result<Self, NicError> {
        // Locals end in reverse order: whatever fails below, the device is closed before its pools retire.
        let mut pools = Vec::with_capacity(usize::from(queues));
        let devices = devices.into();
        let capabilities = devices.capabilities()?;
        let available = capabilities.max_rx_queues.min(capabilities.max_tx_queues);
        if queues == 0 || queues > available {
            return Err(NicError::TooManyQueues {
                port: label,
                asked: queues,
                available,
            });
        }
        let told_mtu = nature.mtu.min(nature.told_mtu);
        let largest = driver_mtu(&capabilities);
        if told_mtu > largest {
            return Err(NicError::Mtu {
                port: label,
                asked: nature.mtu,
                largest,
            });
        }
        let options = &PortOptions {
            buffer_room: room(options, &nature),
            ..options.clone()
        };
        let offered = Offered::by(&capabilities, &nature);
        let interrupts = matches!(nature.wait, WaitBy::Interrupt);
        devices.configure(queues, told_mtu, offered.offloads, interrupts)?;
        let descriptors = devices.descriptors(options.descriptors.min(nature.descriptors_most));
        let mut xdp_sockets = Vec::new();
        for queue in 0..queues {
            let mut of_queue = QueuePools::new(&label, options, nature.umem)?;
            let before = if nature.umem { xdp::sockets() } else { Vec::new() };
            let set_up = devices.queue(queue, descriptors, &of_queue.receive);
            if nature.umem {
                of_queue.receive.note_kept(xdp::SENDING);
                let opened = xdp::sockets().into_iter().filter(|fd| !before.contains(fd));
                xdp_sockets.push(opened.collect());
            }
            pools.push(of_queue);
            set_up?;
        }
        devices.start()?;
        let attaching = match (offered.multi_seg, options.copied_at_most) {
            (false, _) => Attaching::Never,
            (true, None) => nature.attaching,
            (true, Some(most)) => Attaching::Above(most),
        };
        let promises = Promises {
            mac: nature.mac.unwrap_or_else(|| devices.mac()),
            name: label,
            mtu: nature.mtu,
            queues,
            buffer_room: usize::from(options.buffer_room),
            buffer_space: crate::mbuf::space_of(options.buffer_room),
            rx_checksum: offered.rx_checksum,
            tx_checksum: offered.tx_checksum,
            multi_seg: offered.multi_seg,
            kernel_peer: nature.kernel_peer,
            rss: false,
        };
        let wait_fds: Vec<Option<i32>> = (0..queues)
            .map(|queue| wait_fd(&devices, queue, nature.wait, &xdp_sockets))
            .collect();
        let packet_sockets = match nature.wait {
            WaitBy::PacketSocket { .. } => wait_fds.iter().copied().flatten().collect(),
            WaitBy::Polling | WaitBy::Interrupt | WaitBy::XdpSocket => Vec::new(),
        };
        let counters = (0..queues).map(|_| QueueCounters::default()).collect();
        let inner = Arc::new(Inner {
            go_between: OnceLock::new(),
            devices,
            _link: nature.link,
            pools,
            counters,
            promises,
            attaching,
            carrier: nature.carrier,
            _claim: nature.claim,
            counts_bytes: nature.counts_bytes,
            umem: nature.umem,
            packet_sockets,
            may_stall: nature.may_stall || nature.gate.is_some(),
            gate: nature.gate,
        });
        let hand_out = |(queue, fd)| DpdkQueue::new(Arc::clone(&inner), queue, fd);
        let queues = (0..queues).zip(wait_fds).map(hand_out).collect();
        Ok(Self { inner, queues })
    }

    /// Has a go-between stay for as long as the device is attached.
    fn accompany(&self, go_between: memif::GoBetween) {
        let _only_one = self.inner.go_between.set(go_between);
    }

    /// What the port promises.
    pub fn promises(&self) -> &Promises {
        &self.inner.promises
    }

    /// The queues, in order, to be given to the workers; empty from the second call on.
    pub fn take_queues(&mut self) -> Vec<DpdkQueue> {
        std::mem::take(&mut self.queues)
    }

    /// What the port and its queues counted.
    pub fn stats(&self) -> PortStats {
        for queue in 0..self.inner.promises.queues {
            self.inner.count_missed(queue);
        }
        self.inner.stats()
    }

    /// Tells of this port as long as it is open, to whichever thread asks.
    pub fn reporter(&self) -> Reporter {
        Reporter::of(&self.inner)
    }
}

impl Inner {
    /// What DPDK calls a queue: its port and its number there.
    pub(crate) fn place(&self, queue: u16) -> (u16, u16) {
        let (device, queue) = self.devices.of(queue);
        (device.id(), queue)
    }

    /// The driver counts bytes; else each queue does.
    pub(crate) fn counts_bytes(&self) -> bool {
        self.counts_bytes
    }

    /// Asks the kernel what it dropped at this queue's packet socket since it was asked last; nothing where there is none.
    pub(crate) fn count_missed(&self, queue: u16) {
        if let Some(&socket) = self.packet_sockets.get(usize::from(queue)) {
            let missed = interface::dropped_since(socket);
            self.counters(queue).rx_missed.add_shared(missed);
        }
    }

    pub(crate) fn promises(&self) -> &Promises {
        &self.promises
    }

    pub(crate) fn attaching(&self) -> Attaching {
        self.attaching
    }

    pub(crate) fn pools(&self, queue: u16) -> &QueuePools {
        &self.pools[usize::from(queue)]
    }

    pub(crate) fn counters(&self, queue: u16) -> &QueueCounters {
        &self.counters[usize::from(queue)]
    }

    /// Lets a burst of `queue` in, unless the device has no memory now.
    #[inline]
    pub(crate) fn enter(&self, queue: u16) -> Option<Passage<'_>> {
        match &self.gate {
            Some(gate) => gate.enter(queue),
            None => Some(Passage::FREE),
        }
    }

    /// The other end may stop reading for good.
    pub(crate) fn may_stall(&self) -> bool {
        self.may_stall
    }

    pub(crate) fn stats(&self) -> PortStats {
        let driver = self.devices.counters();
        let driver = self.gate.as_ref().map_or(driver, |gate| gate.highest(driver));
        let sum = |of: fn(&QueueCounters) -> &Counter| {
            self.counters.iter().map(|queue| of(queue).value()).sum::<u64>()
        };
        PortStats {
            rx_packets: driver.ipackets,
            tx_packets: driver.opackets,
            rx_bytes: driver.ibytes + sum(|queue| &queue.rx_bytes),
            tx_bytes: driver.obytes + sum(|queue| &queue.tx_bytes),
            rx_missed: driver.imissed + sum(|queue| &queue.rx_missed),
            rx_errors: driver.ierrors + sum(|queue| &queue.rx_errors),
            tx_errors: driver.oerrors + sum(|queue| &queue.tx_errors),
            rx_no_buffer: driver.rx_nombuf + sum(|queue| &queue.rx_no_buffer),
            rx_flattened: sum(|queue| &queue.flattened),
            tx_linearised: sum(|queue| &queue.linearised),
        }
    }
}

impl QueuePools {
    fn new(label: &str, options: &PortOptions, umem: bool) -> Result<Self, NicError> {
        let room = options.buffer_room;
        let receive = if umem { Layout::OnePiece } else { Layout::Spread };
        let pool = |purpose, buffers, layout| Pool::new(label, purpose, buffers, room, layout);
        Ok(Self {
            receive: pool("receive", options.rx_buffers, receive)?,
            payload: pool("payload", options.payload_buffers, Layout::Spread)?,
            transmit: pool("transmit", options.tx_buffers, Layout::Spread)?,
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.umem {
            return;
        }
        // What was sent lies in the receive pool's buffers until the driver is told to look. The kernel may take a moment.
        for _ in 0..FLUSHES {
            for queue in 0..self.promises.queues {
                let (device, queue) = self.devices.of(queue);
                device.flush_sent(queue);
            }
            if self.pools.iter().all(|of_queue| of_queue.receive.all_home()) {
                break;
            }
            std::thread::sleep(FLUSH_EVERY);
        }
    }
}

/// How often and at what intervals a closing port looks for buffers that were sent.
const FLUSHES: u32 = 5;
const FLUSH_EVERY: std::time::Duration = std::time::Duration::from_millis(1);

/// Largest IP packet that a driver says it takes, in bytes.
fn driver_mtu(capabilities: &dpdk_sys::rte_eth_dev_info) -> u16 {
    let frame = capabilities.max_rx_pktlen.saturating_sub(L2_BYTES.into());
    u16::try_from(frame).unwrap_or(u16::MAX).min(capabilities.max_mtu)
}

/// Bytes of frame in one buffer: at least what was asked for, and a whole frame of the MTU.
fn room(options: &PortOptions, nature: &Nature) -> u16 {
    let before = if nature.umem { xdp::XDP_HEADROOM } else { 0 };
    let frame = nature.mtu.saturating_add(L2_BYTES + before);
    options.buffer_room.max(frame.next_multiple_of(64))
}

fn wait_fd(devices: &Devices, queue: u16, by: WaitBy, xdp_sockets: &[Vec<RawFd>]) -> Option<RawFd> {
    let (device, at) = devices.of(queue);
    match by {
        WaitBy::Polling => None,
        WaitBy::Interrupt => device.interrupt_fd(at),
        WaitBy::PacketSocket { interface } => {
            let socket = device.first_word_of_rx_queue(at)?;
            (interface::bound_to(socket) == Some(interface)).then_some(socket)
        }
        // That which appeared while the queue was set up, if it was one.
        WaitBy::XdpSocket => match xdp_sockets.get(usize::from(queue)).map(Vec::as_slice) {
            Some(&[socket]) => Some(socket),
            _ => None,
        },
    }
}
