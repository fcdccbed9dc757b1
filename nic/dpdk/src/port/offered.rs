//! What a driver offers of that which we can use.

use super::Nature;
use super::device::Offloads;
use crate::mbuf::Attaching;

/// Offloads to be asked for, and what follows from them for [`fourtuple_nic::Promises`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    pub(super) offloads: Offloads,
    pub(super) rx_checksum: bool,
    pub(super) tx_checksum: bool,
    pub(super) multi_seg: bool,
}

impl Offered {
    /// Reads the driver's description; `nature` may know better.
    pub(super) fn by(capabilities: &dpdk_sys::rte_eth_dev_info, nature: &Nature) -> Self {
        const RX_SUMS: u64 = dpdk_sys::SHIM_RX_OFFLOAD_IPV4_CKSUM | dpdk_sys::SHIM_RX_OFFLOAD_TCP_CKSUM;
        const TX_SUMS: u64 = dpdk_sys::SHIM_TX_OFFLOAD_IPV4_CKSUM | dpdk_sys::SHIM_TX_OFFLOAD_TCP_CKSUM;
        // Both sums or none: half an offload saves nothing, since the other half reads the bytes anyway.
        let (can_rx, can_tx) = (capabilities.rx_offload_capa, capabilities.tx_offload_capa);
        let rx_checksum = can_rx & RX_SUMS == RX_SUMS;
        let tx_checksum = can_tx & TX_SUMS == TX_SUMS;
        let chains = can_tx & dpdk_sys::SHIM_TX_OFFLOAD_MULTI_SEGS != 0;
        let multi_seg = chains && nature.attaching != Attaching::Never;
        let when = |offered: bool, flags: u64| if offered { flags } else { 0 };
        let offloads = Offloads {
            rx: when(rx_checksum, RX_SUMS) | can_rx & dpdk_sys::SHIM_RX_OFFLOAD_RSS_HASH,
            tx: when(tx_checksum, TX_SUMS) | when(multi_seg, dpdk_sys::SHIM_TX_OFFLOAD_MULTI_SEGS),
        };
        Self {
            offloads,
            rx_checksum,
            tx_checksum,
            multi_seg,
        }
    }
}
