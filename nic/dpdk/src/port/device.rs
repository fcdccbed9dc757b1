//! One ethdev from plugging in to pulling out.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::{rte_eth_dev_info, rte_eth_stats, rte_eth_xstat, rte_eth_xstat_name};
use fourtuple_nic::{Link, MacAddr, NicError};

use crate::eal;
use crate::pool::Pool;

/// An attached device; stopped, closed and removed on drop.
#[derive(Debug)]
pub(super) struct Device {
    /// What the operator calls it.
    label: String,
    /// What DPDK calls it, and the bus that it was plugged into.
    name: CString,
    bus: &'static CStr,
    id: u16,
}

/// Devices made of software.
const VIRTUAL: &CStr = c"vdev";

/// Devices in slots.
const PCI: &CStr = c"pci";

/// A name for a virtual device that no other in this process has; the driver is chosen by what it begins with.
pub(super) fn fresh_name(driver: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{driver}_ft{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Device {
    /// Plugs a virtual device in: `name` as from [`fresh_name`], `arguments` as its driver reads them.
    pub(super) fn plug(label: &str, name: &str, arguments: &str) -> Result<Self, NicError> {
        Self::plug_into(VIRTUAL, label, name, arguments)
    }

    /// Takes a PCI device over: one that the EAL found at start, or one that is bound to a driver for user space since.
    pub(super) fn take_over(label: &str, address: &str) -> Result<Self, NicError> {
        Self::find(PCI, label, address).or_else(|_| Self::plug_into(PCI, label, address, ""))
    }

    fn plug_into(bus: &'static CStr, label: &str, name: &str, arguments: &str) -> Result<Self, NicError> {
        let terminated = |text: &str| {
            CString::new(text).map_err(|_| NicError::Refused {
                port: label.to_owned(),
                reason: "a NUL byte is no part of a name".to_owned(),
            })
        };
        let (wide_name, arguments) = (terminated(name)?, terminated(arguments)?);
        let _control = eal::control();
        eal::forget();
        // SAFETY: three NUL-terminated strings, which DPDK copies; the EAL runs.
        let answer =
            unsafe { dpdk_sys::rte_eal_hotplug_add(bus.as_ptr(), wide_name.as_ptr(), arguments.as_ptr()) };
        if answer < 0 {
            return Err(refused(label, "the driver does not start", answer));
        }
        // Success is claimed even when a driver failed: what counts is whether there is a port.
        Self::find(bus, label, name)
    }

    /// The virtual device that DPDK has under `name`.
    pub(super) fn made(label: &str, name: &str) -> Result<Self, NicError> {
        Self::find(VIRTUAL, label, name)
    }

    fn find(bus: &'static CStr, label: &str, name: &str) -> Result<Self, NicError> {
        let wide = CString::new(name).unwrap_or_default();
        let mut id = 0u16;
        // SAFETY: a NUL-terminated string, and a place to write to.
        let answer = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(wide.as_ptr(), &mut id) };
        if answer < 0 {
            return Err(refused(label, "the driver made no port", answer));
        }
        Ok(Self {
            label: label.to_owned(),
            name: wide,
            bus,
            id,
        })
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    /// What the driver can do.
    pub(super) fn capabilities(&self) -> Result<rte_eth_dev_info, NicError> {
        let mut capabilities = MaybeUninit::<rte_eth_dev_info>::zeroed();
        // SAFETY: the port is attached; the call fills the struct in, of which all zero is a value too.
        let (answer, capabilities) = unsafe {
            let answer = dpdk_sys::rte_eth_dev_info_get(self.id, capabilities.as_mut_ptr());
            (answer, capabilities.assume_init())
        };
        self.accepted("does not describe itself", answer)
            .map(|()| capabilities)
    }

    /// Sets up `queues` pairs for frames of IP packets up to `mtu`.
    pub(super) fn configure(
        &self,
        queues: u16,
        mtu: u16,
        offloads: Offloads,
        interrupts: bool,
    ) -> Result<(), NicError> {
        let Offloads { rx, tx } = offloads;
        // SAFETY: the port is attached and not started.
        let answer =
            unsafe { dpdk_sys::shim_port_configure(self.id, queues, mtu, rx, tx, interrupts.into()) };
        self.accepted(
            &format!("can't be set up with {queues} queues and an MTU of {mtu}"),
            answer,
        )
    }

    /// How many descriptors the driver makes of `wanted`, for receiving and for sending.
    pub(super) fn descriptors(&self, wanted: u16) -> (u16, u16) {
        let (mut rx, mut tx) = (wanted, wanted);
        // SAFETY: the port is attached; both places are ours. A failure leaves them as they are.
        unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &mut rx, &mut tx) };
        (rx, tx)
    }

    /// Sets up one pair of queues; `pool` must outlive the device.
    pub(super) fn queue(&self, queue: u16, descriptors: (u16, u16), pool: &Pool) -> Result<(), NicError> {
        let any_node = ANY_NODE as u32;
        // SAFETY: the port is configured and not started; no configuration means the driver's own; the pool outlives the
        // device (`Port` drops the device first).
        let answers = unsafe {
            let (null_rx, null_tx) = (std::ptr::null(), std::ptr::null());
            [
                dpdk_sys::rte_eth_rx_queue_setup(
                    self.id,
                    queue,
                    descriptors.0,
                    any_node,
                    null_rx,
                    pool.as_ptr(),
                ),
                dpdk_sys::rte_eth_tx_queue_setup(self.id, queue, descriptors.1, any_node, null_tx),
            ]
        };
        answers
            .into_iter()
            .try_for_each(|answer| self.accepted(&format!("queue {queue} can't be set up"), answer))
    }

    pub(super) fn start(&self) -> Result<(), NicError> {
        // SAFETY: the port is configured.
        let answer = unsafe { dpdk_sys::rte_eth_dev_start(self.id) };
        self.accepted("does not start", answer)
    }

    /// Its Ethernet address; zero where a driver has none.
    pub(super) fn mac(&self) -> MacAddr {
        let mut address = dpdk_sys::rte_ether_addr::default();
        // SAFETY: the port is attached; the place is ours.
        unsafe { dpdk_sys::rte_eth_macaddr_get(self.id, &mut address) };
        MacAddr(address.addr_bytes)
    }

    /// Lets frames to any address in; drivers that always do may refuse.
    pub(super) fn take_all_addresses(&self) {
        // SAFETY: the port is attached.
        unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.id) };
    }

    /// What the driver counted; zeroes where it counts nothing.
    pub(super) fn counters(&self) -> rte_eth_stats {
        counters(self.id)
    }

    /// Its link, as the driver sees it.
    pub(super) fn link(&self) -> Link {
        let mut megabits = 0;
        // SAFETY: the port is attached; the place is ours.
        let up = unsafe { dpdk_sys::shim_link(self.id, &mut megabits) } == 1;
        let known = megabits != 0 && megabits != u32::MAX;
        Link {
            up,
            megabits: known.then_some(megabits),
        }
    }

    /// All that the driver counts, by its own names; empty where it counts nothing.
    pub(super) fn extended_counters(&self) -> Vec<(String, u64)> {
        // SAFETY: the port is attached; asked with no room, the calls tell how much they need.
        let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(self.id, std::ptr::null_mut(), 0) };
        let room = usize::try_from(count).unwrap_or(0);
        let mut names = vec![rte_eth_xstat_name { name: [0; 64] }; room];
        let mut values = vec![rte_eth_xstat { id: 0, value: 0 }; room];
        // SAFETY: both lists have room for as many entries as are asked for.
        let (named, counted) = unsafe {
            let room = room as u32;
            (
                dpdk_sys::rte_eth_xstats_get_names(self.id, names.as_mut_ptr(), room),
                dpdk_sys::rte_eth_xstats_get(self.id, values.as_mut_ptr(), room),
            )
        };
        let got = usize::try_from(named.min(counted)).unwrap_or(0).min(room);
        let told = values[..got].iter().filter_map(|value| {
            let name = names.get(usize::try_from(value.id).ok()?)?;
            let bytes = name.name.map(|letter| letter as u8);
            let name = CStr::from_bytes_until_nul(&bytes).ok()?;
            Some((name.to_string_lossy().into_owned(), value.value))
        });
        told.collect()
    }

    /// Lets the driver give back what it has sent.
    pub(super) fn flush_sent(&self, queue: u16) {
        // SAFETY: the port is started and no queue of it is left (invariant 5), so this is the only burst; it sends nothing.
        unsafe { dpdk_sys::shim_tx_burst(self.id, queue, std::ptr::null_mut(), 0) };
    }

    /// A descriptor that tells of received frames, where the driver has receive interrupts.
    pub(super) fn interrupt_fd(&self, queue: u16) -> Option<i32> {
        // SAFETY: the port is started, and was configured with interrupts.
        let fd = unsafe { dpdk_sys::rte_eth_dev_rx_intr_ctl_q_get_fd(self.id, queue) };
        (fd >= 0).then_some(fd)
    }

    /// The first word of the driver's own record of a receive queue.
    ///
    /// For af_packet this is the queue's socket in every release so far; the caller checks what it got.
    pub(super) fn first_word_of_rx_queue(&self, queue: u16) -> Option<i32> {
        // SAFETY: the table has an entry for each port; `data` holds one pointer for each queue, set by the driver to memory of
        // its own that lives until the port is closed and is longer than a word.
        unsafe {
            let ops = (&raw const dpdk_sys::rte_eth_fp_ops).cast::<dpdk_sys::rte_eth_fp_ops>();
            let queues = (*ops.add(usize::from(self.id))).rxq.data;
            if queues.is_null() {
                return None;
            }
            let record = (*queues.add(usize::from(queue))).cast::<i32>();
            (!record.is_null()).then(|| record.read())
        }
    }

    fn accepted(&self, what: &str, answer: i32) -> Result<(), NicError> {
        if answer < 0 {
            Err(refused(&self.label, what, answer))
        } else {
            Ok(())
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _control = eal::control();
        // SAFETY: no queue of the port is left (invariant 5), so no burst runs or will; each call answers with an error
        // when there is nothing to do. Closing releases the port, removing forgets the device.
        unsafe {
            dpdk_sys::rte_eth_dev_stop(self.id);
            dpdk_sys::rte_eth_dev_close(self.id);
            dpdk_sys::rte_eal_hotplug_remove(self.bus.as_ptr(), self.name.as_ptr());
        }
        tracing::debug!(port = self.label, device = ?CStr::to_string_lossy(&self.name), "port closed");
    }
}

/// What the driver of `port` counted; zeroes where it counts nothing, or is gone.
pub(super) fn counters(port: u16) -> rte_eth_stats {
    let mut counters = rte_eth_stats::default();
    // SAFETY: DPDK checks the number; the call fills the struct in.
    unsafe { dpdk_sys::rte_eth_stats_get(port, &mut counters) };
    counters
}

/// Whether the driver of `port` has another end now.
pub(super) fn link_is_up(port: u16) -> bool {
    let mut link = dpdk_sys::rte_eth_link::default();
    // SAFETY: DPDK checks the number; the place is ours.
    let answer = unsafe { dpdk_sys::rte_eth_link_get_nowait(port, &mut link) };
    answer == 0 && link.link_status() == dpdk_sys::RTE_ETH_LINK_UP as u16
}

/// Stops and starts `port`, during which no burst may run; the error is DPDK's answer.
pub(super) fn start_again(port: u16) -> Result<(), i32> {
    let _control = eal::control();
    // SAFETY: DPDK checks the number; the caller's gate is closed, so no burst runs.
    let answer = unsafe {
        dpdk_sys::rte_eth_dev_stop(port);
        dpdk_sys::rte_eth_dev_start(port)
    };
    if answer < 0 { Err(answer) } else { Ok(()) }
}

/// Memory of any node: which one a device is near, virtual devices don't say.
pub(super) const ANY_NODE: i32 = -1;

/// Offload flags asked of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Offloads {
    pub(super) rx: u64,
    pub(super) tx: u64,
}

fn refused(label: &str, what: &str, answer: i32) -> NicError {
    let errno = if answer == -1 { eal::errno() } else { -answer };
    let system = std::io::Error::from_raw_os_error(errno);
    let complaint = eal::complaint();
    let port = label.to_owned();
    if complaint.contains("mmap failed") {
        // The packet driver locks its rings into memory, and tells of its failure in the log only.
        let remedy =
            format!("raise the limit of locked memory (`ulimit -l unlimited`, or CAP_IPC_LOCK). {complaint}");
        return NicError::NoMemory { port, remedy };
    }
    if errno == libc::ENOMEM {
        let remedy = format!("it {what}: give DPDK more memory (huge pages, or a larger -m). {complaint}");
        return NicError::NoMemory { port, remedy };
    }
    let said = if complaint.is_empty() {
        String::new()
    } else {
        format!("; DPDK said: {complaint}")
    };
    NicError::Refused {
        port,
        reason: format!("{what}: {system}{said}"),
    }
}
