//! Ports: attached to the running EAL, closed when the last of port handle and queues is gone.
//!
//! Order at the end, by the order of fields in [`Inner`]: the device is stopped and closed, then the rings are emptied, then
//! the pools retire. No step finds a buffer that a later one still needs.

mod counters;
mod device;
mod gate;
mod interface;
mod kernel;
mod memif;
mod offered;
mod options;
mod rings;

use std::sync::{Arc, OnceLock};

use fourtuple_nic::{MacAddr, NicError, PortStats, Promises};

use crate::eal::Eal;
use crate::mbuf::Attaching;
use crate::pool::Pool;
use crate::queue::DpdkQueue;
use counters::{Counter, QueueCounters};
use device::Device;
pub(crate) use gate::{Gate, Passage};
use offered::Offered;
pub use options::PortOptions;

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
}

/// What all queues of a port hold together.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Parts the device from its other end before the device is closed.
    go_between: OnceLock<memif::GoBetween>,
    device: Device,
    _link: Option<Arc<rings::Link>>,
    pools: Vec<QueuePools>,
    counters: Vec<QueueCounters>,
    promises: Promises,
    attaching: Attaching,
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
        let device = Device::plug(&label, &device::fresh_name(driver), arguments)?;
        let nature = Nature {
            may_stall: true,
            ..Nature::polled(options)
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
            gate: None,
            may_stall: false,
        }
    }
}

impl Port {
    /// Sets up and starts a device that was plugged in.
    fn open(
        label: String,
        device: Device,
        queues: u16,
        options: &PortOptions,
        nature: Nature,
    ) -> Result<Self, NicError> {
        // Locals end in reverse order: whatever fails below, the device is closed before its pools retire.
        let mut pools = Vec::with_capacity(usize::from(queues));
        let device = device;
        let capabilities = device.capabilities()?;
        let available = capabilities.max_rx_queues.min(capabilities.max_tx_queues);
        if queues == 0 || queues > available {
            return Err(NicError::TooManyQueues {
                port: label,
                asked: queues,
                available,
            });
        }
        let largest = options.buffer_room.saturating_sub(L2_BYTES);
        if nature.mtu > largest {
            return Err(NicError::Mtu {
                port: label,
                asked: nature.mtu,
                largest,
            });
        }
        let offered = Offered::by(&capabilities, &nature);
        let interrupts = matches!(nature.wait, WaitBy::Interrupt);
        device.configure(queues, nature.mtu, offered.offloads, interrupts)?;
        let descriptors = device.descriptors(options.descriptors.min(nature.descriptors_most));
        for queue in 0..queues {
            let of_queue = QueuePools::new(&label, options)?;
            device.queue(queue, descriptors, &of_queue.receive)?;
            pools.push(of_queue);
        }
        device.start()?;
        let attaching = match (offered.multi_seg, options.copied_at_most) {
            (false, _) => Attaching::Never,
            (true, None) => nature.attaching,
            (true, Some(most)) => Attaching::Above(most),
        };
        let promises = Promises {
            mac: nature.mac.unwrap_or_else(|| device.mac()),
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
            .map(|queue| wait_fd(&device, queue, nature.wait))
            .collect();
        let counters = (0..queues).map(|_| QueueCounters::default()).collect();
        let inner = Arc::new(Inner {
            go_between: OnceLock::new(),
            device,
            _link: nature.link,
            pools,
            counters,
            promises,
            attaching,
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
        self.inner.stats()
    }
}

impl Inner {
    pub(crate) fn id(&self) -> u16 {
        self.device.id()
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
        let driver = self.device.counters();
        let driver = self.gate.as_ref().map_or(driver, |gate| gate.highest(driver));
        let sum = |of: fn(&QueueCounters) -> &Counter| {
            self.counters.iter().map(|queue| of(queue).value()).sum::<u64>()
        };
        PortStats {
            rx_packets: driver.ipackets,
            tx_packets: driver.opackets,
            rx_bytes: driver.ibytes,
            tx_bytes: driver.obytes,
            rx_missed: driver.imissed,
            rx_errors: driver.ierrors + sum(|queue| &queue.rx_errors),
            tx_errors: driver.oerrors + sum(|queue| &queue.tx_errors),
            rx_no_buffer: driver.rx_nombuf + sum(|queue| &queue.rx_no_buffer),
            rx_flattened: sum(|queue| &queue.flattened),
            tx_linearised: sum(|queue| &queue.linearised),
        }
    }
}

impl QueuePools {
    fn new(label: &str, options: &PortOptions) -> Result<Self, NicError> {
        let room = options.buffer_room;
        Ok(Self {
            receive: Pool::new(label, "receive", options.rx_buffers, room)?,
            payload: Pool::new(label, "payload", options.payload_buffers, room)?,
            transmit: Pool::new(label, "transmit", options.tx_buffers, room)?,
        })
    }
}

fn wait_fd(device: &Device, queue: u16, by: WaitBy) -> Option<i32> {
    match by {
        WaitBy::Polling => None,
        WaitBy::Interrupt => device.interrupt_fd(queue),
        WaitBy::PacketSocket { interface } => {
            let socket = device.first_word_of_rx_queue(queue)?;
            (interface::bound_to(socket) == Some(interface)).then_some(socket)
        }
    }
}
