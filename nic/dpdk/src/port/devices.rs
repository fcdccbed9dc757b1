//! The ethdevs that make up one port: one with all its queues, or one for each queue where the driver can't have several.

use dpdk_sys::{rte_eth_dev_info, rte_eth_stats};
use fourtuple_nic::{Link, MacAddr, NicError};

use super::device::{Device, Offloads};
use crate::pool::Pool;

/// At least one device. Closed in order on drop.
#[derive(Debug)]
pub(super) struct Devices {
    first: Device,
    /// Queue `i` is the only queue of device `i`, the first of these being 1; empty when all queues are the first's.
    more: Vec<Device>,
}

impl From<Device> for Devices {
    fn from(first: Device) -> Self {
        Self {
            first,
            more: Vec::new(),
        }
    }
}

impl Devices {
    /// Adds the device of the next queue.
    pub(super) fn push(&mut self, device: Device) {
        self.more.push(device);
    }

    /// The device that a queue of the port belongs to, and its number there.
    pub(super) fn of(&self, queue: u16) -> (&Device, u16) {
        match self.more.get(usize::from(queue).wrapping_sub(1)) {
            Some(device) => (device, 0),
            None => (&self.first, queue),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Device> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// What the driver can do, all devices together.
    pub(super) fn capabilities(&self) -> Result<rte_eth_dev_info, NicError> {
        let mut capabilities = self.first.capabilities()?;
        if !self.more.is_empty() {
            let queues = 1 + self.more.len() as u16;
            (capabilities.max_rx_queues, capabilities.max_tx_queues) = (queues, queues);
        }
        Ok(capabilities)
    }

    /// As [`Device::configure`].
    pub(super) fn configure(
        &self,
        queues: u16,
        mtu: u16,
        offloads: Offloads,
        interrupts: bool,
    ) -> Result<(), NicError> {
        let queues = if self.more.is_empty() { queues } else { 1 };
        self.each()
            .try_for_each(|device| device.configure(queues, mtu, offloads, interrupts))
    }

    /// As [`Device::descriptors`].
    pub(super) fn descriptors(&self, wanted: u16) -> (u16, u16) {
        self.first.descriptors(wanted)
    }

    /// As [`Device::queue`].
    pub(super) fn queue(&self, queue: u16, descriptors: (u16, u16), pool: &Pool) -> Result<(), NicError> {
        let (device, queue) = self.of(queue);
        device.queue(queue, descriptors, pool)
    }

    pub(super) fn start(&self) -> Result<(), NicError> {
        self.each().try_for_each(Device::start)
    }

    pub(super) fn mac(&self) -> MacAddr {
        self.first.mac()
    }

    /// As [`Device::take_all_addresses`].
    pub(super) fn take_all_addresses(&self) {
        self.first.take_all_addresses();
    }

    pub(super) fn link(&self) -> Link {
        self.first.link()
    }

    /// What the drivers counted, added up.
    pub(super) fn counters(&self) -> rte_eth_stats {
        let mut sum = self.first.counters();
        for device in &self.more {
            let more = device.counters();
            sum.ipackets += more.ipackets;
            sum.opackets += more.opackets;
            sum.ibytes += more.ibytes;
            sum.obytes += more.obytes;
            sum.imissed += more.imissed;
            sum.ierrors += more.ierrors;
            sum.oerrors += more.oerrors;
            sum.rx_nombuf += more.rx_nombuf;
        }
        sum
    }

    /// All that the drivers count by their own names; what device `i` counts of its queue 0 is told of queue `i`, the rest is
    /// added up.
    pub(super) fn extended_counters(&self) -> Vec<(String, u64)> {
        let mut all = self.first.extended_counters();
        for (device, queue) in self.more.iter().zip(1u16..) {
            for (name, value) in device.extended_counters() {
                let name = of_queue(&name, queue);
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => all.push((name, value)),
                }
            }
        }
        all
    }
}

/// `rx_q0_packets` as it is called for `queue`.
fn of_queue(name: &str, queue: u16) -> String {
    match name.split_once("_q0_") {
        Some((direction, what)) => format!("{direction}_q{queue}_{what}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_a_queue_names_the_queue_of_the_port() {
        assert_eq!(of_queue("rx_q0_packets", 3), "rx_q3_packets");
        assert_eq!(of_queue("rx_good_packets", 3), "rx_good_packets");
    }
}
